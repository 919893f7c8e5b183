/* Forward-only loss over packed windows. */
#include "train/evaluate.h"

#include "base/os.h"

#include <math.h>
#include <stdlib.h>

typedef struct evaluator {
    forward f;
    buffer *memory;
    layer_acts acts;
    view x, picked, losses, head_scratch, ids, positions, first, last, rows, targets;
    micro_batch batch;
    float *host_losses;
    int32_t *host_rows, *host_targets;
} evaluator;

static size_t place(evaluator *e, const model *m, int64_t tokens, buffer *buf) {
    size_t rows = (size_t)(tokens * m->cfg.hidden) * sizeof(float);
    size_t array = (size_t)tokens * sizeof(int32_t), at = 0;
    struct {
        view *at;
        size_t size;
    } pieces[] = {{&e->x, rows},       {&e->picked, rows},
                  {&e->losses, array}, {&e->head_scratch, head_loss_scratch_bytes(m->be, m->head)},
                  {&e->ids, array},    {&e->positions, array},
                  {&e->first, array},  {&e->last, array},
                  {&e->rows, array},   {&e->targets, array}};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        *pieces[i].at = (view){buf, at};
        at += round_up(pieces[i].size, 64);
    }
    at += acts_place(&m->cfg, tokens, 0, true, buf, at, &e->acts);
    e->acts.in = e->acts.mid = e->x;
    return at;
}

static int create(evaluator *e, const model *m, int64_t tokens, bool smooth,
                  const adapter_use *uses, size_t use_count, weft_error *err) {
    forward_options options = {
        .tokens_max = tokens, .positions_max = tokens, .smooth = smooth, .rank_max = 1};
    for (size_t i = 0; i < use_count; i++) {
        if (uses[i].adapter->layer_count != m->cfg.layer_count)
            return err_set(err, WEFT_ERR_ARGUMENT, "adapter %zu is for a model of %lld layers",
                           i + 1, (long long)uses[i].adapter->layer_count);
        for (int64_t p = 0; p < uses[i].adapter->layer_count * TARGET_COUNT; p++)
            if (uses[i].adapter->pairs[p].rank > options.rank_max)
                options.rank_max = uses[i].adapter->pairs[p].rank;
    }
    TRY(forward_create(m, &options, &e->f, err));
    for (size_t i = 0; i < use_count; i++) e->f.uses[i] = uses[i];
    e->f.use_count = use_count;
    TRY(buffer_create(m->be, place(e, m, tokens, NULL), &e->memory, err));
    place(e, m, tokens, e->memory);
    TRY(micro_batch_create(tokens, &e->batch, err));
    e->host_losses = malloc((size_t)tokens * sizeof(float));
    e->host_rows = malloc((size_t)tokens * sizeof(int32_t));
    e->host_targets = malloc((size_t)tokens * sizeof(int32_t));
    if (!e->host_losses || !e->host_rows || !e->host_targets)
        return err_set(err, WEFT_ERR_MEMORY, "out of memory for the evaluation");
    return WEFT_OK;
}

static void destroy(evaluator *e) {
    if (e->f.be) buffer_free(e->f.be, &e->memory);
    forward_destroy(&e->f);
    micro_batch_destroy(&e->batch);
    free(e->host_losses);
    free(e->host_rows);
    free(e->host_targets);
}

static void record(evaluator *e, int64_t count) {
    const micro_batch *b = &e->batch;
    backend *be = e->f.be;
    const config *c = &e->f.m->cfg;
    size_t size = (size_t)b->tokens * sizeof(int32_t), picked = (size_t)count * sizeof(int32_t);
    backend_write(be, e->ids, b->ids, size);
    backend_write(be, e->positions, b->positions, size);
    backend_write(be, e->first, b->first, size);
    backend_write(be, e->last, b->last, size);
    backend_write(be, e->rows, e->host_rows, picked);
    backend_write(be, e->targets, e->host_targets, picked);
    token_batch batch = {.tokens = b->tokens,
                         .ids = e->ids,
                         .positions = e->positions,
                         .first = e->first,
                         .last = e->last};
    forward_embed(&e->f, &batch, e->x);
    for (int64_t i = 0; i < c->layer_count; i++)
        forward_layer(&e->f, i, &batch, &e->acts, NULL, e->x);
    forward_final_norm(&e->f, e->x, b->tokens, e->x);
    op_gather(be, e->x, b->tokens, e->rows, count, c->hidden, e->picked);
    op_head_loss(be, e->f.m->head, e->picked, e->targets, count, 0, forward_precision(&e->f),
                 e->losses, e->picked, e->head_scratch);
}

static int evaluate_batch(evaluator *e, evaluation *out, weft_error *err) {
    int64_t count = 0;
    weft_error late;
    for (int64_t i = 0; i < e->batch.tokens; i++) {
        if (e->batch.targets[i] < 0) continue;
        e->host_rows[count] = (int32_t)i;
        e->host_targets[count++] = e->batch.targets[i];
    }
    out->token_count += e->batch.tokens;
    out->target_count += count;
    if (count == 0) return WEFT_OK;
    backend_begin(e->f.be);
    record(e, count);
    int rc = backend_read(e->f.be, e->losses, e->host_losses, (size_t)count * sizeof(float), err);
    int submitted = backend_submit(e->f.be, rc ? &late : err);
    if (rc || submitted) return rc ? rc : submitted;
    for (int64_t i = 0; i < count; i++) out->loss_sum += (double)e->host_losses[i];
    if (!isfinite(out->loss_sum)) return err_set(err, WEFT_ERR_NUMERIC, "the loss is not a number");
    return WEFT_OK;
}

int evaluate_dataset(const model *m, const dataset *d, bool held_out, int64_t micro_tokens,
                     bool smooth, const adapter_use *uses, size_t use_count, evaluation *out,
                     weft_error *err) {
    evaluator e = {0};
    epoch_plan plan = {0};
    *out = (evaluation){0};
    int rc = create(&e, m, micro_tokens, smooth, uses, use_count, err);
    for (int64_t i = 0; !rc && dataset_fill_eval(d, i, micro_tokens, &e.batch); i++)
        rc = evaluate_batch(&e, out, err);
    if (!rc && !held_out) rc = epoch_plan_create(d, 0, 0, micro_tokens, &plan, err);
    for (int64_t i = 0; !rc && i < plan.micro_count; i++) {
        dataset_fill(d, &plan, i, &e.batch);
        rc = evaluate_batch(&e, out, err);
    }
    if (!rc && out->target_count == 0)
        rc = err_set(err, WEFT_ERR_ARGUMENT, "nothing to evaluate: no document is held out");
    epoch_plan_destroy(&plan);
    destroy(&e);
    return rc;
}
