/* BitLinear on integers in AVX2. The product multiplies codes (0, 1, 2) by int8 activations with
 * maddubs: sum(code * q) = isum + sum(q), and sum(q) is known. Its 16-bit sums hold 64 products of
 * pairs (each within -512 .. 508), so every SPAN_MAX columns they are widened to 32 bits. */
#if defined(__x86_64__)
#include "kernel/avx2.h"
#include "kernel/prefetch.h"
#include "kernel/vec.h"

enum {
    SPAN_MAX = 2048,  /* columns between widenings: 64 vectors of 32 */
    SPAN = 1536,      /* of a tile, */
    TILE_ROWS = 8,    /* and the rows unpacked at a time: 12 KiB of codes, which stay in L1 */
    TILE_TOKENS = 128 /* tokens that share them */
};

void avx2_quantise_row(const float *x, int64_t n, int8_t *q, float *scale, int32_t *sum) {
    const __m256 magnitude = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
    __m256 highest = _mm256_set1_ps(1e-5f), poison = _mm256_setzero_ps();
    for (int64_t i = 0; i < n; i += 8) {
        __m256 v = load_lanes(x + i, n - i);
        highest = _mm256_max_ps(_mm256_and_ps(v, magnitude), highest); /* a NaN v is skipped */
        poison = _mm256_fmadd_ps(v, _mm256_setzero_ps(), poison);
    }
    float s = 127.0f / vec_highest(highest) + vec_sum(poison);
    const __m256 lowest = _mm256_set1_ps(-128); /* of NaN too */
    __m256i total = _mm256_setzero_si256();
    memset(q + n, 0, (size_t)(ternary_padded(n) - n));
    for (int64_t i = 0; i < n; i += 8) {
        __m256 v = _mm256_mul_ps(load_lanes(x + i, n - i), _mm256_set1_ps(s));
        __m256i rounded = _mm256_cvtps_epi32(_mm256_max_ps(v, lowest));
        if (n - i < 8) rounded = _mm256_and_si256(rounded, lane_mask(n - i)); /* 0 * NaN */
        __m128i low = _mm256_castsi256_si128(rounded);
        __m128i words = _mm_packs_epi32(low, _mm256_extracti128_si256(rounded, 1));
        _mm_storel_epi64((__m128i *)(q + i),
                         _mm_packs_epi16(words, words)); /* within the padding */
        total = _mm256_add_epi32(total, rounded);
    }
    __m128i half = _mm_add_epi32(_mm256_castsi256_si128(total), _mm256_extracti128_si256(total, 1));
    half = _mm_hadd_epi32(half, half);
    *sum = _mm_cvtsi128_si32(_mm_hadd_epi32(half, half));
    *scale = s;
}

/* The sums of the lanes of four rows' 16-bit sums. */
ALWAYS_INLINE __m128i widen4(const __m256i sums[4]) {
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i a =
        _mm256_hadd_epi32(_mm256_madd_epi16(sums[0], ones), _mm256_madd_epi16(sums[1], ones));
    __m256i b =
        _mm256_hadd_epi32(_mm256_madd_epi16(sums[2], ones), _mm256_madd_epi16(sums[3], ones));
    __m256i s = _mm256_hadd_epi32(a, b);
    return _mm_add_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1));
}

/* y[0..rows-1] = (total - sum) * factor, rows <= 4. */
ALWAYS_INLINE void store_rows(float *y, int64_t rows, __m128i total, int32_t sum, float factor) {
    __m128 value = _mm_cvtepi32_ps(_mm_sub_epi32(total, _mm_set1_epi32(sum)));
    value = _mm_mul_ps(value, _mm_set1_ps(factor));
    if (rows >= 4) {
        _mm_storeu_ps(y, value);
    } else {
        __m128i lanes = _mm_setr_epi32(0, 1, 2, 3);
        _mm_maskstore_ps(y, _mm_cmpgt_epi32(_mm_set1_epi32((int)rows), lanes), value);
    }
}

/* One token: four rows at a time, straight from the packed codes. Missing rows repeat the last. */
static void one_token(const ternary_matrix *w, int64_t row_begin, int64_t row_end, const int8_t *q,
                      float factor, int32_t sum, float *y) {
    int64_t padded = ternary_padded(w->cols);
    for (int64_t row = row_begin; row < row_end; row += 4) {
        const uint8_t *codes[4];
        __m128i total = _mm_setzero_si128();
        for (int r = 0; r < 4; r++) codes[r] = codes_at(w, min_i64(row + r, row_end - 1), 0);
        for (int64_t begin = 0; begin < padded; begin += SPAN_MAX) {
            int64_t end = min_i64(padded, begin + SPAN_MAX);
            __m256i sums[4] = {_mm256_setzero_si256(), _mm256_setzero_si256(),
                               _mm256_setzero_si256(), _mm256_setzero_si256()};
            for (int64_t k = begin; k < end; k += TERNARY_BLOCK) {
                /* Four rows in a row in memory: 128 bytes are used up a step. */
                prefetch(codes[0] + k + PREFETCH_AHEAD, 4 * TERNARY_BLOCK_BYTES);
                for (int r = 0; r < 4; r++) {
                    __m256i values[4];
                    unpack_codes(codes[r] + k / 4, values);
                    for (int i = 0; i < 4; i++) {
                        __m256i x = _mm256_loadu_si256((const __m256i *)(q + k + 32 * i));
                        sums[r] = _mm256_add_epi16(sums[r], _mm256_maddubs_epi16(values[i], x));
                    }
                }
            }
            total = _mm_add_epi32(total, widen4(sums));
        }
        store_rows(y + row, row_end - row, total, sum, factor);
    }
}

/* A tile of the product with many tokens: TILE_ROWS rows from `row` (those below `rows` exist). */
typedef struct int_tile {
    _Alignas(64) uint8_t codes[TILE_ROWS][SPAN];
    _Alignas(64) int32_t totals[TILE_TOKENS][TILE_ROWS]; /* of the spans before this one */
    float factors[TILE_TOKENS];
    const int8_t *q; /* of the first token */
    const int32_t *sum;
    float *y; /* of the first token and row */
    int64_t ldq, ldy, tokens, rows;
} int_tile;

static void unpack_tile(int_tile *tile, const ternary_matrix *w, int64_t row, int64_t col,
                        int64_t width) {
    for (int64_t r = 0; r < TILE_ROWS; r++) {
        if (r >= tile->rows) {
            memset(tile->codes[r], 0, (size_t)width);
            continue;
        }
        const uint8_t *packed = codes_at(w, row + r, col);
        for (int64_t k = 0; k < width; k += TERNARY_BLOCK) {
            __m256i values[4];
            unpack_codes(packed + k / 4, values);
            for (int i = 0; i < 4; i++)
                _mm256_store_si256((__m256i *)(tile->codes[r] + k + 32 * i), values[i]);
        }
    }
}

/* Four rows from `row` by `tokens` (1 or 2) tokens over one span. */
ALWAYS_INLINE void multiply_span(int_tile *tile, int64_t row, int64_t token, const int tokens,
                                 int64_t col, int64_t width, bool last) {
    __m256i sums[2][4];
    const uint8_t *codes = tile->codes[row];
    const int8_t *q = tile->q + token * tile->ldq + col;
    const int64_t ldq = tile->ldq;
    for (int t = 0; t < tokens; t++)
        for (int r = 0; r < 4; r++) sums[t][r] = _mm256_setzero_si256();
    _Pragma("GCC unroll 4") for (int64_t k = 0; k < width; k += 32) {
        __m256i weight[4];
        for (int r = 0; r < 4; r++) {
            weight[r] = _mm256_load_si256((const __m256i *)(codes + r * SPAN + k));
            HOLD(weight[r]);
        }
        for (int t = 0; t < tokens; t++) {
            __m256i x = _mm256_loadu_si256((const __m256i *)(q + t * ldq + k));
            for (int r = 0; r < 4; r++) {
                sums[t][r] = _mm256_add_epi16(sums[t][r], _mm256_maddubs_epi16(weight[r], x));
                HOLD(sums[t][r]);
            }
        }
    }
    for (int t = 0; t < tokens; t++) {
        __m128i *kept = (__m128i *)&tile->totals[token + t][row];
        __m128i total = widen4(sums[t]);
        if (col > 0) total = _mm_add_epi32(total, _mm_load_si128(kept));
        if (!last)
            _mm_store_si128(kept, total);
        else
            store_rows(tile->y + (token + t) * tile->ldy + row, tile->rows - row, total,
                       tile->sum[token + t], tile->factors[token + t]);
    }
}

static void multiply_tile(int_tile *tile, int64_t col, int64_t width, bool last) {
    int64_t token = 0;
    for (; token + 2 <= tile->tokens; token += 2)
        for (int64_t row = 0; row < tile->rows; row += 4)
            multiply_span(tile, row, token, 2, col, width, last);
    if (token < tile->tokens)
        for (int64_t row = 0; row < tile->rows; row += 4)
            multiply_span(tile, row, token, 1, col, width, last);
}

/* Columns of the spans that a row is cut into, about the same for all. */
static int64_t even_span(int64_t padded) {
    int64_t spans = (padded - 1) / SPAN + 1, blocks = padded / TERNARY_BLOCK;
    return ((blocks - 1) / spans + 1) * TERNARY_BLOCK;
}

void avx2_ternary_matmul(const ternary_matrix *w, int64_t row_begin, int64_t row_end,
                         const int8_t *q, const float *scale, const int32_t *sum, int64_t tokens,
                         float *y, int64_t ldy) {
    int64_t padded = ternary_padded(w->cols);
    if (tokens == 1) {
        one_token(w, row_begin, row_end, q, w->scale / scale[0], sum[0], y);
        return;
    }
    int_tile tile;
    int64_t span = even_span(padded);
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
            for (int64_t col = 0; col < padded; col += span) {
                int64_t width = min_i64(span, padded - col);
                unpack_tile(&tile, w, row, col, width);
                multiply_tile(&tile, col, width, col + width == padded);
            }
        }
    }
}
#endif
