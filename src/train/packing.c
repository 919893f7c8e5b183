/* The order of an epoch, and windows laid side by side in a micro-batch. Nothing here is kept
 * between calls: the plan of an epoch follows from (data set, seed, epoch), so a resumed run makes
 * it again. */
#include "train/dataset_impl.h"

#include "base/rng.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* A stream of the run's seed: the order of its epochs. */
enum { STREAM_ORDER = 2 };

int micro_batch_create(int64_t capacity, micro_batch *b, weft_error *err) {
    memset(b, 0, sizeof *b);
    if (capacity < 1 || capacity > INT32_MAX)
        return err_set(err, WEFT_ERR_ARGUMENT,
                       "a micro-batch of %" PRId64 " tokens is out of range", capacity);
    int32_t *block = calloc((size_t)capacity, 5 * sizeof *block);
    if (!block) return err_set(err, WEFT_ERR_MEMORY, "out of memory for a micro-batch");
    b->ids = block;
    b->positions = block + capacity;
    b->first = block + 2 * capacity;
    b->last = block + 3 * capacity;
    b->targets = block + 4 * capacity;
    b->capacity = capacity;
    return WEFT_OK;
}

void micro_batch_destroy(micro_batch *b) {
    free(b->ids); /* the one block */
    memset(b, 0, sizeof *b);
}

static void clear(micro_batch *b) {
    b->tokens = 0;
    b->target_count = 0;
}

static void append(const dataset *d, const window *w, micro_batch *b) {
    int64_t at = b->tokens;
    size_t size = (size_t)w->count * sizeof *b->ids;
    memcpy(b->ids + at, d->ids + w->begin, size);
    memcpy(b->targets + at, d->targets + w->begin, size);
    for (int32_t i = 0; i < w->count; i++) {
        b->positions[at + i] = i;
        b->first[at + i] = (int32_t)at;
        b->last[at + i] = (int32_t)at + i;
    }
    b->tokens += w->count;
    b->target_count += w->target_count;
}

static void shuffle(int32_t *order, int64_t count, uint64_t stream) {
    for (int64_t i = 0; i < count; i++) order[i] = (int32_t)i;
    for (int64_t i = count - 1; i > 0; i--) {
        int64_t j = (int64_t)rng_below(stream, (uint64_t)i, (uint64_t)i + 1);
        int32_t held = order[i];
        order[i] = order[j];
        order[j] = held;
    }
}

/* Next fit: a window that does not fit opens the next micro-batch. Writes the starts and the end.
 */
static int64_t pack(const window *windows, const int32_t *order, int64_t count,
                    int64_t micro_tokens, int64_t *starts) {
    int64_t made = 0, used = micro_tokens; /* full: the first window opens one */
    for (int64_t i = 0; i < count; i++) {
        int64_t tokens = windows[order[i]].count;
        if (tokens > micro_tokens - used) {
            starts[made++] = i;
            used = 0;
        }
        used += tokens;
    }
    starts[made] = count;
    return made;
}

int epoch_plan_create(const dataset *d, uint64_t seed, int64_t epoch, int64_t micro_tokens,
                      epoch_plan *plan, weft_error *err) {
    memset(plan, 0, sizeof *plan);
    if (!d->finished) return err_set(err, WEFT_ERR_STATE, "the data set is not finished");
    if (micro_tokens < d->window_max)
        return err_set(err, WEFT_ERR_ARGUMENT,
                       "a micro-batch of %" PRId64 " tokens cannot hold a window of %" PRId64
                       "; raise it or lower the context",
                       micro_tokens, d->window_max);
    plan->order = malloc((size_t)d->train_count * sizeof *plan->order);
    plan->starts = malloc((size_t)(d->train_count + 1) * sizeof *plan->starts);
    if (!plan->order || !plan->starts) {
        epoch_plan_destroy(plan);
        return err_set(err, WEFT_ERR_MEMORY, "out of memory for the order of an epoch");
    }
    shuffle(plan->order, d->train_count, rng_at(rng_split(seed, STREAM_ORDER), (uint64_t)epoch));
    plan->micro_count = pack(d->windows, plan->order, d->train_count, micro_tokens, plan->starts);
    return WEFT_OK;
}

void epoch_plan_destroy(epoch_plan *plan) {
    free(plan->order);
    free(plan->starts);
    memset(plan, 0, sizeof *plan);
}

int64_t epoch_plan_fullest(const dataset *d, const epoch_plan *plan) {
    int64_t most = 0;
    for (int64_t micro = 0; micro < plan->micro_count; micro++) {
        int64_t tokens = 0;
        for (int64_t i = plan->starts[micro]; i < plan->starts[micro + 1]; i++)
            tokens += d->windows[plan->order[i]].count;
        if (tokens > most) most = tokens;
    }
    return most;
}

void dataset_fill(const dataset *d, const epoch_plan *plan, int64_t micro, micro_batch *b) {
    clear(b);
    for (int64_t i = plan->starts[micro]; i < plan->starts[micro + 1]; i++)
        append(d, &d->windows[plan->order[i]], b);
}

bool dataset_fill_eval(const dataset *d, int64_t micro, int64_t micro_tokens, micro_batch *b) {
    const window *windows = d->windows + d->train_count;
    int64_t made = -1, used = micro_tokens;
    clear(b);
    for (int64_t i = 0; i < d->eval_count && made <= micro; i++) {
        if (windows[i].count > micro_tokens - used) {
            made++;
            used = 0;
        }
        used += windows[i].count;
        if (made == micro) append(d, &windows[i], b);
    }
    return b->tokens > 0;
}
