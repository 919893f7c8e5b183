/* The entries of the kernel table that every vector ISA has in common. Included once, by the file
 * that fills the ISA's table, after its vector header (vec.h). */
#ifndef WEFT_KERNEL_VEC_KERNELS_H
#define WEFT_KERNEL_VEC_KERNELS_H

#include "kernel/vec_attention.h"
#include "kernel/vec_dense.h"
#include "kernel/vec_rows.h"
#include "kernel/vec_ternary.h"

static inline void vec_kernels(kernels *k) {
    k->ternary_matmul_f32 = ternary_matmul_f32;
    k->ternary_matmul_t = ternary_matmul_t;
    k->dense_row = dense_row;
    k->dense_matmul = dense_matmul;
    k->dense_matmul_t = dense_matmul_t;
    k->gemm_nt = gemm_nt;
    k->gemm_nn = gemm_nn;
    k->gemm_tn = gemm_tn;
    k->rmsnorm_row = rmsnorm_row;
    k->rmsnorm_backward_row = rmsnorm_backward_row;
    k->rope_row = rope_row;
    k->attention = attention;
    k->attention_backward = attention_backward;
    k->glu = glu;
    k->glu_backward = glu_backward;
    k->softmax_loss_row = softmax_loss_row;
    k->add = vec_add;
    k->sum_squares = sum_squares;
    k->adamw = adamw;
}

#endif
