/* The default model for tests of evaluation, loaded once, and text files of a test. */
#ifndef WEFT_TESTS_EVAL_FIXTURE_H
#define WEFT_TESTS_EVAL_FIXTURE_H

#include "model/model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static backend *be;
static model *m;

static inline void ok(int rc, const weft_error *err) {
    if (rc) fail_msg("status %d: %s", rc, err->message);
}

static inline int load_model(void **state) {
    (void)state;
    weft_error err;
    backend_options device = {.thread_count = 0, .cpu_mask = UINT32_MAX};
    ok(backend_create_cpu(&device, &be, &err), &err);
    ok(model_load(WEFT_ROOT "/models/weft-42m.gguf", PACKING_AUTO, be, &m, &err), &err);
    return 0;
}

static inline int free_model(void **state) {
    (void)state;
    model_free(&m);
    backend_free(&be);
    return 0;
}

/* A file of that content; its path is valid until the next call. */
static inline const char *write_file(const char *content) {
    static char path[64];
    snprintf(path, sizeof path, "/tmp/weft-eval-%d.jsonl", (int)getpid());
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(content, f) >= 0);
    assert_int_equal(fclose(f), 0);
    return path;
}

#endif
