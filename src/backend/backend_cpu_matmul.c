/* CPU products: ternary and dense matrices, LoRA, and the cross-entropy through the head. */
#include "backend/backend_cpu.h"

/* Tokens of a cell of a big product: their activations stay in a core's cache while rows of the
 * weight stream past, and each unpacked row serves them all. */
#define TOKEN_BLOCK   64
#define ROW_BLOCK     64
#define ROW_BLOCK_ONE 16 /* for one token, so that many threads get as much each */
/* Tokens of a cell of a product with a LoRA matrix, whose few rows stay together. */
#define LORA_TOKEN_BLOCK 16
#define LORA_ROW_BLOCK   64
/* Tokens whose logits exist at once: few, because they take memory, but each pass over them
 * converts the whole head. */
#define LOSS_TOKENS_MIN 64
#define LOSS_TOKENS_MAX 256
#define LOSS_BYTES      (8 << 20)
/* Columns of a cell of the product with the transposed head: whole blocks of its encoding, and
 * wide where threads are few, because rows cut short are slow to read from memory. */
#define HEAD_COL_BLOCK       256
#define HEAD_BLOCKS_A_THREAD 2

/* ---- rounded activations: int8 (T, padded n), float scale (T), int32 sum (T) ---- */

typedef struct quantised {
    int8_t *q;
    float *scale;
    int32_t *sum;
    int64_t padded;
} quantised;

static quantised quantised_at(view v, int64_t tokens, int64_t n) {
    quantised a = {.q = cpu_at(v), .padded = ternary_padded(n)};
    a.scale = (float *)(void *)(a.q + tokens * a.padded);
    a.sum = (int32_t *)(void *)(a.scale + tokens);
    return a;
}

typedef struct quantise_call {
    const kernels *k;
    const float *x;
    int64_t n;
    quantised out;
    const float *gamma; /* NULL: no norm before it */
    float eps, *y;
    const float *up; /* NULL: x is the input; else a gate, and unit what it makes of up */
    activation act;
    float *unit;
} quantise_call;

static void quantise_rows(void *context, int64_t begin, int64_t end, int worker) {
    const quantise_call *c = context;
    (void)worker;
    for (int64_t t = begin; t < end; t++) {
        const float *x = c->x + t * c->n;
        if (c->up) {
            c->k->glu(c->act, x, c->up + t * c->n, c->n, c->unit + t * c->n);
            x = c->unit + t * c->n;
        }
        if (c->gamma) {
            float *y = c->y + t * c->n;
            c->k->rmsnorm_row(x, c->gamma, c->n, c->eps, y);
            x = y;
        }
        c->k->quantise_row(x, c->n, c->out.q + t * c->out.padded, &c->out.scale[t], &c->out.sum[t]);
    }
}

void cpu_quantise(backend *be, view x, int64_t tokens, int64_t n, view q8) {
    cpu_backend *cpu = cpu_of(be);
    quantise_call call = {
        .k = &cpu->k, .x = cpu_floats(x), .n = n, .out = quantised_at(q8, tokens, n)};
    cpu_run(cpu, tokens, 4.0 * (double)n, quantise_rows, &call);
}

void cpu_glu_rmsnorm_quantise(backend *be, activation act, view gate, view up, view gamma,
                              int64_t tokens, int64_t n, float eps, view out, view y, view q8) {
    cpu_backend *cpu = cpu_of(be);
    quantise_call call = {.k = &cpu->k,
                          .x = cpu_floats(gate),
                          .n = n,
                          .out = quantised_at(q8, tokens, n),
                          .gamma = cpu_floats(gamma),
                          .eps = eps,
                          .y = cpu_floats(y),
                          .up = cpu_floats(up),
                          .act = act,
                          .unit = cpu_floats(out)};
    cpu_run(cpu, tokens, 12.0 * (double)n, quantise_rows, &call);
}

void cpu_rmsnorm_quantise(backend *be, view x, view gamma, int64_t tokens, int64_t n, float eps,
                          view y, view q8) {
    cpu_backend *cpu = cpu_of(be);
    quantise_call call = {.k = &cpu->k,
                          .x = cpu_floats(x),
                          .n = n,
                          .out = quantised_at(q8, tokens, n),
                          .gamma = cpu_floats(gamma),
                          .eps = eps,
                          .y = cpu_floats(y)};
    cpu_run(cpu, tokens, 8.0 * (double)n, quantise_rows, &call);
}

/* ---- ternary ---- */

typedef struct ternary_call {
    const kernels *k;
    const ternary_matrix *w;
    weight_parts parts;
    quantised in;   /* ternary_matmul */
    const float *x; /* the others */
    float *y;
    bool add;
} ternary_call;

static int64_t row_block(int64_t tokens) {
    return tokens > 1 ? ROW_BLOCK : ROW_BLOCK_ONE;
}

static cpu_grid weight_grid(int64_t cols, int64_t col_step, int64_t tokens, int64_t depth) {
    return (cpu_grid){cols, col_step, tokens, TOKEN_BLOCK, depth};
}

static void ternary_cell(const void *context, int64_t row_begin, int64_t row_end,
                         int64_t token_begin, int64_t token_end, int worker) {
    const ternary_call *c = context;
    weight_part p = cpu_part_begin(row_begin, row_end, worker);
    while (cpu_part_next(&c->parts, &p))
        c->k->ternary_matmul(&p.w, p.begin, p.end, c->in.q + token_begin * c->in.padded,
                             c->in.scale + token_begin, c->in.sum + token_begin,
                             token_end - token_begin, c->y + token_begin * c->w->rows + p.offset,
                             c->w->rows);
}

static void ternary_product(cpu_backend *cpu, const char *op, const ternary_matrix *m, view q8,
                            int64_t tokens, float *y) {
    ternary_call call = {.k = &cpu->k, .w = m, .in = quantised_at(q8, tokens, m->cols), .y = y};
    if (!cpu_parts_by_rows(cpu, op, m, tokens, &call.parts)) return;
    cpu_grid grid = weight_grid(m->rows, row_block(tokens), tokens, m->cols);
    cpu_run_grid(cpu, &grid, ternary_cell, &call);
}

void cpu_ternary_matmul(backend *be, const ternary_weight *w, view q8, int64_t tokens, view y) {
    ternary_product(cpu_of(be), "op_ternary_matmul", &w->matrix, q8, tokens, cpu_floats(y));
}

typedef struct sum_call {
    const kernels *k;
    const float *a, *b;
    float *out;
    int64_t n;
} sum_call;

static void sum_rows(void *context, int64_t begin, int64_t end, int worker) {
    const sum_call *c = context;
    (void)worker;
    c->k->add(c->a + begin * c->n, c->b + begin * c->n, (end - begin) * c->n,
              c->out + begin * c->n);
}

void cpu_ternary_matmul_add(backend *be, const ternary_weight *w, view q8, int64_t tokens,
                            view base, view y) {
    cpu_backend *cpu = cpu_of(be);
    int64_t rows = w->matrix.rows;
    float *product =
        cpu_scratch(cpu, "op_ternary_matmul_add", (size_t)(tokens * rows) * sizeof(float));
    if (!product) return;
    ternary_product(cpu, "op_ternary_matmul_add", &w->matrix, q8, tokens, product);
    if (backend_has_failed(be)) return;
    sum_call call = {&cpu->k, cpu_floats(base), product, cpu_floats(y), rows};
    cpu_run(cpu, tokens, (double)rows, sum_rows, &call);
}

static void ternary_f32_cell(const void *context, int64_t row_begin, int64_t row_end,
                             int64_t token_begin, int64_t token_end, int worker) {
    const ternary_call *c = context;
    weight_part p = cpu_part_begin(row_begin, row_end, worker);
    while (cpu_part_next(&c->parts, &p))
        c->k->ternary_matmul_f32(&p.w, p.begin, p.end, c->x + token_begin * c->w->cols, c->w->cols,
                                 token_end - token_begin,
                                 c->y + token_begin * c->w->rows + p.offset, c->w->rows);
}

void cpu_ternary_matmul_f32(backend *be, const ternary_weight *w, view x, int64_t tokens, view y) {
    cpu_backend *cpu = cpu_of(be);
    const ternary_matrix *m = &w->matrix;
    ternary_call call = {.k = &cpu->k, .w = m, .x = cpu_floats(x), .y = cpu_floats(y)};
    if (!cpu_parts_by_rows(cpu, "op_ternary_matmul_f32", m, tokens, &call.parts)) return;
    cpu_grid grid = weight_grid(m->rows, row_block(tokens), tokens, m->cols);
    cpu_run_grid(cpu, &grid, ternary_f32_cell, &call);
}

static void ternary_t_cell(const void *context, int64_t col_begin, int64_t col_end,
                           int64_t token_begin, int64_t token_end, int worker) {
    const ternary_call *c = context;
    weight_part p = cpu_part_begin(col_begin, col_end, worker);
    while (cpu_part_next(&c->parts, &p))
        c->k->ternary_matmul_t(&p.w, p.begin, p.end, c->x + token_begin * c->w->rows, c->w->rows,
                               token_end - token_begin, c->y + token_begin * c->w->cols + p.offset,
                               c->w->cols, c->add);
}

static void ternary_t_full(cpu_backend *cpu, const ternary_weight *w, view dy, int64_t tokens,
                           view dx, bool add) {
    const ternary_matrix *m = &w->matrix;
    ternary_call call = {
        .k = &cpu->k, .w = m, .x = cpu_floats(dy), .y = cpu_floats(dx), .add = add};
    if (!cpu_parts_by_cols(cpu, "op_ternary_matmul_t", m, &call.parts)) return;
    cpu_grid grid = weight_grid(m->cols, TERNARY_BLOCK, tokens, m->rows);
    cpu_run_grid(cpu, &grid, ternary_t_cell, &call);
}

/* ---- ternary, backward, on gradients rounded to 16 bits ---- */

typedef struct gradient_call {
    const kernels *k;
    const ternary_matrix *w;
    weight_parts parts;
    const float *dy;
    float *scale; /* (T) */
    int16_t *q;   /* (T, padded N) */
    float *dx;
    int64_t padded;
    bool add;
} gradient_call;

static void gradient_rows(void *context, int64_t begin, int64_t end, int worker) {
    const gradient_call *c = context;
    (void)worker;
    for (int64_t t = begin; t < end; t++)
        c->k->gradient_row(c->dy + t * c->w->rows, c->w->rows, c->q + t * c->padded, &c->scale[t]);
}

static void gradient_cell(const void *context, int64_t col_begin, int64_t col_end,
                          int64_t token_begin, int64_t token_end, int worker) {
    const gradient_call *c = context;
    weight_part p = cpu_part_begin(col_begin, col_end, worker);
    while (cpu_part_next(&c->parts, &p))
        c->k->ternary_matmul_t_i16(&p.w, p.begin, p.end, c->q + token_begin * c->padded,
                                   c->scale + token_begin, token_end - token_begin,
                                   c->dx + token_begin * c->w->cols + p.offset, c->w->cols, c->add);
}

static void ternary_t_rounded(cpu_backend *cpu, const ternary_weight *w, view dy, int64_t tokens,
                              view dx, bool add) {
    const ternary_matrix *m = &w->matrix;
    int64_t padded = gradient_padded(m->rows);
    size_t scale_bytes = round_up((size_t)tokens * sizeof(float), 64);
    size_t q_bytes = (size_t)(tokens * padded) * sizeof(int16_t);
    uint8_t *scratch = cpu_scratch(cpu, "op_ternary_matmul_t", scale_bytes + q_bytes);
    if (!scratch) return;
    gradient_call call = {.k = &cpu->k,
                          .w = m,
                          .dy = cpu_floats(dy),
                          .scale = (float *)(void *)scratch,
                          .q = (int16_t *)(void *)(scratch + scale_bytes),
                          .dx = cpu_floats(dx),
                          .padded = padded,
                          .add = add};
    if (!cpu_parts_by_cols(cpu, "op_ternary_matmul_t", m, &call.parts)) return;
    cpu_run(cpu, tokens, 4.0 * (double)m->rows, gradient_rows, &call);
    cpu_grid grid = weight_grid(m->cols, TERNARY_BLOCK, tokens, m->rows);
    cpu_run_grid(cpu, &grid, gradient_cell, &call);
}

void cpu_ternary_matmul_t(backend *be, const ternary_weight *w, view dy, int64_t tokens,
                          precision grade, view dx, bool add) {
    bool rounded = grade == PRECISION_ROUNDED && w->matrix.rows <= GRADIENT_ROWS_MAX;
    (rounded ? ternary_t_rounded : ternary_t_full)(cpu_of(be), w, dy, tokens, dx, add);
}

/* ---- dense ---- */

typedef struct dense_call {
    const kernels *k;
    const dense_matrix *w;
    const float *x; /* (T, cols) */
    float *y;       /* (T, rows) */
} dense_call;

static void dense_cell(const void *context, int64_t row_begin, int64_t row_end, int64_t token_begin,
                       int64_t token_end, int worker) {
    const dense_call *c = context;
    (void)worker;
    c->k->dense_matmul(c->w, row_begin, row_end, c->x + token_begin * c->w->cols, c->w->cols,
                       token_end - token_begin, c->y + token_begin * c->w->rows, c->w->rows);
}

static void run_dense(cpu_backend *cpu, const dense_matrix *w, const float *x, int64_t tokens,
                      float *y) {
    dense_call call = {&cpu->k, w, x, y};
    cpu_grid grid = weight_grid(w->rows, row_block(tokens), tokens, w->cols);
    cpu_run_grid(cpu, &grid, dense_cell, &call);
}

void cpu_dense_matmul(backend *be, const dense_weight *w, view x, int64_t tokens, precision grade,
                      view y) {
    (void)grade; /* float32 is what the CPU computes fastest */
    run_dense(cpu_of(be), &w->matrix, cpu_floats(x), tokens, cpu_floats(y));
}

/* ---- LoRA ---- */

typedef void (*gemm_kernel)(int64_t m, int64_t n, int64_t k, float alpha, const float *a,
                            int64_t lda, const float *b, int64_t ldb, float *c, int64_t ldc,
                            bool add);

/* C (m, n) = alpha * op(A) op(B) + C if add. The strides say where row i and column j of C find
 * their part of A and B, so that one cell function serves nt, nn and tn. */
typedef struct gemm_call {
    gemm_kernel gemm;
    int64_t m, n, k;
    float alpha;
    const float *a;
    int64_t lda, a_per_row;
    const float *b;
    int64_t ldb, b_per_col;
    float *c;
    bool add;
} gemm_call;

static void gemm_cell(const void *context, int64_t col_begin, int64_t col_end, int64_t row_begin,
                      int64_t row_end, int worker) {
    const gemm_call *g = context;
    (void)worker;
    g->gemm(row_end - row_begin, col_end - col_begin, g->k, g->alpha,
            g->a + row_begin * g->a_per_row, g->lda, g->b + col_begin * g->b_per_col, g->ldb,
            g->c + row_begin * g->n + col_begin, g->n, g->add);
}

static void run_gemm(cpu_backend *cpu, const gemm_call *call) {
    cpu_grid grid = {call->n, LORA_ROW_BLOCK, call->m, LORA_TOKEN_BLOCK, call->k};
    cpu_run_grid(cpu, &grid, gemm_cell, call);
}

/* C (m, n) (+)= alpha * A (m, k) B (n, k)^T */
static void run_nt(cpu_backend *cpu, int64_t m, int64_t n, int64_t k, float alpha, view a, view b,
                   view c, bool add) {
    gemm_call call = {cpu->k.gemm_nt, m,  n, k, alpha, cpu_floats(a), k, k, cpu_floats(b), k, k,
                      cpu_floats(c),  add};
    run_gemm(cpu, &call);
}

/* C (m, n) (+)= alpha * A (m, k) B (k, n) */
static void run_nn(cpu_backend *cpu, int64_t m, int64_t n, int64_t k, float alpha, view a, view b,
                   view c, bool add) {
    gemm_call call = {cpu->k.gemm_nn, m,  n, k, alpha, cpu_floats(a), k, k, cpu_floats(b), n, 1,
                      cpu_floats(c),  add};
    run_gemm(cpu, &call);
}

/* C (m, n) += alpha * A (k, m)^T B (k, n) */
static void run_tn(cpu_backend *cpu, int64_t m, int64_t n, int64_t k, float alpha, view a, view b,
                   view c) {
    gemm_call call = {cpu->k.gemm_tn, m,   n, k, alpha, cpu_floats(a), m, 1, cpu_floats(b), n, 1,
                      cpu_floats(c),  true};
    run_gemm(cpu, &call);
}

void cpu_lora_down(backend *be, view x, view a, int64_t tokens, int64_t k, int64_t r, view h) {
    run_nt(cpu_of(be), tokens, r, k, 1, x, a, h, false);
}

void cpu_lora_up(backend *be, view h, view b, int64_t tokens, int64_t n, int64_t r, float scale,
                 view y) {
    run_nt(cpu_of(be), tokens, n, r, scale, h, b, y, true);
}

void cpu_ternary_matmul_lora(backend *be, const ternary_weight *w, view q8, int64_t tokens,
                             const view *base, const lora_term *term, view y) {
    if (base)
        cpu_ternary_matmul_add(be, w, q8, tokens, *base, y);
    else
        cpu_ternary_matmul(be, w, q8, tokens, y);
    cpu_lora_up(be, term->h, term->b, tokens, w->matrix.rows, term->r, term->scale, y);
}

void cpu_lora_backward(backend *be, const lora_backward_args *args) {
    cpu_backend *cpu = cpu_of(be);
    const lora_backward_args *s = args;
    if (s->w) cpu_ternary_matmul_t(be, s->w, s->dy, s->tokens, s->grade, s->dx, s->add);
    run_nn(cpu, s->tokens, s->r, s->n, s->scale, s->dy, s->b, s->g, false);
    run_tn(cpu, s->n, s->r, s->tokens, s->scale, s->dy, s->h, s->db);
    run_tn(cpu, s->r, s->k, s->tokens, 1, s->g, s->x, s->da);
    run_nn(cpu, s->tokens, s->k, s->r, 1, s->g, s->a, s->dx, s->add || s->w);
}

/* ---- cross-entropy through the head, some tokens at a time ---- */

typedef struct loss_call {
    const kernels *k;
    const dense_matrix *w;
    const int32_t *targets;
    float grad_scale;
    float *logits; /* (loss_tokens, V), later their gradient */
    float *losses, *dx;
} loss_call;

static void loss_rows(void *context, int64_t begin, int64_t end, int worker) {
    const loss_call *c = context;
    (void)worker;
    for (int64_t t = begin; t < end; t++)
        c->losses[t] = c->k->softmax_loss_row(c->logits + t * c->w->rows, c->w->rows, c->targets[t],
                                              c->grad_scale);
}

/* Columns of the head by themselves: a block of an encoding is never cut. */
static dense_matrix head_columns(const dense_matrix *w, int64_t begin, int64_t end) {
    static const struct {
        int64_t values, bytes;
    } blocks[] = {[DENSE_F32] = {1, 4},
                  [DENSE_F16] = {1, 2},
                  [DENSE_BF16] = {1, 2},
                  [DENSE_Q8_0] = {32, 34},
                  [DENSE_Q6_K] = {256, 210}};
    dense_matrix part = *w;
    part.data += begin / blocks[w->type].values * blocks[w->type].bytes;
    part.cols = end - begin;
    return part;
}

static void loss_backward_cell(const void *context, int64_t col_begin, int64_t col_end,
                               int64_t token_begin, int64_t token_end, int worker) {
    const loss_call *c = context;
    dense_matrix part = head_columns(c->w, col_begin, col_end);
    (void)worker;
    c->k->dense_matmul_t(&part, token_begin, token_end, c->logits, c->w->rows, c->dx + col_begin,
                         c->w->cols);
}

static void loss_backward(cpu_backend *cpu, const loss_call *call, int64_t tokens) {
    const dense_matrix *w = call->w;
    int64_t blocks = HEAD_BLOCKS_A_THREAD * pool_thread_count(cpu->threads);
    int64_t step = (int64_t)round_up((size_t)(w->cols / blocks), HEAD_COL_BLOCK);
    cpu_grid grid = weight_grid(w->cols, step ? step : HEAD_COL_BLOCK, tokens, w->rows);
    cpu_run_grid(cpu, &grid, loss_backward_cell, call);
}

static int64_t loss_tokens(const dense_matrix *w) {
    int64_t tokens = LOSS_BYTES / (int64_t)sizeof(float) / w->rows;
    tokens -= tokens % LOSS_TOKENS_MIN;
    if (tokens < LOSS_TOKENS_MIN) return LOSS_TOKENS_MIN;
    return tokens < LOSS_TOKENS_MAX ? tokens : LOSS_TOKENS_MAX;
}

size_t cpu_head_loss_scratch_bytes(const backend *be, const dense_weight *w) {
    (void)be;
    return (size_t)(w->matrix.rows * loss_tokens(&w->matrix)) * sizeof(float);
}

static bool targets_ok(backend *be, const int32_t *targets, int64_t tokens, int64_t rows) {
    for (int64_t t = 0; t < tokens; t++) {
        if (targets[t] >= 0 && targets[t] < rows) continue;
        backend_fail(be, "op_head_loss", WEFT_ERR_RANGE,
                     "target %d of token %lld is not in 0 .. %lld", targets[t], (long long)t,
                     (long long)rows - 1);
        return false;
    }
    return true;
}

void cpu_head_loss(backend *be, const dense_weight *w, view x, view targets, int64_t tokens,
                   float grad_scale, precision grade, view losses, view dx, view scratch) {
    cpu_backend *cpu = cpu_of(be);
    (void)grade;
    const dense_matrix *m = &w->matrix;
    if (!targets_ok(be, cpu_ints(targets), tokens, m->rows)) return;
    loss_call call = {&cpu->k,
                      m,
                      cpu_ints(targets),
                      grad_scale,
                      cpu_floats(scratch),
                      cpu_floats(losses),
                      grad_scale != 0 ? cpu_floats(dx) : NULL};
    int64_t step = loss_tokens(m);
    for (int64_t t = 0; t < tokens; t += step) {
        int64_t count = tokens - t < step ? tokens - t : step;
        run_dense(cpu, m, cpu_floats(x) + t * m->cols, count, call.logits);
        cpu_run(cpu, count, 16.0 * (double)m->rows, loss_rows, &call);
        if (grad_scale != 0) {
            loss_backward(cpu, &call, count);
            call.dx += count * m->cols;
        }
        call.targets += count;
        call.losses += count;
    }
}
