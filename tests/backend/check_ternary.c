/* check_backends: ternary products, the same bits wherever sums are integers, at every tier and
 * with every tile that the device can run. */
#include "backend/check_pair.h"

#include "base/layout.h"

#ifdef WEFT_VULKAN
#include "backend/vk_ternary.h"

enum { NEAR_SLACK = 64 /* float sums of about a thousand terms, one after the other */ };

typedef struct shape {
    int64_t tokens, rows, cols;
} shape;

/* A weight on both backends, and the codes that the CPU computes from. */
typedef struct weight_pair {
    ternary_weight *w[2];
    uint8_t *codes;
} weight_pair;

static weight_pair weight_open(pair *p, int64_t rows, int64_t cols) {
    weight_pair w = {.codes = malloc((size_t)rows * ternary_row_bytes(cols))};
    assert_non_null(w.codes);
    uint64_t seed = ++p->seed, at = 0;
    int64_t blocks = ternary_padded(cols) / TERNARY_BLOCK;
    for (int64_t i = 0; i < rows * blocks; i++) {
        uint8_t values[TERNARY_BLOCK];
        for (int64_t c = 0; c < TERNARY_BLOCK; c++) {
            bool inside = i % blocks * TERNARY_BLOCK + c < cols;
            values[c] = inside ? (uint8_t)rng_below(seed, at++, 3) : 1;
        }
        ternary_pack_block(values, w.codes + i * TERNARY_BLOCK_BYTES);
    }
    ternary_matrix m = {w.codes, rows, cols, 0.0371f, TERNARY_FAST};
    for (int i = 0; i < 2; i++) {
        weft_error err;
        if (ternary_weight_create(p->be[i], &m, &w.w[i], &err)) fail_msg("%s", err.message);
    }
    return w;
}

static void weight_close(pair *p, weight_pair *w) {
    for (int i = 0; i < 2; i++) ternary_weight_free(p->be[i], &w->w[i]);
    free(w->codes);
}

/* Random rows; with poison, some that are not finite. */
static operand rows_of(pair *p, int64_t tokens, int64_t n, bool poison) {
    operand x = pair_random(p, tokens * n, 3);
    const float bad[] = {NAN, INFINITY};
    for (int64_t t = 0; poison && t < 2 && t < tokens; t++)
        for (int i = 0; i < 2; i++)
            backend_write(p->be[i], view_floats(x.at[i], t * n + n / 2), &bad[t], sizeof(float));
    return x;
}

/* Activations rounded by the CPU, on both. */
static operand quantised_of(pair *p, const operand *x, int64_t tokens, int64_t n) {
    operand q8 = pair_words(p, NULL, (int64_t)quantised_bytes(tokens, n) / 4);
    weft_error err = {0};
    backend_begin(p->be[0]);
    op_quantise(p->be[0], x->at[0], tokens, n, q8.at[0]);
    if (backend_submit(p->be[0], &err)) fail_msg("%s", err.message);
    void *words = pair_read(p, &q8, 0);
    backend_write(p->be[1], q8.at[1], words, (size_t)q8.count * 4);
    free(words);
    return q8;
}

static const char *name_of(char *name, const char *what, const shape *s, int tile) {
    snprintf(name, 120, "%s, tile %d, %lld tokens, %lld x %lld", what, tile, (long long)s->tokens,
             (long long)s->rows, (long long)s->cols);
    return name;
}

/* Both integer products with one tile of the device (NULL: its own choice). */
static void integers_case(pair *p, const shape *s, const vk_ternary_tile *tile, int number,
                          bool poison) {
    char name[120];
    weight_pair w = weight_open(p, s->rows, s->cols);
    operand x = rows_of(p, s->tokens, s->cols, poison);
    operand q8 = quantised_of(p, &x, s->tokens, s->cols);
    operand y = pair_words(p, NULL, s->tokens * s->rows);
    operand dy = rows_of(p, s->tokens, s->rows, poison), dx = x;
    const vk_backend *vk = vk_of(p->be[1]);
    if (!tile || vk_ternary_tile_fits(vk, tile, false, s->tokens)) {
        pair_begin(p);
        op_ternary_matmul(p->be[0], w.w[0], q8.at[0], s->tokens, y.at[0]);
        vk_ternary_product(p->be[1], w.w[1], q8.at[1], s->tokens, tile, y.at[1]);
        pair_submit(p);
        pair_same(p, name_of(name, "forward", s, number), &y);
    }
    for (int add = 1; add >= 0; add--) {
        if (tile && !vk_ternary_tile_fits(vk, tile, true, s->tokens)) break;
        pair_begin(p);
        op_ternary_matmul_t(p->be[0], w.w[0], dy.at[0], s->tokens, PRECISION_ROUNDED, dx.at[0],
                            add);
        vk_ternary_product_t(p->be[1], w.w[1], dy.at[1], s->tokens, tile, NULL, dx.at[1], add);
        pair_submit(p);
        pair_same(p, name_of(name, add ? "backward, added" : "backward", s, number), &dx);
    }
    weight_close(p, &w);
    pair_clear(p);
}

static void integer_shapes(pair *p) {
    static const int64_t tokens[] = {1, 3, 9, 65, 130}, rows[] = {1, 5, 129},
                         cols[] = {1, 127, 128, 129, 640};
    for (int t = 0; t < 5; t++)
        for (int k = 0; k < 5; k++) /* each with each, and rows in turn */
            integers_case(p, &(shape){tokens[t], rows[(t + k) % 3], cols[k]}, NULL, -1, false);
    integers_case(p, &(shape){5, 70, 200}, NULL, -1, true);
    integers_case(p, &(shape){40, 200, 70}, NULL, -1, true);
}

static void every_tile(pair *p) {
    int count;
    const vk_ternary_tile *tiles = vk_ternary_tiles(&count);
    /* Tiles that are named want aligned views; the best tier runs those of the others. */
    if (vk_limits_of(vk_of(p->be[1]))->tier < backend_vk_info(p->be[1])->tier) return;
    for (int i = 0; i < count; i++) {
        integers_case(p, &(shape){70, 131, 400}, &tiles[i], i, false);
        integers_case(p, &(shape){7, 130, 264}, &tiles[i], i, true);
    }
}

/* What the CPU kernels round differently too. */
static void floats_case(pair *p, const shape *s, bool poison) {
    char name[120];
    weight_pair w = weight_open(p, s->rows, s->cols);
    operand x = rows_of(p, s->tokens, s->cols, poison), dx = x;
    operand y = pair_words(p, NULL, s->tokens * s->rows);
    operand dy = rows_of(p, s->tokens, s->rows, poison);
    int64_t near = s->rows < 16 ? s->tokens * s->rows : s->rows; /* one sum may cancel */
    PAIR_RUN(p, op_ternary_matmul_f32(be, w.w[i], x.at[i], s->tokens, y.at[i]));
    pair_close(p, name_of(name, "float forward", s, -1), &y, near, NEAR_SLACK);
    for (int add = 1; add >= 0; add--) {
        PAIR_RUN(
            p, op_ternary_matmul_t(be, w.w[i], dy.at[i], s->tokens, PRECISION_FULL, dx.at[i], add));
        pair_close(p, name_of(name, "float backward", s, -1), &dx, s->cols, NEAR_SLACK);
    }
    weight_close(p, &w);
    pair_clear(p);
}

static void float_shapes(pair *p) {
    static const shape shapes[] = {{1, 130, 640}, {3, 5, 1},     {9, 129, 127},
                                   {20, 1, 129},  {65, 70, 300}, {130, 261, 128}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) floats_case(p, &shapes[i], false);
    floats_case(p, &(shape){4, 40, 200}, true);
}

/* Products that a low-rank term goes with, where the device takes it on its way and where not. */
static void term_case(pair *p, const shape *s, int64_t r, bool flag) {
    char name[120];
    weight_pair w = weight_open(p, s->rows, s->cols);
    operand x = pair_random(p, s->tokens * s->cols, 1), dy = pair_random(p, s->tokens * s->rows, 1);
    operand q8 = quantised_of(p, &x, s->tokens, s->cols);
    operand a = pair_random(p, r * s->cols, 1), b = pair_random(p, s->rows * r, 1);
    operand h = pair_random(p, s->tokens * r, 1), g = pair_words(p, NULL, s->tokens * r);
    operand y = pair_random(p, s->tokens * s->rows, 1), dx = pair_random(p, s->tokens * s->cols, 1);
    operand da = pair_random(p, r * s->cols, 1), db = pair_random(p, s->rows * r, 1);
    PAIR_RUN(p, op_ternary_matmul_lora(be, w.w[i], q8.at[i], s->tokens, flag ? &y.at[i] : NULL,
                                       &(lora_term){h.at[i], b.at[i], r, 0.5f}, y.at[i]));
    pair_close(p, name_of(name, "forward with a term", s, -1), &y, s->rows, NEAR_SLACK);
    PAIR_RUN(p, op_lora_backward(be, &(lora_backward_args){.x = x.at[i],
                                                           .h = h.at[i],
                                                           .dy = dy.at[i],
                                                           .a = a.at[i],
                                                           .b = b.at[i],
                                                           .g = g.at[i],
                                                           .da = da.at[i],
                                                           .db = db.at[i],
                                                           .dx = dx.at[i],
                                                           .tokens = s->tokens,
                                                           .k = s->cols,
                                                           .n = s->rows,
                                                           .r = r,
                                                           .scale = 0.5f,
                                                           .add = flag,
                                                           .w = w.w[i],
                                                           .grade = PRECISION_ROUNDED}));
    pair_close(p, name_of(name, "dx with a term", s, -1), &dx, s->cols, NEAR_SLACK);
    pair_close(p, name_of(name, "dA with a term", s, -1), &da, s->cols, NEAR_SLACK);
    pair_close(p, name_of(name, "dB with a term", s, -1), &db, s->rows * r, NEAR_SLACK);
    weight_close(p, &w);
    pair_clear(p);
}

static void term_shapes(pair *p) {
    static const shape shapes[] = {{3, 40, 128}, {33, 132, 260}, {130, 264, 384}, {70, 129, 130}};
    static const int64_t ranks[] = {4, 8, 5, 12};
    uint64_t seed = p->seed; /* the checks after it keep their data: a single sum may cancel */
    for (size_t i = 0; i < 4; i++)
        for (size_t r = 0; r < 4; r++) term_case(p, &shapes[i], ranks[r], (i + r) % 2);
    term_case(p, &(shape){1100, 1284, 900}, 8, true);
    p->seed = seed;
}

/* Bindings of 1 MiB: weight rows, tokens and sums are all cut. */
static void windows(pair *p) {
    enum { TOKENS = 17, ROWS = 17000, COLS = 130 };
    weight_pair w = weight_open(p, ROWS, COLS);
    operand x = pair_random(p, TOKENS * COLS, 1), dy = pair_random(p, TOKENS * ROWS, 1);
    operand q8 = quantised_of(p, &x, TOKENS, COLS), y = pair_words(p, NULL, TOKENS * ROWS);
    PAIR_RUN(p, op_ternary_matmul(be, w.w[i], q8.at[i], TOKENS, y.at[i]));
    pair_same(p, "forward in windows", &y);
    PAIR_RUN(p, op_ternary_matmul_f32(be, w.w[i], x.at[i], TOKENS, y.at[i]));
    pair_close(p, "float forward in windows", &y, ROWS, NEAR_SLACK);
    for (int add = 1; add >= 0; add--) {
        PAIR_RUN(
            p, op_ternary_matmul_t(be, w.w[i], dy.at[i], TOKENS, PRECISION_ROUNDED, x.at[i], add));
        pair_close(p, "backward in windows", &x, COLS, 8);
        PAIR_RUN(p,
                 op_ternary_matmul_t(be, w.w[i], dy.at[i], TOKENS, PRECISION_FULL, x.at[i], add));
        pair_close(p, "float backward in windows", &x, COLS, 16 * NEAR_SLACK);
    }
    weight_close(p, &w);
    pair_clear(p);
}

#define EVERYWHERE CHECK_WHOLE | CHECK_TIERS

const pair_check ternary_checks[] = {
    {"ternary_integers", integer_shapes, EVERYWHERE},
    {"ternary_tiles", every_tile, CHECK_WHOLE | CHECK_ONCE | CHECK_FULL},
    {"ternary_floats", float_shapes, EVERYWHERE},
    {"ternary_terms", term_shapes, EVERYWHERE},
    {"ternary_windows", windows, CHECK_WINDOWS | CHECK_ONCE},
    {NULL, NULL, 0},
};

#else

const pair_check ternary_checks[] = {{NULL, NULL, 0}};

#endif
