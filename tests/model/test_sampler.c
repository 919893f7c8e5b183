/* The sampler: greedy choice, the filters in their order, the penalty's window, determinism, and
 * the distribution that it draws from. */
#include "model/sampler.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define VOCAB 8

static const sampler_settings plain = {
    .temperature = 1, .top_p = 1, .repetition_penalty = 1, .seed = 7};

static sampler *make(sampler_settings settings, int32_t vocab) {
    sampler *s;
    weft_error err;
    assert_int_equal(sampler_create(&settings, vocab, &s, &err), WEFT_OK);
    return s;
}

static int32_t pick(sampler *s, const float *logits, size_t count) {
    float copy[VOCAB];
    int32_t token = -1;
    weft_error err;
    memcpy(copy, logits, count * sizeof *copy);
    assert_int_equal(sampler_pick(s, copy, &token, &err), WEFT_OK);
    return token;
}

/* How often each token comes in `draws` picks. */
static void histogram(sampler_settings settings, const float *logits, int draws,
                      int counts[VOCAB]) {
    sampler *s = make(settings, VOCAB);
    memset(counts, 0, VOCAB * sizeof *counts);
    for (int i = 0; i < draws; i++) counts[pick(s, logits, VOCAB)]++;
    sampler_free(&s);
}

static void greedy_takes_the_first_of_equals(void **state) {
    (void)state;
    sampler_settings settings = plain;
    settings.temperature = 0;
    sampler *s = make(settings, 5);
    assert_int_equal(pick(s, (float[]){1, 3, 2, 3, -1}, 5), 1);
    assert_int_equal(pick(s, (float[]){NAN, -INFINITY, -5, INFINITY, -5}, 5), 2);
    sampler_free(&s);
    assert_null(s);
}

static void nothing_finite_is_an_error(void **state) {
    (void)state;
    sampler *s = make(plain, 3);
    float logits[] = {NAN, INFINITY, -INFINITY};
    int32_t token;
    weft_error err;
    assert_int_equal(sampler_pick(s, logits, &token, &err), WEFT_ERR_NUMERIC);
    assert_non_null(strstr(err.message, "no logit is a finite number"));
    sampler_free(&s);
}

static void draws_follow_the_softmax(void **state) {
    (void)state;
    const float logits[VOCAB] = {2, 1, 0, -1, 0.5f, -3, 1.5f, 0};
    const int draws = 40000;
    for (int round = 0; round < 2; round++) {
        sampler_settings settings = plain;
        settings.temperature = round ? 0.5f : 2;
        int counts[VOCAB];
        histogram(settings, logits, draws, counts);
        double total = 0;
        for (int i = 0; i < VOCAB; i++) total += exp(logits[i] / settings.temperature);
        for (int i = 0; i < VOCAB; i++) {
            double p = exp(logits[i] / settings.temperature) / total;
            double deviation = sqrt(p * (1 - p) * draws);
            assert_true(fabs(counts[i] - p * draws) < 5 * deviation + 1); /* the seed is fixed */
        }
    }
}

static void same_seed_same_tokens(void **state) {
    (void)state;
    const float logits[VOCAB] = {0};
    sampler_settings other = plain;
    other.seed = 8;
    sampler *a = make(plain, VOCAB), *b = make(plain, VOCAB), *c = make(other, VOCAB);
    int differ = 0;
    for (int i = 0; i < 100; i++) {
        int32_t token = pick(a, logits, VOCAB);
        assert_int_equal(token, pick(b, logits, VOCAB));
        differ += token != pick(c, logits, VOCAB);
    }
    assert_true(differ > 50);
    sampler_free(&a);
    sampler_free(&b);
    sampler_free(&c);
}

/* The tokens that ever come out, as a bit mask. */
static uint32_t support(sampler_settings settings, const float *logits) {
    int counts[VOCAB];
    uint32_t mask = 0;
    histogram(settings, logits, 2000, counts);
    for (int i = 0; i < VOCAB; i++) mask |= (uint32_t)(counts[i] > 0) << i;
    return mask;
}

static void top_k_keeps_k_and_the_first_of_equals(void **state) {
    (void)state;
    const float logits[VOCAB] = {0, 1, 0.5f, 1, 0.5f, -1, 0.5f, 0};
    sampler_settings settings = plain;
    settings.top_k = 1;
    assert_int_equal(support(settings, logits), 1u << 1);
    settings.top_k = 3;
    assert_int_equal(support(settings, logits), 1u << 1 | 1u << 3 | 1u << 2);
    settings.top_k = 5;
    assert_int_equal(support(settings, logits), 1u << 1 | 1u << 3 | 1u << 2 | 1u << 4 | 1u << 6);
    settings.top_k = 100;
    assert_int_equal(support(settings, logits), 0xff);
}

/* Probabilities 0.4, 0.3, 0.2, 0.1. */
static const float quarters[VOCAB] = {-INFINITY,   -0.9162907f, -INFINITY,   -2.3025851f,
                                      -1.2039728f, -INFINITY,   -1.6094379f, -INFINITY};

static void top_p_keeps_the_smallest_set(void **state) {
    (void)state;
    sampler_settings settings = plain;
    settings.top_p = 0.39f;
    assert_int_equal(support(settings, quarters), 1u << 1);
    settings.top_p = 0.5f;
    assert_int_equal(support(settings, quarters), 1u << 1 | 1u << 4);
    settings.top_p = 0.75f;
    assert_int_equal(support(settings, quarters), 1u << 1 | 1u << 4 | 1u << 6);
    settings.top_p = 0.95f;
    assert_int_equal(support(settings, quarters), 1u << 1 | 1u << 4 | 1u << 6 | 1u << 3);
}

static void top_p_counts_what_top_k_left(void **state) {
    (void)state;
    sampler_settings settings = plain; /* of 0.4 and 0.3, the first is 0.571 */
    settings.top_k = 2;
    settings.top_p = 0.55f;
    assert_int_equal(support(settings, quarters), 1u << 1);
    settings.top_p = 0.6f;
    assert_int_equal(support(settings, quarters), 1u << 1 | 1u << 4);
}

static void min_p_is_relative_to_the_best(void **state) {
    (void)state;
    sampler_settings settings = plain;
    settings.min_p = 0.7f; /* 0.3 / 0.4 = 0.75 stays */
    assert_int_equal(support(settings, quarters), 1u << 1 | 1u << 4);
    settings.min_p = 0.2f;
    assert_int_equal(support(settings, quarters), 1u << 1 | 1u << 4 | 1u << 6 | 1u << 3);
    settings.min_p = 1;
    assert_int_equal(support(settings, quarters), 1u << 1);
}

static void penalty_divides_and_multiplies(void **state) {
    (void)state;
    sampler_settings settings = plain;
    settings.repetition_penalty = 2;
    sampler *s = make(settings, 4);
    sampler_accept(s, 1);
    sampler_accept(s, 1);
    sampler_accept(s, 2);
    sampler_accept(s, -1); /* ids out of range are nobody's */
    sampler_accept(s, 4);
    float logits[] = {3, 3, -3, -3};
    int32_t token;
    weft_error err;
    assert_int_equal(sampler_pick(s, logits, &token, &err), WEFT_OK);
    assert_true(logits[0] == 3 && logits[1] == 1.5f && logits[2] == -6 && logits[3] == -3);
    sampler_free(&s);
}

static void penalty_forgets_what_left_its_window(void **state) {
    (void)state;
    sampler_settings settings = plain;
    settings.repetition_penalty = 2;
    settings.penalty_last = 2;
    sampler *s = make(settings, 4);
    const int32_t history[] = {0, 1, 1, 2}; /* the window holds 1, 2 */
    for (size_t i = 0; i < 4; i++) sampler_accept(s, history[i]);
    float logits[] = {2, 2, 2, 2};
    int32_t token;
    weft_error err;
    assert_int_equal(sampler_pick(s, logits, &token, &err), WEFT_OK);
    assert_true(logits[0] == 2 && logits[1] == 1 && logits[2] == 1 && logits[3] == 2);
    sampler_accept(s, 3);
    sampler_accept(s, 3);
    float again[] = {2, 2, 2, 2};
    assert_int_equal(sampler_pick(s, again, &token, &err), WEFT_OK);
    assert_true(again[0] == 2 && again[1] == 2 && again[2] == 2 && again[3] == 1);
    sampler_free(&s);
}

static void settings_out_of_range_are_named(void **state) {
    (void)state;
    const struct {
        sampler_settings settings;
        int32_t vocab;
        const char *message;
    } cases[] = {
        {{.temperature = -1, .top_p = 1, .repetition_penalty = 1}, 4, "temperature is -1"},
        {{.temperature = NAN, .top_p = 1, .repetition_penalty = 1}, 4, "temperature is"},
        {{.top_p = 0, .repetition_penalty = 1}, 4, "top-p is 0"},
        {{.top_p = 1.5f, .repetition_penalty = 1}, 4, "top-p is 1.5"},
        {{.top_p = 1, .top_k = -3, .repetition_penalty = 1}, 4, "top-k is -3"},
        {{.top_p = 1, .min_p = 1.1f, .repetition_penalty = 1}, 4, "min-p is 1.1"},
        {{.top_p = 1, .repetition_penalty = 0}, 4, "repetition penalty is 0"},
        {{.top_p = 1, .repetition_penalty = 1, .penalty_last = -1}, 4, "looks back over -1"},
        {{.top_p = 1, .repetition_penalty = 1}, 0, "vocabulary of 0"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sampler *s;
        weft_error err;
        assert_int_equal(sampler_create(&cases[i].settings, cases[i].vocab, &s, &err),
                         WEFT_ERR_ARGUMENT);
        assert_null(s);
        assert_non_null(strstr(err.message, cases[i].message));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greedy_takes_the_first_of_equals),
        cmocka_unit_test(nothing_finite_is_an_error),
        cmocka_unit_test(draws_follow_the_softmax),
        cmocka_unit_test(same_seed_same_tokens),
        cmocka_unit_test(top_k_keeps_k_and_the_first_of_equals),
        cmocka_unit_test(top_p_keeps_the_smallest_set),
        cmocka_unit_test(top_p_counts_what_top_k_left),
        cmocka_unit_test(min_p_is_relative_to_the_best),
        cmocka_unit_test(penalty_divides_and_multiplies),
        cmocka_unit_test(penalty_forgets_what_left_its_window),
        cmocka_unit_test(settings_out_of_range_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
