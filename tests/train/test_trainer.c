/* The training run on a small random model: it learns, and however it is interrupted, killed and
 * resumed, it ends with the same bytes. */
#include "train/trainer_fixture.h"

#include "base/os.h"
#include "base/rng.h"

#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define MICRO 32

static char folder[64], path[96];

/* ------------------------------------------------------------------ a run and all it needs */

typedef struct rig {
    backend *be;
    model *m;
    dataset *d;
    adapter *a;
    trainer *t;
} rig;

typedef struct rig_options {
    trainer_options o;
    int threads, documents;
    double eval_share;
    int32_t rank;
    uint64_t model_seed;
    const char *path;
} rig_options;

/* Two layers, dropout, accumulation, evaluation and patience on: everything that has a state. */
static rig_options usual(void) {
    return (rig_options){.o = {.steps = 11,
                               .micro_tokens = MICRO,
                               .accumulate = 2,
                               .optimiser = {.rate = 5e-3f,
                                             .beta1 = .9f,
                                             .beta2 = .999f,
                                             .epsilon = 1e-8f,
                                             .weight_decay = .01f,
                                             .clip = 1},
                               .schedule = SCHEDULE_COSINE,
                               .warmup_steps = 2,
                               .final_rate_share = .1,
                               .seed = 7,
                               .eval_every = 3,
                               .patience = 50,
                               .dropout = .1f},
                         .threads = 1,
                         .documents = 14,
                         .eval_share = .25,
                         .rank = 4,
                         .model_seed = 1};
}

static rig make_rig(const rig_options *r) {
    rig x;
    weft_error err;
    config shape = small_shape();
    backend_options device = {.thread_count = r->threads, .cpu_mask = UINT32_MAX};
    adapter_settings settings = {
        .rank = r->rank, .alpha = 8, .targets = (1u << TARGET_COUNT) - 1, .seed = 5};
    ok(backend_create_cpu(&device, &x.be, &err), &err);
    ok(model_synthesise(&shape, r->model_seed, PACKING_FAST, x.be, &x.m, &err), &err);
    x.d = random_data(r->documents, r->eval_share, 19, 0);
    ok(adapter_create(&shape, x.be, &settings, &x.a, &err), &err);
    ok(trainer_create(x.m, x.d, x.a, &r->o, r->path, &x.t, &err), &err);
    return x;
}

static void free_rig(rig *x) {
    trainer_free(&x->t);
    adapter_free(&x->a);
    dataset_free(&x->d);
    model_free(&x->m);
    backend_free(&x->be);
}

static float *params_of(const rig *x) {
    float *params = malloc(x->a->param_count * sizeof *params);
    assert_non_null(params);
    assert_int_equal(adapter_get_params(x->a, params, NULL), WEFT_OK);
    return params;
}

/* What a run leaves: compared byte by byte. */
typedef struct result {
    float *params, *losses;
    size_t param_count;
    int64_t step_count, eval_count, tokens_seen, best_step;
    double *eval_losses;
} result;

static void *copy(const void *data, size_t size) {
    void *out = malloc(size + 1);
    assert_non_null(out);
    if (size) memcpy(out, data, size);
    return out;
}

static result take_result(const rig *x) {
    trainer_history h = trainer_get_history(x->t);
    return (result){.params = params_of(x),
                    .losses = copy(h.losses, (size_t)h.step_count * sizeof *h.losses),
                    .eval_losses =
                        copy(h.eval_losses, (size_t)h.eval_count * sizeof *h.eval_losses),
                    .param_count = x->a->param_count,
                    .step_count = h.step_count,
                    .eval_count = h.eval_count,
                    .tokens_seen = h.tokens_seen,
                    .best_step = h.best_step};
}

static void free_result(result *r) {
    free(r->params);
    free(r->losses);
    free(r->eval_losses);
}

static void assert_same(const result *a, const result *b) {
    assert_int_equal(a->step_count, b->step_count);
    assert_int_equal(a->eval_count, b->eval_count);
    assert_int_equal(a->tokens_seen, b->tokens_seen);
    assert_int_equal(a->best_step, b->best_step);
    assert_memory_equal(a->losses, b->losses, (size_t)a->step_count * sizeof *a->losses);
    assert_memory_equal(a->eval_losses, b->eval_losses,
                        (size_t)a->eval_count * sizeof *a->eval_losses);
    assert_int_equal(a->param_count, b->param_count);
    assert_memory_equal(a->params, b->params, a->param_count * sizeof *a->params);
}

static result run_straight(const rig_options *r) {
    weft_error err;
    rig x = make_rig(r);
    ok(trainer_run(x.t, NULL, NULL, &err), &err);
    result out = take_result(&x);
    free_rig(&x);
    return out;
}

/* ------------------------------------------------------------------ it learns */

static void test_loss_falls(void **state) {
    (void)state;
    rig_options r = usual();
    r.documents = 3;
    r.eval_share = 0;
    r.o.steps = 60;
    r.o.dropout = 0;
    r.o.optimiser.rate = 1e-2f;
    result out = run_straight(&r);
    assert_true(out.losses[0] > 3.5f && out.losses[0] < 5); /* about log 64 */
    assert_true(out.losses[59] < 0.5f * out.losses[0]);
    assert_int_equal(out.eval_count, 0);
    free_result(&out);
}

/* A data set of one window: a trainer that never trains its first sample would learn nothing. */
static void test_single_sample_is_trained(void **state) {
    (void)state;
    rig_options r = usual();
    r.documents = 1;
    r.eval_share = 0;
    r.o.steps = 0;
    r.o.epochs = 40;
    r.o.dropout = 0;
    r.o.optimiser.rate = 1e-2f;
    result out = run_straight(&r);
    assert_int_equal(out.step_count, 40);
    assert_true(out.losses[39] < 0.5f * out.losses[0]);
    free_result(&out);
}

/* Every token of every epoch goes through the model, whether the run is interrupted or not. */
static void test_epochs_train_everything(void **state) {
    (void)state;
    rig_options r = usual();
    weft_error err;
    r.o.steps = 0;
    r.o.epochs = 3;
    rig x = make_rig(&r);
    int64_t steps = 0;
    for (int64_t epoch = 0; epoch < 3; epoch++) {
        epoch_plan plan;
        ok(epoch_plan_create(x.d, r.o.seed, epoch, MICRO, &plan, &err), &err);
        steps += (plan.micro_count + 1) / 2;
        epoch_plan_destroy(&plan);
    }
    assert_int_equal(trainer_step_count(x.t), steps);
    ok(trainer_run(x.t, NULL, NULL, &err), &err);
    trainer_history h = trainer_get_history(x.t);
    assert_int_equal(h.step_count, steps);
    assert_int_equal(h.tokens_seen, 3 * dataset_statistics(x.d).train_tokens);
    free_rig(&x);
    r.o.epochs = 0.5;
    x = make_rig(&r);
    assert_true(trainer_step_count(x.t) >= 1 && trainer_step_count(x.t) <= steps / 3);
    free_rig(&x);
}

/* Each pair's A is drawn on its own, and B begins at zero. */
static void test_adapter_starts_distinct(void **state) {
    (void)state;
    rig_options r = usual();
    rig x = make_rig(&r);
    float *params = params_of(&x);
    const lora_pair *q0 = adapter_pair(x.a, 0, TARGET_Q), *k0 = adapter_pair(x.a, 0, TARGET_K),
                    *q1 = adapter_pair(x.a, 1, TARGET_Q);
    assert_memory_not_equal(params + q0->a_offset, params + k0->a_offset, 64);
    assert_memory_not_equal(params + q0->a_offset, params + q1->a_offset, 64);
    for (int i = 0; i < 128 * 4; i++) assert_true(params[q0->b_offset + i] == 0);
    free(params);
    free_rig(&x);
}

/* ------------------------------------------------------------------ the same bytes */

static void test_repeatable(void **state) {
    (void)state;
    rig_options r = usual();
    result a = run_straight(&r);
    r.threads = 2;
    result b = run_straight(&r);
    assert_same(&a, &b);
    r.o.seed++;
    result c = run_straight(&r);
    assert_memory_not_equal(a.losses, c.losses, (size_t)a.step_count * sizeof *a.losses);
    free_result(&a);
    free_result(&b);
    free_result(&c);
}

/* Measuring the speed, before the run or after a resume, leaves no trace. */
static void test_measuring_changes_nothing(void **state) {
    (void)state;
    rig_options r = usual();
    weft_error err;
    double tokens_per_s = 0;
    result straight = run_straight(&r);
    rig x = make_rig(&r);
    assert_true(trainer_steps_per_epoch(x.t) > 1);
    ok(trainer_measure(x.t, &tokens_per_s, &err), &err);
    assert_true(tokens_per_s > 0);
    ok(trainer_run(x.t, NULL, NULL, &err), &err);
    result out = take_result(&x);
    assert_same(&straight, &out);
    free_result(&out);
    free_result(&straight);
    free_rig(&x);
}

typedef struct watch {
    int64_t events, stop_at; /* event number, from 0, at which to stop; -1 = never */
    int64_t kinds[5];
    int64_t last_step;
    double last_best;
} watch;

static int on_event(void *context, const trainer_event *e) {
    watch *w = context;
    w->kinds[e->kind]++;
    w->last_step = e->step;
    w->last_best = e->best_loss;
    assert_true(e->step >= 0 && e->step <= e->step_count);
    assert_true(e->epoch >= 0);
    return w->events++ == w->stop_at;
}

/* Stop at the event given, then go on in a new trainer with a fresh adapter. False if the run has
 * no such event. */
static bool run_in_two(rig_options r, int64_t stop_at, result *out) {
    weft_error err;
    unlink(path);
    r.path = path;
    watch w = {.stop_at = stop_at};
    rig x = make_rig(&r);
    int rc = trainer_run(x.t, on_event, &w, &err);
    if (!rc) {
        assert_true(w.events <= stop_at);
        free_rig(&x);
        return false;
    }
    assert_int_equal(rc, WEFT_ERR_INTERRUPTED);
    assert_non_null(strstr(err.message, path));
    free_rig(&x);
    x = make_rig(&r);
    ok(trainer_resume(x.t, &err), &err);
    assert_int_equal(trainer_get_history(x.t).step_count, w.last_step);
    w = (watch){.stop_at = -1};
    ok(trainer_run(x.t, on_event, &w, &err), &err);
    assert_int_equal(w.kinds[TRAINER_RESUMED], 1);
    *out = take_result(&x);
    free_rig(&x);
    return true;
}

static void test_resume_anywhere(void **state) {
    (void)state;
    rig_options r = usual();
    r.o.checkpoint_every = 4;
    result straight = run_straight(&r), out;
    int64_t stops = 0;
    for (; run_in_two(r, stops, &out); stops++) {
        assert_same(&straight, &out);
        free_result(&out);
    }
    assert_true(stops > 11 + 5); /* steps, evaluations, checkpoints: at each of them */
    free_result(&straight);
}

/* Stopped again and again, and without a new process in between. */
static void test_continue_after_interrupts(void **state) {
    (void)state;
    rig_options r = usual();
    weft_error err;
    result straight = run_straight(&r);
    rig x = make_rig(&r); /* no checkpoint file */
    int rc, runs = 0;
    do {
        watch w = {.stop_at = 1};
        rc = trainer_run(x.t, on_event, &w, &err);
        if (rc) assert_int_equal(rc, WEFT_ERR_INTERRUPTED);
        if (rc) assert_non_null(strstr(err.message, "nothing is saved"));
        runs++;
    } while (rc);
    assert_true(runs > 5);
    result out = take_result(&x);
    assert_same(&straight, &out);
    ok(trainer_run(x.t, NULL, NULL, &err), &err); /* finished: nothing changes */
    free_result(&out);
    out = take_result(&x);
    assert_same(&straight, &out);
    free_result(&out);
    free_result(&straight);
    free_rig(&x);
}

/* What a checkpoint allows to change: how the work is done, not what comes out. */
static void test_recompute_gives_the_same(void **state) {
    (void)state;
    rig_options r = usual();
    weft_error err;
    result straight = run_straight(&r);
    unlink(path);
    r.path = path;
    watch w = {.stop_at = 6};
    rig x = make_rig(&r);
    assert_int_equal(trainer_run(x.t, on_event, &w, &err), WEFT_ERR_INTERRUPTED);
    free_rig(&x);
    r.o.recompute = true;
    r.o.checkpoint_every = 1;
    r.threads = 2;
    x = make_rig(&r);
    ok(trainer_resume(x.t, &err), &err);
    ok(trainer_run(x.t, NULL, NULL, &err), &err);
    result out = take_result(&x);
    assert_same(&straight, &out);
    free_result(&out);
    free_result(&straight);
    free_rig(&x);
}

/* ------------------------------------------------------------------ killed */

/* In a process of its own: go on from the file if there is one, and leave the parameters in
 * `output`. kill_at >= 0: die at that event. */
static int kill_here(void *context, const trainer_event *e) {
    int64_t *left = context;
    (void)e;
    if ((*left)-- == 0) raise(SIGKILL);
    return 0;
}

static void child_main(const rig_options *r, int64_t kill_at, const char *output) {
    weft_error err;
    rig x = make_rig(r);
    if (os_is_file(path) && trainer_resume(x.t, &err)) {
        fprintf(stderr, "resume: %s\n", err.message);
        _exit(3);
    }
    if (trainer_run(x.t, kill_here, &kill_at, &err)) _exit(4);
    float *params = malloc(x.a->param_count * sizeof *params);
    if (!params || adapter_get_params(x.a, params, &err)) _exit(5);
    _exit(os_write_file(output, params, x.a->param_count * sizeof *params, &err) ? 6 : 0);
}

/* Run a child; kill it after delay_us, unless that is negative. Returns whether it came to its end.
 */
static bool run_child(const rig_options *r, int64_t kill_at, int64_t delay_us, const char *output) {
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) child_main(r, kill_at, output);
    if (delay_us >= 0) {
        usleep((useconds_t)delay_us);
        kill(child, SIGKILL);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status)) {
        assert_int_equal(WTERMSIG(status), SIGKILL);
        return false;
    }
    assert_int_equal(WEXITSTATUS(status), 0);
    return true;
}

static void test_kill_and_resume(void **state) {
    (void)state;
    char output[128];
    rig_options r = usual();
    r.o.checkpoint_every = 1;
    r.path = path;
    snprintf(output, sizeof output, "%s/final", folder);
    unlink(path);
    result straight = run_straight(&r);
    unlink(path);
    bool done = false;
    int kills = 0;
    /* By turns: at an event (after so many of them, so that some progress is sure), and at any
     * time. */
    for (; !done && kills < 200; kills++) {
        int64_t delay = kills % 2 ? (int64_t)rng_below(11, (uint64_t)kills, 30000) : -1;
        done = run_child(&r, kills % 2 ? -1 : 1 + kills % 3, delay, output);
    }
    assert_true(done);
    assert_true(kills >= 4);
    char *data;
    size_t size;
    weft_error err;
    ok(os_read_file(output, 1 << 30, &data, &size, &err), &err);
    assert_int_equal(size, straight.param_count * sizeof(float));
    assert_memory_equal(data, straight.params, size);
    free(data);
    free_result(&straight);
}

/* ------------------------------------------------------------------ held-out loss */

static void test_early_stop_keeps_the_best(void **state) {
    (void)state;
    rig_options r = usual();
    weft_error err;
    r.o.steps = 200;
    r.o.eval_every = 1;
    r.o.patience = 3;
    r.o.dropout = 0;
    r.o.optimiser.rate = 2e-2f; /* random documents: the held-out loss can only rise in the end */
    rig x = make_rig(&r);
    watch w = {.stop_at = -1};
    ok(trainer_run(x.t, on_event, &w, &err), &err);
    trainer_history h = trainer_get_history(x.t);
    assert_int_equal(w.kinds[TRAINER_EARLY_STOP], 1);
    assert_true(h.step_count < 200);
    assert_int_equal(h.step_count, h.best_step + 3);
    for (int64_t i = 0; i < h.eval_count; i++) assert_true(h.eval_losses[i] >= h.best_eval);
    assert_true(h.eval_losses[h.eval_count - 1] > h.best_eval);
    assert_true(w.last_best == h.best_eval);
    /* The adapter that is left scores exactly the best loss. */
    trainer *again;
    watch first = {.stop_at = 0};
    ok(trainer_create(x.m, x.d, x.a, &r.o, NULL, &again, &err), &err);
    assert_int_equal(trainer_run(again, on_event, &first, &err), WEFT_ERR_INTERRUPTED);
    assert_true(trainer_get_history(again).first_eval == h.best_eval);
    trainer_free(&again);
    free_rig(&x);
}

/* A stopped run stays stopped when it is resumed, with the same adapter. */
static void test_early_stop_survives_resume(void **state) {
    (void)state;
    rig_options r = usual();
    r.o.steps = 60;
    r.o.eval_every = 1;
    r.o.patience = 2;
    r.o.optimiser.rate = 2e-2f;
    result straight = run_straight(&r), out;
    assert_true(straight.step_count < 60);
    int64_t stops = 0;
    for (; run_in_two(r, stops, &out); stops++) {
        assert_same(&straight, &out);
        free_result(&out);
    }
    assert_true(stops >= 2 * straight.step_count);
    free_result(&straight);
}

static void test_evaluation_times(void **state) {
    (void)state;
    rig_options r = usual();
    weft_error err;
    rig x = make_rig(&r);
    ok(trainer_run(x.t, NULL, NULL, &err), &err);
    trainer_history h = trainer_get_history(x.t);
    const int64_t expected[] = {0, 3, 6, 9, 11};
    assert_int_equal(h.eval_count, 5);
    assert_memory_equal(h.eval_steps, expected, sizeof expected);
    assert_true(h.first_eval == h.eval_losses[0]);
    free_rig(&x);
    r.o.eval_every = 0;
    x = make_rig(&r);
    ok(trainer_run(x.t, NULL, NULL, &err), &err);
    assert_int_equal(trainer_get_history(x.t).eval_count, 2);
    free_rig(&x);
    r.documents = 1; /* nothing can be held out */
    x = make_rig(&r);
    ok(trainer_run(x.t, NULL, NULL, &err), &err);
    h = trainer_get_history(x.t);
    assert_int_equal(h.eval_count, 0);
    assert_true(isnan(h.first_eval) && isnan(h.best_eval));
    assert_int_equal(h.best_step, 11);
    free_rig(&x);
}

/* ------------------------------------------------------------------ refusals */

static void expect_mismatch(rig_options r, const char *words) {
    weft_error err;
    rig x = make_rig(&r);
    assert_int_equal(trainer_resume(x.t, &err), WEFT_ERR_STATE);
    if (!strstr(err.message, words)) fail_msg("'%s' does not say '%s'", err.message, words);
    assert_int_equal(trainer_get_history(x.t).step_count, 0); /* nothing was taken over */
    free_rig(&x);
}

static void test_resume_refuses_another_run(void **state) {
    (void)state;
    rig_options r = usual(), other;
    weft_error err;
    r.path = path;
    unlink(path);
    rig x = make_rig(&r);
    assert_int_equal(trainer_resume(x.t, &err), WEFT_ERR_IO);
    assert_non_null(strstr(err.message, path));
    watch w = {.stop_at = 3};
    assert_int_equal(trainer_run(x.t, on_event, &w, &err), WEFT_ERR_INTERRUPTED);
    free_rig(&x);
    other = r;
    other.model_seed = 2;
    expect_mismatch(other, "its model is ");
    other = r;
    other.documents = 13;
    expect_mismatch(other, "its data set (documents, context, loss mask, split) is ");
    other = r;
    other.rank = 8;
    expect_mismatch(other, "its rank is 4, this run's is 8");
    other = r;
    other.o.optimiser.rate = 0.25f;
    expect_mismatch(other, "its learning rate is 0.00499999989, this run's is 0.25");
    other = r;
    other.o.steps = 12;
    expect_mismatch(other, "its steps is 11, this run's is 12");
    other = r;
    other.o.schedule = SCHEDULE_LINEAR;
    expect_mismatch(other, "its schedule is cosine, this run's is linear");
    other = r;
    other.o.smooth = true;
    expect_mismatch(other, "activation rounding");
    other = r;
    other.o.dropout = 0;
    expect_mismatch(other, "dropout");
    other = r;
    other.path = NULL;
    x = make_rig(&other);
    assert_int_equal(trainer_resume(x.t, &err), WEFT_ERR_STATE);
    free_rig(&x);
}

static int poison(void *context, const trainer_event *e) {
    rig *x = context;
    if (e->kind != TRAINER_CHECKPOINT || e->step != 2) return 0;
    float *params = params_of(x);
    for (size_t i = 0; i < x->a->param_count; i++) params[i] = 1e25f;
    assert_int_equal(adapter_set_params(x->a, params, NULL), WEFT_OK);
    free(params);
    return 0;
}

/* Numbers that run away: an error that names the step, and a checkpoint that is still good. */
static void test_not_finite(void **state) {
    (void)state;
    rig_options r = usual();
    weft_error err;
    result straight = run_straight(&r);
    r.path = path;
    r.o.checkpoint_every = 1;
    unlink(path);
    rig x = make_rig(&r);
    assert_int_equal(trainer_run(x.t, poison, &x, &err), WEFT_ERR_NUMERIC);
    if (!strstr(err.message, "step 3 of 11: ")) fail_msg("%s", err.message);
    assert_int_equal(trainer_run(x.t, NULL, NULL, &err), WEFT_ERR_STATE);
    assert_int_equal(trainer_resume(x.t, &err), WEFT_ERR_STATE);
    free_rig(&x);
    x = make_rig(&r);
    ok(trainer_resume(x.t, &err), &err);
    assert_int_equal(trainer_get_history(x.t).step_count, 2);
    ok(trainer_run(x.t, NULL, NULL, &err), &err);
    result out = take_result(&x);
    assert_same(&straight, &out);
    free_result(&out);
    free_result(&straight);
    free_rig(&x);
}

static void expect_bad_option(trainer_options o, const char *words) {
    weft_error err;
    assert_int_equal(trainer_options_check(&o, &err), WEFT_ERR_ARGUMENT);
    if (!strstr(err.message, words)) fail_msg("'%s' does not say '%s'", err.message, words);
}

static void test_option_errors(void **state) {
    (void)state;
    const trainer_options good = usual().o;
    weft_error err;
    assert_int_equal(trainer_options_check(&good, &err), WEFT_OK);
#define BAD(change, words)                                                                         \
    do {                                                                                           \
        trainer_options o = good;                                                                  \
        change;                                                                                    \
        expect_bad_option(o, words);                                                               \
    } while (0)
    BAD(o.steps = -1, "steps is -1");
    BAD(o.steps = 0; o.epochs = 0, "epochs is 0");
    BAD(o.steps = 0; o.epochs = NAN, "epochs is");
    BAD(o.steps = 0; o.epochs = -2, "epochs is -2");
    BAD(o.micro_tokens = 0, "micro_tokens is 0");
    BAD(o.accumulate = 0, "accumulate is 0");
    BAD(o.optimiser.rate = 0, "the learning rate is 0");
    BAD(o.optimiser.rate = NAN, "the learning rate is");
    BAD(o.optimiser.rate = INFINITY, "the learning rate is inf");
    BAD(o.optimiser.beta1 = 1, "beta1 is 1");
    BAD(o.optimiser.beta2 = -.5f, "beta2 is -0.5");
    BAD(o.optimiser.epsilon = 0, "epsilon is 0");
    BAD(o.optimiser.weight_decay = -1, "the weight decay is -1");
    BAD(o.optimiser.clip = NAN, "the clipping norm is");
    BAD(o.schedule = 9, "the schedule is 9");
    BAD(o.warmup_steps = -1, "warmup_steps is -1");
    BAD(o.final_rate_share = 1.5, "final_rate_share is 1.5");
    BAD(o.eval_every = -1, "eval_every is -1");
    BAD(o.patience = -1, "patience is -1");
    BAD(o.checkpoint_every = -1, "checkpoint_every is -1");
    BAD(o.dropout = 1, "dropout is 1");
#undef BAD
    rig_options r = usual();
    rig x = make_rig(&r);
    trainer *t;
    r.o.micro_tokens = 15; /* below the longest window */
    assert_int_equal(trainer_create(x.m, x.d, x.a, &r.o, NULL, &t, &err), WEFT_ERR_ARGUMENT);
    assert_non_null(strstr(err.message, "15 tokens cannot hold a window of 16"));
    assert_null(t);
    free_rig(&x);
}

/* ------------------------------------------------------------------ schedule */

static void test_schedule(void **state) {
    (void)state;
    trainer_options o = {.optimiser = {.rate = 1}, .warmup_steps = 4, .final_rate_share = 0.2};
    const double warmup[] = {0.2, 0.4, 0.6, 0.8, 1.0};
    o.schedule = SCHEDULE_LINEAR;
    for (int i = 0; i < 5; i++) assert_true(fabs(schedule_rate(&o, i, 12) - warmup[i]) < 1e-12);
    assert_true(fabs(schedule_rate(&o, 8, 12) - 0.6) < 1e-12);
    assert_true(fabs(schedule_rate(&o, 11, 12) - 0.3) < 1e-12);
    o.schedule = SCHEDULE_COSINE;
    assert_true(fabs(schedule_rate(&o, 4, 12) - 1) < 1e-12);
    assert_true(fabs(schedule_rate(&o, 8, 12) - 0.6) < 1e-12);
    assert_true(fabs(schedule_rate(&o, 6, 12) - (0.2 + 0.8 * (1 + sqrt(0.5)) / 2)) < 1e-12);
    o.schedule = SCHEDULE_CONSTANT;
    assert_true(fabs(schedule_rate(&o, 3, 12) - 0.8) < 1e-12);
    assert_true(fabs(schedule_rate(&o, 11, 12) - 1) < 1e-12);
    /* No step is ever spent at rate 0. */
    o = (trainer_options){.optimiser = {.rate = 1}, .schedule = SCHEDULE_LINEAR};
    for (int i = 0; i < 12; i++) assert_true(schedule_rate(&o, i, 12) > 0);
    o.warmup_steps = 100;
    for (int i = 0; i < 12; i++) assert_true(schedule_rate(&o, i, 12) > 0);
}

static int set_up(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/weft-test-trainer-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/run.checkpoint", folder);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    return os_remove_tree(folder, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_schedule),
        cmocka_unit_test(test_option_errors),
        cmocka_unit_test(test_loss_falls),
        cmocka_unit_test(test_single_sample_is_trained),
        cmocka_unit_test(test_epochs_train_everything),
        cmocka_unit_test(test_adapter_starts_distinct),
        cmocka_unit_test(test_repeatable),
        cmocka_unit_test(test_measuring_changes_nothing),
        cmocka_unit_test(test_resume_anywhere),
        cmocka_unit_test(test_continue_after_interrupts),
        cmocka_unit_test(test_recompute_gives_the_same),
        cmocka_unit_test(test_kill_and_resume),
        cmocka_unit_test(test_early_stop_keeps_the_best),
        cmocka_unit_test(test_early_stop_survives_resume),
        cmocka_unit_test(test_evaluation_times),
        cmocka_unit_test(test_resume_refuses_another_run),
        cmocka_unit_test(test_not_finite),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
