/* Accuracy on labelled documents. */
#include "eval/labels.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LABEL_TOKENS_MAX 64

typedef struct label_measure {
    const dataset *d;
    scorer *s;
    const tokenizer *tok;
    int64_t trained[DATASET_LABELS_MAX]; /* how often the training part has the label */
    int32_t usual;                       /* its most frequent one */
    bytes text;
    label_result *out;
} label_measure;

/* Text of at most limit tokens of a reply. */
static int decode(label_measure *l, const int32_t *tokens, int64_t count, int64_t limit,
                  weft_error *err) {
    token_stream stream = {0};
    bytes_clear(&l->text);
    for (int64_t i = 0; i < count && i < limit; i++)
        TRY(token_stream_add(&stream, l->tok, tokens[i], &l->text, err));
    TRY(token_stream_flush(&stream, &l->text, err));
    return bytes_add_text(&l->text, "") ? WEFT_OK : err_set(err, WEFT_ERR_MEMORY, "out of memory");
}

/* Does text begin with label as a word? Blanks before it do not count. */
static bool begins_with(const char *text, const char *label) {
    size_t n = strlen(label);
    text += strspn(text, " \t\n");
    return !strncmp(text, label, n) && !isalnum((unsigned char)text[n]);
}

static int choose(label_measure *l, const dataset_example *e, int32_t *chosen, weft_error *err) {
    double best = -INFINITY;
    char answer[512];
    *chosen = NO_LABEL;
    TRY(decode(l, e->reply, e->reply_count, 2, err));
    /* A template's blank before the reply belongs to its first token in some vocabularies. */
    const char *blank = l->text.data[0] == ' ' ? " " : "";
    for (int32_t i = 0; i < dataset_label_count(l->d); i++) {
        score found;
        if (!l->trained[i]) continue;
        int n = snprintf(answer, sizeof answer, "%s%s", blank, dataset_label(l->d, i));
        if (n < 1 || n >= (int)sizeof answer) continue;
        TRY(scorer_score_text(l->s, answer, (size_t)n, &found, NULL, err));
        if (found.log_p <= best) continue;
        best = found.log_p;
        *chosen = i;
    }
    return WEFT_OK;
}

static int ask(label_measure *l, const dataset_example *e, weft_error *err) {
    int32_t chosen;
    TRY(scorer_prompt(l->s, e->prompt, (size_t)e->prompt_count, SCORE_ROOM, err));
    TRY(choose(l, e, &chosen, err));
    bytes_clear(&l->text);
    const char *label = dataset_label(l->d, e->label);
    int64_t limit = (int64_t)strlen(label) + 2; /* a token is a byte at least */
    if (limit > LABEL_TOKENS_MAX) limit = LABEL_TOKENS_MAX;
    TRY(scorer_generate(l->s, NULL, limit, &l->text, err));
    if (!bytes_add_text(&l->text, "")) return err_set(err, WEFT_ERR_MEMORY, "out of memory");
    l->out->item_count++;
    l->out->correct += chosen == e->label;
    l->out->generated_correct += begins_with(l->text.data, label);
    l->out->usual_correct += e->label == l->usual;
    l->out->unseen_count += !l->trained[e->label];
    return WEFT_OK;
}

/* Count the labels of the training part; returns how many documents are to be asked. */
static int64_t count_labels(label_measure *l, bool held_out) {
    int64_t asked = 0;
    for (int64_t i = 0; i < dataset_document_count(l->d); i++) {
        dataset_example e = dataset_document(l->d, i);
        if (e.label == NO_LABEL) continue;
        if (!e.held_out) l->trained[e.label]++;
        asked += e.held_out || !held_out;
    }
    for (int32_t i = 0; i < dataset_label_count(l->d); i++) {
        if (l->trained[i] > l->trained[l->usual]) l->usual = i;
        l->out->label_count += l->trained[i] > 0;
    }
    return asked;
}

int labels_measure(const dataset *d, bool held_out, scorer *s, const tokenizer *tok,
                   label_result *out, weft_error *err) {
    label_measure l = {.d = d, .s = s, .tok = tok, .out = out};
    *out = (label_result){0};
    int64_t total = count_labels(&l, held_out), met = 0;
    int64_t wanted = total < LABEL_ITEMS_MAX ? total : LABEL_ITEMS_MAX;
    int rc = WEFT_OK;
    for (int64_t i = 0; !rc && i < dataset_document_count(d) && total; i++) {
        dataset_example e = dataset_document(d, i);
        if (e.label == NO_LABEL || (held_out && !e.held_out)) continue;
        bool due = (met + 1) * wanted / total > met * wanted / total;
        met++;
        if (due) rc = ask(&l, &e, err);
    }
    bytes_free(&l.text);
    return rc;
}
