/* Attention and its backward on cooperative matrices, for callers that round their activations
 * anyway: queries, keys, values and the gradient of the output become halves, each table of one
 * scale; sums are float32. Takes heads of whole blocks of 16 dimensions, and tables that fit a
 * binding. */
#include "backend/vk_attention.h"

/* Of shaders/attention_coop.glsl. */
enum {
    SIDE = 16, /* of a matrix */
    SUBGROUPS = 4,
    ROWS = SIDE * SUBGROUPS, /* of a group */
    COLUMNS = 32,
    LANES = 32, /* of a subgroup, at least */
    STATS = 2
};
enum {
    THREADS = 128,
    MOST_GROUPS = 1024,
    HALF = 1,          /* of vk_limits.coop_m */
    TOKENS_MIN = ROWS, /* fewer do not fill groups */
    DIM_MAX = 128,
    TABLES = 4,        /* q, k, v, dout */
    HEADER_BYTES = 512 /* before the halves: largest magnitudes, and at 256 factors */
};

typedef struct table {
    view from;
    int64_t count; /* floats */
    uint32_t at;   /* of its halves, in eights */
} table;

typedef struct half_call {
    vk_backend *vk;
    const char *op;
    const attention_args *s;
    table tables[TABLES];
    int table_count;
    view scratch, stats;
    int64_t halves; /* in scratch, room for a last group of rows included */
} half_call;

static int64_t q_count(const attention_args *s) {
    return s->tokens * s->heads * s->head_dim;
}
static int64_t kv_count(const attention_args *s) {
    return s->keys * s->kv_heads * s->head_dim;
}

static int64_t halves_count(const attention_args *s, bool backward) {
    int64_t room = ROWS * s->heads * s->head_dim;
    return (backward ? 2 : 1) * q_count(s) + 2 * kv_count(s) + room;
}

static uint32_t shared_bytes(int64_t d) {
    uint32_t tile = COLUMNS * ((uint32_t)d / 8 + 1), patch = SIDE * (COLUMNS / 4 + 1);
    return 16 * (2 * tile + SUBGROUPS * patch) + 16 * COLUMNS + 4 * ROWS;
}

static bool device_fits(const vk_backend *vk, int64_t d) {
    const vk_limits *l = vk_limits_of(vk);
    const vk_shader shaders[] = {VK_SHADER_attention_logs_coop, VK_SHADER_attention_stats_coop,
                                 VK_SHADER_attention_out_coop,  VK_SHADER_attention_dq_coop,
                                 VK_SHADER_attention_dk_coop,   VK_SHADER_attention_dv_coop};
    for (size_t i = 0; i < sizeof shaders / sizeof *shaders; i++)
        if (!vk_has_shader(vk, shaders[i])) return false;
    return l->coop_m[HALF] == SIDE && l->coop_n[HALF] == SIDE && l->coop_k[HALF] == SIDE &&
           l->subgroup_size >= LANES && SUBGROUPS * l->subgroup_size <= l->invocations &&
           shared_bytes(d) <= l->shared_bytes;
}

bool vk_attention_has_half(const vk_backend *vk, const attention_args *s, bool backward) {
    const vk_limits *l = vk_limits_of(vk);
    uint64_t room = l->window_bytes - l->offset_alignment;
    uint64_t largest = (uint64_t)(q_count(s) > kv_count(s) ? q_count(s) : kv_count(s)) * 4;
    return s->grade == PRECISION_ROUNDED && s->tokens >= TOKENS_MIN && s->head_dim % SIDE == 0 &&
           s->head_dim <= DIM_MAX && largest <= room &&
           (uint64_t)halves_count(s, backward) * 2 + HEADER_BYTES <= room &&
           device_fits(vk, s->head_dim);
}

size_t vk_attention_half_bytes(const attention_args *s, bool backward) {
    return HEADER_BYTES + (size_t)halves_count(s, backward) * 2;
}

/* ---- to halves ---- */

static view place(const half_call *c, size_t offset) {
    return (view){c->scratch.buf, c->scratch.offset + offset};
}

static bool is_vector(view v) {
    return v.offset % 16 == 0;
}

static void find_most(const half_call *c, int i) {
    const table *t = &c->tables[i];
    int64_t groups = vk_least(vk_blocks(t->count, 4 * THREADS), MOST_GROUPS);
    struct {
        uint32_t count, groups;
    } push = {(uint32_t)t->count, (uint32_t)groups};
    vk_dispatch d = {
        .op = c->op,
        .shader = VK_SHADER_half_most,
        .constants = {is_vector(t->from)},
        .constant_count = 1,
        .bindings = {vk_in(t->from, t->count), vk_in_out(place(c, (size_t)i * sizeof(float)), 1)},
        .binding_count = 2,
        .push = &push,
        .push_bytes = sizeof push,
        .bytes = 4.0 * (double)t->count};
    vk_groups(c->vk, (uint64_t)groups, d.groups);
    vk_run(c->vk, &d);
}

static void convert(const half_call *c, int i) {
    const table *t = &c->tables[i];
    uint32_t push = (uint32_t)t->count;
    vk_binding halves = {place(c, HEADER_BYTES + (size_t)t->at * 16), (size_t)t->count * 2,
                         VK_WRITE};
    vk_dispatch d = {.op = c->op,
                     .shader = VK_SHADER_half_all,
                     .constants = {is_vector(t->from)},
                     .constant_count = 1,
                     .bindings = {vk_in(t->from, t->count),
                                  vk_in(place(c, (size_t)i * sizeof(float)), 1),
                                  vk_out(place(c, 256 + (size_t)i * sizeof(float)), 1), halves},
                     .binding_count = 4,
                     .push = &push,
                     .push_bytes = sizeof push,
                     .bytes = 6.0 * (double)t->count};
    vk_groups(c->vk, (uint64_t)vk_blocks(t->count, 4 * THREADS), d.groups);
    vk_run(c->vk, &d);
}

static void add_table(half_call *c, view from, int64_t count) {
    table *t = &c->tables[c->table_count++];
    *t = (table){from, count, 0};
    if (c->table_count > 1) t->at = t[-1].at + (uint32_t)(t[-1].count / 8);
}

/* Scratch, and the tables as halves in it. */
static bool prepare(half_call *c, const view *dout) {
    const attention_args *s = c->s;
    c->halves = halves_count(s, dout != NULL);
    size_t stats_bytes = (size_t)(s->tokens * s->heads * STATS) * sizeof(float);
    size_t half_bytes = vk_attention_half_bytes(s, dout != NULL);
    if (!vk_scratch(c->vk, c->op, VK_SCRATCH_HALF, half_bytes, &c->scratch) ||
        !vk_scratch(c->vk, c->op, VK_SCRATCH_PARTIAL, stats_bytes, &c->stats))
        return false;
    add_table(c, s->q, q_count(s));
    add_table(c, s->k, kv_count(s));
    add_table(c, s->v, kv_count(s));
    if (dout) add_table(c, *dout, q_count(s));
    vk_fill_zero((backend *)(void *)c->vk, c->scratch, HEADER_BYTES);
    for (int i = 0; i < c->table_count; i++) find_most(c, i);
    for (int i = 0; i < c->table_count; i++) convert(c, i);
    return true;
}

/* ---- by matrices ---- */

/* One kind of result; `products` is how many it computes for a pair of a query and a key. */
static void run(const half_call *c, vk_shader shader, vk_binding out, bool by_key,
                double products) {
    const attention_args *s = c->s;
    const table *t = c->tables;
    const vk_limits *l = vk_limits_of(c->vk);
    struct {
        uint32_t tokens, keys, heads, kv_heads;
        float scale;
        uint32_t q_at, k_at, v_at, dout_at;
    } push = {(uint32_t)s->tokens,
              (uint32_t)s->keys,
              (uint32_t)s->heads,
              (uint32_t)s->kv_heads,
              s->scale,
              t[0].at,
              t[1].at,
              t[2].at,
              c->table_count > 3 ? t[3].at : 0};
    vk_binding halves = {place(c, HEADER_BYTES), (size_t)c->halves * 2, VK_READ};
    int64_t stats = s->tokens * s->heads * STATS;
    bool to_stats = out.at.buf == c->stats.buf;
    vk_dispatch d = {.op = c->op,
                     .shader = shader,
                     .constants = {(uint32_t)s->head_dim, SUBGROUPS * l->subgroup_size},
                     .constant_count = 2,
                     .bindings = {halves, vk_in(place(c, 256), TABLES), vk_in(s->first, s->tokens),
                                  vk_in(s->last, s->tokens), vk_in(c->stats, stats), out},
                     .binding_count = 6,
                     .push = &push,
                     .push_bytes = sizeof push,
                     .operations = products * (double)s->keys * (double)q_count(s),
                     .bytes = (double)halves.bytes};
    if (to_stats) {
        d.bindings[4] = out;
        d.bindings[5] = vk_fault_binding(c->vk);
    }
    int64_t groups =
        by_key ? vk_blocks(s->keys, ROWS) * s->kv_heads : vk_blocks(s->tokens, ROWS) * s->heads;
    vk_groups(c->vk, (uint64_t)groups, d.groups);
    vk_run(c->vk, &d);
}

static vk_binding stats_out(const half_call *c) {
    return vk_out(c->stats, c->s->tokens * c->s->heads * STATS);
}

void vk_attention_half(backend *be, const attention_args *s) {
    half_call c = {.vk = vk_of(be), .op = "op_attention", .s = s};
    if (!prepare(&c, NULL)) return;
    run(&c, VK_SHADER_attention_logs_coop, stats_out(&c), false, 1);
    run(&c, VK_SHADER_attention_out_coop, vk_out(s->out, q_count(s)), false, 2);
}

void vk_attention_half_backward(backend *be, const attention_args *s, view dout, view dq, view dk,
                                view dv) {
    half_call c = {.vk = vk_of(be), .op = "op_attention_backward", .s = s};
    if (!prepare(&c, &dout)) return;
    run(&c, VK_SHADER_attention_stats_coop, stats_out(&c), false, 2);
    run(&c, VK_SHADER_attention_dq_coop, vk_out(dq, q_count(s)), false, 3);
    run(&c, VK_SHADER_attention_dv_coop, vk_out(dv, kv_count(s)), true, 2);
    run(&c, VK_SHADER_attention_dk_coop, vk_out(dk, kv_count(s)), true, 3);
}
