/* weft data: what would be learnt from a file, folder or archive, and what would not, and why. */
#include "commands.h"
#include "common.h"
#include "data_show.h"
#include "learn.h"
#include "report.h"

#include <stdlib.h>
#include <string.h>

typedef struct data_settings {
    model_settings model;
    reading_settings reading;
    int64_t context, seed, samples;
    double eval_share;
    bool mask, json;
} data_settings;

#define PLACE(member) offsetof(data_settings, member)

static const option_spec data_table[] = {
    {.kind = OPTION_HEADING, .help = "What is read"},
    READING_OPTIONS(data_settings, reading),
    {"context", 'c', OPTION_WHOLE, PLACE(context), "TOKENS", 0, INT32_MAX,
     "longest example; 0 = 512 or the model's, whichever is less", false},
    {"eval-share", 0, OPTION_NUMBER, PLACE(eval_share), "SHARE", 0, 0.5,
     "of the documents held out", false},
    {"seed", 0, OPTION_WHOLE, PLACE(seed), "N", 0, 9007199254740992.0, "which chooses them", false},
    MODEL_OPTIONS(data_settings, model),
    {.kind = OPTION_HEADING, .help = "What is shown"},
    {"samples", 'n', OPTION_WHOLE, PLACE(samples), "N", 0, 1000,
     "show N documents, spread evenly over all", false},
    {"mask", 0, OPTION_FLAG, PLACE(mask), NULL, 0, 0,
     "show them whole, what is learnt in green (where there are no colours, as {+learnt+})", false},
    {"json", 0, OPTION_FLAG, PLACE(json), NULL, 0, 0, "one JSON object", false},
};

static const command_spec data_command = {
    .name = "data",
    .arguments = "PATH [options]",
    .summary =
        "Show what `weft learn` would find in PATH (a file, a folder or an archive): kinds of\n"
        "files, what is left out and why, lengths, and examples as the model sees them.",
    .options = data_table,
    .option_count = sizeof data_table / sizeof *data_table,
    .argument_max = 1};

typedef struct data_run {
    data_settings s;
    weft_model *model;
    weft_dataset *data;
    weft_dataset_report report;
    data_lengths lengths;
    char model_path[PATH_BYTES];
} data_run;

static int read_data(data_run *r, const char *path, weft_error *err) {
    weft_dataset_options options = reading_options(&r->s.reading);
    options.context = r->s.context;
    options.eval_share = r->s.eval_share;
    options.seed = (uint64_t)r->s.seed;
    TRY(model_open(&r->s.model, &r->model, r->model_path, err));
    int rc = weft_dataset_read(r->model, path, &options, &r->data, &r->report, err);
    if (rc) learn_show_skips(stderr, &r->report);
    if (!rc && !data_lengths_find(r->data, &r->lengths))
        rc = err_set(err, WEFT_ERR_MEMORY, "out of memory");
    return rc;
}

/* ---- for people ---- */

static void show_found(const data_run *r) {
    const weft_dataset_report *d = &r->report;
    char documents[REPORT_TEXT * 2], files[REPORT_TEXT * 2], size[REPORT_TEXT];
    printf("%sfound%s   %s in %s (%s, %s of text)\n", report_bold(stdout), report_plain(stdout),
           report_plural((int64_t)d->document_count, "document", documents),
           report_plural((int64_t)d->file_count, "file", files), d->kind,
           report_size(d->text_bytes, size));
    data_show_kinds(stdout, d);
    learn_show_skips(stdout, d);
    if (d->empty_documents)
        printf("  %s with nothing to learn\n",
               report_plural(d->empty_documents, "document", documents));
}

static void show_policy(const data_run *r) {
    static const char *const learnt[] = {"the assistant's turns", "the assistant's last turn",
                                         "every turn"};
    const weft_dataset_report *d = &r->report;
    int64_t targets = d->train_targets + d->eval_targets, tokens = d->train_tokens + d->eval_tokens;
    char a[REPORT_TEXT * 2], b[REPORT_TEXT * 2], c[REPORT_TEXT * 2];
    printf("%slearnt%s  of conversations %s, of texts everything: %s of %s tokens (%.0f%%)\n",
           report_bold(stdout), report_plain(stdout), learnt[r->s.reading.learn],
           report_count(targets, a), report_count(tokens, b),
           tokens ? 100.0 * (double)targets / (double)tokens : 0);
    printf("  A document longer than %s tokens is cut into windows of that length, and each is\n"
           "  learnt without what came before it: %s cut, %s dropped with nothing to learn.\n",
           report_count(d->context, a), report_plural(d->cut_documents, "document", b),
           report_plural(d->dropped_windows, "window", c));
    printf("  to learn: %s; held out to measure with: %s\n",
           report_plural(d->train_documents, "document", a), report_count(d->eval_documents, b));
}

/* Document number i of those shown. */
static int64_t sample_index(const data_run *r, int64_t i, int64_t count) {
    return i * r->lengths.document_count / count;
}

static int64_t sample_count(const data_run *r) {
    return r->s.samples < r->lengths.document_count ? r->s.samples : r->lengths.document_count;
}

static int show_samples(const data_run *r, json_t *list, weft_error *err) {
    int64_t count = sample_count(r);
    if (!list && count) printf("\n");
    for (int64_t i = 0; i < count; i++) {
        weft_document document;
        int64_t index = sample_index(r, i, count);
        TRY(weft_dataset_document(r->data, index, &document, err));
        if (list)
            json_array_append_new(list, data_document_json(&document, index + 1));
        else
            data_show_document(stdout, &document, index + 1, r->s.mask);
        weft_document_free(&document);
    }
    return WEFT_OK;
}

static int show(const data_run *r, weft_error *err) {
    show_found(r);
    data_show_lengths(stdout, &r->lengths);
    show_policy(r);
    TRY(show_samples(r, NULL, err));
    return WEFT_OK;
}

/* ---- for machines ---- */

static int show_json(const data_run *r, const char *path, int *code, weft_error *err) {
    static const char *const names[] = {"assistant", "completion", "all"};
    json_t *samples = json_array();
    int rc = show_samples(r, samples, err);
    if (rc) {
        json_decref(samples);
        return rc;
    }
    *code =
        report_json(json_pack("{s:s, s:s, s:o, s:s, s:I, s:I, s:o, s:o}", "path", path, "model",
                              r->model_path, "data", learn_data_json(&r->report), "learn",
                              names[r->s.reading.learn], "context", (json_int_t)r->report.context,
                              "dropped_windows", (json_int_t)r->report.dropped_windows, "lengths",
                              data_lengths_json(&r->lengths), "samples", samples),
                    false);
    return WEFT_OK;
}

int cmd_data(int argc, char **argv) {
    model_settings model = MODEL_SETTINGS_DEFAULT;
    weft_dataset_options standard = WEFT_DATASET_OPTIONS_DEFAULT;
    data_run r = {.s = {.model = model, .eval_share = standard.eval_share, .samples = 3}};
    weft_error err;
    const char *path;
    int code = EXIT_OK;
    option_outcome outcome = options_parse(&data_command, argc, argv, &r.s, &path);
    if (outcome != OPTIONS_GO) return outcome == OPTIONS_HELP ? report_finish(EXIT_OK) : EXIT_USAGE;
    if (!path) {
        report_error("data: PATH is missing: a file or folder to look at\nusage: weft data %s",
                     data_command.arguments);
        return EXIT_USAGE;
    }
    int rc = read_data(&r, path, &err);
    if (!rc) rc = r.s.json ? show_json(&r, path, &code, &err) : show(&r, &err);
    if (rc)
        code = fail("data", rc, &err);
    else if (!r.s.json)
        code = report_finish(EXIT_OK);
    weft_dataset_free(&r.data);
    weft_model_free(&r.model);
    return code;
}
