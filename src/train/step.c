/* One optimisation step. Memory: the inputs of every layer, then either all layers' activations or
 * one set that the backward fills again layer by layer (recomputation). */
#include "train/step.h"

#include "base/os.h"
#include "train/backward.h"

#include <math.h>
#include <stdlib.h>

struct train_step {
    const model *m;
    adapter *a;
    step_options o;
    int64_t layer_count;
    forward f;
    backward b;
    buffer *memory;
    buffer **acts_memory; /* one a layer, so that none is too large for a device; or one for all */
    layer_acts *acts;     /* one a layer, or all the same when recomputing */
    view *inputs;         /* layer_count + 1: (T, D) each; the last is the final hidden state */
    view final, dx;       /* (T, D) */
    view picked, d_picked, losses; /* rows that carry a loss */
    view head_scratch, norm_sum;
    view ids, positions, first, last, rows, targets;
    view gradients, moment1, moment2;
    float *host_losses;
    int32_t *host_rows; /* 2 * T: rows, targets */
};

/* Carve the work space but for the activations; with buf NULL only the size is wanted (then s needs
 * only o and layer_count). */
static size_t place(train_step *s, const config *c, size_t param_count, size_t head_bytes,
                    buffer *buf) {
    size_t tokens = (size_t)s->o.micro_tokens, array = tokens * sizeof(int32_t), at = 0;
    size_t rows = tokens * (size_t)c->hidden * sizeof(float), flat = param_count * sizeof(float);
    struct {
        view *at;
        size_t size;
    } pieces[] = {{&s->final, rows},    {&s->dx, rows},        {&s->picked, rows},
                  {&s->d_picked, rows}, {&s->losses, array},   {&s->head_scratch, head_bytes},
                  {&s->norm_sum, 8},    {&s->ids, array},      {&s->positions, array},
                  {&s->first, array},   {&s->last, array},     {&s->rows, array},
                  {&s->targets, array}, {&s->gradients, flat}, {&s->moment1, flat},
                  {&s->moment2, flat}};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        *pieces[i].at = (view){buf, at};
        at += round_up(pieces[i].size, 64);
    }
    for (int64_t i = 0; i <= s->layer_count; i++, at += round_up(rows, 64))
        if (s->inputs) s->inputs[i] = (view){buf, at};
    return at;
}

/* How many layers' activations exist at once. */
static int64_t acts_count(const train_step *s) {
    return s->o.recompute ? 1 : s->layer_count;
}

static size_t acts_bytes(const train_step *s, const config *c, int32_t rank) {
    layer_acts unused;
    return acts_place(c, s->o.micro_tokens, rank, false, NULL, 0, &unused);
}

static int allocate_acts(train_step *s, int32_t rank, weft_error *err) {
    const config *c = &s->m->cfg;
    for (int64_t i = 0; i < acts_count(s); i++)
        TRY(buffer_create(s->m->be, acts_bytes(s, c, rank), &s->acts_memory[i], err));
    for (int64_t i = 0; i < s->layer_count; i++) {
        buffer *memory = s->acts_memory[s->o.recompute ? 0 : i];
        acts_place(c, s->o.micro_tokens, rank, false, memory, 0, &s->acts[i]);
        s->acts[i].in = s->inputs[i];
    }
    return WEFT_OK;
}

static forward_options scratch_options(const step_options *o, int32_t rank) {
    return (forward_options){.tokens_max = o->micro_tokens,
                             .positions_max = o->positions_max,
                             .rank_max = rank,
                             .smooth = o->smooth,
                             .dropout = o->dropout > 0};
}

size_t step_bytes(const config *c, const adapter_settings *shape, const step_options *o,
                  size_t head_bytes) {
    train_step s = {.o = *o, .layer_count = o->layer_count ? o->layer_count : c->layer_count};
    size_t params = 0;
    for (int t = 0; t < TARGET_COUNT; t++) {
        int64_t rows, cols;
        config_target_shape(c, (target)t, &rows, &cols);
        if (shape->targets >> t & 1) params += (size_t)((rows + cols) * shape->rank);
    }
    params *= (size_t)c->layer_count;
    forward_options options = scratch_options(o, shape->rank);
    return place(&s, c, params, head_bytes, NULL) +
           (size_t)acts_count(&s) * acts_bytes(&s, c, shape->rank) +
           forward_scratch_bytes(c, &options) +
           backward_scratch_bytes(c, o->micro_tokens, shape->rank, o->dropout > 0);
}

static int32_t rank_of(const adapter *a) {
    int32_t rank = 0;
    for (int64_t i = 0; i < a->layer_count * TARGET_COUNT; i++)
        if (a->pairs[i].rank > rank) rank = a->pairs[i].rank;
    return rank;
}

static int allocate(train_step *s, weft_error *err) {
    const config *c = &s->m->cfg;
    size_t layers = (size_t)s->layer_count, tokens = (size_t)s->o.micro_tokens;
    size_t head_bytes = head_loss_scratch_bytes(s->m->be, s->m->head);
    int32_t rank = rank_of(s->a);
    s->acts = calloc(layers, sizeof *s->acts);
    s->acts_memory = calloc(layers, sizeof *s->acts_memory);
    s->inputs = calloc(layers + 1, sizeof *s->inputs);
    s->host_losses = malloc(tokens * sizeof(float));
    s->host_rows = malloc(tokens * 2 * sizeof(int32_t));
    if (!s->acts || !s->acts_memory || !s->inputs || !s->host_losses || !s->host_rows)
        return err_set(err, WEFT_ERR_MEMORY, "out of memory for the training step");
    size_t size = place(s, c, s->a->param_count, head_bytes, NULL);
    TRY(buffer_create(s->m->be, size, &s->memory, err));
    place(s, c, s->a->param_count, head_bytes, s->memory);
    TRY(allocate_acts(s, rank, err));
    forward_options options = scratch_options(&s->o, rank);
    TRY(forward_create(s->m, &options, &s->f, err));
    s->f.trained = s->a;
    s->f.layer_count = s->layer_count;
    s->f.dropout = s->o.dropout;
    return backward_create(&s->f, s->gradients, rank, &s->b, err);
}

int train_step_create(const model *m, adapter *a, const step_options *o, train_step **out,
                      weft_error *err) {
    *out = NULL;
    if (o->micro_tokens < 1 || o->positions_max < 1)
        return err_set(err, WEFT_ERR_ARGUMENT, "a micro-batch needs at least one token");
    if (o->layer_count < 0 || o->layer_count > m->cfg.layer_count)
        return err_set(err, WEFT_ERR_ARGUMENT, "%lld layers asked for; the model has %lld",
                       (long long)o->layer_count, (long long)m->cfg.layer_count);
    train_step *s = calloc(1, sizeof *s);
    if (!s) return err_set(err, WEFT_ERR_MEMORY, "out of memory");
    s->m = m;
    s->a = a;
    s->o = *o;
    s->layer_count = o->layer_count ? o->layer_count : m->cfg.layer_count;
    int rc = allocate(s, err);
    if (rc) train_step_free(&s);
    *out = s;
    return rc;
}

void train_step_free(train_step **handle) {
    train_step *s = *handle;
    if (!s) return;
    backward_destroy(&s->b);
    for (int64_t i = 0; s->acts_memory && i < s->layer_count; i++)
        buffer_free(s->m->be, &s->acts_memory[i]);
    buffer_free(s->m->be, &s->memory);
    forward_destroy(&s->f);
    free(s->acts);
    free(s->acts_memory);
    free(s->inputs);
    free(s->host_losses);
    free(s->host_rows);
    free(s);
    *handle = NULL;
}

/* Send the tokens; returns how many rows carry a loss, listed in s->rows with their targets. */
static int64_t upload(train_step *s, const micro_batch *b, token_batch *batch) {
    backend *be = s->m->be;
    size_t size = (size_t)b->tokens * sizeof(int32_t);
    int32_t *rows = s->host_rows, *targets = rows + s->o.micro_tokens;
    int64_t count = 0;
    for (int64_t i = 0; i < b->tokens; i++) {
        if (b->targets[i] < 0) continue;
        rows[count] = (int32_t)i;
        targets[count++] = b->targets[i];
    }
    backend_write(be, s->ids, b->ids, size);
    backend_write(be, s->positions, b->positions, size);
    backend_write(be, s->first, b->first, size);
    backend_write(be, s->last, b->last, size);
    backend_write(be, s->rows, rows, (size_t)count * sizeof(int32_t));
    backend_write(be, s->targets, targets, (size_t)count * sizeof(int32_t));
    *batch = (token_batch){.tokens = b->tokens,
                           .ids = s->ids,
                           .positions = s->positions,
                           .first = s->first,
                           .last = s->last};
    return count;
}

/* Forward to the losses of the counted rows; grad_scale 1 also gives their gradient in d_picked. */
static void forward_to_loss(train_step *s, const token_batch *batch, int64_t count,
                            float grad_scale) {
    const config *c = &s->m->cfg;
    forward_embed(&s->f, batch, s->inputs[0]);
    for (int64_t i = 0; i < s->layer_count; i++)
        forward_layer(&s->f, i, batch, &s->acts[i], NULL, s->inputs[i + 1]);
    forward_final_norm(&s->f, s->inputs[s->layer_count], batch->tokens, s->final);
    op_gather(s->m->be, s->final, batch->tokens, s->rows, count, c->hidden, s->picked);
    op_head_loss(s->m->be, s->m->head, s->picked, s->targets, count, grad_scale,
                 forward_precision(&s->f), s->losses, s->d_picked, s->head_scratch);
}

static void backward_from_loss(train_step *s, const token_batch *batch, int64_t count) {
    const config *c = &s->m->cfg;
    backend *be = s->m->be;
    view d_final = s->final; /* its values are no longer needed */
    op_fill_zero(be, d_final, (size_t)(batch->tokens * c->hidden) * sizeof(float));
    op_scatter(be, s->d_picked, s->rows, count, c->hidden, d_final, batch->tokens);
    op_rmsnorm_backward(be, s->inputs[s->layer_count], s->m->output_norm, d_final, batch->tokens,
                        c->hidden, c->norm_epsilon, s->dx, false);
    for (int64_t i = s->layer_count - 1; i >= 0; i--) {
        /* The topmost layer's activations are still there from the forward pass; a recomputed
         * layer writes its output where the next input was, which is no longer needed. */
        if (s->o.recompute && i < s->layer_count - 1)
            forward_layer(&s->f, i, batch, &s->acts[i], NULL, s->inputs[i + 1]);
        backward_layer(&s->b, i, batch, &s->acts[i], s->dx, i == 0);
    }
}

static int run(train_step *s, const micro_batch *b, bool train, double *loss_sum, weft_error *err) {
    *loss_sum = 0;
    if (b->tokens > s->o.micro_tokens)
        return err_set(err, WEFT_ERR_ARGUMENT, "a micro-batch of %lld tokens; at most %lld",
                       (long long)b->tokens, (long long)s->o.micro_tokens);
    token_batch batch;
    backend_begin(s->m->be);
    int64_t count = upload(s, b, &batch);
    if (count == 0) return backend_submit(s->m->be, err);
    forward_to_loss(s, &batch, count, train ? 1.0f : 0.0f);
    if (train) backward_from_loss(s, &batch, count);
    weft_error late;
    int rc = backend_read(s->m->be, s->losses, s->host_losses, (size_t)count * sizeof(float), err);
    int submitted = backend_submit(s->m->be, rc ? &late : err);
    if (!rc) rc = submitted;
    if (rc) return rc;
    for (int64_t i = 0; i < count; i++) *loss_sum += (double)s->host_losses[i];
    if (!isfinite(*loss_sum))
        return err_set(err, WEFT_ERR_NUMERIC,
                       "the loss is not a number: lower the learning rate, or check the data");
    return WEFT_OK;
}

int train_step_accumulate(train_step *s, const micro_batch *b, uint64_t dropout_seed,
                          double *loss_sum, weft_error *err) {
    s->f.dropout = s->o.dropout;
    s->f.dropout_seed = dropout_seed;
    return run(s, b, true, loss_sum, err);
}

void train_step_discard(train_step *s) {
    backend_begin(s->m->be);
    op_fill_zero(s->m->be, s->gradients, s->a->param_count * sizeof(float));
    backend_submit(s->m->be, NULL);
}

int train_step_evaluate(train_step *s, const micro_batch *b, double *loss_sum, weft_error *err) {
    s->f.dropout = 0;
    return run(s, b, false, loss_sum, err);
}

int train_step_update(train_step *s, const optimiser_settings *o, int64_t update,
                      int64_t target_count, double *grad_norm, weft_error *err) {
    backend *be = s->m->be;
    int64_t n = (int64_t)s->a->param_count;
    float sum[2];
    backend_begin(be);
    op_sum_squares(be, s->gradients, n, s->norm_sum);
    int rc = backend_read(be, s->norm_sum, sum, sizeof sum, err);
    *grad_norm = rc ? 0 : sqrt((double)sum[0] + (double)sum[1]) / (double)target_count;
    if (!rc && !isfinite(*grad_norm))
        rc = err_set(err, WEFT_ERR_NUMERIC,
                     "the gradient is not finite: lower the learning rate, or check the data");
    if (!rc) {
        double scale = 1.0 / (double)target_count;
        if (o->clip > 0 && *grad_norm > o->clip) scale *= (double)o->clip / *grad_norm;
        adamw_settings settings = {
            .rate = o->rate,
            .beta1 = o->beta1,
            .beta2 = o->beta2,
            .epsilon = o->epsilon,
            .weight_decay = o->weight_decay,
            .correction1 = (float)(1 - pow((double)o->beta1, (double)update)),
            .correction2 = (float)(1 - pow((double)o->beta2, (double)update)),
            .grad_scale = (float)scale};
        op_adamw(be, &settings, n, view_of(s->a->params), s->gradients, s->moment1, s->moment2);
        op_fill_zero(be, s->gradients, (size_t)n * sizeof(float));
    }
    weft_error late;
    int submitted = backend_submit(be, rc ? &late : err);
    return rc ? rc : submitted;
}

static int read_flat(train_step *s, view from, float *out, weft_error *err) {
    return backend_read(s->m->be, from, out, s->a->param_count * sizeof(float), err);
}

int train_step_get_moments(train_step *s, float *m, float *v, weft_error *err) {
    TRY(read_flat(s, s->moment1, m, err));
    return read_flat(s, s->moment2, v, err);
}

void train_step_set_moments(train_step *s, const float *m, const float *v) {
    backend_write(s->m->be, s->moment1, m, s->a->param_count * sizeof(float));
    backend_write(s->m->be, s->moment2, v, s->a->param_count * sizeof(float));
}

int train_step_get_gradients(train_step *s, float *gradients, weft_error *err) {
    return read_flat(s, s->gradients, gradients, err);
}
