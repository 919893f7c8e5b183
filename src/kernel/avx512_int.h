/* The integer product of BitLinear at 512 bits, for the levels without and with VNNI. The file that
 * includes it defines these first:
 *   multiply_add(sums, codes, q)   adds the products of unsigned codes and signed q, both bytes, to
 *                                  sums
 *   widen(sums)                    the sums of each four bytes in int32
 *   SPAN, ONE_SPAN                 columns that cannot overflow them, four and 32 at a time (as the
 *                                  products of many tokens and of one go); multiples of 128
 * Codes are 0, 1, 2: sum(code * q) = isum + sum(q), and sum(q) is known.
 *
 * Many tokens: a vector of codes holds four columns of 16 rows, and the same four columns of a
 * token's q are broadcast to it, so that sums are per row and nothing is added across lanes. */
#ifndef WEFT_KERNEL_AVX512_INT_H
#define WEFT_KERNEL_AVX512_INT_H

#include "kernel/avx512.h"
#include "kernel/prefetch.h"

enum {
    INT_VECTORS = 4, /* of rows unpacked at a time */
    INT_ROWS = 16 * INT_VECTORS,
    INT_STEP = 6,         /* tokens multiplied at once: 24 sums */
    INT_TOKENS = 132,     /* tokens that share the unpacked rows */
    INT_LINE = SPAN + 64, /* bytes between tokens of q in the tile: no two fall on one cache set */
    PAIRS = 4             /* one token: pairs of rows at once */
};

typedef struct int_tile {
    _Alignas(64) uint8_t codes[SPAN / 4][INT_ROWS][4];
    _Alignas(64) int8_t q[INT_STEP][INT_LINE];
    _Alignas(64) int32_t totals[INT_TOKENS][INT_ROWS]; /* of the spans before this one */
    float factors[INT_TOKENS];
    const int32_t *sum; /* of the first token */
    float *y;           /* of the first token and row */
    int64_t ldy, rows;  /* those below `rows` exist */
} int_tile;

/* Two blocks of codes side by side. */
ALWAYS_INLINE __m512i load_pair(const uint8_t *low, const uint8_t *high) {
    __m256i first = _mm256_loadu_si256((const __m256i *)low);
    __m256i second = _mm256_loadu_si256((const __m256i *)high);
    return _mm512_inserti64x4(_mm512_castsi256_si512(first), second, 1);
}

/* The codes of columns 32 i .. of each packed byte, i = 0..3. */
ALWAYS_INLINE __m512i codes_of(__m512i packed, int i) {
    return _mm512_and_si512(_mm512_srli_epi16(packed, (unsigned)(6 - 2 * i)), _mm512_set1_epi8(3));
}

/* Transposes the words of each quarter: word d of in[r] becomes word r of out[d]. */
ALWAYS_INLINE void transpose4(const __m512i in[4], __m512i out[4]) {
    __m512i a = _mm512_unpacklo_epi32(in[0], in[1]), b = _mm512_unpackhi_epi32(in[0], in[1]);
    __m512i c = _mm512_unpacklo_epi32(in[2], in[3]), d = _mm512_unpackhi_epi32(in[2], in[3]);
    out[0] = _mm512_unpacklo_epi64(a, c);
    out[1] = _mm512_unpackhi_epi64(a, c);
    out[2] = _mm512_unpacklo_epi64(b, d);
    out[3] = _mm512_unpackhi_epi64(b, d);
}

/* A block of 16 rows. A word of packed codes holds columns 4 d .. 4 d + 3 of each quarter of the
 * block, so words are transposed before they are unpacked. */
ALWAYS_INLINE void unpack_block(const uint8_t *const rows[16], int64_t offset, uint8_t *out) {
    __m512i in[4], low[4], high[4];
    for (int r = 0; r < 4; r++) in[r] = load_pair(rows[r] + offset, rows[r + 4] + offset);
    transpose4(in, low); /* quarters: words d of rows 0-3, d + 4 of these, then of rows 4-7 */
    for (int r = 0; r < 4; r++) in[r] = load_pair(rows[r + 8] + offset, rows[r + 12] + offset);
    transpose4(in, high);
    for (int d = 0; d < 8; d++) {
        const __m512i a = low[d % 4], b = high[d % 4];
        __m512i words = d < 4 ? _mm512_shuffle_i32x4(a, b, 0x88) : _mm512_shuffle_i32x4(a, b, 0xdd);
        for (int i = 0; i < 4; i++)
            _mm512_store_si512(out + (8 * i + d) * INT_ROWS * 4, codes_of(words, i));
    }
}

/* Rows that do not exist repeat the last. */
static inline void unpack_tile(int_tile *tile, const ternary_matrix *w, int64_t row, int64_t col,
                               int64_t width) {
    for (int64_t half = 0; half < INT_ROWS; half += 16) {
        const uint8_t *rows[16];
        for (int64_t r = 0; r < 16; r++)
            rows[r] = codes_at(w, row + min_i64(half + r, tile->rows - 1), col);
        for (int64_t r = 0; r < 16; r++) /* so short a piece of a row is not foreseen */
            for (int64_t k = 0; k < SPAN / 4; k += 64)
                _mm_prefetch(rows[r] + SPAN / 4 + k, _MM_HINT_T0);
        for (int64_t k = 0; k < width; k += TERNARY_BLOCK)
            unpack_block(rows, k / 4, tile->codes[k / 4][half]);
    }
}

ALWAYS_INLINE void store_rows(float *y, int64_t rows, __m512i total, int32_t sum, float factor) {
    __m512 value = _mm512_cvtepi32_ps(_mm512_sub_epi32(total, _mm512_set1_epi32(sum)));
    _mm512_mask_storeu_ps(y, lane_mask(rows), _mm512_mul_ps(value, _mm512_set1_ps(factor)));
}

/* A vector of sums for each token and vector of rows. */
typedef __m512i int_sums[INT_STEP][INT_VECTORS];

/* One span of all rows times `tokens` (a constant, at most INT_STEP) tokens. */
ALWAYS_INLINE void sum_span(const int_tile *tile, const int tokens, int64_t width, int_sums out) {
    const uint8_t *codes = tile->codes[0][0];
    const int8_t *q = tile->q[0];
    int_sums sums;
    UNROLL (t, tokens) {
        UNROLL (v, INT_VECTORS) sums[t][v] = _mm512_setzero_si512();
    }
    for (int64_t k = 0; k < width; k += 4, codes += 4 * INT_ROWS) {
        UNROLL (t, tokens) {
            int32_t four;
            memcpy(&four, q + t * INT_LINE + k, 4);
            __m512i x = _mm512_set1_epi32(four);
            UNROLL (v, INT_VECTORS)
                sums[t][v] = multiply_add(sums[t][v], _mm512_load_si512(codes + 64 * v), x);
        }
    }
    UNROLL (t, tokens) {
        UNROLL (v, INT_VECTORS) out[t][v] = widen(sums[t][v]);
    }
}

/* Each number of tokens in a function of its own: inlined together, gcc 12 keeps the sums in
 * memory. */
typedef void sum_function(const int_tile *tile, int64_t width, int_sums out);
NEVER_INLINE void sum_6(const int_tile *tile, int64_t width, int_sums out) {
    sum_span(tile, INT_STEP, width, out);
}
NEVER_INLINE void sum_4(const int_tile *tile, int64_t width, int_sums out) {
    sum_span(tile, 4, width, out);
}
NEVER_INLINE void sum_2(const int_tile *tile, int64_t width, int_sums out) {
    sum_span(tile, 2, width, out);
}
NEVER_INLINE void sum_1(const int_tile *tile, int64_t width, int_sums out) {
    sum_span(tile, 1, width, out);
}

/* Adds the sums of `tokens` tokens from `token` on to those of the spans before, or stores them. */
static inline void keep_sums(int_tile *tile, int64_t token, int64_t tokens, bool first, bool last,
                             int_sums sums) {
    for (int64_t t = 0; t < tokens; t++) {
        for (int v = 0; v < INT_VECTORS; v++) {
            int32_t *kept = tile->totals[token + t] + 16 * v;
            __m512i total = sums[t][v];
            if (!first) total = _mm512_add_epi32(total, _mm512_load_si512(kept));
            if (!last)
                _mm512_store_si512(kept, total);
            else
                store_rows(tile->y + (token + t) * tile->ldy + 16 * v, tile->rows - 16 * v, total,
                           tile->sum[token + t], tile->factors[token + t]);
        }
    }
}

/* q points at the first token's column of this span. */
static inline void multiply_tile(int_tile *tile, const int8_t *q, int64_t ldq, int64_t tokens,
                                 int64_t width, bool first, bool last) {
    int_sums sums;
    int64_t step;
    for (int64_t token = 0; token < tokens; token += step) {
        int64_t rest = tokens - token;
        step = rest >= INT_STEP ? INT_STEP : rest >= 4 ? 4 : rest >= 2 ? 2 : 1;
        sum_function *sum = step == INT_STEP ? sum_6
                            : step == 4      ? sum_4
                            : step == 2      ? sum_2
                                             : sum_1;
        for (int64_t t = 0; t < step; t++) memcpy(tile->q[t], q + (token + t) * ldq, (size_t)width);
        sum(tile, width, sums);
        keep_sums(tile, token, step, first, last, sums);
    }
}

/* Adds the two halves of four vectors: the eight rows' sums in order. */
ALWAYS_INLINE __m256i sum_pairs(const __m512i sums[PAIRS]) {
    __m128i totals[2];
    __m256i rows[2 * PAIRS];
    for (int p = 0; p < PAIRS; p++) {
        rows[2 * p] = _mm512_castsi512_si256(sums[p]);
        rows[2 * p + 1] = _mm512_extracti64x4_epi64(sums[p], 1);
    }
    for (int i = 0; i < 2; i++) {
        __m256i a = _mm256_hadd_epi32(rows[4 * i], rows[4 * i + 1]);
        __m256i s = _mm256_hadd_epi32(a, _mm256_hadd_epi32(rows[4 * i + 2], rows[4 * i + 3]));
        totals[i] = _mm_add_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1));
    }
    return _mm256_inserti128_si256(_mm256_castsi128_si256(totals[0]), totals[1], 1);
}

/* One token: pairs of rows straight from the packed codes. Missing rows repeat the last. */
static inline void one_token(const ternary_matrix *w, int64_t row_begin, int64_t row_end,
                             const int8_t *q, float factor, int32_t sum, float *y) {
    int64_t padded = ternary_padded(w->cols);
    for (int64_t row = row_begin; row < row_end; row += 2 * PAIRS) {
        const uint8_t *codes[2 * PAIRS];
        __m512i totals[PAIRS];
        for (int r = 0; r < 2 * PAIRS; r++)
            codes[r] = codes_at(w, min_i64(row + r, row_end - 1), 0);
        for (int p = 0; p < PAIRS; p++) totals[p] = _mm512_setzero_si512();
        for (int64_t begin = 0; begin < padded; begin += ONE_SPAN) {
            __m512i sums[PAIRS];
            int64_t end = min_i64(padded, begin + ONE_SPAN);
            for (int p = 0; p < PAIRS; p++) sums[p] = _mm512_setzero_si512();
            for (int64_t k = begin; k < end; k += TERNARY_BLOCK) {
                /* The rows lie one after another: so many bytes are used up a step. */
                prefetch(codes[0] + 2 * PAIRS * k / 4 + PREFETCH_AHEAD,
                         2 * PAIRS * TERNARY_BLOCK_BYTES);
                __m512i x[4];
                for (int i = 0; i < 4; i++)
                    x[i] = _mm512_broadcast_i64x4(
                        _mm256_loadu_si256((const __m256i *)(q + k + 32 * i)));
                for (int p = 0; p < PAIRS; p++) {
                    __m512i packed = load_pair(codes[2 * p] + k / 4, codes[2 * p + 1] + k / 4);
                    for (int i = 0; i < 4; i++)
                        sums[p] = multiply_add(sums[p], codes_of(packed, i), x[i]);
                }
            }
            for (int p = 0; p < PAIRS; p++) totals[p] = _mm512_add_epi32(totals[p], widen(sums[p]));
        }
        store_rows(y + row, min_i64(row_end - row, 2 * PAIRS),
                   _mm512_castsi256_si512(sum_pairs(totals)), sum, factor);
    }
}

static inline void int_matmul(const ternary_matrix *w, int64_t row_begin, int64_t row_end,
                              const int8_t *q, const float *scale, const int32_t *sum,
                              int64_t tokens, float *y, int64_t ldy) {
    int64_t padded = ternary_padded(w->cols);
    if (tokens == 1) {
        one_token(w, row_begin, row_end, q, w->scale / scale[0], sum[0], y);
        return;
    }
    int_tile tile;
    tile.ldy = ldy;
    for (int64_t token = 0; token < tokens; token += INT_TOKENS) {
        int64_t count = min_i64(INT_TOKENS, tokens - token);
        tile.sum = sum + token;
        for (int64_t t = 0; t < count; t++) tile.factors[t] = w->scale / scale[token + t];
        for (int64_t row = row_begin; row < row_end; row += INT_ROWS) {
            tile.y = y + token * ldy + row;
            tile.rows = min_i64(INT_ROWS, row_end - row);
            for (int64_t col = 0; col < padded; col += SPAN) {
                int64_t width = min_i64(SPAN, padded - col);
                unpack_tile(&tile, w, row, col, width);
                multiply_tile(&tile, q + token * padded + col, padded, count, width, col == 0,
                              col + width == padded);
            }
        }
    }
}

#endif
