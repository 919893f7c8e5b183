/* The stream of replayed micro-batches: epoch after epoch of the general text. */
#include "train/replay.h"

#include "base/rng.h"

#include <math.h>

/* A stream of the run's seed: the order of the general text. */
enum { STREAM_REPLAY = 4 };

int64_t replay_index(const replay *r, int64_t step, int64_t accumulate) {
    if (!r->d) return 0;
    return (int64_t)floor((double)step * (double)accumulate * r->share / (1 - r->share));
}

static int plan_epoch(replay *r, int64_t epoch, int64_t begin, weft_error *err) {
    epoch_plan_destroy(&r->plan);
    r->plan.micro_count = 0;
    TRY(epoch_plan_create(r->d, rng_split(r->seed, STREAM_REPLAY), epoch, r->micro_tokens, &r->plan,
                          err));
    r->epoch = epoch;
    r->epoch_begin = begin;
    return WEFT_OK;
}

int replay_fill(replay *r, int64_t index, micro_batch *b, weft_error *err) {
    if (!r->plan.micro_count || index < r->epoch_begin) TRY(plan_epoch(r, 0, 0, err));
    while (index >= r->epoch_begin + r->plan.micro_count)
        TRY(plan_epoch(r, r->epoch + 1, r->epoch_begin + r->plan.micro_count, err));
    dataset_fill(r->d, &r->plan, index - r->epoch_begin, b);
    return WEFT_OK;
}

void replay_destroy(replay *r) {
    epoch_plan_destroy(&r->plan);
    r->d = NULL;
}
