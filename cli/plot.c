/* Curves on the terminal. A braille character is a grid of 2 x 4 dots, so that lines are drawn at
 * eight times the resolution of plain characters; marks are characters of their own. */
#include "plot.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LABEL_COLUMNS 8
#define COLUMNS_MIN   24
#define COLUMNS_MAX   400
#define ROWS_MAX      100

bool plot_find_range(const plot *p, plot_range *r) {
    *r = (plot_range){INFINITY, -INFINITY, INFINITY, -INFINITY};
    for (size_t i = 0; i < p->line_count; i++)
        for (size_t k = 0; k < p->lines[i].count; k++) {
            double x = p->lines[i].x[k], y = p->lines[i].y[k];
            if (!isfinite(x) || !isfinite(y)) continue;
            r->x_low = fmin(r->x_low, x);
            r->x_high = fmax(r->x_high, x);
            r->y_low = fmin(r->y_low, y);
            r->y_high = fmax(r->y_high, y);
        }
    if (!isfinite(r->x_low)) return false;
    if (r->x_high <= r->x_low) r->x_high = r->x_low + 1;
    if (r->y_high <= r->y_low) {
        r->y_high += 0.5;
        r->y_low -= 0.5;
    }
    return true;
}

/* ---- the grid ---- */

typedef struct grid {
    int columns, rows;    /* characters */
    int across, down;     /* dots of a character */
    unsigned char *dots;  /* (rows, columns) */
    unsigned char *marks; /* (rows, columns): line + 1, or 0 */
    plot_range range;
} grid;

static double place_x(const grid *g, double x) {
    return (x - g->range.x_low) / (g->range.x_high - g->range.x_low) * (g->columns * g->across - 1);
}

static double place_y(const grid *g, double y) {
    return (g->range.y_high - y) / (g->range.y_high - g->range.y_low) * (g->rows * g->down - 1);
}

static void set_dot(grid *g, long x, long y) {
    static const unsigned char bits[4][2] = {{1, 8}, {2, 16}, {4, 32}, {64, 128}};
    size_t cell = (size_t)(y / g->down * g->columns + x / g->across);
    g->dots[cell] |= bits[y % g->down][x % g->across];
}

/* A straight line of dots; both ends lie in the grid. */
static void draw_segment(grid *g, double x0, double y0, double x1, double y1) {
    int steps = (int)ceil(fmax(fabs(x1 - x0), fabs(y1 - y0)));
    for (int i = 0; i <= steps; i++) {
        double t = steps ? (double)i / steps : 0;
        set_dot(g, lround(x0 + (x1 - x0) * t), lround(y0 + (y1 - y0) * t));
    }
}

static void draw_line(grid *g, const plot_line *line, size_t index) {
    double x0 = NAN, y0 = NAN;
    for (size_t i = 0; i < line->count; i++) {
        if (!isfinite(line->x[i]) || !isfinite(line->y[i])) continue;
        double x = place_x(g, line->x[i]), y = place_y(g, line->y[i]);
        if (line->marks) {
            size_t cell = (size_t)(lround(y) / g->down * g->columns + lround(x) / g->across);
            g->marks[cell] = (unsigned char)(index + 1);
        } else {
            draw_segment(g, isnan(x0) ? x : x0, isnan(y0) ? y : y0, x, y);
        }
        x0 = x;
        y0 = y;
    }
}

/* ---- printing ---- */

static const char *mark(size_t line, bool ascii) {
    static const char *const fine[] = {"●", "○", "▲", "△", "■", "□"};
    static const char *const plain[] = {"*", "o", "^", "v", "#", "+"};
    return (ascii ? plain : fine)[line % PLOT_LINES_MAX];
}

static void print_cell(FILE *out, const grid *g, size_t cell, bool ascii) {
    if (g->marks[cell])
        fputs(mark(g->marks[cell] - 1u, ascii), out);
    else if (!g->dots[cell])
        fputc(' ', out);
    else if (ascii)
        fputc('.', out);
    else /* U+2800 + dots in UTF-8 */
        fprintf(out, "\xe2%c%c", 0xa0 | g->dots[cell] >> 6, 0x80 | (g->dots[cell] & 63));
}

static void print_grid(FILE *out, const grid *g, bool ascii) {
    for (int row = 0; row < g->rows; row++) {
        bool labelled = row == 0 || row == g->rows - 1 || (row == g->rows / 2 && g->rows > 4);
        double share = (double)row / (g->rows > 1 ? g->rows - 1 : 1);
        if (labelled)
            fprintf(out, "%*.4g ", LABEL_COLUMNS - 2,
                    g->range.y_high - share * (g->range.y_high - g->range.y_low));
        else
            fprintf(out, "%*s", LABEL_COLUMNS - 1, "");
        fputs(ascii ? "|" : "│", out);
        for (int column = 0; column < g->columns; column++)
            print_cell(out, g, (size_t)(row * g->columns + column), ascii);
        fputc('\n', out);
    }
}

static void print_axis(FILE *out, const plot *p, const grid *g, bool ascii) {
    char right[64];
    fprintf(out, "%*s%s", LABEL_COLUMNS - 1, "", ascii ? "+" : "└");
    for (int i = 0; i < g->columns; i++) fputs(ascii ? "-" : "─", out);
    int n = snprintf(right, sizeof right, "%s %g", p->x_name, g->range.x_high);
    fprintf(out, "\n%*s%-*g%s\n", LABEL_COLUMNS, "", g->columns > n ? g->columns - n : 1,
            g->range.x_low, right);
    for (size_t i = 0; i < p->line_count; i++)
        fprintf(out, "%*s%s %s\n", LABEL_COLUMNS, "",
                p->lines[i].marks ? mark(i, ascii) : (ascii ? "." : "⠒"), p->lines[i].name);
}

void plot_print(FILE *out, const plot *p, int columns, int rows, bool ascii) {
    grid g = {.across = ascii ? 1 : 2, .down = ascii ? 1 : 4};
    if (columns < COLUMNS_MIN) columns = COLUMNS_MIN;
    if (columns > COLUMNS_MAX) columns = COLUMNS_MAX;
    g.columns = columns - LABEL_COLUMNS - 1;
    g.rows = rows < 2 ? 2 : rows > ROWS_MAX ? ROWS_MAX : rows;
    if (!plot_find_range(p, &g.range)) {
        fprintf(out, "no points to draw\n");
        return;
    }
    size_t cells = (size_t)(g.columns * g.rows);
    g.dots = calloc(cells, 2);
    if (!g.dots) return;
    g.marks = g.dots + cells;
    for (size_t i = 0; i < p->line_count; i++) draw_line(&g, &p->lines[i], i);
    print_grid(out, &g, ascii);
    print_axis(out, p, &g, ascii);
    free(g.dots);
}
