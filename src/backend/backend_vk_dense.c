/* Products with dense matrices (the output head) on a Vulkan device, and the cross-entropy through
 * them, in chunks of tokens. Both are cut by rows of the matrix, so that a head of any size works
 * with small bindings. */
#include "backend/vk_math.h"

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

static size_t row_bytes(const dense_weight *w) {
    const vk_weight *on_device = w->memory;
    return on_device->row_bytes;
}

static vk_binding bind_rows(const dense_weight *w, int64_t first, int64_t count) {
    return (vk_binding){weight_rows(w, first), (size_t)count * row_bytes(w), VK_READ};
}

/* The product with rows [first, first + rows) of the matrix, for tokens whose tables fit. */
typedef struct product {
    const char *op;
    const dense_weight *w;
    int64_t first, rows;
    view x, y;
    int64_t tokens;
} product;

/* ---- y = x W^T ---- */

static bool is_vector(view v) {
    return v.offset % 16 == 0;
}

static void run_vec(vk_backend *vk, const product *c) {
    const dense_matrix *m = &c->w->matrix;
    struct {
        uint32_t rows, cols, row_words, x_stride, y_stride;
    } push = {(uint32_t)c->rows, (uint32_t)m->cols, (uint32_t)(row_bytes(c->w) / 4),
              (uint32_t)m->cols, (uint32_t)m->rows};
    bool vector = is_vector(c->x) && m->cols % 4 == 0 && row_bytes(c->w) % 16 == 0;
    for (int64_t t = 0; t < c->tokens; t += VEC_TOKENS) {
        int64_t count = vk_least(VEC_TOKENS, c->tokens - t);
        vk_dispatch d = {.op = c->op,
                         .shader = VK_SHADER_dense_vec,
                         .constants = {m->type, (uint32_t)count, vector},
                         .constant_count = 3,
                         .bindings = {bind_rows(c->w, c->first, c->rows),
                                      vk_in(view_floats(c->x, t * m->cols), count * m->cols),
                                      vk_out(view_floats(c->y, t * m->rows + c->first),
                                             (count - 1) * m->rows + c->rows)},
                         .binding_count = 3,
                         .push = &push,
                         .push_bytes = sizeof push,
                         .operations = 2.0 * (double)count * (double)c->rows * (double)m->cols,
                         .bytes = (double)c->rows * (double)row_bytes(c->w)};
        vk_groups(vk, (uint64_t)vk_blocks(c->rows, VEC_ROWS), d.groups);
        vk_run(vk, &d);
    }
}

typedef struct tile_push {
    uint32_t tokens, features, depth, x_stride, row_words, y_stride;
    uint32_t split_depth, splits, split_floats, add;
} tile_push;

static void run_tile(vk_backend *vk, const product *c) {
    const dense_matrix *m = &c->w->matrix;
    tile_push push = {.tokens = (uint32_t)c->tokens,
                      .features = (uint32_t)c->rows,
                      .depth = (uint32_t)m->cols,
                      .x_stride = (uint32_t)m->cols,
                      .row_words = (uint32_t)(row_bytes(c->w) / 4),
                      .y_stride = (uint32_t)m->rows,
                      .split_depth = (uint32_t)m->cols,
                      .splits = 1};
    double outputs = (double)c->tokens * (double)c->rows;
    vk_dispatch d = {
        .op = c->op,
        .shader = VK_SHADER_dense_tile,
        .constants = {m->type},
        .constant_count = 1,
        .bindings = {bind_rows(c->w, c->first, c->rows), vk_in(c->x, c->tokens * m->cols),
                     vk_out(view_floats(c->y, c->first), (c->tokens - 1) * m->rows + c->rows)},
        .binding_count = 3,
        .push = &push,
        .push_bytes = sizeof push,
        .operations = 2 * outputs * (double)m->cols,
        .bytes = (double)c->rows * (double)row_bytes(c->w) + 4 * outputs};
    vk_groups(vk, (uint64_t)(vk_blocks(c->tokens, TILE) * vk_blocks(c->rows, TILE)), d.groups);
    vk_run(vk, &d);
}

/* Tokens whose x and y fit a binding each. */
static void run_product(vk_backend *vk, product *c) {
    const dense_matrix *m = &c->w->matrix;
    int64_t rows = vk_window_rows(vk, c->op, row_bytes(c->w), m->rows);
    if (!rows) return;
    for (c->first = 0; c->first < m->rows; c->first += rows) {
        c->rows = vk_least(rows, m->rows - c->first);
        if (c->tokens <= VEC_TOKENS_MAX)
            run_vec(vk, c);
        else
            run_tile(vk, c);
    }
}

void vk_dense_matmul(backend *be, const dense_weight *w, view x, int64_t tokens, precision grade,
                     view y) {
    vk_backend *vk = vk_of(be);
    const dense_matrix *m = &w->matrix;
    (void)grade;
    int64_t widest = m->rows > m->cols ? m->rows : m->cols;
    int64_t rows = vk_float_rows(vk, "op_dense_matmul", widest, tokens);
    for (int64_t t = 0; rows && t < tokens; t += rows) {
        product c = {.op = "op_dense_matmul",
                     .w = w,
                     .x = view_floats(x, t * m->cols),
                     .y = view_floats(y, t * m->rows),
                     .tokens = vk_least(rows, tokens - t)};
        run_product(vk, &c);
    }
}

/* ---- dx = dy W: x of the product is dy (T, rows), y is dx (T, cols) ---- */

static void run_tile_t(vk_backend *vk, const product *c, view sums, int64_t splits, bool add) {
    const dense_matrix *m = &c->w->matrix;
    int64_t size = c->tokens * m->cols;
    tile_push push = {.tokens = (uint32_t)c->tokens,
                      .features = (uint32_t)m->cols,
                      .depth = (uint32_t)c->rows,
                      .x_stride = (uint32_t)m->rows,
                      .row_words = (uint32_t)(row_bytes(c->w) / 4),
                      .y_stride = (uint32_t)m->cols,
                      .split_depth = (uint32_t)(vk_blocks(c->rows, splits * DEPTH) * DEPTH),
                      .splits = (uint32_t)splits,
                      .split_floats = (uint32_t)size,
                      .add = add};
    vk_dispatch d = {
        .op = c->op,
        .shader = VK_SHADER_dense_tile_t,
        .constants = {m->type},
        .constant_count = 1,
        .bindings = {bind_rows(c->w, c->first, c->rows),
                     vk_in(view_floats(c->x, c->first), (c->tokens - 1) * m->rows + c->rows),
                     vk_floats(sums, splits * size, add ? VK_READ_WRITE : VK_WRITE)},
        .binding_count = 3,
        .push = &push,
        .push_bytes = sizeof push,
        .operations = 2 * (double)size * (double)c->rows,
        .bytes = (double)c->rows * ((double)row_bytes(c->w) + 4 * (double)c->tokens)};
    int64_t tiles = vk_blocks(c->tokens, TILE) * vk_blocks(m->cols, TILE);
    vk_groups(vk, (uint64_t)(tiles * splits), d.groups);
    vk_run(vk, &d);
}

static void sum_splits(vk_backend *vk, const product *c, view parts, int64_t splits) {
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

/* Parts of the sum over a window of rows: enough groups, but their results fit a binding. */
static int64_t split_count(vk_backend *vk, const product *c, int64_t rows) {
    int64_t cols = c->w->matrix.cols;
    int64_t tiles = vk_blocks(c->tokens, TILE) * vk_blocks(cols, TILE);
    int64_t splits = vk_least(vk_blocks(GROUPS_WANTED, tiles), vk_blocks(rows, SPLIT_LEAST));
    return vk_least(splits, vk_float_rows(vk, c->op, c->tokens * cols, splits));
}

static void run_product_t(vk_backend *vk, product *c) {
    const dense_matrix *m = &c->w->matrix;
    int64_t rows = vk_window_rows(vk, c->op, row_bytes(c->w), m->rows);
    if (!rows) return;
    int64_t splits = split_count(vk, c, rows);
    view sums = c->y;
    size_t bytes = (size_t)(splits * c->tokens * m->cols) * sizeof(float);
    if (!splits || (splits > 1 && !vk_scratch(vk, c->op, VK_SCRATCH_PARTIAL, bytes, &sums))) return;
    for (c->first = 0; c->first < m->rows; c->first += rows) {
        c->rows = vk_least(rows, m->rows - c->first);
        run_tile_t(vk, c, sums, splits, c->first > 0);
    }
    if (splits > 1) sum_splits(vk, c, sums, splits);
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

typedef struct loss_call {
    view logits, targets, losses;
    int64_t tokens, n, first_token;
    float grad_scale;
} loss_call;

static void run_loss(vk_backend *vk, const loss_call *c) {
    struct {
        uint32_t tokens, n, first_token;
        float scale;
    } push = {(uint32_t)c->tokens, (uint32_t)c->n, (uint32_t)c->first_token, c->grad_scale};
    double size = (double)c->tokens * (double)c->n;
    vk_dispatch d = {.op = "op_head_loss",
                     .shader = VK_SHADER_head_loss,
                     .constants = {is_vector(c->logits) && c->n % 4 == 0},
                     .constant_count = 1,
                     .bindings = {vk_in_out(c->logits, c->tokens * c->n),
                                  vk_in(c->targets, c->tokens), vk_out(c->losses, c->tokens),
                                  vk_fault_binding(vk)},
                     .binding_count = 4,
                     .push = &push,
                     .push_bytes = sizeof push,
                     .operations = 16 * size,
                     .bytes = (c->grad_scale != 0 ? 12 : 4) * size};
    vk_groups(vk, (uint64_t)c->tokens, d.groups);
    vk_run(vk, &d);
}

void vk_head_loss(backend *be, const dense_weight *w, view x, view targets, int64_t tokens,
                  float grad_scale, precision grade, view losses, view dx, view scratch) {
    vk_backend *vk = vk_of(be);
    const dense_matrix *m = &w->matrix;
    int64_t widest = m->rows > m->cols ? m->rows : m->cols, step = loss_tokens(vk, m);
    (void)grade;
    if (!vk_float_rows(vk, "op_head_loss", widest, step)) return;
    for (int64_t t = 0; t < tokens; t += step) {
        product forward = {.op = "op_head_loss",
                           .w = w,
                           .x = view_floats(x, t * m->cols),
                           .y = scratch,
                           .tokens = vk_least(step, tokens - t)};
        run_product(vk, &forward);
        loss_call rows = {
            scratch,   view_floats(targets, t), view_floats(losses, t), forward.tokens, m->rows, t,
            grad_scale};
        run_loss(vk, &rows);
        if (grad_scale == 0) continue;
        product backward = {.op = "op_head_loss",
                            .w = w,
                            .x = scratch,
                            .y = view_floats(dx, t * m->cols),
                            .tokens = forward.tokens};
        run_product_t(vk, &backward);
    }
}
