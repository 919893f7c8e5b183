/* The end of `weft learn`: what the adapter changed, and a name where none was given. */
#include "learn.h"

#include "report.h"

#include <string.h>

#define NAME_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
#define SAMPLE_TOKENS   60

static void say(const char *what, const weft_error *err) {
    report_error("learn: %s could not be measured: %s", what, err->message);
}

static double accuracy_of(const json_t *row) {
    return json_number_value(json_object_get(json_object_get(row, "accuracy"), "value"));
}

static void keep_figures(learn_run *r) {
    weft_history h = weft_trainer_history(r->trainer);
    if (r->answers) {
        evaluate_keep(r->store, r->run_id, r->s.name, "right answers before",
                      accuracy_of(json_array_get(r->answers, 0)));
        evaluate_keep(r->store, r->run_id, r->s.name, "right answers",
                      accuracy_of(json_array_get(r->answers, 1)));
    }
    evaluate_keep(r->store, r->run_id, r->s.name, "held-out loss before", h.first_eval);
    evaluate_keep(r->store, r->run_id, r->s.name, "held-out loss", h.best_eval);
}

void learn_measure(learn_run *r) {
    const weft_adapter *adapter = weft_trainer_adapter(r->trainer);
    float scale = 1;
    subject_list subjects = {.count = 2};
    bool held_out = r->report.eval_documents > 0;
    sample_settings samples = {.count = r->s.samples,
                               .show_count = r->s.samples,
                               .max_tokens = SAMPLE_TOKENS,
                               .seed = (uint64_t)r->s.seed,
                               .held_out = held_out};
    weft_error err;
    snprintf(subjects.items[0].name, sizeof subjects.items[0].name, "before");
    snprintf(subjects.items[1].name, sizeof subjects.items[1].name, "after");
    subjects.items[1].adapters = &adapter;
    subjects.items[1].scales = &scale;
    subjects.items[1].count = 1;
    /* Without anything held out, right answers would be learnt by heart. */
    if (held_out && evaluate_labels(r->model, r->data, true, &subjects, r->out, &r->answers, &err))
        say("accuracy", &err);
    learn_show_gain(r);
    keep_figures(r);
    if (!r->out || !samples.count || !held_out || stop_requested()) return;
    if (evaluate_samples(r->model, r->data, &samples, &subjects, r->out, &r->sample_rows, &err))
        say("samples", &err);
}

bool learn_name_of(const char *path, char name[65]) {
    size_t end = strlen(path), begin, size = 0;
    while (end && path[end - 1] == '/') end--;
    for (begin = end; begin && path[begin - 1] != '/';) begin--;
    for (size_t i = end; i > begin + 1; i--) {
        if (path[i - 1] != '.') continue;
        end = i - 1; /* the last ending goes */
        break;
    }
    for (size_t i = begin; i < end && size < 64; i++) {
        bool good = strchr(NAME_CHARACTERS, path[i]) != NULL;
        if (size == 0 && (!good || path[i] == '.' || path[i] == '-')) continue;
        if (!good && name[size - 1] == '-') continue;
        name[size++] = good ? path[i] : '-';
    }
    while (size && name[size - 1] == '-') size--;
    name[size] = '\0';
    return size > 0;
}
