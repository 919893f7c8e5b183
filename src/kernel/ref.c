/* Scalar C of the matrix products: the definition that every other kernel is checked against. Float
 * products are summed in double, so that the only error left is the rounding of the result.
 * Complete and plain; speed is the business of the ISA files. */
#include "kernel/ref.h"

#include "kernel/dense_span.h"

#include <math.h>

enum { TOKEN_TILE = 16 /* tokens that share an unpacked block */ };

static void unpack_block(const uint8_t *block, int8_t values[TERNARY_BLOCK]) {
    for (int p = 0; p < TERNARY_BLOCK_BYTES; p++)
        for (int i = 0; i < 4; i++)
            values[32 * i + p] = (int8_t)((block[p] >> (6 - 2 * i) & 3) - 1);
}

static const uint8_t *row_codes(const ternary_matrix *w, int64_t row) {
    return w->codes + (size_t)row * ternary_row_bytes(w->cols);
}

/* Digit e of the bytes of one block goes to the fast bytes that it makes up. */
static void unpack_tight_block(const uint8_t *block, uint8_t *out) {
    for (int p = 0; p < TERNARY_TIGHT_BYTES; p++) {
        int four = block[p] / 3;
        out[p] = (uint8_t)(four / 27 << 6 | four / 9 % 3 << 4 | four / 3 % 3 << 2 | four % 3);
    }
    for (int g = 0; g < TERNARY_TIGHT_SPREAD; g++) {
        int byte = 0;
        for (int n = 0; n < 4; n++) byte = byte << 2 | block[ternary_tight_spread(g, n)] % 3;
        out[TERNARY_TIGHT_BYTES + g] = (uint8_t)byte;
    }
}

static void ternary_unpack_rows(const ternary_matrix *w, int64_t row_begin, int64_t row_end,
                                int64_t col_begin, int64_t col_end, uint8_t *out) {
    size_t row_bytes = ternary_row_bytes_of(TERNARY_TIGHT, w->cols);
    size_t first = (size_t)(col_begin / TERNARY_BLOCK) * TERNARY_TIGHT_BYTES;
    for (int64_t row = row_begin; row < row_end; row++) {
        const uint8_t *block = w->codes + (size_t)row * row_bytes + first;
        for (int64_t col = col_begin; col < col_end; col += TERNARY_BLOCK) {
            unpack_tight_block(block, out);
            block += TERNARY_TIGHT_BYTES;
            out += TERNARY_BLOCK_BYTES;
        }
    }
}

static void quantise_row(const float *x, int64_t n, int8_t *q, float *scale, int32_t *sum) {
    float highest = 1e-5f, poison = 0; /* NaN as soon as a value is not finite */
    for (int64_t i = 0; i < n; i++) {
        highest = fmaxf(highest, fabsf(x[i]));
        poison += x[i] * 0.0f;
    }
    float s = 127.0f / highest + poison;
    int32_t total = 0;
    for (int64_t i = 0; i < n; i++) {
        float rounded = nearbyintf(x[i] * s);
        q[i] = (int8_t)fminf(fmaxf(rounded, -128.0f), 127.0f);
        total += q[i];
    }
    memset(q + n, 0, (size_t)(ternary_padded(n) - n));
    *scale = s;
    *sum = total;
}

/* isum[t] = q[t] . row for up to TOKEN_TILE tokens. */
static void int_sums(const ternary_matrix *w, int64_t row, const int8_t *q, int64_t tokens,
                     int32_t *isum) {
    int64_t padded = ternary_padded(w->cols);
    int8_t values[TERNARY_BLOCK];
    for (int64_t t = 0; t < tokens; t++) isum[t] = 0;
    for (int64_t k = 0; k < padded; k += TERNARY_BLOCK) {
        unpack_block(row_codes(w, row) + k / 4, values);
        for (int64_t t = 0; t < tokens; t++)
            for (int i = 0; i < TERNARY_BLOCK; i++) isum[t] += q[t * padded + k + i] * values[i];
    }
}

static void ternary_matmul(const ternary_matrix *w, int64_t row_begin, int64_t row_end,
                           const int8_t *q, const float *scale, const int32_t *sum, int64_t tokens,
                           float *y, int64_t ldy) {
    (void)sum; /* only kernels that multiply codes instead of values need it */
    int64_t padded = ternary_padded(w->cols);
    int32_t isum[TOKEN_TILE];
    for (int64_t row = row_begin; row < row_end; row++) {
        for (int64_t t = 0; t < tokens; t += TOKEN_TILE) {
            int64_t count = min_i64(TOKEN_TILE, tokens - t);
            int_sums(w, row, q + t * padded, count, isum);
            for (int64_t i = 0; i < count; i++)
                y[(t + i) * ldy + row] = (float)isum[i] * (w->scale / scale[t + i]);
        }
    }
}

static void ternary_matmul_f32(const ternary_matrix *w, int64_t row_begin, int64_t row_end,
                               const float *x, int64_t ldx, int64_t tokens, float *y, int64_t ldy) {
    int8_t values[TERNARY_BLOCK];
    for (int64_t row = row_begin; row < row_end; row++) {
        for (int64_t t = 0; t < tokens; t += TOKEN_TILE) {
            int64_t count = min_i64(TOKEN_TILE, tokens - t);
            double dots[TOKEN_TILE] = {0};
            for (int64_t k = 0; k < w->cols; k += TERNARY_BLOCK) {
                int64_t width = min_i64(TERNARY_BLOCK, w->cols - k);
                unpack_block(row_codes(w, row) + k / 4, values);
                for (int64_t i = 0; i < count; i++)
                    for (int64_t c = 0; c < width; c++)
                        dots[i] += (double)x[(t + i) * ldx + k + c] * values[c];
            }
            for (int64_t i = 0; i < count; i++)
                y[(t + i) * ldy + row] = (float)(w->scale * dots[i]);
        }
    }
}

/* One block of columns for up to TOKEN_TILE tokens. */
static void block_t(const ternary_matrix *w, int64_t col, const float *dy, int64_t lddy,
                    int64_t tokens, double sums[TOKEN_TILE][TERNARY_BLOCK]) {
    int8_t values[TERNARY_BLOCK];
    memset(sums, 0, sizeof(double) * TOKEN_TILE * TERNARY_BLOCK);
    for (int64_t row = 0; row < w->rows; row++) {
        unpack_block(row_codes(w, row) + col / 4, values);
        for (int64_t t = 0; t < tokens; t++)
            for (int c = 0; c < TERNARY_BLOCK; c++)
                sums[t][c] += (double)dy[t * lddy + row] * values[c];
    }
}

static void ternary_matmul_t(const ternary_matrix *w, int64_t col_begin, int64_t col_end,
                             const float *dy, int64_t lddy, int64_t tokens, float *dx, int64_t lddx,
                             bool add) {
    double sums[TOKEN_TILE][TERNARY_BLOCK];
    for (int64_t col = col_begin; col < col_end; col += TERNARY_BLOCK) {
        int64_t width = min_i64(TERNARY_BLOCK, col_end - col);
        for (int64_t t = 0; t < tokens; t += TOKEN_TILE) {
            int64_t count = min_i64(TOKEN_TILE, tokens - t);
            block_t(w, col, dy + t * lddy, lddy, count, sums);
            for (int64_t i = 0; i < count; i++) {
                float *out = dx + (t + i) * lddx + col;
                for (int64_t c = 0; c < width; c++) {
                    double value = w->scale * sums[i][c];
                    out[c] = (float)(add ? out[c] + value : value);
                }
            }
        }
    }
}

static void dense_row(const dense_matrix *w, int64_t row, float *out) {
    for (int64_t k = 0; k < w->cols; k += DENSE_SPAN)
        dense_span(w, row, k, min_i64(DENSE_SPAN, w->cols - k), out + k);
}

static void dense_matmul(const dense_matrix *w, int64_t row_begin, int64_t row_end, const float *x,
                         int64_t ldx, int64_t tokens, float *y, int64_t ldy) {
    float values[DENSE_SPAN];
    for (int64_t row = row_begin; row < row_end; row++) {
        for (int64_t t = 0; t < tokens; t += TOKEN_TILE) {
            int64_t count = min_i64(TOKEN_TILE, tokens - t);
            double dots[TOKEN_TILE] = {0};
            for (int64_t k = 0; k < w->cols; k += DENSE_SPAN) {
                int64_t width = min_i64(DENSE_SPAN, w->cols - k);
                dense_span(w, row, k, width, values);
                for (int64_t i = 0; i < count; i++)
                    for (int64_t c = 0; c < width; c++)
                        dots[i] += (double)x[(t + i) * ldx + k + c] * values[c];
            }
            for (int64_t i = 0; i < count; i++) y[(t + i) * ldy + row] = (float)dots[i];
        }
    }
}

static void dense_matmul_t(const dense_matrix *w, int64_t token_begin, int64_t token_end,
                           const float *dy, int64_t lddy, float *dx, int64_t lddx) {
    float values[DENSE_SPAN];
    for (int64_t k = 0; k < w->cols; k += DENSE_SPAN) {
        int64_t width = min_i64(DENSE_SPAN, w->cols - k);
        for (int64_t t = token_begin; t < token_end; t += TOKEN_TILE) {
            int64_t count = min_i64(TOKEN_TILE, token_end - t);
            double sums[TOKEN_TILE][DENSE_SPAN] = {{0}};
            for (int64_t row = 0; row < w->rows; row++) {
                dense_span(w, row, k, width, values);
                for (int64_t i = 0; i < count; i++)
                    for (int64_t c = 0; c < width; c++)
                        sums[i][c] += (double)dy[(t + i) * lddy + row] * values[c];
            }
            for (int64_t i = 0; i < count; i++)
                for (int64_t c = 0; c < width; c++) dx[(t + i) * lddx + k + c] = (float)sums[i][c];
        }
    }
}

/* One element of a product whose operands are read with any stride. */
static double dot_strided(const float *a, int64_t a_step, const float *b, int64_t b_step,
                          int64_t k) {
    double sum = 0;
    for (int64_t i = 0; i < k; i++) sum += (double)a[i * a_step] * b[i * b_step];
    return sum;
}

static void store(float *c, float alpha, double sum, bool add) {
    *c = (float)(add ? *c + alpha * sum : alpha * sum);
}

static void gemm_nt(int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
                    const float *b, int64_t ldb, float *c, int64_t ldc, bool add) {
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++)
            store(&c[i * ldc + j], alpha, dot_strided(a + i * lda, 1, b + j * ldb, 1, k), add);
}

static void gemm_nn(int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
                    const float *b, int64_t ldb, float *c, int64_t ldc, bool add) {
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++)
            store(&c[i * ldc + j], alpha, dot_strided(a + i * lda, 1, b + j, ldb, k), add);
}

static void gemm_tn(int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
                    const float *b, int64_t ldb, float *c, int64_t ldc, bool add) {
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++)
            store(&c[i * ldc + j], alpha, dot_strided(a + i, lda, b + j, ldb, k), add);
}

void kernels_init_ref(kernels *k) {
    *k = (kernels){
        .name = "scalar",
        .quantise_row = quantise_row,
        .ternary_matmul = ternary_matmul,
        .ternary_matmul_f32 = ternary_matmul_f32,
        .ternary_matmul_t = ternary_matmul_t,
        .ternary_unpack_rows = ternary_unpack_rows,
        .gradient_row = ref_gradient_row,
        .ternary_matmul_t_i16 = ref_ternary_matmul_t_i16,
        .dense_row = dense_row,
        .dense_matmul = dense_matmul,
        .dense_matmul_t = dense_matmul_t,
        .gemm_nt = gemm_nt,
        .gemm_nn = gemm_nn,
        .gemm_tn = gemm_tn,
        .rmsnorm_row = ref_rmsnorm_row,
        .rmsnorm_backward_row = ref_rmsnorm_backward_row,
        .rope_row = ref_rope_row,
        .attention = ref_attention,
        .attention_backward = ref_attention_backward,
        .glu = ref_glu,
        .glu_backward = ref_glu_backward,
        .softmax_loss_row = ref_softmax_loss_row,
        .add = ref_add,
        .sum_squares = ref_sum_squares,
        .adamw = ref_adamw,
        .dropout = ref_dropout,
    };
}
