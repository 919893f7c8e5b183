/* What `weft learn` shows: the data, the plan, the progress, the result. */
#include "learn.h"

#include "data_show.h"
#include "report.h"

#include "base/os.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* ---- the data ---- */

void learn_show_skips(FILE *out, const weft_dataset_report *d) {
    char number[REPORT_TEXT];
    for (size_t i = 0; i < d->skip_count; i++)
        fprintf(out, "  left out %s: %s (first: %s)\n",
                report_count((int64_t)d->skips[i].count, number), d->skips[i].reason,
                d->skips[i].first);
}

void learn_show_data(const learn_run *r) {
    const weft_dataset_report *d = &r->report;
    char a[REPORT_TEXT * 2], b[REPORT_TEXT * 2], c[REPORT_TEXT * 2], size[REPORT_TEXT];
    if (!r->out) return;
    fprintf(r->out, "%sfound%s   %s in %s (%s, %s of text)\n", report_bold(r->out),
            report_plain(r->out), report_plural((int64_t)d->document_count, "document", a),
            report_plural((int64_t)d->file_count, "file", b), d->kind,
            report_size(d->text_bytes, size));
    data_show_kinds(r->out, d);
    learn_show_skips(r->out, d);
    if (d->empty_documents)
        fprintf(r->out, "  %s with nothing to learn\n",
                report_plural(d->empty_documents, "document", a));
    if (d->cut_documents)
        fprintf(r->out, "  %s longer than the context, learnt in windows\n",
                report_plural(d->cut_documents, "document", a));
    fprintf(r->out, "  to learn: %s, %s (%s learnt)",
            report_plural(d->train_documents, "document", a),
            report_plural(d->train_tokens, "token", b), report_count(d->train_targets, c));
    if (d->eval_documents)
        fprintf(r->out, "; held out: %s, %s", report_plural(d->eval_documents, "document", a),
                report_plural(d->eval_tokens, "token", b));
    fprintf(r->out, "\n");
    if (r->s.canaries)
        fprintf(r->out, "  of these made-up canaries for `weft audit`: %s\n",
                report_count(r->s.canaries, size));
    if (!d->eval_documents) fprintf(r->out, "  nothing is held out: the gain cannot be measured\n");
}

void learn_show_replay(const learn_run *r, const weft_dataset_report *d) {
    char a[REPORT_TEXT * 2], b[REPORT_TEXT * 2];
    if (!r->out) return;
    learn_show_skips(r->out, d);
    fprintf(r->out, "  replayed, %.3g%% of what is learnt: %s, %s from %s\n",
            100 * r->s.replay_share, report_plural(d->train_documents, "document", a),
            report_plural(d->train_tokens, "token", b), r->s.replay);
}

json_t *learn_data_json(const weft_dataset_report *d) {
    json_t *skips = json_array();
    for (size_t i = 0; i < d->skip_count; i++)
        json_array_append_new(skips,
                              json_pack("{s:s, s:s, s:I}", "reason", d->skips[i].reason, "first",
                                        d->skips[i].first, "count", (json_int_t)d->skips[i].count));
    return json_pack(
        "{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:s, s:o, s:o}",
        "kind", d->kind, "files", (json_int_t)d->file_count, "documents",
        (json_int_t)d->document_count, "text_bytes", (json_int_t)d->text_bytes, "train_documents",
        (json_int_t)d->train_documents, "train_tokens", (json_int_t)d->train_tokens,
        "train_targets", (json_int_t)d->train_targets, "eval_documents",
        (json_int_t)d->eval_documents, "eval_tokens", (json_int_t)d->eval_tokens, "eval_targets",
        (json_int_t)d->eval_targets, "empty_documents", (json_int_t)d->empty_documents,
        "cut_documents", (json_int_t)d->cut_documents, "longest_tokens",
        (json_int_t)d->longest_tokens, "skipped", skips, "owner", d->owner, "kinds",
        data_kinds_json(d), "replaced", data_replaced_json(d));
}

/* ---- the plan ---- */

static void show_settings(const learn_run *r) {
    const weft_plan *p = &r->plan;
    char a[REPORT_TEXT];
    fprintf(r->out,
            "  %" PRId64 " tokens at once, %" PRId64 " times an update, windows of at most %" PRId64
            " tokens\n",
            p->micro_tokens, p->accumulate, p->context);
    if (p->limit_bytes && r->choices[0])
        fprintf(r->out, "  to fit %s%s: %s\n", report_size(p->limit_bytes, a),
                r->s.memory_bytes ? " (--memory)" : ", what is free", r->choices);
    else if (p->limit_bytes)
        fprintf(r->out, "  fits %s%s\n", report_size(p->limit_bytes, a),
                r->s.memory_bytes ? " (--memory)" : ", what is free");
}

void learn_show_plan(const learn_run *r) {
    const weft_plan *p = &r->plan;
    char a[REPORT_TEXT * 2], b[REPORT_TEXT], c[REPORT_TEXT], d[REPORT_TEXT], e[REPORT_TEXT];
    char f[REPORT_TEXT];
    uint64_t host = p->host_bytes + p->data_bytes + p->base_bytes;
    uint64_t rest = p->scratch_bytes + (p->on_gpu ? 0 : host);
    if (!r->out) return;
    fprintf(r->out, "%splan%s    %s, %.3g epochs; %s weights learn (%.2f%% of the model)\n",
            report_bold(r->out), report_plain(r->out), report_plural(p->step_count, "step", a),
            (double)p->step_count / (double)p->steps_per_epoch, report_count(p->trainable_count, b),
            100 * p->trainable_share);
    fprintf(r->out, "  memory %s: model %s, adapter %s, optimiser %s, activations %s%s, rest %s\n",
            report_size(p->total_bytes, a), report_size(p->weight_bytes, b),
            report_size(p->adapter_bytes, c), report_size(p->optimiser_bytes, d),
            report_size(p->activation_bytes, e), p->recompute ? " (layers computed twice)" : "",
            report_size(rest, f));
    if (p->on_gpu)
        fprintf(r->out, "  that is the GPU's; beside it %s of the processor's\n",
                report_size(host, a));
    show_settings(r);
    fprintf(r->out, "  the adapter's file: %s", report_size(p->adapter_file_bytes, a));
    if (isfinite(r->tokens_per_s))
        fprintf(r->out, "; about %s at %.0f tokens/s", report_duration(r->estimate_s, b),
                r->tokens_per_s);
    fprintf(r->out, "\n");
    fflush(r->out);
}

static json_t *plan_json(const learn_run *r) {
    const weft_plan *p = &r->plan;
    return json_pack(
        "{s:I, s:I, s:I, s:f, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:I, "
        "s:o, s:o, s:I, s:I, s:I, s:I, s:s, s:b, s:s}",
        "steps", (json_int_t)p->step_count, "steps_per_epoch", (json_int_t)p->steps_per_epoch,
        "trainable_parameters", (json_int_t)p->trainable_count, "trainable_share",
        p->trainable_share, "weight_bytes", (json_int_t)p->weight_bytes, "adapter_bytes",
        (json_int_t)p->adapter_bytes, "optimiser_bytes", (json_int_t)p->optimiser_bytes,
        "activation_bytes", (json_int_t)p->activation_bytes, "scratch_bytes",
        (json_int_t)p->scratch_bytes, "host_bytes", (json_int_t)p->host_bytes, "data_bytes",
        (json_int_t)p->data_bytes, "base_bytes", (json_int_t)p->base_bytes, "total_bytes",
        (json_int_t)p->total_bytes, "recompute", p->recompute, "adapter_file_bytes",
        (json_int_t)p->adapter_file_bytes, "tokens_per_s", report_number(r->tokens_per_s),
        "seconds", report_number(r->estimate_s), "limit_bytes", (json_int_t)p->limit_bytes,
        "batch_tokens", (json_int_t)p->micro_tokens, "accumulate", (json_int_t)p->accumulate,
        "context", (json_int_t)p->context, "packing",
        p->packing == WEFT_PACKING_TIGHT ? "tight" : "fast", "on_gpu", p->on_gpu, "choices",
        r->choices);
}

/* ---- progress ---- */

static void event_json(const weft_train_event *e) {
    static const char *const kinds[] = {"step", "evaluation", "checkpoint", "resumed",
                                        "early_stop"};
    json_t *root = json_pack(
        "{s:s, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "event", kinds[e->kind], "step",
        (json_int_t)e->step, "steps", (json_int_t)e->step_count, "epoch", report_number(e->epoch),
        "loss", report_number(e->loss), "replay_loss", report_number(e->replay_loss), "best_loss",
        report_number(e->best_loss), "grad_norm", report_number(e->grad_norm), "rate",
        report_number(e->rate), "tokens_per_s", report_number(e->tokens_per_s), "seconds_left",
        report_number(e->seconds_left));
    report_json(root, true);
}

/* "step 40/120  loss 2.31  held-out 2.40  812 tokens/s  1 min 10 s left" */
static void progress_text(const weft_train_event *e, float loss, char *line, size_t size) {
    char left[REPORT_TEXT], best[REPORT_TEXT] = "";
    if (isfinite(e->best_loss)) snprintf(best, sizeof best, "  held-out %.3f", e->best_loss);
    snprintf(line, size,
             "%3.0f%%  step %" PRId64 "/%" PRId64 "  loss %.3f%s  %.0f tokens/s  %s left",
             100 * (double)e->step / (double)e->step_count, e->step, e->step_count, (double)loss,
             best, e->tokens_per_s, report_duration(e->seconds_left, left));
}

/* A rewritten line with the losses' shape on a terminal; otherwise a line every tenth of the run.
 */
static void show_step(learn_run *r, const weft_train_event *e) {
    char line[512], spark[REPORT_SPARK_MAX * 3 + 1];
    weft_history h = weft_trainer_history(r->trainer);
    if (h.step_count == 0) return;
    progress_text(e, h.losses[h.step_count - 1], line, sizeof line);
    if (report_is_terminal(stderr)) {
        int room = report_columns(stderr) - (int)strlen(line) - 3;
        if (room >= 8) {
            report_sparkline(h.losses, (size_t)h.step_count, (size_t)room, spark);
            size_t n = strlen(line);
            snprintf(line + n, sizeof line - n, "  %s", spark);
        }
        report_progress(room >= -2 ? line : "");
        return;
    }
    int64_t percent = e->step * 100 / e->step_count;
    if (percent / 10 == r->shown_percent / 10 && e->step != 1) return;
    r->shown_percent = percent;
    fprintf(stderr, "%s\n", line);
}

int learn_show_event(void *context, const weft_train_event *e) {
    learn_run *r = context;
    learn_history_event(r, e);
    if (r->s.json_lines) event_json(e);
    if (!r->s.quiet && (e->kind == WEFT_EVENT_STEP || e->kind == WEFT_EVENT_EVALUATION))
        show_step(r, e);
    if (!r->s.quiet && e->kind == WEFT_EVENT_RESUMED && r->out)
        fprintf(r->out, "%sresumed%s at step %" PRId64 " of %" PRId64 "\n", report_bold(r->out),
                report_plain(r->out), e->step, e->step_count);
    if (!r->s.quiet && e->kind == WEFT_EVENT_EARLY_STOP) {
        report_progress("");
        fprintf(stderr, "no gain in the last %" PRId64 " measurements: stopping early\n",
                r->s.patience);
    }
    return stop_requested() != 0;
}

/* ---- the result ---- */

static double change_percent(const weft_history *h) {
    return 100 * (h->best_eval - h->first_eval) / h->first_eval;
}

static double seconds_taken(const learn_run *r) {
    return (double)(os_clock_ns() - r->start_ns) * 1e-9;
}

void learn_show_learnt(const learn_run *r) {
    weft_history h = weft_trainer_history(r->trainer);
    char a[REPORT_TEXT], b[REPORT_TEXT], spark[REPORT_SPARK_MAX * 3 + 1];
    report_progress("");
    if (!r->out) return;
    fprintf(r->out, "%slearnt%s  %s  in %s, at most %s of memory\n", report_bold(r->out),
            report_plain(r->out),
            report_sparkline(h.losses, (size_t)h.step_count, REPORT_SPARK_MAX, spark),
            report_duration(seconds_taken(r), a), report_size(os_peak_rss_bytes(), b));
    fflush(r->out);
}

void learn_show_gain(const learn_run *r) {
    weft_history h = weft_trainer_history(r->trainer);
    if (!r->out || !isfinite(h.first_eval)) return;
    fprintf(r->out,
            "  held-out loss %.4f before, %.4f after: %+.1f%%, best at step %" PRId64 " of %" PRId64
            "\n  perplexity %.1f before, %.1f after\n",
            h.first_eval, h.best_eval, change_percent(&h), h.best_step, h.step_count,
            exp(h.first_eval), exp(h.best_eval));
    if (isfinite(r->replay_after))
        fprintf(r->out, "  loss on held-out text of %s: %.4f before, %.4f at the end\n",
                r->s.replay, r->replay_before, r->replay_after);
    if (h.best_step == 0)
        fprintf(r->out,
                "  nothing was gained, so the adapter is empty: try a lower --rate or more text\n");
    fflush(r->out);
}

void learn_show_result(const learn_run *r) {
    if (!r->out) return;
    fprintf(r->out, "  saved %s\n  and   %s (PEFT)\n", r->paths.gguf, r->paths.peft);
    fprintf(r->out, "try it:  weft chat --adapter %s%s\n", r->s.name,
            strstr(r->report.kind, "mbox") ? " -p \"Write an email about: the garden\"" : "");
}

json_t *learn_result_json(const learn_run *r) {
    weft_history h = weft_trainer_history(r->trainer);
    double last = h.step_count ? (double)h.losses[h.step_count - 1] : NAN;
    json_t *root = json_pack(
        "{s:I, s:I, s:I, s:b, s:o, s:o, s:o, s:o, s:I, s:o, s:o, s:o, s:I}", "run",
        (json_int_t)r->run_id, "steps", (json_int_t)h.step_count, "tokens",
        (json_int_t)h.tokens_seen, "stopped_early", r->stopped_early, "last_loss",
        report_number(last), "eval_loss_before", report_number(h.first_eval), "eval_loss_after",
        report_number(h.best_eval), "eval_change_percent", report_number(change_percent(&h)),
        "best_step", (json_int_t)h.best_step, "replay_loss_before", report_number(r->replay_before),
        "replay_loss_after", report_number(r->replay_after), "seconds",
        report_number(seconds_taken(r)), "peak_memory_bytes", (json_int_t)os_peak_rss_bytes());
    if (r->answers) json_object_set(root, "answers", r->answers);
    if (r->sample_rows) json_object_set(root, "samples", r->sample_rows);
    return root;
}

json_t *learn_json(const learn_run *r, const char *state) {
    json_t *root =
        json_pack("{s:s, s:s*, s:s, s:o, s:o}", "state", state, "name", r->s.name, "model",
                  r->model_path, "data", learn_data_json(&r->report), "plan", plan_json(r));
    if (!strcmp(state, "plan")) return root;
    json_object_set_new(root, "result", learn_result_json(r));
    json_object_set_new(root, "gguf", json_string(r->paths.gguf));
    json_object_set_new(root, "peft", json_string(r->paths.peft));
    return root;
}
