/* The loss of a data set under a model with adapters: forward only, in the memory of one layer. */
#ifndef WEFT_TRAIN_EVALUATE_H
#define WEFT_TRAIN_EVALUATE_H

#include "model/forward.h"
#include "train/dataset.h"

typedef struct evaluation {
    double loss_sum; /* of -log p over target_count targets, natural logarithm */
    int64_t token_count, target_count;
} evaluation;

/* Evaluate the held-out windows, or all windows. micro_tokens >= the longest window. */
int evaluate_dataset(const model *m, const dataset *d, bool held_out, int64_t micro_tokens,
                     bool smooth, const adapter_use *uses, size_t use_count, evaluation *out,
                     weft_error *err);

#endif
