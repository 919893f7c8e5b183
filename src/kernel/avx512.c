/* The AVX-512 table: float kernels at 512 bits, dropout, and the integer product. What
 * was not faster than AVX2 stays AVX2 (docs/SPEED.md). */
#if defined(__x86_64__)
#include "kernel/avx512.h"

#include "kernel/vec_kernels.h"

void kernels_init_avx512(kernels *k) {
    vec_kernels_wider(k);
    k->name = "avx512";
    k->quantise_row = avx512_quantise_row;
    k->ternary_matmul = avx512_ternary_matmul;
    k->dropout = avx512_dropout;
}
#endif
