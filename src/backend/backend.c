/* Every call of backend.h passes here once: sizes, extents, alignment and overlap are checked, the
 * first failure is kept with its operation's name, and the call jumps through the device's table.
 * Nothing here knows a device; data (ids, key ranges) is not looked at. */
#include "backend/backend_impl.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- the sticky failure ---- */

void backend_fail(backend *be, const char *op, weft_status code, const char *format, ...) {
    if (backend_has_failed(be)) return;
    char text[sizeof be->failure.message - 64];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    err_set(&be->failure, code, "%.48s: %s", op, text);
}

static int report(const backend *be, weft_error *err) {
    if (err) *err = be->failure;
    return (int)be->failure.code;
}

static void forget(backend *be) {
    be->failure.code = WEFT_OK;
}

/* ---- operands: a view, the bytes used of it, and what may happen to them ---- */

typedef struct operand {
    const char *name;
    view place;
    size_t bytes; /* 0: a size was not positive; SIZE_MAX: overflow */
    bool written;
    unsigned may_be; /* bit i: may start where operand i of the list starts */
} operand;

#define IN(v, size)                                                                                \
    { #v, v, size, false, 0 }
#define OUT(v, size)                                                                               \
    { #v, v, size, true, 0 }
#define OUT_OR(v, size, bits)                                                                      \
    { #v, v, size, true, bits }
#define LIST_READY(be, list) list_ready(be, __func__, list, (int)(sizeof list / sizeof *list))

static size_t table_bytes(int64_t rows, int64_t cols, size_t unit) {
    if (rows <= 0 || cols <= 0) return 0;
    size_t bytes;
    if (__builtin_mul_overflow((size_t)rows, (size_t)cols, &bytes) ||
        __builtin_mul_overflow(bytes, unit, &bytes))
        return SIZE_MAX;
    return bytes;
}

static size_t floats(int64_t rows, int64_t cols) {
    return table_bytes(rows, cols, sizeof(float));
}

static size_t ints(int64_t count) {
    return table_bytes(count, 1, sizeof(int32_t));
}

/* Width of `heads` heads: 0 if a size is not positive, so that the check of the operand refuses it.
 */
static int64_t width_of(int64_t heads, int64_t head_dim) {
    int64_t width;
    if (heads <= 0 || head_dim <= 0) return 0;
    return __builtin_mul_overflow(heads, head_dim, &width) ? INT64_MAX : width;
}

static bool extent_ok(backend *be, const char *op, const char *name, view v, size_t bytes) {
    if (!v.buf) {
        backend_fail(be, op, WEFT_ERR_ARGUMENT, "%s has no buffer", name);
    } else if (v.buf->owner != be) {
        backend_fail(be, op, WEFT_ERR_ARGUMENT, "%s lies in a buffer of another backend", name);
    } else if (v.offset % sizeof(float)) {
        backend_fail(be, op, WEFT_ERR_ARGUMENT, "%s is at byte %zu, which is not a multiple of 4",
                     name, v.offset);
    } else if (v.offset > v.buf->bytes || bytes > v.buf->bytes - v.offset) {
        backend_fail(be, op, WEFT_ERR_ARGUMENT,
                     "%s needs %zu bytes at byte %zu, past the end of its buffer of %zu", name,
                     bytes, v.offset, v.buf->bytes);
    } else {
        return true;
    }
    return false;
}

static bool operand_ok(backend *be, const char *op, const operand *o) {
    if (!o->bytes)
        backend_fail(be, op, WEFT_ERR_ARGUMENT, "a size of %s is zero or negative", o->name);
    else if (o->bytes == SIZE_MAX)
        backend_fail(be, op, WEFT_ERR_ARGUMENT, "the size of %s overflows", o->name);
    else
        return extent_ok(be, op, o->name, o->place, o->bytes);
    return false;
}

static bool overlaps(const operand *a, const operand *b) {
    return a->place.buf == b->place.buf && a->place.offset < b->place.offset + b->bytes &&
           b->place.offset < a->place.offset + a->bytes;
}

static bool overlaps_ok(backend *be, const char *op, const operand *list, int count, int written) {
    const operand *out = &list[written];
    for (int i = 0; i < count; i++) {
        if (i == written || !overlaps(out, &list[i])) continue;
        if ((out->may_be >> i & 1) && out->place.offset == list[i].place.offset) continue;
        if ((list[i].may_be >> written & 1) && out->place.offset == list[i].place.offset) continue;
        backend_fail(be, op, WEFT_ERR_ARGUMENT, "%s is written and overlaps %s", out->name,
                     list[i].name);
        return false;
    }
    return true;
}

/* May the operation run at all? */
static bool recording_ok(backend *be, const char *op) {
    if (backend_has_failed(be)) return false;
    if (!be->recording)
        backend_fail(be, op, WEFT_ERR_STATE, "called outside backend_begin and backend_submit");
    return be->recording;
}

static bool list_ready(backend *be, const char *op, const operand *list, int count) {
    if (!recording_ok(be, op)) return false;
    for (int i = 0; i < count; i++)
        if (!operand_ok(be, op, &list[i])) return false;
    for (int i = 0; i < count; i++)
        if (list[i].written && !overlaps_ok(be, op, list, count, i)) return false;
    return true;
}

static bool require(backend *be, const char *op, bool ok, const char *what) {
    if (!ok) backend_fail(be, op, WEFT_ERR_ARGUMENT, "%s", what);
    return ok;
}

#define WEIGHT_READY(be, w)                                                                        \
    (recording_ok(be, __func__) && require(be, __func__, (w) && (w)->owner == (be),                \
                                           "the weight is missing or of another backend"))

/* ---- life, memory, copies ---- */

void backend_free(backend **be) {
    if (!*be) return;
    (*be)->ops->destroy(*be);
    *be = NULL;
}

const char *backend_name(const backend *be) {
    return be->name;
}

uint64_t backend_bytes(const backend *be) {
    return be->bytes;
}

int buffer_create(backend *be, size_t bytes, buffer **out, weft_error *err) {
    *out = NULL;
    if (!bytes || bytes > PTRDIFF_MAX)
        return err_set(err, WEFT_ERR_ARGUMENT, "a buffer of %zu bytes cannot be created", bytes);
    buffer *b = calloc(1, sizeof *b);
    if (!b) return err_set(err, WEFT_ERR_MEMORY, "out of memory for a buffer");
    b->owner = be;
    b->bytes = bytes;
    int rc = be->ops->buffer_create(be, b, err);
    if (rc) {
        free(b);
        return rc;
    }
    be->bytes += bytes;
    *out = b;
    return WEFT_OK;
}

void buffer_free(backend *be, buffer **b) {
    if (!*b) return;
    be->bytes -= (*b)->bytes;
    be->ops->buffer_free(be, *b);
    free(*b);
    *b = NULL;
}

size_t buffer_bytes(const buffer *b) {
    return b->bytes;
}

void backend_write(backend *be, view to, const void *data, size_t bytes) {
    if (backend_has_failed(be) || !extent_ok(be, __func__, "to", to, bytes) || !bytes) return;
    be->ops->write(be, to, data, bytes);
}

int backend_read(backend *be, view from, void *data, size_t bytes, weft_error *err) {
    if (!backend_has_failed(be) && extent_ok(be, __func__, "from", from, bytes) && bytes)
        be->ops->read(be, from, data, bytes);
    int rc = report(be, err);
    if (!be->recording) forget(be);
    return rc;
}

void backend_begin(backend *be) {
    if (be->recording)
        backend_fail(be, __func__, WEFT_ERR_STATE, "called again before backend_submit");
    be->recording = true;
    be->ops->begin(be);
}

int backend_submit(backend *be, weft_error *err) {
    if (!be->recording)
        backend_fail(be, __func__, WEFT_ERR_STATE, "called without backend_begin");
    else
        be->ops->submit(be);
    be->recording = false;
    int rc = report(be, err);
    forget(be);
    return rc;
}

/* ---- weights ---- */

int ternary_weight_create(backend *be, const ternary_matrix *w, ternary_weight **out,
                          weft_error *err) {
    *out = NULL;
    if (!w->codes || w->rows < 1 || w->cols < 1 || w->rows > INT32_MAX || w->cols > INT32_MAX)
        return err_set(err, WEFT_ERR_ARGUMENT, "a ternary weight of %lld x %lld cannot be used",
                       (long long)w->rows, (long long)w->cols);
    if (!isfinite(w->scale))
        return err_set(err, WEFT_ERR_NUMERIC, "a ternary weight's scale is not a finite number");
    ternary_weight *weight = calloc(1, sizeof *weight);
    if (!weight) return err_set(err, WEFT_ERR_MEMORY, "out of memory for a ternary weight");
    weight->owner = be;
    weight->matrix = *w;
    int rc = be->ops->ternary_weight_create(be, weight, err);
    if (rc) {
        free(weight);
        return rc;
    }
    *out = weight;
    return WEFT_OK;
}

void ternary_weight_free(backend *be, ternary_weight **w) {
    if (!*w) return;
    be->ops->ternary_weight_free(be, *w);
    free(*w);
    *w = NULL;
}

/* Bytes of one row of a dense type; 0 if cols is not whole blocks or the type is unknown. */
static size_t dense_row_bytes(dense_type type, int64_t cols) {
    size_t n = (size_t)cols;
    switch (type) {
    case DENSE_F32:
        return n * 4;
    case DENSE_F16:
    case DENSE_BF16:
        return n * 2;
    case DENSE_Q8_0:
        return n % 32 ? 0 : n / 32 * 34;
    case DENSE_Q6_K:
        return n % 256 ? 0 : n / 256 * 210;
    }
    return 0;
}

static bool dense_shape_ok(const dense_matrix *w) {
    if (!w->data || w->rows < 1 || w->cols < 1 || w->rows > INT32_MAX || w->cols > INT32_MAX)
        return false;
    size_t least = dense_row_bytes(w->type, w->cols);
    return least && w->row_bytes >= least;
}

int dense_weight_create(backend *be, const dense_matrix *w, dense_weight **out, weft_error *err) {
    *out = NULL;
    if (!dense_shape_ok(w))
        return err_set(err, WEFT_ERR_ARGUMENT,
                       "a dense weight of type %d, %lld x %lld in rows of %zu bytes cannot be used",
                       (int)w->type, (long long)w->rows, (long long)w->cols, w->row_bytes);
    dense_weight *weight = calloc(1, sizeof *weight);
    if (!weight) return err_set(err, WEFT_ERR_MEMORY, "out of memory for a dense weight");
    weight->owner = be;
    weight->matrix = *w;
    int rc = be->ops->dense_weight_create(be, weight, err);
    if (rc) {
        free(weight);
        return rc;
    }
    *out = weight;
    return WEFT_OK;
}

void dense_weight_free(backend *be, dense_weight **w) {
    if (!*w) return;
    be->ops->dense_weight_free(be, *w);
    free(*w);
    *w = NULL;
}

/* ---- operations ---- */

void op_embed(backend *be, const dense_weight *w, view ids, int64_t tokens, view out) {
    if (!WEIGHT_READY(be, w)) return;
    const operand list[] = {IN(ids, ints(tokens)), OUT(out, floats(tokens, w->matrix.cols))};
    if (LIST_READY(be, list)) be->ops->embed(be, w, ids, tokens, out);
}

void op_rmsnorm(backend *be, view x, view gamma, int64_t tokens, int64_t n, float eps, view y) {
    const operand list[] = {IN(x, floats(tokens, n)), IN(gamma, floats(1, n)),
                            OUT_OR(y, floats(tokens, n), 1)};
    if (LIST_READY(be, list)) be->ops->rmsnorm(be, x, gamma, tokens, n, eps, y);
}

void op_rmsnorm_backward(backend *be, view x, view gamma, view dy, int64_t tokens, int64_t n,
                         float eps, view dx, bool add) {
    const operand list[] = {IN(dy, floats(tokens, n)), IN(x, floats(tokens, n)),
                            IN(gamma, floats(1, n)), OUT_OR(dx, floats(tokens, n), add ? 0 : 1)};
    if (LIST_READY(be, list)) be->ops->rmsnorm_backward(be, x, gamma, dy, tokens, n, eps, dx, add);
}

size_t quantised_bytes(int64_t tokens, int64_t n) {
    if (tokens <= 0 || n <= 0) return 0;
    if (n > INT32_MAX) return SIZE_MAX;
    return table_bytes(tokens, ternary_padded(n) + (int64_t)(sizeof(float) + sizeof(int32_t)), 1);
}

void op_quantise(backend *be, view x, int64_t tokens, int64_t n, view q8) {
    const operand list[] = {IN(x, floats(tokens, n)), OUT(q8, quantised_bytes(tokens, n))};
    if (LIST_READY(be, list)) be->ops->quantise(be, x, tokens, n, q8);
}

void op_rmsnorm_quantise(backend *be, view x, view gamma, int64_t tokens, int64_t n, float eps,
                         view y, view q8) {
    const operand list[] = {IN(x, floats(tokens, n)), IN(gamma, floats(1, n)),
                            OUT_OR(y, floats(tokens, n), 1), OUT(q8, quantised_bytes(tokens, n))};
    if (LIST_READY(be, list)) be->ops->rmsnorm_quantise(be, x, gamma, tokens, n, eps, y, q8);
}

void op_ternary_matmul(backend *be, const ternary_weight *w, view q8, int64_t tokens, view y) {
    if (!WEIGHT_READY(be, w)) return;
    const operand list[] = {IN(q8, quantised_bytes(tokens, w->matrix.cols)),
                            OUT(y, floats(tokens, w->matrix.rows))};
    if (LIST_READY(be, list)) be->ops->ternary_matmul(be, w, q8, tokens, y);
}

void op_ternary_matmul_add(backend *be, const ternary_weight *w, view q8, int64_t tokens, view base,
                           view y) {
    if (!WEIGHT_READY(be, w)) return;
    size_t bytes = floats(tokens, w->matrix.rows);
    const operand list[] = {IN(base, bytes), IN(q8, quantised_bytes(tokens, w->matrix.cols)),
                            OUT_OR(y, bytes, 1)};
    if (LIST_READY(be, list)) be->ops->ternary_matmul_add(be, w, q8, tokens, base, y);
}

void op_ternary_matmul_lora(backend *be, const ternary_weight *w, view q8, int64_t tokens,
                            const view *base, const lora_term *term, view y) {
    if (!WEIGHT_READY(be, w)) return;
    int64_t rows = w->matrix.rows;
    size_t bytes = floats(tokens, rows);
    const operand list[] = {{"base", base ? *base : y, bytes, false, 0},
                            IN(q8, quantised_bytes(tokens, w->matrix.cols)),
                            {"h", term->h, floats(tokens, term->r), false, 0},
                            {"b", term->b, floats(rows, term->r), false, 0},
                            OUT_OR(y, bytes, 1)};
    if (LIST_READY(be, list)) be->ops->ternary_matmul_lora(be, w, q8, tokens, base, term, y);
}

void op_ternary_matmul_f32(backend *be, const ternary_weight *w, view x, int64_t tokens, view y) {
    if (!WEIGHT_READY(be, w)) return;
    const operand list[] = {IN(x, floats(tokens, w->matrix.cols)),
                            OUT(y, floats(tokens, w->matrix.rows))};
    if (LIST_READY(be, list)) be->ops->ternary_matmul_f32(be, w, x, tokens, y);
}

void op_ternary_matmul_t(backend *be, const ternary_weight *w, view dy, int64_t tokens,
                         precision grade, view dx, bool add) {
    if (!WEIGHT_READY(be, w)) return;
    const operand list[] = {IN(dy, floats(tokens, w->matrix.rows)),
                            OUT(dx, floats(tokens, w->matrix.cols))};
    if (LIST_READY(be, list)) be->ops->ternary_matmul_t(be, w, dy, tokens, grade, dx, add);
}

void op_dense_matmul(backend *be, const dense_weight *w, view x, int64_t tokens, precision grade,
                     view y) {
    if (!WEIGHT_READY(be, w)) return;
    const operand list[] = {IN(x, floats(tokens, w->matrix.cols)),
                            OUT(y, floats(tokens, w->matrix.rows))};
    if (LIST_READY(be, list)) be->ops->dense_matmul(be, w, x, tokens, grade, y);
}

void op_lora_down(backend *be, view x, view a, int64_t tokens, int64_t k, int64_t r, view h) {
    const operand list[] = {IN(x, floats(tokens, k)), IN(a, floats(r, k)),
                            OUT(h, floats(tokens, r))};
    if (LIST_READY(be, list)) be->ops->lora_down(be, x, a, tokens, k, r, h);
}

void op_lora_up(backend *be, view h, view b, int64_t tokens, int64_t n, int64_t r, float scale,
                view y) {
    const operand list[] = {IN(h, floats(tokens, r)), IN(b, floats(n, r)),
                            OUT(y, floats(tokens, n))};
    if (LIST_READY(be, list)) be->ops->lora_up(be, h, b, tokens, n, r, scale, y);
}

void op_lora_backward(backend *be, const lora_backward_args *args) {
    const lora_backward_args *s = args;
    if (s->w && !WEIGHT_READY(be, s->w)) return;
    if (s->w && !require(be, __func__, s->w->matrix.rows == s->n && s->w->matrix.cols == s->k,
                         "the weight has another shape"))
        return;
    const operand list[] = {
        {"x", s->x, floats(s->tokens, s->k), false, 0},
        {"h", s->h, floats(s->tokens, s->r), false, 0},
        {"dy", s->dy, floats(s->tokens, s->n), false, 0},
        {"a", s->a, floats(s->r, s->k), false, 0},
        {"b", s->b, floats(s->n, s->r), false, 0},
        {"g", s->g, floats(s->tokens, s->r), true, 0},
        {"da", s->da, floats(s->r, s->k), true, 0},
        {"db", s->db, floats(s->n, s->r), true, 0},
        {"dx", s->dx, floats(s->tokens, s->k), true, 0},
    };
    if (LIST_READY(be, list)) be->ops->lora_backward(be, s);
}

void op_dropout(backend *be, view x, int64_t count, float p, uint64_t seed, view y, bool add) {
    const operand list[] = {IN(x, floats(count, 1)), OUT_OR(y, floats(count, 1), 1)};
    if (LIST_READY(be, list) &&
        require(be, __func__, p >= 0 && p < 1, "the probability is not in [0, 1)"))
        be->ops->dropout(be, x, count, p, seed, y, add);
}

void op_rope(backend *be, view x, view positions, view table, int64_t tokens, int64_t heads,
             int64_t head_dim, bool interleaved, bool inverse) {
    const operand list[] = {OUT(x, floats(tokens, width_of(heads, head_dim))),
                            IN(positions, ints(tokens)), IN(table, floats(1, head_dim))};
    if (LIST_READY(be, list) && require(be, __func__, head_dim % 2 == 0, "head_dim is odd"))
        be->ops->rope(be, x, positions, table, tokens, heads, head_dim, interleaved, inverse);
}

void op_rope_scatter(backend *be, view x, view positions, view table, int64_t tokens, int64_t heads,
                     int64_t head_dim, bool interleaved, view rows, view y, int64_t row_count) {
    int64_t width = width_of(heads, head_dim);
    const operand list[] = {OUT(x, floats(tokens, width)), IN(positions, ints(tokens)),
                            IN(table, floats(1, head_dim)), IN(rows, ints(tokens)),
                            OUT(y, floats(row_count, width))};
    if (LIST_READY(be, list) && require(be, __func__, head_dim % 2 == 0, "head_dim is odd"))
        be->ops->rope_scatter(be, x, positions, table, tokens, heads, head_dim, interleaved, rows,
                              y, row_count);
}

static bool heads_ok(backend *be, const char *op, const attention_args *s) {
    return require(be, op, s->heads % s->kv_heads == 0, "heads is not a multiple of kv_heads") &&
           require(be, op, s->keys <= INT32_MAX, "more keys than an int32 can name");
}

void op_attention(backend *be, const attention_args *args) {
    const attention_args *s = args;
    int64_t width = width_of(s->heads, s->head_dim), kv_width = width_of(s->kv_heads, s->head_dim);
    const operand list[] = {
        {"q", s->q, floats(s->tokens, width), false, 0},
        {"k", s->k, floats(s->keys, kv_width), false, 0},
        {"v", s->v, floats(s->keys, kv_width), false, 0},
        {"first", s->first, ints(s->tokens), false, 0},
        {"last", s->last, ints(s->tokens), false, 0},
        {"out", s->out, floats(s->tokens, width), true, 0},
    };
    if (LIST_READY(be, list) && heads_ok(be, __func__, s)) be->ops->attention(be, s);
}

void op_attention_backward(backend *be, const attention_args *args, view dout, view dq, view dk,
                           view dv) {
    const attention_args *s = args;
    size_t bytes = floats(s->tokens, width_of(s->heads, s->head_dim));
    size_t kv_bytes = floats(s->tokens, width_of(s->kv_heads, s->head_dim));
    const operand list[] = {
        {"q", s->q, bytes, false, 0},
        {"k", s->k, kv_bytes, false, 0},
        {"v", s->v, kv_bytes, false, 0},
        {"first", s->first, ints(s->tokens), false, 0},
        {"last", s->last, ints(s->tokens), false, 0},
        IN(dout, bytes),
        OUT(dq, bytes),
        OUT(dk, kv_bytes),
        OUT(dv, kv_bytes),
    };
    if (LIST_READY(be, list) && heads_ok(be, __func__, s) &&
        require(be, __func__, s->keys == s->tokens, "keys and tokens differ"))
        be->ops->attention_backward(be, s, dout, dq, dk, dv);
}

static bool activation_ok(backend *be, const char *op, activation act) {
    return require(be, op, act == ACTIVATION_RELU2 || act == ACTIVATION_SILU,
                   "the activation is unknown");
}

void op_glu(backend *be, activation act, view gate, view up, int64_t count, view out) {
    const operand list[] = {IN(gate, floats(count, 1)), IN(up, floats(count, 1)),
                            OUT(out, floats(count, 1))};
    if (LIST_READY(be, list) && activation_ok(be, __func__, act))
        be->ops->glu(be, act, gate, up, count, out);
}

void op_glu_rmsnorm_quantise(backend *be, activation act, view gate, view up, view gamma,
                             int64_t tokens, int64_t n, float eps, view out, view y, view q8) {
    size_t bytes = floats(tokens, n);
    const operand list[] = {IN(gate, bytes),          IN(up, bytes),
                            IN(gamma, floats(1, n)),  OUT(out, bytes),
                            OUT_OR(y, bytes, 1 << 3), OUT(q8, quantised_bytes(tokens, n))};
    if (LIST_READY(be, list))
        be->ops->glu_rmsnorm_quantise(be, act, gate, up, gamma, tokens, n, eps, out, y, q8);
}

void op_glu_backward(backend *be, activation act, view gate, view up, view dout, int64_t count,
                     view dgate, view dup) {
    const operand list[] = {IN(gate, floats(count, 1)), IN(up, floats(count, 1)),
                            IN(dout, floats(count, 1)), OUT_OR(dgate, floats(count, 1), 1 << 0),
                            OUT_OR(dup, floats(count, 1), 1 << 1)};
    if (LIST_READY(be, list) && activation_ok(be, __func__, act))
        be->ops->glu_backward(be, act, gate, up, dout, count, dgate, dup);
}

size_t head_loss_scratch_bytes(const backend *be, const dense_weight *w) {
    return be->ops->head_loss_scratch_bytes(be, w);
}

void op_head_loss(backend *be, const dense_weight *w, view x, view targets, int64_t tokens,
                  float grad_scale, precision grade, view losses, view dx, view scratch) {
    if (!WEIGHT_READY(be, w)) return;
    size_t bytes = floats(tokens, w->matrix.cols);
    const operand list[] = {IN(x, bytes), IN(targets, ints(tokens)), OUT(losses, floats(tokens, 1)),
                            OUT(scratch, be->ops->head_loss_scratch_bytes(be, w)), OUT(dx, bytes)};
    int count = grad_scale != 0 ? 5 : 4;
    if (list_ready(be, __func__, list, count))
        be->ops->head_loss(be, w, x, targets, tokens, grad_scale, grade, losses, dx, scratch);
}

void op_add(backend *be, view a, view b, int64_t count, view out) {
    const operand list[] = {IN(a, floats(count, 1)), IN(b, floats(count, 1)),
                            OUT_OR(out, floats(count, 1), 1 << 0 | 1 << 1)};
    if (LIST_READY(be, list)) be->ops->add(be, a, b, count, out);
}

void op_gather(backend *be, view x, int64_t row_count, view rows, int64_t count, int64_t n,
               view y) {
    const operand list[] = {IN(x, floats(row_count, n)), IN(rows, ints(count)),
                            OUT(y, floats(count, n))};
    if (LIST_READY(be, list)) be->ops->gather(be, x, row_count, rows, count, n, y);
}

void op_scatter(backend *be, view x, view rows, int64_t count, int64_t n, view y,
                int64_t row_count) {
    const operand list[] = {IN(x, floats(count, n)), IN(rows, ints(count)),
                            OUT(y, floats(row_count, n))};
    if (LIST_READY(be, list)) be->ops->scatter(be, x, rows, count, n, y, row_count);
}

void op_copy(backend *be, view from, view to, size_t bytes) {
    const operand list[] = {IN(from, bytes), OUT(to, bytes)};
    if (LIST_READY(be, list)) be->ops->copy(be, from, to, bytes);
}

void op_fill_zero(backend *be, view to, size_t bytes) {
    const operand list[] = {OUT(to, bytes)};
    if (LIST_READY(be, list)) be->ops->fill_zero(be, to, bytes);
}

void op_sum_squares(backend *be, view x, int64_t count, view out) {
    const operand list[] = {IN(x, floats(count, 1)), OUT(out, 2 * sizeof(float))};
    if (LIST_READY(be, list)) be->ops->sum_squares(be, x, count, out);
}

void op_adamw(backend *be, const adamw_settings *settings, int64_t count, view p, view g, view m,
              view v) {
    const operand list[] = {OUT(p, floats(count, 1)), IN(g, floats(count, 1)),
                            OUT(m, floats(count, 1)), OUT(v, floats(count, 1))};
    if (LIST_READY(be, list)) be->ops->adamw(be, settings, count, p, g, m, v);
}
