/* The AVX2 table, and its row and element operations: norms, rotation, activation, loss, optimizer.
 */
#if defined(__x86_64__)
#include "kernel/avx2.h"

#include "kernel/ref.h"

#include <math.h>

static void add(const float *a, const float *b, int64_t n, float *out) {
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(out + i, _mm256_add_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i)));
    ref_add(a + i, b + i, n - i, out + i);
}

ALWAYS_INLINE __m256d low_pd(__m256 v) {
    return _mm256_cvtps_pd(_mm256_castps256_ps128(v));
}
ALWAYS_INLINE __m256d high_pd(__m256 v) {
    return _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1));
}

/* sum of a[i] * b[i] * c[i], or of a[i] * b[i] without c, in double. */
ALWAYS_INLINE double product_sum(const float *a, const float *b, const float *c, int64_t n) {
    __m256d low = _mm256_setzero_pd(), high = _mm256_setzero_pd();
    for (int64_t i = 0; i < n; i += 8) {
        __m256 x = load_lanes(a + i, n - i), y = load_lanes(b + i, n - i);
        if (c) y = _mm256_mul_ps(y, load_lanes(c + i, n - i));
        low = _mm256_fmadd_pd(low_pd(x), low_pd(y), low);
        high = _mm256_fmadd_pd(high_pd(x), high_pd(y), high);
    }
    return sum_lanes_pd(_mm256_add_pd(low, high));
}

static double sum_squares(const float *x, int64_t n) {
    return product_sum(x, x, NULL, n);
}

static double inverse_rms(const float *x, int64_t n, float eps) {
    return 1.0 / sqrt(sum_squares(x, n) / (double)n + eps);
}

static void rmsnorm_row(const float *x, const float *gamma, int64_t n, float eps, float *y) {
    __m256 r = _mm256_set1_ps((float)inverse_rms(x, n, eps));
    for (int64_t i = 0; i < n; i += 8) {
        __m256 scaled = _mm256_mul_ps(load_lanes(x + i, n - i), r);
        store_lanes(y + i, n - i, _mm256_mul_ps(scaled, load_lanes(gamma + i, n - i)));
    }
}

static void rmsnorm_backward_row(const float *x, const float *gamma, const float *dy, int64_t n,
                                 float eps, float *dx, bool keep) {
    double inverse = inverse_rms(x, n, eps);
    double pull = inverse * inverse * product_sum(x, gamma, dy, n) / (double)n;
    __m256 r = _mm256_set1_ps((float)inverse), back = _mm256_set1_ps((float)pull);
    for (int64_t i = 0; i < n; i += 8) {
        __m256 u = _mm256_mul_ps(load_lanes(dy + i, n - i), load_lanes(gamma + i, n - i));
        u = _mm256_fnmadd_ps(load_lanes(x + i, n - i), back, u);
        __m256 old = keep ? load_lanes(dx + i, n - i) : _mm256_setzero_ps();
        store_lanes(dx + i, n - i, _mm256_fmadd_ps(r, u, old));
    }
}

static void rope_row(float *x, int64_t heads, int64_t head_dim, const float *table,
                     bool interleaved, bool inverse) {
    int64_t half = head_dim / 2;
    if (interleaved || half % 8 != 0) {
        ref_rope_row(x, heads, head_dim, table, interleaved, inverse);
        return;
    }
    __m256 sign = _mm256_set1_ps(inverse ? -1.0f : 1.0f);
    for (int64_t h = 0; h < heads; h++, x += head_dim) {
        for (int64_t j = 0; j < half; j += 8) {
            __m256 a = _mm256_loadu_ps(x + j), b = _mm256_loadu_ps(x + half + j);
            __m256 c = _mm256_loadu_ps(table + j);
            __m256 s = _mm256_mul_ps(sign, _mm256_loadu_ps(table + half + j));
            _mm256_storeu_ps(x + j, _mm256_fnmadd_ps(b, s, _mm256_mul_ps(a, c)));
            _mm256_storeu_ps(x + half + j, _mm256_fmadd_ps(a, s, _mm256_mul_ps(b, c)));
        }
    }
}

ALWAYS_INLINE __m256 sigmoid(__m256 z) {
    const __m256 one = _mm256_set1_ps(1);
    __m256 e = exp_ps(_mm256_sub_ps(_mm256_setzero_ps(), z));
    return _mm256_div_ps(one, _mm256_add_ps(one, e));
}

ALWAYS_INLINE __m256 activate(activation act, __m256 z) {
    if (act == ACTIVATION_SILU) return _mm256_mul_ps(z, sigmoid(z));
    __m256 positive = _mm256_max_ps(_mm256_setzero_ps(), z);
    return _mm256_mul_ps(positive, positive);
}

ALWAYS_INLINE __m256 activate_derivative(activation act, __m256 z) {
    const __m256 one = _mm256_set1_ps(1);
    if (act == ACTIVATION_RELU2) {
        __m256 positive = _mm256_max_ps(_mm256_setzero_ps(), z);
        return _mm256_add_ps(positive, positive);
    }
    __m256 s = sigmoid(z);
    __m256 rest = _mm256_mul_ps(z, _mm256_sub_ps(one, s));
    return _mm256_fmadd_ps(s, rest, s);
}

ALWAYS_INLINE void glu_loop(activation act, const float *gate, const float *up, int64_t n,
                            float *out) {
    for (int64_t i = 0; i < n; i += 8) {
        __m256 value = activate(act, load_lanes(gate + i, n - i));
        store_lanes(out + i, n - i, _mm256_mul_ps(value, load_lanes(up + i, n - i)));
    }
}

static void glu(activation act, const float *gate, const float *up, int64_t n, float *out) {
    if (act == ACTIVATION_SILU)
        glu_loop(ACTIVATION_SILU, gate, up, n, out);
    else
        glu_loop(ACTIVATION_RELU2, gate, up, n, out);
}

ALWAYS_INLINE void glu_backward_loop(activation act, const float *gate, const float *up,
                                     const float *dout, int64_t n, float *dgate, float *dup) {
    for (int64_t i = 0; i < n; i += 8) {
        __m256 z = load_lanes(gate + i, n - i), d = load_lanes(dout + i, n - i);
        __m256 du = _mm256_mul_ps(d, load_lanes(up + i, n - i));
        store_lanes(dgate + i, n - i, _mm256_mul_ps(du, activate_derivative(act, z)));
        store_lanes(dup + i, n - i, _mm256_mul_ps(d, activate(act, z)));
    }
}

static void glu_backward(activation act, const float *gate, const float *up, const float *dout,
                         int64_t n, float *dgate, float *dup) {
    if (act == ACTIVATION_SILU)
        glu_backward_loop(ACTIVATION_SILU, gate, up, dout, n, dgate, dup);
    else
        glu_backward_loop(ACTIVATION_RELU2, gate, up, dout, n, dgate, dup);
}

/* sum of exp(x - highest) in double; the terms are left in x if keep. */
static double exp_sum(float *x, int64_t n, float highest, bool keep) {
    __m256d low = _mm256_setzero_pd(), high = _mm256_setzero_pd();
    for (int64_t i = 0; i < n; i += 8) {
        __m256 e = exp_ps(_mm256_sub_ps(load_lanes(x + i, n - i), _mm256_set1_ps(highest)));
        if (keep) store_lanes(x + i, n - i, e);
        if (n - i < 8) e = _mm256_and_ps(e, _mm256_castsi256_ps(lane_mask(n - i)));
        low = _mm256_add_pd(low, low_pd(e));
        high = _mm256_add_pd(high, high_pd(e));
    }
    return sum_lanes_pd(_mm256_add_pd(low, high));
}

static float softmax_loss_row(float *logits, int64_t n, int64_t target, float grad_scale) {
    float highest = row_max(logits, n);
    double right = (double)logits[target] - highest;
    double total = exp_sum(logits, n, highest, grad_scale != 0);
    float loss = (float)(log(total) - right);
    if (grad_scale == 0) return loss;
    float of_target = (float)(grad_scale * (logits[target] / total - 1));
    __m256 gain = _mm256_set1_ps((float)(grad_scale / total));
    for (int64_t i = 0; i < n; i += 8)
        store_lanes(logits + i, n - i, _mm256_mul_ps(load_lanes(logits + i, n - i), gain));
    logits[target] = of_target;
    return loss;
}

/* Operation by operation as ref_adamw, so that every bit agrees. */
static void adamw(const adamw_settings *s, int64_t n, float *p, const float *g, float *m,
                  float *v) {
    __m256 keep = _mm256_set1_ps(1.0f - s->rate * s->weight_decay);
    __m256 beta1 = _mm256_set1_ps(s->beta1), gain1 = _mm256_set1_ps(1.0f - s->beta1);
    __m256 beta2 = _mm256_set1_ps(s->beta2), gain2 = _mm256_set1_ps(1.0f - s->beta2);
    __m256 rate = _mm256_set1_ps(s->rate), epsilon = _mm256_set1_ps(s->epsilon);
    __m256 correction1 = _mm256_set1_ps(s->correction1);
    __m256 correction2 = _mm256_set1_ps(s->correction2);
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 grad = _mm256_mul_ps(_mm256_loadu_ps(g + i), _mm256_set1_ps(s->grad_scale));
        __m256 mean =
            _mm256_add_ps(_mm256_mul_ps(beta1, _mm256_loadu_ps(m + i)), _mm256_mul_ps(gain1, grad));
        __m256 square = _mm256_add_ps(_mm256_mul_ps(beta2, _mm256_loadu_ps(v + i)),
                                      _mm256_mul_ps(gain2, _mm256_mul_ps(grad, grad)));
        __m256 step = _mm256_mul_ps(rate, _mm256_div_ps(mean, correction1));
        __m256 root = _mm256_sqrt_ps(_mm256_div_ps(square, correction2));
        step = _mm256_div_ps(step, _mm256_add_ps(root, epsilon));
        _mm256_storeu_ps(m + i, mean);
        _mm256_storeu_ps(v + i, square);
        _mm256_storeu_ps(p + i, _mm256_sub_ps(_mm256_mul_ps(_mm256_loadu_ps(p + i), keep), step));
    }
    ref_adamw(s, n - i, p + i, g + i, m + i, v + i);
}

void kernels_init_avx2(kernels *k) {
    k->name = "avx2";
    k->quantise_row = avx2_quantise_row;
    k->ternary_matmul = avx2_ternary_matmul;
    k->ternary_matmul_f32 = avx2_ternary_matmul_f32;
    k->ternary_matmul_t = avx2_ternary_matmul_t;
    k->ternary_unpack_rows = avx2_ternary_unpack_rows;
    k->gradient_row = avx2_gradient_row;
    k->ternary_matmul_t_i16 = avx2_ternary_matmul_t_i16;
    k->dense_row = avx2_dense_row;
    k->dense_matmul = avx2_dense_matmul;
    k->dense_matmul_t = avx2_dense_matmul_t;
    k->gemm_nt = avx2_gemm_nt;
    k->gemm_nn = avx2_gemm_nn;
    k->gemm_tn = avx2_gemm_tn;
    k->rmsnorm_row = rmsnorm_row;
    k->rmsnorm_backward_row = rmsnorm_backward_row;
    k->rope_row = rope_row;
    k->attention = avx2_attention;
    k->attention_backward = avx2_attention_backward;
    k->glu = glu;
    k->glu_backward = glu_backward;
    k->softmax_loss_row = softmax_loss_row;
    k->add = add;
    k->sum_squares = sum_squares;
    k->adamw = adamw;
}
#endif
