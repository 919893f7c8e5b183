/* The gradients of the whole model against central differences of its loss, and what a training
 * step promises: the same bits with and without recomputation and with any number of threads, the
 * same sums however documents are packed, and the memory that step_bytes names. */
#include "train/step.h"

#include "base/os.h"
#include "base/rng.h"
#include "model/session.h"
#include "train/evaluate.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define VOCAB     40
#define DOCUMENTS 3
#define ALL       ((1u << TARGET_COUNT) - 1)

static const int32_t lengths[DOCUMENTS] = {7, 1, 5};

static void ok(int rc, const weft_error *err) {
    if (rc) fail_msg("status %d: %s", rc, err->message);
}

typedef struct rig {
    backend *be;
    model *m;
    adapter *a;
    train_step *s;
    float *params;
} rig;

typedef struct rig_options {
    activation act;
    bool sub_norms, interleaved, rslora, recompute, rounded, tight;
    float dropout;
    int threads;
    int64_t layer_count;
    uint32_t targets;
} rig_options;

/* Three query heads a key head would not fit 4 heads; 4 over 2 is grouped attention. Widths that
 * are no multiple of 128 also exercise the padding of ternary rows. */
static config shape_of(const rig_options *o) {
    config c = {.architecture = "bitnet-b1.58",
                .layer_count = 3,
                .hidden = 48,
                .ffn = 136,
                .heads = 4,
                .kv_heads = 2,
                .head_dim = 12,
                .vocab = VOCAB,
                .context = 64,
                .norm_epsilon = 1e-5f,
                .rope_base = 10000,
                .rope_interleaved = o->interleaved,
                .act = o->act,
                .sub_norms = o->sub_norms,
                .tied_head = true};
    for (int i = 0; i < 6; i++) c.rope_factors[i] = 1;
    return c;
}

/* B of a fresh adapter is zero, and then A has no gradient: draw all parameters. */
static void draw_params(rig *r) {
    size_t n = r->a->param_count;
    r->params = malloc(n * sizeof(float));
    assert_non_null(r->params);
    for (size_t i = 0; i < n; i++) r->params[i] = (rng_uniform(21, i) - 0.5f) * 0.3f;
    assert_int_equal(adapter_set_params(r->a, r->params, NULL), WEFT_OK);
}

static step_options step_of(const rig_options *o) {
    return (step_options){.micro_tokens = 16,
                          .positions_max = 8,
                          .recompute = o->recompute,
                          .smooth = !o->rounded,
                          .dropout = o->dropout,
                          .layer_count = o->layer_count};
}

static adapter_settings adapter_of(const rig_options *o) {
    return (adapter_settings){.rank = 4,
                              .alpha = 6,
                              .rslora = o->rslora,
                              .targets = o->targets ? o->targets : ALL,
                              .seed = 5};
}

static rig make_rig(const rig_options *o) {
    rig r = {0};
    weft_error err;
    config shape = shape_of(o);
    backend_options device = {.thread_count = o->threads ? o->threads : 1, .cpu_mask = UINT32_MAX};
    adapter_settings settings = adapter_of(o);
    step_options step = step_of(o);
    ok(backend_create_cpu(&device, &r.be, &err), &err);
    ok(model_synthesise(&shape, 11, o->tight ? PACKING_TIGHT : PACKING_FAST, r.be, &r.m, &err),
       &err);
    ok(adapter_create(&shape, r.be, &settings, &r.a, &err), &err);
    draw_params(&r);
    ok(train_step_create(r.m, r.a, &step, &r.s, &err), &err);
    return r;
}

static void free_rig(rig *r) {
    free(r->params);
    train_step_free(&r->s);
    adapter_free(&r->a);
    model_free(&r->m);
    backend_free(&r->be);
}

/* Documents begin .. end side by side; every third token carries no loss. */
static void fill(micro_batch *b, int begin, int end) {
    ok(micro_batch_create(16, b, NULL), NULL);
    for (int d = begin; d < end; d++) {
        int32_t start = (int32_t)b->tokens;
        for (int32_t i = 0; i < lengths[d]; i++, b->tokens++) {
            int64_t t = b->tokens;
            uint64_t stream = (uint64_t)d, at = (uint64_t)i;
            b->ids[t] = (int32_t)rng_below(stream, at, VOCAB);
            b->positions[t] = i;
            b->first[t] = start;
            b->last[t] = (int32_t)t;
            b->targets[t] = i % 3 == 2 ? NO_TARGET : (int32_t)rng_below(stream + 9, at, VOCAB);
            b->target_count += b->targets[t] >= 0;
        }
    }
}

static double accumulate(rig *r, int begin, int end) {
    micro_batch b;
    double loss;
    weft_error err;
    fill(&b, begin, end);
    ok(train_step_accumulate(r->s, &b, 77, &loss, &err), &err);
    micro_batch_destroy(&b);
    return loss;
}

static float *gradients_of(rig *r) {
    weft_error err;
    float *g = malloc(r->a->param_count * sizeof *g);
    assert_non_null(g);
    ok(train_step_get_gradients(r->s, g, &err), &err);
    return g;
}

/* ---------------------------------------------------------------- central differences */

/* Loss with the parameters moved by `step` along the direction (over floats begin .. end). */
static double moved_loss(rig *r, const float *direction, size_t begin, size_t end, double step) {
    size_t n = r->a->param_count;
    float *moved = malloc(n * sizeof *moved);
    assert_non_null(moved);
    memcpy(moved, r->params, n * sizeof *moved);
    for (size_t i = begin; i < end; i++)
        moved[i] = (float)((double)moved[i] + step * (double)direction[i - begin]);
    assert_int_equal(adapter_set_params(r->a, moved, NULL), WEFT_OK);
    free(moved);
    double loss = accumulate(r, 0, DOCUMENTS);
    train_step_discard(r->s);
    return loss;
}

/* The derivative along a direction of +-1 in floats begin .. end: at random, or (aligned) the signs
 * of the gradient, where nothing cancels. Two step sizes tell by their distance how much the third
 * derivative takes part: a third of it, and six times that is allowed. A loss is a float32 sum over
 * some hundred operations, good to about 4 * 2^-24 of itself, which the division by the step
 * enlarges. */
static void check_direction(rig *r, const float *g, size_t begin, size_t end, bool aligned,
                            const char *what) {
    size_t n = end - begin;
    double h = 0.1 / sqrt((double)n), exact = 0; /* the same length however many floats move */
    float *direction = malloc(n * sizeof *direction);
    assert_non_null(direction);
    if (h > 2e-3) h = 2e-3;
    for (size_t i = 0; i < n; i++) {
        bool up = aligned ? g[begin + i] > 0 : rng_at(31, i + begin) & 1;
        direction[i] = up ? 1.0f : -1.0f;
        exact += (double)direction[i] * (double)g[begin + i];
    }
    double high = moved_loss(r, direction, begin, end, h);
    double low = moved_loss(r, direction, begin, end, -h);
    double noise = fabs(high) * 4 * 0x1p-24 / h, wide = (high - low) / (2 * h);
    high = moved_loss(r, direction, begin, end, h / 2);
    low = moved_loss(r, direction, begin, end, -h / 2);
    double narrow = (high - low) / h;
    double bound = 2 * noise + 2 * fabs(narrow - wide);
    if (fabs(narrow - exact) > bound)
        fail_msg("%s: gradient %g, difference %g (bound %g)", what, exact, narrow, bound);
    free(direction);
}

static void check_pair(rig *r, const float *g, size_t begin, size_t count, const char *what) {
    check_direction(r, g, begin, begin + count, true, what);
    check_direction(r, g, begin, begin + count, false, what);
}

static void check_differences(const rig_options *o) {
    rig r = make_rig(o);
    char what[64];
    double loss = accumulate(&r, 0, DOCUMENTS), norm = 0;
    assert_true(loss > 0);
    float *g = gradients_of(&r);
    train_step_discard(r.s);
    for (size_t i = 0; i < r.a->param_count; i++) norm += (double)g[i] * (double)g[i];
    assert_true(norm > 1e-4);
    check_pair(&r, g, 0, r.a->param_count, "all parameters");
    for (int64_t layer = 0; layer < r.a->layer_count; layer++) {
        for (int t = 0; t < TARGET_COUNT; t++) {
            const lora_pair *p = adapter_pair(r.a, layer, (target)t);
            int64_t rows, cols;
            config_target_shape(&r.m->cfg, (target)t, &rows, &cols);
            if (!p->rank) continue;
            snprintf(what, sizeof what, "layer %d %s A", (int)layer, target_name((target)t));
            check_pair(&r, g, p->a_offset, (size_t)(cols * p->rank), what);
            what[strlen(what) - 1] = 'B';
            check_pair(&r, g, p->b_offset, (size_t)(rows * p->rank), what);
        }
    }
    free(g);
    free_rig(&r);
}

static void test_differences_relu2(void **state) {
    (void)state;
    check_differences(&(rig_options){.act = ACTIVATION_RELU2, .sub_norms = true});
}

static void test_differences_silu_rslora(void **state) {
    (void)state;
    check_differences(&(rig_options){.act = ACTIVATION_SILU, .sub_norms = true, .rslora = true});
}

static void test_differences_llama(void **state) {
    (void)state;
    check_differences(&(rig_options){.act = ACTIVATION_SILU, .interleaved = true});
}

static void test_differences_dropout(void **state) {
    (void)state;
    check_differences(&(rig_options){
        .act = ACTIVATION_RELU2, .sub_norms = true, .dropout = 0.3f, .recompute = true});
}

static void test_differences_some_targets(void **state) {
    (void)state;
    check_differences(&(rig_options){
        .act = ACTIVATION_SILU, .sub_norms = true, .targets = 1u << TARGET_K | 1u << TARGET_DOWN});
}

/* ---------------------------------------------------------------- the same bits */

static void check_same_bits(const rig_options *one, const rig_options *other) {
    rig r = make_rig(one), q = make_rig(other);
    double first = accumulate(&r, 0, DOCUMENTS), second = accumulate(&q, 0, DOCUMENTS);
    assert_memory_equal(&first, &second, sizeof first);
    float *g = gradients_of(&r), *h = gradients_of(&q);
    assert_memory_equal(g, h, r.a->param_count * sizeof *g);
    free(g);
    free(h);
    free_rig(&r);
    free_rig(&q);
}

static void test_recompute_changes_nothing(void **state) {
    (void)state;
    for (int i = 0; i < 8; i++) {
        rig_options o = {.act = i & 1 ? ACTIVATION_SILU : ACTIVATION_RELU2,
                         .sub_norms = i & 1,
                         .dropout = i & 2 ? 0.2f : 0,
                         .rounded = i & 4};
        rig_options other = o;
        other.recompute = true;
        check_same_bits(&o, &other);
    }
}

static void test_threads_change_nothing(void **state) {
    (void)state;
    for (int threads = 2; threads <= 3; threads++) {
        rig_options o = {.act = ACTIVATION_RELU2, .sub_norms = true, .dropout = 0.2f};
        rig_options other = o;
        other.threads = threads;
        check_same_bits(&o, &other);
        o.rounded = other.rounded = true;
        check_same_bits(&o, &other);
    }
}

static void test_packing_changes_nothing(void **state) {
    (void)state;
    for (int i = 0; i < 4; i++) {
        rig_options o = {.act = i & 1 ? ACTIVATION_SILU : ACTIVATION_RELU2,
                         .sub_norms = true,
                         .threads = 2,
                         .rounded = i & 2};
        rig_options other = o;
        other.tight = true;
        check_same_bits(&o, &other);
    }
}

/* ---------------------------------------------------------------- sums */

/* A gradient is a float32 sum over the tokens; packing changes its order only. The rounding of a
 * sum is bounded by its terms' magnitudes, which the largest gradient stands for. */
static void test_packing_adds_up(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        rig_options o = {.act = ACTIVATION_RELU2, .sub_norms = true, .rounded = i};
        rig packed = make_rig(&o), single = make_rig(&o);
        double whole = accumulate(&packed, 0, DOCUMENTS), sum = 0, largest = 0;
        for (int d = 0; d < DOCUMENTS; d++) sum += accumulate(&single, d, d + 1);
        assert_true(fabs(whole - sum) <= 1e-5 * whole);
        float *g = gradients_of(&packed), *h = gradients_of(&single);
        for (size_t k = 0; k < packed.a->param_count; k++)
            largest = fmax(largest, fabs((double)g[k]));
        for (size_t k = 0; k < packed.a->param_count; k++)
            assert_true(fabs((double)g[k] - (double)h[k]) <= 1e-4 * largest);
        free(g);
        free(h);
        free_rig(&packed);
        free_rig(&single);
    }
}

static void test_discard_and_evaluate(void **state) {
    (void)state;
    weft_error err;
    micro_batch b;
    double trained, evaluated;
    rig r = make_rig(&(rig_options){.act = ACTIVATION_RELU2, .sub_norms = true});
    fill(&b, 0, DOCUMENTS);
    trained = accumulate(&r, 0, DOCUMENTS);
    float *g = gradients_of(&r);
    ok(train_step_evaluate(r.s, &b, &evaluated, &err), &err);
    assert_memory_equal(&trained, &evaluated, sizeof trained);
    float *h = gradients_of(&r); /* an evaluation leaves what was gathered */
    assert_memory_equal(g, h, r.a->param_count * sizeof *g);
    train_step_discard(r.s);
    free(h);
    h = gradients_of(&r);
    for (size_t i = 0; i < r.a->param_count; i++) assert_true(h[i] == 0);
    accumulate(&r, 0, DOCUMENTS);
    free(h);
    h = gradients_of(&r);
    assert_memory_equal(g, h, r.a->param_count * sizeof *g);
    free(g);
    free(h);
    micro_batch_destroy(&b);
    free_rig(&r);
}

/* ---------------------------------------------------------------- three ways to one loss */

/* -log softmax(logits)[wanted], in double. */
static double loss_of(const float *logits, int32_t wanted) {
    double sum = 0;
    for (int i = 0; i < VOCAB; i++) sum += exp((double)logits[i] - (double)logits[wanted]);
    return log(sum);
}

/* The losses of all documents as a session's logits give them, one document after the other. */
static double session_loss(rig *r, const micro_batch *b, bool smooth) {
    weft_error err;
    session *s;
    session_options o = {.smooth = smooth};
    adapter_use use = {r->a, 1};
    static float logits[16 * VOCAB];
    double sum = 0;
    ok(session_create(r->m, &o, &s, &err), &err);
    ok(session_set_adapters(s, &use, 1, &err), &err);
    for (int64_t at = 0, n; at < b->tokens; at += n) {
        for (n = 1; at + n < b->tokens && b->first[at + n] == at;) n++;
        session_truncate(s, 0);
        ok(session_eval(s, b->ids + at, (size_t)n, NULL, logits, &err), &err);
        for (int64_t i = 0; i < n; i++)
            if (b->targets[at + i] >= 0) sum += loss_of(logits + i * VOCAB, b->targets[at + i]);
    }
    session_free(&s);
    return sum;
}

/* The same documents as a data set of which nothing is held out. */
static double dataset_loss(rig *r, const micro_batch *b, bool smooth) {
    weft_error err;
    dataset *d;
    evaluation e;
    dataset_options o = {.context = 8};
    adapter_use use = {r->a, 1};
    ok(dataset_create(NULL, NULL, &o, &d, &err), &err);
    for (int64_t at = 0, n; at < b->tokens; at += n) {
        for (n = 1; at + n < b->tokens && b->first[at + n] == at;) n++;
        ok(dataset_add_tokens(d, b->ids + at, b->targets + at, (int32_t)n, &err), &err);
    }
    ok(dataset_finish(d, &err), &err);
    ok(evaluate_dataset(r->m, d, false, 16, smooth, &use, 1, &e, &err), &err);
    assert_int_equal(e.target_count, b->target_count);
    dataset_free(&d);
    return e.loss_sum;
}

static void test_losses_agree(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        rig r = make_rig(&(rig_options){
            .act = ACTIVATION_SILU, .sub_norms = true, .rounded = i, .dropout = 0.5f});
        micro_batch b;
        weft_error err;
        double loss;
        fill(&b, 0, DOCUMENTS);
        ok(train_step_evaluate(r.s, &b, &loss, &err), &err);
        assert_true(fabs(session_loss(&r, &b, !i) - loss) <= 1e-5 * loss);
        assert_true(fabs(dataset_loss(&r, &b, !i) - loss) <= 1e-5 * loss);
        micro_batch_destroy(&b);
        free_rig(&r);
    }
}

static void test_evaluation_refuses(void **state) {
    (void)state;
    weft_error err;
    evaluation e;
    dataset *d;
    rig r = make_rig(&(rig_options){.sub_norms = true});
    adapter_use use = {r.a, 1};
    dataset_options o = {.context = 8};
    const int32_t ids[3] = {1, 2, 3}, targets[3] = {2, 3, NO_TARGET};
    ok(dataset_create(NULL, NULL, &o, &d, &err), &err);
    ok(dataset_add_tokens(d, ids, targets, 3, &err), &err);
    ok(dataset_finish(d, &err), &err);
    r.a->layer_count = 2;
    assert_int_equal(evaluate_dataset(r.m, d, false, 16, true, &use, 1, &e, &err),
                     WEFT_ERR_ARGUMENT);
    assert_non_null(strstr(err.message, "adapter 1 is for a model of 2 layers"));
    r.a->layer_count = 3;
    assert_int_equal(evaluate_dataset(r.m, d, true, 16, true, &use, 1, &e, &err),
                     WEFT_ERR_ARGUMENT);
    assert_non_null(strstr(err.message, "no document is held out"));
    ok(evaluate_dataset(r.m, d, false, 16, true, &use, 1, &e, &err), &err);
    dataset_free(&d);
    free_rig(&r);
}

/* ---------------------------------------------------------------- memory and limits */

static void test_step_bytes(void **state) {
    (void)state;
    for (int i = 0; i < 16; i++) {
        weft_error err;
        rig_options o = {.sub_norms = i & 1,
                         .recompute = i & 2,
                         .dropout = i & 4 ? 0.1f : 0,
                         .layer_count = i & 8 ? 2 : 0};
        rig r = make_rig(&o);
        adapter_settings settings = adapter_of(&o);
        step_options step = step_of(&o);
        train_step_free(&r.s);
        uint64_t before = backend_bytes(r.be);
        size_t head = head_loss_scratch_bytes(r.be, r.m->head);
        ok(train_step_create(r.m, r.a, &step, &r.s, &err), &err);
        assert_int_equal(backend_bytes(r.be) - before,
                         step_bytes(&r.m->cfg, &settings, &step, head));
        train_step_free(&r.s);
        assert_int_equal(backend_bytes(r.be), before);
        free_rig(&r);
    }
}

/* With fewer layers only theirs are trained. */
static void test_layer_count(void **state) {
    (void)state;
    rig all = make_rig(&(rig_options){.sub_norms = true});
    rig two = make_rig(&(rig_options){.sub_norms = true, .layer_count = 2});
    double whole = accumulate(&all, 0, DOCUMENTS), part = accumulate(&two, 0, DOCUMENTS);
    assert_true(whole != part);
    float *g = gradients_of(&two);
    size_t upper = adapter_pair(two.a, 2, TARGET_Q)->a_offset, trained = 0;
    for (size_t i = 0; i < upper; i++) trained += g[i] != 0;
    assert_true(trained > upper / 2);
    for (size_t i = upper; i < two.a->param_count; i++) assert_true(g[i] == 0);
    free(g);
    free_rig(&all);
    free_rig(&two);
}

static void test_refusals(void **state) {
    (void)state;
    weft_error err;
    micro_batch b;
    double loss;
    rig r = make_rig(&(rig_options){.sub_norms = true});
    train_step *none;
    step_options empty = {.positions_max = 8};
    assert_int_equal(train_step_create(r.m, r.a, &empty, &none, &err), WEFT_ERR_ARGUMENT);
    assert_null(none);
    step_options deep = {.micro_tokens = 16, .positions_max = 8, .layer_count = 4};
    assert_int_equal(train_step_create(r.m, r.a, &deep, &none, &err), WEFT_ERR_ARGUMENT);
    assert_null(none);

    fill(&b, 0, DOCUMENTS);
    b.targets[0] = VOCAB;
    assert_int_equal(train_step_accumulate(r.s, &b, 1, &loss, &err), WEFT_ERR_RANGE);
    b.targets[0] = 0;
    b.ids[1] = VOCAB;
    assert_int_equal(train_step_evaluate(r.s, &b, &loss, &err), WEFT_ERR_RANGE);
    b.ids[1] = 0;
    b.positions[2] = 1 << 20;
    assert_int_equal(train_step_evaluate(r.s, &b, &loss, &err), WEFT_ERR_RANGE);
    b.positions[2] = 2;
    ok(train_step_evaluate(r.s, &b, &loss, &err), &err); /* nothing of it sticks */
    b.tokens = 17;
    assert_int_equal(train_step_evaluate(r.s, &b, &loss, &err), WEFT_ERR_ARGUMENT);
    assert_non_null(strstr(err.message, "17 tokens; at most 16"));
    b.tokens = 2;
    b.targets[0] = b.targets[1] = NO_TARGET;
    ok(train_step_accumulate(r.s, &b, 1, &loss, &err), &err);
    assert_true(loss == 0);
    micro_batch_destroy(&b);
    free_rig(&r);
}

/* Parameters that overflow: an error before any of them is updated. */
static void test_not_finite(void **state) {
    (void)state;
    weft_error err;
    micro_batch b;
    double loss;
    rig r = make_rig(&(rig_options){.sub_norms = true});
    size_t n = r.a->param_count;
    for (size_t i = 0; i < n; i++) r.params[i] = 1e30f;
    assert_int_equal(adapter_set_params(r.a, r.params, NULL), WEFT_OK);
    fill(&b, 0, DOCUMENTS);
    assert_int_equal(train_step_accumulate(r.s, &b, 1, &loss, &err), WEFT_ERR_NUMERIC);
    assert_non_null(strstr(err.message, "not a number"));
    double norm;
    optimiser_settings o = {.rate = 0.1f, .beta1 = .9f, .beta2 = .99f, .epsilon = 1e-8f};
    assert_int_equal(train_step_update(r.s, &o, 1, 10, &norm, &err), WEFT_ERR_NUMERIC);
    float *after = malloc(n * sizeof *after);
    assert_non_null(after);
    assert_int_equal(adapter_get_params(r.a, after, NULL), WEFT_OK);
    assert_memory_equal(after, r.params, n * sizeof *after);
    free(after);
    micro_batch_destroy(&b);
    free_rig(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_differences_relu2),
                                       cmocka_unit_test(test_differences_silu_rslora),
                                       cmocka_unit_test(test_differences_llama),
                                       cmocka_unit_test(test_differences_dropout),
                                       cmocka_unit_test(test_differences_some_targets),
                                       cmocka_unit_test(test_recompute_changes_nothing),
                                       cmocka_unit_test(test_threads_change_nothing),
                                       cmocka_unit_test(test_packing_changes_nothing),
                                       cmocka_unit_test(test_packing_adds_up),
                                       cmocka_unit_test(test_discard_and_evaluate),
                                       cmocka_unit_test(test_losses_agree),
                                       cmocka_unit_test(test_evaluation_refuses),
                                       cmocka_unit_test(test_step_bytes),
                                       cmocka_unit_test(test_layer_count),
                                       cmocka_unit_test(test_refusals),
                                       cmocka_unit_test(test_not_finite)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
