/* The table of split patterns: every one compiles, and those rewritten for speed cut where the
 * original does. */
#include "text/pretokenizers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define CUTS_MAX 512

typedef struct cuts {
    size_t end[CUTS_MAX];
    int count;
} cuts;

static int on_piece(void *context, size_t begin, size_t end) {
    cuts *c = context;
    size_t last = c->count ? c->end[c->count - 1] : 0;
    assert_int_equal(begin, last);
    assert_true(end > begin && c->count < CUTS_MAX);
    c->end[c->count++] = end;
    return WEFT_OK;
}

static cuts split(const char *const *stages, const char *text) {
    splitter s = {0};
    split_run run;
    weft_error err = {0};
    cuts c = {.count = 0};
    for (int i = 0; i < SPLIT_STAGES_MAX && stages[i]; i++)
        if (splitter_add(&s, stages[i], strlen(stages[i]), &err)) fail_msg("%s", err.message);
    assert_int_equal(split_run_init(&run, &s, on_piece, &c, &err), WEFT_OK);
    assert_int_equal(split_text(&run, text, strlen(text)), WEFT_OK);
    split_run_free(&run);
    splitter_free(&s);
    assert_int_equal(s.count, 0);
    return c;
}

/* Pieces of text joined by '|'. */
static void expect(const char *name, const char *text, const char *pieces) {
    const pretokenizer *p = pretokenizer_named(name, strlen(name));
    assert_non_null(p);
    cuts c = split(p->stages, text);
    char joined[CUTS_MAX];
    size_t n = 0, at = 0;
    for (int i = 0; i < c.count; i++) {
        if (i) joined[n++] = '|';
        while (at < c.end[i]) joined[n++] = text[at++];
    }
    joined[n] = 0;
    assert_string_equal(joined, pieces);
}

static void test_known_splits(void **state) {
    (void)state;
    const char *text = "It's 12345 DON'T,\n\n  x";
    expect("llama-bpe", text, "It|'s| |123|45| DON|'T|,\n\n| | x");
    expect("gpt-2", text, "It|'s| 12345| DON|'|T|,|\n\n | x");
    expect("qwen2", text, "It|'s| |1|2|3|4|5| DON|'T|,\n\n| | x");
    expect("starcoder", text, "It|'s| |1|2|3|4|5| DON|'|T|,|\n\n | x");
    expect("gpt-4o", "camelCase HTTPServer's", "camel|Case| HTTPServer's");
    expect("tekken", "camelCase 12", "camel|Case| |1|2");
    expect("falcon", "a-- 12345", "a|--| |123|45");
    expect("default", "a-- 12345", "a|--| |123|45");
    expect("deepseek-v3",
           "x.y 1234 \xe6\x97\xa5\xe6\x9c\xac"
           "a",
           "x|.y| |123|4| |"
           "\xe6\x97\xa5\xe6\x9c\xac|a");
    expect("deepseek-coder", "a1 b\n", "a|1| b|\n");
    expect("bloom", "one two, three", "one| two|,| three");
    expect("superbpe", "of 1234567 by 12 123 1234", "of |1|234|567| by |12| |123| |1|234");
}

/* Against the patterns as they are published, on every text of a few characters. */
static void compare(const char *name, int stage, const char *original, const char *alphabet,
                    int length) {
    const pretokenizer *p = pretokenizer_named(name, strlen(name));
    const char *ours[SPLIT_STAGES_MAX] = {p->stages[stage]}, *theirs[SPLIT_STAGES_MAX] = {original};
    size_t letters = strlen(alphabet), total = 1;
    for (int i = 0; i < length; i++) total *= letters;
    for (size_t code = 0; code < total; code++) {
        char text[16] = {0};
        size_t rest = code;
        for (int i = 0; i < length; i++, rest /= letters) text[i] = alphabet[rest % letters];
        cuts a = split(ours, text), b = split(theirs, text);
        if (a.count != b.count) print_error("%s splits '%s' elsewhere\n", name, text);
        assert_int_equal(a.count, b.count);
        assert_memory_equal(a.end, b.end, (size_t)a.count * sizeof *a.end);
    }
}

static void test_rewritten(void **state) {
    (void)state;
    compare("superbpe", 1, "(?=(\\d{3})+(?!\\d))", "1x", 12);
    compare("deepseek-llm", 3, "\\s+$", " \tx", 7);
}

static int count_piece(void *context, size_t begin, size_t end) {
    assert_true(end > begin);
    ++*(size_t *)context;
    return WEFT_OK;
}

/* 100,001 digits and as many spaces: what would take for ever if it were quadratic. */
static void test_long_runs(void **state) {
    (void)state;
    static char text[100002];
    static const char *const names[] = {"superbpe", "deepseek-llm"};
    static const size_t expected[] = {33334, 1};
    for (int i = 0; i < 2; i++) {
        const pretokenizer *p = pretokenizer_named(names[i], strlen(names[i]));
        splitter s = {0};
        split_run run;
        weft_error err = {0};
        size_t count = 0;
        memset(text, i ? ' ' : '7', sizeof text - 1);
        for (int k = 0; k < SPLIT_STAGES_MAX && p->stages[k]; k++)
            assert_int_equal(splitter_add(&s, p->stages[k], strlen(p->stages[k]), &err), WEFT_OK);
        assert_int_equal(split_run_init(&run, &s, count_piece, &count, &err), WEFT_OK);
        if (split_text(&run, text, sizeof text - 1)) fail_msg("%s", err.message);
        assert_int_equal(count, expected[i]);
        split_run_free(&run);
        splitter_free(&s);
    }
}

static void test_names(void **state) {
    (void)state;
    static const char *const names[] = {
        "llama3",     "dbrx",      "chatglm-bpe",  "stablelm2", "qwen35",    "mpt",        "olmo",
        "refact",     "command-r", "smollm",       "codeshell", "exaone",    "bailingmoe", "viking",
        "seed-coder", "poro-chat", "deepseek-llm", "chameleon", "smaug-bpe", "jina-v2-de"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const pretokenizer *p = pretokenizer_named(names[i], strlen(names[i]));
        assert_non_null(p);
        assert_true(split(p->stages, "Some text: it's 3.14, \xc3\xa9t\xc3\xa9 \n x").count > 5);
    }
    assert_null(pretokenizer_named("kimi-k2", 7)); /* not established: refused */
    assert_null(pretokenizer_named("llama-bp", 8));
    assert_null(pretokenizer_named("", 0));
}

static void test_matching(void **state) {
    (void)state;
    const pretokenizer *p = pretokenizer_named("dbrx", 4);
    assert_string_equal(pretokenizer_matching(p->stages, 1, true)->name, "llama-bpe");
    assert_string_equal(pretokenizer_matching(p->stages, 1, false)->name, "smaug-bpe");
    p = pretokenizer_named("qwen2", 5);
    assert_string_equal(pretokenizer_matching(p->stages, 1, true)->name, "qwen2");
    p = pretokenizer_named("starcoder", 9);
    assert_string_equal(pretokenizer_matching(p->stages, 2, false)->name, "starcoder");
    assert_null(pretokenizer_matching(p->stages, 1, false));
    assert_null(pretokenizer_matching(p->stages, 0, false));
}

static void test_limits(void **state) {
    (void)state;
    splitter s = {0};
    weft_error err = {0};
    assert_int_equal(splitter_add(&s, "", 0, &err), WEFT_ERR_RANGE);
    assert_int_equal(splitter_add(&s, "x", SPLIT_PATTERN_BYTES_MAX + 1, &err), WEFT_ERR_RANGE);
    assert_int_equal(splitter_add(&s, "[\xff]", 3, &err), WEFT_ERR_FORMAT);
    assert_int_equal(splitter_add(&s, "(?<=a+)b", 8, &err), WEFT_ERR_FORMAT);
    assert_non_null(strstr(err.message, "(?<=a+)b"));
    for (int i = 0; i < SPLIT_STAGES_MAX; i++)
        assert_int_equal(splitter_add(&s, "x", 1, &err), WEFT_OK);
    assert_int_equal(splitter_add(&s, "x", 1, &err), WEFT_ERR_RANGE);
    splitter_free(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_splits), cmocka_unit_test(test_rewritten),
        cmocka_unit_test(test_names),        cmocka_unit_test(test_matching),
        cmocka_unit_test(test_limits),       cmocka_unit_test(test_long_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
