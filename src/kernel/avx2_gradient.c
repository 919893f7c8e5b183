/* The transposed ternary product on 16-bit gradients in AVX2: madd_epi16 adds two rows at once, so
 * weights lie in pairs of rows, (T[j][k], T[j + 1][k]), and a gradient is broadcast as a pair. */
#if defined(__x86_64__)
#include "kernel/avx2.h"
#include "kernel/vec.h"

enum {
    TILE_ROWS = 6,                   /* tokens: 12 sums fill the registers */
    PANEL_TOKENS = 66,               /* whose gradients are copied side by side: 16 KiB */
    PANEL_ROWS = 128,                /* rows of the matrix unpacked at a time: 32 KiB */
    STRIP_INTS = PANEL_ROWS / 2 * 16 /* pairs of 16 columns */
};

typedef struct gradient_panel {
    _Alignas(64) int32_t weights[TERNARY_BLOCK / 16][STRIP_INTS]; /* pairs of int16 */
    _Alignas(64) int16_t q[PANEL_TOKENS][PANEL_ROWS];
    _Alignas(64) int32_t sums[PANEL_TOKENS][TERNARY_BLOCK]; /* of the rows before this panel */
    int64_t tokens, pairs;
    bool keep;
} gradient_panel;

void avx2_gradient_row(const float *x, int64_t n, int16_t *q, float *scale) {
    const __m256 magnitude = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
    __m256 highest = _mm256_set1_ps(GRADIENT_LEAST), poison = _mm256_setzero_ps();
    for (int64_t i = 0; i < n; i += 8) {
        __m256 v = load_lanes(x + i, n - i);
        highest = _mm256_max_ps(_mm256_and_ps(v, magnitude), highest); /* a NaN v is skipped */
        poison = _mm256_fmadd_ps(v, _mm256_setzero_ps(), poison);
    }
    float s = (float)GRADIENT_MOST / vec_highest(highest) + vec_sum(poison);
    const __m256 least = _mm256_set1_ps(-GRADIENT_MOST), most = _mm256_set1_ps(GRADIENT_MOST);
    memset(q + n, 0, (size_t)(gradient_padded(n) - n) * sizeof *q);
    for (int64_t i = 0; i < n; i += 8) {
        __m256 v = _mm256_mul_ps(load_lanes(x + i, n - i), _mm256_set1_ps(s));
        v = _mm256_min_ps(_mm256_max_ps(v, least), most); /* NaN becomes the least */
        __m256i rounded = _mm256_cvtps_epi32(v);
        if (n - i < 8) rounded = _mm256_and_si256(rounded, lane_mask(n - i)); /* 0 * NaN */
        __m128i low = _mm256_castsi256_si128(rounded);
        _mm_storeu_si128((__m128i *)(q + i), /* within the padding */
                         _mm_packs_epi32(low, _mm256_extracti128_si256(rounded, 1)));
    }
    *scale = s;
}

ALWAYS_INLINE void unpack_values(const uint8_t *block, __m256i values[4]) {
    const __m256i low = _mm256_set1_epi8(3), one = _mm256_set1_epi8(1);
    __m256i packed = _mm256_loadu_si256((const __m256i *)block);
    values[0] = _mm256_sub_epi8(_mm256_and_si256(_mm256_srli_epi16(packed, 6), low), one);
    values[1] = _mm256_sub_epi8(_mm256_and_si256(_mm256_srli_epi16(packed, 4), low), one);
    values[2] = _mm256_sub_epi8(_mm256_and_si256(_mm256_srli_epi16(packed, 2), low), one);
    values[3] = _mm256_sub_epi8(_mm256_and_si256(packed, low), one);
}

/* Two rows of a block (second NULL: zeros) as pair `pair` of the strips. */
ALWAYS_INLINE void unpack_pair(gradient_panel *panel, int64_t pair, const uint8_t *first,
                               const uint8_t *second) {
    __m256i a[4], b[4] = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(),
                          _mm256_setzero_si256()};
    unpack_values(first, a);
    if (second) unpack_values(second, b);
    for (int i = 0; i < 4; i++) {
        __m256i low = _mm256_unpacklo_epi8(a[i], b[i]), high = _mm256_unpackhi_epi8(a[i], b[i]);
        __m128i parts[4] = {_mm256_castsi256_si128(low), _mm256_castsi256_si128(high),
                            _mm256_extracti128_si256(low, 1), _mm256_extracti128_si256(high, 1)};
        for (int j = 0; j < 4; j++) {
            int32_t *out = panel->weights[2 * i + j / 2] + pair * 16 + j % 2 * 8;
            _mm256_store_si256((__m256i *)out, _mm256_cvtepi8_epi16(parts[j]));
        }
    }
}

static void unpack_panel(gradient_panel *panel, const ternary_matrix *w, int64_t row, int64_t col) {
    size_t row_bytes = ternary_row_bytes(w->cols);
    const uint8_t *block = w->codes + (size_t)row * row_bytes + (size_t)col / 4;
    int64_t rows = min_i64(PANEL_ROWS, w->rows - row);
    panel->pairs = (rows + 1) / 2;
    for (int64_t p = 0; p < panel->pairs; p++, block += 2 * row_bytes)
        unpack_pair(panel, p, block, 2 * p + 1 < rows ? block + row_bytes : NULL);
}

/* `tokens` (a constant after inlining) tokens from `token` by the 16 columns of a strip. */
ALWAYS_INLINE void multiply_strip(gradient_panel *panel, int strip, int64_t token,
                                  const int tokens) {
    __m256i sums[TILE_ROWS][2];
    const int32_t *weights = panel->weights[strip];
    const int16_t *q = panel->q[token];
    for (int t = 0; t < tokens; t++) sums[t][0] = sums[t][1] = _mm256_setzero_si256();
    for (int64_t p = 0; p < panel->pairs; p++, weights += 16, q += 2) {
        __m256i w0 = _mm256_load_si256((const __m256i *)weights);
        __m256i w1 = _mm256_load_si256((const __m256i *)(weights + 8));
        for (int t = 0; t < tokens; t++) {
            int32_t pair;
            memcpy(&pair, q + t * PANEL_ROWS, sizeof pair);
            __m256i value = _mm256_set1_epi32(pair);
            sums[t][0] = _mm256_add_epi32(sums[t][0], _mm256_madd_epi16(w0, value));
            sums[t][1] = _mm256_add_epi32(sums[t][1], _mm256_madd_epi16(w1, value));
        }
    }
    for (int t = 0; t < tokens; t++) {
        for (int h = 0; h < 2; h++) {
            __m256i *kept = (__m256i *)(panel->sums[token + t] + 16 * strip + 8 * h);
            if (panel->keep) sums[t][h] = _mm256_add_epi32(sums[t][h], _mm256_load_si256(kept));
            _mm256_store_si256(kept, sums[t][h]);
        }
    }
}

static void multiply_panel(gradient_panel *panel, int strips) {
    for (int strip = 0; strip < strips; strip++) {
        int64_t token = 0;
        for (; token + TILE_ROWS <= panel->tokens; token += TILE_ROWS)
            multiply_strip(panel, strip, token, TILE_ROWS);
        for (; token + 2 <= panel->tokens; token += 2) multiply_strip(panel, strip, token, 2);
        if (token < panel->tokens) multiply_strip(panel, strip, token, 1);
    }
}

static void store_sums(const int32_t *sums, int64_t width, float factor, float *out, bool add) {
    __m256 gain = _mm256_set1_ps(factor);
    for (int64_t c = 0; c < width; c += 8) {
        __m256i sum = _mm256_load_si256((const __m256i *)(sums + c));
        __m256 value = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), gain);
        if (add) value = _mm256_add_ps(load_lanes(out + c, width - c), value);
        store_lanes(out + c, width - c, value);
    }
}

void avx2_ternary_matmul_t_i16(const ternary_matrix *w, int64_t col_begin, int64_t col_end,
                               const int16_t *q, const float *scale, int64_t tokens, float *dx,
                               int64_t lddx, bool add) {
    gradient_panel panel;
    int64_t ldq = gradient_padded(w->rows);
    for (int64_t first = 0; first < tokens; first += PANEL_TOKENS) {
        panel.tokens = min_i64(PANEL_TOKENS, tokens - first);
        for (int64_t col = col_begin; col < col_end; col += TERNARY_BLOCK) {
            int64_t width = min_i64(TERNARY_BLOCK, col_end - col);
            for (int64_t row = 0; row < w->rows; row += PANEL_ROWS) {
                unpack_panel(&panel, w, row, col);
                for (int64_t t = 0; t < panel.tokens; t++)
                    memcpy(panel.q[t], q + (first + t) * ldq + row,
                           (size_t)panel.pairs * 2 * sizeof *q);
                panel.keep = row > 0;
                multiply_panel(&panel, (int)((width + 15) / 16));
            }
            for (int64_t t = 0; t < panel.tokens; t++)
                store_sums(panel.sums[t], width, w->scale / scale[first + t],
                           dx + (first + t) * lddx + col, add);
        }
    }
}
#endif
