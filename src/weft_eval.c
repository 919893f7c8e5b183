/* The public functions about evaluation: check arguments, make a scorer, call one layer. */
#include "weft_impl.h"

#include "eval/labels.h"
#include "eval/statistics.h"
#include "eval/style.h"

#include <math.h>
#include <stdlib.h>

#define TEXT_PROMPT_TOKENS 16 /* of plain text, given to the model as the beginning */

static weft_share share_public(int64_t hits, int64_t total) {
    share s = share_of(hits, total);
    return (weft_share){s.value, s.low, s.high};
}

static int scorer_open(const weft_model *base, const weft_adapter *const *adapters,
                       const float *scales, size_t count, scorer **out, weft_error *err) {
    adapter_use uses[FORWARD_ADAPTERS_MAX];
    *out = NULL;
    TRY(adapter_uses(adapters, scales, count, uses, err));
    return scorer_create(base->m, base->smooth, 0, uses, count, out, err);
}

/* ---- labels ---- */

int weft_evaluate_labels(const weft_model *base, const weft_dataset *data, bool held_out,
                         const weft_adapter *const *adapters, const float *scales, size_t count,
                         weft_label_result *out, weft_error *err) {
    label_result found = {0};
    *out = (weft_label_result){.usual = NAN};
    if (dataset_label_count(data->d)) {
        scorer *s;
        TRY(scorer_open(base, adapters, scales, count, &s, err));
        int rc = labels_measure(data->d, held_out, s, base->m->tok, &found, err);
        scorer_free(&s);
        if (rc) return rc;
    }
    out->item_count = found.item_count;
    out->accuracy = share_public(found.correct, found.item_count);
    out->generated = share_public(found.generated_correct, found.item_count);
    if (found.item_count) out->usual = (double)found.usual_correct / (double)found.item_count;
    out->label_count = found.label_count;
    out->unseen_count = found.unseen_count;
    return WEFT_OK;
}

/* ---- tasks ---- */

int weft_task_read(const char *path, weft_task **out, weft_error *err) {
    *out = NULL;
    weft_task *t = calloc(1, sizeof *t);
    if (!t) return err_set(err, WEFT_ERR_MEMORY, "out of memory");
    int rc = task_read(path, &t->t, err);
    if (rc) weft_task_free(&t);
    *out = t;
    return rc;
}

void weft_task_free(weft_task **handle) {
    if (!*handle) return;
    task_destroy(&(*handle)->t);
    free(*handle);
    *handle = NULL;
}

int weft_evaluate_task(const weft_model *base, const weft_task *t,
                       const weft_adapter *const *adapters, const float *scales, size_t count,
                       weft_task_result *out, weft_error *err) {
    scorer *s;
    task_result found;
    TRY(scorer_open(base, adapters, scales, count, &s, err));
    int rc = task_measure(&t->t, s, base->m->tok, &found, err);
    scorer_free(&s);
    if (rc) return rc;
    *out =
        (weft_task_result){.item_count = found.item_count,
                           .accuracy = share_public(found.correct, found.item_count),
                           .normalised = share_public(found.normalised_correct, found.item_count),
                           .chance = found.chance};
    return WEFT_OK;
}

/* ---- examples ---- */

int64_t weft_dataset_example_count(const weft_dataset *data, bool held_out) {
    int64_t count = 0;
    for (int64_t i = 0; i < dataset_document_count(data->d); i++)
        count += !held_out || dataset_document(data->d, i).held_out;
    return count;
}

static int decode(const tokenizer *tok, const int32_t *tokens, int64_t count, char **text,
                  weft_error *err) {
    token_stream stream = {0};
    bytes out = {0};
    int rc = WEFT_OK;
    for (int64_t i = 0; !rc && i < count; i++)
        rc = token_stream_add(&stream, tok, tokens[i], &out, err);
    if (!rc) rc = token_stream_flush(&stream, &out, err);
    if (!rc && !bytes_add_text(&out, "")) rc = err_set(err, WEFT_ERR_MEMORY, "out of memory");
    if (rc) bytes_free(&out);
    *text = out.data;
    return rc;
}

/* Of plain text a part of the reply goes over to the prompt. */
static int64_t prompt_tokens(const dataset_example *e) {
    if (e->conversation) return e->prompt_count;
    int64_t more =
        e->reply_count / 2 < TEXT_PROMPT_TOKENS ? e->reply_count / 2 : TEXT_PROMPT_TOKENS;
    return e->prompt_count + more;
}

static int fill_example(const tokenizer *tok, const dataset_example *e, weft_example *out,
                        weft_error *err) {
    int64_t count = prompt_tokens(e), rest = e->prompt_count + e->reply_count - count;
    out->tokens = malloc((size_t)(count ? count : 1) * sizeof *out->tokens);
    if (!out->tokens) return err_set(err, WEFT_ERR_MEMORY, "out of memory");
    for (int64_t i = 0; i < count; i++) out->tokens[i] = e->prompt[i];
    out->token_count = (size_t)count;
    TRY(decode(tok, e->prompt, count, &out->prompt, err));
    return decode(tok, e->prompt + count, rest, &out->reply, err);
}

int weft_dataset_example(const weft_dataset *data, bool held_out, int64_t index, weft_example *out,
                         weft_error *err) {
    int64_t at = 0, total = dataset_document_count(data->d);
    *out = (weft_example){0};
    if (held_out) {
        for (int64_t left = index; at < total; at++)
            if (dataset_document(data->d, at).held_out && left-- == 0) break;
    } else {
        at = index;
    }
    if (index < 0 || at >= total)
        return err_set(err, WEFT_ERR_RANGE, "there is no example %lld", (long long)index);
    dataset_example e = dataset_document(data->d, at);
    int rc = fill_example(data->tok, &e, out, err);
    if (rc) weft_example_free(out);
    return rc;
}

void weft_example_free(weft_example *e) {
    free(e->tokens);
    free(e->prompt);
    free(e->reply);
    *e = (weft_example){0};
}

/* ---- style ---- */

int weft_style_compare(const char *const *person, size_t person_count, const char *const *sample,
                       size_t sample_count, uint64_t seed, weft_style *out, double *lowest,
                       weft_error *err) {
    style_result found;
    *out = (weft_style){.distance = NAN};
    style_profile *list = calloc(person_count + sample_count + 1, sizeof *list);
    if (!list) return err_set(err, WEFT_ERR_MEMORY, "out of memory");
    for (size_t i = 0; i < person_count; i++) style_count(person[i], &list[i]);
    for (size_t i = 0; i < sample_count; i++) style_count(sample[i], &list[person_count + i]);
    int rc =
        style_measure(list, person_count, list + person_count, sample_count, seed, &found, err);
    if (!rc && lowest) *lowest = style_floor(list, person_count, seed);
    free(list);
    if (rc) return rc;
    *out = (weft_style){.distance = found.distance.mean,
                        .low = found.low,
                        .high = found.high,
                        .words = found.distance.groups[STYLE_WORDS],
                        .marks = found.distance.groups[STYLE_MARKS],
                        .sentences = found.distance.groups[STYLE_SENTENCES],
                        .capitals = found.distance.groups[STYLE_CAPITALS]};
    return WEFT_OK;
}
