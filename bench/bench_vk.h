/* What the benchmarks of a Vulkan device share: a failure ends the program, saying where. */
#ifndef WEFT_BENCH_VK_H
#define WEFT_BENCH_VK_H

#include "backend/backend_vk.h"
#include "base/rng.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline void fail(const char *what, const weft_error *err) {
    fprintf(stderr, BENCH_NAME ": %s: %s\n", what, err ? err->message : "failed");
    exit(1);
}

static inline void *allocate(size_t bytes) {
    void *p = malloc(bytes);
    if (!p) fail("out of memory", NULL);
    return p;
}

static inline buffer *buffer_of(backend *be, size_t bytes) {
    buffer *b;
    weft_error err;
    if (buffer_create(be, bytes, &b, &err)) fail("buffer", &err);
    return b;
}

static inline void submit(backend *be) {
    weft_error err;
    if (backend_submit(be, &err)) fail(backend_name(be), &err);
}

#endif
