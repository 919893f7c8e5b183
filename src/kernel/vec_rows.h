/* Row and element operations for any vector ISA (vec.h): norms, rotation, activation, loss,
 * optimizer. */
#ifndef WEFT_KERNEL_VEC_ROWS_H
#define WEFT_KERNEL_VEC_ROWS_H

#include "kernel/ref.h"
#include "kernel/vec.h"

#include <math.h>

static inline void add_rows(const float *a, const float *b, int64_t n, float *out) {
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) vec_store(out + i, vec_load(a + i) + vec_load(b + i));
    ref_add(a + i, b + i, n - i, out + i);
}

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

static inline void rope_row(float *x, int64_t heads, int64_t head_dim, const float *table,
                            bool interleaved, bool inverse) {
    int64_t half = head_dim / 2;
    if (interleaved || half % LANES != 0) {
        ref_rope_row(x, heads, head_dim, table, interleaved, inverse);
        return;
    }
    const vec sign = vec_set(inverse ? -1.0f : 1.0f);
    for (int64_t h = 0; h < heads; h++, x += head_dim) {
        for (int64_t j = 0; j < half; j += LANES) {
            vec a = vec_load(x + j), b = vec_load(x + half + j);
            vec c = vec_load(table + j), s = sign * vec_load(table + half + j);
            vec_store(x + j, vec_fnma(b, s, a * c));
            vec_store(x + half + j, vec_fma(a, s, b * c));
        }
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

ALWAYS_INLINE vec activate_derivative(activation act, vec z) {
    if (act == ACTIVATION_RELU2) {
        vec positive = vec_max(vec_zero(), z);
        return positive + positive;
    }
    vec s = sigmoid(z);
    return vec_fma(s, z * (vec_set(1) - s), s);
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

ALWAYS_INLINE void glu_backward_loop(activation act, const float *gate, const float *up,
                                     const float *dout, int64_t n, float *dgate, float *dup) {
    for (int64_t i = 0; i < n; i += LANES) {
        vec z = load_lanes(gate + i, n - i), d = load_lanes(dout + i, n - i);
        vec du = d * load_lanes(up + i, n - i);
        store_lanes(dgate + i, n - i, du * activate_derivative(act, z));
        store_lanes(dup + i, n - i, d * activate(act, z));
    }
}

static inline void glu_backward(activation act, const float *gate, const float *up,
                                const float *dout, int64_t n, float *dgate, float *dup) {
    if (act == ACTIVATION_SILU)
        glu_backward_loop(ACTIVATION_SILU, gate, up, dout, n, dgate, dup);
    else
        glu_backward_loop(ACTIVATION_RELU2, gate, up, dout, n, dgate, dup);
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

/* Operation by operation as ref_adamw, so that every bit agrees. */
static inline void adamw(const adamw_settings *s, int64_t n, float *p, const float *g, float *m,
                         float *v) {
    const vec keep = vec_set(1.0f - s->rate * s->weight_decay), scale = vec_set(s->grad_scale);
    const vec beta1 = vec_set(s->beta1), gain1 = vec_set(1.0f - s->beta1);
    const vec beta2 = vec_set(s->beta2), gain2 = vec_set(1.0f - s->beta2);
    const vec rate = vec_set(s->rate), epsilon = vec_set(s->epsilon);
    const vec correction1 = vec_set(s->correction1), correction2 = vec_set(s->correction2);
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        vec grad = vec_load(g + i) * scale;
        vec mean = beta1 * vec_load(m + i) + gain1 * grad;
        vec square = beta2 * vec_load(v + i) + gain2 * (grad * grad);
        vec step = rate * (mean / correction1);
        vec_store(m + i, mean);
        vec_store(v + i, square);
        step = step / (vec_sqrt(square / correction2) + epsilon);
        vec_store(p + i, vec_load(p + i) * keep - step);
    }
    ref_adamw(s, n - i, p + i, g + i, m + i, v + i);
}

#endif
