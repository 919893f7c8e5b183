/* Attention and its backward on a Vulkan device. Many tokens go by tiles of 64 queries and 64 keys;
 * the keys of a few tokens are split between groups, and so are keys that do not fit a binding.
 * Refuses heads of more than 256 dimensions, and a backward whose keys do not fit a binding. */
#include "backend/vk_attention.h"

enum {
    TILE = 64,
    FEW_TOKENS = 8, /* at most: by splitting keys */
    FEW_ROWS = 4,   /* query heads of a group there */
    FEW_GROUPS = 1024,
    FEW_PARTS_MAX = 128,
    DIM_MAX = 256,
    NARROW_DIM = 64, /* heads up to it take the form with fewer columns */
    STATS = 3        /* floats of a row that the backward needs */
};

/* A call, its tables' rows, and the token rows and key rows that are bound now. */
typedef struct attention_call {
    const char *op;
    const attention_args *s;
    int64_t q_row, kv_row; /* floats */
    int64_t token, tokens, key, keys;
} attention_call;

static bool start(vk_backend *vk, const char *op, const attention_args *s, attention_call *c) {
    *c = (attention_call){.op = op, .s = s, .tokens = s->tokens, .keys = s->keys};
    c->q_row = s->heads * s->head_dim;
    c->kv_row = s->kv_heads * s->head_dim;
    if (s->head_dim <= DIM_MAX) return true;
    backend_fail((backend *)(void *)vk, op, WEFT_ERR_UNSUPPORTED,
                 "heads of %lld dimensions; at most %d can be used", (long long)s->head_dim,
                 DIM_MAX);
    return false;
}

static uint32_t columns_of(const attention_args *s) {
    return s->head_dim <= NARROW_DIM ? 4 : 8;
}

static int64_t column_blocks(const attention_args *s) {
    return vk_blocks(s->head_dim, 16 * columns_of(s));
}

static vk_binding query_rows(const attention_call *c, view table, vk_access access) {
    return vk_floats(view_floats(table, c->token * c->q_row), c->tokens * c->q_row, access);
}
static vk_binding key_rows(const attention_call *c, view table, vk_access access) {
    return vk_floats(view_floats(table, c->key * c->kv_row), c->keys * c->kv_row, access);
}

/* Multiplications and additions if each token sees half of the keys bound: the ranges are data. */
static double work_of(const attention_call *c, double products) {
    return products * (double)c->tokens * (double)c->keys * (double)c->q_row;
}

typedef struct attention_push {
    uint32_t tokens, keys, heads, kv_heads;
    float scale;
    uint32_t first_token, first_key, all_keys, part, parts;
} attention_push;

static attention_push push_of(const attention_call *c, int64_t part, int64_t parts) {
    const attention_args *s = c->s;
    return (attention_push){.tokens = (uint32_t)c->tokens,
                            .keys = (uint32_t)c->keys,
                            .heads = (uint32_t)s->heads,
                            .kv_heads = (uint32_t)s->kv_heads,
                            .scale = s->scale,
                            .first_token = (uint32_t)c->token,
                            .first_key = (uint32_t)c->key,
                            .all_keys = (uint32_t)s->keys,
                            .part = (uint32_t)part,
                            .parts = (uint32_t)parts};
}

/* ---- forward ---- */

/* What is done, and where results go: out; parts (parts, T, heads, d) with stats (parts, T, heads,
 * 2); or stats (T, heads, STATS) alone, for the backward. */
typedef struct attention_out {
    vk_shader shader;
    bool part;
    vk_binding out, stats;
} attention_out;

static vk_dispatch forward_dispatch(vk_backend *vk, const attention_call *c,
                                    const attention_out *to) {
    const attention_args *s = c->s;
    return (vk_dispatch){.op = c->op,
                         .shader = to->shader,
                         .constants = {(uint32_t)s->head_dim, columns_of(s), to->part},
                         .constant_count = 3,
                         .bindings = {query_rows(c, s->q, VK_READ), key_rows(c, s->k, VK_READ),
                                      key_rows(c, s->v, VK_READ), vk_in(s->first, s->tokens),
                                      vk_in(s->last, s->tokens), to->out, to->stats,
                                      vk_fault_binding(vk)},
                         .binding_count = 8,
                         .operations = work_of(c, 2),
                         .bytes = 8.0 * (double)(c->tokens * c->q_row + c->keys * c->kv_row)};
}

static void run_tiles(vk_backend *vk, const attention_call *c, const attention_out *to,
                      int64_t part) {
    attention_push push = push_of(c, part, 1);
    vk_dispatch d = forward_dispatch(vk, c, to);
    d.push = &push;
    d.push_bytes = sizeof push - sizeof push.parts;
    int64_t tiles = vk_blocks(c->tokens, TILE);
    vk_groups(vk, (uint64_t)(tiles * c->s->heads * column_blocks(c->s)), d.groups);
    vk_run(vk, &d);
}

static int64_t few_blocks(const attention_call *c) {
    return vk_blocks(c->tokens * (c->s->heads / c->s->kv_heads), FEW_ROWS) * c->s->kv_heads;
}

static void run_few(vk_backend *vk, const attention_call *c, const attention_out *to, int64_t part,
                    int64_t parts) {
    attention_push push = push_of(c, part, parts);
    vk_dispatch d = forward_dispatch(vk, c, to);
    d.constant_count = 1;
    d.push = &push;
    d.push_bytes = sizeof push;
    vk_groups(vk, (uint64_t)(few_blocks(c) * parts), d.groups);
    vk_run(vk, &d);
}

static void run_merge(vk_backend *vk, const attention_call *c, const attention_out *from,
                      int64_t parts) {
    struct {
        uint32_t rows, parts;
    } push = {(uint32_t)(c->tokens * c->s->heads), (uint32_t)parts};
    vk_dispatch d = {.op = c->op,
                     .shader = VK_SHADER_attention_merge,
                     .constants = {(uint32_t)c->s->head_dim},
                     .constant_count = 1,
                     .bindings = {from->out, from->stats, query_rows(c, c->s->out, VK_WRITE)},
                     .binding_count = 3,
                     .push = &push,
                     .push_bytes = sizeof push,
                     .operations = 2.0 * (double)(parts * c->tokens * c->q_row),
                     .bytes = 4.0 * (double)((parts + 1) * c->tokens * c->q_row)};
    d.bindings[0].access = d.bindings[1].access = VK_READ;
    vk_groups(vk, push.rows, d.groups);
    vk_run(vk, &d);
}

/* Parts of a window of keys. */
static int64_t few_parts(const attention_call *c, int64_t keys) {
    int64_t parts = vk_least(vk_blocks(FEW_GROUPS, few_blocks(c)), FEW_PARTS_MAX);
    return vk_least(parts, vk_blocks(keys, TILE));
}

/* Token rows in parts by their keys: `window` keys at a time, each in `parts` parts. */
static void run_parts(vk_backend *vk, attention_call *c, int64_t window, int64_t parts) {
    int64_t all = vk_blocks(c->s->keys, window) * parts, rows = c->tokens * c->s->heads;
    int64_t floats = all * rows * c->s->head_dim;
    view scratch;
    if (!vk_scratch(vk, c->op, VK_SCRATCH_PARTIAL,
                    (size_t)(floats + all * rows * 2) * sizeof(float), &scratch))
        return;
    bool few = c->tokens <= FEW_TOKENS;
    attention_out to = {few ? VK_SHADER_attention_few : VK_SHADER_attention, true,
                        vk_out(scratch, floats),
                        vk_out(view_floats(scratch, floats), all * rows * 2)};
    for (int64_t i = 0; i < all; i += parts) {
        c->key = i / parts * window;
        c->keys = vk_least(window, c->s->keys - c->key);
        if (few)
            run_few(vk, c, &to, i, parts);
        else
            run_tiles(vk, c, &to, i);
    }
    run_merge(vk, c, &to, all);
}

void vk_attention(backend *be, const attention_args *args) {
    vk_backend *vk = vk_of(be);
    attention_call c;
    if (vk_attention_has_half(vk, args, false)) {
        vk_attention_half(be, args);
        return;
    }
    if (!start(vk, "op_attention", args, &c)) return;
    int64_t window = vk_float_rows(vk, c.op, c.kv_row, args->keys);
    if (!window) return;
    bool few = args->tokens <= FEW_TOKENS, split = few || window < args->keys;
    int64_t parts = few ? few_parts(&c, window) : 1;
    int64_t row = c.q_row * (split ? vk_blocks(args->keys, window) * parts : 1);
    int64_t rows = vk_float_rows(vk, c.op, row, args->tokens);
    for (c.token = 0; rows && c.token < args->tokens; c.token += rows) {
        c.tokens = vk_least(rows, args->tokens - c.token);
        vk_binding out = query_rows(&c, args->out, VK_WRITE);
        attention_out to = {VK_SHADER_attention, false, out, out}; /* no stats are written */
        if (split)
            run_parts(vk, &c, window, parts);
        else
            run_tiles(vk, &c, &to, 0);
    }
}

/* ---- backward ---- */

typedef struct backward_call {
    attention_call c;
    view dout, dq, dk, dv, stats;
} backward_call;

static vk_binding stats_rows(const backward_call *b, vk_access access) {
    int64_t row = b->c.s->heads * STATS;
    return vk_floats(view_floats(b->stats, b->c.token * row), b->c.tokens * row, access);
}

static void run_gradient(vk_backend *vk, const backward_call *b, vk_shader shader, vk_binding out,
                         double products) {
    const attention_call *c = &b->c;
    const attention_args *s = c->s;
    struct {
        uint32_t queries, keys, heads, kv_heads;
        float scale;
        uint32_t first_query, first_key, add, tokens;
    } push = {(uint32_t)c->tokens,
              (uint32_t)c->keys,
              (uint32_t)s->heads,
              (uint32_t)s->kv_heads,
              s->scale,
              (uint32_t)c->token,
              (uint32_t)c->key,
              out.access == VK_READ_WRITE,
              (uint32_t)s->tokens};
    vk_dispatch d = {.op = c->op,
                     .shader = shader,
                     .constants = {(uint32_t)s->head_dim, columns_of(s)},
                     .constant_count = 2,
                     .bindings = {query_rows(c, s->q, VK_READ), key_rows(c, s->k, VK_READ),
                                  key_rows(c, s->v, VK_READ), vk_in(s->first, s->tokens),
                                  query_rows(c, b->dout, VK_READ), stats_rows(b, VK_READ), out},
                     .binding_count = 7,
                     .push = &push,
                     .push_bytes = sizeof push,
                     .operations = work_of(c, products),
                     .bytes = 4.0 * (double)(3 * c->tokens * c->q_row + 2 * c->keys * c->kv_row)};
    bool by_query = shader == VK_SHADER_attention_dq;
    int64_t tiles =
        by_query ? vk_blocks(c->tokens, TILE) * s->heads : vk_blocks(c->keys, TILE) * s->kv_heads;
    vk_groups(vk, (uint64_t)(tiles * column_blocks(s)), d.groups);
    vk_run(vk, &d);
}

/* All that is summed over keys, for the queries that are bound. */
static void run_queries(vk_backend *vk, const backward_call *b) {
    attention_out to = {VK_SHADER_attention_stats, false, query_rows(&b->c, b->dout, VK_READ),
                        stats_rows(b, VK_WRITE)};
    run_tiles(vk, &b->c, &to, 0);
    run_gradient(vk, b, VK_SHADER_attention_dq, query_rows(&b->c, b->dq, VK_WRITE), 3);
}

/* What the queries that are bound add to the gradients of all keys. */
static void run_keys(vk_backend *vk, const backward_call *b) {
    vk_access access = b->c.token ? VK_READ_WRITE : VK_WRITE;
    run_gradient(vk, b, VK_SHADER_attention_dv, key_rows(&b->c, b->dv, access), 2);
    run_gradient(vk, b, VK_SHADER_attention_dk, key_rows(&b->c, b->dk, access), 3);
}

void vk_attention_backward(backend *be, const attention_args *args, view dout, view dq, view dk,
                           view dv) {
    vk_backend *vk = vk_of(be);
    backward_call b = {.dout = dout, .dq = dq, .dk = dk, .dv = dv};
    attention_call *c = &b.c;
    if (vk_attention_has_half(vk, args, true)) {
        vk_attention_half_backward(be, args, dout, dq, dk, dv);
        return;
    }
    if (!start(vk, "op_attention_backward", args, c)) return;
    int64_t keys = vk_float_rows(vk, c->op, c->kv_row, args->keys);
    if (!keys) return;
    if (keys < args->keys) {
        backend_fail(be, c->op, WEFT_ERR_UNSUPPORTED,
                     "the keys of %lld tokens do not fit a binding of %llu bytes; train on fewer "
                     "tokens at once",
                     (long long)args->tokens, (unsigned long long)vk_limits_of(vk)->window_bytes);
        return;
    }
    size_t bytes = (size_t)(args->tokens * args->heads * STATS) * sizeof(float);
    int64_t rows = vk_float_rows(vk, c->op, c->q_row, args->tokens);
    if (!rows || !vk_scratch(vk, c->op, VK_SCRATCH_PARTIAL, bytes, &b.stats)) return;
    for (c->token = 0; c->token < args->tokens; c->token += rows) {
        c->tokens = vk_least(rows, args->tokens - c->token);
        run_queries(vk, &b);
        run_keys(vk, &b);
    }
}

void vk_plan_attention(const vk_backend *vk, const training_extent *e, vk_scratch_plan *plan) {
    const attention_args args = {.tokens = e->tokens,
                                 .keys = e->tokens,
                                 .heads = e->heads,
                                 .kv_heads = e->kv_heads,
                                 .head_dim = e->head_dim,
                                 .grade = e->grade};
    vk_plan_raise(plan, VK_SCRATCH_PARTIAL, (size_t)(e->tokens * e->heads * STATS) * sizeof(float));
    if (vk_attention_has_half(vk, &args, true))
        vk_plan_raise(plan, VK_SCRATCH_HALF, vk_attention_half_bytes(&args, true));
}
