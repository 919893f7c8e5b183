/* The public functions about training and evaluation. */
#include "weft_plan.h"

#include "base/os.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_MICRO_TOKENS 256

weft_train_options weft_train_options_default(void) {
    return (weft_train_options){.epochs = 2,
                                .accumulate = 2,
                                .rate = 2e-3,
                                .beta1 = 0.9,
                                .beta2 = 0.999,
                                .epsilon = 1e-8,
                                .weight_decay = 0.01,
                                .clip = 1.0,
                                .schedule = WEFT_COSINE,
                                .warmup_steps = 5,
                                .final_rate_share = 0.1,
                                .rank = 8,
                                .alpha = 16,
                                .targets = "all",
                                .eval_every = 25,
                                .patience = 4,
                                .checkpoint_every = 20,
                                .replay_share = 0.1};
}

static int check_options(const weft_train_options *o, weft_error *err) {
    struct {
        const char *name;
        double value, low, high;
    } limits[] = {{"alpha", o->alpha, 1e-6, 1e6},
                  {"dropout", o->dropout, 0, 0.95},
                  {"schedule", o->schedule, WEFT_COSINE, WEFT_CONSTANT},
                  {"recompute", o->recompute, WEFT_RECOMPUTE_AUTO, WEFT_RECOMPUTE_OFF},
                  {"micro-batch", (double)o->micro_tokens, 0, 1 << 20},
                  {"rank", o->rank, 1, ADAPTER_RANK_MAX}};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        if (!(limits[i].value >= limits[i].low && limits[i].value <= limits[i].high))
            return err_set(err, WEFT_ERR_ARGUMENT, "%s is %g; it must be from %g to %g",
                           limits[i].name, limits[i].value, limits[i].low, limits[i].high);
    return WEFT_OK;
}

static trainer_options inner_options(const weft_train_options *o, const weft_model *base,
                                     const weft_dataset *data) {
    static const schedule schedules[] = {SCHEDULE_COSINE, SCHEDULE_LINEAR, SCHEDULE_CONSTANT};
    int64_t longest = dataset_window_max(data->d);
    if (o->replay && dataset_window_max(o->replay->d) > longest)
        longest = dataset_window_max(o->replay->d);
    int64_t micro = o->micro_tokens ? o->micro_tokens : DEFAULT_MICRO_TOKENS;
    return (trainer_options){.steps = o->steps,
                             .epochs = o->epochs,
                             .micro_tokens = micro > longest ? micro : longest,
                             .accumulate = o->accumulate,
                             .optimiser = {.rate = (float)o->rate,
                                           .beta1 = (float)o->beta1,
                                           .beta2 = (float)o->beta2,
                                           .epsilon = (float)o->epsilon,
                                           .weight_decay = (float)o->weight_decay,
                                           .clip = (float)o->clip},
                             .schedule = schedules[o->schedule],
                             .warmup_steps = o->warmup_steps,
                             .final_rate_share = o->final_rate_share,
                             .seed = o->seed,
                             .eval_every = o->eval_every,
                             .patience = o->patience,
                             .checkpoint_every = o->checkpoint_every,
                             .dropout = (float)o->dropout,
                             .replay = o->replay ? o->replay->d : NULL,
                             .replay_share = o->replay_share,
                             .smooth = base->smooth};
}

/* What the adapter of a run is to be: as the options say, or as the one to begin with is. */
static int choose_shape(const weft_train_options *o, const weft_model *base, adapter_settings *s,
                        weft_error *err) {
    TRY(target_parse(o->targets ? o->targets : "all", &s->targets, err));
    if (!o->from) return WEFT_OK;
    const adapter *from = o->from->a;
    if (from->be != base->be)
        return err_set(err, WEFT_ERR_ARGUMENT, "the adapter to begin with is another model's");
    s->rank = from->rank;
    s->targets = from->targets;
    return WEFT_OK;
}

static int make_adapter(const weft_train_options *o, const weft_model *base,
                        const adapter_settings *shape, adapter **out, weft_error *err) {
    if (o->from) return adapter_copy(o->from->a, out, err);
    return adapter_create(&base->m->cfg, base->be, shape, out, err);
}

/* What is asked of a run, checked, as the layers below take it. */
typedef struct request {
    weft_train_options o;
    adapter_settings shape;
    trainer_options inner;
} request;

static int read_request(const weft_train_options *options, const weft_model *base,
                        const weft_dataset *data, request *r, weft_error *err) {
    r->o = options ? *options : weft_train_options_default();
    const weft_train_options *o = &r->o;
    r->shape = (adapter_settings){
        .rank = o->rank, .alpha = (float)o->alpha, .rslora = o->rslora, .seed = o->seed};
    TRY(check_options(o, err));
    TRY(choose_shape(o, base, &r->shape, err));
    r->inner = inner_options(o, base, data);
    return trainer_options_check(&r->inner, err);
}

static plan_wishes wishes_of(const weft_train_options *o, bool keep, const weft_model *base,
                             const weft_dataset *data) {
    int64_t batch = o->micro_tokens ? o->micro_tokens : DEFAULT_MICRO_TOKENS;
    return (plan_wishes){.recompute = o->recompute,
                         .batch_tokens = batch,
                         .memory_bytes = o->memory_bytes,
                         .keep_batch = keep || o->micro_tokens,
                         .keep_context = keep || data->context_given,
                         .keep_packing = keep || base->on_gpu || base->packing != PACKING_AUTO};
}

int weft_plan_make(const weft_model *base, const weft_dataset *data,
                   const weft_train_options *options, bool checkpoint, weft_train_options *chosen,
                   weft_plan *plan, weft_error *err) {
    request r;
    plan_case p;
    plan_choice choice;
    TRY(read_request(options, base, data, &r, err));
    plan_begin(base, data, &r.shape, &r.inner, checkpoint, &p);
    plan_wishes wishes = wishes_of(&r.o, false, base, data);
    int rc = plan_choose(&p, &wishes, &choice, plan, err);
    if (!chosen) return rc;
    *chosen = r.o;
    chosen->micro_tokens = choice.micro_tokens;
    chosen->accumulate = choice.accumulate;
    chosen->recompute = choice.recompute ? WEFT_RECOMPUTE_ON : WEFT_RECOMPUTE_OFF;
    return rc;
}

/* Of what a plan may choose only recomputation: it changes no result. A GPU that says what is free
 * refuses what it cannot hold. */
static int choose_recompute(request *r, const weft_model *base, const weft_dataset *data,
                            bool checkpoint, weft_plan *plan, weft_error *err) {
    plan_case p;
    plan_choice choice;
    weft_error why;
    plan_wishes wishes = wishes_of(&r->o, true, base, data);
    plan_begin(base, data, &r->shape, &r->inner, checkpoint, &p);
    int rc = plan_choose(&p, &wishes, &choice, plan, &why);
    r->inner.recompute = choice.recompute;
    if (!rc || !base->on_gpu || wishes.memory_bytes) return WEFT_OK;
    return err_set(err, rc, "%s", why.message);
}

int weft_trainer_create(const weft_model *base, const weft_dataset *data,
                        const weft_train_options *options, const char *checkpoint,
                        weft_trainer **out, weft_plan *plan, weft_error *err) {
    request r;
    weft_plan unused;
    *out = NULL;
    if (!plan) plan = &unused;
    TRY(read_request(options, base, data, &r, err));
    TRY(choose_recompute(&r, base, data, checkpoint != NULL, plan, err));
    weft_trainer *t = calloc(1, sizeof *t);
    if (!t) return err_set(err, WEFT_ERR_MEMORY, "out of memory");
    t->model = base;
    t->data = data;
    t->options = r.inner;
    int rc = make_adapter(&r.o, base, &r.shape, &t->adapter.a, err);
    if (!rc)
        rc = trainer_create(base->m, data->d, t->adapter.a, &t->options, checkpoint, &t->t, err);
    if (rc) {
        weft_trainer_free(&t);
        return rc;
    }
    plan->step_count = trainer_step_count(t->t);
    plan->steps_per_epoch = trainer_steps_per_epoch(t->t);
    *out = t;
    return WEFT_OK;
}

void weft_trainer_free(weft_trainer **handle) {
    weft_trainer *t = *handle;
    if (!t) return;
    trainer_free(&t->t);
    adapter_free(&t->adapter.a);
    free(t);
    *handle = NULL;
}

int weft_trainer_measure(weft_trainer *t, double *tokens_per_s, weft_error *err) {
    return trainer_measure(t->t, tokens_per_s, err);
}

int weft_trainer_resume(weft_trainer *t, weft_error *err) {
    return trainer_resume(t->t, err);
}

static int forward_event(void *context, const trainer_event *e) {
    static const weft_event_kind kinds[] = {WEFT_EVENT_STEP, WEFT_EVENT_EVALUATION,
                                            WEFT_EVENT_CHECKPOINT, WEFT_EVENT_RESUMED,
                                            WEFT_EVENT_EARLY_STOP};
    weft_trainer *t = context;
    weft_train_event event = {.kind = kinds[e->kind],
                              .step = e->step,
                              .step_count = e->step_count,
                              .epoch = e->epoch,
                              .loss = e->loss,
                              .best_loss = e->best_loss,
                              .replay_loss = e->replay_loss,
                              .grad_norm = e->grad_norm,
                              .rate = e->rate,
                              .tokens_per_s = e->tokens_per_s,
                              .seconds_left = e->seconds_left};
    return t->callback ? t->callback(t->callback_context, &event) : 0;
}

int weft_trainer_run(weft_trainer *t, weft_train_callback callback, void *context,
                     weft_error *err) {
    t->callback = callback;
    t->callback_context = context;
    return trainer_run(t->t, forward_event, t, err);
}

const weft_adapter *weft_trainer_adapter(const weft_trainer *t) {
    return &t->adapter;
}

weft_history weft_trainer_history(const weft_trainer *t) {
    trainer_history h = trainer_get_history(t->t);
    return (weft_history){.step_count = h.step_count,
                          .eval_count = h.eval_count,
                          .best_step = h.best_step,
                          .tokens_seen = h.tokens_seen,
                          .losses = h.losses,
                          .eval_steps = h.eval_steps,
                          .eval_losses = h.eval_losses,
                          .first_eval = h.first_eval,
                          .best_eval = h.best_eval};
}

uint64_t weft_model_fingerprint(const weft_model *base) {
    return trainer_model_fingerprint(base->m);
}

int weft_evaluate(const weft_model *base, const weft_dataset *data, bool held_out,
                  const weft_adapter *const *adapters, const float *scales, size_t count,
                  weft_evaluation *out, weft_error *err) {
    adapter_use uses[FORWARD_ADAPTERS_MAX];
    evaluation e;
    int64_t longest = dataset_window_max(data->d);
    int64_t micro = longest > DEFAULT_MICRO_TOKENS ? longest : DEFAULT_MICRO_TOKENS;
    uint64_t start = os_clock_ns();
    TRY(adapter_uses(adapters, scales, count, uses, err));
    TRY(evaluate_dataset(base->m, data->d, held_out, micro, base->smooth, uses, count, &e, err));
    *out = (weft_evaluation){.loss = e.loss_sum / (double)e.target_count,
                             .token_count = e.token_count,
                             .target_count = e.target_count,
                             .seconds = (double)(os_clock_ns() - start) * 1e-9};
    out->perplexity = exp(out->loss);
    return WEFT_OK;
}
