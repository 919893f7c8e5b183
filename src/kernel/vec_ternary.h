/* BitLinear in float32 for any vector ISA (vec.h): a tile of weights is unpacked once and used for
 * every token. */
#ifndef WEFT_KERNEL_VEC_TERNARY_H
#define WEFT_KERNEL_VEC_TERNARY_H

#include "kernel/vec_products.h"

enum {
    TERNARY_ROWS = 12 /* rows of a tile: 24 KiB at DOT_COLUMNS columns */
};

static inline const uint8_t *codes_at(const ternary_matrix *w, int64_t row, int64_t col) {
    return w->codes + (size_t)row * ternary_row_bytes(w->cols) + (size_t)col / 4;
}

/* The 128 values of a block as float32. */
ALWAYS_INLINE void unpack_floats(const uint8_t *block, float *out) {
    for (int p = 0; p < TERNARY_BLOCK_BYTES; p += LANES) {
        vec_int packed = vec_bytes(block + p);
        for (int i = 0; i < 4; i++) vec_store(out + 32 * i + p, vec_ternary(packed, 6 - 2 * i));
    }
}

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
                    unpack_floats(codes_at(w, row + r, col + k), panel + r * DOT_COLUMNS + k);
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

#endif
