/* The two float products in NEON: outer (a tile of 6 x 16 sums, one FMA chain each) and inner (16
 * dot products at once), with the LoRA products on top of them. */
#if defined(__aarch64__)
#include "kernel/neon.h"

enum {
    TILE_ROWS = 6,      /* 24 sums, four vectors of B and a value of A: 29 of 32 registers */
    PANEL_ROWS = 48,    /* rows of A copied at a time: 12 KiB */
    STRIP_DEPTH = 64,   /* rows of B packed at a time: 4 KiB */
    UNPACKED_ROWS = 18, /* so few rows of A do not repay packing rows of B */
    NT_DOT_MIN = 64     /* gemm_nt: from this k on, rows are multiplied where they lie */
};

/* The end of strip_tile for a strip whose width is not a whole number of vectors. */
static void store_masked(const strip_product *p, int64_t row, int rows, const float *sums) {
    for (int i = 0; i < rows; i++) {
        float *c = p->c + (row + i) * p->ldc;
        for (int64_t v = 0; v < p->width; v += 4) {
            float32x4_t old = p->keep ? load_lanes(c + v, p->width - v) : vdupq_n_f32(0);
            float32x4_t sum = vld1q_f32(sums + i * STRIP + v);
            store_lanes(c + v, p->width - v, vfmaq_n_f32(old, sum, p->alpha));
        }
    }
}

/* `rows` rows by `vectors` (constants after inlining) vectors of four columns of the strip; the
 * last vectors may be cut off by the width if it is masked. */
ALWAYS_INLINE void strip_tile(const strip_product *p, int64_t row, const int rows,
                              const int vectors, const bool masked) {
    float32x4_t sums[TILE_ROWS][STRIP / 4];
    const float *a = p->a + row * p->a_row, *b = p->b;
    const int64_t a_row = p->a_row, a_step = p->a_step, ldb = p->ldb, width = p->width;
    UNROLL (i, rows)
        UNROLL (v, vectors) sums[i][v] = vdupq_n_f32(0);
    for (int64_t j = 0; j < p->depth; j++, a += a_step, b += ldb) {
        float32x4_t values[STRIP / 4];
        UNROLL (v, vectors) values[v] = load_lanes(b + 4 * v, masked ? width - 4 * v : 4);
        UNROLL (i, rows)
            UNROLL (v, vectors) sums[i][v] = vfmaq_n_f32(sums[i][v], values[v], a[i * a_row]);
    }
    if (masked) {
        float out[TILE_ROWS * STRIP];
        UNROLL (i, rows)
            UNROLL (v, vectors) vst1q_f32(out + i * STRIP + 4 * v, sums[i][v]);
        store_masked(p, row, rows, out);
        return;
    }
    UNROLL (i, rows) {
        float *c = p->c + (row + i) * p->ldc;
        UNROLL (v, vectors) {
            float32x4_t old = p->keep ? vld1q_f32(c + 4 * v) : vdupq_n_f32(0);
            vst1q_f32(c + 4 * v, vfmaq_n_f32(old, sums[i][v], p->alpha));
        }
    }
}

ALWAYS_INLINE void strip_rows(const strip_product *p, const int vectors, const bool masked) {
    int64_t row = 0;
    for (; row + TILE_ROWS <= p->rows; row += TILE_ROWS)
        strip_tile(p, row, TILE_ROWS, vectors, masked);
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

void neon_strip_product(const strip_product *args) {
    if (args->width == STRIP)
        strip_rows(args, 4, false);
    else if (args->width == 8) /* a common LoRA rank */
        strip_rows(args, 2, false);
    else
        strip_rows(args, 4, true);
}

/* A goes through a small buffer: its rows are often a multiple of 2 KiB apart, where the lines of
 * neighbouring rows would push each other out of the cache. */
void neon_panel_product(const panel_product *args) {
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
            neon_strip_product(&p);
        }
    }
}

/* tokens (1..4) x rows dot products; the constants are resolved by inlining. */
ALWAYS_INLINE void dot_tile(const dot_product *p, int64_t token, int64_t row, const int tokens,
                            const int rows) {
    float32x4_t sums[8][4];
    const float *x = p->x + token * p->ldx, *w = p->w + row * p->ldw;
    const int64_t ldx = p->ldx, ldw = p->ldw, k = p->k;
    UNROLL (r, rows)
        UNROLL (t, 4) sums[r][t] = vdupq_n_f32(0);
    int64_t i = 0;
    for (; i + 4 <= k; i += 4) {
        float32x4_t values[4];
        UNROLL (t, tokens) values[t] = vld1q_f32(x + t * ldx + i);
        UNROLL (r, rows) {
            float32x4_t weight = vld1q_f32(w + r * ldw + i);
            UNROLL (t, tokens) sums[r][t] = vfmaq_f32(sums[r][t], weight, values[t]);
        }
    }
    if (i < k) {
        UNROLL (r, rows) {
            float32x4_t weight = load_lanes(w + r * ldw + i, k - i);
            UNROLL (t, tokens) {
                float32x4_t value = load_lanes(x + t * ldx + i, k - i);
                sums[r][t] = vfmaq_f32(sums[r][t], weight, value);
            }
        }
    }
    UNROLL (r, rows) {
        float dots[4];
        float32x4_t dot = sum_lanes4(sums[r][0], sums[r][1], sums[r][2], sums[r][3]);
        vst1q_f32(dots, vmulq_n_f32(dot, p->alpha));
        UNROLL (t, tokens) {
            float *y = p->y + (token + t) * p->ldy + row + r;
            *y = p->keep ? *y + dots[t] : dots[t];
        }
    }
}

ALWAYS_INLINE void dot_rows(const dot_product *p, int64_t token, const int tokens, const int rows) {
    int64_t row = 0;
    for (; row + rows <= p->rows; row += rows) dot_tile(p, token, row, tokens, rows);
    for (; row < p->rows; row++) dot_tile(p, token, row, tokens, 1);
}

void neon_dot_product(const dot_product *args) {
    int64_t token = 0;
    for (; token + 4 <= args->tokens; token += 4) dot_rows(args, token, 4, 4);
    switch (args->tokens - token) {
    case 3:
        dot_rows(args, token, 3, 4);
        break;
    case 2:
        dot_rows(args, token, 2, 4);
        break;
    case 1:
        dot_rows(args, token, 1, 8);
        break;
    default:
        break;
    }
}

/* strip (depth, STRIP) = columns [0, width) of b (depth, ...), zeros beyond. */
static void pack_rows(const float *b, int64_t ldb, int64_t depth, int64_t width, float *strip) {
    for (int64_t j = 0; j < depth; j++) {
        memcpy(strip + j * STRIP, b + j * ldb, (size_t)width * sizeof(float));
        memset(strip + j * STRIP + width, 0, (size_t)(STRIP - width) * sizeof(float));
    }
}

/* strip (depth, STRIP) = the transpose of b (width, depth), zeros beyond width. */
static void pack_columns(const float *b, int64_t ldb, int64_t depth, int64_t width, float *strip) {
    for (int64_t j = 0; j < depth; j++)
        for (int64_t i = 0; i < STRIP; i++) strip[j * STRIP + i] = i < width ? b[i * ldb + j] : 0;
}

typedef void pack_function(const float *b, int64_t ldb, int64_t depth, int64_t width, float *strip);

/* C = alpha * A B + (C if add), B packed strip by strip; b_column and b_depth are the distances
 * between its columns and between its rows. */
static void gemm_strips(const strip_product *shape, int64_t n, int64_t b_column, int64_t b_depth,
                        pack_function *pack, int64_t ldb) {
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
            neon_strip_product(&p);
        }
    }
}

static void clear(int64_t m, int64_t n, float *c, int64_t ldc, bool add) {
    for (int64_t i = 0; i < m && !add; i++) memset(c + i * ldc, 0, (size_t)n * sizeof(float));
}

void neon_gemm_nt(int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
                  const float *b, int64_t ldb, float *c, int64_t ldc, bool add) {
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
        neon_dot_product(&p);
    }
}

void neon_gemm_nn(int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
                  const float *b, int64_t ldb, float *c, int64_t ldc, bool add) {
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

void neon_gemm_tn(int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
                  const float *b, int64_t ldb, float *c, int64_t ldc, bool add) {
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
