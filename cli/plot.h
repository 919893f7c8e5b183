/* Curves: on the terminal in braille or plain characters, and as SVG or PNG files. */
#ifndef WEFT_CLI_PLOT_H
#define WEFT_CLI_PLOT_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define PLOT_LINES_MAX 6

typedef struct plot_line {
    char name[96];
    const double *x, *y; /* (count); points with a NaN are left out */
    size_t count;
    bool marks; /* few points, each to be seen */
} plot_line;

typedef struct plot {
    char title[160];
    const char *x_name, *y_name;
    plot_line lines[PLOT_LINES_MAX];
    size_t line_count;
} plot;

typedef struct plot_range {
    double x_low, x_high, y_low, y_high;
} plot_range;

/* What the finite points span, never empty; false if there are none. */
bool plot_find_range(const plot *p, plot_range *range);

/* Draw it in columns x rows characters, the legend beside. ascii: no characters beyond 7 bits. */
void plot_print(FILE *out, const plot *p, int columns, int rows, bool ascii);

/* Write PATH.svg or PATH.png, whole or not at all. WEFT_ERR_ARGUMENT for another ending or a plot
 * without points. */
int plot_save(const char *path, const plot *p, weft_error *err);

#endif
