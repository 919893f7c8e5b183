/* weft eval: loss and perplexity of a text, for the plain model and with adapters, side by side. */
#include "commands.h"
#include "common.h"
#include "learn.h"
#include "report.h"

#include <stdlib.h>
#include <string.h>

typedef struct eval_settings {
    model_settings model;
    option_list adapters;
    const char *as, *owner;
    int64_t context, seed;
    double eval_share;
    bool held_out, all_turns, json;
} eval_settings;

#define PLACE(member) offsetof(eval_settings, member)

static const option_spec eval_table[] = {
    {"adapter", 'a', OPTION_LIST, PLACE(adapters), "NAME[:S]", 0, 0,
     "measure with this adapter too; several are measured one by one and together", false},
    {"held-out", 0, OPTION_FLAG, PLACE(held_out), NULL, 0, 0,
     "only the part that `weft learn` holds out (same --seed and --eval-share)", false},
    {"eval-share", 0, OPTION_NUMBER, PLACE(eval_share), "SHARE", 0, 0.5, "that share", false},
    {"seed", 0, OPTION_WHOLE, PLACE(seed), "N", 0, 9007199254740992.0, "which chooses it", false},
    {"as", 0, OPTION_TEXT, PLACE(as), "KIND", 0, 0, "read PATH as mbox, text or jsonl", false},
    {"owner", 0, OPTION_TEXT, PLACE(owner), "ADDRESS", 0, 0, "mail: whose messages", false},
    {"all-turns", 0, OPTION_FLAG, PLACE(all_turns), NULL, 0, 0,
     "measure what every side says, not only the assistant", false},
    {"context", 'c', OPTION_WHOLE, PLACE(context), "TOKENS", 0, INT32_MAX,
     "longest example; 0 = 512 or the model's, whichever is less", false},
    MODEL_OPTIONS(eval_settings, model),
    {"json", 0, OPTION_FLAG, PLACE(json), NULL, 0, 0, "one JSON object", false},
};

static const command_spec eval_command = {
    .name = "eval",
    .arguments = "PATH [options]",
    .summary =
        "Measure how well the model predicts the writing in PATH: mean loss a token (natural\n"
        "logarithm) and perplexity, without and with adapters.",
    .options = eval_table,
    .option_count = sizeof eval_table / sizeof *eval_table,
    .argument_max = 1};

typedef struct eval_run {
    eval_settings s;
    weft_model *model;
    weft_dataset *data;
    weft_dataset_report report;
    adapter_set adapters;
    char model_path[PATH_BYTES];
    double plain_loss;
    json_t *rows;
} eval_run;

/* Measure with adapters [first, first + count) and show it as a row. */
static int measure(eval_run *r, const char *name, size_t first, size_t count, weft_error *err) {
    weft_evaluation e;
    char targets[REPORT_TEXT];
    TRY(weft_evaluate(r->model, r->data, r->s.held_out,
                      (const weft_adapter *const *)r->adapters.items + first,
                      r->adapters.scales + first, count, &e, err));
    if (!count) r->plain_loss = e.loss;
    double change = 100 * (e.loss - r->plain_loss) / r->plain_loss;
    json_array_append_new(r->rows,
                          json_pack("{s:s, s:o, s:o, s:o, s:I, s:I, s:f}", "name", name, "loss",
                                    report_number(e.loss), "perplexity",
                                    report_number(e.perplexity), "change_percent",
                                    report_number(change), "tokens", (json_int_t)e.token_count,
                                    "targets", (json_int_t)e.target_count, "seconds", e.seconds));
    if (r->s.json) return WEFT_OK;
    printf("%-24.60s %8.4f %12.2f ", name, e.loss, e.perplexity);
    if (count)
        printf("%+8.1f%%", change);
    else
        printf("%9s", "");
    printf(" %12s\n", report_count(e.target_count, targets));
    fflush(stdout);
    return WEFT_OK;
}

static int measure_all(eval_run *r, weft_error *err) {
    size_t n = r->adapters.count;
    if (!r->s.json)
        printf("%-24s %8s %12s %9s %12s\n", "", "loss", "perplexity", "change", "tokens");
    TRY(measure(r, "plain model", 0, 0, err));
    for (size_t i = 0; i < n; i++) {
        char name[300];
        float scale = r->adapters.scales[i];
        snprintf(name, sizeof name, scale < 1 || scale > 1 ? "%s:%g" : "%s", r->adapters.names[i],
                 (double)scale);
        TRY(measure(r, name, i, 1, err));
    }
    return n > 1 ? measure(r, "all together", 0, n, err) : WEFT_OK;
}

static int evaluate(eval_run *r, const char *path, weft_error *err) {
    weft_dataset_options options = {.context = r->s.context,
                                    .all_turns = r->s.all_turns,
                                    .eval_share = r->s.held_out ? r->s.eval_share : 0,
                                    .seed = (uint64_t)r->s.seed,
                                    .as = r->s.as,
                                    .owner = r->s.owner};
    TRY(model_open(&r->s.model, &r->model, r->model_path, err));
    TRY(adapters_open(&r->adapters, r->model, &r->s.adapters, err));
    int rc = weft_dataset_read(r->model, path, &options, &r->data, &r->report, err);
    if (!r->s.json || rc) learn_show_skips(stderr, &r->report);
    if (rc) return rc;
    if (r->s.held_out && !r->report.eval_documents)
        return err_set(err, WEFT_ERR_ARGUMENT,
                       "nothing is held out of %s: leave --held-out away, or raise --eval-share",
                       path);
    return measure_all(r, err);
}

static int show_json(eval_run *r) {
    json_t *root =
        json_pack("{s:s, s:b, s:o, s:O}", "model", r->model_path, "held_out", r->s.held_out, "data",
                  learn_data_json(&r->report), "results", r->rows);
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
    if (!path) {
        report_error("eval: PATH is missing: a file or folder to measure\nusage: weft eval %s",
                     eval_command.arguments);
        return EXIT_USAGE;
    }
    r.rows = json_array();
    int rc = evaluate(&r, path, &err), code;
    if (rc)
        code = fail("eval", rc, &err);
    else
        code = r.s.json ? show_json(&r) : report_finish(EXIT_OK);
    json_decref(r.rows);
    weft_dataset_free(&r.data);
    adapters_close(&r.adapters);
    weft_model_free(&r.model);
    return code;
}
