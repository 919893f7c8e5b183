/* Learning through <weft.h> as a stranger does it: read files, train, evaluate, save, load. */
#include <weft.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define MODEL   WEFT_ROOT "/models/weft-42m.gguf"
#define MAILBOX WEFT_ROOT "/examples/mailbox.mbox"
#define STEPS   3

static weft_model *model;
static weft_dataset *data; /* some short conversations, a few held out */
static weft_trainer *trained;
static weft_plan plan;
static char folder[64];
static float *one, *other;
static size_t vocab;

static void ok(int rc, const weft_error *err) {
    if (rc) fail_msg("status %d: %s", rc, err->message);
}

static void refused(int rc, int status, const weft_error *err, const char *word,
                    const char *second) {
    if (rc != status || (int)err->code != status || !strstr(err->message, word) ||
        !strstr(err->message, second))
        fail_msg("status %d (%d expected, '%s', '%s'): %s", rc, status, word, second, err->message);
}

static const char *in_folder(const char *name) {
    static char paths[4][160];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static long file_size(const char *path) {
    struct stat s;
    assert_int_equal(stat(path, &s), 0);
    return (long)s.st_size;
}

/* Twelve conversations, one of them twice as long; with `broken` three lines that are none. */
static void write_talks(const char *path, bool broken) {
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (int i = 0; i < 12; i++) {
        if (broken && i % 4 == 1) fprintf(f, "{\"messages\": [oops\n");
        fprintf(f,
                "{\"messages\": [{\"role\": \"user\", \"content\": \"Where is boat %d?\"}, "
                "{\"role\": \"assistant\", \"content\": \"Ahoy! Boat %d is %s, by my boots.\"}]}\n",
                i, i * 7, i % 2 ? "at the harbour" : "out at sea");
    }
    assert_int_equal(fclose(f), 0);
}

static weft_dataset *read_data(const char *path, const weft_dataset_options *o,
                               weft_dataset_report *report) {
    weft_error err;
    weft_dataset *d;
    ok(weft_dataset_read(model, path, o, &d, report, &err), &err);
    return d;
}

/* ---------------------------------------------------------------- data */

static void test_mailbox(void **state) {
    (void)state;
    weft_dataset_report r, s;
    weft_dataset *d = read_data(MAILBOX, NULL, &r);
    assert_string_equal(r.kind, "mbox");
    assert_int_equal(r.file_count, 1);
    assert_true(r.document_count > 150 && r.document_count <= 206);
    assert_int_equal(r.train_documents + r.eval_documents + r.empty_documents, r.document_count);
    int64_t held = (int64_t)r.document_count / 10;
    assert_true(r.eval_documents >= held - 1 && r.eval_documents <= held + 1);
    assert_true(r.train_targets > 0 && r.train_targets < r.train_tokens);
    assert_true(r.eval_targets > 0 && r.eval_targets < r.eval_tokens);
    assert_true(r.longest_tokens > 0);
    weft_dataset_free(&d);
    assert_null(d);
    weft_dataset_options o = WEFT_DATASET_OPTIONS_DEFAULT;
    o.all_turns = true;
    o.eval_share = 0;
    d = read_data(MAILBOX, &o, &s);
    assert_int_equal(s.eval_documents, 0);
    assert_true(s.train_targets > r.train_targets + r.eval_targets);
    weft_dataset_free(&d);
    weft_dataset_free(&d);
    assert_non_null(strstr(weft_source_names(), "mbox"));
}

static void test_malformed_lines_are_reported(void **state) {
    (void)state;
    weft_dataset_report r;
    write_talks(in_folder("broken.jsonl"), true);
    weft_dataset *d = read_data(in_folder("broken.jsonl"), NULL, &r);
    assert_string_equal(r.kind, "jsonl (messages)");
    assert_int_equal(r.document_count, 12);
    assert_int_equal(r.skip_count, 1);
    assert_int_equal(r.skips[0].count, 3);
    assert_non_null(strstr(r.skips[0].first, "2")); /* the first stands in line 2 */
    assert_true(r.skips[0].reason[0] != 0);
    weft_dataset_free(&d);
}

static void no_data(const char *path, const weft_dataset_options *o, int status, const char *word) {
    weft_error err;
    weft_dataset *d = data;
    weft_dataset_report r;
    refused(weft_dataset_read(model, path, o, &d, &r, &err), status, &err, word, "");
    assert_null(d);
    assert_int_equal(weft_dataset_read(model, path, o, &d, NULL, NULL), status);
}

static void test_data_refused(void **state) {
    (void)state;
    weft_dataset_options o = WEFT_DATASET_OPTIONS_DEFAULT;
    no_data(in_folder("missing.mbox"), NULL, WEFT_ERR_IO, "missing.mbox");
    FILE *f = fopen(in_folder("empty.txt"), "w");
    fclose(f);
    no_data(in_folder("empty.txt"), NULL, WEFT_ERR_FORMAT, "empty file");
    o.context = 1025;
    no_data(MAILBOX, &o, WEFT_ERR_ARGUMENT, "over the model's 1024");
    o.context = -3;
    no_data(MAILBOX, &o, WEFT_ERR_ARGUMENT, "-3");
    o = (weft_dataset_options)WEFT_DATASET_OPTIONS_DEFAULT;
    o.eval_share = NAN;
    no_data(MAILBOX, &o, WEFT_ERR_ARGUMENT, "held-out share");
    o.eval_share = 0.6;
    no_data(MAILBOX, &o, WEFT_ERR_ARGUMENT, "0.6");
    o = (weft_dataset_options)WEFT_DATASET_OPTIONS_DEFAULT;
    o.as = "carrier pigeon";
    no_data(MAILBOX, &o, WEFT_ERR_ARGUMENT, "carrier pigeon");
}

/* ---------------------------------------------------------------- training */

static weft_train_options usual(void) {
    weft_train_options o = weft_train_options_default();
    o.steps = STEPS;
    o.micro_tokens = 48;
    o.accumulate = 1;
    o.rank = 4;
    o.alpha = 8;
    o.rate = 4e-3;
    o.dropout = 0.1;
    o.warmup_steps = 1;
    o.eval_every = 2;
    o.checkpoint_every = 1;
    o.seed = 5;
    return o;
}

static weft_trainer *make_trainer(const weft_train_options *o, const char *checkpoint,
                                  weft_plan *p) {
    weft_error err;
    weft_trainer *t;
    ok(weft_trainer_create(model, data, o, checkpoint, &t, p, &err), &err);
    return t;
}

typedef struct watch {
    int counts[5];
    int64_t stop_at; /* 0 = never */
} watch;

static int on_event(void *context, const weft_train_event *e) {
    watch *w = context;
    w->counts[e->kind]++;
    assert_int_equal(e->step_count, STEPS);
    assert_true(e->step >= 0 && e->step <= STEPS);
    if (e->kind == WEFT_EVENT_STEP) assert_true(e->loss > 0 && e->grad_norm > 0 && e->rate > 0);
    return e->kind == WEFT_EVENT_STEP && e->step == w->stop_at;
}

static void test_run(void **state) {
    (void)state;
    weft_error err;
    watch w = {.stop_at = 0};
    weft_train_options o = usual();
    double speed;
    trained = make_trainer(&o, NULL, &plan);
    ok(weft_trainer_measure(trained, &speed, &err), &err);
    assert_true(speed > 0 && isfinite(speed));
    assert_int_equal(weft_trainer_history(trained).step_count, 0);
    ok(weft_trainer_run(trained, on_event, &w, &err), &err);
    assert_int_equal(w.counts[WEFT_EVENT_STEP], STEPS);
    assert_true(w.counts[WEFT_EVENT_EVALUATION] >= 3);
    weft_history h = weft_trainer_history(trained);
    assert_int_equal(h.step_count, STEPS);
    assert_true(h.eval_count >= 3 && h.eval_steps[0] == 0 && h.eval_losses[0] == h.first_eval);
    assert_true(h.best_eval < h.first_eval);
    assert_true(h.losses[STEPS - 1] < h.losses[0]);
    assert_true(h.tokens_seen > 0);
}

/* What a plan counts, whatever the peak was before. */
static uint64_t parts(const weft_plan *p) {
    return p->weight_bytes + p->adapter_bytes + p->optimiser_bytes + p->activation_bytes +
           p->scratch_bytes + p->host_bytes + p->data_bytes + p->base_bytes;
}

#if defined(__SANITIZE_ADDRESS__)
#define SANITISED_BYTES (UINT64_C(1) << 40)
#else
#define SANITISED_BYTES UINT64_C(0)
#endif

static void test_plan(void **state) {
    (void)state;
    weft_model_info m;
    weft_adapter_info a;
    weft_plan with, without, automatic;
    weft_train_options o = usual();
    weft_model_get_info(model, &m);
    weft_adapter_get_info(weft_trainer_adapter(trained), &a);
    assert_int_equal(plan.step_count, STEPS);
    assert_int_equal(plan.trainable_count, a.param_count);
    assert_int_equal(a.param_count, 12 * 4 * (2 * 1024 + 2 * 768 + 3 * 2048));
    assert_true(a.rank == 4 && a.alpha == 8 && !a.rslora);
    assert_string_equal(a.targets, "q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj");
    assert_int_equal(plan.adapter_bytes, a.param_count * 4);
    assert_int_equal(plan.optimiser_bytes, a.param_count * 12);
    assert_int_equal(plan.weight_bytes, m.mapped_bytes + m.resident_bytes);
    assert_true(plan.scratch_bytes > 0 && plan.data_bytes > 0 && plan.base_bytes > 0);
    assert_true(plan.host_bytes >= plan.adapter_bytes); /* the best parameters */
    assert_true(plan.total_bytes >= plan.weight_bytes + plan.adapter_bytes + plan.optimiser_bytes +
                                        plan.activation_bytes + plan.scratch_bytes +
                                        plan.host_bytes + plan.data_bytes + plan.base_bytes);
    double all = (double)(m.ternary_count + m.dense_count);
    assert_true(fabs(plan.trainable_share * all - (double)a.param_count) < 1);
    o.recompute = WEFT_RECOMPUTE_ON;
    weft_trainer *t = make_trainer(&o, NULL, &with);
    weft_trainer_free(&t);
    o.recompute = WEFT_RECOMPUTE_OFF;
    t = make_trainer(&o, NULL, &without);
    weft_trainer_free(&t);
    assert_true(with.recompute && !without.recompute);
    assert_true(with.activation_bytes < without.activation_bytes / 2);
    o.recompute = WEFT_RECOMPUTE_AUTO;
    /* Halfway between what the two take: the process itself changes a little in between. Under
     * AddressSanitizer, which keeps what was freed, it changes by more: then far away. */
    uint64_t apart = (parts(&without) - parts(&with)) / 2 + SANITISED_BYTES;
    o.memory_bytes = parts(&without) > apart ? parts(&without) - apart : 1;
    t = make_trainer(&o, NULL, &automatic);
    weft_trainer_free(&t);
    assert_true(automatic.recompute);
    o.memory_bytes = parts(&without) + apart;
    t = make_trainer(&o, NULL, &automatic);
    weft_trainer_free(&t);
    assert_false(automatic.recompute);
}

/* Memory for less than what was asked: more and smaller micro-batches of the same step, then layers
 * computed twice, then nothing but a refusal that says what it would take. */
static void test_plan_that_fits(void **state) {
    (void)state;
    weft_error err;
    weft_plan asked, fitted;
    weft_train_options o = usual(), chosen;
    o.micro_tokens = 0;
    o.accumulate = 2;
    o.recompute = WEFT_RECOMPUTE_AUTO;
    o.memory_bytes = UINT64_C(1) << 45;
    ok(weft_plan_make(model, data, &o, true, &chosen, &asked, &err), &err);
    assert_int_equal(asked.limit_bytes, o.memory_bytes);
    assert_true(chosen.micro_tokens == 256 && chosen.accumulate == 2);
    assert_true(chosen.recompute == WEFT_RECOMPUTE_OFF && !asked.load_again && !asked.read_again);
    uint64_t little = asked.activation_bytes / 10;
    o.memory_bytes = parts(&asked) - little;
    if (SANITISED_BYTES) return; /* it keeps what was freed: the process grows all the time */
    ok(weft_plan_make(model, data, &o, true, &chosen, &fitted, &err), &err);
    assert_true(chosen.micro_tokens < 256 && chosen.micro_tokens >= fitted.context);
    assert_true(chosen.accumulate > 2 && chosen.recompute == WEFT_RECOMPUTE_OFF);
    assert_true(parts(&fitted) <= o.memory_bytes);
    o.micro_tokens = 256; /* asked for, so that it stays */
    ok(weft_plan_make(model, data, &o, true, &chosen, &fitted, &err), &err);
    assert_true(chosen.micro_tokens == 256 && chosen.accumulate == 2);
    assert_true(chosen.recompute == WEFT_RECOMPUTE_ON && fitted.recompute);
    assert_true(parts(&fitted) <= o.memory_bytes);
    o.recompute = WEFT_RECOMPUTE_OFF;
    refused(weft_plan_make(model, data, &o, true, &chosen, &fitted, &err), WEFT_ERR_MEMORY, &err,
            "at least (256 tokens at once, all activations kept", "it would fit with");
    o.recompute = WEFT_RECOMPUTE_AUTO;
    o.memory_bytes = 1 << 20;
    refused(weft_plan_make(model, data, &o, true, NULL, &fitted, &err), WEFT_ERR_MEMORY, &err,
            "the 1.0 MiB that it may take", "smaller rank");
    assert_true(fitted.total_bytes > o.memory_bytes && fitted.recompute);
    o.rate = -1;
    refused(weft_plan_make(model, data, &o, true, NULL, &fitted, &err), WEFT_ERR_ARGUMENT, &err,
            "rate", "");
}

static void test_senseless_options(void **state) {
    (void)state;
    weft_train_options o[16], good = usual();
    static const char *const words[16] = {"rate",    "rate",       "epochs",    "accumulate",
                                          "rank",    "rank",       "alpha",     "dropout",
                                          "dropout", "schedule",   "recompute", "beta1",
                                          "epsilon", "final_rate", "steps",     "clip"};
    for (int i = 0; i < 16; i++) o[i] = good;
    o[0].rate = NAN;
    o[1].rate = -1;
    o[2].steps = 0, o[2].epochs = NAN;
    o[3].accumulate = 0;
    o[4].rank = 0;
    o[5].rank = 5000;
    o[6].alpha = NAN;
    o[7].dropout = 1;
    o[8].dropout = NAN;
    o[9].schedule = (weft_schedule)77;
    o[10].recompute = (weft_recompute)9;
    o[11].beta1 = 1;
    o[12].epsilon = 0;
    o[13].final_rate_share = 1.5;
    o[14].steps = -2;
    o[15].clip = NAN;
    for (int i = 0; i < 16; i++) {
        weft_error err;
        weft_trainer *t = trained;
        refused(weft_trainer_create(model, data, &o[i], NULL, &t, NULL, &err), WEFT_ERR_ARGUMENT,
                &err, words[i], "");
        assert_null(t);
    }
    weft_error err;
    weft_trainer *t;
    good.targets = "q_proj,nose";
    refused(weft_trainer_create(model, data, &good, NULL, &t, NULL, &err), WEFT_ERR_ARGUMENT, &err,
            "nose", "");
}

/* Interrupted after one step, freed, resumed by another trainer: the same losses and bytes. */
static void test_interrupt_and_resume(void **state) {
    (void)state;
    weft_error err;
    char checkpoint[160];
    watch w = {.stop_at = 1}, rest = {.stop_at = 0};
    weft_train_options o = usual();
    snprintf(checkpoint, sizeof checkpoint, "%s", in_folder("run.safetensors"));
    weft_trainer *t = make_trainer(&o, checkpoint, NULL);
    refused(weft_trainer_resume(t, &err), WEFT_ERR_IO, &err, checkpoint, "");
    refused(weft_trainer_run(t, on_event, &w, &err), WEFT_ERR_INTERRUPTED, &err, "", "");
    weft_trainer_free(&t);
    o.rate = 1e-3;
    t = make_trainer(&o, checkpoint, NULL);
    refused(weft_trainer_resume(t, &err), WEFT_ERR_STATE, &err, "rate", "");
    weft_trainer_free(&t);
    o = usual();
    t = make_trainer(&o, checkpoint, NULL);
    ok(weft_trainer_resume(t, &err), &err);
    assert_int_equal(weft_trainer_history(t).step_count, 1);
    ok(weft_trainer_run(t, on_event, &rest, &err), &err);
    assert_int_equal(rest.counts[WEFT_EVENT_STEP], STEPS - 1);
    weft_history a = weft_trainer_history(trained), b = weft_trainer_history(t);
    assert_int_equal(a.step_count, b.step_count);
    assert_memory_equal(a.losses, b.losses, STEPS * sizeof *a.losses);
    assert_int_equal(a.eval_count, b.eval_count);
    assert_memory_equal(a.eval_losses, b.eval_losses, (size_t)a.eval_count * sizeof(double));
    weft_trainer_free(&t);
    assert_int_equal(truncate(checkpoint, file_size(checkpoint) - 9), 0);
    t = make_trainer(&o, checkpoint, NULL);
    refused(weft_trainer_resume(t, &err), WEFT_ERR_FORMAT, &err, checkpoint, "");
    weft_trainer_free(&t);
    weft_trainer_free(&t);
}

/* ---------------------------------------------------------------- evaluation */

/* The same sums packed otherwise: float32 losses summed in double. */
static void test_evaluate(void **state) {
    (void)state;
    weft_error err;
    weft_evaluation plain, learnt, all;
    const weft_adapter *a = weft_trainer_adapter(trained);
    weft_history h = weft_trainer_history(trained);
    ok(weft_evaluate(model, data, true, NULL, NULL, 0, &plain, &err), &err);
    ok(weft_evaluate(model, data, true, &a, NULL, 1, &learnt, &err), &err);
    assert_true(fabs(plain.loss - h.first_eval) <= 1e-5 * h.first_eval);
    assert_true(fabs(learnt.loss - h.best_eval) <= 1e-5 * h.best_eval);
    assert_true(fabs(plain.perplexity - exp(plain.loss)) <= 1e-9 * plain.perplexity);
    assert_int_equal(plain.target_count, learnt.target_count);
    ok(weft_evaluate(model, data, false, NULL, NULL, 0, &all, &err), &err);
    assert_true(all.target_count > plain.target_count && all.token_count > plain.token_count);
    float scale = NAN;
    refused(weft_evaluate(model, data, true, &a, &scale, 1, &all, &err), WEFT_ERR_ARGUMENT, &err,
            "scale", "nan");
    weft_dataset_options o = WEFT_DATASET_OPTIONS_DEFAULT;
    o.eval_share = 0;
    weft_dataset *whole = read_data(in_folder("talks.jsonl"), &o, NULL);
    refused(weft_evaluate(model, whole, true, NULL, NULL, 0, &all, &err), WEFT_ERR_ARGUMENT, &err,
            "held out", "");
    weft_dataset_free(&whole);
}

/* ---------------------------------------------------------------- adapters */

static void logits_of(const weft_model *m, const weft_adapter *const *adapters, const float *scales,
                      size_t count, float *logits) {
    static const int32_t text[] = {0, 17, 300, 4000, 55, 12, 700, 81, 3999, 5};
    weft_error err;
    weft_session *s;
    weft_session_options o = {.context = 16};
    ok(weft_session_create(m, &o, &s, &err), &err);
    ok(weft_session_set_adapters(s, adapters, scales, count, &err), &err);
    ok(weft_session_eval(s, text, sizeof text / sizeof *text, logits, &err), &err);
    weft_session_free(&s);
}

static void logits_with(const weft_adapter *const *adapters, const float *scales, size_t count,
                        float *logits) {
    logits_of(model, adapters, scales, count, logits);
}

static void same_logits(const weft_adapter *a, const weft_adapter *b) {
    logits_with(&a, NULL, 1, one);
    logits_with(&b, NULL, 1, other);
    assert_memory_equal(one, other, vocab * sizeof *one);
}

static weft_adapter *save_and_load(weft_adapter_format format, const char *path) {
    weft_error err;
    weft_adapter *a;
    ok(weft_adapter_save(weft_trainer_adapter(trained), model, format, path, "weft-42m", &err),
       &err);
    ok(weft_adapter_load(model, path, &a, &err), &err);
    return a;
}

static void test_adapters_travel(void **state) {
    (void)state;
    weft_error err;
    weft_adapter_info info;
    char *json;
    weft_adapter *peft = save_and_load(WEFT_ADAPTER_PEFT, in_folder("voice"));
    weft_adapter *gguf = save_and_load(WEFT_ADAPTER_GGUF, in_folder("voice.gguf"));
    same_logits(weft_trainer_adapter(trained), peft);
    same_logits(weft_trainer_adapter(trained), gguf);
    weft_adapter_get_info(gguf, &info);
    assert_true(info.rank == 4 && info.alpha == 8 &&
                (int64_t)info.param_count == plan.trainable_count);
    long size = file_size(in_folder("voice/adapter_model.safetensors"));
    assert_true(size > (long)plan.adapter_file_bytes);
    assert_true(size < (long)plan.adapter_file_bytes + 40000);
    ok(weft_file_describe(in_folder("voice/adapter_model.safetensors"), &json, &err), &err);
    assert_non_null(strstr(json, "lora_A"));
    weft_free(json);
    weft_model *none;
    refused(weft_model_load(in_folder("voice.gguf"), NULL, &none, &err), WEFT_ERR_FORMAT, &err,
            "adapter", "voice.gguf");
    weft_adapter_free(&peft);
    weft_adapter_free(&gguf);
    assert_null(gguf);
    weft_adapter_free(&gguf);
}

static void test_scales(void **state) {
    (void)state;
    const weft_adapter *a = weft_trainer_adapter(trained), *two[] = {a, a};
    float *plain = malloc(vocab * sizeof *plain);
    assert_non_null(plain);
    logits_with(NULL, NULL, 0, plain);
    logits_with(&a, NULL, 1, one);
    assert_memory_not_equal(plain, one, vocab * sizeof *one);
    logits_with(two, (float[]){1, 0}, 2, other);
    assert_memory_equal(one, other, vocab * sizeof *one);
    logits_with(two, (float[]){0, 0}, 2, other);
    assert_memory_equal(plain, other, vocab * sizeof *one);
    free(plain);
}

/* Two halves are one, to float32 rounding: shown where activations are not rounded to int8, which
 * would enlarge the last bits. 2e-5 is the golden tests' bound for tuned logits. */
static void test_halves_add_up(void **state) {
    (void)state;
    weft_error err;
    weft_model_options smooth = WEFT_MODEL_OPTIONS_DEFAULT;
    weft_model *even;
    weft_adapter *a, *voice = save_and_load(WEFT_ADAPTER_PEFT, in_folder("voice"));
    smooth.smooth = true;
    ok(weft_model_load(MODEL, &smooth, &even, &err), &err);
    ok(weft_adapter_load(even, in_folder("voice"), &a, &err), &err);
    const weft_adapter *two[] = {a, a};
    logits_of(even, two, NULL, 1, one);
    logits_of(even, two, (float[]){0.5f, 0.5f}, 2, other);
    double apart = 0, size = 0;
    for (size_t i = 0; i < vocab; i++) {
        apart += pow((double)(one[i] - other[i]), 2);
        size += pow((double)one[i], 2);
    }
    assert_true(sqrt(apart) <= 2e-5 * sqrt(size));
    weft_adapter_free(&a);
    weft_adapter_free(&voice);
    weft_model_free(&even);
}

static void test_adapters_refused(void **state) {
    (void)state;
    weft_error err;
    weft_session *s;
    weft_adapter *none;
    const weft_adapter *a = weft_trainer_adapter(trained), *many[17];
    for (int i = 0; i < 17; i++) many[i] = a;
    ok(weft_session_create(model, NULL, &s, &err), &err);
    refused(weft_session_set_adapters(s, many, NULL, 17, &err), WEFT_ERR_RANGE, &err, "17 adapters",
            "at most 16");
    float scale = INFINITY;
    refused(weft_session_set_adapters(s, &a, &scale, 1, &err), WEFT_ERR_ARGUMENT, &err, "scale",
            "inf");
    weft_session_free(&s);
    refused(weft_adapter_load(model, in_folder("nobody"), &none, &err), WEFT_ERR_IO, &err, "nobody",
            "");
    assert_null(none);
    refused(weft_adapter_load(model, MODEL, &none, &err), WEFT_ERR_FORMAT, &err, "weft-42m.gguf",
            "");
    refused(weft_adapter_save(a, model, WEFT_ADAPTER_GGUF, in_folder("no/such/x.gguf"), NULL, &err),
            WEFT_ERR_IO, &err, "x.gguf", "");
}

/* A rank above what a session is usually made for. */
static void test_large_rank(void **state) {
    (void)state;
    weft_train_options o = usual();
    o.rank = 100;
    o.targets = "down_proj";
    weft_trainer *t = make_trainer(&o, NULL, NULL);
    const weft_adapter *a = weft_trainer_adapter(t);
    logits_with(&a, NULL, 1, one); /* B is zero: the plain model */
    logits_with(NULL, NULL, 0, other);
    assert_memory_equal(one, other, vocab * sizeof *one);
    weft_trainer_free(&t);
}

static int begin(void **state) {
    (void)state;
    weft_error err;
    weft_model_info info;
    weft_dataset_options o = WEFT_DATASET_OPTIONS_DEFAULT;
    snprintf(folder, sizeof folder, "/tmp/weft-train-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    if (weft_model_load(MODEL, NULL, &model, &err)) return -1;
    weft_model_get_info(model, &info);
    vocab = (size_t)info.vocab;
    write_talks(in_folder("talks.jsonl"), false);
    o.context = 64;
    o.eval_share = 0.25;
    if (weft_dataset_read(model, in_folder("talks.jsonl"), &o, &data, NULL, &err)) return -1;
    one = malloc(vocab * sizeof *one);
    other = malloc(vocab * sizeof *other);
    return one && other ? 0 : -1;
}

static int end(void **state) {
    (void)state;
    char command[128];
    weft_trainer_free(&trained);
    weft_dataset_free(&data);
    weft_model_free(&model);
    free(one);
    free(other);
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    return system(command);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_mailbox),
                                       cmocka_unit_test(test_malformed_lines_are_reported),
                                       cmocka_unit_test(test_data_refused),
                                       cmocka_unit_test(test_run),
                                       cmocka_unit_test(test_plan),
                                       cmocka_unit_test(test_plan_that_fits),
                                       cmocka_unit_test(test_senseless_options),
                                       cmocka_unit_test(test_interrupt_and_resume),
                                       cmocka_unit_test(test_evaluate),
                                       cmocka_unit_test(test_adapters_travel),
                                       cmocka_unit_test(test_scales),
                                       cmocka_unit_test(test_halves_add_up),
                                       cmocka_unit_test(test_adapters_refused),
                                       cmocka_unit_test(test_large_rank)};
    return cmocka_run_group_tests(tests, begin, end);
}
