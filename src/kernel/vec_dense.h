/* Frozen dense matrices for any vector ISA (vec.h): a panel of rows is converted to float32 once
 * and used for every token. */
#ifndef WEFT_KERNEL_VEC_DENSE_H
#define WEFT_KERNEL_VEC_DENSE_H

#include "kernel/dense_span.h"
#include "kernel/vec_products.h"

enum {
    DENSE_ROWS = 12,  /* rows of the forward panel: 24 KiB at DOT_COLUMNS columns */
    DENSE_T_ROWS = 40 /* rows of the transposed product's panel: 40 KiB at DENSE_SPAN columns */
};

static inline void f16_span(const uint8_t *bytes, int64_t count, float *out) {
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        vec_store(out + i, vec_f16(bytes + 2 * i));
    }
    for (; i < count; i++) out[i] = f16_to_f32(u16_at(bytes + 2 * i));
}

static inline void bf16_span(const uint8_t *bytes, int64_t count, float *out) {
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        vec_store(out + i, vec_bf16(bytes + 2 * i));
    }
    for (; i < count; i++) out[i] = bf16_to_f32(u16_at(bytes + 2 * i));
}

/* As dense_span, for any number of values. */
static inline void convert(const dense_matrix *w, int64_t row, int64_t begin, int64_t count,
                           float *out) {
    const uint8_t *bytes = w->data + (size_t)row * w->row_bytes;
    if (w->type == DENSE_F16) {
        f16_span(bytes + 2 * begin, count, out);
    } else if (w->type == DENSE_BF16) {
        bf16_span(bytes + 2 * begin, count, out);
    } else {
        for (int64_t i = 0; i < count; i += DENSE_SPAN)
            dense_span(w, row, begin + i, min_i64(DENSE_SPAN, count - i), out + i);
    }
}

static inline void dense_row(const dense_matrix *w, int64_t row, float *out) {
    convert(w, row, 0, w->cols, out);
}

static inline void dense_matmul(const dense_matrix *w, int64_t row_begin, int64_t row_end,
                                const float *x, int64_t ldx, int64_t tokens, float *y,
                                int64_t ldy) {
    _Alignas(64) float panel[DENSE_ROWS * DOT_COLUMNS];
    for (int64_t row = row_begin; row < row_end; row += DENSE_ROWS) {
        int64_t rows = min_i64(DENSE_ROWS, row_end - row);
        for (int64_t col = 0; col < w->cols; col += DOT_COLUMNS) {
            int64_t width = min_i64(DOT_COLUMNS, w->cols - col);
            for (int64_t r = 0; r < rows; r++)
                convert(w, row + r, col, width, panel + r * DOT_COLUMNS);
            dot_product p = {.x = x + col,
                             .ldx = ldx,
                             .tokens = tokens,
                             .w = panel,
                             .ldw = DOT_COLUMNS,
                             .rows = rows,
                             .k = width,
                             .alpha = 1,
                             .y = y + row,
                             .ldy = ldy,
                             .keep = col > 0};
            dot_multiply(&p);
        }
    }
}

typedef float strip_panel[DENSE_SPAN / STRIP][DENSE_T_ROWS][STRIP];

/* Rows [row, row + rows), columns [col, col + width) in strips of 16 columns. */
static inline void convert_strips(const dense_matrix *w, int64_t row, int64_t rows, int64_t col,
                                  int64_t width, strip_panel panel) {
    _Alignas(64) float values[DENSE_SPAN] = {0};
    for (int64_t r = 0; r < rows; r++) {
        convert(w, row + r, col, width, values);
        for (int64_t k = 0; k < width; k += STRIP)
            memcpy(panel[k / STRIP][r], values + k, STRIP * sizeof(float));
    }
}

static inline void dense_matmul_t(const dense_matrix *w, int64_t token_begin, int64_t token_end,
                                  const float *dy, int64_t lddy, float *dx, int64_t lddx) {
    _Alignas(64) strip_panel panel;
    for (int64_t col = 0; col < w->cols; col += DENSE_SPAN) {
        int64_t width = min_i64(DENSE_SPAN, w->cols - col);
        for (int64_t row = 0; row < w->rows; row += DENSE_T_ROWS) {
            int64_t rows = min_i64(DENSE_T_ROWS, w->rows - row);
            convert_strips(w, row, rows, col, width, panel);
            panel_product p = {.a = dy + token_begin * lddy + row,
                               .lda = lddy,
                               .rows = token_end - token_begin,
                               .depth = rows,
                               .panel = panel[0][0],
                               .strip_step = DENSE_T_ROWS * STRIP,
                               .width = width,
                               .alpha = 1,
                               .c = dx + token_begin * lddx + col,
                               .ldc = lddx,
                               .keep = row > 0};
            panel_multiply(&p);
        }
    }
}

#endif
