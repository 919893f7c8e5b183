/* What dataset.c (the store) and packing.c (windows side by side) share. */
#ifndef WEFT_TRAIN_DATASET_IMPL_H
#define WEFT_TRAIN_DATASET_IMPL_H

#include "train/dataset.h"

typedef struct stored_document {
    int64_t begin, count;              /* tokens of the store */
    int32_t prompt_count, reply_count; /* what comes before the first reply, and that reply */
    int32_t label;                     /* index into labels, or NO_LABEL */
    bool conversation, held_out;
} stored_document;

struct dataset {
    const tokenizer *tok;      /* not owned; NULL = rows only */
    const chat_template *chat; /* not owned; NULL = no conversations */
    dataset_options options;
    char *bos_text, *eos_text; /* for templates; NULL = the tokenizer has none */
    int32_t *ids, *targets;    /* (token_count) */
    int64_t token_count, token_capacity;
    stored_document *documents; /* those with a target */
    int64_t document_count, document_capacity;
    int64_t pinned_begin; /* documents from here on are never held out; -1 = none are */
    char **labels;        /* (label_count), in the order in which they were met */
    int32_t label_count;
    bool labels_many; /* more than DATASET_LABELS_MAX: none is kept */
    window *windows;  /* the training windows, then the held-out ones; each in document order */
    int64_t train_count, eval_count;
    int64_t window_max;
    bool finished;
    uint64_t fingerprint;
    dataset_stats stats;
};

#endif
