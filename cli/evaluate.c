/* Right answers and multiple-choice tasks, measured for several subjects. */
#include "evaluate.h"

#include "report.h"

#include "base/os.h"

#include <math.h>
#include <string.h>

#define GENERAL_TEXT "general.txt" /* beside the tasks that come with weft */

subject_list subjects_of(const adapter_set *set) {
    subject_list list = {.count = 1};
    const weft_adapter *const *adapters = (const weft_adapter *const *)set->items;
    snprintf(list.items[0].name, sizeof list.items[0].name, "plain model");
    for (size_t i = 0; i < set->count; i++) {
        subject *s = &list.items[list.count++];
        *s = (subject){.adapters = adapters + i, .scales = set->scales + i, .count = 1};
        double scale = (double)set->scales[i];
        snprintf(s->name, sizeof s->name, scale < 1 || scale > 1 ? "%s:%g" : "%s", set->names[i],
                 scale);
    }
    if (set->count < 2) return list;
    subject *s = &list.items[list.count++];
    *s = (subject){.adapters = adapters, .scales = set->scales, .count = set->count};
    snprintf(s->name, sizeof s->name, "all together");
    return list;
}

static json_t *share_json(weft_share s) {
    return json_pack("{s:o, s:o, s:o}", "value", report_number(s.value), "low",
                     report_number(s.low), "high", report_number(s.high));
}

/* "61.5% (43 to 78)" */
static const char *share_text(weft_share s, char text[REPORT_TEXT]) {
    snprintf(text, REPORT_TEXT, "%5.1f%% (%.0f to %.0f)", 100 * s.value, 100 * s.low, 100 * s.high);
    return text;
}

/* ---- labels ---- */

static void show_label_row(FILE *out, const char *name, const weft_label_result *r) {
    char a[REPORT_TEXT], b[REPORT_TEXT];
    fprintf(out, "  %-24.60s %-20s %-20s\n", name, share_text(r->accuracy, a),
            share_text(r->generated, b));
}

static void show_label_notes(FILE *out, const weft_label_result *r) {
    char number[REPORT_TEXT * 2];
    fprintf(out, "  %-24s %5.1f%%\n", "the usual answer always", 100 * r->usual);
    if (r->unseen_count)
        fprintf(out, "  %s with an answer that is not in what is learnt: counted as wrong\n",
                report_plural(r->unseen_count, "question", number));
}

static json_t *label_json(const char *name, const weft_label_result *r) {
    return json_pack("{s:s, s:o, s:o, s:o, s:I, s:I, s:I}", "name", name, "accuracy",
                     share_json(r->accuracy), "generated", share_json(r->generated), "usual",
                     report_number(r->usual), "questions", (json_int_t)r->item_count, "labels",
                     (json_int_t)r->label_count, "unseen", (json_int_t)r->unseen_count);
}

int evaluate_labels(const weft_model *model, const weft_dataset *data, bool held_out,
                    const subject_list *subjects, FILE *out, json_t **json, weft_error *err) {
    weft_label_result r = {0};
    char number[REPORT_TEXT * 2];
    json_t *rows = json_array();
    int rc = WEFT_OK;
    *json = NULL;
    for (size_t i = 0; !rc && i < subjects->count; i++) {
        const subject *s = &subjects->items[i];
        rc = weft_evaluate_labels(model, data, held_out, s->adapters, s->scales, s->count, &r, err);
        if (rc || !r.item_count) break;
        if (out && i == 0)
            fprintf(out, "%sanswers%s   %s, %lld labels: right (95%% interval)\n  %-24s %-20s %s\n",
                    report_bold(out), report_plain(out),
                    report_plural(r.item_count, "question", number), (long long)r.label_count, "",
                    "likeliest label", "as it writes");
        if (out) show_label_row(out, s->name, &r);
        json_array_append_new(rows, label_json(s->name, &r));
    }
    if (!rc && r.item_count && out) show_label_notes(out, &r);
    if (rc || !r.item_count) {
        json_decref(rows);
        rows = NULL;
    }
    *json = rows;
    return rc;
}

/* ---- tasks ---- */

typedef struct task_run {
    const weft_model *model;
    weft_task *task;
    weft_dataset *text; /* general text; NULL = a task of the person's own */
    double plain_loss, plain_accuracy, plain_half;
    FILE *out;
    json_t *rows;
} task_run;

/* A file of that name, or one of weft's own tasks. */
static int find_task(const char *name, char path[PATH_BYTES], bool *own, weft_error *err) {
    char model[PATH_BYTES];
    *own = false;
    if (os_is_file(name) && strlen(name) < PATH_BYTES) return strcpy(path, name), WEFT_OK;
    const char *const folders[] = {"models", WEFT_SOURCE_DIR "/models", WEFT_DATA_DIR "/models"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        int n = snprintf(path, PATH_BYTES, "%s/tasks/%s.jsonl", folders[i], name);
        *own = n < PATH_BYTES && os_is_file(path);
        if (*own) return WEFT_OK;
    }
    if (!model_find(NULL, model, err)) {
        char *slash = strrchr(model, '/');
        if (slash) *slash = '\0';
        int n = snprintf(path, PATH_BYTES, "%s/tasks/%s.jsonl", slash ? model : ".", name);
        *own = n > 0 && n < PATH_BYTES && os_is_file(path);
        if (*own) return WEFT_OK;
    }
    return err_set(err, WEFT_ERR_IO,
                   "there is no task '%s': give a JSONL file, or `general`, which comes with weft",
                   name);
}

/* What the change from the plain model means (docs/EVALUATION.md). */
static const char *verdict(const task_run *t, double loss, double accuracy) {
    double more = loss / t->plain_loss - 1, less = t->plain_accuracy - accuracy;
    if (more < 0.05 && less < t->plain_half) return "keeps what the model knew";
    if (more < 0.25 && less < 2 * t->plain_half) return "forgets some general English";
    return "forgets much general English: a lower --rate, fewer --epochs or a smaller strength "
           "(NAME:0.5) keeps more";
}

static int measure_subject(task_run *t, const subject *s, weft_error *err) {
    weft_task_result r;
    weft_evaluation e = {.loss = NAN};
    char a[REPORT_TEXT], b[REPORT_TEXT];
    const char *words = NULL;
    TRY(weft_evaluate_task(t->model, t->task, s->adapters, s->scales, s->count, &r, err));
    if (t->text)
        TRY(weft_evaluate(t->model, t->text, false, s->adapters, s->scales, s->count, &e, err));
    if (!s->count) {
        t->plain_loss = e.loss;
        t->plain_accuracy = r.accuracy.value;
        t->plain_half = (r.accuracy.high - r.accuracy.low) / 2;
    } else if (t->text) {
        words = verdict(t, e.loss, r.accuracy.value);
    }
    if (t->out) {
        fprintf(t->out, "  %-24.60s %-20s %-20s", s->name, share_text(r.accuracy, a),
                share_text(r.normalised, b));
        if (t->text) fprintf(t->out, " %8.4f", e.loss);
        fprintf(t->out, "%s%s\n", words ? "\n    " : "", words ? words : "");
        if (!s->count) fprintf(t->out, "  %-24s %5.1f%%\n", "by guessing", 100 * r.chance);
        fflush(t->out);
    }
    json_array_append_new(
        t->rows, json_pack("{s:s, s:o, s:o, s:f, s:I, s:o, s:s*}", "name", s->name, "accuracy",
                           share_json(r.accuracy), "normalised", share_json(r.normalised), "chance",
                           r.chance, "items", (json_int_t)r.item_count, "general_loss",
                           report_number(e.loss), "verdict", words));
    return WEFT_OK;
}

static int open_task(task_run *t, const char *name, weft_error *err) {
    char path[PATH_BYTES];
    bool own;
    weft_dataset_options whole = WEFT_DATASET_OPTIONS_DEFAULT;
    TRY(find_task(name, path, &own, err));
    TRY(weft_task_read(path, &t->task, err));
    if (!own) return WEFT_OK;
    char *slash = strrchr(path, '/');
    if (!slash || (size_t)(slash - path) + sizeof GENERAL_TEXT >= PATH_BYTES) return WEFT_OK;
    strcpy(slash + 1, GENERAL_TEXT);
    whole.eval_share = 0;
    whole.as = "text";
    return os_is_file(path) ? weft_dataset_read(t->model, path, &whole, &t->text, NULL, err)
                            : WEFT_OK;
}

int evaluate_task(const weft_model *model, const char *name, const subject_list *subjects,
                  FILE *out, json_t **json, weft_error *err) {
    task_run t = {.model = model, .out = out, .rows = json_array()};
    *json = NULL;
    int rc = open_task(&t, name, err);
    if (!rc && out)
        fprintf(out, "%stask%s      %s: right (95%% interval)\n  %-24s %-20s %-20s%s\n",
                report_bold(out), report_plain(out), name, "", "likeliest choice",
                "likeliest a byte", t.text ? "  loss on general text" : "");
    for (size_t i = 0; !rc && i < subjects->count; i++)
        rc = measure_subject(&t, &subjects->items[i], err);
    weft_task_free(&t.task);
    weft_dataset_free(&t.text);
    if (rc) {
        json_decref(t.rows);
        return rc;
    }
    *json = t.rows;
    return WEFT_OK;
}
