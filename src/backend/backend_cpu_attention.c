/* CPU attention and the rotation of its queries and keys. Refuses key ranges and positions that
 * would lead out of a buffer. */
#include "backend/backend_cpu.h"

#define ATTENTION_TOKENS 32 /* tokens of one head in one item of work */

/* ---- rotation ---- */

typedef struct rope_call {
    const kernels *k;
    float *x;
    const int32_t *positions;
    const float *table;
    int64_t heads, head_dim;
    bool interleaved, inverse;
} rope_call;

static void rope_rows(void *context, int64_t begin, int64_t end, int worker) {
    const rope_call *c = context;
    (void)worker;
    for (int64_t t = begin; t < end; t++)
        c->k->rope_row(c->x + t * c->heads * c->head_dim, c->heads, c->head_dim,
                       c->table + c->positions[t] * c->head_dim, c->interleaved, c->inverse);
}

void cpu_rope_scatter(backend *be, view x, view positions, view table, int64_t tokens,
                      int64_t heads, int64_t head_dim, bool interleaved, view rows, view y,
                      int64_t row_count) {
    cpu_rope(be, x, positions, table, tokens, heads, head_dim, interleaved, false);
    if (!backend_has_failed(be)) cpu_scatter(be, x, rows, tokens, heads * head_dim, y, row_count);
}

void cpu_rope(backend *be, view x, view positions, view table, int64_t tokens, int64_t heads,
              int64_t head_dim, bool interleaved, bool inverse) {
    cpu_backend *cpu = cpu_of(be);
    const int32_t *at = cpu_ints(positions);
    size_t row_bytes = (size_t)head_dim * sizeof(float);
    int64_t rows = (int64_t)((table.buf->bytes - table.offset) / row_bytes);
    for (int64_t t = 0; t < tokens; t++) {
        if (at[t] >= 0 && at[t] < rows) continue;
        backend_fail(be, "op_rope", WEFT_ERR_RANGE, "position %d of token %lld is not in 0 .. %lld",
                     at[t], (long long)t, (long long)rows - 1);
        return;
    }
    rope_call call = {&cpu->k, cpu_floats(x), at,          cpu_floats(table),
                      heads,   head_dim,      interleaved, inverse};
    cpu_run(cpu, tokens, 2.0 * (double)heads * (double)head_dim, rope_rows, &call);
}

/* ---- forward ---- */

typedef struct attention_call {
    const kernels *k;
    attention_shape shape;
    int64_t tokens, blocks; /* token blocks a head */
    const float *q, *key, *value;
    float *out;
    float *scratch; /* (threads, scratch_floats) */
    size_t scratch_floats;
} attention_call;

static attention_shape shape_of(const attention_args *s) {
    return (attention_shape){.heads = s->heads,
                             .kv_heads = s->kv_heads,
                             .head_dim = s->head_dim,
                             .scale = s->scale,
                             .ldq = s->heads * s->head_dim,
                             .ldkv = s->kv_heads * s->head_dim,
                             .first = cpu_ints(s->first),
                             .last = cpu_ints(s->last)};
}

/* Check every token's key range; the longest and the sum of all. */
static bool spans_ok(backend *be, const attention_args *s, int64_t *longest, double *total) {
    const int32_t *first = cpu_ints(s->first), *last = cpu_ints(s->last);
    *longest = 0;
    *total = 0;
    for (int64_t t = 0; t < s->tokens; t++) {
        if (first[t] < 0 || last[t] < first[t] || last[t] >= s->keys) {
            backend_fail(be, "op_attention", WEFT_ERR_RANGE,
                         "token %lld sees the keys %d .. %d of %lld", (long long)t, first[t],
                         last[t], (long long)s->keys);
            return false;
        }
        int64_t span = (int64_t)last[t] - first[t] + 1;
        if (span > *longest) *longest = span;
        *total += (double)span;
    }
    return true;
}

static void attention_items(void *context, int64_t begin, int64_t end, int worker) {
    const attention_call *c = context;
    float *scratch = c->scratch + (size_t)worker * c->scratch_floats;
    for (int64_t i = begin; i < end; i++) {
        int64_t token = i % c->blocks * ATTENTION_TOKENS;
        int64_t left = c->tokens - token;
        c->k->attention(&c->shape, i / c->blocks, token,
                        token + (left < ATTENTION_TOKENS ? left : ATTENTION_TOKENS), c->q, c->key,
                        c->value, c->out, scratch);
    }
}

/* Floats of scratch for one thread, so that no two share a cache line. */
static size_t padded_floats(int64_t count) {
    return round_up((size_t)count, 16);
}

void cpu_attention(backend *be, const attention_args *args) {
    cpu_backend *cpu = cpu_of(be);
    int64_t longest;
    double total;
    if (!spans_ok(be, args, &longest, &total)) return;
    attention_call call = {.k = &cpu->k,
                           .shape = shape_of(args),
                           .tokens = args->tokens,
                           .blocks = (args->tokens - 1) / ATTENTION_TOKENS + 1,
                           .q = cpu_floats(args->q),
                           .key = cpu_floats(args->k),
                           .value = cpu_floats(args->v),
                           .out = cpu_floats(args->out),
                           .scratch_floats = padded_floats(attention_scratch_floats(longest))};
    size_t threads = (size_t)pool_thread_count(cpu->threads);
    call.scratch = cpu_scratch(cpu, "op_attention", threads * call.scratch_floats * sizeof(float));
    if (!call.scratch) return;
    double cost = total / (double)call.blocks * 2 * (double)args->head_dim;
    cpu_run(cpu, args->heads * call.blocks, cost, attention_items, &call);
}

/* ---- backward: one item is a query head of a document ----
 *
 * Query heads that share a key/value head would add to the same dk and dv. The first of them writes
 * there, each other one to a part of its own, and the parts are added in the order of the heads. */

typedef struct attention_backward_call {
    const kernels *k;
    attention_shape shape; /* of one query head */
    int64_t tokens, heads, group;
    const int32_t *starts; /* (documents + 1) */
    const float *q, *key, *value, *dout;
    float *dq, *dk, *dv;
    float *parts;   /* (group - 1, 2, tokens, ldkv): dk and dv of the heads but the first */
    float *scratch; /* (threads, scratch_floats) */
    size_t scratch_floats;
} attention_backward_call;

/* Documents: how many, and the longest; refuses ranges that are not those of packed documents. */
static bool documents_ok(backend *be, const attention_args *s, int64_t *count, int64_t *longest) {
    const int32_t *first = cpu_ints(s->first), *last = cpu_ints(s->last);
    int64_t start = 0;
    *count = 0;
    *longest = 0;
    for (int64_t t = 0; t < s->tokens; t++) {
        if (first[t] == t) {
            start = t;
            ++*count;
        }
        if (first[t] < start || first[t] > t || last[t] != t) {
            backend_fail(be, "op_attention_backward", WEFT_ERR_RANGE,
                         "token %lld sees the keys %d .. %d, but its document begins at %lld",
                         (long long)t, first[t], last[t], (long long)start);
            return false;
        }
        if (t - start + 1 > *longest) *longest = t - start + 1;
    }
    return true;
}

static void fill_starts(const int32_t *first, int64_t tokens, int32_t *starts) {
    for (int32_t t = 0; t < tokens; t++)
        if (first[t] == t) *starts++ = t;
    *starts = (int32_t)tokens;
}

static void attention_backward_items(void *context, int64_t begin, int64_t end, int worker) {
    const attention_backward_call *c = context;
    int64_t d = c->shape.head_dim, size = c->tokens * c->shape.ldkv;
    float *scratch = c->scratch + (size_t)worker * c->scratch_floats;
    for (int64_t i = begin; i < end; i++) {
        const int32_t *start = c->starts + i / c->heads;
        int64_t head = i % c->heads, q = head * d, kv = head / c->group * d;
        int64_t part = head % c->group;
        float *dk = part ? c->parts + (part - 1) * 2 * size : c->dk;
        float *dv = part ? dk + size : c->dv;
        c->k->attention_backward(&c->shape, 0, start[0], start[1], c->q + q, c->key + kv,
                                 c->value + kv, c->dout + q, c->dq + q, dk + kv, dv + kv, scratch);
    }
}

static void add_parts(void *context, int64_t begin, int64_t end, int worker) {
    const attention_backward_call *c = context;
    int64_t size = c->tokens * c->shape.ldkv;
    (void)worker;
    for (int64_t part = 0; part < c->group - 1; part++) {
        const float *dk = c->parts + part * 2 * size + begin;
        c->k->add(c->dk + begin, dk, end - begin, c->dk + begin);
        c->k->add(c->dv + begin, dk + size, end - begin, c->dv + begin);
    }
}

/* Split the scratch of the operation; false after a sticky failure. */
static bool place_backward(cpu_backend *cpu, attention_backward_call *c, int64_t documents,
                           int64_t longest, const int32_t *first) {
    size_t threads = (size_t)pool_thread_count(cpu->threads);
    size_t start_bytes = round_up((size_t)(documents + 1) * sizeof(int32_t), 64);
    size_t part_floats = (size_t)((c->group - 1) * 2 * c->tokens * c->shape.ldkv);
    c->scratch_floats = padded_floats(attention_backward_scratch_floats(longest));
    uint8_t *scratch =
        cpu_scratch(cpu, "op_attention_backward",
                    start_bytes + (threads * c->scratch_floats + part_floats) * sizeof(float));
    if (!scratch) return false;
    int32_t *starts = (int32_t *)(void *)scratch;
    fill_starts(first, c->tokens, starts);
    c->starts = starts;
    c->scratch = (float *)(void *)(scratch + start_bytes);
    c->parts = c->scratch + threads * c->scratch_floats;
    return true;
}

void cpu_attention_backward(backend *be, const attention_args *args, view dout, view dq, view dk,
                            view dv) {
    cpu_backend *cpu = cpu_of(be);
    int64_t documents, longest;
    if (!documents_ok(be, args, &documents, &longest)) return;
    attention_backward_call call = {.k = &cpu->k,
                                    .shape = shape_of(args),
                                    .tokens = args->tokens,
                                    .heads = args->heads,
                                    .group = args->heads / args->kv_heads,
                                    .q = cpu_floats(args->q),
                                    .key = cpu_floats(args->k),
                                    .value = cpu_floats(args->v),
                                    .dout = cpu_floats(dout),
                                    .dq = cpu_floats(dq),
                                    .dk = cpu_floats(dk),
                                    .dv = cpu_floats(dv)};
    call.shape.heads = call.shape.kv_heads = 1;
    if (!place_backward(cpu, &call, documents, longest, cpu_ints(args->first))) return;
    double mean = (double)args->tokens / (double)documents;
    double cost = mean * mean * 3 * (double)args->head_dim;
    cpu_run(cpu, documents * args->heads, cost, attention_backward_items, &call);
    if (call.group > 1)
        cpu_run(cpu, args->tokens * call.shape.ldkv, 4.0 * (double)(call.group - 1), add_parts,
                &call);
}
