/* General text mixed into a run against forgetting. Which of its micro-batches a step takes follows
 * from the step alone, so that nothing about it needs to be kept in a checkpoint. */
#ifndef WEFT_TRAIN_REPLAY_H
#define WEFT_TRAIN_REPLAY_H

#include "train/dataset.h"

#define REPLAY_SHARE_MAX 0.9

typedef struct replay {
    const dataset *d; /* borrowed; NULL = none */
    double share;     /* of all micro-batches */
    uint64_t seed;
    int64_t micro_tokens;
    epoch_plan plan; /* of the epoch that begins with micro-batch epoch_begin */
    int64_t epoch, epoch_begin;
} replay;

/* The first of its micro-batches that belongs to a step, whose own are `accumulate`; the step takes
 * those up to the first of the next. 0 where there is none. */
int64_t replay_index(const replay *r, int64_t step, int64_t accumulate);

/* Micro-batch `index` of all that its epochs give. */
int replay_fill(replay *r, int64_t index, micro_batch *b, weft_error *err);
void replay_destroy(replay *r);

#endif
