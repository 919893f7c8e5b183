/* For the tests of training: a small model's shape, and documents of random tokens. */
#ifndef WEFT_TESTS_TRAINER_FIXTURE_H
#define WEFT_TESTS_TRAINER_FIXTURE_H

#include "base/rng.h"
#include "train/trainer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static inline void ok(int rc, const weft_error *err) {
    if (rc) fail_msg("status %d: %s", rc, err->message);
}

static inline config small_shape(void) {
    config c = {.architecture = "bitnet-b1.58",
                .layer_count = 2,
                .hidden = 128,
                .ffn = 256,
                .heads = 4,
                .kv_heads = 2,
                .head_dim = 32,
                .vocab = 64,
                .context = 64,
                .norm_epsilon = 1e-5f,
                .rope_base = 10000,
                .act = ACTIVATION_RELU2,
                .sub_norms = true,
                .tied_head = true};
    for (int i = 0; i < 16; i++) c.rope_factors[i] = 1;
    return c;
}

/* Documents of 5 .. 4 + spread tokens (spread at most 28) below 64, cut at 16; document i's tokens
 * are those of stream seed + i. */
static inline dataset *random_data(int documents, double eval_share, int spread, uint64_t seed) {
    dataset *d;
    weft_error err;
    dataset_options o = {.context = 16, .eval_share = eval_share, .seed = 3};
    ok(dataset_create(NULL, NULL, &o, &d, &err), &err);
    for (int i = 0; i < documents; i++) {
        int32_t ids[32], targets[32], count = 5 + i * 5 % spread;
        for (int32_t k = 0; k < count; k++)
            ids[k] = (int32_t)rng_below(seed + (uint64_t)i, (uint64_t)k, 64);
        for (int32_t k = 0; k < count; k++) targets[k] = k + 1 < count ? ids[k + 1] : NO_TARGET;
        ok(dataset_add_tokens(d, ids, targets, count, &err), &err);
    }
    ok(dataset_finish(d, &err), &err);
    return d;
}

#endif
