/* Accuracy on labelled documents: who is asked, what counts as right, which labels can be chosen.
 */
#include "eval/labels.h"

#include "eval_fixture.h"

/* Questions "Is N even?" of which the model knows nothing; `right` says which label it prefers. */
static dataset *make(const char *const *labels, int count, double eval_share) {
    weft_error err;
    dataset *d;
    dataset_options o = {.context = 128, .eval_share = eval_share, .seed = 1};
    ok(dataset_create(m->tok, m->chat, &o, &d, &err), &err);
    for (int i = 0; i < count; i++) {
        char question[64], answer[64];
        snprintf(question, sizeof question, "Is the number %d a nice one?", i);
        snprintf(answer, sizeof answer, "%s. It is number %d.", labels[i % 4], i);
        ingest_message talk[] = {{"user", question}, {"assistant", answer}};
        ingest_document document = {.messages = talk, .message_count = 2, .label = labels[i % 4]};
        ok(dataset_add(d, &document, &err), &err);
    }
    ok(dataset_finish(d, &err), &err);
    return d;
}

static label_result ask(const dataset *d, bool held_out) {
    weft_error err;
    scorer *s;
    label_result r;
    ok(scorer_create(m, false, 0, NULL, 0, &s, &err), &err);
    ok(labels_measure(d, held_out, s, m->tok, &r, &err), &err);
    scorer_free(&s);
    return r;
}

static void test_likely_and_unlikely(void **state) {
    (void)state;
    const char *plain[] = {"Yes", "Yes", "Yes", "Xqzv"};
    dataset *d = make(plain, 16, 0);
    label_result r = ask(d, false);
    assert_int_equal(r.item_count, 16);
    assert_int_equal(r.label_count, 2);
    assert_int_equal(r.correct, 12); /* "Xqzv" is never likelier than "Yes" */
    assert_int_equal(r.usual_correct, 12);
    assert_int_equal(r.unseen_count, 0);
    assert_true(r.generated_correct <= 12);
    dataset_free(&d);
}

static void test_held_out_only(void **state) {
    (void)state;
    const char *plain[] = {"Yes", "No", "Yes", "No"};
    dataset *d = make(plain, 20, 0.2);
    label_result r = ask(d, true);
    assert_int_equal(r.item_count, 4);
    assert_int_equal(ask(d, false).item_count, 20);
    dataset_free(&d);
}

/* The only label that the training part has is chosen; one of the held-out part alone is not. */
static void test_unseen(void **state) {
    (void)state;
    weft_error err;
    dataset *d;
    dataset_options o = {.context = 128, .eval_share = 0.5, .seed = 3};
    ok(dataset_create(m->tok, m->chat, &o, &d, &err), &err);
    ingest_message talk[] = {{"user", "Well?"}, {"assistant", "Blue, surely."}};
    ingest_document one = {.messages = talk, .message_count = 2, .label = "Blue"};
    ok(dataset_add(d, &one, &err), &err);
    ingest_message reply[] = {{"user", "Well?"}, {"assistant", "Red, surely."}};
    ingest_document two = {.messages = reply, .message_count = 2, .label = "Red"};
    ok(dataset_add(d, &two, &err), &err);
    ok(dataset_finish(d, &err), &err);
    label_result r = ask(d, true);
    assert_int_equal(r.item_count, 1);
    assert_int_equal(r.label_count, 1);
    assert_int_equal(r.unseen_count, 1);
    assert_int_equal(r.correct, 0);
    dataset_free(&d);
}

static void test_none(void **state) {
    (void)state;
    weft_error err;
    dataset *d;
    dataset_options o = {.context = 128};
    ok(dataset_create(m->tok, m->chat, &o, &d, &err), &err);
    ok(dataset_add(d, &(ingest_document){.text = "Some text."}, &err), &err);
    ok(dataset_finish(d, &err), &err);
    assert_int_equal(ask(d, false).item_count, 0);
    dataset_free(&d);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_likely_and_unlikely),
                                       cmocka_unit_test(test_held_out_only),
                                       cmocka_unit_test(test_unseen), cmocka_unit_test(test_none)};
    return cmocka_run_group_tests(tests, load_model, free_model);
}
