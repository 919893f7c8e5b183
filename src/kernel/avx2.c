/* The AVX2 table. */
#include "kernel/kernel.h"

#if defined(__x86_64__)
void kernels_init_avx2(kernels *k) {
    k->name = "avx2";
}
#endif
