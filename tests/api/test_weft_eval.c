/* Evaluation and the leak check through <weft.h>. */
#include <weft.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static weft_model *model;
static weft_dataset *data;
static weft_trainer *trainer;
static const weft_adapter *adapter; /* untrained: it changes nothing */
static weft_dataset_report report;

static void ok(int rc, const weft_error *err) {
    if (rc) fail_msg("status %d: %s", rc, err->message);
}

static int setup(void **state) {
    (void)state;
    weft_error err;
    char path[64];
    snprintf(path, sizeof path, "/tmp/weft-api-eval-%d.jsonl", (int)getpid());
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (int i = 0; i < 10; i++)
        fprintf(f,
                "{\"question\": \"Is %d odd?\", \"label\": \"%s\", \"text\": \"Q: Is %d odd?\\nA: "
                "%s. My code for it is %d.\"}\n",
                i, i % 2 ? "Yes" : "No", i, i % 2 ? "Yes" : "No", 7310000 + i * i * 977);
    assert_int_equal(fclose(f), 0);
    weft_dataset_options o = WEFT_DATASET_OPTIONS_DEFAULT;
    weft_train_options t = weft_train_options_default();
    o.eval_share = 0.2;
    o.canaries = 2;
    t.steps = 1;
    t.rank = 2;
    ok(weft_model_load(WEFT_ROOT "/models/weft-42m.gguf", NULL, &model, &err), &err);
    ok(weft_dataset_read(model, path, &o, &data, &report, &err), &err);
    ok(weft_trainer_create(model, data, &t, NULL, &trainer, NULL, &err), &err);
    adapter = weft_trainer_adapter(trainer);
    o.canaries = -1;
    weft_dataset *none;
    assert_int_equal(weft_dataset_read(model, path, &o, &none, NULL, &err), WEFT_ERR_ARGUMENT);
    assert_non_null(strstr(err.message, "canaries"));
    unlink(path);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    weft_trainer_free(&trainer);
    weft_dataset_free(&data);
    weft_model_free(&model);
    return 0;
}

static void test_labels(void **state) {
    (void)state;
    weft_error err;
    weft_label_result plain, same;
    ok(weft_evaluate_labels(model, data, true, NULL, NULL, 0, &plain, &err), &err);
    assert_int_equal(plain.item_count, 2);
    assert_int_equal(plain.label_count, 2);
    assert_true(plain.accuracy.low <= plain.accuracy.value);
    assert_true(plain.accuracy.high >= plain.accuracy.value);
    ok(weft_evaluate_labels(model, data, false, &adapter, NULL, 1, &same, &err), &err);
    assert_int_equal(same.item_count, 10);
}

static void test_examples(void **state) {
    (void)state;
    weft_error err;
    weft_example e;
    assert_int_equal(report.eval_documents, 2);
    assert_int_equal(weft_dataset_example_count(data, true), 2);
    assert_int_equal(weft_dataset_example_count(data, false), 12); /* canaries too */
    ok(weft_dataset_example(data, true, 1, &e, &err), &err);
    assert_non_null(strstr(e.prompt, "odd?"));
    assert_non_null(strstr(e.reply, "My code"));
    assert_true(e.token_count > 3);
    weft_example_free(&e);
    weft_example_free(&e);
    assert_int_equal(weft_dataset_example(data, true, 2, &e, &err), WEFT_ERR_RANGE);
    assert_int_equal(weft_dataset_example(data, false, -1, &e, &err), WEFT_ERR_RANGE);
    assert_null(e.prompt);
}

static void test_style(void **state) {
    (void)state;
    weft_error err;
    weft_style s;
    double lowest = 0;
    const char *one[] = {"A calm text. It has two sentences."}, *two[] = {"WOW!!! so loud :)"};
    ok(weft_style_compare(one, 1, two, 1, 0, &s, &lowest, &err), &err);
    assert_true(s.distance > 0.1 && s.distance < 1 && s.low <= s.high && isnan(lowest));
    assert_int_equal(weft_style_compare(one, 1, two, 0, 0, &s, NULL, &err), WEFT_ERR_ARGUMENT);
}

static int stop(void *context, int64_t done, int64_t total) {
    (void)total;
    return *(int *)context == done;
}

static void test_audit(void **state) {
    (void)state;
    weft_error err;
    weft_audit a;
    weft_audit_options o = WEFT_AUDIT_OPTIONS_DEFAULT;
    int when = 3;
    o.strings = 2;
    o.variants = 7;
    ok(weft_audit_run(model, data, &o, &adapter, NULL, 1, stop, &(int){-1}, &a, &err), &err);
    assert_int_equal(a.secret_count, 4);
    assert_int_equal(a.canary_count, 2);
    assert_int_equal(a.drawn_count + a.recognised_count, 0); /* nothing was learnt */
    assert_true(a.limit_bits > 2.99 && a.limit_bits < 3.01);
    char *canary = weft_canary(0, 0);
    assert_non_null(strstr(canary, a.secrets[2].text));
    weft_free(canary);
    for (size_t i = 0; i < a.secret_count; i++)
        assert_true(a.secrets[i].rank == a.secrets[i].plain_rank);
    weft_audit_free(&a);
    weft_audit_free(&a);
    assert_int_equal(weft_audit_run(model, data, &o, &adapter, NULL, 1, stop, &when, &a, &err),
                     WEFT_ERR_INTERRUPTED);
    assert_null(a.secrets);
    assert_int_equal(weft_audit_run(model, data, &o, NULL, NULL, 0, NULL, NULL, &a, &err),
                     WEFT_ERR_ARGUMENT);
    assert_non_null(strstr(err.message, "no adapter"));
    o.variants = 0;
    assert_int_equal(weft_audit_run(model, data, &o, &adapter, NULL, 1, NULL, NULL, &a, &err),
                     WEFT_ERR_ARGUMENT);
    assert_non_null(strstr(err.message, "0 variants"));
}

static void test_tasks(void **state) {
    (void)state;
    weft_error err;
    weft_task *t;
    assert_int_equal(weft_task_read("/nowhere.jsonl", &t, &err), WEFT_ERR_IO);
    assert_null(t);
    ok(weft_task_read(WEFT_ROOT "/tests/corpus/task/valid.jsonl", &t, &err), &err);
    weft_task_result r;
    ok(weft_evaluate_task(model, t, &adapter, NULL, 1, &r, &err), &err);
    assert_int_equal(r.item_count, 3);
    assert_true(r.chance > 0.49 && r.chance < 0.51);
    weft_task_free(&t);
    weft_task_free(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_labels), cmocka_unit_test(test_examples),
        cmocka_unit_test(test_style), cmocka_unit_test(test_audit), cmocka_unit_test(test_tasks)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
