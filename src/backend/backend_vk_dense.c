/* Products with dense matrices (the output head) on a Vulkan device, and the cross-entropy through
 * them, in chunks of tokens. Both are cut by rows of the matrix, so that a head of any size works
 * with small bindings. */
#include "backend/vk_dense.h"

enum {
    THREADS = 128,
    TILE = 64,  /* tokens and features of a group */
    DEPTH = 16, /* terms between two barriers: splits are multiples of it */
    GROUPS_WANTED = 1024,
    SPLIT_LEAST = 1024,  /* fewest terms of a split */
    VEC_ROWS = 16,       /* rows of the matrix of a group of the matrix-vector product */
    VEC_TOKENS = 8,      /* most tokens that it serves at once */
    VEC_TOKENS_MAX = 16, /* above, tiles are faster */
    LOSS_TOKENS_MAX = 1024
};
#define LOSS_BYTES_MAX ((int64_t)256 << 20)

static view weight_rows(const dense_weight *w, int64_t row) {
    const vk_weight *on_device = w->memory;
    return (view){on_device->buf, (size_t)row * on_device->row_bytes};
}

size_t vk_dense_row_bytes(const dense_weight *w) {
    const vk_weight *on_device = w->memory;
    return on_device->row_bytes;
}

vk_binding vk_dense_rows(const dense_weight *w, int64_t first, int64_t count) {
    return (vk_binding){weight_rows(w, first), (size_t)count * vk_dense_row_bytes(w), VK_READ};
}

/* ---- y = x W^T ---- */

static bool is_vector(view v) {
    return v.offset % 16 == 0;
}

static void run_vec(vk_backend *vk, const vk_dense_product *c) {
    const dense_matrix *m = &c->w->matrix;
    struct {
        uint32_t rows, cols, row_words, x_stride, y_stride;
    } push = {(uint32_t)c->rows, (uint32_t)m->cols, (uint32_t)(vk_dense_row_bytes(c->w) / 4),
              (uint32_t)m->cols, (uint32_t)m->rows};
    bool vector = is_vector(c->x) && m->cols % 4 == 0 && vk_dense_row_bytes(c->w) % 16 == 0;
    for (int64_t t = 0; t < c->tokens; t += VEC_TOKENS) {
        int64_t count = vk_least(VEC_TOKENS, c->tokens - t);
        vk_dispatch d = {.op = c->op,
                         .shader = VK_SHADER_dense_vec,
                         .constants = {m->type, (uint32_t)count, vector},
                         .constant_count = 3,
                         .bindings = {vk_dense_rows(c->w, c->first, c->rows),
                                      vk_in(view_floats(c->x, t * m->cols), count * m->cols),
                                      vk_out(view_floats(c->y, t * m->rows + c->first),
                                             (count - 1) * m->rows + c->rows)},
                         .binding_count = 3,
                         .push = &push,
                         .push_bytes = sizeof push,
                         .operations = 2.0 * (double)count * (double)c->rows * (double)m->cols,
                         .bytes = (double)c->rows * (double)vk_dense_row_bytes(c->w)};
        vk_groups(vk, (uint64_t)vk_blocks(c->rows, VEC_ROWS), d.groups);
        vk_run(vk, &d);
    }
}

typedef struct tile_push {
    uint32_t tokens, features, depth, x_stride, row_words, y_stride;
    uint32_t split_depth, splits, split_floats, add;
} tile_push;

static void run_tile(vk_backend *vk, const vk_dense_product *c) {
    const dense_matrix *m = &c->w->matrix;
    tile_push push = {.tokens = (uint32_t)c->tokens,
                      .features = (uint32_t)c->rows,
                      .depth = (uint32_t)m->cols,
                      .x_stride = (uint32_t)m->cols,
                      .row_words = (uint32_t)(vk_dense_row_bytes(c->w) / 4),
                      .y_stride = (uint32_t)m->rows,
                      .split_depth = (uint32_t)m->cols,
                      .splits = 1};
    double outputs = (double)c->tokens * (double)c->rows;
    vk_dispatch d = {
        .op = c->op,
        .shader = VK_SHADER_dense_tile,
        .constants = {m->type},
        .constant_count = 1,
        .bindings = {vk_dense_rows(c->w, c->first, c->rows), vk_in(c->x, c->tokens * m->cols),
                     vk_out(view_floats(c->y, c->first), (c->tokens - 1) * m->rows + c->rows)},
        .binding_count = 3,
        .push = &push,
        .push_bytes = sizeof push,
        .operations = 2 * outputs * (double)m->cols,
        .bytes = (double)c->rows * (double)vk_dense_row_bytes(c->w) + 4 * outputs};
    vk_groups(vk, (uint64_t)(vk_blocks(c->tokens, TILE) * vk_blocks(c->rows, TILE)), d.groups);
    vk_run(vk, &d);
}

/* Rows of the matrix that are bound at once. */
static int64_t window_rows(vk_backend *vk, const vk_dense_product *c) {
    int64_t all = c->w->matrix.rows;
    int64_t rows = vk_window_rows(vk, c->op, vk_dense_row_bytes(c->w), all);
    return c->half.halves.buf ? vk_dense_half_rows(rows, all) : rows;
}

static void run_product(vk_backend *vk, vk_dense_product *c) {
    const dense_matrix *m = &c->w->matrix;
    int64_t rows = window_rows(vk, c);
    if (!rows) return;
    for (c->first = 0; c->first < m->rows; c->first += rows) {
        c->rows = vk_least(rows, m->rows - c->first);
        if (c->half.halves.buf)
            vk_dense_half(vk, c);
        else if (c->tokens <= VEC_TOKENS_MAX)
            run_vec(vk, c);
        else
            run_tile(vk, c);
    }
}

/* Tokens whose x and y fit a binding each. */
static void matmul_rows(vk_backend *vk, vk_dense_product *c, precision grade) {
    int64_t cols = c->w->matrix.cols;
    view scratch;
    if (grade == PRECISION_ROUNDED && vk_dense_has_half(vk, c->w, c->tokens)) {
        size_t bytes = vk_halves_bytes(c->tokens, cols);
        if (!vk_scratch(vk, c->op, VK_SCRATCH_HALF, bytes, &scratch)) return;
        c->half = vk_halves_at(scratch, c->tokens, cols);
        vk_halves_fill(vk, c->op, c->x, c->tokens, cols, &c->half);
    }
    run_product(vk, c);
}

void vk_dense_matmul(backend *be, const dense_weight *w, view x, int64_t tokens, precision grade,
                     view y) {
    vk_backend *vk = vk_of(be);
    const dense_matrix *m = &w->matrix;
    int64_t widest = m->rows > m->cols ? m->rows : m->cols;
    int64_t rows = vk_float_rows(vk, "op_dense_matmul", widest, tokens);
    for (int64_t t = 0; rows && t < tokens; t += rows) {
        vk_dense_product c = {.op = "op_dense_matmul",
                              .w = w,
                              .x = view_floats(x, t * m->cols),
                              .y = view_floats(y, t * m->rows),
                              .tokens = vk_least(rows, tokens - t)};
        matmul_rows(vk, &c, grade);
    }
}

/* ---- dx = dy W: x of the product is dy (T, rows), y is dx (T, cols) ---- */

static void run_tile_t(vk_backend *vk, const vk_dense_product *c, const vk_dense_sums *sums) {
    const dense_matrix *m = &c->w->matrix;
    int64_t size = c->tokens * m->cols;
    tile_push push = {.tokens = (uint32_t)c->tokens,
                      .features = (uint32_t)m->cols,
                      .depth = (uint32_t)c->rows,
                      .x_stride = (uint32_t)m->rows,
                      .row_words = (uint32_t)(vk_dense_row_bytes(c->w) / 4),
                      .y_stride = (uint32_t)m->cols,
                      .split_depth = (uint32_t)(vk_blocks(c->rows, sums->splits * DEPTH) * DEPTH),
                      .splits = (uint32_t)sums->splits,
                      .split_floats = (uint32_t)size,
                      .add = sums->add};
    vk_dispatch d = {
        .op = c->op,
        .shader = VK_SHADER_dense_tile_t,
        .constants = {m->type},
        .constant_count = 1,
        .bindings = {vk_dense_rows(c->w, c->first, c->rows),
                     vk_in(view_floats(c->x, c->first), (c->tokens - 1) * m->rows + c->rows),
                     vk_floats(sums->at, sums->splits * size,
                               sums->add ? VK_READ_WRITE : VK_WRITE)},
        .binding_count = 3,
        .push = &push,
        .push_bytes = sizeof push,
        .operations = 2 * (double)size * (double)c->rows,
        .bytes = (double)c->rows * ((double)vk_dense_row_bytes(c->w) + 4 * (double)c->tokens)};
    int64_t tiles = vk_blocks(c->tokens, TILE) * vk_blocks(m->cols, TILE);
    vk_groups(vk, (uint64_t)(tiles * sums->splits), d.groups);
    vk_run(vk, &d);
}

static void sum_splits(vk_backend *vk, const vk_dense_product *c, view parts, int64_t splits) {
    int64_t size = c->tokens * c->w->matrix.cols;
    struct {
        uint32_t splits, count;
    } push = {(uint32_t)splits, (uint32_t)size};
    vk_dispatch d = {.op = c->op,
                     .shader = VK_SHADER_sum_splits,
                     .bindings = {vk_in(parts, splits * size), vk_out(c->y, size)},
                     .binding_count = 2,
                     .push = &push,
                     .push_bytes = sizeof push,
                     .operations = (double)(splits * size),
                     .bytes = 4.0 * (double)((splits + 1) * size)};
    vk_groups(vk, (uint64_t)vk_blocks(size, THREADS), d.groups);
    vk_run(vk, &d);
}

/* Parts of the sum over rows: enough groups, whose tiles have `area` elements. */
static int64_t wanted_splits(int64_t tokens, int64_t cols, int64_t rows, int64_t area) {
    int64_t tiles = vk_blocks(tokens * cols, area);
    return vk_least(vk_blocks(GROUPS_WANTED, tiles), vk_blocks(rows, SPLIT_LEAST));
}

/* As many as are wanted over a window of rows, but their results fit a binding. */
static int64_t split_count(vk_backend *vk, const vk_dense_product *c, int64_t rows) {
    int64_t cols = c->w->matrix.cols, area = TILE * TILE;
    if (c->half.halves.buf) area = vk_dense_half_area(vk, c->tokens);
    int64_t splits = wanted_splits(c->tokens, cols, rows, area);
    return vk_least(splits, vk_float_rows(vk, c->op, c->tokens * cols, splits));
}

static void run_product_t(vk_backend *vk, vk_dense_product *c) {
    const dense_matrix *m = &c->w->matrix;
    int64_t rows = window_rows(vk, c);
    if (!rows) return;
    vk_dense_sums sums = {.at = c->y, .splits = split_count(vk, c, rows)};
    size_t bytes = (size_t)(sums.splits * c->tokens * m->cols) * sizeof(float);
    if (!sums.splits) return;
    if (sums.splits > 1 && !vk_scratch(vk, c->op, VK_SCRATCH_PARTIAL, bytes, &sums.at)) return;
    for (c->first = 0; c->first < m->rows; c->first += rows) {
        c->rows = vk_least(rows, m->rows - c->first);
        sums.add = c->first > 0;
        if (c->half.halves.buf)
            vk_dense_half_t(vk, c, &sums);
        else
            run_tile_t(vk, c, &sums);
    }
    if (sums.splits > 1) sum_splits(vk, c, sums.at, sums.splits);
}

/* ---- the loss ---- */

/* Tokens whose logits exist at once: they and the activations must fit a binding. */
static int64_t loss_tokens(const vk_backend *vk, const dense_matrix *m) {
    int64_t widest = m->rows > m->cols ? m->rows : m->cols;
    const vk_limits *l = vk_limits_of(vk);
    int64_t room = (int64_t)(l->window_bytes - l->offset_alignment); /* a binding begins aligned */
    int64_t bytes = vk_least(room, LOSS_BYTES_MAX);
    int64_t tokens = vk_least(bytes / (widest * (int64_t)sizeof(float)), LOSS_TOKENS_MAX);
    if (tokens > TILE) tokens -= tokens % TILE;
    return tokens ? tokens : 1;
}

size_t vk_head_loss_scratch_bytes(const backend *be, const dense_weight *w) {
    const vk_backend *vk = (const vk_backend *)(const void *)be;
    return (size_t)(loss_tokens(vk, &w->matrix) * w->matrix.rows) * sizeof(float);
}

/* One chunk of tokens. */
typedef struct loss_call {
    view x, logits, targets, losses, dx;
    int64_t tokens, first_token;
    float grad_scale;
    vk_halves half_x, half_g; /* empty: float32 */
} loss_call;

static void run_loss(vk_backend *vk, const loss_call *c, const dense_matrix *m) {
    bool half = c->grad_scale != 0 && c->half_g.halves.buf;
    int64_t n = m->rows;
    struct {
        uint32_t tokens, n, first_token, padded;
        float scale;
    } push = {(uint32_t)c->tokens, (uint32_t)n, (uint32_t)c->first_token,
              (uint32_t)c->half_g.padded, c->grad_scale};
    double size = (double)c->tokens * (double)n;
    vk_binding logits = vk_in_out(c->logits, c->tokens * n), losses = vk_out(c->losses, c->tokens);
    vk_dispatch d = {.op = "op_head_loss",
                     .shader = VK_SHADER_head_loss,
                     .constants = {is_vector(c->logits) && n % 4 == 0, half},
                     .constant_count = 2,
                     .bindings = {logits, vk_in(c->targets, c->tokens), losses,
                                  vk_fault_binding(vk), logits, losses},
                     .binding_count = 6,
                     .push = &push,
                     .push_bytes = sizeof push,
                     .operations = 16 * size,
                     .bytes = (c->grad_scale != 0 ? 12 : 4) * size};
    if (half) {
        d.bindings[4] = vk_halves_binding(&c->half_g, c->tokens, VK_WRITE);
        d.bindings[5] = vk_out(c->half_g.factors, c->tokens);
    }
    vk_groups(vk, (uint64_t)c->tokens, d.groups);
    vk_run(vk, &d);
}

/* Tables of halves for chunks of at most `tokens`; empty ones if float32 is wanted. */
static bool place_halves(vk_backend *vk, const dense_weight *w, int64_t tokens, precision grade,
                         loss_call *c) {
    const dense_matrix *m = &w->matrix;
    size_t x_bytes = vk_halves_bytes(tokens, m->cols), g_bytes = vk_halves_bytes(tokens, m->rows);
    view at;
    if (grade == PRECISION_FULL || !vk_dense_has_half(vk, w, tokens)) return true;
    if (!vk_scratch(vk, "op_head_loss", VK_SCRATCH_HALF, x_bytes + g_bytes, &at)) return false;
    c->half_x = vk_halves_at(at, tokens, m->cols);
    at.offset += x_bytes;
    c->half_g = vk_halves_at(at, tokens, m->rows);
    return true;
}

static void run_chunk(vk_backend *vk, const dense_weight *w, const loss_call *c) {
    vk_dense_product forward = {.op = "op_head_loss",
                                .w = w,
                                .x = c->x,
                                .y = c->logits,
                                .tokens = c->tokens,
                                .half = c->half_x};
    vk_dense_product backward = {.op = "op_head_loss",
                                 .w = w,
                                 .x = c->logits,
                                 .y = c->dx,
                                 .tokens = c->tokens,
                                 .half = c->half_g};
    if (c->half_x.halves.buf)
        vk_halves_fill(vk, "op_head_loss", c->x, c->tokens, w->matrix.cols, &c->half_x);
    run_product(vk, &forward);
    run_loss(vk, c, &w->matrix);
    if (c->grad_scale != 0) run_product_t(vk, &backward);
}

void vk_head_loss(backend *be, const dense_weight *w, view x, view targets, int64_t tokens,
                  float grad_scale, precision grade, view losses, view dx, view scratch) {
    vk_backend *vk = vk_of(be);
    const dense_matrix *m = &w->matrix;
    int64_t widest = m->rows > m->cols ? m->rows : m->cols, step = loss_tokens(vk, m);
    loss_call c = {.logits = scratch, .grad_scale = grad_scale};
    if (!vk_float_rows(vk, "op_head_loss", widest, step)) return;
    if (!place_halves(vk, w, vk_least(step, tokens), grade, &c)) return;
    for (int64_t t = 0; t < tokens; t += step) {
        c.tokens = vk_least(step, tokens - t);
        c.first_token = t;
        c.x = view_floats(x, t * m->cols);
        c.targets = view_floats(targets, t);
        c.losses = view_floats(losses, t);
        if (grad_scale != 0) c.dx = view_floats(dx, t * m->cols);
        run_chunk(vk, w, &c);
    }
}

void vk_plan_dense(const vk_backend *vk, const training_extent *e, vk_scratch_plan *plan) {
    const dense_matrix *m = &e->head->matrix;
    const vk_limits *l = vk_limits_of(vk);
    uint64_t room = l->window_bytes - l->offset_alignment;
    int64_t tokens = vk_least(loss_tokens(vk, m), e->tokens);
    int64_t rows = vk_least(m->rows, (int64_t)(room / vk_dense_row_bytes(e->head)));
    size_t part = (size_t)(tokens * m->cols) * sizeof(float);
    bool half = e->grade == PRECISION_ROUNDED && vk_dense_has_half(vk, e->head, tokens);
    int64_t area = half ? vk_dense_half_area(vk, tokens) : TILE * TILE;
    int64_t splits = vk_least(wanted_splits(tokens, m->cols, rows, area), (int64_t)(room / part));
    if (splits > 1) vk_plan_raise(plan, VK_SCRATCH_PARTIAL, (size_t)splits * part);
    if (half)
        vk_plan_raise(plan, VK_SCRATCH_HALF,
                      vk_halves_bytes(tokens, m->cols) + vk_halves_bytes(tokens, m->rows));
}
