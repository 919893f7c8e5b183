/* The AVX2 table: the float kernels at 256 bits, and the integer ones of the other files. */
#if defined(__x86_64__)
#include "kernel/avx2.h"

#include "kernel/vec_kernels.h"

void kernels_init_avx2(kernels *k) {
    vec_kernels(k);
    k->name = "avx2";
    k->quantise_row = avx2_quantise_row;
    k->ternary_matmul = avx2_ternary_matmul;
    k->ternary_unpack_rows = avx2_ternary_unpack_rows;
    k->gradient_row = avx2_gradient_row;
    k->ternary_matmul_t_i16 = avx2_ternary_matmul_t_i16;
}
#endif
