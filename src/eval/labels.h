/* Questions with few answers (yes, no, maybe): how often a model gives the right one. */
#ifndef WEFT_EVAL_LABELS_H
#define WEFT_EVAL_LABELS_H

#include "eval/score.h"
#include "train/dataset.h"

#define LABEL_ITEMS_MAX 500 /* questions that are asked: of more, evenly chosen ones */

typedef struct label_result {
    int64_t item_count, correct, generated_correct, usual_correct;
    int64_t label_count, unseen_count;
} label_result;

/* Ask the held-out labelled documents, or all. For each the labels that the training part has are
 * scored as the beginning of the reply, and the likeliest is the model's choice (of equal ones the
 * first met); besides, the model answers by its likeliest tokens, and that counts as right when it
 * begins with the label and ends or goes on with no letter or digit. usual_correct counts how often
 * the training part's most frequent label is right. Labels that only the asked part has count as
 * unseen, and as wrong. No labels at all: WEFT_OK and item_count 0. */
int labels_measure(const dataset *d, bool held_out, scorer *s, const tokenizer *tok,
                   label_result *out, weft_error *err);

#endif
