/* BitLinear in AVX-512 without VNNI: the integer product by maddubs, whose 16-bit sums take 64
 * products of pairs (each within -512 .. 508). */
#if defined(__x86_64__)
#include <immintrin.h>

enum {
    SPAN = 256,     /* 64 additions of four columns */
    ONE_SPAN = 2048 /* 64 additions of 32 columns */
};

static inline __m512i multiply_add(__m512i sums, __m512i codes, __m512i q) {
    sums = _mm512_add_epi16(sums, _mm512_maddubs_epi16(codes, q));
    /* One sum after the other: gcc 12 would rather compute all products first, and has no
     * registers left for the sums. */
    __asm__ volatile("" : "+v"(sums));
    return sums;
}

static inline __m512i widen(__m512i sums) {
    return _mm512_madd_epi16(sums, _mm512_set1_epi16(1));
}

#include "kernel/avx512_int.h"

void avx512_ternary_matmul(const ternary_matrix *w, int64_t row_begin, int64_t row_end,
                           const int8_t *q, const float *scale, const int32_t *sum, int64_t tokens,
                           float *y, int64_t ldy) {
    int_matmul(w, row_begin, row_end, q, scale, sum, tokens, y, ldy);
}
#endif
