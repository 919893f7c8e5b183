/* The 512-bit vector of AVX-512 in the terms of vec.h, and the entries of other files. Only
 * files compiled for AVX-512 F, BW, DQ and VL include it. */
#ifndef WEFT_KERNEL_AVX512_H
#define WEFT_KERNEL_AVX512_H

#include "kernel/simd.h"

#include <immintrin.h>

/* 24 sums, two vectors of B and one of A (or ten operands of dot products, some from memory) fill
 * the 32 registers. */
enum {
    LANES = 16,
    STRIP_VECTORS = 2,
    STRIP_ROWS = 12,
    DOT_ROWS4 = 6,
    DOT_ROWS3 = 8,
    DOT_ROWS2 = 8,
    DOT_ROWS1 = 12,
    DENSE_ROWS = 64,
    TOKEN_ROWS = 4
};

typedef __m512 vec;
typedef __m512d vec_double;
typedef __m128 vec_quad;

/* The first `count` lanes: all from LANES on, none up to 0. */
ALWAYS_INLINE __mmask16 lane_mask(int64_t count) {
    if (count >= LANES) return 0xffff;
    return count > 0 ? (__mmask16)((1u << count) - 1) : 0;
}

ALWAYS_INLINE vec vec_zero(void) {
    return _mm512_setzero_ps();
}
ALWAYS_INLINE vec vec_set(float x) {
    return _mm512_set1_ps(x);
}
ALWAYS_INLINE vec vec_load(const float *p) {
    return _mm512_loadu_ps(p);
}
ALWAYS_INLINE void vec_store(float *p, vec v) {
    _mm512_storeu_ps(p, v);
}
ALWAYS_INLINE vec vec_load_some(const float *p, int64_t count) {
    return _mm512_maskz_loadu_ps(lane_mask(count), p);
}
ALWAYS_INLINE void vec_store_some(float *p, int64_t count, vec v) {
    _mm512_mask_storeu_ps(p, lane_mask(count), v);
}
ALWAYS_INLINE vec vec_keep_some(vec v, int64_t count) {
    return _mm512_maskz_mov_ps(lane_mask(count), v);
}

ALWAYS_INLINE vec vec_fma(vec a, vec b, vec c) {
    return _mm512_fmadd_ps(a, b, c);
}
ALWAYS_INLINE vec vec_fnma(vec a, vec b, vec c) {
    return _mm512_fnmadd_ps(a, b, c);
}
ALWAYS_INLINE vec vec_min(vec a, vec b) {
    return _mm512_min_ps(a, b);
}
ALWAYS_INLINE vec vec_max(vec a, vec b) {
    return _mm512_max_ps(a, b);
}
ALWAYS_INLINE vec vec_round(vec v) {
    return _mm512_roundscale_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
ALWAYS_INLINE vec vec_sqrt(vec v) {
    return _mm512_sqrt_ps(v);
}
ALWAYS_INLINE vec vec_scale_exponent(vec v, vec n) {
    return _mm512_scalef_ps(v, n);
}
ALWAYS_INLINE vec vec_zero_below(vec v, vec x, vec bound) {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, bound, _CMP_NLT_UQ), v);
}

ALWAYS_INLINE __m256 fold_lanes(vec a) {
    return _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
}
ALWAYS_INLINE vec_quad vec_sum4(vec a, vec b, vec c, vec d) {
    __m256 ab = _mm256_hadd_ps(fold_lanes(a), fold_lanes(b));
    __m256 s = _mm256_hadd_ps(ab, _mm256_hadd_ps(fold_lanes(c), fold_lanes(d)));
    return _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
}
ALWAYS_INLINE float vec_highest(vec a) {
    return _mm512_reduce_max_ps(a);
}

/* Each quarter of four vectors: element q of v[r] becomes element r of v[q]. */
ALWAYS_INLINE void transpose_quarters(vec v[4]) {
    vec a = _mm512_unpacklo_ps(v[0], v[1]), b = _mm512_unpackhi_ps(v[0], v[1]);
    vec c = _mm512_unpacklo_ps(v[2], v[3]), d = _mm512_unpackhi_ps(v[2], v[3]);
    v[0] = _mm512_shuffle_ps(a, c, 0x44);
    v[1] = _mm512_shuffle_ps(a, c, 0xee);
    v[2] = _mm512_shuffle_ps(b, d, 0x44);
    v[3] = _mm512_shuffle_ps(b, d, 0xee);
}
ALWAYS_INLINE void vec_transpose(vec v[LANES]) {
    UNROLL (r, LANES / 4) transpose_quarters(v + 4 * r);
    UNROLL (r, 4) { /* the same with whole quarters */
        vec a = _mm512_shuffle_f32x4(v[r], v[r + 4], 0x44);
        vec b = _mm512_shuffle_f32x4(v[r], v[r + 4], 0xee);
        vec c = _mm512_shuffle_f32x4(v[r + 8], v[r + 12], 0x44);
        vec d = _mm512_shuffle_f32x4(v[r + 8], v[r + 12], 0xee);
        v[r] = _mm512_shuffle_f32x4(a, c, 0x88);
        v[r + 4] = _mm512_shuffle_f32x4(a, c, 0xdd);
        v[r + 8] = _mm512_shuffle_f32x4(b, d, 0x88);
        v[r + 12] = _mm512_shuffle_f32x4(b, d, 0xdd);
    }
}

ALWAYS_INLINE vec_double vec_double_zero(void) {
    return _mm512_setzero_pd();
}
ALWAYS_INLINE vec_double vec_low_double(vec v) {
    return _mm512_cvtps_pd(_mm512_castps512_ps256(v));
}
ALWAYS_INLINE vec_double vec_high_double(vec v) {
    return _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1));
}
ALWAYS_INLINE vec_double vec_double_fma(vec_double a, vec_double b, vec_double c) {
    return _mm512_fmadd_pd(a, b, c);
}
ALWAYS_INLINE double vec_double_sum(vec_double v) {
    return _mm512_reduce_add_pd(v);
}

ALWAYS_INLINE void vec_halves(const uint8_t *p, vec v[1]) {
    v[0] = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}
ALWAYS_INLINE void vec_brains(const uint8_t *p, vec v[1]) {
    __m512i words = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p));
    v[0] = _mm512_castsi512_ps(_mm512_slli_epi32(words, 16));
}
ALWAYS_INLINE void vec_bytes(const void *p, vec v[1]) {
    v[0] = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)));
}
ALWAYS_INLINE vec vec_set_half(const uint8_t *p) {
    int16_t half;
    memcpy(&half, p, sizeof half);
    return _mm512_cvtph_ps(_mm256_set1_epi16(half));
}

/* Bytes of codes as words: each holds four columns, 32 apart. */
ALWAYS_INLINE __m512i load_codes(const uint8_t *p) {
    return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p));
}
ALWAYS_INLINE void unpack_floats(const uint8_t *block, float *out, int64_t strip_step) {
    const vec values = _mm512_setr_ps(-1, 0, 1, 0, -1, 0, 1, 0, -1, 0, 1, 0, -1, 0, 1, 0);
    for (int half = 0; half < 2; half++) {
        __m512i packed = load_codes(block + 16 * half);
        for (int i = 0; i < 4; i++)
            _mm512_storeu_ps(
                out + i * strip_step + 16 * half,
                _mm512_permutevar_ps(values, _mm512_srli_epi32(packed, 6 - 2 * (unsigned)i)));
    }
}

void avx512_quantise_row(const float *x, int64_t n, int8_t *q, float *scale, int32_t *sum);
void avx512_dropout(const float *x, int64_t n, float p, uint64_t seed, uint64_t first, float *y,
                    bool add);
void avx512_ternary_matmul(const ternary_matrix *w, int64_t row_begin, int64_t row_end,
                           const int8_t *q, const float *scale, const int32_t *sum, int64_t tokens,
                           float *y, int64_t ldy);

#endif
