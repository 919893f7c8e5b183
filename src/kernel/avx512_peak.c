/* The peak loops of AVX-512, with and without VNNI. */
#if defined(__x86_64__)
#include "kernel/kernel.h"
#include "kernel/peak.h"
#include "kernel/peak_loop.h"

#include <immintrin.h>

#define AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl")))
#define VNNI   __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))

PEAK_LOOP(AVX512, maddubs, __m512i, "v", 8, _mm512_set1_epi8(1),
          _mm512_add_epi16(sum, _mm512_maddubs_epi16(x, x)))
PEAK_LOOP(AVX512, madd, __m512i, "v", 8, _mm512_set1_epi16(1),
          _mm512_add_epi32(sum, _mm512_madd_epi16(x, x)))
PEAK_LOOP(AVX512, fmadd, __m512, "v", 12, _mm512_set1_ps(0.5f), _mm512_fmadd_ps(sum, x, x))
PEAK_LOOP(VNNI, dpbusd, __m512i, "v", 12, _mm512_set1_epi8(1), _mm512_dpbusd_epi32(sum, x, x))
PEAK_LOOP(VNNI, dpwssd, __m512i, "v", 12, _mm512_set1_epi16(1), _mm512_dpwssd_epi32(sum, x, x))

void peak_find_avx512(peak_loops *loops, uint32_t flags) {
    loops->of[PEAK_INT8] = (peak_loop){maddubs, 8 * 128, "maddubs"};
    loops->of[PEAK_INT16] = (peak_loop){madd, 8 * 64, "madd"};
    loops->of[PEAK_F32] = (peak_loop){fmadd, 12 * 32, "fma"};
    if (!(flags & CPU_VNNI)) return;
    loops->of[PEAK_INT8] = (peak_loop){dpbusd, 12 * 128, "vpdpbusd"};
    loops->of[PEAK_INT16] = (peak_loop){dpwssd, 12 * 64, "vpdpwssd"};
}
#endif
