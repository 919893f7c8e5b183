/* The ternary product with NEON's int8 matrix extension: an instruction multiplies two tokens by
 * two rows over eight columns, 32 multiply-adds. Both operands lie in pairs: eight columns of one
 * row (or token), then the same eight of the next. */
#if defined(__aarch64__)
#include "kernel/neon_ternary.h"

enum {
    GROUP = 8,      /* tokens paired at a time: 8 KiB */
    PAIR = 2 * SPAN /* bytes of a pair of rows or tokens */
};

/* Sixteen columns of a pair. */
ALWAYS_INLINE void store_pair(int8_t *out, int8x16_t a, int8x16_t b) {
    int64x2_t x = vreinterpretq_s64_s8(a), y = vreinterpretq_s64_s8(b);
    vst1q_s8(out, vreinterpretq_s8_s64(vzip1q_s64(x, y)));
    vst1q_s8(out + 16, vreinterpretq_s8_s64(vzip2q_s64(x, y)));
}

/* A missing row repeats the last: what comes of it is not stored. */
static void unpack_pairs(int_tile *tile, const ternary_matrix *w, int64_t row, int64_t col,
                         int64_t width) {
    for (int64_t r = 0; r < (int64_t)round_up((size_t)tile->rows, 8); r += 2) {
        const uint8_t *a = codes_at(w, row + min_i64(r, tile->rows - 1), col);
        const uint8_t *b = codes_at(w, row + min_i64(r + 1, tile->rows - 1), col);
        int8_t *out = tile->codes + r / 2 * PAIR;
        for (int64_t k = 0; k < width; k += TERNARY_BLOCK) {
            int8x16_t first[8], second[8];
            unpack_codes(a + k / 4, first);
            unpack_codes(b + k / 4, second);
            for (int i = 0; i < 8; i++) store_pair(out + 2 * k + 32 * i, first[i], second[i]);
        }
    }
}

/* A missing token repeats the last. */
static void pair_tokens(const int_tile *tile, int64_t token, int64_t pairs, int64_t col,
                        int64_t width, int8_t *out) {
    for (int64_t p = 0; p < pairs; p++, out += PAIR) {
        const int8_t *a = tile->q + (token + 2 * p) * tile->ldq + col;
        const int8_t *b = token + 2 * p + 1 < tile->tokens ? a + tile->ldq : a;
        for (int64_t k = 0; k < width; k += 16)
            store_pair(out + 2 * k, vld1q_s8(a + k), vld1q_s8(b + k));
    }
}

/* Eight rows from `row` by `pairs` (a constant, 1 to 4) pairs of tokens over one span. */
ALWAYS_INLINE void multiply_pairs(int_tile *tile, const int8_t *q, int64_t row, int64_t token,
                                  const int pairs, int64_t col, int64_t width, bool last) {
    int32x4_t sums[GROUP / 2][4];
    const int8_t *codes = tile->codes + row / 2 * PAIR;
    for (int t = 0; t < pairs; t++)
        for (int r = 0; r < 4; r++) sums[t][r] = vdupq_n_s32(0);
    for (int64_t k = 0; k < 2 * width; k += 16) {
        int8x16_t weight[4];
        for (int r = 0; r < 4; r++) weight[r] = vld1q_s8(codes + r * PAIR + k);
        for (int t = 0; t < pairs; t++) {
            int8x16_t x = vld1q_s8(q + t * PAIR + k);
            for (int r = 0; r < 4; r++) sums[t][r] = vmmlaq_s32(sums[t][r], x, weight[r]);
        }
    }
    for (int t = 0; t < pairs; t++) {
        int64_t first = token + 2 * t;
        for (int r = 0; r < 4; r += 2) { /* low halves: the first token; high: the second */
            int64x2_t a = vreinterpretq_s64_s32(sums[t][r]);
            int64x2_t b = vreinterpretq_s64_s32(sums[t][r + 1]);
            int32x4_t even = vreinterpretq_s32_s64(vzip1q_s64(a, b));
            int32x4_t odd = vreinterpretq_s32_s64(vzip2q_s64(a, b));
            finish_rows(tile, row + 2 * r, first, even, col, last);
            if (first + 1 < tile->tokens) finish_rows(tile, row + 2 * r, first + 1, odd, col, last);
        }
    }
}

ALWAYS_INLINE void multiply_group(int_tile *tile, int64_t token, const int pairs, int64_t col,
                                  int64_t width, bool last) {
    _Alignas(64) int8_t q[GROUP / 2 * PAIR];
    pair_tokens(tile, token, pairs, col, width, q);
    for (int64_t row = 0; row < tile->rows; row += 8)
        multiply_pairs(tile, q, row, token, pairs, col, width, last);
}

static void multiply(int_tile *tile, int64_t col, int64_t width, bool last) {
    int64_t token = 0;
    for (; token + GROUP <= tile->tokens; token += GROUP)
        multiply_group(tile, token, GROUP / 2, col, width, last);
    switch ((tile->tokens - token + 1) / 2) {
    case 4:
        multiply_group(tile, token, 4, col, width, last);
        break;
    case 3:
        multiply_group(tile, token, 3, col, width, last);
        break;
    case 2:
        multiply_group(tile, token, 2, col, width, last);
        break;
    case 1:
        multiply_group(tile, token, 1, col, width, last);
        break;
    default:
        break;
    }
}

static void ternary_matmul(const ternary_matrix *w, int64_t row_begin, int64_t row_end,
                           const int8_t *q, const float *scale, const int32_t *sum, int64_t tokens,
                           float *y, int64_t ldy) {
    if (tokens == 1) /* half of each instruction would be wasted */
        neon_dotprod_ternary_matmul(w, row_begin, row_end, q, scale, sum, tokens, y, ldy);
    else
        tiled_matmul(w, row_begin, row_end, q, scale, sum, tokens, y, ldy, unpack_pairs, multiply);
}

void kernels_init_neon_i8mm(kernels *k) {
    k->name = "neon+i8mm";
    k->ternary_matmul = ternary_matmul;
}
#endif
