/* The device operations that generation and training need, over opaque buffers. forward.c and
 * backward.c are written in these; a device is one table of functions (backend_cpu.c, later
 * Vulkan).
 *
 * Operations are recorded between backend_begin and backend_submit and may run at any time until
 * submit returns; they see each other's results in the order of the calls. They return nothing: the
 * first failure is kept with the operation's name, what is called after it does nothing, and submit
 * returns it. WEFT_ERR_ARGUMENT is a bad extent, overlap or parameter and WEFT_ERR_STATE an
 * operation outside begin and submit (our own mistakes), WEFT_ERR_RANGE an id or key range in the
 * data, WEFT_ERR_MEMORY scratch that could not be had. One thread at a time may use a backend.
 *
 * Sizes are in elements unless named bytes, all positive; letters as in kernel.h. What an operation
 * writes overlaps nothing else that it uses, unless its comment says that one may be the other
 * (then both start at the same place). Results do not depend on the number of threads. */
#ifndef WEFT_BACKEND_BACKEND_H
#define WEFT_BACKEND_BACKEND_H

#include "base/status.h"
#include "kernel/kernel.h"

#include <stddef.h>

typedef struct backend backend;
typedef struct buffer buffer; /* device memory of a fixed size, zeroed at creation */
typedef struct ternary_weight ternary_weight; /* a ternary matrix on the device */
typedef struct dense_weight dense_weight;     /* a dense matrix on the device */

/* A place in a buffer: what operations read and write. offset in bytes, a multiple of 4. */
typedef struct view {
    buffer *buf;
    size_t offset;
} view;

/* How closely a product must be computed. FULL: float32 operands, products and sums. ROUNDED: the
 * caller rounds activations to 8 bits anyway, so that a device may round an operand too: gradients
 * to 16 bits relative to the largest magnitude of their row (kernel.h, ternary_matmul_t_i16: the
 * error), other operands to half precision after scaling their rows. Sums stay as they were. */
typedef enum precision { PRECISION_FULL, PRECISION_ROUNDED } precision;

static inline view view_of(buffer *b) {
    return (view){b, 0};
}
static inline view view_floats(view v, int64_t count) {
    return (view){v.buf, v.offset + (size_t)count * sizeof(float)};
}

typedef struct backend_options {
    int thread_count;  /* 0 = one a core */
    uint32_t cpu_mask; /* kernels allowed (CPU_AVX2 ...); UINT32_MAX = all, 0 = scalar */
} backend_options;

/* options NULL: all cores, all kernels. */
int backend_create_cpu(const backend_options *options, backend **out, weft_error *err);
void backend_free(backend **be);             /* buffers and weights must have been freed */
const char *backend_name(const backend *be); /* "cpu (avx2, 2 threads)" */
uint64_t backend_bytes(const backend *be);   /* memory in buffers and own scratch now */

int buffer_create(backend *be, size_t bytes, buffer **out, weft_error *err);
void buffer_free(backend *be, buffer **b); /* NULL allowed; clears *b */
size_t buffer_bytes(const buffer *b);

/* Copy between host and device, inside begin and submit or outside; 0 bytes are allowed. write
 * takes effect in call order, and data may be reused at once. read submits what is recorded, waits,
 * and goes on recording; a failure that was kept is returned instead, stays for submit to return
 * again, and leaves data as it was. Outside begin and submit read forgets the failure that it
 * returns. */
void backend_write(backend *be, view to, const void *data, size_t bytes);
int backend_read(backend *be, view from, void *data, size_t bytes, weft_error *err);

/* Weights borrow the matrix's memory on the CPU: it must outlive them. */
int ternary_weight_create(backend *be, const ternary_matrix *w, ternary_weight **out,
                          weft_error *err);
void ternary_weight_free(backend *be, ternary_weight **w);
int dense_weight_create(backend *be, const dense_matrix *w, dense_weight **out, weft_error *err);
void dense_weight_free(backend *be, dense_weight **w);

/* Every begin needs its submit, on the caller's error paths too. submit waits until all is done,
 * returns the first failure since the last submit (a write's before begin counts) and forgets it.
 */
void backend_begin(backend *be);
int backend_submit(backend *be, weft_error *err);

/* out (T, cols) = rows ids[t] of w. ids int32; out of range is an error. */
void op_embed(backend *be, const dense_weight *w, view ids, int64_t tokens, view out);
/* y (T, n) = rmsnorm of each row of x; y may be x. gamma (n). */
void op_rmsnorm(backend *be, view x, view gamma, int64_t tokens, int64_t n, float eps, view y);
/* dx may be dy when add is false. */
void op_rmsnorm_backward(backend *be, view x, view gamma, view dy, int64_t tokens, int64_t n,
                         float eps, view dx, bool add);

/* Bytes of the rounded activations of T rows of n: int8 (T, padded n), float scale (T), int32 sum
 * (T), in this order without gaps. */
size_t quantised_bytes(int64_t tokens, int64_t n);
void op_quantise(backend *be, view x, int64_t tokens, int64_t n, view q8);
/* op_rmsnorm to y and op_quantise of y to q8, in one pass where the device has one. */
void op_rmsnorm_quantise(backend *be, view x, view gamma, int64_t tokens, int64_t n, float eps,
                         view y, view q8);
void op_ternary_matmul(backend *be, const ternary_weight *w, view q8, int64_t tokens, view y);
/* y = base + the product, base (T, rows); y may be base: the residual stream. */
void op_ternary_matmul_add(backend *be, const ternary_weight *w, view q8, int64_t tokens, view base,
                           view y);
void op_ternary_matmul_f32(backend *be, const ternary_weight *w, view x, int64_t tokens, view y);
void op_ternary_matmul_t(backend *be, const ternary_weight *w, view dy, int64_t tokens,
                         precision grade, view dx, bool add);
/* logits (T, rows) = x (T, cols) W^T */
void op_dense_matmul(backend *be, const dense_weight *w, view x, int64_t tokens, precision grade,
                     view y);

/* What an adapter adds to a product: scale * h B^T, h (T, r), B (N, r). */
typedef struct lora_term {
    view h, b;
    int64_t r;
    float scale;
} lora_term;
/* op_ternary_matmul, or with a base op_ternary_matmul_add to it, then op_lora_up of the term to y,
 * in one pass where the device has one. */
void op_ternary_matmul_lora(backend *be, const ternary_weight *w, view q8, int64_t tokens,
                            const view *base, const lora_term *term, view y);

/* LoRA of one projection. A (r, K), B (N, r). */
void op_lora_down(backend *be, view x, view a, int64_t tokens, int64_t k, int64_t r,
                  view h); /* h = x A^T */
void op_lora_up(backend *be, view h, view b, int64_t tokens, int64_t n, int64_t r, float scale,
                view y); /* y += scale * h B^T */
/* Backward: g (T, r) = scale * dy B is written to scratch g; dB += scale * dy^T h; dA += g^T x;
 * dx += g A, or dx = g A if !add. With w, the ternary weight beneath, dx is as if
 * op_ternary_matmul_t(w, dy, grade, dx, add) had run before and add were true. */
typedef struct lora_backward_args {
    view x, h, dy, a, b; /* x (T, K) as op_lora_down saw it, h (T, r), dy (T, N) */
    view g, da, db, dx;
    int64_t tokens, k, n, r;
    float scale;
    bool add;
    const ternary_weight *w; /* (N, K); NULL: none */
    precision grade;         /* of its product */
} lora_backward_args;
void op_lora_backward(backend *be, const lora_backward_args *args);
/* y (+)= dropout(x) over count values (kernel.h), 0 <= p < 1; y may be x. The mask depends on seed
 * and place alone, so the backward is the same call on the gradient. */
void op_dropout(backend *be, view x, int64_t count, float p, uint64_t seed, view y, bool add);

/* x (T, heads * head_dim) rotated in place; positions int32 (T); table (positions, head_dim):
 * cosines then sines of each position, as many rows as fit up to the end of its buffer. head_dim is
 * even. */
void op_rope(backend *be, view x, view positions, view table, int64_t tokens, int64_t heads,
             int64_t head_dim, bool interleaved, bool inverse);

/* The same into other rows: x's row t, rotated, becomes row rows[t] of y, which has row_count rows;
 * rows int32 (T), all different. What x holds afterwards is not said. */
void op_rope_scatter(backend *be, view x, view positions, view table, int64_t tokens, int64_t heads,
                     int64_t head_dim, bool interleaved, view rows, view y, int64_t row_count);

/* q, out (T, heads * d); k, v (keys, kv_heads * d); first, last int32 (T): the keys token t sees.
 */
typedef struct attention_args {
    view q, k, v, first, last, out;
    int64_t tokens, keys, heads, kv_heads, head_dim;
    float scale;
    precision grade;
} attention_args;
void op_attention(backend *be, const attention_args *args);
/* Backward where keys == tokens and last[t] == t: overwrites dq, dk, dv. out is not read. A
 * document begins where first[t] == t (so at 0), and none of its tokens sees a key before it. */
void op_attention_backward(backend *be, const attention_args *args, view dout, view dq, view dk,
                           view dv);

void op_glu(backend *be, activation act, view gate, view up, int64_t count, view out);
/* op_glu of (T, n) to out, op_rmsnorm of that to y, and op_quantise of y to q8, in one pass where
 * the device has one. */
void op_glu_rmsnorm_quantise(backend *be, activation act, view gate, view up, view gamma,
                             int64_t tokens, int64_t n, float eps, view out, view y, view q8);
/* dgate may be gate and dup may be up. */
void op_glu_backward(backend *be, activation act, view gate, view up, view dout, int64_t count,
                     view dgate, view dup);

/* Cross-entropy through the head, in chunks of tokens, so that (T, V) never exists: losses (T)
 * float = -log softmax(x W^T)[targets[t]]; if grad_scale != 0 also dx (T, cols) = d(grad_scale *
 * sum of losses). targets int32 (T), each in range. dx is not looked at when grad_scale is 0.
 * scratch: as many bytes as head_loss_scratch_bytes says. */
size_t head_loss_scratch_bytes(const backend *be, const dense_weight *w);
void op_head_loss(backend *be, const dense_weight *w, view x, view targets, int64_t tokens,
                  float grad_scale, precision grade, view losses, view dx, view scratch);

void op_add(backend *be, view a, view b, int64_t count, view out); /* out may be a or b */
/* y[i] = x[rows[i]], n floats a row; and its transpose y[rows[i]] = x[i]. rows int32 (count), for
 * scatter all different; the indexed side has row_count rows. */
void op_gather(backend *be, view x, int64_t row_count, view rows, int64_t count, int64_t n, view y);
void op_scatter(backend *be, view x, view rows, int64_t count, int64_t n, view y,
                int64_t row_count);
void op_copy(backend *be, view from, view to, size_t bytes);
void op_fill_zero(backend *be, view to, size_t bytes);

/* out: two floats, whose sum in double is the sum of the squares of count floats to about 2^-40 of
 * it. Deterministic for any thread count. */
void op_sum_squares(backend *be, view x, int64_t count, view out);
void op_adamw(backend *be, const adamw_settings *settings, int64_t count, view p, view g, view m,
              view v);

#endif
