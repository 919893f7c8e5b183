/* The backward kernels of the scalar table against central differences of the same formulas written
 * here in double. */
#include "kernel/kernel.h"

#include "base/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* A scalar function of n doubles, and what else it reads. */
typedef double objective(const double *x, const void *context);

static uint64_t draws;
static float draw(void) {
    return 2 * rng_uniform(77, draws++) - 1;
}

static void fill(float *x, double *wide, int n) {
    for (int i = 0; i < n; i++) wide[i] = x[i] = draw();
}

/* Step 1e-4 in double: truncation about 1e-8, cancellation about 1e-12 of f / step. */
static void assert_gradient(const char *what, objective *f, const void *context, double *x,
                            const float *gradient, int n) {
    const double step = 1e-4;
    for (int i = 0; i < n; i++) {
        double kept = x[i];
        x[i] = kept + step;
        double high = f(x, context);
        x[i] = kept - step;
        double low = f(x, context);
        x[i] = kept;
        double numeric = (high - low) / (2 * step);
        if (fabs(numeric - gradient[i]) > 2e-6 * (1 + fabs(numeric)))
            fail_msg("%s[%d]: numeric %.9g, analytic %.9g", what, i, numeric, gradient[i]);
    }
}

static kernels table(void) {
    kernels k;
    kernels_init_ref(&k);
    draws = 0;
    return k;
}

enum { WIDTH = 24 };

typedef struct norm_context {
    double gamma[WIDTH], dy[WIDTH], eps;
} norm_context;

static double norm_objective(const double *x, const void *context) {
    const norm_context *c = context;
    double squares = 0, sum = 0;
    for (int i = 0; i < WIDTH; i++) squares += x[i] * x[i];
    double r = 1 / sqrt(squares / WIDTH + c->eps);
    for (int i = 0; i < WIDTH; i++) sum += c->dy[i] * c->gamma[i] * x[i] * r;
    return sum;
}

static void test_rmsnorm(void **state) {
    (void)state;
    kernels k = table();
    norm_context c = {.eps = (double)1e-2f};
    float x[WIDTH], gamma[WIDTH], dy[WIDTH], dx[WIDTH], twice[WIDTH], y[WIDTH];
    double wide[WIDTH], sum = 0;
    fill(x, wide, WIDTH);
    fill(gamma, c.gamma, WIDTH);
    fill(dy, c.dy, WIDTH);
    k.rmsnorm_row(x, gamma, WIDTH, 1e-2f, y);
    for (int i = 0; i < WIDTH; i++) sum += (double)dy[i] * y[i];
    assert_true(fabs(sum - norm_objective(wide, &c)) < 1e-5);
    k.rmsnorm_backward_row(x, gamma, dy, WIDTH, 1e-2f, dx, false);
    assert_gradient("dx", norm_objective, &c, wide, dx, WIDTH);
    memcpy(twice, dx, sizeof dx);
    k.rmsnorm_backward_row(x, gamma, dy, WIDTH, 1e-2f, twice, true);
    for (int i = 0; i < WIDTH; i++) assert_true(fabsf(twice[i] - 2 * dx[i]) < 1e-6f);
}

typedef struct glu_context {
    activation act;
    double dout[WIDTH];
} glu_context;

/* x: gates, then ups. */
static double glu_objective(const double *x, const void *context) {
    const glu_context *c = context;
    double sum = 0;
    for (int i = 0; i < WIDTH; i++) {
        double z = x[i], a = c->act == ACTIVATION_SILU ? z / (1 + exp(-z)) : z > 0 ? z * z : 0;
        sum += c->dout[i] * a * x[WIDTH + i];
    }
    return sum;
}

static void test_glu(void **state) {
    (void)state;
    kernels k = table();
    for (int act = ACTIVATION_RELU2; act <= ACTIVATION_SILU; act++) {
        glu_context c = {.act = (activation)act};
        float x[2 * WIDTH], dout[WIDTH], dx[2 * WIDTH], out[WIDTH];
        double wide[2 * WIDTH], sum = 0;
        fill(x, wide, 2 * WIDTH);
        fill(dout, c.dout, WIDTH);
        k.glu(c.act, x, x + WIDTH, WIDTH, out);
        for (int i = 0; i < WIDTH; i++) sum += (double)dout[i] * out[i];
        assert_true(fabs(sum - glu_objective(wide, &c)) < 1e-5);
        k.glu_backward(c.act, x, x + WIDTH, dout, WIDTH, dx, dx + WIDTH);
        assert_gradient("dgate, dup", glu_objective, &c, wide, dx, 2 * WIDTH);
    }
}

/* The inverse rotation is the backward: it is the transpose, so <R x, y> = <x, R^-1 y>. */
static void test_rope(void **state) {
    (void)state;
    kernels k = table();
    for (int interleaved = 0; interleaved < 2; interleaved++) {
        float x[WIDTH], y[WIDTH], table_row[8], rotated[WIDTH], back[WIDTH];
        double left = 0, right = 0, turned = 0;
        for (int i = 0; i < WIDTH; i++) rotated[i] = x[i] = draw(), back[i] = y[i] = draw();
        for (int j = 0; j < 4; j++) {
            table_row[j] = (float)cos(0.3 + j);
            table_row[4 + j] = (float)sin(0.3 + j);
        }
        k.rope_row(rotated, 3, 8, table_row, interleaved, false);
        k.rope_row(back, 3, 8, table_row, interleaved, true);
        int partner = interleaved ? 1 : 4;
        float first = (float)(x[0] * cos(0.3) - x[partner] * sin(0.3));
        assert_true(fabsf(rotated[0] - first) < 1e-6f);
        for (int i = 0; i < WIDTH; i++) {
            left += (double)rotated[i] * y[i];
            right += (double)x[i] * back[i];
            turned += fabs(rotated[i] - x[i]);
        }
        assert_true(turned > 1);
        assert_true(fabs(left - right) < 1e-5);
    }
}

enum {
    TOKENS = 7,
    HEADS = 4,
    KV_HEADS = 2,
    HEAD = 5,
    Q_COUNT = TOKENS * HEADS * HEAD,
    KV_COUNT = TOKENS * KV_HEADS * HEAD,
    ALL = Q_COUNT + 2 * KV_COUNT
};
static const int32_t first_key[TOKENS] = {0, 0, 0, 3, 3, 3, 5}; /* two documents, one windowed */
static const int32_t last_key[TOKENS] = {0, 1, 2, 3, 4, 5, 6};

/* dout . attention of one query, in double. */
static double query_objective(const double *q, const double *k, const double *v, const double *dout,
                              int t) {
    double scores[TOKENS], total = 0, sum = 0;
    for (int j = first_key[t]; j <= last_key[t]; j++) {
        scores[j] = 0;
        for (int i = 0; i < HEAD; i++) scores[j] += q[i] * k[j * KV_HEADS * HEAD + i];
        scores[j] = exp(0.4f * scores[j]);
        total += scores[j];
    }
    for (int j = first_key[t]; j <= last_key[t]; j++)
        for (int i = 0; i < HEAD; i++)
            sum += scores[j] / total * v[j * KV_HEADS * HEAD + i] * dout[i];
    return sum;
}

/* x: q, k, v; context: dout. */
static double attention_objective(const double *x, const void *context) {
    const double *dout = context, *k = x + Q_COUNT, *v = k + KV_COUNT;
    double sum = 0;
    for (int t = 0; t < TOKENS; t++) {
        for (int h = 0; h < HEADS; h++) {
            int query = (t * HEADS + h) * HEAD, key = h / (HEADS / KV_HEADS) * HEAD;
            sum += query_objective(x + query, k + key, v + key, dout + query, t);
        }
    }
    return sum;
}

static void test_attention(void **state) {
    (void)state;
    kernels k = table();
    float x[ALL], dx[ALL], dout[Q_COUNT], out[Q_COUNT];
    float scratch[2 * ATTENTION_QUERIES * TOKENS];
    double wide[ALL], wide_dout[Q_COUNT], sum = 0;
    const attention_shape shape = {HEADS,        KV_HEADS,        HEAD,      0.4f,
                                   HEADS * HEAD, KV_HEADS * HEAD, first_key, last_key};
    fill(x, wide, ALL);
    fill(dout, wide_dout, Q_COUNT);
    const float *keys = x + Q_COUNT, *values = keys + KV_COUNT;
    for (int h = 0; h < HEADS; h++)
        k.attention(&shape, h, 0, TOKENS, x, keys, values, out, scratch);
    for (int i = 0; i < Q_COUNT; i++) sum += (double)dout[i] * out[i];
    assert_true(fabs(sum - attention_objective(wide, wide_dout)) < 1e-5);
    for (int h = 0; h < KV_HEADS; h++)
        k.attention_backward(&shape, h, 0, TOKENS, x, keys, values, dout, dx, dx + Q_COUNT,
                             dx + Q_COUNT + KV_COUNT, scratch);
    assert_gradient("dq, dk, dv", attention_objective, wide_dout, wide, dx, ALL);
}

static double loss_objective(const double *x, const void *context) {
    double total = 0;
    for (int i = 0; i < WIDTH; i++) total += exp(x[i]);
    return 0.7f * (log(total) - x[*(const int *)context]);
}

static void test_softmax_loss(void **state) {
    (void)state;
    kernels k = table();
    float logits[WIDTH];
    double wide[WIDTH];
    for (int target = 0; target < WIDTH; target += 5) {
        fill(logits, wide, WIDTH);
        float loss = k.softmax_loss_row(logits, WIDTH, target, 0);
        assert_true(fabs(0.7f * loss - loss_objective(wide, &target)) < 1e-5);
        k.softmax_loss_row(logits, WIDTH, target, 0.7f);
        assert_gradient("dlogits", loss_objective, &target, wide, logits, WIDTH);
    }
}

static void test_softmax_loss_is_stable(void **state) {
    (void)state;
    kernels k = table();
    float logits[3] = {3e38f, -3e38f, 0};
    assert_true(k.softmax_loss_row(logits, 3, 0, 1.0f) == 0.0f);
    for (int i = 0; i < 3; i++) assert_true(logits[i] == 0.0f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rmsnorm),      cmocka_unit_test(test_glu),
        cmocka_unit_test(test_rope),         cmocka_unit_test(test_attention),
        cmocka_unit_test(test_softmax_loss), cmocka_unit_test(test_softmax_loss_is_stable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
