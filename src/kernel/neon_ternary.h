/* What the integer products of the three NEON levels share. They multiply codes (0, 1, 2) by int8
 * activations: sum(code * q) = isum + sum(q), and sum(q) is known. A level brings its own step of
 * the inner loop; everything here is inlined into the file of the level. */
#ifndef WEFT_KERNEL_NEON_TERNARY_H
#define WEFT_KERNEL_NEON_TERNARY_H

#include "kernel/neon.h"
#include "kernel/vec.h"

enum {
    SPAN = 1024,      /* columns between widenings: see neon_ternary.c */
    TILE_ROWS = 24,   /* rows unpacked at a time: 24 KiB of codes */
    TILE_TOKENS = 128 /* tokens that share them */
};

/* y[0..rows-1] = (total - sum) * factor, at most four rows. */
ALWAYS_INLINE void store_rows(float *y, int64_t rows, int32x4_t total, int32_t sum, float factor) {
    float32x4_t value = vcvtq_f32_s32(vsubq_s32(total, vdupq_n_s32(sum)));
    store_lanes(y, rows, vmulq_n_f32(value, factor));
}

/* A tile of the product: TILE_ROWS rows from some row on, those below `rows` exist. */
typedef struct int_tile {
    _Alignas(64) int8_t codes[TILE_ROWS * SPAN];         /* in the order of the level */
    _Alignas(64) int32_t totals[TILE_TOKENS][TILE_ROWS]; /* of the spans before this one */
    float factors[TILE_TOKENS];
    const int8_t *q; /* of the first token */
    const int32_t *sum;
    float *y; /* of the first token and row */
    int64_t ldq, ldy, tokens, rows;
} int_tile;

/* Takes the sums of four rows over a span: y gets them after the last one. */
ALWAYS_INLINE void finish_rows(int_tile *tile, int64_t row, int64_t token, int32x4_t total,
                               int64_t col, bool last) {
    int32_t *kept = &tile->totals[token][row];
    if (col > 0) total = vaddq_s32(total, vld1q_s32(kept));
    if (!last)
        vst1q_s32(kept, total);
    else
        store_rows(tile->y + token * tile->ldy + row, tile->rows - row, total, tile->sum[token],
                   tile->factors[token]);
}

/* Fills codes with `width` columns from col of the rows from `row` on, zeros for missing ones. */
typedef void unpack_function(int_tile *tile, const ternary_matrix *w, int64_t row, int64_t col,
                             int64_t width);
/* Multiplies them by all tokens, and hands each sum to finish_rows. */
typedef void multiply_function(int_tile *tile, int64_t col, int64_t width, bool last);

ALWAYS_INLINE void tiled_matmul(const ternary_matrix *w, int64_t row_begin, int64_t row_end,
                                const int8_t *q, const float *scale, const int32_t *sum,
                                int64_t tokens, float *y, int64_t ldy, unpack_function *unpack,
                                multiply_function *multiply) {
    int64_t padded = ternary_padded(w->cols);
    int_tile tile;
    tile.ldq = padded;
    tile.ldy = ldy;
    for (int64_t token = 0; token < tokens; token += TILE_TOKENS) {
        tile.q = q + token * padded;
        tile.sum = sum + token;
        tile.tokens = min_i64(TILE_TOKENS, tokens - token);
        for (int64_t t = 0; t < tile.tokens; t++) tile.factors[t] = w->scale / scale[token + t];
        for (int64_t row = row_begin; row < row_end; row += TILE_ROWS) {
            tile.y = y + token * ldy + row;
            tile.rows = min_i64(TILE_ROWS, row_end - row);
            for (int64_t col = 0; col < padded; col += SPAN) {
                int64_t width = min_i64(SPAN, padded - col);
                unpack(&tile, w, row, col, width);
                multiply(&tile, col, width, col + width == padded);
            }
        }
    }
}

/* Adds 16 products to a vector of partial sums, whose lanes mean what the level likes ... */
typedef int32x4_t accumulate_function(int32x4_t sum, int8x16_t codes, int8x16_t q);
/* ... until this makes four 32-bit sums of them. */
typedef int32x4_t widen_function(int32x4_t sum);

ALWAYS_INLINE int32x4_t widen4(const int32x4_t sums[4], widen_function *widen) {
    return vpaddq_s32(vpaddq_s32(widen(sums[0]), widen(sums[1])),
                      vpaddq_s32(widen(sums[2]), widen(sums[3])));
}

/* One token: four rows at a time, straight from the packed codes, two chains a row. Missing rows
 * repeat the last. */
ALWAYS_INLINE void one_token(const ternary_matrix *w, int64_t row_begin, int64_t row_end,
                             const int8_t *q, float factor, int32_t sum, float *y,
                             accumulate_function *accumulate, widen_function *widen) {
    int64_t padded = ternary_padded(w->cols);
    for (int64_t row = row_begin; row < row_end; row += 4) {
        const uint8_t *codes[4];
        int32x4_t total = vdupq_n_s32(0);
        for (int r = 0; r < 4; r++) codes[r] = codes_at(w, min_i64(row + r, row_end - 1), 0);
        for (int64_t begin = 0; begin < padded; begin += SPAN) {
            int64_t end = min_i64(padded, begin + SPAN);
            int32x4_t sums[2][4];
            for (int i = 0; i < 8; i++) sums[i / 4][i % 4] = vdupq_n_s32(0);
            for (int64_t k = begin; k < end; k += TERNARY_BLOCK) {
                UNROLL (half, 2) {
                    int8x16_t x[4];
                    UNROLL (i, 4) x[i] = vld1q_s8(q + k + 32 * i + 16 * half);
                    UNROLL (r, 4) {
                        int8x16_t values[4];
                        unpack_half(codes[r] + k / 4, half, values);
                        UNROLL (i, 4) sums[half][r] = accumulate(sums[half][r], values[i], x[i]);
                    }
                }
            }
            for (int i = 0; i < 2; i++) total = vaddq_s32(total, widen4(sums[i], widen));
        }
        store_rows(y + row, row_end - row, total, sum, factor);
    }
}

/* The codes of each row side by side. */
static inline void unpack_rows(int_tile *tile, const ternary_matrix *w, int64_t row, int64_t col,
                               int64_t width) {
    for (int64_t r = 0; r < TILE_ROWS; r++) {
        int8_t *out = tile->codes + r * SPAN;
        if (r >= tile->rows) {
            memset(out, 0, (size_t)width);
            continue;
        }
        const uint8_t *packed = codes_at(w, row + r, col);
        for (int64_t k = 0; k < width; k += TERNARY_BLOCK) {
            int8x16_t values[8];
            unpack_codes(packed + k / 4, values);
            for (int i = 0; i < 8; i++) vst1q_s8(out + k + 16 * i, values[i]);
        }
    }
}

/* Four rows from `row` by `tokens` (a constant, 1 to 4) tokens over one span. */
ALWAYS_INLINE void multiply_span(int_tile *tile, int64_t row, int64_t token, const int tokens,
                                 int64_t col, int64_t width, bool last,
                                 accumulate_function *accumulate, widen_function *widen) {
    int32x4_t sums[4][4];
    const int8_t *codes = tile->codes + row * SPAN, *q = tile->q + token * tile->ldq + col;
    const int64_t ldq = tile->ldq;
    for (int t = 0; t < tokens; t++)
        for (int r = 0; r < 4; r++) sums[t][r] = vdupq_n_s32(0);
    for (int64_t k = 0; k < width; k += 16) {
        int8x16_t weight[4];
        for (int r = 0; r < 4; r++) weight[r] = vld1q_s8(codes + r * SPAN + k);
        for (int t = 0; t < tokens; t++) {
            int8x16_t x = vld1q_s8(q + t * ldq + k);
            for (int r = 0; r < 4; r++) {
                sums[t][r] = accumulate(sums[t][r], weight[r], x);
                HOLD(sums[t][r]);
            }
        }
    }
    for (int t = 0; t < tokens; t++)
        finish_rows(tile, row, token + t, widen4(sums[t], widen), col, last);
}

/* A multiply_function but for its last two arguments. */
ALWAYS_INLINE void multiply_rows(int_tile *tile, int64_t col, int64_t width, bool last,
                                 accumulate_function *accumulate, widen_function *widen) {
    int64_t token = 0;
    for (; token + 4 <= tile->tokens; token += 4)
        for (int64_t row = 0; row < tile->rows; row += 4)
            multiply_span(tile, row, token, 4, col, width, last, accumulate, widen);
    for (; token < tile->tokens; token++)
        for (int64_t row = 0; row < tile->rows; row += 4)
            multiply_span(tile, row, token, 1, col, width, last, accumulate, widen);
}

#endif
