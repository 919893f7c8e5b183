/* What the files of this folder share: the backend, its table of operations and its sticky error.
 *
 * backend.c checks every call once and jumps through the table; an implementation may rely on views
 * that lie in buffers of its own, aligned to 4 bytes, of positive sizes, without overlap but for
 * what backend.h allows. What only the data can tell (ids, key ranges) is for the implementation to
 * check. */
#ifndef WEFT_BACKEND_BACKEND_IMPL_H
#define WEFT_BACKEND_BACKEND_IMPL_H

#include "backend/backend.h"
#include "backend/backend_scratch.h"

/* `memory` belongs to the implementation: on the CPU the bytes themselves, else its own handle. */
struct buffer {
    backend *owner;
    size_t bytes;
    void *memory;
};

struct ternary_weight {
    backend *owner;
    ternary_matrix matrix;
    void *memory; /* NULL on the CPU, which computes from matrix.codes */
};

struct dense_weight {
    backend *owner;
    dense_matrix matrix;
    void *memory;
};

/* One entry an operation of backend.h, same arguments, same order. An entry that fails calls
 * backend_fail; *_create report through err and leave nothing behind. */
typedef struct backend_ops {
    void (*destroy)(backend *be);
    int (*thread_count)(const backend *be);
    size_t (*training_scratch_bytes)(const backend *be, const training_extent *extent);
    uint64_t (*free_bytes)(const backend *be);                     /* NULL: the host's memory */
    int (*buffer_create)(backend *be, buffer *b, weft_error *err); /* fills memory of b->bytes */
    void (*buffer_free)(backend *be, buffer *b);
    int (*ternary_weight_create)(backend *be, ternary_weight *w, weft_error *err);
    void (*ternary_weight_free)(backend *be, ternary_weight *w);
    int (*dense_weight_create)(backend *be, dense_weight *w, weft_error *err);
    void (*dense_weight_free)(backend *be, dense_weight *w);

    void (*begin)(backend *be);
    void (*submit)(backend *be); /* waits until all that was recorded is done */
    void (*write)(backend *be, view to, const void *data, size_t bytes);
    void (*read)(backend *be, view from, void *data, size_t bytes); /* submits, waits, copies */

    void (*embed)(backend *be, const dense_weight *w, view ids, int64_t tokens, view out);
    void (*rmsnorm)(backend *be, view x, view gamma, int64_t tokens, int64_t n, float eps, view y);
    void (*rmsnorm_backward)(backend *be, view x, view gamma, view dy, int64_t tokens, int64_t n,
                             float eps, view dx, bool add);
    void (*quantise)(backend *be, view x, int64_t tokens, int64_t n, view q8);
    void (*rmsnorm_quantise)(backend *be, view x, view gamma, int64_t tokens, int64_t n, float eps,
                             view y, view q8);
    void (*ternary_matmul)(backend *be, const ternary_weight *w, view q8, int64_t tokens, view y);
    void (*ternary_matmul_add)(backend *be, const ternary_weight *w, view q8, int64_t tokens,
                               view base, view y);
    void (*ternary_matmul_lora)(backend *be, const ternary_weight *w, view q8, int64_t tokens,
                                const view *base, const lora_term *term, view y);
    void (*ternary_matmul_f32)(backend *be, const ternary_weight *w, view x, int64_t tokens,
                               view y);
    void (*ternary_matmul_t)(backend *be, const ternary_weight *w, view dy, int64_t tokens,
                             precision grade, view dx, bool add);
    void (*dense_matmul)(backend *be, const dense_weight *w, view x, int64_t tokens,
                         precision grade, view y);
    void (*lora_down)(backend *be, view x, view a, int64_t tokens, int64_t k, int64_t r, view h);
    void (*lora_up)(backend *be, view h, view b, int64_t tokens, int64_t n, int64_t r, float scale,
                    view y);
    void (*lora_backward)(backend *be, const lora_backward_args *args);
    void (*dropout)(backend *be, view x, int64_t count, float p, uint64_t seed, view y, bool add);
    void (*rope)(backend *be, view x, view positions, view table, int64_t tokens, int64_t heads,
                 int64_t head_dim, bool interleaved, bool inverse);
    void (*rope_scatter)(backend *be, view x, view positions, view table, int64_t tokens,
                         int64_t heads, int64_t head_dim, bool interleaved, view rows, view y,
                         int64_t row_count);
    void (*attention)(backend *be, const attention_args *args);
    void (*attention_backward)(backend *be, const attention_args *args, view dout, view dq, view dk,
                               view dv);
    void (*glu)(backend *be, activation act, view gate, view up, int64_t count, view out);
    void (*glu_rmsnorm_quantise)(backend *be, activation act, view gate, view up, view gamma,
                                 int64_t tokens, int64_t n, float eps, view out, view y, view q8);
    void (*glu_backward)(backend *be, activation act, view gate, view up, view dout, int64_t count,
                         view dgate, view dup);
    size_t (*head_loss_scratch_bytes)(const backend *be, const dense_weight *w);
    void (*head_loss)(backend *be, const dense_weight *w, view x, view targets, int64_t tokens,
                      float grad_scale, precision grade, view losses, view dx, view scratch);
    void (*add)(backend *be, view a, view b, int64_t count, view out);
    void (*gather)(backend *be, view x, int64_t row_count, view rows, int64_t count, int64_t n,
                   view y);
    void (*scatter)(backend *be, view x, view rows, int64_t count, int64_t n, view y,
                    int64_t row_count);
    void (*copy)(backend *be, view from, view to, size_t bytes);
    void (*fill_zero)(backend *be, view to, size_t bytes);
    void (*sum_squares)(backend *be, view x, int64_t count, view out);
    void (*adamw)(backend *be, const adamw_settings *settings, int64_t count, view p, view g,
                  view m, view v);
} backend_ops;

/* The first member of every implementation's own struct. */
struct backend {
    const backend_ops *ops;
    char name[64];
    uint64_t bytes;     /* buffers and the implementation's own scratch */
    bool recording;     /* between begin and submit */
    weft_error failure; /* code WEFT_OK: none */
};

/* Keep a failure unless there is one already; the message becomes "op: ...". What is called after
 * it, until submit or read hands it out, does nothing. */
void backend_fail(backend *be, const char *op, weft_status code, const char *format, ...)
    WEFT_PRINTF(4, 5);

static inline bool backend_has_failed(const backend *be) {
    return be->failure.code != WEFT_OK;
}

#endif
