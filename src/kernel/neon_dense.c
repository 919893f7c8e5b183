/* Frozen dense matrices in NEON: a panel of rows is converted to float32 once and used for every
 * token. */
#if defined(__aarch64__)
#include "kernel/neon.h"

#include "kernel/dense_span.h"

enum {
    DOT_ROWS = 12, /* rows of the forward panel: 12 KiB at DOT_COLUMNS columns */
    T_ROWS = 40    /* rows of the transposed product's panel: 40 KiB at DENSE_SPAN columns */
};

static void f16_span(const uint8_t *bytes, int64_t count, float *out) {
    int64_t i = 0;
    for (; i + 8 <= count; i += 8) {
        float16x8_t halves = vreinterpretq_f16_u8(vld1q_u8(bytes + 2 * i));
        vst1q_f32(out + i, vcvt_f32_f16(vget_low_f16(halves)));
        vst1q_f32(out + i + 4, vcvt_high_f32_f16(halves));
    }
    for (; i < count; i++) out[i] = f16_to_f32(u16_at(bytes + 2 * i));
}

static void bf16_span(const uint8_t *bytes, int64_t count, float *out) {
    int64_t i = 0;
    for (; i + 8 <= count; i += 8) {
        uint16x8_t words = vreinterpretq_u16_u8(vld1q_u8(bytes + 2 * i));
        vst1q_f32(out + i, vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(words), 16)));
        vst1q_f32(out + i + 4, vreinterpretq_f32_u32(vshll_high_n_u16(words, 16)));
    }
    for (; i < count; i++) out[i] = bf16_to_f32(u16_at(bytes + 2 * i));
}

/* As dense_span, for any number of values. */
static void convert(const dense_matrix *w, int64_t row, int64_t begin, int64_t count, float *out) {
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

void neon_dense_row(const dense_matrix *w, int64_t row, float *out) {
    convert(w, row, 0, w->cols, out);
}

void neon_dense_matmul(const dense_matrix *w, int64_t row_begin, int64_t row_end, const float *x,
                       int64_t ldx, int64_t tokens, float *y, int64_t ldy) {
    _Alignas(64) float panel[DOT_ROWS * DOT_COLUMNS];
    for (int64_t row = row_begin; row < row_end; row += DOT_ROWS) {
        int64_t rows = min_i64(DOT_ROWS, row_end - row);
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
            neon_dot_product(&p);
        }
    }
}

typedef float strip_panel[DENSE_SPAN / STRIP][T_ROWS][STRIP];

/* Rows [row, row + rows), columns [col, col + width) in strips of 16 columns. */
static void convert_strips(const dense_matrix *w, int64_t row, int64_t rows, int64_t col,
                           int64_t width, strip_panel panel) {
    _Alignas(64) float values[DENSE_SPAN] = {0};
    for (int64_t r = 0; r < rows; r++) {
        convert(w, row + r, col, width, values);
        for (int64_t k = 0; k < width; k += STRIP)
            memcpy(panel[k / STRIP][r], values + k, STRIP * sizeof(float));
    }
}

void neon_dense_matmul_t(const dense_matrix *w, int64_t token_begin, int64_t token_end,
                         const float *dy, int64_t lddy, float *dx, int64_t lddx) {
    _Alignas(64) strip_panel panel;
    for (int64_t col = 0; col < w->cols; col += DENSE_SPAN) {
        int64_t width = min_i64(DENSE_SPAN, w->cols - col);
        for (int64_t row = 0; row < w->rows; row += T_ROWS) {
            int64_t rows = min_i64(T_ROWS, w->rows - row);
            convert_strips(w, row, rows, col, width, panel);
            panel_product p = {.a = dy + token_begin * lddy + row,
                               .lda = lddy,
                               .rows = token_end - token_begin,
                               .depth = rows,
                               .panel = panel[0][0],
                               .strip_step = T_ROWS * STRIP,
                               .width = width,
                               .alpha = 1,
                               .c = dx + token_begin * lddx + col,
                               .ldc = lddx,
                               .keep = row > 0};
            neon_panel_product(&p);
        }
    }
}
#endif
