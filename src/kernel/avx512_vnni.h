/* What the files of the VNNI level share. */
#ifndef WEFT_KERNEL_AVX512_VNNI_H
#define WEFT_KERNEL_AVX512_VNNI_H

#include "kernel/kernel.h"

void avx512_vnni_ternary_matmul_t_i16(const ternary_matrix *w, int64_t col_begin, int64_t col_end,
                                      const int16_t *q, const float *scale, int64_t tokens,
                                      float *dx, int64_t lddx, bool add);

#endif
