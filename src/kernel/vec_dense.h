/* Frozen dense matrices for any vector ISA (vec.h): a panel of rows is converted to float32 once
 * and used for every token; one token is multiplied by rows where they lie. */
#ifndef WEFT_KERNEL_VEC_DENSE_H
#define WEFT_KERNEL_VEC_DENSE_H

#include "kernel/dense_span.h"
#include "kernel/prefetch.h"
#include "kernel/vec_products.h"

enum {
    DENSE_PANEL = 12, /* rows of the forward panel */
    GROUP = 16,       /* values that are converted at once: Q6_K's share a scale */
    GROUP_VECTORS = GROUP / LANES,
    PIECE = 32 /* values of a piece, but of Q6_K: a block of Q8_0, a line of halves */
};

/* A stretch of a row that is opened before its groups are read: PIECE values, a block of Q6_K. */
typedef struct dense_piece {
    const uint8_t *values; /* but of Q6_K: */
    int8_t codes[Q6_K_VALUES];
    float scales[Q6_K_VALUES / GROUP];
    vec scale; /* of Q8_0 */
} dense_piece;

ALWAYS_INLINE int64_t piece_values(const dense_type type) {
    return type == DENSE_Q6_K ? Q6_K_VALUES : PIECE;
}

ALWAYS_INLINE int64_t piece_bytes(const dense_type type) {
    switch (type) {
    case DENSE_F32:
        return PIECE * 4;
    case DENSE_Q8_0:
        return Q8_0_BYTES;
    case DENSE_Q6_K:
        return Q6_K_BYTES;
    default:
        return PIECE * 2;
    }
}

ALWAYS_INLINE void piece_open(const dense_type type, const uint8_t *at, dense_piece *piece) {
    piece->values = at;
    if (type == DENSE_Q8_0) {
        piece->values = at + 2;
        piece->scale = vec_set_half(at);
    } else if (type == DENSE_Q6_K) {
        const vec d = vec_set_half(at + 208);
        vec v[GROUP_VECTORS];
        q6_k_codes(at, at + 128, piece->codes);
        q6_k_codes(at + 64, at + 160, piece->codes + Q6_K_HALF);
        vec_bytes(at + 192, v);
        UNROLL (j, GROUP_VECTORS) vec_store(piece->scales + j * LANES, d * v[j]);
    }
}

/* Values [i, i + GROUP) of the piece. */
ALWAYS_INLINE void piece_group(const dense_type type, const dense_piece *piece, int64_t i, vec *v) {
    if (type == DENSE_F32) {
        const float *values = (const float *)(piece->values + 4 * i);
        UNROLL (j, GROUP_VECTORS) v[j] = vec_load(values + j * LANES);
    } else if (type == DENSE_F16) {
        vec_halves(piece->values + 2 * i, v);
    } else if (type == DENSE_BF16) {
        vec_brains(piece->values + 2 * i, v);
    } else if (type == DENSE_Q8_0) {
        vec_bytes(piece->values + i, v);
        UNROLL (j, GROUP_VECTORS) v[j] = piece->scale * v[j];
    } else {
        const vec scale = vec_set(piece->scales[i / GROUP]);
        vec_bytes(piece->codes + i, v);
        UNROLL (j, GROUP_VECTORS) v[j] = scale * v[j];
    }
}

/* Values [begin, begin + count) of a row as strips that lie `step` floats apart; begin is the first
 * of a piece. */
ALWAYS_INLINE void convert_type(const dense_type type, const dense_matrix *w, int64_t row,
                                int64_t begin, int64_t count, float *out, int64_t step) {
    const uint8_t *at = w->data + (size_t)row * w->row_bytes;
    int64_t k = 0;
    at += begin / piece_values(type) * piece_bytes(type);
    for (; k + piece_values(type) <= count; k += piece_values(type), at += piece_bytes(type)) {
        dense_piece piece;
        piece_open(type, at, &piece);
        for (int64_t i = 0; i < piece_values(type); i += GROUP) {
            vec v[GROUP_VECTORS];
            float *strip = out + (k + i) / STRIP * step + (k + i) % STRIP;
            piece_group(type, &piece, i, v);
            UNROLL (j, GROUP_VECTORS) vec_store(strip + j * LANES, v[j]);
        }
    }
    if (k == count) return;
    float rest[PIECE];
    dense_span(w, row, begin + k, count - k, rest);
    for (int64_t i = 0; k + i < count; i++) out[(k + i) / STRIP * step + (k + i) % STRIP] = rest[i];
}

static inline void convert(const dense_matrix *w, int64_t row, int64_t begin, int64_t count,
                           float *out, int64_t step) {
    switch (w->type) {
    case DENSE_F32:
        convert_type(DENSE_F32, w, row, begin, count, out, step);
        break;
    case DENSE_F16:
        convert_type(DENSE_F16, w, row, begin, count, out, step);
        break;
    case DENSE_BF16:
        convert_type(DENSE_BF16, w, row, begin, count, out, step);
        break;
    case DENSE_Q8_0:
        convert_type(DENSE_Q8_0, w, row, begin, count, out, step);
        break;
    case DENSE_Q6_K:
        convert_type(DENSE_Q6_K, w, row, begin, count, out, step);
        break;
    }
}

static inline void dense_row(const dense_matrix *w, int64_t row, float *out) {
    convert(w, row, 0, w->cols, out, STRIP);
}

/* `streams` (a constant) rows, `apart` from each other, by one token: a chain of FMAs each, so that
 * they overlap. */
ALWAYS_INLINE void token_rows(const dense_type type, const dense_matrix *w, int64_t row,
                              int64_t apart, const int streams, const float *x, float *y) {
    const uint8_t *rows[TOKEN_ROWS];
    float totals[TOKEN_ROWS];
    UNROLL (s, streams) {
        rows[s] = w->data + (size_t)(row + s * apart) * w->row_bytes;
        totals[s] = 0;
    }
    for (int64_t col = 0; col < w->cols; col += DOT_COLUMNS) {
        const int64_t end = min_i64(col + DOT_COLUMNS, w->cols);
        vec sums[TOKEN_ROWS];
        UNROLL (s, streams) sums[s] = vec_zero();
        for (int64_t k = col; k < end; k += piece_values(type)) {
            dense_piece pieces[TOKEN_ROWS];
            UNROLL (s, streams) {
                prefetch(rows[s] + PREFETCH_AHEAD, (size_t)piece_bytes(type));
                piece_open(type, rows[s], &pieces[s]);
                rows[s] += piece_bytes(type);
            }
            for (int64_t i = 0; i < piece_values(type); i += GROUP) {
                UNROLL (s, streams) {
                    vec v[GROUP_VECTORS];
                    piece_group(type, &pieces[s], i, v);
                    UNROLL (j, GROUP_VECTORS)
                        sums[s] = vec_fma(v[j], vec_load(x + k + i + j * LANES), sums[s]);
                }
            }
        }
        UNROLL (s, streams) {
            float dot = vec_sum(sums[s]);
            totals[s] = col > 0 ? totals[s] + dot : dot;
        }
    }
    UNROLL (s, streams) y[row + s * apart] = totals[s];
}

/* One token by rows where they lie; the same sums in the same order as by panels. The rows are cut
 * into stretches that are each read front to back, as the processor's prefetcher likes it. cols is
 * a multiple of PIECE. */
ALWAYS_INLINE void one_token(const dense_type type, const dense_matrix *w, int64_t row_begin,
                             int64_t row_end, const float *x, float *y) {
    int64_t stretch = (row_end - row_begin) / TOKEN_ROWS, row = row_begin;
    for (; row < row_begin + stretch; row++) token_rows(type, w, row, stretch, TOKEN_ROWS, x, y);
    for (row += (TOKEN_ROWS - 1) * stretch; row < row_end; row++)
        token_rows(type, w, row, 0, 1, x, y);
}

static inline void dense_one_token(const dense_matrix *w, int64_t row_begin, int64_t row_end,
                                   const float *x, float *y) {
    switch (w->type) {
    case DENSE_F32:
        one_token(DENSE_F32, w, row_begin, row_end, x, y);
        break;
    case DENSE_F16:
        one_token(DENSE_F16, w, row_begin, row_end, x, y);
        break;
    case DENSE_BF16:
        one_token(DENSE_BF16, w, row_begin, row_end, x, y);
        break;
    case DENSE_Q8_0:
        one_token(DENSE_Q8_0, w, row_begin, row_end, x, y);
        break;
    case DENSE_Q6_K:
        one_token(DENSE_Q6_K, w, row_begin, row_end, x, y);
        break;
    }
}

static inline void dense_matmul(const dense_matrix *w, int64_t row_begin, int64_t row_end,
                                const float *x, int64_t ldx, int64_t tokens, float *y,
                                int64_t ldy) {
    if (tokens == 1 && w->cols % PIECE == 0) {
        dense_one_token(w, row_begin, row_end, x, y);
        return;
    }
    _Alignas(64) float panel[DENSE_PANEL * DOT_COLUMNS];
    for (int64_t row = row_begin; row < row_end; row += DENSE_PANEL) {
        int64_t rows = min_i64(DENSE_PANEL, row_end - row);
        for (int64_t col = 0; col < w->cols; col += DOT_COLUMNS) {
            int64_t width = min_i64(DOT_COLUMNS, w->cols - col);
            for (int64_t r = 0; r < rows; r++)
                convert(w, row + r, col, width, panel + r * DOT_COLUMNS, STRIP);
            dot_product p = {.x = x + col,
                             .ldx = ldx,
                             .tokens = tokens,
                             .w = panel,
                             .ldw = DOT_COLUMNS,
                             .rows = rows,
                             .k = width,
                             .alpha = 1,
                             .y = y + row,
                             .ldy = ldy,
                             .keep = col > 0};
            dot_multiply(&p);
        }
    }
}

static inline void dense_matmul_t(const dense_matrix *w, int64_t token_begin, int64_t token_end,
                                  const float *dy, int64_t lddy, float *dx, int64_t lddx) {
    _Alignas(64) float panel[DENSE_SPAN / STRIP][DENSE_ROWS][STRIP];
    for (int64_t row = 0; row < w->rows; row += DENSE_ROWS) {
        int64_t rows = min_i64(DENSE_ROWS, w->rows - row);
        for (int64_t col = 0; col < w->cols; col += DENSE_SPAN) {
            int64_t width = min_i64(DENSE_SPAN, w->cols - col);
            for (int64_t r = 0; r < rows; r++)
                convert(w, row + r, col, width, panel[0][r], DENSE_ROWS * STRIP);
            panel_product p = {.a = dy + token_begin * lddy + row,
                               .lda = lddy,
                               .rows = token_end - token_begin,
                               .depth = rows,
                               .panel = panel[0][0],
                               .strip_step = DENSE_ROWS * STRIP,
                               .width = width,
                               .alpha = 1,
                               .c = dx + token_begin * lddx + col,
                               .ldc = lddx,
                               .keep = row > 0};
            panel_multiply(&p);
        }
    }
}

#endif
