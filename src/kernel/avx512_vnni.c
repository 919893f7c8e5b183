/* BitLinear with AVX-512 VNNI: vpdpbusd adds four products to an int32 at once. A step adds at most
 * 1024 to a sum, so no column count that fits memory overflows one. */
#if defined(__x86_64__)
#include <immintrin.h>

enum {
    SPAN = 256,        /* 16 KiB of unpacked codes */
    ONE_SPAN = 1 << 20 /* sums need no widening */
};

static inline __m512i multiply_add(__m512i sums, __m512i codes, __m512i q) {
    return _mm512_dpbusd_epi32(sums, codes, q);
}

static inline __m512i widen(__m512i sums) {
    return sums;
}

#include "kernel/avx512_int.h"
#include "kernel/avx512_vnni.h"

void kernels_init_avx512_vnni(kernels *k) {
    k->name = "avx512+vnni";
    k->ternary_matmul = int_matmul;
    k->ternary_matmul_t_i16 = avx512_vnni_ternary_matmul_t_i16;
}
#endif
