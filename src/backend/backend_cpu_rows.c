/* CPU operations on rows and on single values: embedding, norms, gated units, sums, moves by index,
 * the optimiser's step. Refuses indices that would lead out of a matrix. */
#include "backend/backend_cpu.h"

#include <math.h>
#include <string.h>

/* Values of one partial sum of squares: fixed, because the sum depends on it. */
#define SUM_BLOCK 4096

/* Is every index in [0, limit)? */
static bool indices_ok(backend *be, const char *op, const char *name, const int32_t *index,
                       int64_t count, int64_t limit) {
    for (int64_t i = 0; i < count; i++) {
        if (index[i] >= 0 && index[i] < limit) continue;
        backend_fail(be, op, WEFT_ERR_RANGE, "%s %d at %lld is not in 0 .. %lld", name, index[i],
                     (long long)i, (long long)limit - 1);
        return false;
    }
    return true;
}

/* ---- rows ---- */

typedef struct row_call {
    const kernels *k;
    const dense_matrix *w;
    const float *x, *gamma, *dy;
    const int32_t *index;
    float *y;
    int64_t n;
    float eps;
    bool add;
} row_call;

static void embed_rows(void *context, int64_t begin, int64_t end, int worker) {
    const row_call *c = context;
    (void)worker;
    for (int64_t t = begin; t < end; t++) c->k->dense_row(c->w, c->index[t], c->y + t * c->n);
}

void cpu_embed(backend *be, const dense_weight *w, view ids, int64_t tokens, view out) {
    cpu_backend *cpu = cpu_of(be);
    const dense_matrix *m = &w->matrix;
    row_call call = {
        .k = &cpu->k, .w = m, .index = cpu_ints(ids), .y = cpu_floats(out), .n = m->cols};
    if (indices_ok(be, "op_embed", "id", call.index, tokens, m->rows))
        cpu_run(cpu, tokens, (double)m->cols, embed_rows, &call);
}

static void rmsnorm_rows(void *context, int64_t begin, int64_t end, int worker) {
    const row_call *c = context;
    (void)worker;
    for (int64_t t = begin; t < end; t++)
        c->k->rmsnorm_row(c->x + t * c->n, c->gamma, c->n, c->eps, c->y + t * c->n);
}

void cpu_rmsnorm(backend *be, view x, view gamma, int64_t tokens, int64_t n, float eps, view y) {
    cpu_backend *cpu = cpu_of(be);
    row_call call = {.k = &cpu->k,
                     .x = cpu_floats(x),
                     .gamma = cpu_floats(gamma),
                     .y = cpu_floats(y),
                     .n = n,
                     .eps = eps};
    cpu_run(cpu, tokens, 4.0 * (double)n, rmsnorm_rows, &call);
}

static void rmsnorm_backward_rows(void *context, int64_t begin, int64_t end, int worker) {
    const row_call *c = context;
    (void)worker;
    for (int64_t t = begin; t < end; t++)
        c->k->rmsnorm_backward_row(c->x + t * c->n, c->gamma, c->dy + t * c->n, c->n, c->eps,
                                   c->y + t * c->n, c->add);
}

void cpu_rmsnorm_backward(backend *be, view x, view gamma, view dy, int64_t tokens, int64_t n,
                          float eps, view dx, bool add) {
    cpu_backend *cpu = cpu_of(be);
    row_call call = {.k = &cpu->k,
                     .x = cpu_floats(x),
                     .gamma = cpu_floats(gamma),
                     .dy = cpu_floats(dy),
                     .y = cpu_floats(dx),
                     .n = n,
                     .eps = eps,
                     .add = add};
    cpu_run(cpu, tokens, 8.0 * (double)n, rmsnorm_backward_rows, &call);
}

static void gather_rows(void *context, int64_t begin, int64_t end, int worker) {
    const row_call *c = context;
    (void)worker;
    for (int64_t i = begin; i < end; i++)
        memcpy(c->y + i * c->n, c->x + c->index[i] * c->n, (size_t)c->n * sizeof(float));
}

static void scatter_rows(void *context, int64_t begin, int64_t end, int worker) {
    const row_call *c = context;
    (void)worker;
    for (int64_t i = begin; i < end; i++)
        memcpy(c->y + c->index[i] * c->n, c->x + i * c->n, (size_t)c->n * sizeof(float));
}

void cpu_gather(backend *be, view x, int64_t row_count, view rows, int64_t count, int64_t n,
                view y) {
    cpu_backend *cpu = cpu_of(be);
    row_call call = {.x = cpu_floats(x), .index = cpu_ints(rows), .y = cpu_floats(y), .n = n};
    if (indices_ok(be, "op_gather", "row", call.index, count, row_count))
        cpu_run(cpu, count, (double)n, gather_rows, &call);
}

void cpu_scatter(backend *be, view x, view rows, int64_t count, int64_t n, view y,
                 int64_t row_count) {
    cpu_backend *cpu = cpu_of(be);
    row_call call = {.x = cpu_floats(x), .index = cpu_ints(rows), .y = cpu_floats(y), .n = n};
    if (indices_ok(be, "op_scatter", "row", call.index, count, row_count))
        cpu_run(cpu, count, (double)n, scatter_rows, &call);
}

/* ---- values ---- */

typedef struct value_call {
    const kernels *k;
    const float *a, *b, *c;
    float *y, *z;
    activation act;
    float p;
    uint64_t seed;
    bool add;
} value_call;

static void add_values(void *context, int64_t begin, int64_t end, int worker) {
    const value_call *c = context;
    (void)worker;
    c->k->add(c->a + begin, c->b + begin, end - begin, c->y + begin);
}

void cpu_add(backend *be, view a, view b, int64_t count, view out) {
    cpu_backend *cpu = cpu_of(be);
    value_call call = {.k = &cpu->k, .a = cpu_floats(a), .b = cpu_floats(b), .y = cpu_floats(out)};
    cpu_run(cpu, count, 2, add_values, &call);
}

static void dropout_values(void *context, int64_t begin, int64_t end, int worker) {
    const value_call *c = context;
    (void)worker;
    c->k->dropout(c->a + begin, end - begin, c->p, c->seed, (uint64_t)begin, c->y + begin, c->add);
}

void cpu_dropout(backend *be, view x, int64_t count, float p, uint64_t seed, view y, bool add) {
    cpu_backend *cpu = cpu_of(be);
    value_call call = {
        .k = &cpu->k, .a = cpu_floats(x), .y = cpu_floats(y), .p = p, .seed = seed, .add = add};
    cpu_run(cpu, count, 16, dropout_values, &call);
}

static void glu_values(void *context, int64_t begin, int64_t end, int worker) {
    const value_call *c = context;
    (void)worker;
    c->k->glu(c->act, c->a + begin, c->b + begin, end - begin, c->y + begin);
}

void cpu_glu(backend *be, activation act, view gate, view up, int64_t count, view out) {
    cpu_backend *cpu = cpu_of(be);
    value_call call = {
        .k = &cpu->k, .act = act, .a = cpu_floats(gate), .b = cpu_floats(up), .y = cpu_floats(out)};
    cpu_run(cpu, count, act == ACTIVATION_SILU ? 32 : 4, glu_values, &call);
}

static void glu_backward_values(void *context, int64_t begin, int64_t end, int worker) {
    const value_call *c = context;
    (void)worker;
    c->k->glu_backward(c->act, c->a + begin, c->b + begin, c->c + begin, end - begin, c->y + begin,
                       c->z + begin);
}

void cpu_glu_backward(backend *be, activation act, view gate, view up, view dout, int64_t count,
                      view dgate, view dup) {
    cpu_backend *cpu = cpu_of(be);
    value_call call = {.k = &cpu->k,
                       .act = act,
                       .a = cpu_floats(gate),
                       .b = cpu_floats(up),
                       .c = cpu_floats(dout),
                       .y = cpu_floats(dgate),
                       .z = cpu_floats(dup)};
    cpu_run(cpu, count, act == ACTIVATION_SILU ? 32 : 8, glu_backward_values, &call);
}

/* ---- sums and the optimiser ---- */

typedef struct sum_call {
    const kernels *k;
    const float *x;
    int64_t count;
    double *partial; /* one a block */
} sum_call;

static void sum_blocks(void *context, int64_t begin, int64_t end, int worker) {
    const sum_call *c = context;
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        int64_t left = c->count - i * SUM_BLOCK;
        c->partial[i] =
            c->k->sum_squares(c->x + i * SUM_BLOCK, left < SUM_BLOCK ? left : SUM_BLOCK);
    }
}

void cpu_sum_squares(backend *be, view x, int64_t count, view out) {
    cpu_backend *cpu = cpu_of(be);
    int64_t blocks = (count - 1) / SUM_BLOCK + 1;
    double *partial = cpu_scratch(cpu, "op_sum_squares", (size_t)blocks * sizeof *partial);
    if (!partial) return;
    sum_call call = {&cpu->k, cpu_floats(x), count, partial};
    cpu_run(cpu, blocks, 2.0 * SUM_BLOCK, sum_blocks, &call);
    double sum = 0;
    for (int64_t i = 0; i < blocks; i++) sum += partial[i];
    float *parts = cpu_floats(out);
    parts[0] = (float)sum;
    parts[1] = isfinite(parts[0]) ? (float)(sum - (double)parts[0]) : 0;
}

typedef struct adamw_call {
    const kernels *k;
    const adamw_settings *settings;
    float *p, *m, *v;
    const float *g;
} adamw_call;

static void adamw_values(void *context, int64_t begin, int64_t end, int worker) {
    const adamw_call *c = context;
    (void)worker;
    c->k->adamw(c->settings, end - begin, c->p + begin, c->g + begin, c->m + begin, c->v + begin);
}

void cpu_adamw(backend *be, const adamw_settings *settings, int64_t count, view p, view g, view m,
               view v) {
    cpu_backend *cpu = cpu_of(be);
    adamw_call call = {&cpu->k,       settings,      cpu_floats(p),
                       cpu_floats(m), cpu_floats(v), cpu_floats(g)};
    cpu_run(cpu, count, 16, adamw_values, &call);
}
