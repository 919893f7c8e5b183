/* The CPU kernels: one struct of function pointers. ref.c (scalar C) defines every entry; an ISA
 * file (avx2.c ...) replaces entries at run time. Plain pointers and sizes in; no allocation, no
 * threads, no model. Output ranges are arguments, so that the backend can share a call between
 * threads; the result for an element never depends on the range that it was computed in.
 *
 * Letters: T tokens, K input features (cols), N output features (rows), V vocabulary, r LoRA rank,
 * d head size. Matrices are row-major; ldx is the distance between rows of x in elements. Pointers
 * need only the alignment of their element type. Buffers do not overlap unless an entry says so.
 * Ternary matrices are packed fast, except where an entry says tight. Their codes are 0, 1 or 2:
 * with a code 3, or a tight byte above 242, the values of a product are unspecified.
 * NaN in an input reaches the outputs that depend on it.
 *
 * Exact: integer sums are the same bits on every ISA, and so are the entries marked "exact"; the
 * other float entries may sum in another order and use FMA: their error against ref.c is bounded by
 * a small multiple of 2^-24 times the sum of the magnitudes added (tests/kernel/check_kernels.c).
 */
#ifndef WEFT_KERNEL_KERNEL_H
#define WEFT_KERNEL_KERNEL_H

#include "base/layout.h"

#include <stdbool.h>

typedef enum activation { ACTIVATION_RELU2, ACTIVATION_SILU } activation;

/* A frozen dense matrix (rows, cols) as it lies in a file: embedding or output head. */
typedef enum dense_type { DENSE_F32, DENSE_F16, DENSE_BF16, DENSE_Q8_0, DENSE_Q6_K } dense_type;
typedef struct dense_matrix {
    const uint8_t *data;
    dense_type type;
    int64_t rows, cols; /* cols is a multiple of the type's block (1, 1, 1, 32, 256) */
    size_t row_bytes;
} dense_matrix;

typedef struct adamw_settings {
    float rate, beta1, beta2, epsilon, weight_decay;
    float correction1, correction2; /* 1 - beta1^t, 1 - beta2^t, computed in double by the caller */
    float grad_scale; /* each gradient is multiplied by it first (mean and clipping) */
} adamw_settings;

/* Shape of an attention call. Query head h reads key/value head h / (heads / kv_heads). Token t
 * sees the keys first[t] .. last[t] (inclusive), an index into k and v; softmax(scale * q.k).
 * Every token sees at least one key. */
typedef struct attention_shape {
    int64_t heads, kv_heads, head_dim;
    float scale;
    int64_t ldq, ldkv; /* row strides of q/out and of k/v, in floats */
    const int32_t *first, *last;
} attention_shape;

/* Floats of scratch for attention over rows of at most `keys` keys, and for its backward over a
 * range of `tokens` tokens: fast kernels treat this many queries at once. */
enum { ATTENTION_QUERIES = 12 };
static inline int64_t attention_scratch_floats(int64_t keys) {
    return ATTENTION_QUERIES * keys;
}
static inline int64_t attention_backward_scratch_floats(int64_t tokens) {
    return 2 * ATTENTION_QUERIES * tokens;
}

/* Gradients as int16: a sum of so many cannot leave an int32. The largest is 256 * 127 + 127, so
 * that a device which multiplies bytes can cut each into two signed ones. */
#define GRADIENT_ROWS_MAX 65535
#define GRADIENT_MOST     32639
#define GRADIENT_LEAST    1e-30f /* stands in for a smaller absmax: the scale stays finite */
static inline int64_t gradient_padded(int64_t rows) {
    return (rows + 7) / 8 * 8;
}

typedef struct kernels {
    const char *name; /* "scalar", "avx2": the highest level that replaced an entry */

    /* BitLinear's activation rounding of one row, exact: s = 127 / max(absmax(x),
     * 1e-5) in float32; q = clamp(round_half_even(x * s), -128, 127); *scale = s; *sum = sum of q.
     * Writes ternary_padded(n) bytes, zeros past n. If any x is not finite, *scale is
     * NaN, and so is every product computed with it. */
    void (*quantise_row)(const float *x, int64_t n, int8_t *q, float *scale, int32_t *sum);

    /* y[t][j] = isum * (w.scale / scale[t]), isum = sum_k q[t][k] * T[j][k] in int32: exact. q is
     * (T, ternary_padded(K)), zeros past K, and sum[t] its sum; rows j in [row_begin, row_end); y
     * (T, N) with stride ldy. */
    void (*ternary_matmul)(const ternary_matrix *w, int64_t row_begin, int64_t row_end,
                           const int8_t *q, const float *scale, const int32_t *sum, int64_t tokens,
                           float *y, int64_t ldy);

    /* Smooth mode: y[t][j] = w.scale * sum_k x[t][k] * T[j][k], float32. */
    void (*ternary_matmul_f32)(const ternary_matrix *w, int64_t row_begin, int64_t row_end,
                               const float *x, int64_t ldx, int64_t tokens, float *y, int64_t ldy);

    /* Backward of either: dx[t][k] (+)= w.scale * sum_j dy[t][j] * T[j][k] for k in [col_begin,
     * col_end); col_begin is a multiple of 128, col_end too or cols. Adds to dx if add. */
    void (*ternary_matmul_t)(const ternary_matrix *w, int64_t col_begin, int64_t col_end,
                             const float *dy, int64_t lddy, int64_t tokens, float *dx, int64_t lddx,
                             bool add);

    /* Rows [row_begin, row_end) of a tight matrix as fast ones, exact. col_begin is a multiple of
     * 128; out has rows of ternary_row_bytes(col_end - col_begin), to the end of the last block. */
    void (*ternary_unpack_rows)(const ternary_matrix *w, int64_t row_begin, int64_t row_end,
                                int64_t col_begin, int64_t col_end, uint8_t *out);

    /* Rounds one row of gradients to 16 bits, exact: s = GRADIENT_MOST / max(absmax(x),
     * GRADIENT_LEAST) in float32; q = clamp(round_half_even(x * s), -GRADIENT_MOST, GRADIENT_MOST);
     * *scale = s. Writes gradient_padded(n) values, zeros past n. If any x is not finite, *scale is
     * NaN, and so is every product computed with it. */
    void (*gradient_row)(const float *x, int64_t n, int16_t *q, float *scale);
    /* ternary_matmul_t on such rows, exact: dx[t][k] (+)= isum * (w.scale / scale[t]), isum =
     * sum_j q[t][j] * T[j][k] in int32, each sum, product and addition rounded on its own. At most
     * GRADIENT_ROWS_MAX rows; q is (T, gradient_padded(N)). Against the float32 product the error
     * of an element is at most 0.51 * w.scale / scale[t] (2^-16 of the largest gradient of the
     * token) for each weight other than 0 in its column; with independent roundings about 0.29 of
     * that unit times the root of their number. */
    void (*ternary_matmul_t_i16)(const ternary_matrix *w, int64_t col_begin, int64_t col_end,
                                 const int16_t *q, const float *scale, int64_t tokens, float *dx,
                                 int64_t lddx, bool add);

    /* One row of a dense matrix as float32: exact. */
    void (*dense_row)(const dense_matrix *w, int64_t row, float *out);
    /* y[t][j] = x[t] . W[j], rows [row_begin, row_end). */
    void (*dense_matmul)(const dense_matrix *w, int64_t row_begin, int64_t row_end, const float *x,
                         int64_t ldx, int64_t tokens, float *y, int64_t ldy);
    /* dx[t][k] = sum_j dy[t][j] * W[j][k] for tokens [token_begin, token_end), all columns. */
    void (*dense_matmul_t)(const dense_matrix *w, int64_t token_begin, int64_t token_end,
                           const float *dy, int64_t lddy, float *dx, int64_t lddx);

    /* Small float products, for LoRA (one of m, n, k is the rank): C (m, n) = alpha * op(A) op(B) +
     * C if add. nt: A (m, k), B (n, k). nn: A (m, k), B (k, n). tn: A (k, m), B (k, n). */
    void (*gemm_nt)(int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
                    const float *b, int64_t ldb, float *c, int64_t ldc, bool add);
    void (*gemm_nn)(int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
                    const float *b, int64_t ldb, float *c, int64_t ldc, bool add);
    void (*gemm_tn)(int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
                    const float *b, int64_t ldb, float *c, int64_t ldc, bool add);

    /* y = gamma * x / sqrt(mean(x^2) + eps); y may be x. */
    void (*rmsnorm_row)(const float *x, const float *gamma, int64_t n, float eps, float *y);
    /* With r = 1/sqrt(mean(x^2) + eps), u = dy * gamma: dx (+)= r * (u - x * r^2 * mean(u * x)).
     * dx may be dy when add is false. */
    void (*rmsnorm_backward_row)(const float *x, const float *gamma, const float *dy, int64_t n,
                                 float eps, float *dx, bool add);

    /* Rotate `heads` heads of one token in place by the angles of its position: table holds
     * head_dim/2 cosines, then head_dim/2 sines. Pairs are (j, j + d/2), or (2j, 2j+1) if
     * interleaved; inverse turns back (the backward of the rotation). */
    void (*rope_row)(float *x, int64_t heads, int64_t head_dim, const float *table,
                     bool interleaved, bool inverse);

    /* Attention of query head `head` for tokens [token_begin, token_end). scratch holds
     * attention_scratch_floats(the largest last[t] - first[t] + 1). */
    void (*attention)(const attention_shape *shape, int64_t head, int64_t token_begin,
                      int64_t token_end, const float *q, const float *k, const float *v, float *out,
                      float *scratch);
    /* Its backward for all query heads of key/value head `kv_head` and tokens [token_begin,
     * token_end), a range closed under first/last (one document): overwrites dq (those heads), dk
     * and dv (that head) of those rows, strides as q, k, v. Keys and values are those of the same
     * tokens. scratch holds attention_backward_scratch_floats(token_end - token_begin). */
    void (*attention_backward)(const attention_shape *shape, int64_t kv_head, int64_t token_begin,
                               int64_t token_end, const float *q, const float *k, const float *v,
                               const float *dout, float *dq, float *dk, float *dv, float *scratch);

    /* out = act(gate) * up; relu2(z) = max(z, 0)^2, silu(z) = z / (1 + exp(-z)). */
    void (*glu)(activation act, const float *gate, const float *up, int64_t n, float *out);
    /* dgate = dout * up * act'(gate), dup = dout * act(gate); dgate may be gate, dup may be up. */
    void (*glu_backward)(activation act, const float *gate, const float *up, const float *dout,
                         int64_t n, float *dgate, float *dup);

    /* Cross-entropy of one row: returns -log softmax(logits)[target] and, if grad_scale != 0,
     * replaces logits by grad_scale * (softmax - onehot(target)). */
    float (*softmax_loss_row)(float *logits, int64_t n, int64_t target, float grad_scale);

    /* out = a + b, exact; out may be a or b. */
    void (*add)(const float *a, const float *b, int64_t n, float *out);
    /* Summed in double. */
    double (*sum_squares)(const float *x, int64_t n);
    /* AdamW as torch.optim.AdamW: p *= 1 - rate * decay; m, v moving averages of g and g^2;
     * p -= rate * (m / correction1) / (sqrt(v / correction2) + epsilon). Exact per element. */
    void (*adamw)(const adamw_settings *s, int64_t n, float *p, const float *g, float *m, float *v);
    /* LoRA dropout: y[i] (+)= x[i] * (1 / (1 - p)) if rng_uniform(seed, first + i) >= p, else 0; p
     * < 1. y may be x. Exact. */
    void (*dropout)(const float *x, int64_t n, float p, uint64_t seed, uint64_t first, float *y,
                    bool add);
} kernels;

/* Levels: what a CPU offers, and what a test or --cpu-mask may forbid. */
enum {
    CPU_AVX2 = 1 << 0,   /* AVX2, FMA and F16C, enabled by the system */
    CPU_AVX512 = 1 << 1, /* AVX-512 F, BW, DQ and VL, enabled by the system */
    CPU_VNNI = 1 << 2,   /* AVX-512 VNNI */
    CPU_NEON = 1 << 8,   /* Advanced SIMD of AArch64 */
    CPU_DOTPROD = 1 << 9,
    CPU_I8MM = 1 << 10
};

uint32_t cpu_flags(void); /* of this machine; read once, thread-safe */

/* Fill *k with the best entry of each kernel for flags & cpu_flags(): 0 gives scalar C. */
void kernels_init(kernels *k, uint32_t flags);

void kernels_init_ref(kernels *k);
/* x86-64 only; each level's entries over those of the one before. */
void kernels_init_avx2(kernels *k);
void kernels_init_avx512(kernels *k);
void kernels_init_avx512_vnni(kernels *k);

/* AArch64 only: what this machine offers of the levels below, and each level's entries over those
 * of the one before. */
uint32_t cpu_arm_flags(void);
void kernels_init_neon(kernels *k);
void kernels_init_neon_dotprod(kernels *k);
void kernels_init_neon_i8mm(kernels *k);

#endif
