/* One optimisation step: forward, loss, backward over micro-batches, then AdamW. The work space is
 * allocated once; a step allocates nothing. */
#ifndef WEFT_TRAIN_STEP_H
#define WEFT_TRAIN_STEP_H

#include "model/forward.h"
#include "train/dataset.h"

typedef struct step_options {
    int64_t micro_tokens;  /* largest micro-batch */
    int64_t positions_max; /* longest window */
    bool recompute;        /* keep each layer's input only */
    bool smooth;
    float dropout;
    int64_t layer_count; /* 0 = all; fewer in tests */
} step_options;

typedef struct train_step train_step;

/* The adapter is trained in place. Memory taken: step_bytes with the same arguments, to the byte.
 */
int train_step_create(const model *m, adapter *a, const step_options *options, train_step **out,
                      weft_error *err);
void train_step_free(train_step **s);
size_t step_bytes(const config *c, const adapter_settings *adapter_shape,
                  const step_options *options, size_t head_scratch_bytes);

/* Add the gradients of the sum (not the mean) of the losses of one micro-batch; *loss_sum receives
 * the sum over its targets. dropout_seed names the masks. A loss that is not finite is
 * WEFT_ERR_NUMERIC. */
int train_step_accumulate(train_step *s, const micro_batch *b, uint64_t dropout_seed,
                          double *loss_sum, weft_error *err);

/* Forget the gradients gathered so far. */
void train_step_discard(train_step *s);

/* Loss only, dropout off. */
int train_step_evaluate(train_step *s, const micro_batch *b, double *loss_sum, weft_error *err);

typedef struct optimiser_settings {
    float rate, beta1, beta2, epsilon, weight_decay;
    float clip; /* largest norm of the mean gradient; 0 = off */
} optimiser_settings;

/* Divide the gradients by target_count, clip, update with AdamW (update number `update`, from 1),
 * and zero them. *grad_norm is the norm of the mean gradient before clipping; not finite:
 * WEFT_ERR_NUMERIC, parameters untouched. */
int train_step_update(train_step *s, const optimiser_settings *o, int64_t update,
                      int64_t target_count, double *grad_norm, weft_error *err);

/* Flat copies (adapter param_count floats each), for checkpoints and tests. */
int train_step_get_moments(train_step *s, float *m, float *v, weft_error *err);
void train_step_set_moments(train_step *s, const float *m, const float *v);
int train_step_get_gradients(train_step *s, float *gradients, weft_error *err);

#endif
