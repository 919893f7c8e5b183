/* The two float products for any vector ISA (vec.h): outer (STRIP_ROWS by two vectors of sums, one
 * FMA chain each) and inner (a tile of dot products at once), with the LoRA products on top. */
#ifndef WEFT_KERNEL_VEC_PRODUCTS_H
#define WEFT_KERNEL_VEC_PRODUCTS_H

#include "kernel/vec.h"

enum {
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

ALWAYS_INLINE void strip_store(float *c, int64_t width, vec sum, vec alpha, bool keep) {
    if (width <= 0) return;
    vec old = keep ? load_lanes(c, width) : vec_zero();
    store_lanes(c, width, vec_fma(alpha, sum, old));
}

/* `rows` rows by `vectors` vectors (constants after inlining) of the strip; masked if it may be
 * narrower than that. */
ALWAYS_INLINE void strip_tile(const strip_product *p, int64_t row, const int rows,
                              const int vectors, const bool masked) {
    vec sums[STRIP_ROWS][2];
    const float *a = p->a + row * p->a_row, *b = p->b;
    const int64_t a_row = p->a_row, a_step = p->a_step, ldb = p->ldb, width = p->width;
    UNROLLED(i, rows) sums[i][0] = sums[i][1] = vec_zero();
    for (int64_t j = 0; j < p->depth; j++, a += a_step, b += ldb) {
        vec column[2];
        UNROLLED(v, vectors) {
            const float *at = b + v * LANES;
            column[v] = masked ? vec_load_some(at, width - v * LANES) : vec_load(at);
        }
        UNROLLED(i, rows) {
            vec value = vec_set(a[i * a_row]);
            UNROLLED(v, vectors) sums[i][v] = vec_fma(value, column[v], sums[i][v]);
        }
    }
    vec alpha = vec_set(p->alpha);
    UNROLLED(i, rows) {
        float *c = p->c + (row + i) * p->ldc;
        UNROLLED(v, vectors)
            strip_store(c + v * LANES, width - v * LANES, sums[i][v], alpha, p->keep);
    }
}

ALWAYS_INLINE void strip_rows(const strip_product *p, const int vectors, const bool masked) {
    int64_t row = 0;
    for (; row + STRIP_ROWS <= p->rows; row += STRIP_ROWS)
        strip_tile(p, row, STRIP_ROWS, vectors, masked);
    for (; STRIP_ROWS > 8 && row + 8 <= p->rows; row += 8) strip_tile(p, row, 8, vectors, masked);
    for (; row + 4 <= p->rows; row += 4) strip_tile(p, row, 4, vectors, masked);
    for (; row + 2 <= p->rows; row += 2) strip_tile(p, row, 2, vectors, masked);
    for (; row < p->rows; row++) strip_tile(p, row, 1, vectors, masked);
}

static NEVER_INLINE void strip_multiply(const strip_product *p) {
    if (p->width == STRIP)
        strip_rows(p, 2, false);
    else if (p->width > LANES)
        strip_rows(p, 2, true);
    else
        strip_rows(p, 1, true);
}

/* tokens (1..4) x rows dot products; the constants are resolved by inlining. */
ALWAYS_INLINE void dot_tile(const dot_product *p, int64_t token, int64_t row, const int tokens,
                            const int rows) {
    vec sums[DOT_ROWS1][4];
    const float *x = p->x + token * p->ldx, *w = p->w + row * p->ldw;
    const int64_t ldx = p->ldx, ldw = p->ldw, k = p->k;
    UNROLLED(r, rows) {
        UNROLLED(t, 4) sums[r][t] = vec_zero();
    }
    for (int64_t i = 0; i < k; i += LANES) {
        vec values[4];
        UNROLLED(t, tokens) values[t] = load_lanes(x + t * ldx + i, k - i);
        UNROLLED(r, rows) {
            vec weight = load_lanes(w + r * ldw + i, k - i);
            UNROLLED(t, tokens) sums[r][t] = vec_fma(weight, values[t], sums[r][t]);
        }
    }
    UNROLLED(r, rows) {
        float dots[4];
        __m128 dot = vec_sum4(sums[r][0], sums[r][1], sums[r][2], sums[r][3]);
        _mm_storeu_ps(dots, _mm_mul_ps(dot, _mm_set1_ps(p->alpha)));
        UNROLLED(t, tokens) {
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

static inline void dot_multiply(const dot_product *p) {
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
