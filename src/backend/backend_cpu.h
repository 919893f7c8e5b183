/* What the CPU backend's files share: its struct, its ways to spread work over threads, and the
 * table entries that live outside backend_cpu.c.
 *
 * Every operation runs at its call. Work is cut by outputs only, never by the terms of a sum, so
 * that a result does not depend on the number of threads or on which of them computed it. */
#ifndef WEFT_BACKEND_BACKEND_CPU_H
#define WEFT_BACKEND_BACKEND_CPU_H

#include "backend/backend_impl.h"
#include "base/pool.h"

typedef struct cpu_backend {
    backend base;
    kernels k;
    pool *threads;
    void *scratch; /* of one operation; grows to the largest need and stays */
    size_t scratch_bytes;
    uint8_t *unpacked; /* (threads, unpacked_bytes): parts of tight matrices; grows and stays */
    size_t unpacked_bytes;
} cpu_backend;

static inline cpu_backend *cpu_of(backend *be) {
    return (cpu_backend *)be;
}

static inline void *cpu_at(view v) {
    return (uint8_t *)v.buf->memory + v.offset;
}
static inline float *cpu_floats(view v) {
    return cpu_at(v);
}
static inline int32_t *cpu_ints(view v) {
    return cpu_at(v);
}

/* Scratch for one operation, 64-byte aligned, content undefined; NULL after a sticky
 * WEFT_ERR_MEMORY. */
void *cpu_scratch(cpu_backend *cpu, const char *op, size_t bytes);

/* Run body over items, each of about `cost` multiply-adds: what is too little to share stays on the
 * calling thread. */
void cpu_run(cpu_backend *cpu, int64_t items, double cost, pool_body body, void *context);

/* A matrix of outputs (tokens, cols), cut into cells of token_step tokens (fewer if there would be
 * too few cells for the threads) by at least col_step columns (more if a cell would be too little
 * work; only the last may be no multiple of it). Each output is a sum of `depth` products. */
typedef struct cpu_grid {
    int64_t cols, col_step, tokens, token_step, depth;
} cpu_grid;
typedef void (*cpu_cell)(const void *context, int64_t col_begin, int64_t col_end,
                         int64_t token_begin, int64_t token_end, int worker);
void cpu_run_grid(cpu_backend *cpu, const cpu_grid *grid, cpu_cell cell, const void *context);

/* backend_cpu_tight.c: how a product walks over a ternary matrix, by its rows or by blocks of its
 * columns. A fast matrix is one part, computed from where it lies; parts of a tight one are
 * unpacked into the thread's scratch. False after a sticky WEFT_ERR_MEMORY. */
typedef struct weight_parts {
    const kernels *k;
    const ternary_matrix *w;
    int64_t step; /* rows or columns of a part */
    bool by_cols;
    uint8_t *scratch;     /* (threads, scratch_bytes) */
    size_t scratch_bytes; /* of one thread */
} weight_parts;
bool cpu_parts_by_rows(cpu_backend *cpu, const char *op, const ternary_matrix *w, int64_t tokens,
                       weight_parts *parts);
bool cpu_parts_by_cols(cpu_backend *cpu, const char *op, const ternary_matrix *w,
                       weight_parts *parts);

/* One part: rows (or columns) begin .. end - 1 of w are those from offset + begin of the matrix. */
typedef struct weight_part {
    ternary_matrix w; /* fast */
    int64_t begin, end, offset;
    int64_t next, last; /* the walk */
    int worker;
} weight_part;
weight_part cpu_part_begin(int64_t begin, int64_t end, int worker);
bool cpu_part_next(const weight_parts *parts, weight_part *part); /* false at the end */

/* backend_cpu_matmul.c */
void cpu_quantise(backend *be, view x, int64_t tokens, int64_t n, view q8);
void cpu_rmsnorm_quantise(backend *be, view x, view gamma, int64_t tokens, int64_t n, float eps,
                          view y, view q8);
void cpu_glu_rmsnorm_quantise(backend *be, activation act, view gate, view up, view gamma,
                              int64_t tokens, int64_t n, float eps, view out, view y, view q8);
void cpu_rope_scatter(backend *be, view x, view positions, view table, int64_t tokens,
                      int64_t heads, int64_t head_dim, bool interleaved, view rows, view y,
                      int64_t row_count);
void cpu_ternary_matmul_add(backend *be, const ternary_weight *w, view q8, int64_t tokens,
                            view base, view y);
void cpu_ternary_matmul_lora(backend *be, const ternary_weight *w, view q8, int64_t tokens,
                             const view *base, const lora_term *term, view y);
void cpu_ternary_matmul(backend *be, const ternary_weight *w, view q8, int64_t tokens, view y);
void cpu_ternary_matmul_f32(backend *be, const ternary_weight *w, view x, int64_t tokens, view y);
void cpu_ternary_matmul_t(backend *be, const ternary_weight *w, view dy, int64_t tokens,
                          precision grade, view dx, bool add);
void cpu_dense_matmul(backend *be, const dense_weight *w, view x, int64_t tokens, precision grade,
                      view y);
void cpu_lora_down(backend *be, view x, view a, int64_t tokens, int64_t k, int64_t r, view h);
void cpu_lora_up(backend *be, view h, view b, int64_t tokens, int64_t n, int64_t r, float scale,
                 view y);
void cpu_lora_backward(backend *be, const lora_backward_args *args);
size_t cpu_head_loss_scratch_bytes(const backend *be, const dense_weight *w);
void cpu_head_loss(backend *be, const dense_weight *w, view x, view targets, int64_t tokens,
                   float grad_scale, precision grade, view losses, view dx, view scratch);

/* backend_cpu_attention.c */
void cpu_rope(backend *be, view x, view positions, view table, int64_t tokens, int64_t heads,
              int64_t head_dim, bool interleaved, bool inverse);
void cpu_attention(backend *be, const attention_args *args);
void cpu_attention_backward(backend *be, const attention_args *args, view dout, view dq, view dk,
                            view dv);

/* backend_cpu_rows.c */
void cpu_embed(backend *be, const dense_weight *w, view ids, int64_t tokens, view out);
void cpu_rmsnorm(backend *be, view x, view gamma, int64_t tokens, int64_t n, float eps, view y);
void cpu_rmsnorm_backward(backend *be, view x, view gamma, view dy, int64_t tokens, int64_t n,
                          float eps, view dx, bool add);
void cpu_dropout(backend *be, view x, int64_t count, float p, uint64_t seed, view y, bool add);
void cpu_glu(backend *be, activation act, view gate, view up, int64_t count, view out);
void cpu_glu_backward(backend *be, activation act, view gate, view up, view dout, int64_t count,
                      view dgate, view dup);
void cpu_add(backend *be, view a, view b, int64_t count, view out);
void cpu_gather(backend *be, view x, int64_t row_count, view rows, int64_t count, int64_t n,
                view y);
void cpu_scatter(backend *be, view x, view rows, int64_t count, int64_t n, view y,
                 int64_t row_count);
void cpu_sum_squares(backend *be, view x, int64_t count, view out);
void cpu_adamw(backend *be, const adamw_settings *settings, int64_t count, view p, view g, view m,
               view v);

#endif
