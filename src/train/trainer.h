/* The training run: epochs of steps, schedule, evaluation, early stop, keep-the-best, checkpoints.
 */
#ifndef WEFT_TRAIN_TRAINER_H
#define WEFT_TRAIN_TRAINER_H

#include "train/dataset.h"
#include "train/step.h"

#define TRAINER_STEPS_MAX  1000000000
#define TRAINER_EPOCHS_MAX 1000000

typedef enum schedule { SCHEDULE_COSINE, SCHEDULE_LINEAR, SCHEDULE_CONSTANT } schedule;

typedef struct trainer_options {
    int64_t steps;        /* optimiser updates; 0 = from epochs */
    double epochs;        /* used when steps is 0; part of an epoch is rounded up to whole steps */
    int64_t micro_tokens; /* tokens of a micro-batch */
    int64_t accumulate;   /* micro-batches of a step, >= 1 */
    optimiser_settings optimiser; /* rate is the peak */
    schedule schedule;
    int64_t warmup_steps; /* linear from 0; may exceed the steps: then the peak is never reached */
    double final_rate_share; /* of the peak, where cosine and linear end */
    uint64_t seed;
    int64_t eval_every; /* steps; 0 = at the ends only */
    int64_t patience; /* evaluations in a row without improvement before stopping; 0 = off; without
                       * held-out documents it has no effect */
    int64_t checkpoint_every; /* steps; 0 = at the end only */
    float dropout;
    bool recompute, smooth;
    const dataset *replay; /* general text mixed in, borrowed as the data is; NULL = none */
    double replay_share;   /* of the micro-batches */
} trainer_options;

/* A point of the run's history. */
typedef struct trainer_event {
    enum {
        TRAINER_STEP,
        TRAINER_EVALUATION,
        TRAINER_CHECKPOINT,
        TRAINER_RESUMED,
        TRAINER_EARLY_STOP
    } kind;
    int64_t step, step_count; /* steps done, of how many */
    double epoch;
    double loss;      /* mean over the step's targets; TRAINER_EVALUATION: held-out loss */
    double best_loss; /* best held-out loss so far; NaN before the first */
    double replay_loss; /* the same of the replayed text; NaN where there was none */
    double grad_norm, rate;
    double tokens_per_s; /* of this session, evaluation left out */
    double seconds_left; /* estimate */
} trainer_event;

/* Called after each event; return non-zero to stop: the state is saved (where there is a checkpoint
 * path), the adapter keeps the latest parameters, and the run returns WEFT_ERR_INTERRUPTED.
 * trainer_run, or trainer_resume in another process, goes on from there. */
typedef int (*trainer_callback)(void *context, const trainer_event *event);

typedef struct trainer trainer;

/* All arguments are borrowed and outlive the trainer. checkpoint_path NULL = none. Options out of
 * range (NaN or non-positive rate, zero steps ...) are WEFT_ERR_ARGUMENT naming the option and its
 * value. */
int trainer_create(const model *m, const dataset *d, adapter *a, const trainer_options *options,
                   const char *checkpoint_path, trainer **out, weft_error *err);
void trainer_free(trainer **t);

/* Continue from the checkpoint file: parameters, moments, step, best adapter, history. A failure
 * leaves the trainer as it was. WEFT_ERR_STATE if it was made with another model, data set, adapter
 * shape or options that change the result (named); WEFT_ERR_FORMAT if damaged (a checksum covers it
 * all); WEFT_ERR_IO if missing. */
int trainer_resume(trainer *t, weft_error *err);

/* Run to the end. A loss or gradient that is not finite is WEFT_ERR_NUMERIC naming the step: the
 * adapter keeps the parameters before that step, the last checkpoint stays, and this trainer is of
 * no more use (WEFT_ERR_STATE). The adapter then holds the parameters with the best held-out loss
 * (the last ones where nothing is held out). The same options, data and device give the same bytes,
 * however often the run was killed and resumed in between. */
int trainer_run(trainer *t, trainer_callback callback, void *context, weft_error *err);

/* The history: losses per step and held-out losses. Borrowed until the next call. */
typedef struct trainer_history {
    int64_t step_count;  /* steps done */
    const float *losses; /* (step_count) */
    int64_t eval_count;
    const int64_t *eval_steps;
    const double *eval_losses;
    double first_eval, best_eval; /* NaN where nothing is held out */
    int64_t best_step, tokens_seen;
} trainer_history;
trainer_history trainer_get_history(const trainer *t);

/* Time a micro-batch, forward and backward, and forget it: trained tokens a second. Changes nothing
 * in the run. Not from within the callback. */
int trainer_measure(trainer *t, double *tokens_per_s, weft_error *err);

/* A number that tells models apart: the shape, and both ends of every tensor. */
uint64_t trainer_model_fingerprint(const model *m);

int64_t trainer_steps_per_epoch(const trainer *t); /* of the epoch that the run is in */
int64_t trainer_step_count(const trainer *t); /* that the run will take */
double schedule_rate(const trainer_options *o, int64_t step, int64_t step_count); /* step from 0 */
int trainer_options_check(const trainer_options *o, weft_error *err);

#endif
