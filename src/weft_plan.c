/* The plan of a training run: what it will take, part by part. All of it is arithmetic over the
 * shapes, but for what the process holds already when the plan is made. */
#include "weft_impl.h"

#include "backend/backend_scratch.h"
#include "backend/backend_vk.h"
#include "base/os.h"

#define DEFAULT_MEMORY_BYTES (UINT64_C(192) << 20)
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

static training_extent extent_of(const struct model *m, const adapter_settings *shape,
                                 const trainer_options *inner, int64_t longest) {
    const config *c = &m->cfg;
    training_extent e = {.tokens = inner->micro_tokens,
                         .longest = longest,
                         .heads = c->heads,
                         .kv_heads = c->kv_heads,
                         .head_dim = c->head_dim,
                         .rank = shape->rank,
                         .head = m->head,
                         .grade = inner->smooth ? PRECISION_FULL : PRECISION_ROUNDED};
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
static uint64_t measure_base(const weft_plan *plan, int thread_count) {
    uint64_t known = (plan->on_gpu ? 0 : plan->weight_bytes) + plan->data_bytes;
    os_trim();
    uint64_t now = os_rss_bytes();
    return (now > known ? now - known : 0) + STACK_BYTES * (uint64_t)thread_count;
}

static void count_activations(const struct model *m, const adapter_settings *shape,
                              const step_options *step, weft_plan *plan) {
    size_t head = head_loss_scratch_bytes(m->be, m->head);
    plan->recompute = step->recompute;
    plan->activation_bytes = step_bytes(&m->cfg, shape, step, head) - plan->optimiser_bytes;
    plan->total_bytes = plan->weight_bytes + plan->adapter_bytes + plan->optimiser_bytes +
                        plan->activation_bytes + plan->scratch_bytes;
    if (!plan->on_gpu) plan->total_bytes += plan->host_bytes + plan->data_bytes + plan->base_bytes;
}

/* Memory beside the weights that may be planned with. */
static uint64_t budget_of(const weft_model *base, const plan_wishes *wishes) {
    if (wishes->memory_bytes) return wishes->memory_bytes;
    if (!base->on_gpu) return DEFAULT_MEMORY_BYTES;
    uint64_t free_bytes = backend_free_bytes(base->be), held = backend_bytes(base->be);
    uint64_t all = backend_vk_info(base->be)->memory_bytes;
    if (!free_bytes && all > held) free_bytes = all - held;
    return free_bytes - free_bytes / 8; /* the driver takes some */
}

int plan_check(const weft_model *base, const weft_plan *plan, weft_error *err) {
    uint64_t left = backend_free_bytes(base->be), need = plan->total_bytes - plan->weight_bytes;
    if (!plan->on_gpu || !left || need <= left) return WEFT_OK;
    return err_set(err, WEFT_ERR_MEMORY,
                   "the run takes %llu MiB on %s beside the weights, and %llu MiB are free: choose "
                   "a smaller --batch, --context or --rank%s, or --device cpu",
                   (unsigned long long)(need >> 20), backend_name(base->be),
                   (unsigned long long)(left >> 20), plan->recompute ? "" : ", --recompute on");
}

void plan_make(const weft_model *base, const weft_dataset *data, const adapter_settings *shape,
               const plan_wishes *wishes, trainer_options *inner, weft_plan *plan) {
    const struct model *m = base->m;
    const config *c = &m->cfg;
    int64_t longest = dataset_window_max(data->d);
    if (inner->replay && dataset_window_max(inner->replay) > longest)
        longest = dataset_window_max(inner->replay);
    step_options step = {.micro_tokens = inner->micro_tokens,
                         .positions_max = longest,
                         .smooth = inner->smooth,
                         .dropout = inner->dropout};
    weft_model_info info;
    weft_model_get_info(base, &info);
    size_t floats = adapter_floats(c, shape);
    uint64_t flat = floats * sizeof(float), tokens = (uint64_t)inner->micro_tokens;
    training_extent extent = extent_of(m, shape, inner, longest);
    bool best = dataset_statistics(data->d).eval_windows > 0;
    *plan = (weft_plan){
        .trainable_count = (int64_t)floats,
        .trainable_share = (double)floats / (double)(info.ternary_count + info.dense_count),
        .on_gpu = base->on_gpu,
        .weight_bytes =
            base->on_gpu ? backend_bytes(m->be) : info.mapped_bytes + info.resident_bytes,
        .adapter_bytes = flat,
        .optimiser_bytes = 3 * flat, /* gradients and two moments */
        .data_bytes = dataset_bytes(data->d) + (inner->replay ? dataset_bytes(inner->replay) : 0),
        .scratch_bytes = backend_training_scratch_bytes(m->be, &extent),
        .adapter_file_bytes = flat};
    /* The best parameters so far; the block that a checkpoint is written from (parameters and both
     * moments); a batch's arrays here and in the step. */
    plan->host_bytes =
        (best ? flat : 0) + (wishes->checkpoint ? 3 * flat : 0) + tokens * 8 * sizeof(int32_t);
    plan->base_bytes = measure_base(plan, backend_thread_count(m->be));
    uint64_t budget = budget_of(base, wishes);
    step.recompute = wishes->recompute == WEFT_RECOMPUTE_ON;
    count_activations(m, shape, &step, plan);
    if (wishes->recompute == WEFT_RECOMPUTE_AUTO &&
        plan->total_bytes - plan->weight_bytes > budget) {
        step.recompute = true;
        count_activations(m, shape, &step, plan);
    }
    inner->recompute = step.recompute;
    /* Reading the data may have taken more than the run will. */
    uint64_t peak = os_peak_rss_bytes();
    if (!plan->on_gpu && peak > plan->total_bytes) plan->total_bytes = peak;
}
