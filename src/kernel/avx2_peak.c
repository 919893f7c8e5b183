/* The peak loops of AVX2 and FMA. */
#if defined(__x86_64__)
#include "kernel/peak.h"
#include "kernel/peak_loop.h"

#include <immintrin.h>

#define WIDE __m256i

PEAK_LOOP(PEAK_PLAIN, maddubs, WIDE, "x", 8, _mm256_set1_epi8(1),
          _mm256_add_epi16(sum, _mm256_maddubs_epi16(x, x)))
PEAK_LOOP(PEAK_PLAIN, madd, WIDE, "x", 8, _mm256_set1_epi16(1),
          _mm256_add_epi32(sum, _mm256_madd_epi16(x, x)))
PEAK_LOOP(PEAK_PLAIN, fmadd, __m256, "x", 12, _mm256_set1_ps(0.5f), _mm256_fmadd_ps(sum, x, x))

void peak_find_avx2(peak_loops *loops) {
    loops->of[PEAK_INT8] = (peak_loop){maddubs, 8 * 64, "maddubs"};
    loops->of[PEAK_INT16] = (peak_loop){madd, 8 * 32, "madd"};
    loops->of[PEAK_F32] = (peak_loop){fmadd, 12 * 16, "fma"};
}
#endif
