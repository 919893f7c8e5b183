/* Buffers, fillings and comparisons of check_kernels. */
#include "check.h"

#include "base/rng.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { ALLOCATIONS_MAX = 256, GUARD = 16 };
#define ODD_NAN 0x7fc0beefu

static void *allocations[ALLOCATIONS_MAX];
static size_t allocation_count;

void *check_alloc(size_t bytes) {
    void *p = malloc(bytes ? bytes : 1);
    if (!p || allocation_count == ALLOCATIONS_MAX) {
        fprintf(stderr, "check_kernels: out of memory or of allocation slots\n");
        exit(1);
    }
    allocations[allocation_count++] = p;
    return p;
}

void check_free_all(void) {
    while (allocation_count > 0) free(allocations[--allocation_count]);
}

uint64_t check_random(check *c, uint64_t bound) {
    return rng_below(c->seed++, 1, bound);
}

static float random_float(check *c) {
    float unit = 2 * rng_uniform(c->seed++, 2) - 1;
    switch (c->fill) {
    case FILL_MAX:
        return 1.0f;
    case FILL_MIN:
        return -1.0f;
    case FILL_ZERO:
        return 0.0f;
    case FILL_TINY:
        return unit * 1e-12f;
    case FILL_HUGE:
        return unit * 1e9f;
    default:
        return unit;
    }
}

uint8_t *check_bytes(check *c, size_t n) {
    uint8_t *bytes = (uint8_t *)check_alloc(n + 1) + 1;
    for (size_t i = 0; i < n; i++) bytes[i] = (uint8_t)check_random(c, 256);
    return bytes;
}

float *check_floats(check *c, int64_t n) {
    float *x = (float *)check_alloc((size_t)(n + 1) * sizeof(float)) + 1;
    for (int64_t i = 0; i < n; i++) x[i] = random_float(c);
    return x;
}

int8_t *check_int8(check *c, int64_t n) {
    int8_t *q = (int8_t *)check_bytes(c, (size_t)n);
    for (int64_t i = 0; i < n; i++) {
        if (c->fill == FILL_MAX) q[i] = 127;
        if (c->fill == FILL_MIN) q[i] = -128;
        if (c->fill == FILL_ZERO) q[i] = 0;
    }
    return q;
}

ternary_matrix check_ternary(check *c, int64_t rows, int64_t cols) {
    ternary_matrix w = {.rows = rows, .cols = cols, .scale = 0.37f};
    uint8_t *codes = check_bytes(c, (size_t)rows * ternary_row_bytes(cols));
    w.codes = codes;
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t col = 0; col < cols; col += TERNARY_BLOCK) {
            uint8_t values[TERNARY_BLOCK];
            for (int i = 0; i < TERNARY_BLOCK; i++) {
                values[i] = (uint8_t)check_random(c, 3);
                if (c->fill == FILL_MAX || c->fill == FILL_MIN) values[i] = 2;
                if (c->fill == FILL_ZERO) values[i] = 0;
                if (col + i >= cols) values[i] = 1;
            }
            ternary_pack_block(values, codes + (size_t)row * ternary_row_bytes(cols) + col / 4);
        }
    }
    return w;
}

ternary_matrix check_ternary_magnitudes(const ternary_matrix *w) {
    size_t bytes = (size_t)w->rows * ternary_row_bytes(w->cols);
    uint8_t *codes = check_alloc(bytes);
    for (size_t i = 0; i < bytes; i++) {
        codes[i] = 0;
        for (int shift = 0; shift < 8; shift += 2)
            codes[i] |= (uint8_t)(((w->codes[i] >> shift & 3) == 1 ? 1 : 2) << shift);
    }
    return (ternary_matrix){codes, w->rows, w->cols, w->scale, w->packing};
}

static size_t dense_row_bytes(dense_type type, int64_t cols) {
    size_t n = (size_t)cols;
    switch (type) {
    case DENSE_F32:
        return n * 4;
    case DENSE_Q8_0:
        return n / 32 * 34;
    case DENSE_Q6_K:
        return n / 256 * 210;
    default:
        return n * 2;
    }
}

/* Quantised blocks hold random integers; their f16 scales are made finite. */
dense_matrix check_dense(check *c, dense_type type, int64_t rows, int64_t cols) {
    dense_matrix w = {.type = type, .rows = rows, .cols = cols};
    w.row_bytes = dense_row_bytes(type, cols);
    size_t bytes = (size_t)rows * w.row_bytes, count = (size_t)(rows * cols);
    uint8_t *data = check_bytes(c, bytes);
    w.data = data;
    for (size_t i = 0; i < count && type <= DENSE_BF16; i++) {
        float value = random_float(c);
        uint16_t half =
            type == DENSE_F16 ? f16_from_f32(fmodf(value, 60000)) : bf16_from_f32(value);
        if (type == DENSE_F32)
            memcpy(data + 4 * i, &value, 4);
        else
            memcpy(data + 2 * i, &half, 2);
    }
    size_t block = type == DENSE_Q8_0 ? 34 : 210, scale_at = type == DENSE_Q8_0 ? 0 : 208;
    for (size_t i = 0; i < bytes && type >= DENSE_Q8_0; i += block) {
        uint16_t half = f16_from_f32(0.01f * rng_uniform(c->seed++, 3) - 0.003f);
        memcpy(data + i + scale_at, &half, 2);
    }
    return w;
}

float *check_magnitudes(const float *x, int64_t n) {
    float *magnitudes = check_alloc((size_t)n * sizeof(float));
    for (int64_t i = 0; i < n; i++) magnitudes[i] = fabsf(x[i]);
    return magnitudes;
}

float *check_copy(const float *x, int64_t n) {
    float *copy = check_output(n);
    memcpy(copy, x, (size_t)n * sizeof(float));
    return copy;
}

float *check_output(int64_t n) {
    float *p = check_alloc((size_t)(n + 2 * GUARD + 1) * sizeof(float));
    for (int64_t i = 0; i < n + 2 * GUARD + 1; i++) p[i] = f32_from_bits(ODD_NAN);
    return p + GUARD + 1;
}

static void fail(check *c, const char *what, const char *why, int64_t i, double expected,
                 double got, double bound) {
    if (c->failures++ < 5)
        fprintf(stderr,
                "FAILED %s (%s, fill %d): %s at %lld: expected %.9g, got %.9g, bound %.3g\n",
                c->name, what, (int)c->fill, why, (long long)i, expected, got, bound);
}

void check_compare(check *c, const char *what, const float *expected, const float *got,
                   const float *magnitude, double factor, int64_t n) {
    for (int64_t i = 0; i < GUARD; i++)
        if (f32_to_bits(got[-1 - i]) != ODD_NAN || f32_to_bits(got[n + i]) != ODD_NAN)
            fail(c, what, "written outside", i, 0, 0, 0);
    for (int64_t i = 0; i < n; i++) {
        if (f32_to_bits(expected[i]) == f32_to_bits(got[i])) continue;
        double error = fabs((double)expected[i] - got[i]);
        double bound = magnitude ? factor * 0x1p-24 * magnitude[i] + 0x1p-126 : 0;
        if (magnitude && error / bound > c->worst) c->worst = error / bound;
        if (!(error <= bound)) fail(c, what, "differs", i, expected[i], got[i], bound);
    }
}

void check_same_bytes(check *c, const char *what, const void *expected, const void *got, size_t n) {
    const uint8_t *a = expected, *b = got;
    for (size_t i = 0; i < n; i++)
        if (a[i] != b[i]) fail(c, what, "byte differs", (int64_t)i, a[i], b[i], 0);
}
