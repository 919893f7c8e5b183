/* What `weft learn` leaves in the history of runs. A history that cannot be opened stops a run
 * before it begins; one that fails later is given up with a warning, and the run goes on. */
#include "learn.h"

#include "report.h"

#include "base/os.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static double seconds_at_work(const learn_run *r) {
    uint64_t here = r->start_ns ? os_clock_ns() - r->start_ns : 0;
    return r->seconds_before + (double)here * 1e-9;
}

/* The run that made the adapter to continue from; 0 = unknown. */
static int find_parent(const learn_run *r, int64_t *parent, weft_error *err) {
    weft_adapter_record record;
    *parent = 0;
    if (!r->s.from || strchr(r->s.from, '/')) return WEFT_OK;
    TRY(weft_store_get_adapter(r->store, r->s.from, &record, err));
    *parent = record.run;
    if (r->out && record.base_fingerprint &&
        record.base_fingerprint != weft_model_fingerprint(r->model))
        fprintf(r->out, "note: '%s' was learnt with another model file (%s)\n", r->s.from,
                record.base_model);
    return WEFT_OK;
}

static int begin(learn_run *r, weft_error *err) {
    weft_model_info info;
    weft_run run = {.step_count = r->plan.step_count};
    weft_model_get_info(r->model, &info);
    snprintf(run.adapter, sizeof run.adapter, "%s", r->s.name);
    snprintf(run.kind, sizeof run.kind, "%s", r->report.kind);
    snprintf(run.data_path, sizeof run.data_path, "%s", r->full_path);
    snprintf(run.device, sizeof run.device, "%.63s", info.device);
    TRY(find_parent(r, &run.parent, err));
    json_t *options = learn_options_json(r);
    char *text = json_dumps(options, JSON_COMPACT);
    int rc = weft_run_begin(r->store, &run, text, &r->run_id, err);
    free(text);
    json_decref(options);
    return rc;
}

/* What was measured before this process took the run over. */
static int find_replay_loss(learn_run *r, weft_error *err) {
    weft_run_point *points;
    size_t count;
    int64_t done = weft_trainer_history(r->trainer).step_count;
    TRY(weft_run_points(r->store, r->run_id, &points, &count, err));
    for (size_t i = 0; i < count && points[i].step <= done; i++) {
        if (!isfinite(points[i].replay_eval_loss)) continue;
        if (isnan(r->replay_before)) r->replay_before = points[i].replay_eval_loss;
        r->replay_after = points[i].replay_eval_loss;
    }
    weft_free(points);
    return WEFT_OK;
}

int learn_history_open(learn_run *r, weft_error *err) {
    weft_run run;
    int64_t id = json_integer_value(json_object_get(r->record, "run"));
    TRY(weft_store_open(&r->store, err));
    if (!r->s.resume || weft_run_get(r->store, id, &run, err)) return begin(r, err);
    r->run_id = id;
    r->seconds_before = run.seconds;
    TRY(find_replay_loss(r, err));
    return weft_run_resume(r->store, id, weft_trainer_history(r->trainer).step_count, err);
}

static void give_up(learn_run *r, const weft_error *err) {
    report_error("learn: the history of this run is not kept any more: %s", err->message);
    weft_store_close(&r->store);
}

void learn_history_event(learn_run *r, const weft_train_event *e) {
    weft_run_point p = {e->step, NAN, NAN, NAN, NAN, NAN, NAN, NAN};
    weft_error err;
    if (e->kind == WEFT_EVENT_EARLY_STOP) r->stopped_early = true;
    if (e->kind == WEFT_EVENT_EVALUATION && isfinite(e->replay_loss)) {
        if (isnan(r->replay_before)) r->replay_before = e->replay_loss;
        r->replay_after = e->replay_loss;
    }
    if (!r->store || (e->kind != WEFT_EVENT_STEP && e->kind != WEFT_EVENT_EVALUATION)) return;
    if (e->kind == WEFT_EVENT_EVALUATION) {
        p.eval_loss = e->loss;
        p.replay_eval_loss = e->replay_loss;
    } else {
        p.loss = e->loss;
        p.replay_loss = e->replay_loss;
        p.rate = e->rate;
        p.grad_norm = e->grad_norm;
        p.tokens_per_s = e->tokens_per_s;
    }
    int64_t tokens = weft_trainer_history(r->trainer).tokens_seen;
    if (weft_run_append(r->store, r->run_id, &p, tokens, seconds_at_work(r), &err))
        give_up(r, &err);
}

static void keep_adapter(learn_run *r) {
    weft_model_info model;
    weft_adapter_info adapter;
    weft_error err;
    weft_model_get_info(r->model, &model);
    weft_adapter_get_info(weft_trainer_adapter(r->trainer), &adapter);
    weft_adapter_record a = {.base_fingerprint = weft_model_fingerprint(r->model),
                             .rank = adapter.rank,
                             .alpha = adapter.alpha,
                             .run = r->run_id};
    snprintf(a.name, sizeof a.name, "%s", r->s.name);
    snprintf(a.base_model, sizeof a.base_model, "%s", model.name);
    snprintf(a.targets, sizeof a.targets, "%s", adapter.targets);
    snprintf(a.parents, sizeof a.parents, "%s", r->s.from ? r->s.from : "");
    if (weft_store_put_adapter(r->store, &a, &err)) give_up(r, &err);
}

void learn_history_finish(learn_run *r) {
    weft_error err;
    if (r->store) keep_adapter(r);
    if (r->store &&
        weft_run_end(r->store, r->run_id,
                     r->stopped_early ? WEFT_RUN_STOPPED_EARLY : WEFT_RUN_FINISHED, NULL, &err))
        give_up(r, &err);
}

void learn_history_fail(learn_run *r, int status, const weft_error *why) {
    weft_error err;
    if (!r->store || !r->run_id) return;
    bool interrupted = status == WEFT_ERR_INTERRUPTED;
    const char *reason = !interrupted                  ? why->message
                         : stop_requested() == SIGTERM ? "ended by SIGTERM; the state is saved"
                                                       : "stopped by Ctrl-C; the state is saved";
    if (weft_run_end(r->store, r->run_id, interrupted ? WEFT_RUN_INTERRUPTED : WEFT_RUN_FAILED,
                     reason, &err))
        give_up(r, &err);
}
