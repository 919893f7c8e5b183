/* For the backend's tests: a backend with its buffers, seeded inputs, and a log of outputs, so that
 * one case runs at every kernel level and thread count, is checked once against plain loops in
 * double, and must give the same bits whatever the number of threads. With the argument "gpu" the
 * same cases run on a Vulkan device, twice for the same bits. */
#ifndef WEFT_TESTS_BACKEND_FIXTURE_H
#define WEFT_TESTS_BACKEND_FIXTURE_H

#include "backend/backend.h"
#include "backend/backend_vk.h"
#include "base/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { RIG_BUFFERS_MAX = 1024, RIG_LEAD_BYTES = 12 };

typedef struct rig {
    backend *be;
    uint64_t seed;
    buffer *buffers[RIG_BUFFERS_MAX];
    void *host[RIG_BUFFERS_MAX];
    int buffer_count, host_count;
    float *log;
    size_t log_count;
} rig;

static inline void *rig_host(rig *r, size_t bytes) {
    assert_true(r->host_count < RIG_BUFFERS_MAX);
    void *p = calloc(1, bytes);
    assert_non_null(p);
    return r->host[r->host_count++] = p;
}

/* Bytes that end exactly where their buffer ends and begin at an odd multiple of 4. */
static inline view rig_bytes(rig *r, const void *data, size_t bytes) {
    assert_true(r->buffer_count < RIG_BUFFERS_MAX);
    buffer *b;
    assert_int_equal(buffer_create(r->be, bytes + RIG_LEAD_BYTES, &b, NULL), WEFT_OK);
    r->buffers[r->buffer_count++] = b;
    view v = {b, RIG_LEAD_BYTES};
    if (data) backend_write(r->be, v, data, bytes);
    return v;
}

static inline view rig_floats(rig *r, const float *data, int64_t count) {
    return rig_bytes(r, data, (size_t)count * sizeof(float));
}

static inline view rig_ints(rig *r, const int32_t *data, int64_t count) {
    return rig_bytes(r, data, (size_t)count * sizeof(int32_t));
}

/* count values in [-amount, amount), the same at every run of a case. */
static inline float *rig_random(rig *r, int64_t count, float amount) {
    float *x = rig_host(r, (size_t)count * sizeof *x);
    uint64_t seed = ++r->seed;
    for (int64_t i = 0; i < count; i++) x[i] = (2 * rng_uniform(seed, (uint64_t)i) - 1) * amount;
    return x;
}

static inline ternary_matrix rig_ternary(rig *r, int64_t rows, int64_t cols, float scale) {
    uint8_t *codes = rig_host(r, (size_t)rows * ternary_row_bytes(cols));
    uint64_t seed = ++r->seed, at = 0;
    for (int64_t block = 0; block < rows * ternary_padded(cols) / TERNARY_BLOCK; block++) {
        uint8_t values[TERNARY_BLOCK];
        int64_t first = block * TERNARY_BLOCK % ternary_padded(cols);
        for (int64_t i = 0; i < TERNARY_BLOCK; i++)
            values[i] = first + i < cols ? (uint8_t)rng_below(seed, at++, 3) : 1;
        ternary_pack_block(values, codes + block * TERNARY_BLOCK_BYTES);
    }
    return (ternary_matrix){codes, rows, cols, scale, TERNARY_FAST};
}

static inline dense_matrix rig_dense(rig *r, int64_t rows, int64_t cols) {
    return (dense_matrix){.data = (const uint8_t *)rig_random(r, rows * cols, 1),
                          .type = DENSE_F32,
                          .rows = rows,
                          .cols = cols,
                          .row_bytes = (size_t)cols * sizeof(float)};
}

static inline float *rig_read(rig *r, view v, int64_t count) {
    float *out = rig_host(r, (size_t)count * sizeof *out);
    weft_error err = {0};
    if (backend_read(r->be, v, out, (size_t)count * sizeof *out, &err)) fail_msg("%s", err.message);
    return out;
}

static inline void rig_log(rig *r, const float *x, int64_t count) {
    r->log = realloc(r->log, (r->log_count + (size_t)count) * sizeof *x);
    assert_non_null(r->log);
    memcpy(r->log + r->log_count, x, (size_t)count * sizeof *x);
    r->log_count += (size_t)count;
}

/* What a plain loop says: the value and the sum of the magnitudes of the terms added. */
typedef struct expected {
    double value, magnitude;
} expected;

static inline expected *rig_expected(rig *r, int64_t count) {
    return rig_host(r, (size_t)count * sizeof(expected));
}

static inline void term(expected *e, double x) {
    e->value += x;
    e->magnitude += fabs(x);
}

/* Read count floats of v, log them, and require |got - want| <= slack * 2^-24 * magnitude (0:
 * exact). */
static inline void expect(rig *r, const char *what, view v, const expected *want, int64_t count,
                          double slack) {
    const float *got = rig_read(r, v, count);
    rig_log(r, got, count);
    for (int64_t i = 0; i < count; i++) {
        double error = fabs((double)got[i] - want[i].value);
        if (!(error <= slack * 0x1p-24 * want[i].magnitude))
            fail_msg("%s[%lld]: got %.9g, want %.9g (magnitude %.3g)", what, (long long)i,
                     (double)got[i], want[i].value, want[i].magnitude);
    }
}

/* Float sums of up to about a thousand terms in any order. */
#define SUM_SLACK 32.0

static backend *rig_gpu; /* what runs all cases, if the argument is "gpu" */

static inline void rig_close(rig *r) {
    for (int i = 0; i < r->buffer_count; i++) buffer_free(r->be, &r->buffers[i]);
    for (int i = 0; i < r->host_count; i++) free(r->host[i]);
    if (r->be != rig_gpu) backend_free(&r->be);
}

typedef void (*rig_case)(rig *r);
typedef backend *(*rig_maker)(int trial);

/* Run a case on `trials` backends and compare the logs. */
static inline void run_trials(rig_case body, rig_maker make, int trials) {
    float *log = NULL;
    size_t count = 0;
    for (int trial = 0; trial < trials; trial++) {
        rig r = {.be = make(trial)};
        backend_begin(r.be);
        body(&r);
        weft_error err = {0};
        if (backend_submit(r.be, &err)) fail_msg("%s", err.message);
        if (trial == 0) {
            log = r.log;
            count = r.log_count;
            assert_true(count > 0);
        } else {
            assert_int_equal(count, r.log_count);
            assert_memory_equal(log, r.log, count * sizeof *log);
            free(r.log);
        }
        rig_close(&r);
    }
    free(log);
}

static inline backend *make_cpu(int threads, uint32_t mask) {
    backend *be;
    backend_options options = {threads, mask};
    assert_int_equal(backend_create_cpu(&options, &be, NULL), WEFT_OK);
    return be;
}

static inline rig rig_open(int threads, uint32_t mask) {
    return (rig){.be = make_cpu(threads, mask)};
}

static inline backend *make_scalar(int trial) {
    return make_cpu(trial + 1, 0);
}

static inline backend *make_fastest(int trial) {
    return make_cpu(trial + 1, UINT32_MAX);
}

static inline backend *same_gpu(int trial) {
    (void)trial;
    return rig_gpu;
}

/* On the CPU with 1, 2 and 3 threads. */
static inline void run_case(rig_case body) {
    if (rig_gpu) {
        run_trials(body, same_gpu, 2);
        return;
    }
    run_trials(body, make_scalar, 3);
    if (cpu_flags()) run_trials(body, make_fastest, 3);
}

/* The status of a test program whose argument may be "gpu": 77 where there is none. */
static inline int rig_main(int argc, char **argv, const struct CMUnitTest *tests, size_t count) {
    weft_error err;
    if (argc > 1 && strcmp(argv[1], "gpu") == 0) {
        int rc = backend_create_vk(NULL, &rig_gpu, &err);
        if (rc) printf("%s\n", err.message);
        if (rc) return rc == WEFT_ERR_UNSUPPORTED ? 77 : 1;
    }
    int failed = _cmocka_run_group_tests(argv[0], tests, count, NULL, NULL);
    backend_free(&rig_gpu);
    return failed;
}

#endif
