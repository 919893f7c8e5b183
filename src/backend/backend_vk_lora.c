/* The thin products of LoRA on a Vulkan device. They are bound by memory: each pass reads a wide
 * tensor once, and the gradient with respect to x is made on the pass over x. Sums over tokens go
 * by blocks through scratch, added in the order of the blocks. */
#include "backend/vk_math.h"
#include "backend/vk_ternary.h"

enum {
    THREADS = 128,
    FOURS = 4 * THREADS,   /* columns of a group whose threads have four each */
    GROUPS_WANTED = 1024,  /* that keep a large device busy */
    GRADIENT_GROUPS = 512, /* the same for groups with more to do at once */
    TILE = 8,              /* tokens and ranks of a group of lora_down */
    TEAMS = 4,             /* of a group of lora_down_tile, each with TILE tokens or half as many */
    TEAM_GROUPS = 512,
    UP_TOKENS = 16,
    GRADIENT_TOKENS = 64, /* fewest tokens of a block */
    GRADIENT_RANKS = 16   /* most ranks of a pass over x */
};

/* ---- h = alpha x W ---- */

typedef struct down_call {
    const char *op;
    view x, w, h;
    int64_t tokens, n, rank;
    bool by_rank; /* W is (r, n) */
    float alpha;
} down_call;

/* Tokens of a group: as many as leave the device busy, since they share the reads of W. */
static uint32_t down_tokens(int64_t tokens, int64_t rank_blocks) {
    uint32_t block = TILE;
    while (block > 1 && vk_blocks(tokens, block) * rank_blocks < GROUPS_WANTED) block /= 2;
    return block;
}

/* Tokens of a team of lora_down_tile; 0: there are too few to keep a device busy so. */
static uint32_t team_tokens(const down_call *c) {
    int64_t rank_blocks = vk_blocks(c->rank, TILE);
    for (uint32_t tokens = TILE; tokens >= TILE / 2; tokens /= 2)
        if (vk_blocks(c->tokens, TEAMS * tokens) * rank_blocks >= TEAM_GROUPS) return tokens;
    return 0;
}

static void run_down(vk_backend *vk, const down_call *c) {
    bool few = c->by_rank && c->tokens * vk_blocks(c->rank, TILE) < THREADS;
    uint32_t ranks = few ? 1 : TILE;
    int64_t rank_blocks = vk_blocks(c->rank, ranks);
    uint32_t block = down_tokens(c->tokens, rank_blocks);
    struct {
        uint32_t tokens, n, rank;
        float alpha;
    } push = {(uint32_t)c->tokens, (uint32_t)c->n, (uint32_t)c->rank, c->alpha};
    bool vector = c->x.offset % 16 == 0 && c->w.offset % 16 == 0 && c->n % 4 == 0 &&
                  (c->by_rank || c->rank % 4 == 0);
    uint32_t team = vector ? team_tokens(c) : 0;
    double terms = (double)c->tokens * (double)c->n;
    vk_dispatch d = {.op = c->op,
                     .shader = VK_SHADER_lora_down,
                     .constants = {vector, block, ranks, c->by_rank},
                     .constant_count = 4,
                     .bindings = {vk_in(c->x, c->tokens * c->n), vk_in(c->w, c->n * c->rank),
                                  vk_out(c->h, c->tokens * c->rank)},
                     .binding_count = 3,
                     .push = &push,
                     .push_bytes = sizeof push,
                     .operations = 2 * terms * (double)c->rank,
                     .bytes = 4 * terms};
    if (team) {
        d.shader = VK_SHADER_lora_down_tile;
        d.constants[1] = team;
        d.constants[2] = c->by_rank;
        d.constant_count = 3;
        block = TEAMS * team;
    }
    vk_groups(vk, (uint64_t)(vk_blocks(c->tokens, block) * rank_blocks), d.groups);
    vk_run(vk, &d);
}

void vk_lora_down(backend *be, view x, view a, int64_t tokens, int64_t k, int64_t r, view h) {
    vk_backend *vk = vk_of(be);
    int64_t rows = vk_float_rows(vk, "op_lora_down", k > r ? k : r, tokens);
    for (int64_t t = 0; rows && t < tokens; t += rows) {
        int64_t count = vk_least(rows, tokens - t);
        down_call c = {
            "op_lora_down", view_floats(x, t * k), a, view_floats(h, t * r), count, k, r, true, 1};
        run_down(vk, &c);
    }
}

/* ---- y += scale h B^T ---- */

void vk_lora_up(backend *be, view h, view b, int64_t tokens, int64_t n, int64_t r, float scale,
                view y) {
    vk_backend *vk = vk_of(be);
    int64_t rows = vk_float_rows(vk, "op_lora_up", n > r ? n : r, tokens);
    for (int64_t t = 0; rows && t < tokens; t += rows) {
        int64_t count = vk_least(rows, tokens - t);
        uint32_t block = count == 1 ? 1 : count <= 4 ? 4 : UP_TOKENS;
        struct {
            uint32_t tokens, n, rank;
            float scale;
        } push = {(uint32_t)count, (uint32_t)n, (uint32_t)r, scale};
        double terms = (double)count * (double)n;
        vk_dispatch d = {.op = "op_lora_up",
                         .shader = VK_SHADER_lora_up,
                         .constants = {block},
                         .constant_count = 1,
                         .bindings = {vk_in(view_floats(h, t * r), count * r), vk_in(b, n * r),
                                      vk_in_out(view_floats(y, t * n), count * n)},
                         .binding_count = 3,
                         .push = &push,
                         .push_bytes = sizeof push,
                         .operations = 2 * terms * (double)r,
                         .bytes = 8 * terms};
        vk_groups(vk, (uint64_t)(vk_blocks(count, block) * vk_blocks(n, THREADS)), d.groups);
        vk_run(vk, &d);
    }
}

/* ---- gradients ---- */

/* out[r][c] += alpha * sum over tokens of g[t][r] x[t][c]; its elements lie step_rank and step_n
 * apart. dx (+)= g A if `how` says so, with A (rank, n). */
typedef struct gradient_call {
    view x, g, out, a, dx;
    int64_t tokens, n, rank, step_rank, step_n;
    float alpha;
    enum { DX_NONE, DX_SET, DX_ADD } how;
} gradient_call;

typedef struct gradient_part {
    int64_t first, count; /* ranks */
    int64_t blocks, block_tokens;
    view partial; /* (blocks, count, n) */
} gradient_part;

/* Blocks of tokens: enough groups, but partial sums that are few beside x. */
static int64_t wanted_blocks(int64_t tokens, int64_t n) {
    int64_t blocks = vk_blocks(GRADIENT_GROUPS, vk_blocks(n, FOURS));
    return vk_least(blocks, vk_blocks(tokens, GRADIENT_TOKENS));
}

void vk_plan_lora(const training_extent *e, vk_scratch_plan *plan) {
    const int64_t widths[] = {e->widest_in, e->widest_out};
    for (int i = 0; i < 2; i++) {
        int64_t floats = vk_least(e->rank, GRADIENT_RANKS) * widths[i];
        int64_t blocks = wanted_blocks(e->tokens, widths[i]);
        vk_plan_raise(plan, VK_SCRATCH_PARTIAL, (size_t)(blocks * floats) * sizeof(float));
    }
}

/* As many as are wanted and fit a binding. */
static bool cut_blocks(vk_backend *vk, const gradient_call *c, gradient_part *part) {
    int64_t size = part->count * c->n;
    int64_t most = vk_float_rows(vk, "op_lora_backward", size, c->tokens);
    if (!most) return false;
    int64_t blocks = vk_least(wanted_blocks(c->tokens, c->n), most);
    part->block_tokens = vk_blocks(c->tokens, blocks);
    part->blocks = vk_blocks(c->tokens, part->block_tokens);
    return vk_scratch(vk, "op_lora_backward", VK_SCRATCH_PARTIAL,
                      (size_t)(part->blocks * size) * sizeof(float), &part->partial);
}

static void run_partial(vk_backend *vk, const gradient_call *c, const gradient_part *part) {
    struct {
        uint32_t tokens, n, rank, first, count, block_tokens;
        float alpha;
    } push = {(uint32_t)c->tokens,
              (uint32_t)c->n,
              (uint32_t)c->rank,
              (uint32_t)part->first,
              (uint32_t)part->count,
              (uint32_t)part->block_tokens,
              c->alpha};
    int64_t size = c->tokens * c->n;
    uint32_t how = c->how == DX_SET && part->first ? DX_ADD : (uint32_t)c->how;
    uint32_t ranks = part->count <= 8 ? 8 : GRADIENT_RANKS;
    bool vector = c->n % 4 == 0 && c->x.offset % 16 == 0 &&
                  (!how || (c->a.offset % 16 == 0 && c->dx.offset % 16 == 0));
    vk_binding sums = vk_out(part->partial, part->blocks * part->count * c->n);
    vk_binding x = vk_in(c->x, size);
    vk_dispatch d = {.op = "op_lora_backward",
                     .shader = VK_SHADER_lora_gradient,
                     .constants = {vector, ranks, how},
                     .constant_count = 3,
                     .bindings = {x, vk_in(c->g, c->tokens * c->rank), x, sums, sums},
                     .binding_count = 5,
                     .push = &push,
                     .push_bytes = sizeof push,
                     .operations = (how ? 4.0 : 2.0) * (double)size * (double)part->count,
                     .bytes = 4.0 * (double)size * (1 + how)};
    if (how) {
        d.bindings[2] = vk_in(view_floats(c->a, part->first * c->n), part->count * c->n);
        d.bindings[4] = vk_floats(c->dx, size, how == DX_ADD ? VK_READ_WRITE : VK_WRITE);
    }
    vk_groups(vk, (uint64_t)(part->blocks * vk_blocks(c->n, FOURS)), d.groups);
    vk_run(vk, &d);
}

static void run_sum(vk_backend *vk, const gradient_call *c, const gradient_part *part) {
    struct {
        uint32_t blocks, count, n, step_rank, step_n;
    } push = {(uint32_t)part->blocks, (uint32_t)part->count, (uint32_t)c->n, (uint32_t)c->step_rank,
              (uint32_t)c->step_n};
    int64_t size = part->count * c->n, first = part->first * c->step_rank;
    vk_dispatch d = {.op = "op_lora_backward",
                     .shader = VK_SHADER_lora_sum,
                     .bindings = {vk_in(part->partial, part->blocks * size),
                                  vk_in_out(view_floats(c->out, first), c->n * c->rank - first)},
                     .binding_count = 2,
                     .push = &push,
                     .push_bytes = sizeof push,
                     .operations = (double)(part->blocks * size),
                     .bytes = 4.0 * (double)((part->blocks + 2) * size)};
    vk_groups(vk, (uint64_t)vk_blocks(size, THREADS), d.groups);
    vk_run(vk, &d);
}

static void run_gradient(vk_backend *vk, const gradient_call *c) {
    for (int64_t first = 0; first < c->rank; first += GRADIENT_RANKS) {
        gradient_part part = {.first = first, .count = vk_least(GRADIENT_RANKS, c->rank - first)};
        if (!cut_blocks(vk, c, &part)) return;
        run_partial(vk, c, &part);
        run_sum(vk, c, &part);
    }
}

/* dx is left out if it comes with the product of the weight beneath. */
static void backward_rows(vk_backend *vk, const lora_backward_args *s, int64_t t, int64_t count,
                          bool without_dx) {
    view x = view_floats(s->x, t * s->k), dx = view_floats(s->dx, t * s->k);
    view dy = view_floats(s->dy, t * s->n), g = view_floats(s->g, t * s->r);
    view h = view_floats(s->h, t * s->r);
    down_call to_g = {"op_lora_backward", dy, s->b, g, count, s->n, s->r, false, s->scale};
    gradient_call to_b = {.x = dy,
                          .g = h,
                          .out = s->db,
                          .tokens = count,
                          .n = s->n,
                          .rank = s->r,
                          .step_rank = 1,
                          .step_n = s->r,
                          .alpha = s->scale,
                          .how = DX_NONE};
    gradient_call to_a = {.x = x,
                          .g = g,
                          .out = s->da,
                          .a = s->a,
                          .dx = dx,
                          .tokens = count,
                          .n = s->k,
                          .rank = s->r,
                          .step_rank = s->k,
                          .step_n = 1,
                          .alpha = 1,
                          .how = without_dx ? DX_NONE
                                 : s->add   ? DX_ADD
                                            : DX_SET};
    run_down(vk, &to_g);
    run_gradient(vk, &to_b);
    run_gradient(vk, &to_a);
}

void vk_lora_backward(backend *be, const lora_backward_args *args) {
    vk_backend *vk = vk_of(be);
    lora_backward_args s = *args;
    lora_term term = {s.g, s.a, s.r, 1};
    int64_t widest = s.k > s.n ? s.k : s.n;
    if (s.r > widest) widest = s.r;
    int64_t rows = vk_float_rows(vk, "op_lora_backward", widest, s.tokens);
    bool joined = s.w && vk_ternary_t_takes(be, s.w, &term, s.tokens, s.grade, s.dx);
    if (s.w && !joined) {
        vk_ternary_matmul_t(be, s.w, s.dy, s.tokens, s.grade, s.dx, s.add);
        s.add = true;
    }
    for (int64_t t = 0; rows && t < s.tokens; t += rows)
        backward_rows(vk, &s, t, vk_least(rows, s.tokens - t), joined);
    if (joined) vk_ternary_product_t(be, s.w, s.dy, s.tokens, NULL, &term, s.dx, s.add);
}
