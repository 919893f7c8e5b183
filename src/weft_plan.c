/* The memory of a training run, part by part. All of it is arithmetic over the shapes, but for what
 * the process holds already when the plan is made. */
#include "weft_plan.h"

#include "backend/backend_scratch.h"
#include "base/os.h"

/* Of a thread: what the kernels keep on it. */
#define STACK_BYTES ((uint64_t)128 << 10)

static size_t adapter_floats(const config *c, const adapter_settings *shape) {
    size_t floats = 0;
    for (int t = 0; t < TARGET_COUNT; t++) {
        int64_t rows, cols;
        config_target_shape(c, (target)t, &rows, &cols);
        if (shape->targets >> t & 1)
            floats += (size_t)((rows + cols) * shape->rank * c->layer_count);
    }
    return floats;
}

/* Where memory comes as pages, what no micro-batch fills is never taken. */
static int64_t tokens_of(const plan_case *p, const plan_choice *choice) {
    bool less = choice->used_tokens && !p->base->on_gpu;
    return less ? choice->used_tokens : choice->micro_tokens;
}

static training_extent extent_of(const plan_case *p, const plan_choice *choice) {
    const struct model *m = p->base->m;
    const config *c = &m->cfg;
    training_extent e = {.tokens = tokens_of(p, choice),
                         .longest = choice->longest,
                         .heads = c->heads,
                         .kv_heads = c->kv_heads,
                         .head_dim = c->head_dim,
                         .rank = p->shape->rank,
                         .head = m->head,
                         .grade = p->inner->smooth ? PRECISION_FULL : PRECISION_ROUNDED};
    for (int t = 0; t < TARGET_COUNT; t++) {
        int64_t rows, cols;
        config_target_shape(c, (target)t, &rows, &cols);
        if (rows > e.widest_out) e.widest_out = rows;
        if (cols > e.widest_in) e.widest_in = cols;
    }
    return e;
}

/* What is resident now beside weights and data: the program, the tokenizer, the threads, what
 * reading the data left behind. Weights that the system has put aside may hide some of it. */
static uint64_t measure_base(const weft_model *base, uint64_t known) {
    os_trim();
    uint64_t now = os_rss_bytes();
    return (now > known ? now - known : 0) + STACK_BYTES * (uint64_t)backend_thread_count(base->be);
}

void plan_begin(const weft_model *base, const weft_dataset *data, const adapter_settings *shape,
                const trainer_options *inner, bool checkpoint, plan_case *p) {
    weft_model_info info;
    weft_model_get_info(base, &info);
    *p = (plan_case){.base = base,
                     .data = data->d,
                     .shape = shape,
                     .inner = inner,
                     .checkpoint = checkpoint,
                     .best = dataset_statistics(data->d).eval_windows > 0,
                     .longest = dataset_window_max(data->d),
                     .data_bytes = dataset_bytes(data->d),
                     .weight_bytes = base->on_gpu ? backend_bytes(base->be)
                                                  : info.mapped_bytes + info.resident_bytes,
                     .resident_bytes = info.resident_bytes,
                     .weight_count = info.ternary_count + info.dense_count,
                     .floats = adapter_floats(&base->m->cfg, shape)};
    if (inner->replay) {
        p->data_bytes += dataset_bytes(inner->replay);
        if (dataset_window_max(inner->replay) > p->longest)
            p->longest = dataset_window_max(inner->replay);
    }
    p->base_bytes = measure_base(base, (base->on_gpu ? 0 : p->weight_bytes) + p->data_bytes);
}

/* Of the head's scratch only the rows that there are get touched, where memory comes as pages. */
static size_t head_bytes(const plan_case *p, int64_t tokens) {
    const struct model *m = p->base->m;
    size_t all = head_loss_scratch_bytes(m->be, m->head);
    size_t used = (size_t)(tokens * m->cfg.vocab) * sizeof(float);
    return !p->base->on_gpu && used < all ? used : all;
}

static uint64_t weight_bytes(const plan_case *p, bool tight) {
    const struct model *m = p->base->m;
    if (!tight || m->packing == TERNARY_TIGHT) return p->weight_bytes;
    return p->weight_bytes - model_ternary_bytes(&m->cfg, TERNARY_FAST) +
           model_ternary_bytes(&m->cfg, TERNARY_TIGHT);
}

uint64_t plan_count(const plan_case *p, const plan_choice *choice, weft_plan *plan) {
    const struct model *m = p->base->m;
    const trainer_options *inner = p->inner;
    uint64_t flat = p->floats * sizeof(float), tokens = (uint64_t)tokens_of(p, choice);
    training_extent extent = extent_of(p, choice);
    step_options step = {.micro_tokens = (int64_t)tokens,
                         .positions_max = choice->longest,
                         .recompute = choice->recompute,
                         .smooth = inner->smooth,
                         .dropout = inner->dropout};
    size_t head = head_bytes(p, (int64_t)tokens);
    *plan = (weft_plan){.on_gpu = p->base->on_gpu,
                        .trainable_count = (int64_t)p->floats,
                        .trainable_share = (double)p->floats / (double)p->weight_count,
                        .micro_tokens = choice->micro_tokens,
                        .accumulate = choice->accumulate,
                        .context = choice->longest,
                        .packing = choice->tight ? WEFT_PACKING_TIGHT : WEFT_PACKING_FAST,
                        .recompute = choice->recompute,
                        .weight_bytes = weight_bytes(p, choice->tight),
                        .adapter_bytes = flat,
                        .optimiser_bytes = 3 * flat, /* gradients and two moments */
                        .activation_bytes = step_bytes(&m->cfg, p->shape, &step, head) - 3 * flat,
                        .data_bytes = p->data_bytes,
                        .base_bytes = p->base_bytes,
                        .scratch_bytes = backend_training_scratch_bytes(m->be, &extent),
                        .adapter_file_bytes = flat};
    /* The best parameters so far; the block that a checkpoint is written from (parameters and both
     * moments); a batch's arrays here and in the step. */
    plan->host_bytes =
        (p->best ? flat : 0) + (p->checkpoint ? 3 * flat : 0) + tokens * 8 * sizeof(int32_t);
    plan->total_bytes = plan->weight_bytes + plan->adapter_bytes + plan->optimiser_bytes +
                        plan->activation_bytes + plan->scratch_bytes;
    if (!plan->on_gpu) plan->total_bytes += plan->host_bytes + plan->data_bytes + plan->base_bytes;
    return plan->total_bytes;
}
