/* For check_backends: the scalar CPU backend and a Vulkan one side by side. Every operand is a pair
 * of views with the same contents; an operation is called on both, and its results are compared.
 * What lies before and behind an operand on the Vulkan side must stay as it was. */
#ifndef WEFT_TESTS_CHECK_PAIR_H
#define WEFT_TESTS_CHECK_PAIR_H

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

enum { PAIR_BUFFERS_MAX = 64, PAIR_GUARD_WORDS = 3, PAIR_CANARY = 0x5ca7ab1e };

typedef struct pair {
    backend *be[2]; /* 0: scalar CPU, 1: Vulkan */
    buffer *buffers[PAIR_BUFFERS_MAX];
    int64_t counts[PAIR_BUFFERS_MAX]; /* words of each operand */
    int buffer_count;
    int lead;      /* words before each operand, so that views begin where a binding may not */
    bool windowed; /* bindings are 1 MiB: what is smaller has nothing new to say */
    bool brief;    /* on slow drivers: fewer sizes */
    uint64_t seed;
} pair;

/* What check_backends runs: check_rows.c, check_ternary.c, check_math.c end in a list of these. */
typedef struct pair_check {
    const char *name;
    void (*body)(pair *p);
    unsigned when;
} pair_check;

enum {
    CHECK_WHOLE = 1,   /* with bindings as the device allows */
    CHECK_WINDOWS = 2, /* with bindings of 1 MiB */
    CHECK_TIERS = 4,   /* at the tiers below the best too */
    CHECK_ONCE = 8,    /* one alignment of views is enough */
    CHECK_FULL = 16    /* not where a check must be brief */
};

extern const pair_check rows_checks[], ternary_checks[], math_checks[]; /* end with a NULL name */

typedef struct operand {
    view at[2];
    int64_t count; /* words */
} operand;

/* count words; NULL: zeros. On the CPU they end where their buffer ends. */
static inline operand pair_words(pair *p, const void *data, int64_t count) {
    static const uint32_t guard[PAIR_GUARD_WORDS] = {PAIR_CANARY, PAIR_CANARY, PAIR_CANARY};
    operand o = {.count = count};
    for (int i = 0; i < 2; i++) {
        assert_true(p->buffer_count < PAIR_BUFFERS_MAX && p->lead <= PAIR_GUARD_WORDS);
        p->counts[p->buffer_count] = count;
        buffer **b = &p->buffers[p->buffer_count++];
        weft_error err;
        size_t lead = (size_t)p->lead * 4, bytes = (size_t)count * 4;
        if (buffer_create(p->be[i], bytes + lead + (i ? sizeof guard : 0), b, &err))
            fail_msg("%s", err.message);
        o.at[i] = (view){*b, lead};
        if (data) backend_write(p->be[i], o.at[i], data, bytes);
        if (i) backend_write(p->be[i], view_of(*b), guard, lead);
        if (i) backend_write(p->be[i], view_floats(o.at[i], count), guard, sizeof guard);
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

static inline void pair_expect_guard(pair *p, view at, size_t words) {
    uint32_t seen[PAIR_GUARD_WORDS];
    weft_error err;
    if (backend_read(p->be[1], at, seen, words * 4, &err)) fail_msg("%s", err.message);
    for (size_t i = 0; i < words; i++)
        if (seen[i] != PAIR_CANARY) fail_msg("a word beside an operand became %08x", seen[i]);
}

static inline void pair_release(pair *p) {
    for (int i = 0; i < p->buffer_count; i++) buffer_free(p->be[i % 2], &p->buffers[i]);
    p->buffer_count = 0;
}

/* Free all operands, after an operation has been submitted. */
static inline void pair_clear(pair *p) {
    for (int i = 1; i < p->buffer_count; i += 2) {
        view begin = view_of(p->buffers[i]);
        pair_expect_guard(p, begin, (size_t)p->lead);
        pair_expect_guard(p, view_floats(begin, p->lead + p->counts[i]), PAIR_GUARD_WORDS);
    }
    pair_release(p);
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

#endif
