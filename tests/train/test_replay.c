/* General text mixed into a run: its share, its order wherever one begins, a run that is resumed,
 * and the loss on it told on its own. */
#include "train/replay.h"

#include "base/os.h"
#include "base/rng.h"
#include "train/evaluate.h"
#include "train/trainer_fixture.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void test_share(void **state) {
    (void)state;
    replay none = {0}, r = {.d = (const void *)&none, .share = 0.1};
    assert_int_equal(replay_index(&none, 1000, 2), 0);
    for (int64_t accumulate = 1; accumulate < 5; accumulate++) {
        int64_t replayed = replay_index(&r, 9000, accumulate), own = 9000 * accumulate;
        assert_true(fabs((double)replayed / (double)(replayed + own) - 0.1) < 1e-4);
        for (int64_t step = 0; step < 100; step++)
            assert_true(replay_index(&r, step + 1, accumulate) >=
                        replay_index(&r, step, accumulate));
    }
    r.share = 0.5;
    assert_int_equal(replay_index(&r, 7, 3), 21);
}

/* Micro-batch i is the same whether one comes to it from before or from behind. */
static void test_order(void **state) {
    (void)state;
    enum { COUNT = 20, TOKENS = 24 };
    weft_error err;
    dataset *d = random_data(9, 0, 11, 1);
    micro_batch b, seen[COUNT];
    replay r = {.d = d, .share = .5, .seed = 7, .micro_tokens = TOKENS};
    ok(micro_batch_create(TOKENS, &b, &err), &err);
    for (int i = 0; i < COUNT; i++) {
        ok(micro_batch_create(TOKENS, &seen[i], &err), &err);
        ok(replay_fill(&r, i, &seen[i], &err), &err);
        assert_true(seen[i].target_count > 0);
    }
    assert_true(r.epoch > 1);
    for (int i = COUNT - 1; i >= 0; i -= 3) {
        ok(replay_fill(&r, i, &b, &err), &err);
        assert_int_equal(b.tokens, seen[i].tokens);
        assert_memory_equal(b.ids, seen[i].ids, (size_t)b.tokens * sizeof *b.ids);
    }
    replay_destroy(&r);
    for (int i = 0; i < COUNT; i++) micro_batch_destroy(&seen[i]);
    micro_batch_destroy(&b);
    dataset_free(&d);
}

/* ---------------------------------------------------------------- a run */

typedef struct rig {
    backend *be;
    model *m;
    dataset *d, *general;
    adapter *a;
    trainer *t;
} rig;

static config tiny_shape(void) {
    config c = small_shape();
    c.layer_count = 1;
    c.hidden = 64;
    c.ffn = 128;
    c.heads = 2;
    c.kv_heads = 1;
    return c;
}

static trainer_options run_options(void) {
    return (trainer_options){
        .steps = 12,
        .micro_tokens = 24,
        .accumulate = 2,
        .optimiser = {.rate = 0.01f, .beta1 = .9f, .beta2 = .999f, .epsilon = 1e-8f, .clip = 1},
        .seed = 7,
        .eval_every = 4,
        .dropout = .1f,
        .replay_share = .25};
}

static rig make_rig(trainer_options o, bool with_replay, const char *path) {
    rig x;
    weft_error err;
    config shape = tiny_shape();
    backend_options device = {.thread_count = 1, .cpu_mask = UINT32_MAX};
    adapter_settings settings = {.rank = 2, .alpha = 4, .targets = 127, .seed = 5};
    ok(backend_create_cpu(&device, &x.be, &err), &err);
    ok(model_synthesise(&shape, 1, PACKING_FAST, x.be, &x.m, &err), &err);
    x.d = random_data(14, .25, 11, 100);
    x.general = random_data(11, .2, 11, 500);
    ok(adapter_create(&shape, x.be, &settings, &x.a, &err), &err);
    if (with_replay) o.replay = x.general;
    ok(trainer_create(x.m, x.d, x.a, &o, path, &x.t, &err), &err);
    return x;
}

static void free_rig(rig *x) {
    trainer_free(&x->t);
    adapter_free(&x->a);
    dataset_free(&x->d);
    dataset_free(&x->general);
    model_free(&x->m);
    backend_free(&x->be);
}

static float *params_of(const rig *x) {
    float *params = malloc(x->a->param_count * sizeof *params);
    assert_int_equal(adapter_get_params(x->a, params, NULL), WEFT_OK);
    return params;
}

typedef struct seen {
    int steps, replayed, evals;
    double first, last; /* held-out loss of the general text */
    int64_t stop_at;
} seen;

static int listen(void *context, const trainer_event *e) {
    seen *s = context;
    if (e->kind == TRAINER_STEP) {
        s->steps++;
        s->replayed += isfinite(e->replay_loss) && e->replay_loss > 0;
    } else if (e->kind == TRAINER_EVALUATION) {
        s->last = e->replay_loss;
        if (!s->evals++) s->first = e->replay_loss;
    }
    return e->kind == TRAINER_STEP && e->step == s->stop_at;
}

static void test_run_and_resume(void **state) {
    (void)state;
    char path[] = "/tmp/weft-replay-XXXXXX";
    weft_error err;
    int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    unlink(path);
    seen s = {0}, first = {.stop_at = 5}, second = {0};
    rig whole = make_rig(run_options(), true, NULL);
    ok(trainer_run(whole.t, listen, &s, &err), &err);
    assert_int_equal(s.steps, 12);
    assert_int_equal(s.replayed, 8); /* 2/3 of a micro-batch a step */
    assert_int_equal(s.evals, 4);
    assert_true(isfinite(s.first) && isfinite(s.last));
    rig before = make_rig(run_options(), true, path);
    assert_int_equal(trainer_run(before.t, listen, &first, &err), WEFT_ERR_INTERRUPTED);
    free_rig(&before);
    rig after = make_rig(run_options(), true, path);
    ok(trainer_resume(after.t, &err), &err);
    ok(trainer_run(after.t, listen, &second, &err), &err);
    assert_int_equal(first.replayed + second.replayed, 8);
    float *p = params_of(&whole), *q = params_of(&after);
    assert_memory_equal(p, q, whole.a->param_count * sizeof *p);
    assert_true(trainer_get_history(whole.t).tokens_seen ==
                trainer_get_history(after.t).tokens_seen);
    free(q);
    free_rig(&after);
    /* Without replay it is another run, and the checkpoint knows. */
    rig plain = make_rig(run_options(), false, path);
    assert_int_equal(trainer_resume(plain.t, &err), WEFT_ERR_STATE);
    ok(trainer_run(plain.t, NULL, NULL, &err), &err);
    q = params_of(&plain);
    assert_true(memcmp(p, q, whole.a->param_count * sizeof *p) != 0);
    free(p);
    free(q);
    free_rig(&plain);
    free_rig(&whole);
    unlink(path);
}

/* What it is for: after learning one text, the other is forgotten less. */
static void test_against_forgetting(void **state) {
    (void)state;
    weft_error err;
    double forgotten[2];
    for (int with = 0; with < 2; with++) {
        trainer_options o = run_options();
        o.steps = 60;
        o.eval_every = 0;
        o.replay_share = .5;
        rig x = make_rig(o, with, NULL);
        evaluation e;
        const adapter_use use = {x.a, 1};
        trainer_free(&x.t);
        dataset_free(&x.d);
        x.d = random_data(14, 0, 11, 100); /* nothing held out: the last parameters are kept */
        if (with) o.replay = x.general;
        ok(trainer_create(x.m, x.d, x.a, &o, NULL, &x.t, &err), &err);
        ok(trainer_run(x.t, NULL, NULL, &err), &err);
        ok(evaluate_dataset(x.m, x.general, false, 24, false, &use, 1, &e, &err), &err);
        forgotten[with] = e.loss_sum / (double)e.target_count;
        free_rig(&x);
    }
    assert_true(forgotten[1] < forgotten[0]);
}

static void test_refusals(void **state) {
    (void)state;
    weft_error err;
    rig x = make_rig(run_options(), true, NULL);
    trainer *t;
    trainer_options o = run_options();
    o.replay = x.general;
    for (int i = 0; i < 3; i++) {
        o.replay_share = i == 0 ? 0 : i == 1 ? .95 : NAN;
        assert_int_equal(trainer_create(x.m, x.d, x.a, &o, NULL, &t, &err), WEFT_ERR_ARGUMENT);
        assert_non_null(strstr(err.message, "share of replay"));
    }
    free_rig(&x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_share),          cmocka_unit_test(test_order),
        cmocka_unit_test(test_run_and_resume), cmocka_unit_test(test_against_forgetting),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
