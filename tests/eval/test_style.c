/* Style: what is counted, that the distance is one, and that it tells manner from subject. */
#include "eval/style.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static style_profile profile(const char *text) {
    style_profile p;
    style_count(text, &p);
    return p;
}

static uint32_t total(const style_profile *p, int group) {
    uint32_t sum = 0;
    for (int i = 0; i < STYLE_BINS_MAX; i++) sum += p->counts[group][i];
    return sum;
}

static void test_counts(void **state) {
    (void)state;
    style_profile p =
        profile("I don't know. WHY would Anna ask 12 times?! na\xc3\xafve \xf0\x9f\x98\x80");
    assert_int_equal(total(&p, STYLE_WORDS), 9);
    assert_int_equal(total(&p, STYLE_CAPITALS), 9);
    assert_int_equal(total(&p, STYLE_SENTENCES), 3);
    assert_int_equal(total(&p, STYLE_MARKS), 9 + 5); /* words; . 12 ? ! and the emoji */
    p = profile("");
    assert_int_equal(total(&p, STYLE_MARKS), 0);
    p = profile("\xff\xfe\xf0\x9f"); /* ill-formed bytes are passed over */
    assert_int_equal(total(&p, STYLE_MARKS), 0);
    /* A curly apostrophe is an apostrophe. */
    style_profile a = profile("don't"), b = profile("don\xe2\x80\x99t");
    assert_memory_equal(a.counts[STYLE_WORDS], b.counts[STYLE_WORDS], sizeof a.counts[0]);
}

static const char *const plain[] = {
    "The house stands on a hill. From it you can see the sea, and the ships that pass.",
    "My brother has a boat. He takes it out when the weather is fine, which is not often.",
    "There was a man at the door. He asked for the way to the station, and I told him.",
    "The soup is made of onions and water. It is good when it is hot, and cheap."};
static const char *const loud[] = {
    "omg!!! the sea is SO blue :) lol!! cant wait!!!", "BOAT TIME!!! who is in??? me me me!!",
    "station again... ugh!! why!!! so late lol", "soup?? yes!!! hot hot hot!! so good omg"};

static void fill(const char *const *texts, style_profile *list) {
    for (int i = 0; i < 4; i++) style_count(texts[i], &list[i]);
}

static void test_distance(void **state) {
    (void)state;
    style_profile a = profile(plain[0]), b = profile(loud[0]);
    style_distance same = style_compare(&a, &a), d = style_compare(&a, &b),
                   back = style_compare(&b, &a);
    assert_true(fabs(same.mean) < 1e-12);
    assert_true(fabs(d.mean - back.mean) < 1e-12);
    for (int g = 0; g < STYLE_GROUPS; g++) assert_true(d.groups[g] > 0 && d.groups[g] < 1);
    /* Two profiles with all their counts in one bin of five each, worked out by hand: the other
     * three bins are equal and add nothing. */
    style_profile x = {0}, y = {0};
    x.counts[STYLE_CAPITALS][0] = 10;
    y.counts[STYLE_CAPITALS][1] = 10;
    double p = 10.5 / 12.5, q = 0.5 / 12.5, m = (p + q) / 2;
    double wanted = sqrt(p * log2(p / m) + q * log2(q / m));
    assert_true(fabs(style_compare(&x, &y).groups[STYLE_CAPITALS] - wanted) < 1e-12);
}

static void test_manner_not_subject(void **state) {
    (void)state;
    style_profile a[4], b[4];
    style_result near, far, again;
    weft_error err;
    fill(plain, a);
    fill(loud, b);
    assert_int_equal(style_measure(a, 2, a + 2, 2, 1, &near, &err), WEFT_OK);
    assert_int_equal(style_measure(a, 4, b, 4, 1, &far, &err), WEFT_OK);
    assert_true(near.distance.mean < far.distance.mean);
    assert_true(far.low < far.high && far.low > 0 && far.high < 1);
    assert_true(near.distance.mean < far.low);
    assert_int_equal(style_measure(a, 4, b, 4, 1, &again, &err), WEFT_OK);
    assert_memory_equal(&far, &again, sizeof far);
    double lowest = style_floor(a, 4, 1);
    assert_true(lowest > 0 && lowest < far.low);
    assert_true(isnan(style_floor(a, 1, 1)));
    assert_int_equal(style_measure(a, 0, b, 4, 1, &far, &err), WEFT_ERR_ARGUMENT);
    assert_non_null(strstr(err.message, "no texts"));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_counts),
                                       cmocka_unit_test(test_distance),
                                       cmocka_unit_test(test_manner_not_subject)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
