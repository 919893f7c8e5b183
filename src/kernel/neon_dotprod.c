/* The ternary product with NEON's dot product extension: 16 multiply-adds an instruction, summed in
 * 32 bits from the start. */
#if defined(__aarch64__)
#include "kernel/neon_ternary.h"

static inline int32x4_t accumulate(int32x4_t sum, int8x16_t codes, int8x16_t q) {
    return vdotq_s32(sum, codes, q);
}

static inline int32x4_t widen(int32x4_t sum) {
    return sum;
}

static void multiply(int_tile *tile, int64_t col, int64_t width, bool last) {
    multiply_rows(tile, col, width, last, accumulate, widen);
}

void neon_dotprod_ternary_matmul(const ternary_matrix *w, int64_t row_begin, int64_t row_end,
                                 const int8_t *q, const float *scale, const int32_t *sum,
                                 int64_t tokens, float *y, int64_t ldy) {
    if (tokens == 1)
        one_token(w, row_begin, row_end, q, w->scale / scale[0], sum[0], y, accumulate, widen);
    else
        tiled_matmul(w, row_begin, row_end, q, scale, sum, tokens, y, ldy, unpack_rows, multiply);
}

void kernels_init_neon_dotprod(kernels *k) {
    k->name = "neon+dotprod";
    k->ternary_matmul = neon_dotprod_ternary_matmul;
    k->ternary_matmul_t_i16 = neon_dotprod_ternary_matmul_t_i16;
}
#endif
