/* What dataset.c (the store) and packing.c (windows side by side) share. */
#ifndef WEFT_TRAIN_DATASET_IMPL_H
#define WEFT_TRAIN_DATASET_IMPL_H

#include "train/dataset.h"

typedef struct stored_document {
    int64_t begin, count; /* tokens of the store */
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
    window *windows; /* the training windows, then the held-out ones; each in document order */
    int64_t train_count, eval_count;
    int64_t window_max;
    bool finished;
    uint64_t fingerprint;
    dataset_stats stats;
};

#endif
