/* Vulkan operations on rows: embedding, norms, rounding, rotation, moves by index. Indices that
 * would lead out of a matrix are reported by the shaders (vk.h, faults) and not followed. */
#include "backend/vk_sweep.h"

enum {
    ROWS_FEW = 64,  /* with fewer rows a row gets a larger work group */
    LANE_FOURS = 4, /* vectors of 4 values an invocation should have before that */
    LANES_EACH = VK_SWEEP_GROUP
};

static int64_t min_i64(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* ---- a team of invocations a row ---- */

/* Constants 0 to 3 of shaders/team.glsl for rows of n values; returns the rows of a work group. */
static uint32_t team_constants(vk_sweep *s, int64_t n) {
    int64_t fours = (n + 3) / 4;
    uint32_t group = VK_SWEEP_GROUP, team = 1, most = vk_limits_of(s->vk)->invocations;
    if (s->count < ROWS_FEW)
        while (group < VK_SWEEP_GROUP_MAX && 2 * group <= most && fours > LANE_FOURS * group)
            group *= 2;
    while (team < group && team < fours) team *= 2;
    vk_sweep_constant(s, n % 4 == 0 && vk_sweep_vectors(s));
    vk_sweep_constant(s, group);
    vk_sweep_constant(s, team);
    vk_sweep_constant(s, (uint32_t)((fours - 1) / team + 1));
    return group / team;
}

typedef struct row_push {
    uint32_t rows, n;
    float eps;
} row_push;

static vk_sweep rows_sweep(backend *be, const char *op, vk_shader shader, int64_t rows,
                           double operations) {
    return (vk_sweep){.vk = vk_of(be),
                      .all = {.op = op, .shader = shader, .operations = operations},
                      .count = rows};
}

static void rows_run(const vk_sweep *s, int64_t n, float eps, uint32_t rows_a_group) {
    int64_t step = vk_sweep_step(s, 1);
    for (int64_t begin = 0; step && begin < s->count; begin += step) {
        int64_t rows = min_i64(step, s->count - begin);
        row_push push = {(uint32_t)rows, (uint32_t)n, eps};
        vk_sweep_run(s, begin, rows, (uint64_t)(rows - 1) / rows_a_group + 1, &push, sizeof push);
    }
}

static vk_binding vector_binding(view at, int64_t n) {
    return (vk_binding){at, (size_t)n * sizeof(float), VK_READ};
}

/* gamma is not cut by rows, but read as vectors too. */
static uint32_t gamma_constants(vk_sweep *s, view gamma, int64_t n) {
    uint32_t rows_a_group = team_constants(s, n);
    if (gamma.offset % 16) s->all.constants[0] = 0;
    return rows_a_group;
}

void vk_rmsnorm(backend *be, view x, view gamma, int64_t tokens, int64_t n, float eps, view y) {
    vk_sweep s = rows_sweep(be, "op_rmsnorm", VK_SHADER_rmsnorm, tokens, 4.0 * (double)n);
    size_t row = (size_t)n * sizeof(float);
    vk_sweep_add(&s, x, row, VK_READ);
    vk_sweep_share(&s, vector_binding(gamma, n));
    vk_sweep_add(&s, y, row, VK_WRITE);
    rows_run(&s, n, eps, gamma_constants(&s, gamma, n));
}

void vk_rmsnorm_backward(backend *be, view x, view gamma, view dy, int64_t tokens, int64_t n,
                         float eps, view dx, bool add) {
    vk_sweep s =
        rows_sweep(be, "op_rmsnorm_backward", VK_SHADER_rmsnorm_backward, tokens, 10.0 * (double)n);
    size_t row = (size_t)n * sizeof(float);
    vk_sweep_add(&s, x, row, VK_READ);
    vk_sweep_share(&s, vector_binding(gamma, n));
    vk_sweep_add(&s, dy, row, VK_READ);
    vk_sweep_add(&s, dx, row, add ? VK_READ_WRITE : VK_WRITE);
    uint32_t rows_a_group = gamma_constants(&s, gamma, n);
    vk_sweep_constant(&s, add);
    rows_run(&s, n, eps, rows_a_group);
}

/* ---- rounding ---- */

static view view_bytes(view v, size_t bytes) {
    return (view){v.buf, v.offset + bytes};
}

/* The parts of rounded activations (backend.h, quantised_bytes). */
static void add_quantised(vk_sweep *s, int64_t n, view q8) {
    size_t padded = (size_t)ternary_padded(n), tokens = (size_t)s->count;
    vk_sweep_add(s, q8, padded, VK_WRITE);
    vk_sweep_add(s, view_bytes(q8, tokens * padded), sizeof(float), VK_WRITE);
    vk_sweep_add(s, view_bytes(q8, tokens * (padded + sizeof(float))), sizeof(int32_t), VK_WRITE);
}

/* Only the floats are moved as vectors. */
static uint32_t rounding_constants(vk_sweep *s, view x, int64_t n) {
    uint32_t rows_a_group = team_constants(s, ternary_padded(n));
    s->all.constants[0] = n % 4 == 0 && x.offset % 16 == 0;
    return rows_a_group;
}

void vk_quantise(backend *be, view x, int64_t tokens, int64_t n, view q8) {
    vk_sweep s = rows_sweep(be, "op_quantise", VK_SHADER_quantise, tokens, 6.0 * (double)n);
    vk_sweep_add(&s, x, (size_t)n * sizeof(float), VK_READ);
    add_quantised(&s, n, q8);
    rows_run(&s, n, 0, rounding_constants(&s, x, n));
}

void vk_rmsnorm_quantise(backend *be, view x, view gamma, int64_t tokens, int64_t n, float eps,
                         view y, view q8) {
    vk_sweep s = rows_sweep(be, "op_rmsnorm", VK_SHADER_rmsnorm_quantise, tokens, 10.0 * (double)n);
    size_t row = (size_t)n * sizeof(float);
    vk_sweep_add(&s, x, row, VK_READ);
    vk_sweep_share(&s, vector_binding(gamma, n));
    vk_sweep_add(&s, y, row, VK_WRITE);
    add_quantised(&s, n, q8);
    uint32_t rows_a_group = rounding_constants(&s, x, n);
    if (gamma.offset % 16 || y.offset % 16) s.all.constants[0] = 0;
    rows_run(&s, n, eps, rows_a_group);
}

void vk_glu_rmsnorm_quantise(backend *be, activation act, view gate, view up, view gamma,
                             int64_t tokens, int64_t n, float eps, view unit, view y, view q8) {
    vk_sweep s = rows_sweep(be, "op_glu_rmsnorm_quantise", VK_SHADER_glu_rmsnorm_quantise, tokens,
                            15.0 * (double)n);
    size_t row = (size_t)n * sizeof(float);
    vk_sweep_add(&s, gate, row, VK_READ);
    vk_sweep_add(&s, up, row, VK_READ);
    vk_sweep_add(&s, unit, row, VK_WRITE);
    vk_sweep_share(&s, vector_binding(gamma, n));
    vk_sweep_add(&s, y, row, VK_WRITE);
    add_quantised(&s, n, q8);
    uint32_t rows_a_group = rounding_constants(&s, gate, n);
    if ((up.offset | unit.offset | gamma.offset | y.offset) % 16) s.all.constants[0] = 0;
    vk_sweep_constant(&s, (uint32_t)act);
    rows_run(&s, n, eps, rows_a_group);
}

size_t vk_gradient_planes_bytes(int64_t tokens, int64_t n) {
    return (size_t)tokens * (2 * (size_t)ternary_padded(n) + sizeof(float));
}

void vk_gradient_planes(vk_backend *vk, const char *op, view dy, int64_t tokens, int64_t n,
                        view planes) {
    vk_sweep s = {
        .vk = vk,
        .all = {.op = op, .shader = VK_SHADER_gradient_planes, .operations = 6.0 * (double)n},
        .count = tokens};
    size_t padded = (size_t)ternary_padded(n), plane = (size_t)tokens * padded;
    vk_sweep_add(&s, dy, (size_t)n * sizeof(float), VK_READ);
    vk_sweep_add(&s, planes, padded, VK_WRITE);
    vk_sweep_add(&s, view_bytes(planes, plane), padded, VK_WRITE);
    vk_sweep_add(&s, view_bytes(planes, 2 * plane), sizeof(float), VK_WRITE);
    rows_run(&s, n, 0, rounding_constants(&s, dy, n));
}

/* ---- rows found by an index ---- */

/* The windows of an operation that looks rows up: of the looked-up side too, because any item may
 * need any row. What a window does not have, another one does. */
typedef struct lookup {
    vk_sweep s;
    uint32_t table; /* its binding */
    size_t row_bytes;
    int64_t rows;
} lookup;

/* Work groups for `items` items of `fours` invocations. */
static uint64_t lookup_groups(int64_t items, int64_t fours) {
    return ((uint64_t)items * (uint64_t)fours - 1) / LANES_EACH + 1;
}

/* push[0] = items here, then whatever the operation has set up to push[at], and there: first item,
 * first row, rows here, all rows. */
static void lookup_run(const lookup *l, int64_t fours, uint32_t *push, uint32_t at) {
    int64_t step = vk_sweep_step(&l->s, 1);
    int64_t rows_step = step ? vk_window_rows(l->s.vk, l->s.all.op, l->row_bytes, l->rows) : 0;
    for (int64_t row = 0; rows_step && row < l->rows; row += rows_step) {
        int64_t rows = min_i64(rows_step, l->rows - row);
        vk_sweep window = l->s;
        vk_binding *table = &window.all.bindings[l->table];
        table->at.offset += (size_t)row * l->row_bytes;
        table->bytes = (size_t)rows * l->row_bytes;
        for (int64_t begin = 0; begin < l->s.count; begin += step) {
            int64_t n = min_i64(step, l->s.count - begin);
            push[0] = (uint32_t)n;
            push[at] = (uint32_t)begin;
            push[at + 1] = (uint32_t)row;
            push[at + 2] = (uint32_t)rows;
            push[at + 3] = (uint32_t)l->rows;
            vk_sweep_run(&window, begin, n, lookup_groups(n, fours), push, (at + 4) * 4);
        }
    }
}

static void lookup_table(lookup *l, view at, size_t row_bytes, int64_t rows, vk_access access) {
    l->table = l->s.all.binding_count;
    l->row_bytes = row_bytes;
    l->rows = rows;
    vk_sweep_share(&l->s, (vk_binding){at, 0, access});
}

void vk_embed(backend *be, const dense_weight *w, view ids, int64_t tokens, view out) {
    const vk_weight *weight = w->memory;
    int64_t cols = w->matrix.cols;
    lookup l = {.s = rows_sweep(be, "op_embed", VK_SHADER_embed, tokens, (double)cols)};
    lookup_table(&l, view_of(weight->buf), weight->row_bytes, w->matrix.rows, VK_READ);
    vk_sweep_add(&l.s, ids, sizeof(int32_t), VK_READ);
    vk_sweep_add(&l.s, out, (size_t)cols * sizeof(float), VK_WRITE);
    vk_sweep_share(&l.s, vk_fault_binding(l.s.vk));
    vk_sweep_constant(&l.s, cols % 4 == 0 && out.offset % 16 == 0);
    vk_sweep_constant(&l.s, (uint32_t)w->matrix.type);
    uint32_t push[7] = {0, (uint32_t)cols, (uint32_t)(weight->row_bytes / 4)};
    lookup_run(&l, (cols + 3) / 4, push, 3);
}

/* y: NULL in place, else row rows[t] of y (row_count rows), which fit one binding. */
static void rope(backend *be, const char *op, view x, view positions, view table, int64_t tokens,
                 int64_t heads, int64_t head_dim, bool interleaved, bool inverse, view rows,
                 const view *y, int64_t row_count) {
    lookup l = {.s = rows_sweep(be, op, VK_SHADER_rope, tokens, 3.0 * (double)(heads * head_dim))};
    size_t row_bytes = (size_t)head_dim * sizeof(float);
    int64_t angles = (int64_t)((table.buf->bytes - table.offset) / row_bytes), pairs = head_dim / 2;
    size_t width = (size_t)heads * row_bytes;
    bool aligned = x.offset % 16 == 0 && table.offset % 16 == 0 && (!y || y->offset % 16 == 0);
    vk_sweep_add(&l.s, x, width, VK_READ);
    vk_sweep_add(&l.s, positions, sizeof(int32_t), VK_READ);
    lookup_table(&l, table, row_bytes, angles, VK_READ);
    vk_sweep_share(&l.s, vk_fault_binding(l.s.vk));
    if (y)
        vk_sweep_share(&l.s, (vk_binding){*y, (size_t)row_count * width, VK_READ_WRITE});
    else
        vk_sweep_add(&l.s, x, width, VK_READ_WRITE);
    vk_sweep_add(&l.s, rows, sizeof(int32_t), VK_READ);
    vk_sweep_constant(&l.s, pairs % 4 == 0 && aligned);
    vk_sweep_constant(&l.s, interleaved);
    vk_sweep_constant(&l.s, inverse);
    vk_sweep_constant(&l.s, y != NULL);
    uint32_t push[8] = {0, (uint32_t)heads, (uint32_t)pairs, (uint32_t)row_count};
    lookup_run(&l, heads * ((pairs + 3) / 4), push, 4);
}

void vk_rope(backend *be, view x, view positions, view table, int64_t tokens, int64_t heads,
             int64_t head_dim, bool interleaved, bool inverse) {
    rope(be, "op_rope", x, positions, table, tokens, heads, head_dim, interleaved, inverse,
         positions, NULL, 0);
}

void vk_rope_scatter(backend *be, view x, view positions, view table, int64_t tokens, int64_t heads,
                     int64_t head_dim, bool interleaved, view rows, view y, int64_t row_count) {
    const vk_limits *l = vk_limits_of(vk_of(be));
    uint64_t bytes = (uint64_t)(row_count * heads * head_dim) * sizeof(float);
    if (bytes + l->offset_alignment <= l->window_bytes) {
        rope(be, "op_rope_scatter", x, positions, table, tokens, heads, head_dim, interleaved,
             false, rows, &y, row_count);
    } else {
        vk_rope(be, x, positions, table, tokens, heads, head_dim, interleaved, false);
        vk_scatter(be, x, rows, tokens, heads * head_dim, y, row_count);
    }
}

static void move_constants(lookup *l, view x, view y, int64_t n, bool scatter) {
    vk_sweep_share(&l->s, vk_fault_binding(l->s.vk));
    vk_sweep_constant(&l->s, n % 4 == 0 && x.offset % 16 == 0 && y.offset % 16 == 0);
    vk_sweep_constant(&l->s, scatter);
}

void vk_gather(backend *be, view x, int64_t row_count, view rows, int64_t count, int64_t n,
               view y) {
    lookup l = {.s = rows_sweep(be, "op_gather", VK_SHADER_move_rows, count, 0)};
    size_t row = (size_t)n * sizeof(float);
    lookup_table(&l, x, row, row_count, VK_READ);
    vk_sweep_add(&l.s, rows, sizeof(int32_t), VK_READ);
    vk_sweep_add(&l.s, y, row, VK_WRITE);
    move_constants(&l, x, y, n, false);
    uint32_t push[6] = {0, (uint32_t)n};
    lookup_run(&l, (n + 3) / 4, push, 2);
}

void vk_scatter(backend *be, view x, view rows, int64_t count, int64_t n, view y,
                int64_t row_count) {
    lookup l = {.s = rows_sweep(be, "op_scatter", VK_SHADER_move_rows, count, 0)};
    size_t row = (size_t)n * sizeof(float);
    vk_sweep_add(&l.s, x, row, VK_READ);
    vk_sweep_add(&l.s, rows, sizeof(int32_t), VK_READ);
    lookup_table(&l, y, row, row_count, VK_WRITE);
    move_constants(&l, x, y, n, true);
    uint32_t push[6] = {0, (uint32_t)n};
    lookup_run(&l, (n + 3) / 4, push, 2);
}
