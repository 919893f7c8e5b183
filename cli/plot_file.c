/* Curves as files: one drawing, by cairo, on an SVG or a PNG surface. */
#include "plot.h"

#include "base/os.h"

#include <cairo-svg.h>
#include <cairo.h>
#include <math.h>
#include <string.h>
#include <strings.h>

#define WIDTH    900
#define HEIGHT   520
#define LEFT     70
#define RIGHT    20
#define TOP      44
#define BOTTOM   56
#define LABEL_PX 13
#define TICKS    6

static const double colours[PLOT_LINES_MAX][3] = {{0.20, 0.42, 0.75}, {0.85, 0.37, 0.10},
                                                  {0.20, 0.60, 0.30}, {0.60, 0.25, 0.60},
                                                  {0.55, 0.45, 0.10}, {0.35, 0.35, 0.35}};

typedef struct canvas {
    cairo_t *c;
    plot_range range;
} canvas;

static double place_x(const canvas *v, double x) {
    return LEFT +
           (x - v->range.x_low) / (v->range.x_high - v->range.x_low) * (WIDTH - LEFT - RIGHT);
}

static double place_y(const canvas *v, double y) {
    return TOP +
           (v->range.y_high - y) / (v->range.y_high - v->range.y_low) * (HEIGHT - TOP - BOTTOM);
}

/* The distance of ticks: 1, 2 or 5 times a power of ten. */
static double tick_step(double low, double high) {
    double rough = (high - low) / TICKS, power = pow(10, floor(log10(rough)));
    double lead = rough / power;
    return power * (lead <= 1 ? 1 : lead <= 2 ? 2 : lead <= 5 ? 5 : 10);
}

/* share: 0 = the text begins at x, 0.5 = it is centred, 1 = it ends there. */
static void write_text(cairo_t *c, double x, double y, double share, const char *text) {
    cairo_text_extents_t size;
    cairo_text_extents(c, text, &size);
    cairo_move_to(c, x - share * size.x_advance, y);
    cairo_show_text(c, text);
}

static void draw_tick(const canvas *v, bool across, double value) {
    char text[32];
    double x = across ? place_x(v, value) : LEFT, y = across ? HEIGHT - BOTTOM : place_y(v, value);
    snprintf(text, sizeof text, "%.6g", fabs(value) < 1e-12 ? 0 : value);
    cairo_set_source_rgb(v->c, 0.88, 0.88, 0.88);
    cairo_move_to(v->c, x, y);
    cairo_line_to(v->c, across ? x : WIDTH - RIGHT, across ? TOP : y);
    cairo_stroke(v->c);
    cairo_set_source_rgb(v->c, 0.3, 0.3, 0.3);
    if (across)
        write_text(v->c, x, y + 18, 0.5, text);
    else
        write_text(v->c, x - 8, y + 4, 1, text);
}

static void draw_axes(const canvas *v, const plot *p) {
    cairo_set_line_width(v->c, 1);
    double step = tick_step(v->range.x_low, v->range.x_high);
    for (double at = ceil(v->range.x_low / step) * step; at <= v->range.x_high; at += step)
        draw_tick(v, true, at);
    step = tick_step(v->range.y_low, v->range.y_high);
    for (double at = ceil(v->range.y_low / step) * step; at <= v->range.y_high; at += step)
        draw_tick(v, false, at);
    write_text(v->c, (LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 16, 0.5, p->x_name);
    write_text(v->c, LEFT, TOP - 10, 1, p->y_name);
    cairo_set_font_size(v->c, LABEL_PX + 3);
    write_text(v->c, (LEFT + WIDTH - RIGHT) / 2.0, 24, 0.5, p->title);
    cairo_set_font_size(v->c, LABEL_PX);
}

static void draw_line(const canvas *v, const plot_line *line, size_t index) {
    const double *rgb = colours[index % PLOT_LINES_MAX];
    cairo_set_source_rgb(v->c, rgb[0], rgb[1], rgb[2]);
    cairo_set_line_width(v->c, line->marks ? 2 : 1.25);
    cairo_new_path(v->c);
    for (size_t i = 0; i < line->count; i++)
        if (isfinite(line->x[i]) && isfinite(line->y[i]))
            cairo_line_to(v->c, place_x(v, line->x[i]), place_y(v, line->y[i]));
    cairo_stroke(v->c);
    for (size_t i = 0; line->marks && i < line->count; i++) {
        if (!isfinite(line->x[i]) || !isfinite(line->y[i])) continue;
        cairo_arc(v->c, place_x(v, line->x[i]), place_y(v, line->y[i]), 3.5, 0, 2 * 3.14159265);
        cairo_fill(v->c);
    }
    double y = TOP + 16 + 18 * (double)index;
    cairo_rectangle(v->c, WIDTH - RIGHT - 12, y - 10, 10, 10);
    cairo_fill(v->c);
    cairo_set_source_rgb(v->c, 0.1, 0.1, 0.1);
    write_text(v->c, WIDTH - RIGHT - 20, y, 1, line->name);
}

static void draw(cairo_surface_t *surface, const plot *p, const plot_range *range) {
    canvas v = {cairo_create(surface), *range};
    cairo_set_source_rgb(v.c, 1, 1, 1);
    cairo_paint(v.c);
    cairo_select_font_face(v.c, "sans-serif", CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(v.c, LABEL_PX);
    draw_axes(&v, p);
    for (size_t i = 0; i < p->line_count; i++) draw_line(&v, &p->lines[i], i);
    cairo_destroy(v.c);
}

static cairo_status_t write_part(void *context, const unsigned char *data, unsigned size) {
    return os_writer_write(context, data, size, NULL) ? CAIRO_STATUS_WRITE_ERROR
                                                      : CAIRO_STATUS_SUCCESS;
}

static bool ends_with(const char *path, const char *ending) {
    size_t n = strlen(path), m = strlen(ending);
    return n > m && !strcasecmp(path + n - m, ending);
}

int plot_save(const char *path, const plot *p, weft_error *err) {
    bool svg = ends_with(path, ".svg");
    plot_range range;
    os_writer *writer;
    if (!svg && !ends_with(path, ".png"))
        return err_set(err, WEFT_ERR_ARGUMENT, "'%s' ends in neither .svg nor .png", path);
    if (!plot_find_range(p, &range))
        return err_set(err, WEFT_ERR_ARGUMENT, "there are no points to draw");
    TRY(os_writer_open(path, &writer, err));
    cairo_surface_t *surface =
        svg ? cairo_svg_surface_create_for_stream(write_part, writer, WIDTH, HEIGHT)
            : cairo_image_surface_create(CAIRO_FORMAT_RGB24, WIDTH, HEIGHT);
    draw(surface, p, &range);
    cairo_status_t status = CAIRO_STATUS_SUCCESS;
    if (!svg) status = cairo_surface_write_to_png_stream(surface, write_part, writer);
    cairo_surface_finish(surface);
    if (!status) status = cairo_surface_status(surface);
    cairo_surface_destroy(surface);
    if (!status) return os_writer_commit(&writer, err);
    os_writer_abort(&writer);
    return err_set(err, WEFT_ERR_IO, "cannot write %s: %s", path, cairo_status_to_string(status));
}
