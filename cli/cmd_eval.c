/* weft eval: what adapters change, measured for the plain model and with them: right answers, loss
 * and perplexity, multiple-choice tasks, samples side by side. */
#include "commands.h"
#include "common.h"
#include "evaluate.h"
#include "learn.h"
#include "report.h"

#include <stdlib.h>
#include <string.h>

typedef struct eval_settings {
    model_settings model;
    option_list adapters;
    reading_settings reading;
    const char *task;
    int64_t context, seed, samples;
    double eval_share;
    bool held_out, all_turns, style, kept, json;
} eval_settings;

#define STYLE_SAMPLES 24

#define PLACE(member) offsetof(eval_settings, member)

static const option_spec eval_table[] = {
    {"adapter", 'a', OPTION_LIST, PLACE(adapters), "NAME[:S]", 0, 0,
     "measure with this adapter too; several are measured one by one and together", false},
    {"lm", 0, OPTION_TEXT, PLACE(task), "TASK", 0, 0,
     "measure a multiple-choice task too: a JSONL file, or `general`, which comes with weft and "
     "shows what was forgotten; PATH may be left away",
     false},
    {"samples", 0, OPTION_WHOLE, PLACE(samples), "N", 0, 100,
     "show the answers to N prompts of PATH side by side", false},
    {"style", 0, OPTION_FLAG, PLACE(style), NULL, 0, 0,
     "measure how far the answers to 24 prompts are from the person's manner of writing", false},
    {"held-out", 0, OPTION_FLAG, PLACE(held_out), NULL, 0, 0,
     "only the part that `weft learn` holds out (same --seed and --eval-share)", false},
    {"eval-share", 0, OPTION_NUMBER, PLACE(eval_share), "SHARE", 0, 0.5, "that share", false},
    {"seed", 0, OPTION_WHOLE, PLACE(seed), "N", 0, 9007199254740992.0, "which chooses it", false},
    READING_OPTIONS(eval_settings, reading),
    {"all-turns", 0, OPTION_FLAG, PLACE(all_turns), NULL, 0, 0, "the same as --learn all", false},
    {"context", 'c', OPTION_WHOLE, PLACE(context), "TOKENS", 0, INT32_MAX,
     "longest example; 0 = 512 or the model's, whichever is less", false},
    {"kept", 0, OPTION_FLAG, PLACE(kept), NULL, 0, 0,
     "only show what was measured before of each --adapter, from the history", false},
    MODEL_OPTIONS(eval_settings, model),
    {"json", 0, OPTION_FLAG, PLACE(json), NULL, 0, 0, "one JSON object", false},
};

static const command_spec eval_command = {
    .name = "eval",
    .arguments = "[PATH] [options]",
    .summary = "Measure how well the model predicts the writing in PATH, without and with "
               "adapters: right\n"
               "answers where the records have labels, mean loss a token (natural logarithm) and\n"
               "perplexity.",
    .options = eval_table,
    .option_count = sizeof eval_table / sizeof *eval_table,
    .argument_max = 1};

typedef struct eval_run {
    eval_settings s;
    weft_model *model;
    weft_dataset *data;
    weft_dataset_report report;
    adapter_set adapters;
    subject_list subjects;
    char model_path[PATH_BYTES];
    FILE *out; /* for people; NULL with --json */
    double plain_loss;
    json_t *rows, *labels, *task, *samples, *style;
} eval_run;

/* Measure the loss of one subject and show it as a row. */
static int measure(eval_run *r, const subject *s, weft_error *err) {
    weft_evaluation e;
    char targets[REPORT_TEXT];
    TRY(weft_evaluate(r->model, r->data, r->s.held_out, s->adapters, s->scales, s->count, &e, err));
    if (!s->count) r->plain_loss = e.loss;
    double change = 100 * (e.loss - r->plain_loss) / r->plain_loss;
    json_array_append_new(r->rows,
                          json_pack("{s:s, s:o, s:o, s:o, s:I, s:I, s:f}", "name", s->name, "loss",
                                    report_number(e.loss), "perplexity",
                                    report_number(e.perplexity), "change_percent",
                                    report_number(change), "tokens", (json_int_t)e.token_count,
                                    "targets", (json_int_t)e.target_count, "seconds", e.seconds));
    if (!r->out) return WEFT_OK;
    fprintf(r->out, "  %-24.60s %8.4f %12.2f ", s->name, e.loss, e.perplexity);
    if (s->count)
        fprintf(r->out, "%+8.1f%%", change);
    else
        fprintf(r->out, "%9s", "");
    fprintf(r->out, " %12s\n", report_count(e.target_count, targets));
    fflush(r->out);
    return WEFT_OK;
}

static int measure_data(eval_run *r, weft_error *err) {
    int64_t least = r->s.style ? STYLE_SAMPLES : 0;
    sample_settings samples = {.count = r->s.samples > least ? r->s.samples : least,
                               .show_count = r->s.samples,
                               .max_tokens = 80,
                               .seed = (uint64_t)r->s.seed,
                               .held_out = r->s.held_out};
    TRY(evaluate_labels(r->model, r->data, r->s.held_out, &r->subjects, r->out, &r->labels, err));
    if (r->out)
        fprintf(r->out, "%s%-26s%s %8s %12s %9s %12s\n", report_bold(r->out), "writing",
                report_plain(r->out), "loss", "perplexity", "change", "tokens");
    for (size_t i = 0; i < r->subjects.count; i++) TRY(measure(r, &r->subjects.items[i], err));
    if (!samples.count) return WEFT_OK;
    TRY(evaluate_samples(r->model, r->data, &samples, &r->subjects, r->out, &r->samples, err));
    if (!r->s.style) return WEFT_OK;
    return evaluate_style(r->samples, &r->subjects, samples.seed, r->out, &r->style, err);
}

static int read_data(eval_run *r, const char *path, weft_error *err) {
    weft_dataset_options options = reading_options(&r->s.reading);
    options.context = r->s.context;
    options.all_turns = r->s.all_turns;
    options.eval_share = r->s.held_out ? r->s.eval_share : 0;
    options.seed = (uint64_t)r->s.seed;
    int rc = weft_dataset_read(r->model, path, &options, &r->data, &r->report, err);
    if (r->out || rc) learn_show_skips(stderr, &r->report);
    if (rc) return rc;
    if (r->s.held_out && !r->report.eval_documents)
        return err_set(err, WEFT_ERR_ARGUMENT,
                       "nothing is held out of %s: leave --held-out away, or raise --eval-share",
                       path);
    return WEFT_OK;
}

/* Into the history, for the adapters that are stored. */
static void keep(const eval_run *r, const char *path) {
    char name[96];
    const char *slash = path ? strrchr(path, '/') : NULL, *file = slash ? slash + 1 : path;
    if (path) {
        snprintf(name, sizeof name, "right answers, %.60s", file);
        evaluate_keep_rows(r->labels, "accuracy", name);
        snprintf(name, sizeof name, "loss, %.60s", file);
        evaluate_keep_rows(r->rows, "loss", name);
        snprintf(name, sizeof name, "style distance, %.60s", file);
        evaluate_keep_rows(r->style, "distance", name);
    }
    if (!r->s.task) return;
    snprintf(name, sizeof name, "right choices, %.60s", r->s.task);
    evaluate_keep_rows(r->task, "accuracy", name);
    evaluate_keep_rows(r->task, "general_loss", "loss, general text");
}

static int evaluate(eval_run *r, const char *path, weft_error *err) {
    TRY(model_open(&r->s.model, &r->model, r->model_path, err));
    TRY(adapters_open(&r->adapters, r->model, &r->s.adapters, err));
    r->subjects = subjects_of(&r->adapters);
    if (path) {
        TRY(read_data(r, path, err));
        TRY(measure_data(r, err));
    }
    if (r->s.task) TRY(evaluate_task(r->model, r->s.task, &r->subjects, r->out, &r->task, err));
    keep(r, path);
    return WEFT_OK;
}

static int show_kept(const eval_run *r, weft_error *err) {
    for (size_t i = 0; i < r->s.adapters.count; i++)
        TRY(evaluate_show_kept(r->s.adapters.items[i], stdout, err));
    return WEFT_OK;
}

static int show_json(eval_run *r) {
    json_t *root = json_pack("{s:s, s:b}", "model", r->model_path, "held_out", r->s.held_out);
    if (r->data) {
        json_object_set_new(root, "data", learn_data_json(&r->report));
        if (r->labels) json_object_set(root, "answers", r->labels);
        json_object_set(root, "results", r->rows);
    }
    if (r->samples) json_object_set(root, "samples", r->samples);
    if (r->style) json_object_set(root, "style", r->style);
    if (r->task) json_object_set(root, "task", r->task);
    return report_json(root, false);
}

int cmd_eval(int argc, char **argv) {
    model_settings model = MODEL_SETTINGS_DEFAULT;
    weft_dataset_options standard = WEFT_DATASET_OPTIONS_DEFAULT;
    eval_run r = {.s = {.model = model, .eval_share = standard.eval_share}};
    weft_error err;
    const char *path;
    option_outcome outcome = options_parse(&eval_command, argc, argv, &r.s, &path);
    if (outcome != OPTIONS_GO) return outcome == OPTIONS_HELP ? report_finish(EXIT_OK) : EXIT_USAGE;
    if (!path && !r.s.task && !(r.s.kept && r.s.adapters.count)) {
        report_error("eval: PATH is missing: a file or folder to measure (or --lm TASK)\n"
                     "usage: weft eval %s",
                     eval_command.arguments);
        return EXIT_USAGE;
    }
    r.rows = json_array();
    r.out = r.s.json ? NULL : stdout;
    int rc = r.s.kept ? show_kept(&r, &err) : evaluate(&r, path, &err), code;
    if (rc)
        code = fail("eval", rc, &err);
    else
        code = r.s.json && !r.s.kept ? show_json(&r) : report_finish(EXIT_OK);
    json_decref(r.rows);
    json_decref(r.labels);
    json_decref(r.task);
    json_decref(r.samples);
    json_decref(r.style);
    weft_dataset_free(&r.data);
    adapters_close(&r.adapters);
    weft_model_free(&r.model);
    return code;
}
