/* Vulkan products with ternary weights. Integer sums are the same bits on every device and as on
 * the CPU, whatever the tile, the tier or the windows; only a transposed product whose weight
 * exceeds a binding is rounded between its passes.
 *
 * One shader body serves both directions (shaders/ternary_product.glsl); the transposed product
 * reads gradients rounded to 16 bits as two planes of bytes. */
#include "backend/vk_ternary.h"

enum {
    TILE_FEATURES = 128, /* without cooperative matrices */
    TILE_GROUP = 128,    /* invocations of a work group, likewise */
    TILE_ROWS = 8,       /* of them that have different tokens */
    VECTOR_TOKENS = 8,   /* up to here a forward product is bound by reading the weight */
    VECTOR_VALUES = 64,  /* that an invocation reads at once */
    COOP_TOKENS = 5,     /* from here on cooperative matrices are faster than that */
    TERM_BINDING = 6,    /* of a term's h; its other factor follows */
    TERM_RANKS = 8,      /* most of a term that a product adds on its way */
    GROUPS_MANY = 40     /* and one more a token of the tile: that keep a large device busy */
};

#define VECTOR(tier, lanes)                                                                        \
    { tier, VECTOR_TOKENS, 0, lanes, 2, false, 0, 0, 0, 0 }
#define TILE(tier, tokens)                                                                         \
    { tier, tokens, TILE_FEATURES, 0, 0, false, 0, 0, 0, 0 }
#define COOP(transposed, tokens, features, ...)                                                    \
    { VK_TIER_COOP, tokens, features, 0, 0, transposed, __VA_ARGS__ }

/* By tier, and of a tier the smaller first. */
static const vk_ternary_tile tiles[] = {
    VECTOR(VK_TIER_PLAIN, 8),
    VECTOR(VK_TIER_PLAIN, 32),
    TILE(VK_TIER_PLAIN, 8),
    TILE(VK_TIER_PLAIN, 32),
    TILE(VK_TIER_PLAIN, 64),
    VECTOR(VK_TIER_DOT, 8),
    VECTOR(VK_TIER_DOT, 32),
    TILE(VK_TIER_DOT, 8),
    TILE(VK_TIER_DOT, 32),
    TILE(VK_TIER_DOT, 64),
    COOP(false, 16, 32, 16, 32, 32, 8),
    COOP(false, 32, 32, 32, 32, 32, 4),
    COOP(false, 64, 64, 32, 32, 8, 1),
    COOP(false, 128, 128, 64, 64, 8, 1),
    COOP(true, 16, 128, 16, 32, 16, 2),
    COOP(true, 32, 128, 16, 32, 8, 1),
    COOP(true, 64, 128, 32, 64, 8, 1),
};

const vk_ternary_tile *vk_ternary_tiles(int *count) {
    *count = sizeof tiles / sizeof *tiles;
    return tiles;
}

static vk_shader tile_shader(const vk_ternary_tile *tile, bool transposed) {
    if (tile->tier == VK_TIER_COOP)
        return transposed ? VK_SHADER_ternary_t_coop : VK_SHADER_ternary_coop;
    bool dot = tile->tier == VK_TIER_DOT;
    if (tile->lanes) return dot ? VK_SHADER_ternary_vec_dot : VK_SHADER_ternary_vec_plain;
    if (transposed) return dot ? VK_SHADER_ternary_t_dot : VK_SHADER_ternary_t_plain;
    return dot ? VK_SHADER_ternary_dot : VK_SHADER_ternary_plain;
}

static uint32_t tile_subgroups(const vk_ternary_tile *tile) {
    return tile->tokens / tile->block_tokens * (tile->features / tile->block_features) *
           tile->splits;
}

/* Bytes of shared memory, as shaders/ternary_tile_coop.glsl asks for them. */
static uint32_t coop_shared_bytes(const vk_ternary_tile *tile, uint32_t m) {
    uint32_t rows = tile->tokens * (tile->transposed ? 2 : 1) + tile->features;
    uint32_t values = rows * (tile->units + 1);
    uint32_t patches = tile_subgroups(tile) * m * (tile->block_features / 4 + 1);
    return 16 * (values > patches ? values : patches) + 4 * tile->tokens + 16;
}

static bool coop_tile_fits(const vk_limits *limits, const vk_ternary_tile *tile) {
    uint32_t m = limits->coop_m[0], n = limits->coop_n[0], k = limits->coop_k[0];
    if (!m || !n || k < 16 || k % 16 || n % 4) return false;
    return tile->block_tokens % m == 0 && tile->block_features % n == 0 &&
           tile->units / tile->splits % (k / 16) == 0 &&
           tile_subgroups(tile) * limits->subgroup_size <= limits->invocations &&
           coop_shared_bytes(tile, m) <= limits->shared_bytes;
}

bool vk_ternary_tile_fits(const vk_backend *vk, const vk_ternary_tile *tile, bool transposed,
                          int64_t tokens) {
    if (tile->lanes && (transposed || tokens > tile->tokens)) return false;
    if (!vk_has_shader(vk, tile_shader(tile, transposed))) return false;
    if (tile->tier != VK_TIER_COOP) return true;
    return tile->transposed == transposed && coop_tile_fits(vk_limits_of(vk), tile);
}

/* One operation, or some of its tokens. */
typedef struct product {
    vk_backend *vk;
    const char *op;
    const ternary_matrix *matrix;
    const vk_weight *weight;
    bool transposed, add;
    int64_t tokens;
    int64_t reach;      /* values of a row of what is multiplied */
    size_t value_bytes; /* of one of them */
    view in[2];         /* the rows; low planes */
    view scales;
    view out, start;             /* start: what is added to, if add */
    const vk_ternary_tile *tile; /* NULL: float32 */
    const lora_term *term;       /* added too, see takes_term; transposed, b is A. Or NULL */
} product;

/* Some of its weight rows and tokens. */
typedef struct window {
    int64_t token, tokens, row, rows;
} window;

typedef struct product_push {
    uint32_t tokens, features, depth, in_stride, weight_stride, out_stride, planes, add;
    float scale, term_scale;
} product_push;

typedef struct float_push {
    uint32_t tokens, features, depth, in_stride, weight_stride, out_stride, add;
    float scale;
} float_push;

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static int64_t blocks_of(int64_t count, int64_t block) {
    return (count + block - 1) / block;
}

static int64_t out_features(const product *p) {
    return p->transposed ? p->matrix->cols : p->matrix->rows;
}

/* Features of one window: its rows, or all columns. */
static int64_t window_features(const product *p, const window *w) {
    return p->transposed ? p->matrix->cols : w->rows;
}

static size_t in_row_bytes(const product *p) {
    return (size_t)p->reach * p->value_bytes;
}

/* Where a window of rows begins, and the bytes to the end of its last row, of which only `width`
 * bytes are touched. */
static vk_binding rows_of(view at, size_t row_bytes, const window *w, size_t skip, size_t width,
                          vk_access access) {
    at.offset += (size_t)w->token * row_bytes + skip;
    return (vk_binding){at, (size_t)(w->tokens - 1) * row_bytes + width, access};
}

static vk_binding weight_binding(const product *p, const window *w) {
    size_t row_bytes = p->weight->row_bytes;
    return (vk_binding){
        {p->weight->buf, (size_t)w->row * row_bytes}, (size_t)w->rows * row_bytes, VK_READ};
}

static vk_binding in_binding(const product *p, const window *w, int plane) {
    size_t skip = p->transposed ? (size_t)w->row * p->value_bytes : 0;
    return rows_of(p->in[plane], in_row_bytes(p), w, skip, in_row_bytes(p) - skip, VK_READ);
}

static vk_binding out_binding(const product *p, const window *w) {
    size_t row_bytes = (size_t)out_features(p) * sizeof(float);
    size_t skip = p->transposed ? 0 : (size_t)w->row * sizeof(float);
    return rows_of(p->out, row_bytes, w, skip, (size_t)window_features(p, w) * sizeof(float),
                   p->add || (p->transposed && w->row) ? VK_READ_WRITE : VK_WRITE);
}

/* What is added to; where nothing is, any place that is read already will do. */
static vk_binding start_binding(const product *p, const window *w) {
    product from = *p;
    if (!p->add && !(p->transposed && w->row)) return in_binding(p, w, 0);
    if (!p->transposed || !w->row) from.out = p->start;
    vk_binding b = out_binding(&from, w);
    b.access = VK_READ;
    return b;
}

/* h of a term, or its other factor. Any place that is read already will do where there is none. */
static vk_binding term_binding(const product *p, const window *w, bool is_h) {
    const lora_term *t = p->term;
    if (!t) return in_binding(p, w, 0);
    size_t row_bytes = (size_t)t->r * sizeof(float);
    if (is_h) return rows_of(t->h, row_bytes, w, 0, row_bytes, VK_READ);
    return (vk_binding){t->b, (size_t)out_features(p) * row_bytes, VK_READ};
}

static void count_work(const product *p, const window *w, vk_dispatch *d) {
    d->operations = 2.0 * (double)w->tokens * (double)w->rows * (double)p->matrix->cols;
    uint32_t count = p->term || d->binding_count < TERM_BINDING ? d->binding_count : TERM_BINDING;
    for (uint32_t i = 0; i < count; i++) d->bytes += (double)d->bindings[i].bytes;
}

static void add_constant(vk_dispatch *d, uint32_t value) {
    d->constants[d->constant_count++] = value;
}

static bool in_is_aligned(const product *p) {
    return p->in[0].offset % 16 == 0 && p->in[1].offset % 16 == 0;
}

static void coop_constants(const product *p, vk_dispatch *d) {
    const vk_limits *limits = vk_limits_of(p->vk);
    const vk_ternary_tile *tile = p->tile;
    const uint32_t values[] = {limits->coop_m[0],    limits->coop_n[0],
                               limits->coop_k[0],    tile->tokens,
                               tile->features,       tile->block_tokens,
                               tile->block_features, tile->units,
                               tile->splits,         tile_subgroups(tile) * limits->subgroup_size};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) add_constant(d, values[i]);
    add_constant(d, p->term ? (uint32_t)p->term->r / 4 : 0);
}

/* Specialisation constants, and the work groups of the window. */
static void set_tile(const product *p, const window *w, vk_dispatch *d) {
    const vk_ternary_tile *tile = p->tile;
    int64_t features = window_features(p, w);
    d->shader = tile_shader(tile, p->transposed);
    if (tile->lanes) {
        add_constant(d, (uint32_t)w->tokens);
        add_constant(d, tile->lanes);
        add_constant(d, tile->each);
        add_constant(d, in_is_aligned(p));
        int64_t rows = TILE_GROUP / tile->lanes * tile->each;
        vk_groups(p->vk, (uint64_t)blocks_of(features, rows), d->groups);
        return;
    }
    if (tile->tier == VK_TIER_COOP)
        coop_constants(p, d);
    else
        add_constant(d, tile->tokens / TILE_ROWS);
    int64_t across = blocks_of(features, tile->features), down = blocks_of(w->tokens, tile->tokens);
    vk_groups(p->vk, (uint64_t)(across * down), d->groups);
}

static void run_integers(const product *p, const window *w) {
    bool low = p->transposed;
    product_push push = {.tokens = (uint32_t)w->tokens,
                         .features = (uint32_t)window_features(p, w),
                         .depth = (uint32_t)(p->transposed ? w->rows : p->reach),
                         .in_stride = (uint32_t)(in_row_bytes(p) / 4),
                         .weight_stride = (uint32_t)(p->weight->row_bytes / 4),
                         .out_stride = (uint32_t)out_features(p),
                         .planes = low ? 2 : 1,
                         .add = p->add || (p->transposed && w->row),
                         .scale = p->matrix->scale,
                         .term_scale = p->term ? p->term->scale : 0};
    vk_dispatch d = {.op = p->op,
                     .bindings = {weight_binding(p, w), in_binding(p, w, 0), in_binding(p, w, low),
                                  rows_of(p->scales, sizeof(float), w, 0, sizeof(float), VK_READ),
                                  out_binding(p, w), start_binding(p, w), term_binding(p, w, true),
                                  term_binding(p, w, false)},
                     .binding_count = 8,
                     .push = &push,
                     .push_bytes = sizeof push};
    set_tile(p, w, &d);
    count_work(p, w, &d);
    vk_run(p->vk, &d);
}

static void run_floats(const product *p, const window *w) {
    float_push push = {.tokens = (uint32_t)w->tokens,
                       .features = (uint32_t)window_features(p, w),
                       .depth = (uint32_t)(p->transposed ? w->rows : p->reach),
                       .in_stride = (uint32_t)p->reach,
                       .weight_stride = (uint32_t)(p->weight->row_bytes / 4),
                       .out_stride = (uint32_t)out_features(p),
                       .add = p->add || (p->transposed && w->row),
                       .scale = p->matrix->scale};
    uint32_t tile_tokens = TILE_ROWS;
    while (tile_tokens < w->tokens && tile_tokens < 8 * TILE_ROWS) tile_tokens *= 2;
    vk_dispatch d = {.op = p->op,
                     .shader = p->transposed ? VK_SHADER_ternary_t_f32 : VK_SHADER_ternary_f32,
                     .constants = {tile_tokens / TILE_ROWS},
                     .constant_count = 1,
                     .bindings = {weight_binding(p, w), in_binding(p, w, 0), out_binding(p, w)},
                     .binding_count = 3,
                     .push = &push,
                     .push_bytes = sizeof push};
    int64_t across = blocks_of(push.features, TILE_FEATURES);
    vk_groups(p->vk, (uint64_t)(across * blocks_of(w->tokens, tile_tokens)), d.groups);
    count_work(p, w, &d);
    vk_run(p->vk, &d);
}

/* Weight rows of a window; 0 after a failure. Sums are cut at whole blocks of the planes. */
static int64_t window_weight_rows(const product *p) {
    int64_t rows = p->matrix->rows;
    size_t row_bytes = p->weight->row_bytes;
    if (!p->transposed) return vk_window_rows(p->vk, p->op, row_bytes, rows);
    if ((uint64_t)rows <= vk_limits_of(p->vk)->window_bytes / row_bytes) return rows;
    return TERNARY_BLOCK *
           vk_window_rows(p->vk, p->op, TERNARY_BLOCK * row_bytes, blocks_of(rows, TERNARY_BLOCK));
}

static int64_t window_tokens(const product *p) {
    size_t out_bytes = (size_t)out_features(p) * sizeof(float), in_bytes = in_row_bytes(p);
    return vk_window_rows(p->vk, p->op, in_bytes > out_bytes ? in_bytes : out_bytes, p->tokens);
}

static void run_product(const product *p) {
    int64_t rows = window_weight_rows(p), tokens = rows ? window_tokens(p) : 0;
    if (!rows || !tokens) return;
    for (int64_t token = 0; token < p->tokens; token += tokens)
        for (int64_t row = 0; row < p->matrix->rows; row += rows) {
            window w = {token, least(tokens, p->tokens - token), row,
                        least(rows, p->matrix->rows - row)};
            if (p->tile)
                run_integers(p, &w);
            else
                run_floats(p, &w);
        }
}

static product product_of(backend *be, const char *op, const ternary_weight *w, int64_t tokens,
                          view out) {
    return (product){.vk = vk_of(be),
                     .op = op,
                     .matrix = &w->matrix,
                     .weight = w->memory,
                     .tokens = tokens,
                     .out = out};
}

/* ---- which tile ---- */

/* Is a larger tile better? If the rows are long enough for its lanes; if there are tokens for it
 * and it leaves enough groups to keep a large device busy. */
static bool tile_suits(const product *p, const vk_ternary_tile *tile,
                       const vk_ternary_tile *smaller) {
    if (tile->lanes) return p->reach >= VECTOR_VALUES * (int64_t)tile->lanes;
    int64_t groups =
        blocks_of(out_features(p), tile->features) * blocks_of(p->tokens, tile->tokens);
    return p->tokens > smaller->tokens && groups >= GROUPS_MANY + tile->tokens;
}

static const vk_ternary_tile *choose_tile(const product *p) {
    const vk_ternary_tile *found = NULL;
    int count;
    const vk_ternary_tile *all = vk_ternary_tiles(&count);
    for (int i = 0; i < count; i++) {
        const vk_ternary_tile *tile = &all[i];
        if (tile->tier == VK_TIER_COOP && !in_is_aligned(p)) continue;
        if (!vk_ternary_tile_fits(p->vk, tile, p->transposed, p->tokens)) continue;
        bool many = tile->tier == VK_TIER_COOP && p->tokens >= COOP_TOKENS;
        if (found && found->lanes && !tile->lanes && !many) continue;
        if (!found || tile->tier > found->tier || tile_suits(p, tile, found)) found = tile;
    }
    return found;
}

/* ---- operations ---- */

/* Can a product with its tile add this term to what it stores? The shader reads and writes whole
 * fours, and all rows of the weight must be there at once. */
static bool takes_term(const product *p, const lora_term *t) {
    const vk_limits *l = vk_limits_of(p->vk);
    uint64_t bytes = (uint64_t)out_features(p) * (uint64_t)t->r * sizeof(float);
    if (!p->tile || p->tile->tier != VK_TIER_COOP || t->r % 4 || t->r > TERM_RANKS) return false;
    uint32_t shared =
        coop_shared_bytes(p->tile, l->coop_m[0]) + 4 * p->tile->tokens * (uint32_t)t->r;
    return shared <= l->shared_bytes && out_features(p) % 4 == 0 && p->out.offset % 16 == 0 &&
           p->start.offset % 16 == 0 && t->h.offset % 16 == 0 && t->b.offset % 16 == 0 &&
           bytes <= l->window_bytes - l->offset_alignment &&
           (uint64_t)p->matrix->rows * p->weight->row_bytes <= l->window_bytes;
}

/* base: what is added to; NULL = nothing. */
static product forward_of(backend *be, const char *op, const ternary_weight *w, view q8,
                          int64_t tokens, const vk_ternary_tile *tile, const view *base, view y) {
    product p = product_of(be, op, w, tokens, y);
    p.reach = ternary_padded(w->matrix.cols);
    p.value_bytes = 1;
    p.in[0] = p.in[1] = q8;
    p.scales = (view){q8.buf, q8.offset + (size_t)(tokens * p.reach)};
    p.add = base != NULL;
    if (base) p.start = *base;
    p.tile = tile ? tile : choose_tile(&p);
    return p;
}

void vk_ternary_product(backend *be, const ternary_weight *w, view q8, int64_t tokens,
                        const vk_ternary_tile *tile, view y) {
    product p = forward_of(be, "op_ternary_matmul", w, q8, tokens, tile, NULL, y);
    run_product(&p);
}

void vk_ternary_matmul_add(backend *be, const ternary_weight *w, view q8, int64_t tokens, view base,
                           view y) {
    product p = forward_of(be, "op_ternary_matmul_add", w, q8, tokens, NULL, &base, y);
    run_product(&p);
}

void vk_ternary_matmul_lora(backend *be, const ternary_weight *w, view q8, int64_t tokens,
                            const view *base, const lora_term *term, view y) {
    product p = forward_of(be, "op_ternary_matmul_lora", w, q8, tokens, NULL, base, y);
    bool takes = takes_term(&p, term);
    if (takes) p.term = term;
    run_product(&p);
    if (!takes) vk_lora_up(be, term->h, term->b, tokens, w->matrix.rows, term->r, term->scale, y);
}

static product transposed_of(backend *be, const ternary_weight *w, int64_t tokens, view dx) {
    product p = product_of(be, "op_ternary_matmul_t", w, tokens, dx);
    p.transposed = true;
    p.reach = ternary_padded(w->matrix.rows);
    p.value_bytes = 1;
    return p;
}

/* Rounded, not in float32? */
static bool is_rounded(const ternary_weight *w, precision grade) {
    return grade == PRECISION_ROUNDED && w->matrix.rows <= GRADIENT_ROWS_MAX;
}

bool vk_ternary_t_takes(backend *be, const ternary_weight *w, const lora_term *term, int64_t tokens,
                        precision grade, view dx) {
    product p = transposed_of(be, w, tokens, dx);
    size_t bytes = vk_gradient_planes_bytes(tokens, w->matrix.rows);
    p.tile = choose_tile(&p);
    return is_rounded(w, grade) && bytes <= vk_limits_of(p.vk)->window_bytes &&
           takes_term(&p, term);
}

/* Tokens are rounded as many at once as fit one binding. */
void vk_ternary_product_t(backend *be, const ternary_weight *w, view dy, int64_t tokens,
                          const vk_ternary_tile *tile, const lora_term *term, view dx, bool add) {
    product p = transposed_of(be, w, tokens, dx);
    int64_t n = w->matrix.rows;
    int64_t step = vk_window_rows(p.vk, p.op, vk_gradient_planes_bytes(1, n), tokens);
    view planes;
    p.add = add;
    p.term = term;
    if (!step ||
        !vk_scratch(p.vk, p.op, VK_SCRATCH_GRADIENT, vk_gradient_planes_bytes(step, n), &planes))
        return;
    for (int64_t token = 0; token < tokens; token += step) {
        p.tokens = least(step, tokens - token);
        size_t plane_bytes = (size_t)(p.tokens * p.reach);
        vk_gradient_planes(p.vk, p.op, view_floats(dy, token * n), p.tokens, n, planes);
        p.in[0] = planes;
        p.in[1] = (view){planes.buf, planes.offset + plane_bytes};
        p.scales = (view){planes.buf, planes.offset + 2 * plane_bytes};
        p.out = p.start = view_floats(dx, token * w->matrix.cols);
        p.tile = tile ? tile : choose_tile(&p);
        run_product(&p);
    }
}

void vk_ternary_matmul(backend *be, const ternary_weight *w, view q8, int64_t tokens, view y) {
    vk_ternary_product(be, w, q8, tokens, NULL, y);
}

void vk_ternary_matmul_f32(backend *be, const ternary_weight *w, view x, int64_t tokens, view y) {
    product p = product_of(be, "op_ternary_matmul_f32", w, tokens, y);
    p.reach = w->matrix.cols;
    p.value_bytes = sizeof(float);
    p.in[0] = x;
    run_product(&p);
}

void vk_ternary_matmul_t(backend *be, const ternary_weight *w, view dy, int64_t tokens,
                         precision grade, view dx, bool add) {
    if (is_rounded(w, grade)) {
        vk_ternary_product_t(be, w, dy, tokens, NULL, NULL, dx, add);
        return;
    }
    product p = product_of(be, "op_ternary_matmul_t", w, tokens, dx);
    p.transposed = true;
    p.add = add;
    p.reach = w->matrix.rows;
    p.value_bytes = sizeof(float);
    p.in[0] = dy;
    run_product(&p);
}
