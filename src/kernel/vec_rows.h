/* Row operations for any vector ISA: norms, activation, loss. See vec.h. */
#ifndef WEFT_KERNEL_VEC_ROWS_H
#define WEFT_KERNEL_VEC_ROWS_H

#include "kernel/vec.h"

#include <math.h>

/* sum of a[i] * b[i] * c[i], or of a[i] * b[i] without c, in double. */
ALWAYS_INLINE double product_sum(const float *a, const float *b, const float *c, int64_t n) {
    vec_double low = vec_double_zero(), high = vec_double_zero();
    for (int64_t i = 0; i < n; i += LANES) {
        vec x = load_lanes(a + i, n - i), y = load_lanes(b + i, n - i);
        if (c) y = y * load_lanes(c + i, n - i);
        low = vec_double_fma(vec_low_double(x), vec_low_double(y), low);
        high = vec_double_fma(vec_high_double(x), vec_high_double(y), high);
    }
    return vec_double_sum(low + high);
}

static inline double sum_squares(const float *x, int64_t n) {
    return product_sum(x, x, NULL, n);
}

static inline double inverse_rms(const float *x, int64_t n, float eps) {
    return 1.0 / sqrt(sum_squares(x, n) / (double)n + eps);
}

static inline void rmsnorm_row(const float *x, const float *gamma, int64_t n, float eps, float *y) {
    vec r = vec_set((float)inverse_rms(x, n, eps));
    for (int64_t i = 0; i < n; i += LANES) {
        vec scaled = load_lanes(x + i, n - i) * r;
        store_lanes(y + i, n - i, scaled * load_lanes(gamma + i, n - i));
    }
}

static inline void rmsnorm_backward_row(const float *x, const float *gamma, const float *dy,
                                        int64_t n, float eps, float *dx, bool keep) {
    double inverse = inverse_rms(x, n, eps);
    double pull = inverse * inverse * product_sum(x, gamma, dy, n) / (double)n;
    vec r = vec_set((float)inverse), back = vec_set((float)pull);
    for (int64_t i = 0; i < n; i += LANES) {
        vec u = load_lanes(dy + i, n - i) * load_lanes(gamma + i, n - i);
        u = vec_fnma(load_lanes(x + i, n - i), back, u);
        vec old = keep ? load_lanes(dx + i, n - i) : vec_zero();
        store_lanes(dx + i, n - i, vec_fma(r, u, old));
    }
}

ALWAYS_INLINE vec sigmoid(vec z) {
    const vec one = vec_set(1);
    vec e = vec_exp(vec_zero() - z);
    return one / (one + e);
}

ALWAYS_INLINE vec activate(activation act, vec z) {
    if (act == ACTIVATION_SILU) return z * sigmoid(z);
    vec positive = vec_max(vec_zero(), z);
    return positive * positive;
}

ALWAYS_INLINE void glu_loop(activation act, const float *gate, const float *up, int64_t n,
                            float *out) {
    for (int64_t i = 0; i < n; i += LANES) {
        vec value = activate(act, load_lanes(gate + i, n - i));
        store_lanes(out + i, n - i, value * load_lanes(up + i, n - i));
    }
}

static inline void glu(activation act, const float *gate, const float *up, int64_t n, float *out) {
    if (act == ACTIVATION_SILU)
        glu_loop(ACTIVATION_SILU, gate, up, n, out);
    else
        glu_loop(ACTIVATION_RELU2, gate, up, n, out);
}

/* sum of exp(x - highest) in double; the terms are left in x if keep. */
static inline double exp_sum(float *x, int64_t n, float highest, bool keep) {
    vec_double low = vec_double_zero(), high = vec_double_zero();
    for (int64_t i = 0; i < n; i += LANES) {
        vec e = vec_exp(load_lanes(x + i, n - i) - vec_set(highest));
        if (keep) store_lanes(x + i, n - i, e);
        if (n - i < LANES) e = vec_keep_some(e, n - i);
        low = low + vec_low_double(e);
        high = high + vec_high_double(e);
    }
    return vec_double_sum(low + high);
}

static inline float softmax_loss_row(float *logits, int64_t n, int64_t target, float grad_scale) {
    float highest = row_max(logits, n);
    double right = (double)logits[target] - highest;
    double total = exp_sum(logits, n, highest, grad_scale != 0);
    float loss = (float)(log(total) - right);
    if (grad_scale == 0) return loss;
    float of_target = (float)(grad_scale * (logits[target] / total - 1));
    vec gain = vec_set((float)(grad_scale / total));
    for (int64_t i = 0; i < n; i += LANES)
        store_lanes(logits + i, n - i, load_lanes(logits + i, n - i) * gain);
    logits[target] = of_target;
    return loss;
}

#endif
