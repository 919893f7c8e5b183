/* Planning a training run: counting its memory (weft_plan.c) and choosing settings that fit
 * (weft_plan_choose.c). Nothing of the run is allocated here. */
#ifndef WEFT_PLAN_H
#define WEFT_PLAN_H

#include "weft_impl.h"

/* A run to be planned, and what the process holds already. Pointers are borrowed. */
typedef struct plan_case {
    const weft_model *base;
    const dataset *data;
    const adapter_settings *shape;
    const trainer_options *inner;
    bool checkpoint, best; /* checkpoints are written; the best parameters are kept */
    int64_t longest;       /* tokens of a window, of the replayed text too */
    uint64_t data_bytes, weight_bytes, base_bytes;
    uint64_t resident_bytes; /* of the weights: not mapped */
    int64_t weight_count;
    size_t floats; /* of the adapter */
} plan_case;

/* The settings that decide on memory. */
typedef struct plan_choice {
    int64_t micro_tokens, accumulate;
    int64_t longest; /* tokens of a window */
    int64_t used_tokens; /* of the fullest micro-batch; 0 = micro_tokens */
    bool recompute, tight;
} plan_choice;

/* What may be chosen, and what the run may take. */
typedef struct plan_wishes {
    weft_recompute recompute;
    int64_t batch_tokens;  /* of a micro-batch, where no window is longer */
    uint64_t memory_bytes; /* 0 = what is free */
    bool keep_batch, keep_context, keep_packing;
} plan_wishes;

void plan_begin(const weft_model *base, const weft_dataset *data, const adapter_settings *shape,
                const trainer_options *inner, bool checkpoint, plan_case *p);

/* Fill the plan but for step_count and steps_per_epoch; returns total_bytes. */
uint64_t plan_count(const plan_case *p, const plan_choice *choice, weft_plan *plan);

/* The settings that fit and cost least speed, and their plan. WEFT_ERR_MEMORY if none fit: *choice
 * and *plan are then those that take least, and the message says what would fit. */
int plan_choose(const plan_case *p, const plan_wishes *wishes, plan_choice *choice, weft_plan *plan,
                weft_error *err);

#endif
