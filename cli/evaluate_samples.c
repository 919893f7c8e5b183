/* The same prompts answered by several subjects, side by side. */
#include "evaluate.h"

#include "report.h"

#include <stdlib.h>
#include <string.h>

#define COLUMN_MAX 60

/* A growing text for the callback of weft_generate. */
typedef struct answer {
    char *text;
    size_t size;
} answer;

static int add_piece(void *context, const char *text, size_t size) {
    answer *a = context;
    char *grown = realloc(a->text, a->size + size + 1);
    if (!grown) return 1;
    memcpy(grown + a->size, text, size);
    a->size += size;
    grown[a->size] = '\0';
    a->text = grown;
    return 0;
}

static int write_answer(const weft_model *model, const weft_example *e, const subject *who,
                        const sample_settings *s, answer *a, weft_error *err) {
    weft_generate_options options = WEFT_GENERATE_OPTIONS_DEFAULT;
    weft_model_info info;
    weft_session *session = NULL;
    weft_model_get_info(model, &info);
    /* A long prompt loses its beginning. */
    size_t room = (size_t)s->max_tokens, skip = 0, limit = (size_t)info.context;
    if (e->token_count + room > limit) skip = e->token_count + room - limit;
    weft_session_options size = {.context = (int64_t)(e->token_count - skip + room), .batch = 64};
    options.max_tokens = s->max_tokens;
    options.seed = s->seed;
    int rc = weft_session_create(model, &size, &session, err);
    if (!rc) rc = weft_session_set_adapters(session, who->adapters, who->scales, who->count, err);
    if (!rc)
        rc = weft_generate(session, e->tokens + skip, e->token_count - skip, &options, add_piece, a,
                           NULL, err);
    weft_session_free(&session);
    if (!rc && !a->text && add_piece(a, "", 0)) rc = err_set(err, WEFT_ERR_MEMORY, "out of memory");
    return rc;
}

/* ---- columns ---- */

/* Bytes of the next line of text, at most width characters, cut at a blank where there is one;
 * *skip receives the blank or line end that follows. */
static size_t next_line(const char *text, size_t width, size_t *skip) {
    size_t at = 0, characters = 0, blank = 0;
    for (; text[at] && text[at] != '\n'; at++) {
        if (text[at] == ' ') blank = at;
        if (((unsigned char)text[at] & 0xc0) == 0x80) continue;
        if (characters++ < width) continue;
        size_t cut = text[at] == ' ' ? at : blank ? blank : at;
        *skip = text[cut] == ' ';
        return cut;
    }
    *skip = text[at] == '\n';
    return at;
}

static size_t characters_of(const char *text, size_t size) {
    size_t count = 0;
    for (size_t i = 0; i < size; i++) count += ((unsigned char)text[i] & 0xc0) != 0x80;
    return count;
}

static void show_columns(FILE *out, const char *left, const char *right) {
    int columns = report_columns(out);
    size_t width = columns > 50 ? (size_t)(columns - 5) / 2 : 22, skip;
    if (width > COLUMN_MAX) width = COLUMN_MAX;
    while (*left || *right) {
        size_t n = next_line(left, width, &skip);
        fprintf(out, "  %.*s", (int)n, left);
        size_t used = characters_of(left, n);
        left += n + skip;
        n = next_line(right, width, &skip);
        fprintf(out, n ? "%*s%.*s\n" : "\n", (int)(width - used + 3), "", (int)n, right);
        right += n + skip;
    }
}

static void show_one(FILE *out, const subject_list *subjects, const weft_example *e,
                     const answer *answers) {
    const char *prompt = e->prompt + strspn(e->prompt, "\n ");
    fprintf(out, "  %s---- %.300s%s\n", report_dim(out), prompt, report_plain(out));
    if (subjects->count == 2) {
        show_columns(out, subjects->items[0].name, subjects->items[1].name);
        show_columns(out, answers[0].text, answers[1].text);
    } else {
        for (size_t i = 0; i < subjects->count; i++)
            fprintf(out, "  [%s]\n  %s\n", subjects->items[i].name, answers[i].text);
    }
    fflush(out);
}

/* ---- all of them ---- */

static int one_sample(const weft_model *model, const weft_example *e, const sample_settings *s,
                      const subject_list *subjects, FILE *out, json_t *rows, weft_error *err) {
    answer answers[SUBJECTS_MAX] = {{0}};
    json_t *list = json_array();
    int rc = WEFT_OK;
    for (size_t i = 0; !rc && i < subjects->count; i++) {
        rc = write_answer(model, e, &subjects->items[i], s, &answers[i], err);
        if (!rc)
            json_array_append_new(list, json_pack("{s:s, s:s}", "name", subjects->items[i].name,
                                                  "text", answers[i].text));
    }
    if (!rc && out) show_one(out, subjects, e, answers);
    if (!rc)
        json_array_append_new(rows, json_pack("{s:s, s:s, s:O}", "prompt", e->prompt, "person",
                                              e->reply, "answers", list));
    json_decref(list);
    for (size_t i = 0; i < subjects->count; i++) free(answers[i].text);
    return rc;
}

int evaluate_samples(const weft_model *model, const weft_dataset *data, const sample_settings *s,
                     const subject_list *subjects, FILE *out, json_t **json, weft_error *err) {
    int64_t total = weft_dataset_example_count(data, s->held_out);
    int64_t count = s->count < total ? s->count : total;
    json_t *rows = json_array();
    int rc = WEFT_OK;
    *json = NULL;
    if (out && count && s->show_count)
        fprintf(out, "%ssamples%s   the same prompt and seed\n", report_bold(out),
                report_plain(out));
    for (int64_t i = 0; !rc && i < count; i++) {
        weft_example e;
        rc = weft_dataset_example(data, s->held_out, i * total / count, &e, err);
        if (!rc) rc = one_sample(model, &e, s, subjects, i < s->show_count ? out : NULL, rows, err);
        weft_example_free(&e);
    }
    if (rc) {
        json_decref(rows);
        return rc;
    }
    *json = rows;
    return WEFT_OK;
}
