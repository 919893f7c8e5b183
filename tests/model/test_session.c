/* A session: however the tokens are cut into calls and chunks the logits are the same bits, what is
 * refused leaves it as it was, and its losses are those of training and evaluation. */
#include "model/session.h"

#include "gguf_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

enum { TEXT = 29 };

static backend *be;
static model *m;
static int32_t text[TEXT];
static float one[TEXT * GG_VOCAB], other[TEXT * GG_VOCAB];

static void ok(int rc, const weft_error *err) {
    if (rc) fail_msg("status %d: %s", rc, err->message);
}

static session *make_session(int64_t batch, bool smooth) {
    weft_error err;
    session *s;
    session_options o = {.context = TEXT, .batch = batch, .smooth = smooth};
    ok(session_create(m, &o, &s, &err), &err);
    return s;
}

static adapter *make_adapter(uint64_t seed, int32_t rank) {
    weft_error err;
    adapter *a;
    adapter_settings settings = {.rank = rank, .alpha = 8, .targets = 127, .seed = seed};
    ok(adapter_create(&m->cfg, be, &settings, &a, &err), &err);
    float *params = gg_floats(seed, a->param_count, 0, 0.2f);
    ok(adapter_set_params(a, params, &err), &err);
    free(params);
    return a;
}

/* All logits of the text, cut into calls of `step` tokens and chunks of `batch`. */
static void run(int64_t batch, size_t step, bool smooth, const adapter *a, float *logits) {
    weft_error err;
    session *s = make_session(batch, smooth);
    adapter_use use = {a, 0.75f};
    ok(session_set_adapters(s, &use, a ? 1 : 0, &err), &err);
    for (size_t at = 0; at < TEXT; at += step) {
        size_t n = TEXT - at < step ? TEXT - at : step;
        ok(session_eval(s, text + at, n, NULL, logits + at * GG_VOCAB, &err), &err);
    }
    session_free(&s);
}

static void check_chunks(bool smooth, const adapter *a) {
    static const int cuts[][2] = {{1, TEXT}, {5, TEXT}, {16, TEXT}, {TEXT, 1}, {7, 9}, {TEXT, 13}};
    run(TEXT, TEXT, smooth, a, one);
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        run(cuts[i][0], (size_t)cuts[i][1], smooth, a, other);
        for (size_t k = 0; k < TEXT * GG_VOCAB; k++)
            if (memcmp(&one[k], &other[k], sizeof *one) != 0)
                fail_msg("batch %d, calls of %d: logit %zu is %.9g, at once %.9g", cuts[i][0],
                         cuts[i][1], k, (double)other[k], (double)one[k]);
    }
}

static void test_chunks_rounded(void **state) {
    (void)state;
    check_chunks(false, NULL);
}

static void test_chunks_smooth(void **state) {
    (void)state;
    check_chunks(true, NULL);
}

static void test_chunks_adapter(void **state) {
    (void)state;
    adapter *a = make_adapter(3, 8);
    check_chunks(false, a);
    check_chunks(true, a);
    adapter_free(&a);
}

static void test_truncate_goes_back(void **state) {
    (void)state;
    weft_error err;
    session *s = make_session(8, false);
    float first[GG_VOCAB], again[GG_VOCAB];
    ok(session_eval(s, text, 20, first, NULL, &err), &err);
    session_truncate(s, 25); /* beyond the end and below zero: nothing happens */
    session_truncate(s, -1);
    assert_int_equal(session_position(s), 20);
    session_truncate(s, 11);
    assert_int_equal(session_position(s), 11);
    int32_t wrong[4] = {0, 0, 0, 0};
    ok(session_eval(s, wrong, 4, NULL, NULL, &err), &err);
    session_truncate(s, 11);
    ok(session_eval(s, text + 11, 9, again, NULL, &err), &err);
    assert_memory_equal(first, again, sizeof first);
    session_free(&s);
}

static void test_refusals(void **state) {
    (void)state;
    weft_error err;
    session *s = make_session(8, false);
    float first[GG_VOCAB], again[GG_VOCAB];
    int32_t bad[3] = {1, GG_VOCAB, 1};
    ok(session_eval(s, text, 20, NULL, NULL, &err), &err);
    assert_int_equal(session_eval(s, bad, 3, again, NULL, &err), WEFT_ERR_ARGUMENT);
    assert_non_null(strstr(err.message, "token 32 is outside the vocabulary of 32"));
    bad[1] = -1;
    assert_int_equal(session_eval(s, bad, 3, again, NULL, &err), WEFT_ERR_ARGUMENT);
    assert_int_equal(session_eval(s, text, 10, again, NULL, &err), WEFT_ERR_RANGE);
    assert_non_null(strstr(err.message, "the context of 29 tokens has 9 left"));
    assert_int_equal(session_eval(s, text, 0, again, NULL, NULL), WEFT_ERR_ARGUMENT);
    assert_int_equal(session_position(s), 20);
    ok(session_eval(s, text + 20, 9, first, NULL, &err), &err);
    run(TEXT, TEXT, false, NULL, one);
    assert_memory_equal(first, one + (TEXT - 1) * GG_VOCAB, sizeof first);
    session_free(&s);
    session_options o = {.context = m->cfg.context + 1};
    assert_int_equal(session_create(m, &o, &s, &err), WEFT_ERR_RANGE);
    assert_non_null(strstr(err.message, "a context of 65 tokens is over the model's 64"));
    assert_null(s);
    o.batch = INT64_C(1) << 56; /* cut to the context */
    o.context = m->cfg.context;
    ok(session_create(m, &o, &s, &err), &err);
    session_free(&s);
}

static void test_adapters_refused(void **state) {
    (void)state;
    weft_error err;
    session *s = make_session(8, false);
    adapter *a = make_adapter(3, 65);
    adapter_use uses[FORWARD_ADAPTERS_MAX + 1] = {{a, 1}};
    assert_int_equal(session_set_adapters(s, uses, 1, &err), WEFT_ERR_RANGE);
    assert_non_null(strstr(err.message, "rank 65 is over the session's 64"));
    assert_int_equal(session_set_adapters(s, uses, FORWARD_ADAPTERS_MAX + 1, &err), WEFT_ERR_RANGE);
    adapter_free(&a);
    a = make_adapter(3, 2);
    a->layer_count = 1;
    uses[0].adapter = a;
    assert_int_equal(session_set_adapters(s, uses, 1, &err), WEFT_ERR_ARGUMENT);
    adapter_free(&a);
    session_free(&s);
}

/* Weights that overflow give an error and leave the position. */
static void test_not_finite(void **state) {
    (void)state;
    weft_error err;
    session *s = make_session(8, false);
    adapter *a = make_adapter(3, 4);
    adapter_use use = {a, 3e38f};
    float logits[GG_VOCAB];
    ok(session_eval(s, text, 3, logits, NULL, &err), &err);
    ok(session_set_adapters(s, &use, 1, &err), &err);
    assert_int_equal(session_eval(s, text, 3, logits, NULL, &err), WEFT_ERR_NUMERIC);
    assert_int_equal(session_position(s), 3);
    ok(session_set_adapters(s, NULL, 0, &err), &err);
    ok(session_eval(s, text + 3, 26, logits, NULL, &err), &err);
    run(TEXT, TEXT, false, NULL, one);
    assert_memory_equal(logits, one + (TEXT - 1) * GG_VOCAB, sizeof logits);
    adapter_free(&a);
    session_free(&s);
}

static int begin(void **state) {
    (void)state;
    char path[64];
    weft_error err;
    gg_spec spec = {.type = TENSOR_I2_S};
    snprintf(path, sizeof path, "/tmp/weft-session-%d.gguf", (int)getpid());
    for (size_t i = 0; i < TEXT; i++) text[i] = (int32_t)rng_below(4, i, GG_VOCAB);
    int rc = backend_create_cpu(NULL, &be, &err);
    if (!rc) rc = gg_write(&spec, path, &err);
    if (!rc) rc = model_load(path, PACKING_FAST, be, &m, &err);
    remove(path);
    return rc;
}

static int end(void **state) {
    (void)state;
    model_free(&m);
    backend_free(&be);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chunks_rounded), cmocka_unit_test(test_chunks_smooth),
        cmocka_unit_test(test_chunks_adapter), cmocka_unit_test(test_truncate_goes_back),
        cmocka_unit_test(test_refusals),       cmocka_unit_test(test_adapters_refused),
        cmocka_unit_test(test_not_finite)};
    return cmocka_run_group_tests(tests, begin, end);
}
