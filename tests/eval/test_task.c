/* Multiple-choice tasks: the forms that are read, what is refused, and the bundled one measured. */
#include "eval/task.h"

#include "eval_fixture.h"

#include <math.h>

static void read_one(const char *line, const char *context, const char *right) {
    weft_error err;
    task t;
    ok(task_read(write_file(line), &t, &err), &err);
    assert_int_equal(t.item_count, 1);
    assert_string_equal(t.items[0].context, context);
    assert_string_equal(t.items[0].choices[t.items[0].answer], right);
    task_destroy(&t);
}

static void test_forms(void **state) {
    (void)state;
    read_one("{\"question\": \"Why?\", \"choices\": [\"a\", \"so\"], \"answer\": 1}",
             "Question: Why?\nAnswer:", " so");
    read_one("{\"question\": \"Why?\", \"choices\": [\"no\", \"so\"], \"answer\": \"B\"}\n\n",
             "Question: Why?\nAnswer:", " so");
    read_one("{\"question\": \"Why?\", \"choices\": [\"b\", \"a\"], \"answer\": \"a\"}",
             "Question: Why?\nAnswer:", " a");
    read_one("{\"question\": \"W\", \"choices\": {\"text\": [\"x\", \"y\"], \"label\": [\"1\", "
             "\"2\"]}, \"answerKey\": \"1\"}",
             "Question: W\nAnswer:", " x");
    read_one("{\"context\": \"A man\", \"endings\": [\"sat.\", \" ran.\"], \"label\": \"1\"}",
             "A man", " ran.");
    read_one("{\"ctx\": \"\", \"endings\": [\"He sat.\", \"He sits.\"], \"label\": 0}", "",
             "He sat.");
    read_one("{\"query\": \"Q\", \"choices\": [\"x\", \"y\"], \"gold\": 0}", "Q", " x");
}

static void refused(const char *content, const char *message) {
    weft_error err;
    task t;
    assert_int_equal(task_read(write_file(content), &t, &err), WEFT_ERR_FORMAT);
    if (!strstr(err.message, message)) fail_msg("'%s' without '%s'", err.message, message);
    task_destroy(&t);
}

static void test_refusals(void **state) {
    (void)state;
    weft_error err;
    task t;
    refused("", "there are no items");
    refused("[1]", "line 1: the line is not one JSON object");
    refused("{\"context\": \"a\", \"endings\": [\"x\", \"y\"], \"label\": 0}\n{oops",
            "line 2: the line");
    refused("{\"endings\": [\"x\", \"y\"], \"label\": 0}", "no text \"question\" or \"context\"");
    refused("{\"context\": \"a\", \"endings\": [\"x\"], \"label\": 0}", "two or more");
    refused("{\"context\": \"a\", \"endings\": [\"x\", 3], \"label\": 0}", "that is no text");
    refused("{\"context\": \"a\", \"endings\": [\"x\", \"y\"], \"label\": 2}",
            "one of its choices");
    refused("{\"context\": \"a\", \"endings\": [\"x\", \"y\"]}", "one of its choices");
    refused("{\"context\": \"a\", \"endings\": [\"x\", \"y\"], \"label\": \"C\"}",
            "one of its choices");
    char many[4096] = "{\"context\": \"a\", \"label\": 0, \"endings\": [\"x\"";
    for (int i = 0; i < TASK_CHOICES_MAX; i++) strcat(many, ", \"x\"");
    refused(strcat(many, "]}"), "more than 64 choices");
    assert_int_equal(task_read("/nowhere/x.jsonl", &t, &err), WEFT_ERR_IO);
    unlink(write_file(""));
}

static void test_bundled(void **state) {
    (void)state;
    weft_error err;
    task t;
    task_result r;
    scorer *s;
    ok(task_read(WEFT_ROOT "/models/tasks/general.jsonl", &t, &err), &err);
    assert_int_equal(t.item_count, 60);
    t.item_count = 30; /* the grammar pairs, and some completions */
    ok(scorer_create(m, false, 128, NULL, 0, &s, &err), &err);
    ok(task_measure(&t, s, m->tok, &r, &err), &err);
    assert_int_equal(r.item_count, 30);
    assert_true(r.correct >= 22 && r.normalised_correct >= 18);
    assert_true(fabs(r.chance - (25 * 0.5 + 5 * 0.25) / 30) < 1e-9);
    scorer_free(&s);
    t.item_count = 60;
    task_destroy(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_forms),
                                       cmocka_unit_test(test_refusals),
                                       cmocka_unit_test(test_bundled)};
    return cmocka_run_group_tests(tests, load_model, free_model);
}
