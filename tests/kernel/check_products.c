/* Checks of the matrix products: each against the scalar result, within a bound from the same
 * product of the magnitudes, and each range of the output against the whole, bit for bit. */
#include "check.h"

#include <math.h>

/* The inner sums are chains of at most 64 roundings whose partial sums grow towards the sum of the
 * magnitudes, and there are a few such chains: 64 / 2 units is their worst case. */
static const double SUM_FACTOR = 32;

static const int64_t int_shapes[][3] = {/* tokens, rows, cols */
                                        {1, 1, 1},     {1, 7, 128},   {1, 5, 4480}, {2, 13, 129},
                                        {3, 4, 2048},  {5, 12, 2176}, {7, 25, 300}, {131, 14, 640},
                                        {4, 33, 4225}, {0, 3, 128}};

static void quantise_row(check *c) {
    static const int64_t lengths[] = {1, 7, 8, 127, 128, 129, 512, 1001};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        int64_t n = lengths[i];
        size_t floats = (size_t)(ternary_padded(n) + 3) / 4;
        float *x = check_floats(c, n), scale[2];
        if (c->fill == FILL_RANDOM && n > 8) { /* exact halves, so that ties are seen */
            x[0] = 127;
            for (int64_t k = 1; k < n; k++) x[k] = (float)((int64_t)check_random(c, 508) - 254) / 2;
        }
        float *expected = check_output((int64_t)floats), *got = check_output((int64_t)floats);
        int32_t sum[2];
        c->ref->quantise_row(x, n, (int8_t *)expected, &scale[0], &sum[0]);
        c->tested->quantise_row(x, n, (int8_t *)got, &scale[1], &sum[1]);
        check_compare(c, "values", expected, got, NULL, 0, (int64_t)floats);
        check_same_bytes(c, "scale", &scale[0], &scale[1], sizeof(float));
        check_same_bytes(c, "sum", &sum[0], &sum[1], sizeof(int32_t));
        check_free_all();
    }
}

static void ternary_matmul_shape(check *c, int64_t tokens, int64_t rows, int64_t cols) {
    int64_t padded = ternary_padded(cols), ldy = rows + 3, n = tokens * ldy;
    ternary_matrix w = check_ternary(c, rows, cols);
    int8_t *q = check_int8(c, tokens * padded);
    float *scale = check_alloc((size_t)tokens * sizeof(float));
    int32_t *sum = check_alloc((size_t)tokens * sizeof(int32_t));
    for (int64_t t = 0; t < tokens; t++) {
        sum[t] = 0;
        scale[t] = 1.0f + (float)check_random(c, 1000) / 7;
        for (int64_t k = cols; k < padded; k++) q[t * padded + k] = 0;
        for (int64_t k = 0; k < cols; k++) sum[t] += q[t * padded + k];
    }
    float *expected = check_output(n), *got = check_output(n), *parts = check_output(n);
    int64_t cut = rows / 3;
    c->ref->ternary_matmul(&w, 0, rows, q, scale, sum, tokens, expected, ldy);
    c->tested->ternary_matmul(&w, 0, rows, q, scale, sum, tokens, got, ldy);
    c->tested->ternary_matmul(&w, 0, cut, q, scale, sum, tokens, parts, ldy);
    c->tested->ternary_matmul(&w, cut, rows, q, scale, sum, tokens, parts, ldy);
    check_compare(c, "whole", expected, got, NULL, 0, n);
    check_compare(c, "parts", expected, parts, NULL, 0, n);
    check_free_all();
}

static void ternary_matmul(check *c) {
    for (size_t i = 0; i < sizeof int_shapes / sizeof *int_shapes; i++)
        ternary_matmul_shape(c, int_shapes[i][0], int_shapes[i][1], int_shapes[i][2]);
}

static void ternary_matmul_f32(check *c) {
    for (size_t i = 0; i < sizeof int_shapes / sizeof *int_shapes; i++) {
        int64_t tokens = int_shapes[i][0], rows = int_shapes[i][1], cols = int_shapes[i][2];
        int64_t ldx = cols + 1, ldy = rows + 2, n = tokens * ldy;
        ternary_matrix w = check_ternary(c, rows, cols), large = check_ternary_magnitudes(&w);
        float *x = check_floats(c, tokens * ldx), *large_x = check_magnitudes(x, tokens * ldx);
        float *expected = check_output(n), *got = check_output(n), *parts = check_output(n);
        float *bound = check_output(n);
        int64_t cut = rows / 2, first = tokens / 2;
        c->ref->ternary_matmul_f32(&w, 0, rows, x, ldx, tokens, expected, ldy);
        c->ref->ternary_matmul_f32(&large, 0, rows, large_x, ldx, tokens, bound, ldy);
        c->tested->ternary_matmul_f32(&w, 0, rows, x, ldx, tokens, got, ldy);
        c->tested->ternary_matmul_f32(&w, 0, cut, x, ldx, tokens, parts, ldy);
        c->tested->ternary_matmul_f32(&w, cut, rows, x, ldx, first, parts, ldy);
        c->tested->ternary_matmul_f32(&w, cut, rows, x + first * ldx, ldx, tokens - first,
                                      parts + first * ldy, ldy);
        check_compare(c, "whole", expected, got, bound, SUM_FACTOR, n);
        check_compare(c, "parts", got, parts, NULL, 0, n);
        check_free_all();
    }
}

static void ternary_matmul_t_shape(check *c, int64_t tokens, int64_t rows, int64_t cols, bool add) {
    int64_t lddy = rows + 1, lddx = cols + 2, n = tokens * lddx;
    ternary_matrix w = check_ternary(c, rows, cols), large = check_ternary_magnitudes(&w);
    float *dy = check_floats(c, tokens * lddy), *large_dy = check_magnitudes(dy, tokens * lddy);
    float *start = check_floats(c, n), *expected = check_copy(start, n),
          *got = check_copy(start, n);
    float *parts = check_copy(start, n), *bound = check_copy(check_magnitudes(start, n), n);
    int64_t cut = cols / 2 / TERNARY_BLOCK * TERNARY_BLOCK;
    c->ref->ternary_matmul_t(&w, 0, cols, dy, lddy, tokens, expected, lddx, add);
    c->ref->ternary_matmul_t(&large, 0, cols, large_dy, lddy, tokens, bound, lddx, add);
    c->tested->ternary_matmul_t(&w, 0, cols, dy, lddy, tokens, got, lddx, add);
    c->tested->ternary_matmul_t(&w, 0, cut, dy, lddy, tokens, parts, lddx, add);
    c->tested->ternary_matmul_t(&w, cut, cols, dy, lddy, tokens, parts, lddx, add);
    check_compare(c, "whole", expected, got, bound, SUM_FACTOR, n);
    check_compare(c, "parts", got, parts, NULL, 0, n);
    check_free_all();
}

static void ternary_matmul_t(check *c) {
    static const int64_t shapes[][3] = {{1, 1, 1},    {1, 7, 128},  {2, 13, 129},  {5, 64, 250},
                                        {6, 65, 384}, {7, 300, 20}, {13, 130, 513}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int add = 0; add < 2; add++)
            ternary_matmul_t_shape(c, shapes[i][0], shapes[i][1], shapes[i][2], add);
}

/* The tight form of a fast matrix, its codes ending where their allocation ends. */
static ternary_matrix tight_of(const ternary_matrix *w) {
    size_t row_bytes = ternary_row_bytes_of(TERNARY_TIGHT, w->cols), at = 0;
    uint8_t *codes = check_alloc((size_t)w->rows * row_bytes), block[TERNARY_BLOCK];
    ternary_matrix padded = *w, tight = *w;
    padded.cols = ternary_padded(w->cols);
    for (int64_t row = 0; row < w->rows; row++)
        for (int64_t col = 0; col < padded.cols; col += TERNARY_BLOCK) {
            for (int i = 0; i < TERNARY_BLOCK; i++)
                block[i] = (uint8_t)(ternary_get(&padded, row, col + i) + 1);
            ternary_pack_tight_block(block, codes + at);
            at += TERNARY_TIGHT_BYTES;
        }
    tight.codes = codes;
    tight.packing = TERNARY_TIGHT;
    return tight;
}

/* Rows [row, rows) and columns [col, cols) of w, unpacked, against the fast matrix itself. */
static void unpack_range(check *c, const ternary_matrix *w, int64_t row, int64_t col) {
    const size_t guard = 8;
    ternary_matrix tight = tight_of(w);
    size_t whole = ternary_row_bytes(w->cols), part = ternary_row_bytes(w->cols - col);
    size_t n = (size_t)(w->rows - row) * part;
    uint8_t *want = check_alloc(n + guard), *got = check_alloc(n + guard);
    memset(want, 0xee, n + guard);
    memset(got, 0xee, n + guard);
    for (int64_t r = row; r < w->rows; r++)
        memcpy(want + (size_t)(r - row) * part, w->codes + (size_t)r * whole + col / 4, part);
    c->tested->ternary_unpack_rows(&tight, row, w->rows, col, w->cols, got);
    check_same_bytes(c, "rows", want, got, n + guard);
}

static void ternary_unpack_rows(check *c) {
    for (size_t i = 0; i < sizeof int_shapes / sizeof *int_shapes; i++) {
        int64_t cols = int_shapes[i][2], last = (cols - 1) / TERNARY_BLOCK * TERNARY_BLOCK;
        ternary_matrix w = check_ternary(c, int_shapes[i][1], cols);
        unpack_range(c, &w, 0, 0);
        unpack_range(c, &w, w.rows / 2, 0);
        unpack_range(c, &w, w.rows - 1, last);
        check_free_all();
    }
}

static const struct {
    dense_type type;
    int64_t tokens, rows, cols;
} dense_shapes[] = {{DENSE_F32, 1, 3, 5},     {DENSE_F32, 6, 50, 700},  {DENSE_F16, 1, 13, 9},
                    {DENSE_F16, 7, 49, 515},  {DENSE_BF16, 5, 14, 31},  {DENSE_BF16, 2, 97, 512},
                    {DENSE_Q8_0, 1, 5, 32},   {DENSE_Q8_0, 9, 51, 608}, {DENSE_Q6_K, 1, 2, 256},
                    {DENSE_Q6_K, 6, 50, 768}, {DENSE_F32, 1, 7, 1056},  {DENSE_F16, 1, 5, 2592},
                    {DENSE_BF16, 1, 9, 1120}, {DENSE_BF16, 1, 6, 545},  {DENSE_Q8_0, 1, 6, 2592},
                    {DENSE_Q6_K, 1, 7, 1280}};
enum { DENSE_SHAPES = sizeof dense_shapes / sizeof *dense_shapes };

/* The matrix as float32 magnitudes, for the bounds. */
static dense_matrix dense_magnitudes(check *c, const dense_matrix *w) {
    float *values = check_alloc((size_t)(w->rows * w->cols) * sizeof(float));
    for (int64_t row = 0; row < w->rows; row++) {
        float *out = values + row * w->cols;
        c->ref->dense_row(w, row, out);
        for (int64_t i = 0; i < w->cols; i++) out[i] = fabsf(out[i]);
    }
    return (dense_matrix){(const uint8_t *)values, DENSE_F32, w->rows, w->cols,
                          (size_t)w->cols * sizeof(float)};
}

static void gradient_row(check *c) {
    static const int64_t lengths[] = {1, 7, 8, 9, 127, 512, 1001};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        int64_t n = lengths[i], words = gradient_padded(n) / 2;
        float *x = check_floats(c, n), scale[2];
        if (c->fill == FILL_RANDOM && n > 8) { /* exact halves, so that ties are seen */
            x[0] = GRADIENT_MOST;
            for (int64_t k = 1; k < n; k++) x[k] = (float)check_random(c, 65535) / 2 - 16000;
        }
        float *expected = check_output(words), *got = check_output(words);
        c->ref->gradient_row(x, n, (int16_t *)expected, &scale[0]);
        c->tested->gradient_row(x, n, (int16_t *)got, &scale[1]);
        check_compare(c, "values", expected, got, NULL, 0, words);
        check_same_bytes(c, "scale", &scale[0], &scale[1], sizeof(float));
        check_free_all();
    }
}

/* Extremes of every sum at c->fill MAX and MIN: all gradients and all weights of one sign. */
static void ternary_matmul_t_i16_shape(check *c, int64_t tokens, int64_t rows, int64_t cols,
                                       bool add) {
    int64_t padded = gradient_padded(rows), lddx = cols + 2, n = tokens * lddx;
    ternary_matrix w = check_ternary(c, rows, cols);
    int16_t *q = check_alloc((size_t)(tokens * padded) * sizeof *q);
    float *scale = check_alloc((size_t)tokens * sizeof *scale), *start = check_floats(c, n);
    float *expected = check_copy(start, n), *got = check_copy(start, n);
    float *parts = check_copy(start, n);
    for (int64_t t = 0; t < tokens; t++) {
        scale[t] = 1.0f + (float)check_random(c, 1000) / 7;
        for (int64_t j = 0; j < padded; j++) {
            int64_t value = (int64_t)check_random(c, 65535) - 32767;
            if (c->fill == FILL_MAX || c->fill == FILL_MIN)
                value = c->fill == FILL_MAX ? 32767 : -32767;
            q[t * padded + j] = (int16_t)(j < rows && c->fill != FILL_ZERO ? value : 0);
        }
    }
    int64_t cut = cols / 2 / TERNARY_BLOCK * TERNARY_BLOCK, first = tokens / 3;
    c->ref->ternary_matmul_t_i16(&w, 0, cols, q, scale, tokens, expected, lddx, add);
    c->tested->ternary_matmul_t_i16(&w, 0, cols, q, scale, tokens, got, lddx, add);
    c->tested->ternary_matmul_t_i16(&w, 0, cut, q, scale, tokens, parts, lddx, add);
    c->tested->ternary_matmul_t_i16(&w, cut, cols, q, scale, first, parts, lddx, add);
    c->tested->ternary_matmul_t_i16(&w, cut, cols, q + first * padded, scale + first,
                                    tokens - first, parts + first * lddx, lddx, add);
    check_compare(c, "whole", expected, got, NULL, 0, n);
    check_compare(c, "parts", expected, parts, NULL, 0, n);
    check_free_all();
}

static void ternary_matmul_t_i16(check *c) {
    static const int64_t shapes[][3] = {{1, 1, 1},      {1, 7, 128},  {2, 13, 129},
                                        {5, 128, 250},  {6, 129, 20}, {70, 300, 140},
                                        {13, 130, 513}, {1, GRADIENT_ROWS_MAX, 3}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int add = 0; add < 2; add++)
            ternary_matmul_t_i16_shape(c, shapes[i][0], shapes[i][1], shapes[i][2], add);
}

static void dense_row(check *c) {
    for (int i = 0; i < DENSE_SHAPES; i++) {
        int64_t cols = dense_shapes[i].cols, row = dense_shapes[i].rows - 1;
        dense_matrix w = check_dense(c, dense_shapes[i].type, row + 1, cols);
        float *expected = check_output(cols), *got = check_output(cols);
        c->ref->dense_row(&w, row, expected);
        c->tested->dense_row(&w, row, got);
        check_compare(c, "row", expected, got, NULL, 0, cols);
        check_free_all();
    }
}

static void dense_matmul(check *c) {
    for (int i = 0; i < DENSE_SHAPES; i++) {
        int64_t tokens = dense_shapes[i].tokens, rows = dense_shapes[i].rows;
        int64_t cols = dense_shapes[i].cols, ldx = cols + 1, ldy = rows + 2, n = tokens * ldy;
        dense_matrix w = check_dense(c, dense_shapes[i].type, rows, cols);
        dense_matrix large = dense_magnitudes(c, &w);
        float *x = check_floats(c, tokens * ldx), *large_x = check_magnitudes(x, tokens * ldx);
        float *expected = check_output(n), *got = check_output(n), *parts = check_output(n);
        float *bound = check_output(n);
        int64_t cut = rows / 3;
        c->ref->dense_matmul(&w, 0, rows, x, ldx, tokens, expected, ldy);
        c->ref->dense_matmul(&large, 0, rows, large_x, ldx, tokens, bound, ldy);
        c->tested->dense_matmul(&w, 0, rows, x, ldx, tokens, got, ldy);
        c->tested->dense_matmul(&w, 0, cut, x, ldx, tokens, parts, ldy);
        c->tested->dense_matmul(&w, cut, rows, x, ldx, tokens, parts, ldy);
        check_compare(c, "whole", expected, got, bound, SUM_FACTOR, n);
        check_compare(c, "parts", got, parts, NULL, 0, n);
        check_free_all();
    }
}

static void dense_matmul_t(check *c) {
    for (int i = 0; i < DENSE_SHAPES; i++) {
        int64_t tokens = dense_shapes[i].tokens, rows = dense_shapes[i].rows;
        int64_t cols = dense_shapes[i].cols, lddy = rows + 1, lddx = cols + 2, n = tokens * lddx;
        dense_matrix w = check_dense(c, dense_shapes[i].type, rows, cols);
        dense_matrix large = dense_magnitudes(c, &w);
        float *dy = check_floats(c, tokens * lddy), *large_dy = check_magnitudes(dy, tokens * lddy);
        float *expected = check_output(n), *got = check_output(n), *parts = check_output(n);
        float *bound = check_output(n);
        int64_t cut = tokens / 3;
        c->ref->dense_matmul_t(&w, 0, tokens, dy, lddy, expected, lddx);
        c->ref->dense_matmul_t(&large, 0, tokens, large_dy, lddy, bound, lddx);
        c->tested->dense_matmul_t(&w, 0, tokens, dy, lddy, got, lddx);
        c->tested->dense_matmul_t(&w, 0, cut, dy, lddy, parts, lddx);
        c->tested->dense_matmul_t(&w, cut, tokens, dy, lddy, parts, lddx);
        check_compare(c, "whole", expected, got, bound, SUM_FACTOR, n);
        check_compare(c, "parts", got, parts, NULL, 0, n);
        check_free_all();
    }
}

typedef void gemm(int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
                  const float *b, int64_t ldb, float *c, int64_t ldc, bool add);
typedef enum layout { NT, NN, TN } layout;

static gemm *gemm_of(const kernels *k, layout l) {
    return l == NT ? k->gemm_nt : l == NN ? k->gemm_nn : k->gemm_tn;
}

static void gemm_shape(check *c, layout l, int64_t m, int64_t n, int64_t k, bool add) {
    int64_t lda = (l == TN ? m : k) + 1, ldb = (l == NT ? k : n) + 1, ldc = n + 2, count = m * ldc;
    int64_t a_count = (l == TN ? k : m) * lda, b_count = (l == NT ? n : k) * ldb;
    float *a = check_floats(c, a_count), *large_a = check_magnitudes(a, a_count);
    float *b = check_floats(c, b_count), *large_b = check_magnitudes(b, b_count);
    float *start = check_floats(c, count), *expected = check_copy(start, count);
    float *got = check_copy(start, count), *parts = check_copy(start, count);
    float *bound = check_copy(check_magnitudes(start, count), count);
    gemm *ref = gemm_of(c->ref, l), *tested = gemm_of(c->tested, l);
    int64_t cut_m = m / 2, cut_n = n / 3;
    const float *a_cut = a + (l == TN ? cut_m : cut_m * lda);
    const float *b_cut = b + (l == NT ? cut_n * ldb : cut_n);
    ref(m, n, k, -0.7f, a, lda, b, ldb, expected, ldc, add);
    ref(m, n, k, 0.7f, large_a, lda, large_b, ldb, bound, ldc, add);
    tested(m, n, k, -0.7f, a, lda, b, ldb, got, ldc, add);
    tested(cut_m, n, k, -0.7f, a, lda, b, ldb, parts, ldc, add);
    tested(m - cut_m, cut_n, k, -0.7f, a_cut, lda, b, ldb, parts + cut_m * ldc, ldc, add);
    tested(m - cut_m, n - cut_n, k, -0.7f, a_cut, lda, b_cut, ldb, parts + cut_m * ldc + cut_n, ldc,
           add);
    check_compare(c, "whole", expected, got, bound, SUM_FACTOR, count);
    check_compare(c, "parts", got, parts, NULL, 0, count);
    check_free_all();
}

static void gemm_layout(check *c, layout l) {
    static const int64_t shapes[][3] = {{1, 1, 1},    {1, 16, 300}, {9, 8, 257},  {5, 130, 4},
                                        {33, 16, 64}, {8, 100, 65}, {64, 17, 13}, {7, 4, 1030}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int add = 0; add < 2; add++)
            gemm_shape(c, l, shapes[i][0], shapes[i][1], shapes[i][2], add);
}

static void gemm_nt(check *c) {
    gemm_layout(c, NT);
}
static void gemm_nn(check *c) {
    gemm_layout(c, NN);
}
static void gemm_tn(check *c) {
    gemm_layout(c, TN);
}

const check_case product_cases[] = {
    {"quantise_row", quantise_row},
    {"ternary_matmul", ternary_matmul},
    {"ternary_matmul_f32", ternary_matmul_f32},
    {"ternary_matmul_t", ternary_matmul_t},
    {"ternary_unpack_rows", ternary_unpack_rows},
    {"gradient_row", gradient_row},
    {"ternary_matmul_t_i16", ternary_matmul_t_i16},
    {"dense_row", dense_row},
    {"dense_matmul", dense_matmul},
    {"dense_matmul_t", dense_matmul_t},
    {"gemm_nt", gemm_nt},
    {"gemm_nn", gemm_nn},
    {"gemm_tn", gemm_tn},
    {NULL, NULL},
};
