/* Scores: a probability for every token that sums to one, the same whatever was computed before,
 * and the loss of evaluation. */
#include "eval/score.h"

#include "train/evaluate.h"

#include "eval_fixture.h"

#include <math.h>

#define COUNT 24

static int32_t tokens[COUNT];

static scorer *make(int64_t context) {
    weft_error err;
    scorer *s;
    ok(scorer_create(m, false, context, NULL, 0, &s, &err), &err);
    return s;
}

static int read_tokens(void **state) {
    load_model(state);
    weft_error err;
    token_span *spans;
    size_t count;
    tokenizer_options options = {.add_bos = true};
    const char *text = "Once upon a time there was a little girl who lived near the sea with her "
                       "old mother and a grey cat.";
    ok(tokenizer_encode(m->tok, text, strlen(text), &options, &spans, &count, &err), &err);
    assert_true(count >= COUNT);
    for (int i = 0; i < COUNT; i++) tokens[i] = spans[i].id;
    free(spans);
    return 0;
}

/* The sum of log p after one token is what evaluation gives for the whole row. */
static void test_score_is_the_loss(void **state) {
    (void)state;
    weft_error err;
    score found;
    evaluation e;
    dataset *d;
    int32_t targets[COUNT];
    for (int i = 0; i < COUNT; i++) targets[i] = i + 1 < COUNT ? tokens[i + 1] : NO_TARGET;
    dataset_options o = {.context = 64};
    ok(dataset_create(m->tok, NULL, &o, &d, &err), &err);
    ok(dataset_add_tokens(d, tokens, targets, COUNT, &err), &err);
    ok(dataset_finish(d, &err), &err);
    ok(evaluate_dataset(m, d, false, 64, false, NULL, 0, &e, &err), &err);
    scorer *s = make(0);
    ok(scorer_prompt(s, tokens, 1, 8, &err), &err);
    ok(scorer_score(s, tokens + 1, COUNT - 1, &found, &err), &err);
    assert_int_equal(e.target_count, COUNT - 1);
    assert_true(fabs(found.log_p + e.loss_sum) < 0.02 * e.loss_sum);
    scorer_free(&s);
    dataset_free(&d);
}

static void test_probabilities_sum_to_one(void **state) {
    (void)state;
    weft_error err;
    scorer *s = make(64);
    double sum = 0;
    int greedy = 0;
    ok(scorer_prompt(s, tokens, 5, 8, &err), &err);
    for (int32_t id = 0; id < m->cfg.vocab; id++) {
        score found;
        ok(scorer_score(s, &id, 1, &found, &err), &err);
        sum += exp(found.log_p);
        greedy += found.greedy;
    }
    assert_true(fabs(sum - 1) < 1e-4);
    assert_int_equal(greedy, 1);
    scorer_free(&s);
}

/* What a scorer holds from before changes nothing. */
static void test_reuse(void **state) {
    (void)state;
    weft_error err;
    scorer *used = make(64), *fresh;
    score a, b;
    bytes one = {0}, other = {0};
    ok(scorer_prompt(used, tokens, 12, 8, &err), &err);
    ok(scorer_score(used, tokens + 12, 12, &a, &err), &err);
    ok(scorer_generate(used, NULL, 6, &one, &err), &err);
    ok(scorer_score(used, tokens + 12, 12, &b, &err), &err);
    assert_true(memcmp(&a.log_p, &b.log_p, sizeof a.log_p) == 0);
    for (size_t count = 3; count <= 9; count += 3) {
        fresh = make(64);
        ok(scorer_prompt(used, tokens, count, 8, &err), &err);
        ok(scorer_prompt(fresh, tokens, count, 8, &err), &err);
        ok(scorer_score(used, tokens + count, 10, &a, &err), &err);
        ok(scorer_score(fresh, tokens + count, 10, &b, &err), &err);
        assert_true(memcmp(&a.log_p, &b.log_p, sizeof a.log_p) == 0);
        scorer_free(&fresh);
    }
    ok(scorer_prompt(used, tokens, 12, 8, &err), &err);
    ok(scorer_generate(used, NULL, 6, &other, &err), &err);
    assert_true(one.size > 0 && one.size == other.size);
    assert_memory_equal(one.data, other.data, one.size);
    bytes_free(&one);
    bytes_free(&other);
    scorer_free(&used);
}

/* What the model writes by its likeliest tokens it also scores as such. */
static void test_greedy(void **state) {
    (void)state;
    weft_error err;
    scorer *s = make(64);
    score found;
    bytes text = {0};
    ok(scorer_prompt(s, tokens, 8, 16, &err), &err);
    ok(scorer_generate(s, NULL, 3, &text, &err), &err);
    ok(scorer_score_text(s, text.data, text.size, &found, NULL, &err), &err);
    assert_true(found.greedy);
    ok(scorer_score_text(s, " xylophone", 10, &found, NULL, &err), &err);
    assert_false(found.greedy);
    bytes_free(&text);
    scorer_free(&s);
}

static void test_limits(void **state) {
    (void)state;
    weft_error err;
    score found;
    scorer *s = make(16), *cut = make(16);
    /* A prompt too long loses its beginning: 16 - 8 tokens stay. */
    ok(scorer_prompt(s, tokens, 20, 8, &err), &err);
    ok(scorer_prompt(cut, tokens + 12, 8, 8, &err), &err);
    score same;
    ok(scorer_score(s, tokens + 20, 4, &found, &err), &err);
    ok(scorer_score(cut, tokens + 20, 4, &same, &err), &err);
    assert_true(memcmp(&found.log_p, &same.log_p, sizeof found.log_p) == 0);
    assert_int_equal(scorer_score(s, tokens, 20, &found, &err), WEFT_ERR_RANGE);
    assert_non_null(strstr(err.message, "do not fit"));
    int32_t bad[] = {5, -1};
    assert_int_equal(scorer_score(s, bad, 2, &found, &err), WEFT_ERR_ARGUMENT);
    assert_int_equal(scorer_score(s, bad, 0, &found, &err), WEFT_ERR_ARGUMENT);
    /* After a refusal the prompt is still there. */
    ok(scorer_score(s, tokens + 20, 4, &found, &err), &err);
    assert_true(memcmp(&found.log_p, &same.log_p, sizeof found.log_p) == 0);
    ok(scorer_prompt(s, NULL, 0, 8, &err), &err); /* the begin mark */
    scorer_free(&s);
    scorer_free(&cut);
    scorer_free(&cut);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_score_is_the_loss), cmocka_unit_test(test_probabilities_sum_to_one),
        cmocka_unit_test(test_reuse), cmocka_unit_test(test_greedy), cmocka_unit_test(test_limits)};
    return cmocka_run_group_tests(tests, read_tokens, free_model);
}
