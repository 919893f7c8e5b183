/* Frozen dense matrices in AVX2: a panel of rows is converted to float32 once and used for every
 * token. */
#if defined(__x86_64__)
#include "kernel/avx2.h"

#include "kernel/dense_span.h"
#include "kernel/prefetch.h"

enum {
    DOT_ROWS = 12, /* rows of the forward panel: 24 KiB at DOT_COLUMNS columns */
    T_ROWS = 64    /* rows of the transposed product's panel: 64 KiB at DENSE_SPAN columns */
};

static void f16_span(const uint8_t *bytes, int64_t count, float *out) {
    int64_t i = 0;
    for (; i + 8 <= count; i += 8) {
        __m128i halves = _mm_loadu_si128((const __m128i *)(bytes + 2 * i));
        _mm256_storeu_ps(out + i, _mm256_cvtph_ps(halves));
    }
    for (; i < count; i++) out[i] = f16_to_f32(u16_at(bytes + 2 * i));
}

static void bf16_span(const uint8_t *bytes, int64_t count, float *out) {
    int64_t i = 0;
    for (; i + 8 <= count; i += 8) {
        __m256i words = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(bytes + 2 * i)));
        _mm256_storeu_ps(out + i, _mm256_castsi256_ps(_mm256_slli_epi32(words, 16)));
    }
    for (; i < count; i++) out[i] = bf16_to_f32(u16_at(bytes + 2 * i));
}

/* As dense_span, for any number of values. */
static void convert(const dense_matrix *w, int64_t row, int64_t begin, int64_t count, float *out) {
    const uint8_t *bytes = w->data + (size_t)row * w->row_bytes;
    if (w->type == DENSE_F16) {
        f16_span(bytes + 2 * begin, count, out);
    } else if (w->type == DENSE_BF16) {
        bf16_span(bytes + 2 * begin, count, out);
    } else {
        for (int64_t i = 0; i < count; i += DENSE_SPAN)
            dense_span(w, row, begin + i, min_i64(DENSE_SPAN, count - i), out + i);
    }
}

void avx2_dense_row(const dense_matrix *w, int64_t row, float *out) {
    convert(w, row, 0, w->cols, out);
}

/* Columns of one step of one_token: a cache line of each row. */
enum { ONE_STEP = 32 };

ALWAYS_INLINE __m256 load_halves(const uint8_t *p, const bool bf16) {
    __m128i halves = _mm_loadu_si128((const __m128i *)p);
    if (!bf16) return _mm256_cvtph_ps(halves);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
}

/* One token by rows of halves from where they lie, front to back, as the processor's prefetcher
 * likes it; the same sums in the same order as by panels. cols is a multiple of ONE_STEP. */
ALWAYS_INLINE void one_token(const dense_matrix *w, int64_t row_begin, int64_t row_end,
                             const float *x, float *y, const bool bf16) {
    for (int64_t row = row_begin; row < row_end; row++) {
        const uint8_t *at = w->data + (size_t)row * w->row_bytes;
        float total = 0;
        for (int64_t col = 0; col < w->cols; col += DOT_COLUMNS) {
            int64_t end = min_i64(col + DOT_COLUMNS, w->cols);
            __m256 sum = _mm256_setzero_ps();
            for (int64_t k = col; k < end; k += ONE_STEP) {
                prefetch(at + 2 * k + PREFETCH_AHEAD, CACHE_LINE);
                for (int64_t i = k; i < k + ONE_STEP; i += 8)
                    sum =
                        _mm256_fmadd_ps(load_halves(at + 2 * i, bf16), _mm256_loadu_ps(x + i), sum);
            }
            float dot = sum_lanes(sum);
            total = col > 0 ? total + dot : dot;
        }
        y[row] = total;
    }
}

void avx2_dense_matmul(const dense_matrix *w, int64_t row_begin, int64_t row_end, const float *x,
                       int64_t ldx, int64_t tokens, float *y, int64_t ldy) {
    if (tokens == 1 && w->cols % ONE_STEP == 0 && w->type == DENSE_F16) {
        one_token(w, row_begin, row_end, x, y, false);
        return;
    }
    if (tokens == 1 && w->cols % ONE_STEP == 0 && w->type == DENSE_BF16) {
        one_token(w, row_begin, row_end, x, y, true);
        return;
    }
    _Alignas(64) float panel[DOT_ROWS * DOT_COLUMNS];
    for (int64_t row = row_begin; row < row_end; row += DOT_ROWS) {
        int64_t rows = min_i64(DOT_ROWS, row_end - row);
        for (int64_t col = 0; col < w->cols; col += DOT_COLUMNS) {
            int64_t width = min_i64(DOT_COLUMNS, w->cols - col);
            for (int64_t r = 0; r < rows; r++)
                convert(w, row + r, col, width, panel + r * DOT_COLUMNS);
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
            avx2_dot_product(&p);
        }
    }
}

typedef float strip_panel[DENSE_SPAN / STRIP][T_ROWS][STRIP];

/* Rows [row, row + rows), columns [col, col + width) in strips of 16 columns. */
static void convert_strips(const dense_matrix *w, int64_t row, int64_t rows, int64_t col,
                           int64_t width, strip_panel panel) {
    _Alignas(64) float values[DENSE_SPAN] = {0};
    bool halves = w->type == DENSE_F16 || w->type == DENSE_BF16;
    for (int64_t r = 0; r < rows; r++) {
        const uint8_t *bytes = w->data + (size_t)(row + r) * w->row_bytes + 2 * col;
        int64_t k = 0;
        for (; halves && k + STRIP <= width; k += STRIP)
            for (int i = 0; i < STRIP; i += 8)
                _mm256_store_ps(panel[k / STRIP][r] + i,
                                load_halves(bytes + 2 * (k + i), w->type == DENSE_BF16));
        if (k == width) continue;
        convert(w, row + r, col, width, values);
        for (; k < width; k += STRIP)
            memcpy(panel[k / STRIP][r], values + k, STRIP * sizeof(float));
    }
}

void avx2_dense_matmul_t(const dense_matrix *w, int64_t token_begin, int64_t token_end,
                         const float *dy, int64_t lddy, float *dx, int64_t lddx) {
    _Alignas(64) strip_panel panel;
    for (int64_t row = 0; row < w->rows; row += T_ROWS) {
        int64_t rows = min_i64(T_ROWS, w->rows - row);
        for (int64_t col = 0; col < w->cols; col += DENSE_SPAN) {
            int64_t width = min_i64(DENSE_SPAN, w->cols - col);
            convert_strips(w, row, rows, col, width, panel);
            panel_product p = {.a = dy + token_begin * lddy + row,
                               .lda = lddy,
                               .rows = token_end - token_begin,
                               .depth = rows,
                               .panel = panel[0][0],
                               .strip_step = T_ROWS * STRIP,
                               .width = width,
                               .alpha = 1,
                               .c = dx + token_begin * lddx + col,
                               .ldc = lddx,
                               .keep = row > 0};
            avx2_panel_product(&p);
        }
    }
}
#endif
