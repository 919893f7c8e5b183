/* Quantising and dropout in AVX-512: exact, so every step is that of ref.c. */
#if defined(__x86_64__)
#include "kernel/avx512.h"

#include "kernel/ref.h"
#include "kernel/vec.h"

void avx512_quantise_row(const float *x, int64_t n, int8_t *q, float *scale, int32_t *sum) {
    __m512 highest = _mm512_set1_ps(1e-5f), poison = _mm512_setzero_ps();
    for (int64_t i = 0; i < n; i += LANES) {
        __m512 v = vec_load_some(x + i, n - i);
        highest = _mm512_max_ps(_mm512_abs_ps(v), highest); /* a NaN v is skipped */
        poison = _mm512_fmadd_ps(v, _mm512_setzero_ps(), poison);
    }
    float s = 127.0f / vec_highest(highest) + vec_sum(poison);
    const __m512 lowest = _mm512_set1_ps(-128); /* of NaN too */
    __m512i total = _mm512_setzero_si512();
    memset(q + n, 0, (size_t)(ternary_padded(n) - n));
    for (int64_t i = 0; i < n; i += LANES) {
        __m512 v = _mm512_mul_ps(vec_load_some(x + i, n - i), _mm512_set1_ps(s));
        __m512i rounded = _mm512_cvtps_epi32(_mm512_max_ps(v, lowest));
        rounded = _mm512_maskz_mov_epi32(lane_mask(n - i), rounded);         /* 0 * NaN */
        _mm_storeu_si128((__m128i *)(q + i), _mm512_cvtepi32_epi8(rounded)); /* in the padding */
        total = _mm512_add_epi32(total, rounded);
    }
    *sum = _mm512_reduce_add_epi32(total);
    *scale = s;
}

/* rng_uniform of eight streams' positions: the finaliser of rng_at. */
ALWAYS_INLINE __m256 uniform8(__m512i z) {
    z = _mm512_xor_si512(z, _mm512_srli_epi64(z, 30));
    z = _mm512_mullo_epi64(z, _mm512_set1_epi64((int64_t)0xbf58476d1ce4e5b9u));
    z = _mm512_xor_si512(z, _mm512_srli_epi64(z, 27));
    z = _mm512_mullo_epi64(z, _mm512_set1_epi64((int64_t)0x94d049bb133111ebu));
    z = _mm512_xor_si512(z, _mm512_srli_epi64(z, 31));
    __m256 bits = _mm512_cvtepi64_ps(_mm512_srli_epi64(z, 40));
    return _mm256_mul_ps(bits, _mm256_set1_ps(0x1p-24f));
}

void avx512_dropout(const float *x, int64_t n, float p, uint64_t seed, uint64_t first, float *y,
                    bool add) {
    const uint64_t step = 0xd1342543de82ef95u;
    const __m512i lanes = _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7);
    const __m512i steps = _mm512_set1_epi64((int64_t)(8 * step));
    __m512i z = _mm512_mullo_epi64(lanes, _mm512_set1_epi64((int64_t)step));
    z = _mm512_add_epi64(
        z, _mm512_set1_epi64((int64_t)(seed * 0x9e3779b97f4a7c15u + (first + 1) * step)));
    const __m256 least = _mm256_set1_ps(p), gain = _mm256_set1_ps(1.0f / (1.0f - p));
    int64_t i = 0;
    for (; i + 8 <= n; i += 8, z = _mm512_add_epi64(z, steps)) {
        __mmask8 kept = _mm256_cmp_ps_mask(uniform8(z), least, _CMP_GE_OQ);
        __m256 value = _mm256_maskz_mul_ps(kept, _mm256_loadu_ps(x + i), gain);
        if (add) value = _mm256_add_ps(_mm256_loadu_ps(y + i), value);
        _mm256_storeu_ps(y + i, value);
    }
    ref_dropout(x + i, n - i, p, seed, first + (uint64_t)i, y + i, add);
}
#endif
