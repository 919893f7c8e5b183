/* Scalar C of the row and element operations: norms, rotation, activation, loss, optimizer. */
#include "kernel/ref.h"

#include "base/rng.h"

#include <math.h>

/* 1 / sqrt(mean(x^2) + eps) */
static double inverse_rms(const float *x, int64_t n, float eps) {
    return 1.0 / sqrt(ref_sum_squares(x, n) / (double)n + eps);
}

void ref_rmsnorm_row(const float *x, const float *gamma, int64_t n, float eps, float *y) {
    double r = inverse_rms(x, n, eps);
    for (int64_t i = 0; i < n; i++) y[i] = (float)(x[i] * r * gamma[i]);
}

void ref_rmsnorm_backward_row(const float *x, const float *gamma, const float *dy, int64_t n,
                              float eps, float *dx, bool add) {
    double r = inverse_rms(x, n, eps), dot = 0;
    for (int64_t i = 0; i < n; i++) dot += (double)dy[i] * gamma[i] * x[i];
    double pull = r * r * dot / (double)n;
    for (int64_t i = 0; i < n; i++) {
        double value = r * ((double)dy[i] * gamma[i] - x[i] * pull);
        dx[i] = (float)(add ? dx[i] + value : value);
    }
}

static void rotate(float *a, float *b, double c, double s) {
    double x = *a, y = *b;
    *a = (float)(x * c - y * s);
    *b = (float)(x * s + y * c);
}

void ref_rope_row(float *x, int64_t heads, int64_t head_dim, const float *table, bool interleaved,
                  bool inverse) {
    int64_t half = head_dim / 2;
    const float *cosines = table, *sines = table + half;
    for (int64_t h = 0; h < heads; h++, x += head_dim) {
        for (int64_t j = 0; j < half; j++) {
            float s = inverse ? -sines[j] : sines[j];
            if (interleaved)
                rotate(&x[2 * j], &x[2 * j + 1], cosines[j], s);
            else
                rotate(&x[j], &x[half + j], cosines[j], s);
        }
    }
}

static double sigmoid(double z) {
    return 1.0 / (1.0 + exp(-z));
}

static double activate(activation act, double z) {
    if (act == ACTIVATION_SILU) return z * sigmoid(z);
    return z <= 0 ? 0 : z * z; /* NaN stays NaN */
}

static double activate_derivative(activation act, double z) {
    if (act == ACTIVATION_RELU2) return z <= 0 ? 0 : 2 * z;
    double s = sigmoid(z);
    return s * (1 + z * (1 - s));
}

void ref_glu(activation act, const float *gate, const float *up, int64_t n, float *out) {
    for (int64_t i = 0; i < n; i++) out[i] = (float)(activate(act, gate[i]) * up[i]);
}

void ref_glu_backward(activation act, const float *gate, const float *up, const float *dout,
                      int64_t n, float *dgate, float *dup) {
    for (int64_t i = 0; i < n; i++) {
        double z = gate[i], u = up[i], d = dout[i];
        dgate[i] = (float)(d * u * activate_derivative(act, z));
        dup[i] = (float)(d * activate(act, z));
    }
}

float ref_softmax_loss_row(float *logits, int64_t n, int64_t target, float grad_scale) {
    float highest = logits[0];
    for (int64_t i = 1; i < n; i++) highest = fmaxf(highest, logits[i]);
    double total = 0;
    for (int64_t i = 0; i < n; i++) total += exp((double)logits[i] - highest);
    float loss = (float)(log(total) - ((double)logits[target] - highest));
    if (grad_scale == 0) return loss;
    for (int64_t i = 0; i < n; i++) {
        double p = exp((double)logits[i] - highest) / total;
        logits[i] = (float)(grad_scale * (i == target ? p - 1 : p));
    }
    return loss;
}

void ref_add(const float *a, const float *b, int64_t n, float *out) {
    for (int64_t i = 0; i < n; i++) out[i] = a[i] + b[i];
}

double ref_sum_squares(const float *x, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)x[i] * x[i];
    return sum;
}

/* The order of the operations is part of the contract: every step is rounded to float32. */
void ref_adamw(const adamw_settings *s, int64_t n, float *p, const float *g, float *m, float *v) {
    float keep = 1.0f - s->rate * s->weight_decay;
    float gain1 = 1.0f - s->beta1, gain2 = 1.0f - s->beta2;
    for (int64_t i = 0; i < n; i++) {
        float grad = g[i] * s->grad_scale;
        m[i] = s->beta1 * m[i] + gain1 * grad;
        v[i] = s->beta2 * v[i] + gain2 * (grad * grad);
        float step = s->rate * (m[i] / s->correction1);
        p[i] = p[i] * keep - step / (sqrtf(v[i] / s->correction2) + s->epsilon);
    }
}

void ref_dropout(const float *x, int64_t n, float p, uint64_t seed, uint64_t first, float *y,
                 bool add) {
    float gain = 1.0f / (1.0f - p);
    for (int64_t i = 0; i < n; i++) {
        float value = rng_uniform(seed, first + (uint64_t)i) >= p ? x[i] * gain : 0.0f;
        y[i] = add ? y[i] + value : value;
    }
}
