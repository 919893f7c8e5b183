/* Every product of a tight matrix has the bits of the same product of the fast one, at every kernel
 * level and with any number of threads. */
#include "backend_fixture.h"

/* The same matrix, its codes ending where their allocation ends. */
static ternary_matrix rig_tight(rig *r, const ternary_matrix *fast) {
    ternary_matrix padded = *fast, tight = *fast;
    size_t row_bytes = ternary_row_bytes_of(TERNARY_TIGHT, fast->cols), at = 0;
    uint8_t *codes = rig_host(r, (size_t)fast->rows * row_bytes), block[TERNARY_BLOCK];
    padded.cols = ternary_padded(fast->cols);
    for (int64_t row = 0; row < fast->rows; row++)
        for (int64_t col = 0; col < padded.cols; col += TERNARY_BLOCK) {
            for (int i = 0; i < TERNARY_BLOCK; i++)
                block[i] = (uint8_t)(ternary_get(&padded, row, col + i) + 1);
            ternary_pack(TERNARY_TIGHT, block, codes + at);
            at += TERNARY_TIGHT_BYTES;
        }
    tight.codes = codes;
    tight.packing = TERNARY_TIGHT;
    return tight;
}

typedef struct pair {
    ternary_weight *w[2]; /* fast, tight */
    int64_t tokens, rows, cols;
} pair;

static pair pair_of(rig *r, int64_t tokens, int64_t rows, int64_t cols) {
    pair p = {.tokens = tokens, .rows = rows, .cols = cols};
    ternary_matrix fast = rig_ternary(r, rows, cols, 0.731f), tight = rig_tight(r, &fast);
    assert_int_equal(ternary_weight_create(r->be, &fast, &p.w[0], NULL), WEFT_OK);
    assert_int_equal(ternary_weight_create(r->be, &tight, &p.w[1], NULL), WEFT_OK);
    return p;
}

static void same(rig *r, const char *what, const view out[2], int64_t count) {
    const float *a = rig_read(r, out[0], count), *b = rig_read(r, out[1], count);
    double magnitude = 0;
    for (int64_t i = 0; i < count; i++) {
        magnitude += (double)fabsf(a[i]);
        if (memcmp(&a[i], &b[i], sizeof *a))
            fail_msg("%s[%lld]: %.9g fast, %.9g tight", what, (long long)i, (double)a[i],
                     (double)b[i]);
    }
    assert_true(magnitude > 0);
    rig_log(r, b, count);
}

static void forward(rig *r, const pair *p) {
    float *x = rig_random(r, p->tokens * p->cols, 3);
    view vx = rig_floats(r, x, p->tokens * p->cols), rounded[2], smooth[2];
    view q8 = rig_bytes(r, NULL, quantised_bytes(p->tokens, p->cols));
    op_quantise(r->be, vx, p->tokens, p->cols, q8);
    for (int i = 0; i < 2; i++) {
        rounded[i] = rig_floats(r, NULL, p->tokens * p->rows);
        smooth[i] = rig_floats(r, NULL, p->tokens * p->rows);
        op_ternary_matmul(r->be, p->w[i], q8, p->tokens, rounded[i]);
        op_ternary_matmul_f32(r->be, p->w[i], vx, p->tokens, smooth[i]);
    }
    same(r, "ternary_matmul", rounded, p->tokens * p->rows);
    same(r, "ternary_matmul_f32", smooth, p->tokens * p->rows);
}

static void backward(rig *r, const pair *p, bool add) {
    int64_t count = p->tokens * p->cols;
    float *start = rig_random(r, count, 1);
    view dy = rig_floats(r, rig_random(r, p->tokens * p->rows, 1), p->tokens * p->rows), dx[2];
    view rounded[2];
    for (int i = 0; i < 2; i++) {
        dx[i] = rig_floats(r, start, count);
        op_ternary_matmul_t(r->be, p->w[i], dy, p->tokens, PRECISION_FULL, dx[i], add);
        rounded[i] = rig_floats(r, start, count);
        op_ternary_matmul_t(r->be, p->w[i], dy, p->tokens, PRECISION_ROUNDED, rounded[i], add);
    }
    same(r, "ternary_matmul_t", dx, count);
    same(r, "ternary_matmul_t, rounded", rounded, count);
}

/* Rows and columns that fill no part, one part and several; rows too long for a part of many. */
static void products_case(rig *r) {
    static const int64_t shapes[][3] = {/* tokens, rows, cols */
                                        {1, 1, 1},      {3, 2, 127},     {1, 1031, 512},
                                        {70, 201, 300}, {130, 49, 1290}, {1, 7, 33000}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        pair p = pair_of(r, shapes[i][0], shapes[i][1], shapes[i][2]);
        forward(r, &p);
        backward(r, &p, false);
        backward(r, &p, true);
        for (int k = 0; k < 2; k++) ternary_weight_free(r->be, &p.w[k]);
    }
}

static void test_products(void **state) {
    (void)state;
    run_case(products_case);
}

/* Scratch is counted, taken once, and only for a tight matrix. */
static void scratch_case(rig *r) {
    pair p = pair_of(r, 2, 300, 512);
    view x = rig_floats(r, rig_random(r, 2 * 512, 1), 2 * 512), y = rig_floats(r, NULL, 2 * 300);
    uint64_t bytes[4] = {backend_bytes(r->be)};
    for (int i = 0; i < 3; i++) {
        op_ternary_matmul_f32(r->be, p.w[i > 0], x, 2, y);
        bytes[i + 1] = backend_bytes(r->be);
    }
    assert_true(bytes[1] == bytes[0]);
    assert_true(bytes[2] > bytes[1]);
    assert_true(bytes[3] == bytes[2]);
    rig_log(r, rig_read(r, y, 2 * 300), 2 * 300);
    for (int k = 0; k < 2; k++) ternary_weight_free(r->be, &p.w[k]);
}

static void test_scratch(void **state) {
    (void)state;
    run_case(scratch_case);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_products),
                                       cmocka_unit_test(test_scratch)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
