/* The float kernels of a vector ISA in its table. Included once, by the file that fills the table,
 * after its vector header (vec.h). */
#ifndef WEFT_KERNEL_VEC_KERNELS_H
#define WEFT_KERNEL_VEC_KERNELS_H

#include "kernel/vec_attention.h"
#include "kernel/vec_dense.h"
#include "kernel/vec_rows.h"
#include "kernel/vec_ternary.h"

/* Those that wider vectors of the same processor made faster (docs/SPEED.md). */
static inline void vec_kernels_wider(kernels *k) {
    k->ternary_matmul_f32 = ternary_matmul_f32;
    k->gemm_nt = gemm_nt;
    k->gemm_nn = gemm_nn;
    k->gemm_tn = gemm_tn;
    k->rmsnorm_row = rmsnorm_row;
    k->rmsnorm_backward_row = rmsnorm_backward_row;
    k->glu = glu;
    k->softmax_loss_row = softmax_loss_row;
}

static inline void vec_kernels(kernels *k) {
    vec_kernels_wider(k);
    k->ternary_matmul_t = ternary_matmul_t;
    k->dense_row = dense_row;
    k->dense_matmul = dense_matmul;
    k->dense_matmul_t = dense_matmul_t;
    k->rope_row = rope_row;
    k->attention = attention;
    k->attention_backward = attention_backward;
    k->glu_backward = glu_backward;
    k->add = add_rows;
    k->sum_squares = sum_squares;
    k->adamw = adamw;
}

#endif
