/* Blended adapters against their sum, multiplied out; the loss of a lower rank against the best
 * there is; parts that depend on each other; refusals. */
#include "hf_fixture.h"

#include "model/adapter.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

static backend *be;

static int set_up(void **state) {
    (void)state;
    const backend_options options = {.thread_count = 1};
    return backend_create_cpu(&options, &be, NULL);
}

static int tear_down(void **state) {
    (void)state;
    backend_free(&be);
    return 0;
}

static void ok(int rc, const weft_error *err) {
    if (rc) fail_msg("status %d: %s", rc, err->message);
}

static config shape(void) {
    return (config){.layer_count = 2,
                    .hidden = 24,
                    .ffn = 40,
                    .heads = 4,
                    .kv_heads = 2,
                    .head_dim = 6,
                    .vocab = 32,
                    .context = 16};
}

static adapter *make(const config *c, int32_t rank, float alpha, uint32_t targets, uint64_t seed) {
    adapter *a;
    weft_error err;
    adapter_settings s = {.rank = rank, .alpha = alpha, .targets = targets, .seed = seed};
    ok(adapter_create(c, be, &s, &a, &err), &err);
    float *params = malloc(a->param_count * sizeof *params);
    for (size_t i = 0; i < a->param_count; i++) params[i] = rng_uniform(seed, i) - 0.5f;
    ok(adapter_set_params(a, params, &err), &err);
    free(params);
    return a;
}

/* Add weight * scale * B A of one projection to out (rows, cols). */
static void add_product(const adapter *a, size_t pair, int64_t rows, int64_t cols, double weight,
                        double *out) {
    const lora_pair *p = &a->pairs[pair];
    float *params = malloc(a->param_count * sizeof *params);
    assert_int_equal(adapter_get_params(a, params, NULL), WEFT_OK);
    for (int64_t n = 0; n < rows; n++)
        for (int64_t k = 0; k < cols; k++)
            for (int32_t t = 0; t < p->rank; t++)
                out[n * cols + k] += weight * (double)p->scale *
                                     (double)params[p->b_offset + (size_t)(n * p->rank + t)] *
                                     (double)params[p->a_offset + (size_t)(t * cols + k)];
    free(params);
}

/* The norm of (sum of the parts - blended) over all projections, as a share of the sum's. */
static double distance(const config *c, const adapter *const *parts, const float *weights,
                       size_t count, const adapter *blended) {
    double off = 0, all = 0;
    for (size_t i = 0; i < (size_t)c->layer_count * TARGET_COUNT; i++) {
        int64_t rows, cols;
        config_target_shape(c, (target)(i % TARGET_COUNT), &rows, &cols);
        double *sum = calloc((size_t)(rows * cols), sizeof *sum);
        for (size_t j = 0; j < count; j++)
            add_product(parts[j], i, rows, cols, (double)weights[j], sum);
        for (int64_t k = 0; k < rows * cols; k++) all += sum[k] * sum[k];
        add_product(blended, i, rows, cols, -1, sum);
        for (int64_t k = 0; k < rows * cols; k++) off += sum[k] * sum[k];
        free(sum);
    }
    return sqrt(off / all);
}

#define ALL ((1u << TARGET_COUNT) - 1)

/* Different ranks, scales and projections. */
static void test_exact(void **state) {
    (void)state;
    config c = shape();
    weft_error err;
    double error = 1;
    adapter *parts[3] = {make(&c, 3, 16, ALL, 1),
                         make(&c, 2, 4, 1u << TARGET_Q | 1u << TARGET_UP, 2),
                         make(&c, 1, 1, 1u << TARGET_Q, 3)},
            *blended;
    const float weights[3] = {0.7f, 0.3f, -1.5f};
    ok(adapter_blend(&c, (const adapter *const *)parts, weights, 3, 0, &blended, &error, &err),
       &err);
    assert_true(error == 0);
    assert_int_equal(blended->rank, 6);
    assert_int_equal(blended->targets, ALL);
    assert_int_equal(adapter_pair(blended, 1, TARGET_UP)->rank, 5);
    assert_int_equal(adapter_pair(blended, 1, TARGET_DOWN)->rank, 3);
    assert_true(distance(&c, (const adapter *const *)parts, weights, 3, blended) < 1e-6);
    adapter_free(&blended);
    /* One alone, unscaled, is itself. */
    const float one = 1;
    ok(adapter_blend(&c, (const adapter *const *)parts, &one, 1, 0, &blended, &error, &err), &err);
    assert_true(distance(&c, (const adapter *const *)parts, &one, 1, blended) < 1e-6);
    adapter_free(&blended);
    for (int i = 0; i < 3; i++) adapter_free(&parts[i]);
}

/* A rank that suffices loses nothing, even where the matrices side by side depend on each other. */
static void test_rank_that_suffices(void **state) {
    (void)state;
    config c = shape();
    weft_error err;
    double error;
    adapter *a = make(&c, 4, 8, ALL, 1), *b = make(&c, 3, 8, ALL, 2), *blended;
    const adapter *twice[3] = {a, a, b};
    const float weights[3] = {0.25f, 0.5f, 1};
    ok(adapter_blend(&c, twice, weights, 3, 7, &blended, &error, &err), &err);
    assert_true(error < 1e-7);
    assert_int_equal(blended->rank, 7);
    assert_true(distance(&c, twice, weights, 3, blended) < 1e-6);
    adapter_free(&blended);
    /* A fresh adapter's B is zero: its columns add nothing. */
    adapter *fresh;
    adapter_settings s = {.rank = 5, .alpha = 5, .targets = ALL, .seed = 9};
    ok(adapter_create(&c, be, &s, &fresh, &err), &err);
    const adapter *with_fresh[2] = {fresh, b};
    ok(adapter_blend(&c, with_fresh, weights, 2, 3, &blended, &error, &err), &err);
    assert_true(error < 1e-7);
    assert_true(distance(&c, with_fresh, weights, 2, blended) < 1e-6);
    adapter_free(&blended);
    /* Opposite weights cancel: the sum is nothing. */
    const adapter *same[2] = {b, b};
    const float opposite[2] = {1, -1};
    ok(adapter_blend(&c, same, opposite, 2, 2, &blended, &error, &err), &err);
    assert_true(error >= 0 && error <= 1);
    adapter_free(&blended);
    adapter_free(&fresh);
    adapter_free(&a);
    adapter_free(&b);
}

/* The error told is the error made, and no other matrix of that rank that was tried is nearer:
 * not the parts alone, nor the optimum shaken. */
static void test_reduced(void **state) {
    (void)state;
    config c = shape();
    weft_error err;
    double told, before = 1;
    adapter *a = make(&c, 4, 8, ALL, 1), *b = make(&c, 4, 6, ALL, 2), *blended;
    const adapter *parts[2] = {a, b};
    const float weights[2] = {0.6f, 0.4f};
    for (int32_t rank = 1; rank < 8; rank++) {
        ok(adapter_blend(&c, parts, weights, 2, rank, &blended, &told, &err), &err);
        double made = distance(&c, parts, weights, 2, blended);
        assert_true(fabs(told - made) < 1e-6);
        assert_true(made < before); /* a higher rank is nearer */
        before = made;
        assert_int_equal(blended->rank, rank);
        for (uint64_t seed = 0; seed < 4; seed++) {
            float *params = malloc(blended->param_count * sizeof *params);
            ok(adapter_get_params(blended, params, &err), &err);
            for (size_t i = 0; i < blended->param_count; i++)
                params[i] += 0.02f * (rng_uniform(seed, i) - 0.5f);
            ok(adapter_set_params(blended, params, &err), &err);
            assert_true(distance(&c, parts, weights, 2, blended) > made);
            free(params);
        }
        adapter_free(&blended);
    }
    const float half = 0.6f;
    adapter *scaled;
    ok(adapter_blend(&c, parts, &half, 1, 0, &scaled, &told, &err), &err);
    ok(adapter_blend(&c, parts, weights, 2, 4, &blended, &told, &err), &err);
    assert_true(told < distance(&c, parts, weights, 2, scaled));
    adapter_free(&scaled);
    adapter_free(&blended);
    adapter_free(&a);
    adapter_free(&b);
}

/* Ranks that differ from pair to pair survive both file forms. */
static void test_files(void **state) {
    (void)state;
    config c = shape();
    snprintf(c.architecture, sizeof c.architecture, "bitnet-b1.58");
    weft_error err;
    double error;
    char dir[] = "/tmp/weft-blend-XXXXXX", path[64];
    assert_non_null(mkdtemp(dir));
    adapter *a = make(&c, 3, 16, ALL, 1), *b = make(&c, 2, 4, 1u << TARGET_Q, 2), *blended, *back;
    const adapter *parts[2] = {a, b};
    const float weights[2] = {1, 0.5f};
    ok(adapter_blend(&c, parts, weights, 2, 0, &blended, &error, &err), &err);
    for (int form = 0; form < 2; form++) {
        snprintf(path, sizeof path, "%s/%s", dir, form ? "peft" : "a.gguf");
        ok(form ? adapter_save_peft(blended, &c, path, "m", &err)
                : adapter_save_gguf(blended, &c, path, "m", &err),
           &err);
        ok(adapter_load(path, &c, be, &back, &err), &err);
        assert_true(distance(&c, parts, weights, 2, back) < 1e-6);
        adapter_free(&back);
    }
    os_remove_tree(dir, NULL);
    adapter_free(&blended);
    adapter_free(&a);
    adapter_free(&b);
}

static void test_copy(void **state) {
    (void)state;
    config c = shape();
    weft_error err;
    adapter *a = make(&c, 3, 16, ALL, 1), *copy;
    const float one = 1;
    ok(adapter_copy(a, &copy, &err), &err);
    const adapter *whole = a;
    assert_true(distance(&c, &whole, &one, 1, copy) < 1e-12);
    float *zeros = calloc(a->param_count, sizeof *zeros);
    ok(adapter_set_params(a, zeros, &err), &err); /* the copy is its own */
    whole = copy;
    assert_true(distance(&c, &whole, &one, 1, a) == 1);
    assert_int_equal(copy->rank, 3);
    assert_true(copy->alpha == 16);
    free(zeros);
    adapter_free(&a);
    adapter_free(&copy);
}

static void refused(int rc, int status, const weft_error *err, const char *word) {
    if (rc != status || !strstr(err->message, word))
        fail_msg("status %d (%d expected, '%s'): %s", rc, status, word, err->message);
}

static void test_refusals(void **state) {
    (void)state;
    config c = shape(), deeper = shape();
    deeper.layer_count = 3;
    weft_error err;
    double error;
    adapter *a = make(&c, 600, 16, 1u << TARGET_Q, 1), *d = make(&deeper, 2, 1, ALL, 1), *blended;
    const adapter *parts[ADAPTER_BLEND_MAX + 1] = {a, a};
    float weights[ADAPTER_BLEND_MAX + 1] = {1, 1};
    refused(adapter_blend(&c, parts, weights, 2, 0, &blended, &error, &err), WEFT_ERR_RANGE, &err,
            "rank 1200");
    assert_null(blended);
    refused(adapter_blend(&c, parts, weights, 0, 0, &blended, &error, &err), WEFT_ERR_ARGUMENT,
            &err, "0 adapters");
    refused(adapter_blend(&c, parts, weights, ADAPTER_BLEND_MAX + 1, 0, &blended, &error, &err),
            WEFT_ERR_ARGUMENT, &err, "9 adapters");
    refused(adapter_blend(&c, parts, weights, 2, 2000, &blended, &error, &err), WEFT_ERR_ARGUMENT,
            &err, "rank 2000");
    weights[1] = NAN;
    refused(adapter_blend(&c, parts, weights, 2, 1, &blended, &error, &err), WEFT_ERR_ARGUMENT,
            &err, "weight of adapter 2");
    weights[1] = 1;
    parts[1] = d;
    refused(adapter_blend(&c, parts, weights, 2, 1, &blended, &error, &err), WEFT_ERR_ARGUMENT,
            &err, "another model");
    adapter_free(&a);
    adapter_free(&d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exact),   cmocka_unit_test(test_rank_that_suffices),
        cmocka_unit_test(test_reduced), cmocka_unit_test(test_files),
        cmocka_unit_test(test_copy),    cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
