/* The entries of the kernel table that every vector ISA has in common. Included once, by the file
 * that fills the ISA's table, after its vector header (vec.h). */
#ifndef WEFT_KERNEL_VEC_KERNELS_H
#define WEFT_KERNEL_VEC_KERNELS_H

#include "kernel/vec_products.h"
#include "kernel/vec_rows.h"
#include "kernel/vec_ternary.h"

static inline void vec_kernels(kernels *k) {
    k->ternary_matmul_f32 = ternary_matmul_f32;
    k->gemm_nt = gemm_nt;
    k->gemm_nn = gemm_nn;
    k->gemm_tn = gemm_tn;
    k->rmsnorm_row = rmsnorm_row;
    k->rmsnorm_backward_row = rmsnorm_backward_row;
    k->glu = glu;
    k->softmax_loss_row = softmax_loss_row;
}

#endif
