/* What trainer.c (the run) and resume.c (its state on disk) share. */
#ifndef WEFT_TRAIN_TRAINER_IMPL_H
#define WEFT_TRAIN_TRAINER_IMPL_H

#include "train/checkpoint.h"
#include "train/replay.h"
#include "train/trainer.h"

struct trainer {
    const model *m;
    const dataset *d;
    adapter *a;
    trainer_options o;
    char *path; /* of the checkpoint; NULL = none */
    train_step *engine;
    micro_batch batch;
    int64_t step_count;

    /* The epoch that holds the next step: steps [epoch_begin, epoch_begin + epoch_steps). */
    epoch_plan plan;
    int64_t epoch, epoch_begin, epoch_steps; /* epoch_steps 0: no plan yet */

    replay replay;

    /* The state: all that a checkpoint keeps beside parameters and moments. */
    int64_t step, tokens_seen;
    float *losses; /* (step) */
    int64_t losses_capacity;
    int64_t eval_count, evals_capacity;
    int64_t *eval_steps;
    double *eval_losses;
    float *best; /* (param_count) of evaluation best_index; NULL before the first */
    int64_t best_index;

    int64_t saved_step, saved_evals; /* what the file on disk holds; -1 = nothing of this run */
    bool resumed;                    /* to be told at the next run */
    bool failed, finished;

    /* Of this session, for the estimates. */
    int64_t session_steps, session_tokens;
    double train_s, eval_s;
    double grad_norm, rate;
    double replay_loss, replay_eval_loss; /* of the last step and evaluation; NaN = none */

    checkpoint_setting settings[CHECKPOINT_SETTINGS_MAX];
    size_t setting_count;
};

/* Fill t->settings: what a resumed run must have in common. */
void trainer_list_settings(trainer *t);

/* Write the state to t->path. */
int trainer_save(trainer *t, weft_error *err);

/* The evaluation with the lowest loss, the first of equals. */
int64_t trainer_find_best(const double *losses, int64_t count);

#endif
