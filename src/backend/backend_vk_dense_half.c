/* Products with dense matrices on cooperative matrices in half precision, for callers that round
 * their activations anyway. Operands are halves whose rows were scaled; sums are float32. */
#include "backend/vk_dense.h"

/* Of a work group (shaders/dense_tile_coop.glsl). */
enum {
    TILE_FEATURES = 128,
    BLOCK_FEATURES = 64, /* of a subgroup, with half of the tokens */
    SUBGROUPS = 4,
    STEP = 64,      /* terms at a time */
    HALF = 1,       /* of vk_limits.coop_m */
    TOKENS_MIN = 17 /* fewer are bound by memory */
};

static const uint32_t tile_tokens[] = {128, 64}; /* the first that has enough tokens and fits */

static uint32_t shared_bytes(uint32_t tokens, uint32_t m) {
    uint32_t by_feature = TILE_FEATURES * (STEP / 8 + 1), by_term = STEP * (TILE_FEATURES / 8 + 1);
    uint32_t tiles = tokens * (STEP / 8 + 1) + (by_feature > by_term ? by_feature : by_term);
    uint32_t patches = SUBGROUPS * m * (BLOCK_FEATURES / 4 + 1);
    return 16 * (tiles > patches ? tiles : patches);
}

static uint32_t tile_of(const vk_backend *vk, int64_t tokens) {
    const vk_limits *l = vk_limits_of(vk);
    uint32_t m = l->coop_m[HALF];
    for (size_t i = 0; m && i < sizeof tile_tokens / sizeof *tile_tokens; i++) {
        uint32_t tile = tile_tokens[i];
        bool last = i + 1 == sizeof tile_tokens / sizeof *tile_tokens;
        if ((last || tokens >= tile) && tile / 2 % m == 0 &&
            shared_bytes(tile, m) <= l->shared_bytes)
            return tile;
    }
    return 0;
}

bool vk_dense_has_half(const vk_backend *vk, const dense_weight *w, int64_t tokens) {
    const vk_limits *l = vk_limits_of(vk);
    uint32_t n = l->coop_n[HALF], k = l->coop_k[HALF];
    uint64_t step_bytes = (uint64_t)STEP * vk_dense_row_bytes(w) + l->offset_alignment;
    if (tokens < TOKENS_MIN || !vk_has_shader(vk, VK_SHADER_dense_coop) ||
        !vk_has_shader(vk, VK_SHADER_dense_t_coop))
        return false;
    if (n < 8 || k < 8 || BLOCK_FEATURES % n || STEP % k) return false;
    return SUBGROUPS * l->subgroup_size <= l->invocations && tile_of(vk, tokens) &&
           step_bytes <= l->window_bytes;
}

int64_t vk_dense_half_area(const vk_backend *vk, int64_t tokens) {
    return (int64_t)tile_of(vk, tokens) * TILE_FEATURES;
}

int64_t vk_dense_half_rows(int64_t rows, int64_t all) {
    return rows < all ? rows / STEP * STEP : rows;
}

static int64_t padded_of(int64_t n) {
    return vk_blocks(n, STEP) * STEP;
}

size_t vk_halves_bytes(int64_t tokens, int64_t n) {
    return round_up((size_t)(tokens * padded_of(n)) * 2, 256) +
           round_up((size_t)tokens * sizeof(float), 256);
}

vk_halves vk_halves_at(view at, int64_t tokens, int64_t n) {
    vk_halves h = {.halves = at, .factors = at, .padded = padded_of(n)};
    h.factors.offset += round_up((size_t)(tokens * h.padded) * 2, 256);
    return h;
}

vk_binding vk_halves_binding(const vk_halves *h, int64_t tokens, vk_access access) {
    return (vk_binding){h->halves, (size_t)(tokens * h->padded) * 2, access};
}

void vk_halves_fill(vk_backend *vk, const char *op, view x, int64_t tokens, int64_t n,
                    const vk_halves *to) {
    struct {
        uint32_t tokens, n, padded;
    } push = {(uint32_t)tokens, (uint32_t)n, (uint32_t)to->padded};
    vk_dispatch d = {.op = op,
                     .shader = VK_SHADER_half_rows,
                     .constants = {x.offset % 16 == 0 && n % 4 == 0},
                     .constant_count = 1,
                     .bindings = {vk_in(x, tokens * n), vk_halves_binding(to, tokens, VK_WRITE),
                                  vk_out(to->factors, tokens)},
                     .binding_count = 3,
                     .push = &push,
                     .push_bytes = sizeof push,
                     .bytes = 6.0 * (double)(tokens * n)};
    vk_groups(vk, (uint64_t)tokens, d.groups);
    vk_run(vk, &d);
}

typedef struct half_push {
    uint32_t tokens, features, depth, a_stride, row_words, y_stride;
    uint32_t split_steps, splits, split_floats, add;
} half_push;

static void run(vk_backend *vk, const vk_dense_product *c, vk_shader shader, vk_binding a,
                vk_binding y, const half_push *push) {
    const vk_limits *l = vk_limits_of(vk);
    uint32_t vector = vk_dense_row_bytes(c->w) % 16 == 0;
    uint32_t vector_out =
        y.at.offset % 16 == 0 && push->y_stride % 4 == 0 && push->features % 4 == 0;
    uint32_t tile = tile_of(vk, c->tokens);
    vk_dispatch d = {.op = c->op,
                     .shader = shader,
                     .constants = {l->coop_m[HALF], l->coop_n[HALF], l->coop_k[HALF], tile,
                                   tile / 2, BLOCK_FEATURES, SUBGROUPS * l->subgroup_size,
                                   c->w->matrix.type, vector, vector_out},
                     .constant_count = 10,
                     .bindings = {vk_dense_rows(c->w, c->first, c->rows), a,
                                  vk_in(c->half.factors, c->tokens), y},
                     .binding_count = 4,
                     .push = push,
                     .push_bytes = sizeof *push,
                     .operations =
                         2.0 * (double)c->tokens * (double)push->features * (double)push->depth,
                     .bytes = (double)c->rows * (double)vk_dense_row_bytes(c->w) + (double)a.bytes +
                              (double)y.bytes};
    int64_t tiles = vk_blocks(c->tokens, tile) * vk_blocks(push->features, TILE_FEATURES);
    vk_groups(vk, (uint64_t)(tiles * push->splits), d.groups);
    vk_run(vk, &d);
}

void vk_dense_half(vk_backend *vk, const vk_dense_product *c) {
    const dense_matrix *m = &c->w->matrix;
    half_push push = {.tokens = (uint32_t)c->tokens,
                      .features = (uint32_t)c->rows,
                      .depth = (uint32_t)m->cols,
                      .a_stride = (uint32_t)(c->half.padded / 8),
                      .row_words = (uint32_t)(vk_dense_row_bytes(c->w) / 4),
                      .y_stride = (uint32_t)m->rows,
                      .split_steps = (uint32_t)(c->half.padded / STEP),
                      .splits = 1};
    run(vk, c, VK_SHADER_dense_coop, vk_halves_binding(&c->half, c->tokens, VK_READ),
        vk_out(view_floats(c->y, c->first), (c->tokens - 1) * m->rows + c->rows), &push);
}

void vk_dense_half_t(vk_backend *vk, const vk_dense_product *c, const vk_dense_sums *sums) {
    const dense_matrix *m = &c->w->matrix;
    int64_t size = c->tokens * m->cols, steps = vk_blocks(c->rows, STEP);
    half_push push = {.tokens = (uint32_t)c->tokens,
                      .features = (uint32_t)m->cols,
                      .depth = (uint32_t)c->rows,
                      .a_stride = (uint32_t)(c->half.padded / 8),
                      .row_words = (uint32_t)(vk_dense_row_bytes(c->w) / 4),
                      .y_stride = (uint32_t)m->cols,
                      .split_steps = (uint32_t)vk_blocks(steps, sums->splits),
                      .splits = (uint32_t)sums->splits,
                      .split_floats = (uint32_t)size,
                      .add = sums->add};
    vk_binding a = vk_halves_binding(&c->half, c->tokens, VK_READ);
    a.at.offset += (size_t)c->first * 2; /* a multiple of 128 bytes: windows are whole steps */
    a.bytes -= (size_t)c->first * 2;
    run(vk, c, VK_SHADER_dense_t_coop, a,
        vk_floats(sums->at, sums->splits * size, sums->add ? VK_READ_WRITE : VK_WRITE), &push);
}
