/* The two float products that everything else is cut into, for any vector ISA (vec.h): outer (a
 * tile of sums, one FMA chain each) and inner (a tile of dot products at once); the LoRA products
 * on top of them. */
#ifndef WEFT_KERNEL_VEC_PRODUCTS_H
#define WEFT_KERNEL_VEC_PRODUCTS_H

#include "kernel/vec.h"

enum {
    PANEL_DEPTH = 64,   /* rows of B in a panel */
    PANEL_ROWS = 48,    /* rows of A copied at a time: 12 KiB */
    STRIP_DEPTH = 64,   /* rows of B packed at a time */
    UNPACKED_ROWS = 18, /* so few rows of A do not repay packing rows of B */
    NT_DOT_MIN = 64     /* gemm_nt: from this k on, rows are multiplied where they lie */
};

/* Outer product: C (rows, width <= STRIP) = alpha * A B + (C if keep), where A's element (i, j) is
 * a[i * a_row + j * a_step] and B (depth, width) has rows ldb apart. Each element is one chain of
 * FMAs over j, so it does not depend on the tile that it fell in, and a zero in A changes nothing.
 */
typedef struct strip_product {
    const float *a;
    int64_t a_row, a_step;
    int64_t rows, depth;
    const float *b;
    int64_t ldb, width;
    float alpha;
    float *c;
    int64_t ldc;
    bool keep;
} strip_product;

/* The same over the columns of a panel: C (rows, width) = alpha * A B + (C if keep), A (rows,
 * depth), depth at most PANEL_DEPTH; column col of B is in the strip at panel + col / STRIP *
 * strip_step. */
typedef struct panel_product {
    const float *a;
    int64_t lda, rows, depth;
    const float *panel;
    int64_t strip_step, width;
    float alpha;
    float *c;
    int64_t ldc;
    bool keep;
} panel_product;

/* Inner product: y (tokens, rows) = alpha * x w^T + (y if keep), x (tokens, k), w (rows, k). */
typedef struct dot_product {
    const float *x;
    int64_t ldx, tokens;
    const float *w;
    int64_t ldw, rows;
    int64_t k;
    float alpha;
    float *y;
    int64_t ldy;
    bool keep;
} dot_product;

/* The end of strip_tile for a strip whose width is not that of its vectors. */
NEVER_INLINE void strip_store(const strip_product *p, int64_t row, int rows, const float *sums) {
    const vec alpha = vec_set(p->alpha);
    for (int i = 0; i < rows; i++) {
        float *c = p->c + (row + i) * p->ldc;
        for (int64_t v = 0; v < p->width; v += LANES) {
            vec old = p->keep ? load_lanes(c + v, p->width - v) : vec_zero();
            store_lanes(c + v, p->width - v, vec_fma(vec_load(sums + i * STRIP + v), alpha, old));
        }
    }
}

/* `rows` rows by `vectors` vectors (constants after inlining) of the strip; masked if it may be
 * narrower than that. */
ALWAYS_INLINE void strip_tile(const strip_product *p, int64_t row, const int rows,
                              const int vectors, const bool masked) {
    vec sums[STRIP_ROWS][STRIP_VECTORS];
    const float *a = p->a + row * p->a_row, *b = p->b;
    const int64_t a_row = p->a_row, a_step = p->a_step, ldb = p->ldb, width = p->width;
    UNROLL (i, rows)
        UNROLL (v, vectors) sums[i][v] = vec_zero();
    for (int64_t j = 0; j < p->depth; j++, a += a_step, b += ldb) {
        vec column[STRIP_VECTORS];
        UNROLL (v, vectors) {
            const float *at = b + v * LANES;
            column[v] = masked ? vec_load_some(at, width - v * LANES) : vec_load(at);
        }
        UNROLL (i, rows) {
            vec value = vec_set(a[i * a_row]);
            UNROLL (v, vectors) sums[i][v] = vec_fma(column[v], value, sums[i][v]);
        }
    }
    if (masked) {
        float out[STRIP_ROWS * STRIP];
        UNROLL (i, rows)
            UNROLL (v, vectors) vec_store(out + i * STRIP + v * LANES, sums[i][v]);
        strip_store(p, row, rows, out);
        return;
    }
    const vec alpha = vec_set(p->alpha);
    UNROLL (i, rows) {
        float *c = p->c + (row + i) * p->ldc;
        UNROLL (v, vectors) {
            vec old = p->keep ? vec_load(c + v * LANES) : vec_zero();
            vec_store(c + v * LANES, vec_fma(sums[i][v], alpha, old));
        }
    }
}

ALWAYS_INLINE void strip_rows(const strip_product *p, const int vectors, const bool masked) {
    int64_t row = 0;
    for (; row + STRIP_ROWS <= p->rows; row += STRIP_ROWS)
        strip_tile(p, row, STRIP_ROWS, vectors, masked);
    for (; STRIP_ROWS > 6 && row + 6 <= p->rows; row += 6) strip_tile(p, row, 6, vectors, masked);
    switch (p->rows - row) {
    case 5:
        strip_tile(p, row, 5, vectors, masked);
        break;
    case 4:
        strip_tile(p, row, 4, vectors, masked);
        break;
    case 3:
        strip_tile(p, row, 3, vectors, masked);
        break;
    case 2:
        strip_tile(p, row, 2, vectors, masked);
        break;
    case 1:
        strip_tile(p, row, 1, vectors, masked);
        break;
    default:
        break;
    }
}

/* Half a strip is a common LoRA rank. */
NEVER_INLINE void strip_multiply(const strip_product *p) {
    if (p->width == STRIP)
        strip_rows(p, STRIP_VECTORS, false);
    else if (p->width == STRIP / 2)
        strip_rows(p, STRIP_VECTORS / 2, false);
    else if (p->width < STRIP / 2)
        strip_rows(p, STRIP_VECTORS / 2, true);
    else
        strip_rows(p, STRIP_VECTORS, true);
}

/* A goes through a small buffer: its rows are often a multiple of 2 KiB apart, where the lines of
 * neighbouring rows would push each other out of the cache. */
static inline void panel_multiply(const panel_product *args) {
    _Alignas(64) float a[PANEL_ROWS * PANEL_DEPTH];
    for (int64_t row = 0; row < args->rows; row += PANEL_ROWS) {
        int64_t rows = min_i64(PANEL_ROWS, args->rows - row);
        for (int64_t i = 0; i < rows; i++)
            memcpy(a + i * PANEL_DEPTH, args->a + (row + i) * args->lda,
                   (size_t)args->depth * sizeof(float));
        for (int64_t col = 0; col < args->width; col += STRIP) {
            strip_product p = {.a = a,
                               .a_row = PANEL_DEPTH,
                               .a_step = 1,
                               .rows = rows,
                               .depth = args->depth,
                               .b = args->panel + col / STRIP * args->strip_step,
                               .ldb = STRIP,
                               .width = min_i64(STRIP, args->width - col),
                               .alpha = args->alpha,
                               .c = args->c + row * args->ldc + col,
                               .ldc = args->ldc,
                               .keep = args->keep};
            strip_multiply(&p);
        }
    }
}

/* `count` columns (a constant but for the last) of tokens x rows dot products. */
ALWAYS_INLINE void dot_step(vec sums[][4], const float *x, int64_t ldx, const float *w, int64_t ldw,
                            const int tokens, const int rows, const int64_t count) {
    vec values[4];
    UNROLL (t, tokens) values[t] = load_lanes(x + t * ldx, count);
    UNROLL (r, rows) {
        vec weight = load_lanes(w + r * ldw, count);
        UNROLL (t, tokens) sums[r][t] = vec_fma(weight, values[t], sums[r][t]);
    }
}

/* tokens (1..4) x rows dot products; the constants are resolved by inlining. */
ALWAYS_INLINE void dot_tile(const dot_product *p, int64_t token, int64_t row, const int tokens,
                            const int rows) {
    vec sums[DOT_ROWS1][4];
    const float *x = p->x + token * p->ldx, *w = p->w + row * p->ldw;
    const int64_t ldx = p->ldx, ldw = p->ldw, k = p->k;
    int64_t i = 0;
    UNROLL (r, rows)
        UNROLL (t, 4) sums[r][t] = vec_zero();
    for (; i + LANES <= k; i += LANES) dot_step(sums, x + i, ldx, w + i, ldw, tokens, rows, LANES);
    if (i < k) dot_step(sums, x + i, ldx, w + i, ldw, tokens, rows, k - i);
    const vec_quad alpha = {p->alpha, p->alpha, p->alpha, p->alpha};
    UNROLL (r, rows) {
        float dots[4];
        vec_quad dot = vec_sum4(sums[r][0], sums[r][1], sums[r][2], sums[r][3]) * alpha;
        memcpy(dots, &dot, sizeof dots);
        UNROLL (t, tokens) {
            float *y = p->y + (token + t) * p->ldy + row + r;
            *y = p->keep ? *y + dots[t] : dots[t];
        }
    }
}

ALWAYS_INLINE void dot_rows(const dot_product *p, int64_t token, const int tokens, const int rows) {
    int64_t row = 0;
    for (; row + rows <= p->rows; row += rows) dot_tile(p, token, row, tokens, rows);
    for (; row + 2 <= p->rows; row += 2) dot_tile(p, token, row, tokens, 2);
    for (; row < p->rows; row++) dot_tile(p, token, row, tokens, 1);
}

NEVER_INLINE void dot_multiply(const dot_product *p) {
    int64_t token = 0;
    for (; token + 4 <= p->tokens; token += 4) dot_rows(p, token, 4, DOT_ROWS4);
    switch (p->tokens - token) {
    case 3:
        dot_rows(p, token, 3, DOT_ROWS3);
        break;
    case 2:
        dot_rows(p, token, 2, DOT_ROWS2);
        break;
    case 1:
        dot_rows(p, token, 1, DOT_ROWS1);
        break;
    default:
        break;
    }
}

/* strip (depth, STRIP) = columns [0, width) of b (depth, ...), zeros beyond. */
static inline void pack_rows(const float *b, int64_t ldb, int64_t depth, int64_t width,
                             float *strip) {
    for (int64_t j = 0; j < depth; j++) {
        memcpy(strip + j * STRIP, b + j * ldb, (size_t)width * sizeof(float));
        memset(strip + j * STRIP + width, 0, (size_t)(STRIP - width) * sizeof(float));
    }
}

/* strip (depth, STRIP) = the transpose of b (width, depth), zeros beyond width. strip has whole
 * vectors of rows. */
static inline void pack_columns(const float *b, int64_t ldb, int64_t depth, int64_t width,
                                float *strip) {
    for (int64_t j = 0; j < depth; j += LANES) {
        for (int64_t i = 0; i < STRIP; i += LANES) {
            vec square[LANES];
            for (int64_t r = 0; r < LANES; r++)
                square[r] =
                    i + r < width ? load_lanes(b + (i + r) * ldb + j, depth - j) : vec_zero();
            vec_transpose(square);
            for (int64_t r = 0; r < LANES; r++) vec_store(strip + (j + r) * STRIP + i, square[r]);
        }
    }
}

typedef void pack_function(const float *b, int64_t ldb, int64_t depth, int64_t width, float *strip);

/* C = alpha * A B + (C if add), B packed strip by strip; b_column and b_depth are the distances
 * between its columns and between its rows. */
static inline void gemm_strips(const strip_product *shape, int64_t n, int64_t b_column,
                               int64_t b_depth, pack_function *pack, int64_t ldb) {
    _Alignas(64) float strip[STRIP_DEPTH * STRIP];
    for (int64_t col = 0; col < n; col += STRIP) {
        for (int64_t j = 0; j < shape->depth; j += STRIP_DEPTH) {
            strip_product p = *shape;
            p.depth = min_i64(STRIP_DEPTH, shape->depth - j);
            p.width = min_i64(STRIP, n - col);
            p.a += j * p.a_step;
            p.c += col;
            p.keep = shape->keep || j > 0;
            p.b = shape->b + col * b_column + j * b_depth;
            p.ldb = ldb;
            if (pack != pack_rows || p.rows > UNPACKED_ROWS) {
                pack(p.b, ldb, p.depth, p.width, strip);
                p.b = strip;
                p.ldb = STRIP;
            }
            strip_multiply(&p);
        }
    }
}

static inline void clear(int64_t m, int64_t n, float *c, int64_t ldc, bool add) {
    for (int64_t i = 0; i < m && !add; i++) memset(c + i * ldc, 0, (size_t)n * sizeof(float));
}

static inline void gemm_nt(int64_t m, int64_t n, int64_t k, float alpha, const float *a,
                           int64_t lda, const float *b, int64_t ldb, float *c, int64_t ldc,
                           bool add) {
    if (k <= 0) {
        clear(m, n, c, ldc, add);
        return;
    }
    if (k < NT_DOT_MIN) {
        strip_product shape = {.a = a,
                               .a_row = lda,
                               .a_step = 1,
                               .rows = m,
                               .depth = k,
                               .b = b,
                               .alpha = alpha,
                               .c = c,
                               .ldc = ldc,
                               .keep = add};
        gemm_strips(&shape, n, ldb, 1, pack_columns, ldb);
        return;
    }
    for (int64_t i = 0; i < k; i += DOT_COLUMNS) {
        dot_product p = {.x = a + i,
                         .ldx = lda,
                         .tokens = m,
                         .w = b + i,
                         .ldw = ldb,
                         .rows = n,
                         .k = min_i64(DOT_COLUMNS, k - i),
                         .alpha = alpha,
                         .y = c,
                         .ldy = ldc,
                         .keep = add || i > 0};
        dot_multiply(&p);
    }
}

static inline void gemm_nn(int64_t m, int64_t n, int64_t k, float alpha, const float *a,
                           int64_t lda, const float *b, int64_t ldb, float *c, int64_t ldc,
                           bool add) {
    strip_product shape = {.a = a,
                           .a_row = lda,
                           .a_step = 1,
                           .rows = m,
                           .depth = k,
                           .b = b,
                           .alpha = alpha,
                           .c = c,
                           .ldc = ldc,
                           .keep = add};
    if (k <= 0) clear(m, n, c, ldc, add);
    gemm_strips(&shape, n, 1, ldb, pack_rows, ldb);
}

static inline void gemm_tn(int64_t m, int64_t n, int64_t k, float alpha, const float *a,
                           int64_t lda, const float *b, int64_t ldb, float *c, int64_t ldc,
                           bool add) {
    strip_product shape = {.a = a,
                           .a_row = 1,
                           .a_step = lda,
                           .rows = m,
                           .depth = k,
                           .b = b,
                           .alpha = alpha,
                           .c = c,
                           .ldc = ldc,
                           .keep = add};
    if (k <= 0) clear(m, n, c, ldc, add);
    gemm_strips(&shape, n, 1, ldb, pack_rows, ldb);
}

#endif
