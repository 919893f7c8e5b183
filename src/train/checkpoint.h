/* A training run's state in one file: a safetensors container that appears whole or not at all. It
 * keeps what cannot be computed again; the order of the data, the schedule and the random masks
 * follow from the step. */
#ifndef WEFT_TRAIN_CHECKPOINT_H
#define WEFT_TRAIN_CHECKPOINT_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

#define CHECKPOINT_FORMAT       1
#define CHECKPOINT_SETTINGS_MAX 48
#define CHECKPOINT_VALUE_BYTES  40

/* One thing that must be equal when a run goes on: an option, a fingerprint of the model or the
 * data, the adapter's shape. Compared as text; `name` is what a message calls it, without quotes or
 * backslashes. */
typedef struct checkpoint_setting {
    const char *name;
    char value[CHECKPOINT_VALUE_BYTES];
} checkpoint_setting;

typedef struct checkpoint {
    int64_t step; /* steps done */
    int64_t tokens_seen;
    size_t param_count;
    float *params, *moment1, *moment2; /* (param_count) */
    float *best;                       /* (param_count), or NULL where nothing is held out */
    float *losses;                     /* (step) mean loss of each step */
    int64_t eval_count;
    int64_t *eval_steps; /* (eval_count) rising */
    double *eval_losses; /* (eval_count) */
} checkpoint;

/* Write c with the settings it depends on. Everything is borrowed. A failure leaves the old file.
 */
int checkpoint_save(const char *path, const checkpoint *c, const checkpoint_setting *settings,
                    size_t setting_count, weft_error *err);

/* Read and verify everything: the checksum over all tensors and settings, that the settings are
 * equal (WEFT_ERR_STATE naming the first that differs, with both values), every shape, every number
 * finite. WEFT_ERR_IO if missing, WEFT_ERR_FORMAT if damaged. c->param_count is given by the
 * caller; the arrays are the caller's to free with checkpoint_free. */
int checkpoint_load(const char *path, const checkpoint_setting *settings, size_t setting_count,
                    checkpoint *c, weft_error *err);
void checkpoint_free(checkpoint *c); /* of a loaded one */

#endif
