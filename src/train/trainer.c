/* The run. Everything random or scheduled follows from the step, so the state is small and every
 * place where the loop can be left is one where it can be entered again: what is due at a step
 * (evaluation, early stop, checkpoint, the next update) is worked out from the state alone. */
#include "train/trainer_impl.h"

#include "base/os.h"
#include "base/rng.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A stream of the run's seed: the dropout masks. */
enum { STREAM_DROPOUT = 3 };

static double seconds_since(uint64_t start_ns) {
    return (double)(os_clock_ns() - start_ns) * 1e-9;
}

/* ------------------------------------------------------------------ epochs and steps */

static int plan_epoch(trainer *t, int64_t epoch, weft_error *err) {
    epoch_plan_destroy(&t->plan);
    t->epoch_steps = 0;
    TRY(epoch_plan_create(t->d, t->o.seed, epoch, t->o.micro_tokens, &t->plan, err));
    t->epoch = epoch;
    t->epoch_steps = (t->plan.micro_count - 1) / t->o.accumulate + 1;
    return WEFT_OK;
}

/* Make the plan of the epoch that holds t->step. Packing differs from epoch to epoch, so the epochs
 * before it are counted one by one: cheap beside training on them. */
static int seek_epoch(trainer *t, weft_error *err) {
    if (!t->epoch_steps || t->step < t->epoch_begin) {
        t->epoch_begin = 0;
        TRY(plan_epoch(t, 0, err));
    }
    while (t->step >= t->epoch_begin + t->epoch_steps) {
        int64_t begin = t->epoch_begin + t->epoch_steps;
        TRY(plan_epoch(t, t->epoch + 1, err));
        t->epoch_begin = begin;
    }
    return WEFT_OK;
}

static int count_steps(trainer *t, weft_error *err) {
    t->step_count = t->o.steps;
    if (t->o.steps) return WEFT_OK;
    int64_t whole = (int64_t)floor(t->o.epochs);
    double part = t->o.epochs - floor(t->o.epochs);
    for (int64_t e = 0; e < whole; e++) {
        TRY(plan_epoch(t, e, err));
        t->step_count += t->epoch_steps;
        if (t->step_count > TRAINER_STEPS_MAX)
            return err_set(err, WEFT_ERR_ARGUMENT, "%g epochs are more than %d steps", t->o.epochs,
                           TRAINER_STEPS_MAX);
    }
    if (part > 0) {
        TRY(plan_epoch(t, whole, err));
        t->step_count += (int64_t)ceil(part * (double)t->epoch_steps);
    }
    t->epoch_steps = 0; /* counting is no seeking: begin again */
    return WEFT_OK;
}

/* ------------------------------------------------------------------ life */

static int set_up(trainer *t, weft_error *err) {
    TRY(count_steps(t, err));
    TRY(seek_epoch(t, err));
    TRY(micro_batch_create(t->o.micro_tokens, &t->batch, err));
    int64_t longest = dataset_window_max(t->d);
    if (t->replay.d && dataset_window_max(t->replay.d) > longest)
        longest = dataset_window_max(t->replay.d);
    step_options options = {.micro_tokens = t->o.micro_tokens,
                            .positions_max = longest,
                            .recompute = t->o.recompute,
                            .smooth = t->o.smooth,
                            .dropout = t->o.dropout};
    TRY(train_step_create(t->m, t->a, &options, &t->engine, err));
    trainer_list_settings(t);
    return WEFT_OK;
}

int trainer_create(const model *m, const dataset *d, adapter *a, const trainer_options *options,
                   const char *checkpoint_path, trainer **out, weft_error *err) {
    *out = NULL;
    TRY(trainer_options_check(options, err));
    trainer *t = calloc(1, sizeof *t);
    if (!t) return err_set(err, WEFT_ERR_MEMORY, "out of memory for the trainer");
    t->m = m;
    t->d = d;
    t->a = a;
    t->o = *options;
    t->saved_step = -1;
    t->replay_loss = t->replay_eval_loss = NAN;
    t->replay = (replay){.d = options->replay,
                         .share = options->replay_share,
                         .seed = options->seed,
                         .micro_tokens = options->micro_tokens};
    int rc = WEFT_OK;
    if (checkpoint_path && !(t->path = strdup(checkpoint_path)))
        rc = err_set(err, WEFT_ERR_MEMORY, "out of memory for the trainer");
    if (!rc) rc = set_up(t, err);
    if (rc) trainer_free(&t);
    *out = t;
    return rc;
}

void trainer_free(trainer **out) {
    trainer *t = *out;
    if (!t) return;
    train_step_free(&t->engine);
    micro_batch_destroy(&t->batch);
    epoch_plan_destroy(&t->plan);
    replay_destroy(&t->replay);
    free(t->losses);
    free(t->eval_steps);
    free(t->eval_losses);
    free(t->best);
    free(t->path);
    free(t);
    *out = NULL;
}

/* ------------------------------------------------------------------ what is due */

static bool has_eval(const trainer *t) {
    return dataset_statistics(t->d).eval_windows > 0;
}

static bool eval_done(const trainer *t) {
    return t->eval_count && t->eval_steps[t->eval_count - 1] == t->step;
}

static bool eval_due(const trainer *t) {
    if (!has_eval(t) || eval_done(t)) return false;
    if (t->step == 0 || t->step == t->step_count) return true;
    return t->o.eval_every && t->step % t->o.eval_every == 0;
}

static bool early_stop_due(const trainer *t) {
    return t->o.patience && t->eval_count && t->step < t->step_count &&
           t->eval_count - 1 - t->best_index >= t->o.patience;
}

static bool is_saved(const trainer *t) {
    return t->saved_step == t->step && t->saved_evals == t->eval_count;
}

static bool checkpoint_due(const trainer *t, bool last) {
    if (!t->path || is_saved(t)) return false;
    if (last) return true;
    return t->o.checkpoint_every && t->step && t->step % t->o.checkpoint_every == 0;
}

/* ------------------------------------------------------------------ events */

static int64_t evals_left(const trainer *t) {
    if (!has_eval(t)) return 0;
    return t->o.eval_every ? (t->step_count - t->step) / t->o.eval_every + 1 : 1;
}

static double estimate_seconds_left(const trainer *t) {
    if (!t->session_steps) return NAN;
    double step_s = t->train_s / (double)t->session_steps;
    return step_s * (double)(t->step_count - t->step) + t->eval_s * (double)evals_left(t);
}

static int interrupt(trainer *t, weft_error *err) {
    if (t->path && !is_saved(t)) TRY(trainer_save(t, err));
    return err_set(err, WEFT_ERR_INTERRUPTED, "stopped at step %" PRId64 " of %" PRId64 "; %s%s",
                   t->step, t->step_count, t->path ? "the state is saved in " : "nothing is saved",
                   t->path ? t->path : "");
}

typedef struct listener {
    trainer_callback callback; /* may be NULL */
    void *context;
} listener;

static int emit(trainer *t, const listener *to, int kind, double loss, weft_error *err) {
    if (!to->callback) return WEFT_OK;
    double in_epoch = (double)(t->step - t->epoch_begin) / (double)t->epoch_steps;
    trainer_event e = {.step = t->step,
                       .step_count = t->step_count,
                       .epoch = (double)t->epoch + in_epoch,
                       .loss = loss,
                       .best_loss = t->eval_count ? t->eval_losses[t->best_index] : NAN,
                       .replay_loss = kind == TRAINER_EVALUATION ? t->replay_eval_loss
                                      : kind == TRAINER_STEP     ? t->replay_loss
                                                                 : NAN,
                       .grad_norm = t->grad_norm,
                       .rate = t->rate,
                       .tokens_per_s = t->train_s > 0 ? (double)t->session_tokens / t->train_s : 0,
                       .seconds_left = estimate_seconds_left(t)};
    e.kind = kind;
    return to->callback(to->context, &e) ? interrupt(t, err) : WEFT_OK;
}

/* ------------------------------------------------------------------ evaluation */

static int grow(void **array, int64_t *capacity, int64_t count, size_t item_bytes,
                weft_error *err) {
    if (count < *capacity) return WEFT_OK;
    int64_t wanted = count + count / 2 + 64;
    void *grown = realloc(*array, (size_t)wanted * item_bytes);
    if (!grown) return err_set(err, WEFT_ERR_MEMORY, "out of memory for the run's history");
    *array = grown;
    *capacity = wanted;
    return WEFT_OK;
}

static int grow_evals(trainer *t, weft_error *err) {
    int64_t capacity = t->evals_capacity;
    TRY(grow((void **)&t->eval_steps, &capacity, t->eval_count, sizeof *t->eval_steps, err));
    capacity = t->evals_capacity;
    TRY(grow((void **)&t->eval_losses, &capacity, t->eval_count, sizeof *t->eval_losses, err));
    t->evals_capacity = capacity;
    if (!t->best) t->best = malloc(t->a->param_count * sizeof *t->best);
    return t->best ? WEFT_OK : err_set(err, WEFT_ERR_MEMORY, "out of memory for the best adapter");
}

static int measure_eval_loss(trainer *t, const dataset *d, double *loss, weft_error *err) {
    double sum = 0;
    int64_t targets = 0;
    for (int64_t i = 0; dataset_fill_eval(d, i, t->o.micro_tokens, &t->batch); i++) {
        double micro_sum;
        TRY(train_step_evaluate(t->engine, &t->batch, &micro_sum, err));
        sum += micro_sum;
        targets += t->batch.target_count;
    }
    *loss = sum / (double)targets;
    if (isfinite(*loss)) return WEFT_OK;
    return err_set(err, WEFT_ERR_NUMERIC, "the held-out loss is not finite");
}

static int evaluate(trainer *t, weft_error *err) {
    uint64_t start = os_clock_ns();
    double loss;
    TRY(grow_evals(t, err));
    TRY(measure_eval_loss(t, t->d, &loss, err));
    if (t->replay.d && dataset_statistics(t->replay.d).eval_windows > 0)
        TRY(measure_eval_loss(t, t->replay.d, &t->replay_eval_loss, err));
    if (!t->eval_count || loss < t->eval_losses[t->best_index]) {
        TRY(adapter_get_params(t->a, t->best, err));
        t->best_index = t->eval_count;
    }
    t->eval_steps[t->eval_count] = t->step;
    t->eval_losses[t->eval_count++] = loss;
    t->eval_s = seconds_since(start);
    return WEFT_OK;
}

/* ------------------------------------------------------------------ a step */

typedef struct step_sums {
    double loss;
    int64_t targets, tokens;
} step_sums;

/* Gradients of the micro-batch in t->batch. */
static int add_batch(trainer *t, uint64_t mask, step_sums *sums, weft_error *err) {
    double loss;
    TRY(train_step_accumulate(t->engine, &t->batch, mask, &loss, err));
    sums->loss += loss;
    sums->targets += t->batch.target_count;
    sums->tokens += t->batch.tokens;
    return WEFT_OK;
}

/* Gradients of the step's micro-batches, the replayed ones after its own; the last step of an epoch
 * may have fewer. */
static int accumulate(trainer *t, step_sums *own, step_sums *replayed, weft_error *err) {
    int64_t begin = (t->step - t->epoch_begin) * t->o.accumulate;
    int64_t left = t->plan.micro_count - begin;
    int64_t count = left < t->o.accumulate ? left : t->o.accumulate;
    uint64_t masks = rng_at(rng_split(t->o.seed, STREAM_DROPOUT), (uint64_t)t->step);
    for (int64_t i = 0; i < count; i++) {
        dataset_fill(t->d, &t->plan, begin + i, &t->batch);
        TRY(add_batch(t, rng_at(masks, (uint64_t)i), own, err));
    }
    int64_t first = replay_index(&t->replay, t->step, t->o.accumulate);
    int64_t end = replay_index(&t->replay, t->step + 1, t->o.accumulate);
    for (int64_t i = first; i < end; i++) {
        TRY(replay_fill(&t->replay, i, &t->batch, err));
        TRY(add_batch(t, rng_at(masks, (uint64_t)(count + i - first)), replayed, err));
    }
    return WEFT_OK;
}

static int take_step(trainer *t, weft_error *err) {
    uint64_t start = os_clock_ns();
    step_sums own = {0}, replayed = {0};
    TRY(seek_epoch(t, err));
    TRY(grow((void **)&t->losses, &t->losses_capacity, t->step, sizeof *t->losses, err));
    TRY(accumulate(t, &own, &replayed, err));
    t->rate = schedule_rate(&t->o, t->step, t->step_count);
    optimiser_settings optimiser = t->o.optimiser;
    optimiser.rate = (float)t->rate;
    TRY(train_step_update(t->engine, &optimiser, t->step + 1, own.targets + replayed.targets,
                          &t->grad_norm, err));
    t->losses[t->step++] = (float)(own.loss / (double)own.targets);
    t->replay_loss = replayed.targets ? replayed.loss / (double)replayed.targets : NAN;
    t->tokens_seen += own.tokens + replayed.tokens;
    t->session_steps++;
    t->session_tokens += own.tokens + replayed.tokens;
    t->train_s += seconds_since(start);
    return WEFT_OK;
}

/* ------------------------------------------------------------------ the loop */

/* After a failure in the middle of a step the gradients are of no use. */
static int fail_run(trainer *t, int rc, const char *what, int64_t step, weft_error *err) {
    t->failed = true;
    err_prefix(err, "%s %" PRId64 " of %" PRId64, what, step, t->step_count);
    return rc;
}

/* What is due between two updates. *last is set when no further update is to come. */
static int between_steps(trainer *t, const listener *to, bool *last, weft_error *err) {
    int rc;
    if (eval_due(t)) {
        if ((rc = evaluate(t, err))) return fail_run(t, rc, "evaluation after step", t->step, err);
        TRY(emit(t, to, TRAINER_EVALUATION, t->eval_losses[t->eval_count - 1], err));
    }
    if (early_stop_due(t))
        TRY(emit(t, to, TRAINER_EARLY_STOP, t->eval_losses[t->eval_count - 1], err));
    *last = t->step == t->step_count || early_stop_due(t);
    if (checkpoint_due(t, *last)) {
        TRY(trainer_save(t, err));
        TRY(emit(t, to, TRAINER_CHECKPOINT, NAN, err));
    }
    return WEFT_OK;
}

int trainer_run(trainer *t, trainer_callback callback, void *context, weft_error *err) {
    if (t->failed) return err_set(err, WEFT_ERR_STATE, "the run has failed; make a new trainer");
    if (t->finished) return WEFT_OK;
    listener to = {callback, context};
    TRY(seek_epoch(t, err));
    if (t->resumed) {
        t->resumed = false;
        TRY(emit(t, &to, TRAINER_RESUMED, t->step ? (double)t->losses[t->step - 1] : NAN, err));
    }
    for (bool last = false;;) {
        int rc;
        TRY(between_steps(t, &to, &last, err));
        if (last) break;
        if ((rc = take_step(t, err))) return fail_run(t, rc, "step", t->step + 1, err);
        TRY(emit(t, &to, TRAINER_STEP, (double)t->losses[t->step - 1], err));
    }
    if (t->best) TRY(adapter_set_params(t->a, t->best, err));
    t->finished = true;
    return WEFT_OK;
}

trainer_history trainer_get_history(const trainer *t) {
    bool evaluated = t->eval_count > 0;
    return (trainer_history){.step_count = t->step,
                             .losses = t->losses,
                             .eval_count = t->eval_count,
                             .eval_steps = t->eval_steps,
                             .eval_losses = t->eval_losses,
                             .first_eval = evaluated ? t->eval_losses[0] : NAN,
                             .best_eval = evaluated ? t->eval_losses[t->best_index] : NAN,
                             .best_step = evaluated ? t->eval_steps[t->best_index] : t->step,
                             .tokens_seen = t->tokens_seen};
}

int64_t trainer_step_count(const trainer *t) {
    return t->step_count;
}

int64_t trainer_steps_per_epoch(const trainer *t) {
    return t->epoch_steps;
}

/* A first pass shorter than this mostly measures pages being touched: then a second one counts. */
#define MEASURE_SECONDS 1.0

int trainer_measure(trainer *t, double *tokens_per_s, weft_error *err) {
    double seconds = 0;
    TRY(seek_epoch(t, err));
    for (int pass = 0; pass < 2 && seconds < MEASURE_SECONDS; pass++) {
        uint64_t start = os_clock_ns();
        double unused;
        dataset_fill(t->d, &t->plan, 0, &t->batch);
        int rc = train_step_accumulate(t->engine, &t->batch, 0, &unused, err);
        seconds = seconds_since(start);
        train_step_discard(t->engine);
        if (rc) return rc;
    }
    *tokens_per_s = (double)t->batch.tokens / (seconds > 0 ? seconds : 1e-9);
    return WEFT_OK;
}
