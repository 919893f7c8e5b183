/* The NEON table, and its row and element operations: norms, rotation, activation, loss, optimizer.
 */
#if defined(__aarch64__)
#include "kernel/neon.h"

#include "kernel/ref.h"

#include <math.h>

static void add(const float *a, const float *b, int64_t n, float *out) {
    int64_t i = 0;
    for (; i + 4 <= n; i += 4) vst1q_f32(out + i, vaddq_f32(vld1q_f32(a + i), vld1q_f32(b + i)));
    ref_add(a + i, b + i, n - i, out + i);
}

/* sum of a[i] * b[i] * c[i], or of a[i] * b[i] without c, in double. */
ALWAYS_INLINE double product_sum(const float *a, const float *b, const float *c, int64_t n) {
    float64x2_t low = vdupq_n_f64(0), high = vdupq_n_f64(0);
    for (int64_t i = 0; i < n; i += 4) {
        float32x4_t x = load_lanes(a + i, n - i), y = load_lanes(b + i, n - i);
        if (c) y = vmulq_f32(y, load_lanes(c + i, n - i));
        low = vfmaq_f64(low, vcvt_f64_f32(vget_low_f32(x)), vcvt_f64_f32(vget_low_f32(y)));
        high = vfmaq_f64(high, vcvt_high_f64_f32(x), vcvt_high_f64_f32(y));
    }
    return vaddvq_f64(vaddq_f64(low, high));
}

static double sum_squares(const float *x, int64_t n) {
    return product_sum(x, x, NULL, n);
}

static double inverse_rms(const float *x, int64_t n, float eps) {
    return 1.0 / sqrt(sum_squares(x, n) / (double)n + eps);
}

static void rmsnorm_row(const float *x, const float *gamma, int64_t n, float eps, float *y) {
    float r = (float)inverse_rms(x, n, eps);
    for (int64_t i = 0; i < n; i += 4) {
        float32x4_t scaled = vmulq_n_f32(load_lanes(x + i, n - i), r);
        store_lanes(y + i, n - i, vmulq_f32(scaled, load_lanes(gamma + i, n - i)));
    }
}

static void rmsnorm_backward_row(const float *x, const float *gamma, const float *dy, int64_t n,
                                 float eps, float *dx, bool keep) {
    double inverse = inverse_rms(x, n, eps);
    double pull = inverse * inverse * product_sum(x, gamma, dy, n) / (double)n;
    float32x4_t r = vdupq_n_f32((float)inverse), back = vdupq_n_f32((float)pull);
    for (int64_t i = 0; i < n; i += 4) {
        float32x4_t u = vmulq_f32(load_lanes(dy + i, n - i), load_lanes(gamma + i, n - i));
        u = vfmsq_f32(u, load_lanes(x + i, n - i), back);
        float32x4_t old = keep ? load_lanes(dx + i, n - i) : vdupq_n_f32(0);
        store_lanes(dx + i, n - i, vfmaq_f32(old, r, u));
    }
}

/* (a, b) turned by the angles whose cosines and sines are c and s. */
ALWAYS_INLINE float32x4x2_t rotate(float32x4_t a, float32x4_t b, float32x4_t c, float32x4_t s) {
    float32x4x2_t turned = {{vfmsq_f32(vmulq_f32(a, c), b, s), vfmaq_f32(vmulq_f32(b, c), a, s)}};
    return turned;
}

static void rope_row(float *x, int64_t heads, int64_t head_dim, const float *table,
                     bool interleaved, bool inverse) {
    int64_t half = head_dim / 2;
    if (half % 4 != 0) {
        ref_rope_row(x, heads, head_dim, table, interleaved, inverse);
        return;
    }
    for (int64_t h = 0; h < heads; h++, x += head_dim) {
        for (int64_t j = 0; j < half; j += 4) {
            float32x4_t c = vld1q_f32(table + j), s = vld1q_f32(table + half + j);
            if (inverse) s = vnegq_f32(s);
            if (interleaved) {
                float32x4x2_t pairs = vld2q_f32(x + 2 * j);
                vst2q_f32(x + 2 * j, rotate(pairs.val[0], pairs.val[1], c, s));
            } else {
                float32x4x2_t pairs = rotate(vld1q_f32(x + j), vld1q_f32(x + half + j), c, s);
                vst1q_f32(x + j, pairs.val[0]);
                vst1q_f32(x + half + j, pairs.val[1]);
            }
        }
    }
}

ALWAYS_INLINE float32x4_t sigmoid(float32x4_t z) {
    const float32x4_t one = vdupq_n_f32(1);
    return vdivq_f32(one, vaddq_f32(one, exp_ps(vnegq_f32(z))));
}

ALWAYS_INLINE float32x4_t activate(activation act, float32x4_t z) {
    if (act == ACTIVATION_SILU) return vmulq_f32(z, sigmoid(z));
    float32x4_t positive = vmaxq_f32(vdupq_n_f32(0), z);
    return vmulq_f32(positive, positive);
}

ALWAYS_INLINE float32x4_t activate_derivative(activation act, float32x4_t z) {
    if (act == ACTIVATION_RELU2) {
        float32x4_t positive = vmaxq_f32(vdupq_n_f32(0), z);
        return vaddq_f32(positive, positive);
    }
    float32x4_t s = sigmoid(z), rest = vmulq_f32(z, vsubq_f32(vdupq_n_f32(1), s));
    return vfmaq_f32(s, s, rest);
}

ALWAYS_INLINE void glu_loop(activation act, const float *gate, const float *up, int64_t n,
                            float *out) {
    for (int64_t i = 0; i < n; i += 4) {
        float32x4_t value = activate(act, load_lanes(gate + i, n - i));
        store_lanes(out + i, n - i, vmulq_f32(value, load_lanes(up + i, n - i)));
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
    for (int64_t i = 0; i < n; i += 4) {
        float32x4_t z = load_lanes(gate + i, n - i), d = load_lanes(dout + i, n - i);
        float32x4_t du = vmulq_f32(d, load_lanes(up + i, n - i));
        store_lanes(dgate + i, n - i, vmulq_f32(du, activate_derivative(act, z)));
        store_lanes(dup + i, n - i, vmulq_f32(d, activate(act, z)));
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
    float64x2_t low = vdupq_n_f64(0), high = vdupq_n_f64(0);
    for (int64_t i = 0; i < n; i += 4) {
        float32x4_t e = exp_ps(vsubq_f32(load_lanes(x + i, n - i), vdupq_n_f32(highest)));
        if (keep) store_lanes(x + i, n - i, e);
        if (n - i < 4) e = mask_lanes(e, lane_mask(n - i));
        low = vaddq_f64(low, vcvt_f64_f32(vget_low_f32(e)));
        high = vaddq_f64(high, vcvt_high_f64_f32(e));
    }
    return vaddvq_f64(vaddq_f64(low, high));
}

static float softmax_loss_row(float *logits, int64_t n, int64_t target, float grad_scale) {
    float highest = row_max(logits, n);
    double right = (double)logits[target] - highest;
    double total = exp_sum(logits, n, highest, grad_scale != 0);
    float loss = (float)(log(total) - right);
    if (grad_scale == 0) return loss;
    float of_target = (float)(grad_scale * (logits[target] / total - 1));
    float gain = (float)(grad_scale / total);
    for (int64_t i = 0; i < n; i += 4)
        store_lanes(logits + i, n - i, vmulq_n_f32(load_lanes(logits + i, n - i), gain));
    logits[target] = of_target;
    return loss;
}

/* Operation by operation as ref_adamw, so that every bit agrees. */
static void adamw(const adamw_settings *s, int64_t n, float *p, const float *g, float *m,
                  float *v) {
    const float keep = 1.0f - s->rate * s->weight_decay;
    const float gain1 = 1.0f - s->beta1, gain2 = 1.0f - s->beta2;
    const float32x4_t correction1 = vdupq_n_f32(s->correction1), epsilon = vdupq_n_f32(s->epsilon);
    const float32x4_t correction2 = vdupq_n_f32(s->correction2);
    int64_t i = 0;
    for (; i + 4 <= n; i += 4) {
        float32x4_t grad = vmulq_n_f32(vld1q_f32(g + i), s->grad_scale);
        float32x4_t mean =
            vaddq_f32(vmulq_n_f32(vld1q_f32(m + i), s->beta1), vmulq_n_f32(grad, gain1));
        float32x4_t square = vaddq_f32(vmulq_n_f32(vld1q_f32(v + i), s->beta2),
                                       vmulq_n_f32(vmulq_f32(grad, grad), gain2));
        float32x4_t step = vmulq_n_f32(vdivq_f32(mean, correction1), s->rate);
        float32x4_t root = vsqrtq_f32(vdivq_f32(square, correction2));
        step = vdivq_f32(step, vaddq_f32(root, epsilon));
        vst1q_f32(m + i, mean);
        vst1q_f32(v + i, square);
        vst1q_f32(p + i, vsubq_f32(vmulq_n_f32(vld1q_f32(p + i), keep), step));
    }
    ref_adamw(s, n - i, p + i, g + i, m + i, v + i);
}

void kernels_init_neon(kernels *k) {
    k->name = "neon";
    k->quantise_row = neon_quantise_row;
    k->ternary_matmul = neon_ternary_matmul;
    k->ternary_matmul_f32 = neon_ternary_matmul_f32;
    k->ternary_matmul_t = neon_ternary_matmul_t;
    k->gradient_row = neon_gradient_row;
    k->ternary_matmul_t_i16 = neon_ternary_matmul_t_i16;
    k->ternary_unpack_rows = neon_ternary_unpack_rows;
    k->dense_row = neon_dense_row;
    k->dense_matmul = neon_dense_matmul;
    k->dense_matmul_t = neon_dense_matmul_t;
    k->gemm_nt = neon_gemm_nt;
    k->gemm_nn = neon_gemm_nn;
    k->gemm_tn = neon_gemm_tn;
    k->rmsnorm_row = rmsnorm_row;
    k->rmsnorm_backward_row = rmsnorm_backward_row;
    k->rope_row = rope_row;
    k->attention = neon_attention;
    k->attention_backward = neon_attention_backward;
    k->glu = glu;
    k->glu_backward = glu_backward;
    k->softmax_loss_row = softmax_loss_row;
    k->add = add;
    k->sum_squares = sum_squares;
    k->adamw = adamw;
}
#endif
