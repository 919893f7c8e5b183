/* For tests of the Vulkan backend: the scalar CPU backend and a Vulkan one side by side. Every
 * operand is a pair of views with the same contents; an operation is called on both, and its
 * results are compared. Runs on every device that there is; says why and skips where there is none.
 */
#ifndef WEFT_TESTS_VK_PAIR_H
#define WEFT_TESTS_VK_PAIR_H

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

enum { PAIR_BUFFERS_MAX = 64, PAIR_SKIPPED = 77 };

typedef struct pair {
    backend *be[2]; /* 0: scalar CPU, 1: Vulkan */
    buffer *buffers[PAIR_BUFFERS_MAX];
    int buffer_count;
    int lead; /* words before each operand, so that views begin where a binding may not */
    uint64_t seed;
} pair;

typedef struct operand {
    view at[2];
    int64_t count; /* words */
} operand;

/* count words that end where their buffer ends; NULL: zeros. */
static inline operand pair_words(pair *p, const void *data, int64_t count) {
    operand o = {.count = count};
    for (int i = 0; i < 2; i++) {
        assert_true(p->buffer_count < PAIR_BUFFERS_MAX);
        buffer **b = &p->buffers[p->buffer_count++];
        weft_error err;
        size_t lead = (size_t)p->lead * 4;
        if (buffer_create(p->be[i], (size_t)count * 4 + lead, b, &err)) fail_msg("%s", err.message);
        o.at[i] = (view){*b, lead};
        if (data) backend_write(p->be[i], o.at[i], data, (size_t)count * 4);
    }
    return o;
}

/* count values in [-amount, amount). */
static inline operand pair_random(pair *p, int64_t count, float amount) {
    float *x = malloc((size_t)count * sizeof *x);
    assert_non_null(x);
    uint64_t seed = ++p->seed;
    for (int64_t i = 0; i < count; i++) x[i] = (2 * rng_uniform(seed, (uint64_t)i) - 1) * amount;
    operand o = pair_words(p, x, count);
    free(x);
    return o;
}

/* Free all operands, after an operation has been submitted. */
static inline void pair_clear(pair *p) {
    for (int i = 0; i < p->buffer_count; i++) buffer_free(p->be[i % 2], &p->buffers[i]);
    p->buffer_count = 0;
}

/* Words of an operand on one backend; the caller frees them. */
static inline void *pair_read(pair *p, const operand *o, int which) {
    void *data = malloc((size_t)o->count * 4);
    assert_non_null(data);
    weft_error err;
    if (backend_read(p->be[which], o->at[which], data, (size_t)o->count * 4, &err))
        fail_msg("%s", err.message);
    return data;
}

static inline void pair_begin(pair *p) {
    for (int i = 0; i < 2; i++) backend_begin(p->be[i]);
}

static inline void pair_submit(pair *p) {
    weft_error err = {0};
    for (int i = 0; i < 2; i++)
        if (backend_submit(p->be[i], &err)) fail_msg("%s: %s", backend_name(p->be[i]), err.message);
}

/* CALL(be, i) on both backends; views are operand.at[i]. */
#define PAIR_RUN(p, call)                                                                          \
    do {                                                                                           \
        pair_begin(p);                                                                             \
        for (int i = 0; i < 2; i++) {                                                              \
            backend *be = (p)->be[i];                                                              \
            call;                                                                                  \
        }                                                                                          \
        pair_submit(p);                                                                            \
    } while (0)

static inline bool is_nan_bits(uint32_t bits) {
    return (bits & 0x7fffffff) > 0x7f800000;
}

/* The same words, except that one NaN is as good as another. */
static inline void pair_same(pair *p, const char *what, const operand *o) {
    uint32_t *want = pair_read(p, o, 0), *got = pair_read(p, o, 1);
    for (int64_t i = 0; i < o->count; i++)
        if (want[i] != got[i] && !(is_nan_bits(want[i]) && is_nan_bits(got[i])))
            fail_msg("%s[%lld]: got %08x, want %08x", what, (long long)i, got[i], want[i]);
    free(want);
    free(got);
}

/* |got - want| <= slack * 2^-24 * the largest magnitude among the `near` values that it lies in (a
 * row, or 1 for its own). */
static inline void pair_close(pair *p, const char *what, const operand *o, int64_t near,
                              double slack) {
    float *want = pair_read(p, o, 0), *got = pair_read(p, o, 1);
    for (int64_t begin = 0; begin < o->count; begin += near) {
        double highest = 0;
        for (int64_t i = begin; i < begin + near && i < o->count; i++)
            if (isfinite(want[i])) highest = fmax(highest, fabs((double)want[i]));
        for (int64_t i = begin; i < begin + near && i < o->count; i++) {
            double error = fabs((double)got[i] - (double)want[i]);
            if (isnan(want[i])   ? isnan(got[i])
                : isinf(want[i]) ? want[i] == got[i]
                                 : error <= slack * 0x1p-24 * highest + 0x1p-125)
                continue;
            fail_msg("%s[%lld]: got %.9g, want %.9g (largest %.3g)", what, (long long)i,
                     (double)got[i], (double)want[i], highest);
        }
    }
    free(want);
    free(got);
}

typedef void (*pair_case)(pair *p);

/* Add the software driver that Debian's chromium brings to those that the loader finds. */
static inline void pair_find_drivers(void) {
    static const char swiftshader[] = "/usr/lib/chromium/vk_swiftshader_icd.json";
    FILE *f = fopen(swiftshader, "r");
    if (!f) return;
    fclose(f);
    setenv("VK_ADD_DRIVER_FILES", swiftshader, 0);
}

/* The two backends, the Vulkan one on a device with bindings of at most max_buffer bytes (0: its
 * own limit) and with the validation layer where there is one. */
static inline pair pair_open(int device, uint64_t max_buffer) {
    pair p = {0};
    weft_error err;
    backend_options cpu = {1, 0};
    vk_options vk = {
        .device = device, .tier_max = VK_TIER_BEST, .max_buffer = max_buffer, .validate = true};
    assert_int_equal(backend_create_cpu(&cpu, &p.be[0], &err), WEFT_OK);
    int rc = backend_create_vk(&vk, &p.be[1], &err);
    if (rc == WEFT_ERR_UNSUPPORTED) {
        vk.validate = false;
        rc = backend_create_vk(&vk, &p.be[1], &err);
    }
    if (rc) fail_msg("%s", err.message);
    return p;
}

static inline void pair_free(pair *p) {
    for (int i = 0; i < 2; i++) backend_free(&p->be[i]);
}

/* Run a case with operands at the beginning of their buffers, and at an odd word. */
static inline void pair_run(pair *p, pair_case body) {
    for (p->lead = 0; p->lead <= 3; p->lead += 3) {
        body(p);
        pair_clear(p);
    }
}

#endif
