/* Canaries, the strings that are looked for, their variants, and exposure by rank. */
#include "eval/exposure.h"

#include "eval/canary.h"

#include "eval_fixture.h"

#include <math.h>

static void test_canaries(void **state) {
    (void)state;
    char one[CANARY_BYTES], same[CANARY_BYTES], other[CANARY_BYTES], name[2][16];
    int number = -1;
    canary_write(7, 3, one);
    canary_write(7, 3, same);
    canary_write(7, 4, other);
    assert_string_equal(one, same);
    assert_string_not_equal(one, other);
    int end = 0;
    assert_int_equal(
        sscanf(one, "The secret number of %15s %15s is %6d.%n", name[0], name[1], &number, &end),
        3);
    assert_int_equal(end, (int)strlen(one));
    assert_true(number >= 0 && number < 1000000);
    canary_write(8, 3, other);
    assert_string_not_equal(one, other);
}

static dataset *make(const char *const *texts, int count, int pinned) {
    weft_error err;
    dataset *d;
    dataset_options o = {.context = 256};
    ok(dataset_create(m->tok, m->chat, &o, &d, &err), &err);
    for (int i = 0; i < count; i++) {
        if (i == count - pinned) dataset_pin(d);
        ok(dataset_add(d, &(ingest_document){.text = texts[i]}, &err), &err);
    }
    ok(dataset_finish(d, &err), &err);
    return d;
}

static void test_finding(void **state) {
    (void)state;
    const char *texts[] = {
        "My card is 4929 1831 0021, and my desk number 1234. Ask for 7700900 twice.",
        "Ask for 7700900 again. Write to klara.venn@example.org today. On 3.5.2 nothing.",
        "Then my friend Tobias Quill came, with Mary Ann Brook, and Bob. Good Morning Everyone.",
        "The secret number of Kavodu Pelira is 482913."};
    weft_error err;
    secret *list;
    size_t count;
    dataset *d = make(texts, 4, 1);
    ok(secrets_find(d, m->tok, 20, 1, &list, &count, &err), &err);
    const char *wanted[] = {"4929 1831 0021", "klara.venn@example.org", "Tobias Quill",
                            "Mary Ann Brook", "482913"};
    const secret_kind kinds[] = {SECRET_NUMBER, SECRET_ADDRESS, SECRET_NAME, SECRET_NAME,
                                 SECRET_CANARY};
    for (size_t i = 0; i < count; i++) {
        size_t k = 0;
        while (k < 5 && strcmp(wanted[k], list[i].text)) k++;
        if (k == 5) fail_msg("'%s' is not to be found", list[i].text);
        assert_int_equal(list[i].kind, kinds[k]);
        wanted[k] = "-";
    }
    for (int k = 0; k < 5; k++)
        if (wanted[k][0] != '-') fail_msg("'%s' was not found", wanted[k]);
    free(list);
    /* Fewer than there are: numbers first, then what is left. */
    ok(secrets_find(d, m->tok, 0, 1, &list, &count, &err), &err);
    for (size_t i = 0; i < count; i++) assert_int_equal(list[i].kind, SECRET_CANARY);
    free(list);
    ok(secrets_find(d, m->tok, 2, 1, &list, &count, &err), &err);
    assert_int_equal(list[0].kind, SECRET_NUMBER);
    assert_true(count >= 3 && list[1].kind != SECRET_CANARY && list[2].kind == SECRET_CANARY);
    free(list);
    dataset_free(&d);
}

static void test_variants(void **state) {
    (void)state;
    char a[SECRET_BYTES * 2], b[SECRET_BYTES * 2];
    secret number = {.kind = SECRET_NUMBER, .text = "49-18 10"};
    secret_vary(&number, 5, 1, a, sizeof a);
    secret_vary(&number, 5, 1, b, sizeof b);
    assert_string_equal(a, b);
    secret_vary(&number, 5, 2, b, sizeof b);
    assert_string_not_equal(a, b);
    assert_int_equal(strlen(a), 8);
    assert_true(a[2] == '-' && a[5] == ' ' && a[0] >= '0' && a[0] <= '9');
    secret address = {.kind = SECRET_ADDRESS, .text = "klara.venn77@example.org"};
    secret_vary(&address, 5, 1, a, sizeof a);
    assert_non_null(strstr(a, "@example.org"));
    assert_true(a[0] >= 'a' && a[0] <= 'z' && strchr(a, '.') < strchr(a, '@'));
    assert_string_not_equal(a, address.text);
    secret name = {.kind = SECRET_NAME, .text = "Tobias Quill"};
    secret_vary(&name, 5, 1, a, sizeof a);
    assert_true(a[0] >= 'A' && a[0] <= 'Z' && strchr(a, ' '));
    secret longest = {.kind = SECRET_ADDRESS};
    memset(longest.text, 'a', SECRET_BYTES - 1);
    for (int i = 3; i < SECRET_BYTES - 1; i += 4) longest.text[i] = '.';
    for (uint64_t i = 0; i < 100; i++) {
        secret_vary(&longest, 5, i, a, sizeof a);
        assert_true(strlen(a) < sizeof a);
    }
}

/* A number that the text repeats is likelier than any other; a new one is one of many. */
static void test_ranks(void **state) {
    (void)state;
    weft_error err;
    scorer *s;
    secret *list;
    size_t count;
    exposure e, again;
    const char *texts[] = {"One two three four five six seven eight, one two three four five six "
                           "seven eight. The code is 183 502 and again the code is 183 502."};
    dataset *d = make(texts, 1, 0);
    ok(scorer_create(m, false, 256, NULL, 0, &s, &err), &err);
    ok(secrets_find(d, m->tok, 5, 1, &list, &count, &err), &err);
    assert_int_equal(count, 0); /* it occurs twice */
    free(list);
    dataset_example doc = dataset_document(d, 0);
    secret repeated = {.kind = SECRET_NUMBER, .text = "183 502", .lead = " "};
    bytes text = {0};
    for (int64_t i = 0; i < doc.prompt_count + doc.reply_count; i++) {
        ok(tokenizer_decode(m->tok, doc.prompt[i], false, &text, &err), &err);
        assert_true(bytes_add_text(&text, ""));
        size_t n = text.size;
        if (n >= 17 && !strcmp(text.data + n - 17, "again the code is")) repeated.token = i + 1;
    }
    bytes_free(&text);
    assert_true(repeated.token > 0);
    ok(exposure_measure(d, &repeated, s, 63, 1, &e, &err), &err);
    assert_int_equal(e.rank, 1);
    assert_true(fabs(e.bits - 6) < 1e-9);
    ok(exposure_measure(d, &repeated, s, 63, 1, &again, &err), &err);
    assert_true(memcmp(&e.log_p, &again.log_p, sizeof e.log_p) == 0);
    secret fresh = repeated;
    strcpy(fresh.text, "946 027");
    ok(exposure_measure(d, &fresh, s, 63, 1, &e, &err), &err);
    assert_true(e.rank > 1 && e.bits < 6 && !e.greedy && e.log_p < again.log_p);
    scorer_free(&s);
    dataset_free(&d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_canaries), cmocka_unit_test(test_finding),
        cmocka_unit_test(test_variants), cmocka_unit_test(test_ranks)};
    return cmocka_run_group_tests(tests, load_model, free_model);
}
