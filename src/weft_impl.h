/* What stands behind the handles of weft.h. */
#ifndef WEFT_IMPL_H
#define WEFT_IMPL_H

#include "eval/task.h"
#include "model/session.h"
#include "train/evaluate.h"
#include "train/trainer.h"

struct weft_model {
    backend *be;
    model *m;
    char device_note[320];
    bool on_gpu, automatic; /* automatic: the device was weft's choice */
    bool smooth;
    int thread_count; /* as asked for */
    uint32_t cpu_mask;
    packing_choice packing;
};

struct weft_adapter {
    adapter *a;
};

struct weft_session {
    const weft_model *model;
    session *s;
    int32_t *cached; /* tokens in the cache: (session_position) */
    size_t capacity;
};

struct weft_dataset {
    dataset *d;
    const tokenizer *tok; /* the model's */
    int64_t context;
    bool context_given; /* not chosen by weft */
};

struct weft_task {
    task t;
};

struct weft_trainer {
    const weft_model *model;
    const weft_dataset *data;
    weft_adapter adapter;
    trainer *t;
    trainer_options options;
    weft_train_callback callback;
    void *callback_context;
};

/* Open the device that the options name: m->be, and what m says about it. */
int device_open(const weft_model_options *options, weft_model *m, weft_error *err);

/* True if "auto" took a GPU that the model failed on for want of memory: the device is the CPU
 * then, and loading is to be tried again. */
bool device_fall_back(const weft_model_options *options, weft_model *m, int status,
                      weft_error *err);

/* An empty model on the device that the options (NULL = default) choose: model_load or
 * model_synthesise fills m. */
int weft_model_begin(const weft_model_options *options, weft_model **out, weft_error *err);

/* The public adapters and scales as the model layer's list; at most FORWARD_ADAPTERS_MAX. */
int adapter_uses(const weft_adapter *const *adapters, const float *scales, size_t count,
                 adapter_use *uses, weft_error *err);

#endif
