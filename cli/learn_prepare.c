/* What comes before a run of `weft learn` and makes up `weft plan`: the model, the data, the
 * settings that fit the memory, and the time it will take. */
#include "learn.h"
#include "report.h"

#include "base/os.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MEASURE_SECONDS 1.0

/* A file's absolute path, which a run resumed from another folder finds too; other texts stay. */
static const char *make_absolute(const char *text, char path[PATH_BYTES]) {
    char *full = realpath(text, NULL);
    snprintf(path, PATH_BYTES, "%s", full ? full : text);
    free(full);
    return path;
}

/* What the run begins with and what it replays, where they are asked for. */
static int read_others(learn_run *r, weft_train_options *train, weft_error *err) {
    char path[PATH_BYTES];
    if (r->s.from) {
        r->s.from = make_absolute(r->s.from, r->from_path);
        TRY(adapter_find(r->s.from, path, err));
        TRY(weft_adapter_load(r->model, path, &r->from, err));
    }
    if (r->s.replay) {
        weft_dataset_options options = learn_replay_options(&r->s);
        weft_dataset_report report;
        r->s.replay = make_absolute(r->s.replay, r->replay_path);
        TRY(weft_dataset_read(r->model, r->s.replay, &options, &r->replay, &report, err));
        learn_show_replay(r, &report);
    }
    train->from = r->from;
    train->replay = r->replay;
    return WEFT_OK;
}

static int read_all(learn_run *r, weft_train_options *train, weft_error *err) {
    char found[PATH_BYTES];
    weft_dataset_options data = learn_dataset_options(&r->s);
    if (!r->model) TRY(model_open(&r->s.model, &r->model, r->model_path, err));
    strcpy(found, r->model_path);
    make_absolute(found, r->model_path);
    make_absolute(r->path, r->full_path);
    int rc = weft_dataset_read(r->model, r->path, &data, &r->data, &r->report, err);
    if (rc && r->out) learn_show_skips(r->out, &r->report);
    if (rc) return rc;
    learn_show_data(r);
    return read_others(r, train, err);
}

/* ---- settings that fit ---- */

/* Say what was chosen and would have been otherwise. */
static void WEFT_PRINTF(2, 3) add_choice(learn_run *r, const char *format, ...) {
    size_t used = strlen(r->choices);
    va_list args;
    if (used) used += (size_t)snprintf(r->choices + used, sizeof r->choices - used, "; ");
    va_start(args, format);
    vsnprintf(r->choices + used, sizeof r->choices - used, format, args);
    va_end(args);
}

static void tell_choices(learn_run *r, const weft_train_options *asked, int64_t batch) {
    const weft_plan *p = &r->plan;
    if (p->micro_tokens < batch)
        add_choice(r,
                   "%" PRId64 " tokens at once, not %" PRId64 ", and %" PRId64
                   " times an update, not %" PRId64,
                   p->micro_tokens, batch, p->accumulate, asked->accumulate);
    if (p->recompute && asked->recompute == WEFT_RECOMPUTE_AUTO)
        add_choice(r, "layers computed twice");
    if (p->load_again) add_choice(r, "weights packed tightly");
    if (p->read_again)
        add_choice(r, "a context of %" PRId64 ", not %" PRId64, p->context, r->report.context);
}

/* Let go what is to be read again: the data, and with the packing the model. */
static void drop(learn_run *r, bool model) {
    weft_dataset_free(&r->data);
    weft_dataset_free(&r->replay);
    weft_adapter_free(&r->from);
    if (model) weft_model_free(&r->model);
}

/* What was read again is a little other than was counted before. */
static bool nearly_fits(const weft_plan *p) {
    return (double)p->total_bytes < 1.02 * (double)p->limit_bytes;
}

static int say_what_fits(const learn_run *r, weft_error *err) {
    weft_error why = *err;
    return err_set(err, WEFT_ERR_MEMORY, "%s; --memory %" PRIu64 "M allows it", why.message,
                   (r->plan.total_bytes >> 20) + 1);
}

/* Choose the settings that fit, and read the model and the data again where that asks for it. */
static int fit(learn_run *r, weft_train_options *train, weft_error *err) {
    weft_train_options chosen;
    int rc = weft_plan_make(r->model, r->data, train, true, &chosen, &r->plan, err);
    if (rc == WEFT_ERR_MEMORY) return say_what_fits(r, err);
    if (rc) return rc;
    int64_t usual = train->micro_tokens ? train->micro_tokens : 256;
    int64_t longest =
        r->report.longest_tokens < r->report.context ? r->report.longest_tokens : r->report.context;
    tell_choices(r, train, usual > longest ? usual : longest);
    r->s.batch_tokens = chosen.micro_tokens;
    r->s.accumulate = chosen.accumulate;
    if (r->plan.load_again || r->plan.read_again) {
        if (r->plan.load_again) r->s.model.packing = WEFT_PACKING_TIGHT;
        if (r->plan.read_again) r->s.context = r->plan.context;
        if (r->out) fprintf(r->out, "reading again to fit the memory: %s\n", r->choices);
        drop(r, r->plan.load_again);
        TRY(read_all(r, &chosen, err));
        chosen.from = r->from;
        chosen.replay = r->replay;
        rc = weft_plan_make(r->model, r->data, &chosen, true, NULL, &r->plan, err);
        if (rc == WEFT_ERR_MEMORY && !nearly_fits(&r->plan)) return say_what_fits(r, err);
        if (rc && rc != WEFT_ERR_MEMORY) return rc;
    }
    *train = chosen;
    return WEFT_OK;
}

int learn_prepare(learn_run *r, weft_error *err) {
    weft_train_options train = learn_train_options(&r->s);
    weft_plan made;
    TRY(read_all(r, &train, err));
    TRY(fit(r, &train, err));
    TRY(weft_trainer_create(r->model, r->data, &train, r->s.dry_run ? NULL : r->paths.checkpoint,
                            &r->trainer, &made, err));
    r->plan.step_count = made.step_count;
    r->plan.steps_per_epoch = made.steps_per_epoch;
    return WEFT_OK;
}

/* ---- time ---- */

/* Once before a run, for a second where only the plan is wanted. */
static int measure(learn_run *r, weft_error *err) {
    double rate, seconds_a_token = 0;
    int64_t count = 0;
    uint64_t begin = os_clock_ns();
    do {
        TRY(weft_trainer_measure(r->trainer, &rate, err));
        seconds_a_token += 1 / rate;
        count++;
    } while (r->s.dry_run && (double)(os_clock_ns() - begin) * 1e-9 < MEASURE_SECONDS);
    r->tokens_per_s = (double)count / seconds_a_token;
    return WEFT_OK;
}

int learn_estimate(learn_run *r, weft_error *err) {
    r->tokens_per_s = r->estimate_s = NAN;
    if (r->s.quiet && !r->s.dry_run) return WEFT_OK;
    TRY(measure(r, err));
    double epochs = (double)r->plan.step_count / (double)r->plan.steps_per_epoch;
    /* Measuring takes about a third of training the same tokens. */
    double evals = 1 + (r->s.eval_every ? (double)(r->plan.step_count / r->s.eval_every) : 1);
    double tokens =
        (double)r->report.train_tokens * epochs + (double)r->report.eval_tokens * evals / 3;
    if (r->replay) tokens /= 1 - r->s.replay_share;
    r->estimate_s = tokens / r->tokens_per_s;
    return WEFT_OK;
}

void learn_close(learn_run *r) {
    weft_store_close(&r->store);
    weft_trainer_free(&r->trainer);
    weft_dataset_free(&r->data);
    weft_dataset_free(&r->replay);
    weft_adapter_free(&r->from);
    weft_model_free(&r->model);
    json_decref(r->record);
    json_decref(r->answers);
    json_decref(r->sample_rows);
    if (r->lock >= 0) close(r->lock);
}
