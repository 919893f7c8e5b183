/* The scalar kernels by name: ref.c fills its table from three files, and an ISA file may fall back
 * on one for a shape that it does not handle. Contracts: kernel.h. */
#ifndef WEFT_KERNEL_REF_H
#define WEFT_KERNEL_REF_H

#include "kernel/kernel.h"

void ref_attention(const attention_shape *shape, int64_t head, int64_t token_begin,
                   int64_t token_end, const float *q, const float *k, const float *v, float *out,
                   float *scratch);
void ref_attention_backward(const attention_shape *shape, int64_t kv_head, int64_t token_begin,
                            int64_t token_end, const float *q, const float *k, const float *v,
                            const float *dout, float *dq, float *dk, float *dv, float *scratch);

void ref_rmsnorm_row(const float *x, const float *gamma, int64_t n, float eps, float *y);
void ref_rmsnorm_backward_row(const float *x, const float *gamma, const float *dy, int64_t n,
                              float eps, float *dx, bool add);
void ref_rope_row(float *x, int64_t heads, int64_t head_dim, const float *table, bool interleaved,
                  bool inverse);
void ref_glu(activation act, const float *gate, const float *up, int64_t n, float *out);
void ref_glu_backward(activation act, const float *gate, const float *up, const float *dout,
                      int64_t n, float *dgate, float *dup);
float ref_softmax_loss_row(float *logits, int64_t n, int64_t target, float grad_scale);
void ref_add(const float *a, const float *b, int64_t n, float *out);
double ref_sum_squares(const float *x, int64_t n);
void ref_adamw(const adamw_settings *s, int64_t n, float *p, const float *g, float *m, float *v);
void ref_dropout(const float *x, int64_t n, float p, uint64_t seed, uint64_t first, float *y,
                 bool add);

void ref_gradient_row(const float *x, int64_t n, int16_t *q, float *scale);
void ref_ternary_matmul_t_i16(const ternary_matrix *w, int64_t col_begin, int64_t col_end,
                              const int16_t *q, const float *scale, int64_t tokens, float *dx,
                              int64_t lddx, bool add);

#endif
