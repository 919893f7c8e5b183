/* BitLinear in float32 for any vector ISA (vec.h): a tile of weights is unpacked once and used for
 * every token. */
#ifndef WEFT_KERNEL_VEC_TERNARY_H
#define WEFT_KERNEL_VEC_TERNARY_H

#include "kernel/vec_products.h"

enum {
    TERNARY_ROWS = 12 /* rows unpacked at a time */
};

static inline void ternary_matmul_f32(const ternary_matrix *w, int64_t row_begin, int64_t row_end,
                                      const float *x, int64_t ldx, int64_t tokens, float *y,
                                      int64_t ldy) {
    _Alignas(64) float panel[TERNARY_ROWS * DOT_COLUMNS];
    for (int64_t row = row_begin; row < row_end; row += TERNARY_ROWS) {
        int64_t rows = min_i64(TERNARY_ROWS, row_end - row);
        for (int64_t col = 0; col < w->cols; col += DOT_COLUMNS) {
            int64_t width = min_i64(DOT_COLUMNS, w->cols - col);
            for (int64_t r = 0; r < rows; r++)
                for (int64_t k = 0; k < width; k += TERNARY_BLOCK)
                    unpack_floats(codes_at(w, row + r, col + k), panel + r * DOT_COLUMNS + k,
                                  STRIP);
            dot_product p = {.x = x + col,
                             .ldx = ldx,
                             .tokens = tokens,
                             .w = panel,
                             .ldw = DOT_COLUMNS,
                             .rows = rows,
                             .k = width,
                             .alpha = w->scale,
                             .y = y + row,
                             .ldy = ldy,
                             .keep = col > 0};
            dot_multiply(&p);
        }
    }
}

static inline void ternary_matmul_t(const ternary_matrix *w, int64_t col_begin, int64_t col_end,
                                    const float *dy, int64_t lddy, int64_t tokens, float *dx,
                                    int64_t lddx, bool add) {
    _Alignas(64) float panel[TERNARY_BLOCK / STRIP][PANEL_DEPTH][STRIP];
    for (int64_t col = col_begin; col < col_end; col += TERNARY_BLOCK) {
        int64_t width = min_i64(TERNARY_BLOCK, col_end - col);
        for (int64_t row = 0; row < w->rows; row += PANEL_DEPTH) {
            int64_t rows = min_i64(PANEL_DEPTH, w->rows - row);
            for (int64_t r = 0; r < rows; r++)
                unpack_floats(codes_at(w, row + r, col), panel[0][r], PANEL_DEPTH * STRIP);
            panel_product p = {.a = dy + row,
                               .lda = lddy,
                               .rows = tokens,
                               .depth = rows,
                               .panel = panel[0][0],
                               .strip_step = PANEL_DEPTH * STRIP,
                               .width = width,
                               .alpha = w->scale,
                               .c = dx + col,
                               .ldc = lddx,
                               .keep = add || row > 0};
            panel_multiply(&p);
        }
    }
}

#endif
