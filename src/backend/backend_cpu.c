/* The CPU backend: its life, memory, copies, the cutting of work, and the table. Buffers are plain
 * memory and weights are computed from where they lie; nothing is recorded. */
#include "backend/backend_cpu.h"

#include "base/os.h"

#include <stdio.h>

/* Multiply-adds that a chunk has at least: some microseconds, well above the cost of sharing it. */
#define CHUNK_WORK (1 << 17)
/* Chunks that each thread should get, so that the last one to finish is not far behind the first.
 */
#define CHUNKS_A_THREAD 5
/* Fewer tokens in a cell would not repay unpacking the weights for them. */
#define TOKEN_STEP_MIN 16

/* ---- spreading work ---- */

void *cpu_scratch(cpu_backend *cpu, const char *op, size_t bytes) {
    if (bytes <= cpu->scratch_bytes) return cpu->scratch;
    os_free(cpu->scratch);
    cpu->base.bytes -= cpu->scratch_bytes;
    cpu->scratch_bytes = 0;
    cpu->scratch = bytes <= PTRDIFF_MAX ? os_alloc(bytes) : NULL;
    if (!cpu->scratch) {
        backend_fail(&cpu->base, op, WEFT_ERR_MEMORY, "out of memory for %zu bytes of scratch",
                     bytes);
        return NULL;
    }
    cpu->scratch_bytes = bytes;
    cpu->base.bytes += bytes;
    return cpu->scratch;
}

/* How many items of this cost make a chunk. */
static int64_t grain_of(double cost) {
    return cost >= CHUNK_WORK ? 1 : (int64_t)(CHUNK_WORK / (cost > 1 ? cost : 1));
}

/* The same, but down to a quarter of it where every thread then gets some chunks. */
static int64_t shared_grain(const cpu_backend *cpu, int64_t items, double cost) {
    int64_t most = grain_of(cost), least = most > 4 ? most / 4 : 1;
    int64_t even = items / (CHUNKS_A_THREAD * pool_thread_count(cpu->threads));
    return even > most ? most : even < least ? least : even;
}

void cpu_run(cpu_backend *cpu, int64_t items, double cost, pool_body body, void *context) {
    pool_run(cpu->threads, items, shared_grain(cpu, items, cost), body, context);
}

typedef struct grid_run {
    const cpu_grid *grid;
    cpu_cell cell;
    const void *context;
    int64_t col_step, col_blocks, token_step;
} grid_run;

static int64_t block_count(int64_t count, int64_t step) {
    return (count - 1) / step + 1;
}

static int64_t block_end(int64_t begin, int64_t step, int64_t count) {
    return count - begin < step ? count : begin + step;
}

static void run_cells(void *context, int64_t begin, int64_t end, int worker) {
    const grid_run *run = context;
    const cpu_grid *g = run->grid;
    for (int64_t i = begin; i < end; i++) {
        int64_t col = i % run->col_blocks * run->col_step;
        int64_t token = i / run->col_blocks * run->token_step;
        run->cell(run->context, col, block_end(col, run->col_step, g->cols), token,
                  block_end(token, run->token_step, g->tokens), worker);
    }
}

void cpu_run_grid(cpu_backend *cpu, const cpu_grid *grid, cpu_cell cell, const void *context) {
    int64_t block_tokens = grid->tokens < grid->token_step ? grid->tokens : grid->token_step;
    int64_t least_cols = shared_grain(cpu, grid->cols, (double)grid->depth * (double)block_tokens);
    grid_run run = {.grid = grid, .cell = cell, .context = context, .token_step = grid->token_step};
    run.col_step = block_count(least_cols, grid->col_step) * grid->col_step;
    run.col_blocks = block_count(grid->cols, run.col_step);
    int64_t threads = pool_thread_count(cpu->threads), wanted = CHUNKS_A_THREAD * threads;
    while (threads > 1 && run.token_step >= 2 * TOKEN_STEP_MIN &&
           run.col_blocks * block_count(grid->tokens, run.token_step) < wanted)
        run.token_step /= 2;
    int64_t cells = run.col_blocks * block_count(grid->tokens, run.token_step);
    pool_run(cpu->threads, cells, 1, run_cells, &run);
}

/* ---- memory and copies ---- */

static int cpu_buffer_create(backend *be, buffer *b, weft_error *err) {
    b->memory = os_alloc(b->bytes);
    if (b->memory) return WEFT_OK;
    return err_set(err, WEFT_ERR_MEMORY,
                   "out of memory for a buffer of %zu bytes (%llu are in use)", b->bytes,
                   (unsigned long long)be->bytes);
}

static void cpu_buffer_free(backend *be, buffer *b) {
    (void)be;
    os_free(b->memory);
}

static int cpu_ternary_weight_create(backend *be, ternary_weight *w, weft_error *err) {
    (void)be, (void)w, (void)err;
    return WEFT_OK;
}

static void cpu_ternary_weight_free(backend *be, ternary_weight *w) {
    (void)be, (void)w;
}

static int cpu_dense_weight_create(backend *be, dense_weight *w, weft_error *err) {
    (void)be, (void)w, (void)err;
    return WEFT_OK;
}

static void cpu_dense_weight_free(backend *be, dense_weight *w) {
    (void)be, (void)w;
}

static void cpu_begin(backend *be) {
    (void)be;
}

static void cpu_submit(backend *be) {
    (void)be;
}

static void cpu_write(backend *be, view to, const void *data, size_t bytes) {
    (void)be;
    memcpy(cpu_at(to), data, bytes);
}

static void cpu_read(backend *be, view from, void *data, size_t bytes) {
    (void)be;
    memcpy(data, cpu_at(from), bytes);
}

static void cpu_copy(backend *be, view from, view to, size_t bytes) {
    (void)be;
    memcpy(cpu_at(to), cpu_at(from), bytes);
}

static void cpu_fill_zero(backend *be, view to, size_t bytes) {
    (void)be;
    memset(cpu_at(to), 0, bytes);
}

/* ---- life ---- */

static void cpu_destroy(backend *be) {
    cpu_backend *cpu = cpu_of(be);
    pool_free(&cpu->threads);
    os_free(cpu->scratch);
    os_free(cpu->unpacked);
    os_free(cpu);
}

static int cpu_thread_count(const backend *be) {
    return pool_thread_count(((const cpu_backend *)be)->threads);
}

static size_t cpu_training_scratch_bytes(const backend *be, const training_extent *e) {
    size_t threads = (size_t)cpu_thread_count(be), tokens = (size_t)e->tokens;
    /* The backward of attention: a thread's rows of scores, and where the documents begin. */
    int64_t a_thread = attention_backward_scratch_floats(e->longest);
    size_t attention =
        threads * round_up((size_t)a_thread, 16) * sizeof(float) + (tokens + 1) * sizeof(int32_t);
    /* The transposed product: gradients as 16-bit numbers, and a scale a row. */
    size_t rounded =
        tokens * (round_up((size_t)e->widest_out, 8) * sizeof(int16_t) + sizeof(float));
    /* A product before it is added to the residual stream. */
    size_t added = tokens * (size_t)(e->heads * e->head_dim) * sizeof(float);
    size_t most = attention > rounded ? attention : rounded;
    return most > added ? most : added;
}

static const backend_ops cpu_ops = {
    .destroy = cpu_destroy,
    .thread_count = cpu_thread_count,
    .training_scratch_bytes = cpu_training_scratch_bytes,
    .buffer_create = cpu_buffer_create,
    .buffer_free = cpu_buffer_free,
    .ternary_weight_create = cpu_ternary_weight_create,
    .ternary_weight_free = cpu_ternary_weight_free,
    .dense_weight_create = cpu_dense_weight_create,
    .dense_weight_free = cpu_dense_weight_free,
    .begin = cpu_begin,
    .submit = cpu_submit,
    .write = cpu_write,
    .read = cpu_read,
    .embed = cpu_embed,
    .rmsnorm = cpu_rmsnorm,
    .rmsnorm_backward = cpu_rmsnorm_backward,
    .quantise = cpu_quantise,
    .rmsnorm_quantise = cpu_rmsnorm_quantise,
    .ternary_matmul = cpu_ternary_matmul,
    .ternary_matmul_add = cpu_ternary_matmul_add,
    .ternary_matmul_lora = cpu_ternary_matmul_lora,
    .ternary_matmul_f32 = cpu_ternary_matmul_f32,
    .ternary_matmul_t = cpu_ternary_matmul_t,
    .dense_matmul = cpu_dense_matmul,
    .lora_down = cpu_lora_down,
    .lora_up = cpu_lora_up,
    .lora_backward = cpu_lora_backward,
    .dropout = cpu_dropout,
    .rope = cpu_rope,
    .rope_scatter = cpu_rope_scatter,
    .attention = cpu_attention,
    .attention_backward = cpu_attention_backward,
    .glu = cpu_glu,
    .glu_rmsnorm_quantise = cpu_glu_rmsnorm_quantise,
    .glu_backward = cpu_glu_backward,
    .head_loss_scratch_bytes = cpu_head_loss_scratch_bytes,
    .head_loss = cpu_head_loss,
    .add = cpu_add,
    .gather = cpu_gather,
    .scatter = cpu_scatter,
    .copy = cpu_copy,
    .fill_zero = cpu_fill_zero,
    .sum_squares = cpu_sum_squares,
    .adamw = cpu_adamw,
};

int backend_create_cpu(const backend_options *options, backend **out, weft_error *err) {
    const backend_options defaults = {.thread_count = 0, .cpu_mask = UINT32_MAX};
    if (!options) options = &defaults;
    *out = NULL;
    cpu_backend *cpu = os_alloc(sizeof *cpu);
    if (!cpu) return err_set(err, WEFT_ERR_MEMORY, "out of memory for the cpu backend");
    int rc = pool_create(options->thread_count, &cpu->threads, err);
    if (rc) {
        os_free(cpu);
        return rc;
    }
    cpu->base.ops = &cpu_ops;
    kernels_init(&cpu->k, options->cpu_mask);
    int threads = pool_thread_count(cpu->threads);
    snprintf(cpu->base.name, sizeof cpu->base.name, "cpu (%s, %d thread%s)", cpu->k.name, threads,
             threads == 1 ? "" : "s");
    *out = &cpu->base;
    return WEFT_OK;
}
