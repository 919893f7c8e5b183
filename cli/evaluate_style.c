/* How far answers are from the person's manner of writing. */
#include "evaluate.h"

#include "report.h"

#include <math.h>
#include <stdlib.h>

/* Texts of one side, borrowed from the samples: which < 0 is the person. */
static const char **texts_of(const json_t *samples, int which) {
    size_t count = json_array_size(samples);
    const char **texts = calloc(count + 1, sizeof *texts);
    for (size_t i = 0; texts && i < count; i++) {
        const json_t *row = json_array_get(samples, i);
        const json_t *answer = json_array_get(json_object_get(row, "answers"), (size_t)which);
        texts[i] = json_string_value(which < 0 ? json_object_get(row, "person")
                                               : json_object_get(answer, "text"));
        if (!texts[i]) texts[i] = "";
    }
    return texts;
}

static json_t *style_json(const char *name, const weft_style *s) {
    return json_pack("{s:s, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "name", name, "distance",
                     s->distance, "low", s->low, "high", s->high, "words", s->words, "marks",
                     s->marks, "sentences", s->sentences, "capitals", s->capitals);
}

/* In words, with what the intervals allow. */
static void show_words(FILE *out, const char *name, const weft_style *plain, const weft_style *s,
                       double lowest) {
    if (s->high < plain->low)
        fprintf(out, "    %s writes more like the person than the plain model does%s\n", name,
                s->distance <= lowest * 1.25
                    ? ", as near as the person's own texts are to each other"
                    : "");
    else if (s->low > plain->high)
        fprintf(out, "    %s writes less like the person than the plain model does\n", name);
    else
        fprintf(out,
                "    no difference between %s and the plain model is sure: more samples or "
                "text would tell\n",
                name);
}

static void show_row(FILE *out, const char *name, const weft_style *s) {
    fprintf(out, "  %-24.60s %5.2f (%.2f to %.2f) %8.2f %8.2f %10.2f %9.2f\n", name, s->distance,
            s->low, s->high, s->words, s->marks, s->sentences, s->capitals);
}

int evaluate_style(const json_t *samples, const subject_list *subjects, uint64_t seed, FILE *out,
                   json_t **json, weft_error *err) {
    size_t count = json_array_size(samples);
    const char **person = texts_of(samples, -1);
    json_t *rows = json_array();
    weft_style plain = {0};
    double lowest = NAN;
    int rc = person ? WEFT_OK : err_set(err, WEFT_ERR_MEMORY, "out of memory");
    *json = NULL;
    if (!rc && out)
        fprintf(out,
                "%sstyle%s     distance from the person's writing, 0 to 1 (95%% interval)\n"
                "  %-24s %20s %8s %8s %10s %9s\n",
                report_bold(out), report_plain(out), "", "", "words", "marks", "sentences",
                "capitals");
    for (size_t i = 0; !rc && i < subjects->count; i++) {
        const char **answers = texts_of(samples, (int)i);
        weft_style s;
        rc = answers ? weft_style_compare(person, count, answers, count, seed, &s, &lowest, err)
                     : err_set(err, WEFT_ERR_MEMORY, "out of memory");
        free(answers);
        if (rc) break;
        if (i == 0) plain = s;
        json_t *row = style_json(subjects->items[i].name, &s);
        json_object_set_new(row, "floor", report_number(lowest));
        json_array_append_new(rows, row);
        if (out) show_row(out, subjects->items[i].name, &s);
        if (out && i) show_words(out, subjects->items[i].name, &plain, &s, lowest);
    }
    if (!rc && out && isfinite(lowest))
        fprintf(out, "  %-24s %5.2f\n", "halves of the person's", lowest);
    free(person);
    if (rc) {
        json_decref(rows);
        return rc;
    }
    *json = rows;
    return WEFT_OK;
}
