/* The 256-bit vector of AVX2 in the terms of vec.h, and the entries of other files. Only files
 * compiled with -mavx2 -mfma -mf16c include it. */
#ifndef WEFT_KERNEL_AVX2_H
#define WEFT_KERNEL_AVX2_H

#include "kernel/simd.h"

#include <immintrin.h>

/* Tells the compiler that v may change here: it must then hold v in one register, instead of
 * loading a weight twice or rotating the sums through copies, which cost gcc 12 a quarter of the
 * speed. */
#define HOLD(v) __asm__("" : "+x"(v))

/* 12 sums, two vectors of B and one of A (or the operands of dot products) fill the 16 registers.
 */
enum {
    LANES = 8,
    STRIP_VECTORS = 2,
    STRIP_ROWS = 6,
    DOT_ROWS4 = 3,
    DOT_ROWS3 = 3,
    DOT_ROWS2 = 4,
    DOT_ROWS1 = 6,
    DENSE_ROWS = 64,
    TOKEN_ROWS = 4
};

typedef __m256 vec;
typedef __m256d vec_double;
typedef __m128 vec_quad;

/* The first `count` lanes: all from LANES on, none up to 0. */
ALWAYS_INLINE __m256i lane_mask(int64_t count) {
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)max_i64(min_i64(count, LANES), 0)), lanes);
}

ALWAYS_INLINE vec vec_zero(void) {
    return _mm256_setzero_ps();
}
ALWAYS_INLINE vec vec_set(float x) {
    return _mm256_set1_ps(x);
}
ALWAYS_INLINE vec vec_load(const float *p) {
    return _mm256_loadu_ps(p);
}
ALWAYS_INLINE void vec_store(float *p, vec v) {
    _mm256_storeu_ps(p, v);
}
ALWAYS_INLINE vec vec_load_some(const float *p, int64_t count) {
    return _mm256_maskload_ps(p, lane_mask(count));
}
ALWAYS_INLINE void vec_store_some(float *p, int64_t count, vec v) {
    _mm256_maskstore_ps(p, lane_mask(count), v);
}
ALWAYS_INLINE vec vec_keep_some(vec v, int64_t count) {
    return _mm256_and_ps(v, _mm256_castsi256_ps(lane_mask(count)));
}

ALWAYS_INLINE vec vec_fma(vec a, vec b, vec c) {
    return _mm256_fmadd_ps(a, b, c);
}
ALWAYS_INLINE vec vec_fnma(vec a, vec b, vec c) {
    return _mm256_fnmadd_ps(a, b, c);
}
ALWAYS_INLINE vec vec_min(vec a, vec b) {
    return _mm256_min_ps(a, b);
}
ALWAYS_INLINE vec vec_max(vec a, vec b) {
    return _mm256_max_ps(a, b);
}
ALWAYS_INLINE vec vec_round(vec v) {
    return _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
ALWAYS_INLINE vec vec_sqrt(vec v) {
    return _mm256_sqrt_ps(v);
}
ALWAYS_INLINE vec vec_scale_exponent(vec v, vec n) {
    __m256i exponent = _mm256_slli_epi32(_mm256_cvtps_epi32(n), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(v), exponent));
}
ALWAYS_INLINE vec vec_zero_below(vec v, vec x, vec bound) {
    return _mm256_andnot_ps(_mm256_cmp_ps(x, bound, _CMP_LT_OQ), v);
}

/* Each ((0+1)+(2+3)) + ((4+5)+(6+7)). */
ALWAYS_INLINE vec_quad vec_sum4(vec a, vec b, vec c, vec d) {
    vec s = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
    return _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
}
ALWAYS_INLINE float vec_highest(vec a) {
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

/* Each half of four vectors: element q of v[r] becomes element r of v[q]. */
ALWAYS_INLINE void transpose_halves(vec v[4]) {
    vec a = _mm256_unpacklo_ps(v[0], v[1]), b = _mm256_unpackhi_ps(v[0], v[1]);
    vec c = _mm256_unpacklo_ps(v[2], v[3]), d = _mm256_unpackhi_ps(v[2], v[3]);
    v[0] = _mm256_shuffle_ps(a, c, 0x44);
    v[1] = _mm256_shuffle_ps(a, c, 0xee);
    v[2] = _mm256_shuffle_ps(b, d, 0x44);
    v[3] = _mm256_shuffle_ps(b, d, 0xee);
}
ALWAYS_INLINE void vec_transpose(vec v[LANES]) {
    transpose_halves(v);
    transpose_halves(v + 4);
    UNROLL (r, 4) { /* the same with whole halves */
        vec low = v[r], high = v[r + 4];
        v[r] = _mm256_permute2f128_ps(low, high, 0x20);
        v[r + 4] = _mm256_permute2f128_ps(low, high, 0x31);
    }
}

ALWAYS_INLINE vec_double vec_double_zero(void) {
    return _mm256_setzero_pd();
}
ALWAYS_INLINE vec_double vec_low_double(vec v) {
    return _mm256_cvtps_pd(_mm256_castps256_ps128(v));
}
ALWAYS_INLINE vec_double vec_high_double(vec v) {
    return _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1));
}
ALWAYS_INLINE vec_double vec_double_fma(vec_double a, vec_double b, vec_double c) {
    return _mm256_fmadd_pd(a, b, c);
}
ALWAYS_INLINE double vec_double_sum(vec_double v) {
    __m128d s = _mm_add_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd(v, 1));
    return _mm_cvtsd_f64(_mm_add_sd(s, _mm_unpackhi_pd(s, s)));
}

ALWAYS_INLINE void vec_halves(const uint8_t *p, vec v[2]) {
    v[0] = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
    v[1] = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(p + 16)));
}
ALWAYS_INLINE void vec_brains(const uint8_t *p, vec v[2]) {
    UNROLL (i, 2) {
        __m256i words = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(p + 16 * i)));
        v[i] = _mm256_castsi256_ps(_mm256_slli_epi32(words, 16));
    }
}
ALWAYS_INLINE void vec_bytes(const void *p, vec v[2]) {
    const uint8_t *at = p;
    v[0] = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)at)));
    v[1] = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(at + 8))));
}
ALWAYS_INLINE vec vec_set_half(const uint8_t *p) {
    int16_t half;
    memcpy(&half, p, sizeof half);
    return _mm256_cvtph_ps(_mm_set1_epi16(half));
}

/* The four vectors of codes of a block, in the order of the columns. */
ALWAYS_INLINE void unpack_codes(const uint8_t *block, __m256i codes[4]) {
    const __m256i low = _mm256_set1_epi8(3);
    __m256i packed = _mm256_loadu_si256((const __m256i *)block);
    codes[0] = _mm256_and_si256(_mm256_srli_epi16(packed, 6), low);
    codes[1] = _mm256_and_si256(_mm256_srli_epi16(packed, 4), low);
    codes[2] = _mm256_and_si256(_mm256_srli_epi16(packed, 2), low);
    codes[3] = _mm256_and_si256(packed, low);
}
ALWAYS_INLINE void unpack_floats(const uint8_t *block, float *out, int64_t strip_step) {
    const __m256i one = _mm256_set1_epi8(1);
    __m256i codes[4];
    unpack_codes(block, codes);
    for (int i = 0; i < 4; i++) {
        __m256i values = _mm256_sub_epi8(codes[i], one);
        __m128i halves[2] = {_mm256_castsi256_si128(values), _mm256_extracti128_si256(values, 1)};
        for (int h = 0; h < 2; h++) {
            float *strip = out + (2 * i + h) * strip_step;
            __m256i low = _mm256_cvtepi8_epi32(halves[h]);
            __m256i high = _mm256_cvtepi8_epi32(_mm_unpackhi_epi64(halves[h], halves[h]));
            _mm256_store_ps(strip, _mm256_cvtepi32_ps(low));
            _mm256_store_ps(strip + 8, _mm256_cvtepi32_ps(high));
        }
    }
}

void avx2_quantise_row(const float *x, int64_t n, int8_t *q, float *scale, int32_t *sum);
void avx2_ternary_matmul(const ternary_matrix *w, int64_t row_begin, int64_t row_end,
                         const int8_t *q, const float *scale, const int32_t *sum, int64_t tokens,
                         float *y, int64_t ldy);

void avx2_ternary_unpack_rows(const ternary_matrix *w, int64_t row_begin, int64_t row_end,
                              int64_t col_begin, int64_t col_end, uint8_t *out);

void avx2_gradient_row(const float *x, int64_t n, int16_t *q, float *scale);
void avx2_ternary_matmul_t_i16(const ternary_matrix *w, int64_t col_begin, int64_t col_end,
                               const int16_t *q, const float *scale, int64_t tokens, float *dx,
                               int64_t lddx, bool add);

#endif
