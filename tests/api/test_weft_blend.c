/* Blending, learning on and replay through <weft.h>: what belongs together, and what does not. */
#include <weft.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define MODEL   WEFT_ROOT "/models/weft-42m.gguf"
#define MAILBOX WEFT_ROOT "/examples/mailbox.mbox"

static weft_model *model, *other;
static weft_dataset *data;

static void ok(int rc, const weft_error *err) {
    if (rc) fail_msg("status %d: %s", rc, err->message);
}

static void refused(int rc, int status, const weft_error *err, const char *word) {
    if (rc != status || !strstr(err->message, word))
        fail_msg("status %d (%d expected, '%s'): %s", rc, status, word, err->message);
}

static int set_up(void **state) {
    (void)state;
    weft_error err;
    weft_dataset_options small = WEFT_DATASET_OPTIONS_DEFAULT;
    small.context = 32;
    small.eval_share = 0.02;
    ok(weft_model_load(MODEL, NULL, &model, &err), &err);
    ok(weft_model_load(MODEL, NULL, &other, &err), &err);
    ok(weft_dataset_read(model, MAILBOX, &small, &data, NULL, &err), &err);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    weft_dataset_free(&data);
    weft_model_free(&model);
    weft_model_free(&other);
    return 0;
}

static weft_train_options small_options(void) {
    weft_train_options o = weft_train_options_default();
    o.steps = 2;
    o.micro_tokens = 32;
    o.accumulate = 1;
    o.rank = 2;
    o.eval_every = 0;
    o.rate = 0.01;
    o.warmup_steps = 0;
    return o;
}

static weft_trainer *make(const weft_train_options *o) {
    weft_trainer *t;
    weft_error err;
    ok(weft_trainer_create(model, data, o, NULL, &t, NULL, &err), &err);
    return t;
}

static void test_blend(void **state) {
    (void)state;
    weft_error err;
    weft_train_options o = small_options();
    weft_trainer *t = make(&o), *u = make(&o);
    const weft_adapter *parts[2] = {weft_trainer_adapter(t), weft_trainer_adapter(u)};
    weft_adapter *blended;
    weft_adapter_info info;
    float weights[2] = {0.5f, 1};
    double error = 1;
    ok(weft_adapter_blend(model, parts, weights, 2, 0, &blended, &error, &err), &err);
    weft_adapter_get_info(blended, &info);
    assert_int_equal(info.rank, 4);
    assert_true(error == 0);
    weft_adapter_free(&blended);
    refused(weft_adapter_blend(other, parts, weights, 2, 0, &blended, NULL, &err),
            WEFT_ERR_ARGUMENT, &err, "another model");
    assert_null(blended);
    weights[0] = INFINITY;
    refused(weft_adapter_blend(model, parts, weights, 2, 0, &blended, NULL, &err),
            WEFT_ERR_ARGUMENT, &err, "weight of adapter 1");
    refused(weft_adapter_blend(model, parts, weights, 0, 0, &blended, NULL, &err),
            WEFT_ERR_ARGUMENT, &err, "0 adapters");
    refused(weft_adapter_blend(model, parts, weights, 1000, 0, &blended, NULL, &err),
            WEFT_ERR_ARGUMENT, &err, "adapters to blend");
    weft_trainer_free(&t);
    weft_trainer_free(&u);
}

typedef struct seen {
    int replayed;
    double eval;
} seen;

static int listen(void *context, const weft_train_event *e) {
    seen *s = context;
    if (e->kind == WEFT_EVENT_STEP) s->replayed += isfinite(e->replay_loss);
    if (e->kind == WEFT_EVENT_EVALUATION) s->eval = e->replay_loss;
    return 0;
}

static void test_from_and_replay(void **state) {
    (void)state;
    weft_error err;
    weft_train_options o = small_options();
    weft_trainer *t = make(&o), *next;
    weft_adapter_info info;
    ok(weft_trainer_run(t, NULL, NULL, &err), &err);
    double best = weft_trainer_history(t).best_eval;
    o.from = weft_trainer_adapter(t);
    o.rank = 7; /* the shape is that of what it begins with */
    o.replay = data;
    o.replay_share = 0.5;
    seen s = {0};
    next = make(&o);
    weft_trainer_free(&t);
    weft_adapter_get_info(weft_trainer_adapter(next), &info);
    assert_int_equal(info.rank, 2);
    ok(weft_trainer_run(next, listen, &s, &err), &err);
    assert_true(fabs(weft_trainer_history(next).first_eval - best) < 1e-6);
    assert_int_equal(s.replayed, 2);
    assert_true(isfinite(s.eval));
    weft_trainer *none;
    o.from = weft_trainer_adapter(next);
    refused(weft_trainer_create(other, data, &o, NULL, &none, NULL, &err), WEFT_ERR_ARGUMENT, &err,
            "another model");
    o.from = NULL;
    o.replay_share = 1;
    refused(weft_trainer_create(model, data, &o, NULL, &none, NULL, &err), WEFT_ERR_ARGUMENT, &err,
            "share of replay");
    assert_null(none);
    weft_trainer_free(&next);
}

static void test_fingerprint(void **state) {
    (void)state;
    weft_shape shape;
    weft_model *random;
    weft_error err;
    ok(weft_shape_parse("64,1,2,1,128,64", &shape, &err), &err);
    ok(weft_model_synthesise(&shape, NULL, &random, &err), &err);
    assert_true(weft_model_fingerprint(model) == weft_model_fingerprint(other));
    assert_true(weft_model_fingerprint(model) != weft_model_fingerprint(random));
    weft_model_free(&random);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_blend),
                                       cmocka_unit_test(test_from_and_replay),
                                       cmocka_unit_test(test_fingerprint)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
