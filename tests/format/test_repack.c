/* Every encoding of weights: known bytes, round trips, and what is refused. */
#include "base/layout.h"
#include "base/rng.h"
#include "format/repack.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define SCALE 1.25f /* exact in every type */

/* A random ternary matrix with codes of its own. */
static ternary_matrix random_matrix(int64_t rows, int64_t cols) {
    size_t row_bytes = ternary_row_bytes(cols);
    uint8_t *packed = malloc((size_t)rows * row_bytes), codes[TERNARY_BLOCK];
    for (int64_t r = 0; r < rows; r++)
        for (int64_t b = 0; b < (int64_t)row_bytes / 32; b++) {
            for (int i = 0; i < TERNARY_BLOCK; i++) {
                int64_t col = b * TERNARY_BLOCK + i;
                codes[i] = col < cols ? (uint8_t)rng_below(3, (uint64_t)(r * cols + col), 3) : 1;
            }
            ternary_pack_block(codes, packed + (size_t)r * row_bytes + 32 * b);
        }
    return (ternary_matrix){packed, rows, cols, SCALE, TERNARY_FAST};
}

static tensor_view matrix_view(tensor_type type, int64_t rows, int64_t cols, const void *data) {
    return (tensor_view){"w", type, 2, {rows, cols}, data, tensor_bytes(type, cols, rows * cols)};
}

static void assert_same(const ternary_matrix *w, const uint8_t *codes, float scale) {
    assert_memory_equal(w->codes, codes, (size_t)w->rows * ternary_row_bytes(w->cols));
    assert_true(scale == w->scale);
}

static uint8_t *new_codes(int64_t rows, int64_t cols) {
    size_t size = (size_t)rows * ternary_row_bytes(cols);
    uint8_t *codes = malloc(size);
    memset(codes, 0xee, size);
    return codes;
}

/* A file tensor straight to tight, and by way of fast: the same bytes and values. */
static void tight_trip(const tensor_view *t, const ternary_matrix *fast) {
    weft_error err;
    float scale;
    size_t size = (size_t)fast->rows * ternary_row_bytes_of(TERNARY_TIGHT, fast->cols);
    uint8_t *codes = malloc(size), *again = malloc(size);
    ternary_matrix w = {codes, fast->rows, fast->cols, fast->scale, TERNARY_TIGHT};
    assert_int_equal(repack_ternary_as(t, TERNARY_TIGHT, codes, &scale, &err), WEFT_OK);
    assert_true(scale == fast->scale);
    repack_tight(fast, again);
    assert_memory_equal(codes, again, size);
    for (int64_t i = 0; i < w.rows * w.cols; i++)
        assert_int_equal(ternary_get(&w, i / w.cols, i % w.cols),
                         ternary_get(fast, i / w.cols, i % w.cols));
    assert_int_equal(repack_check(&w, "w", &err), WEFT_OK);
    codes[size - 3] = TERNARY_TIGHT_MAX + 1;
    assert_int_equal(repack_check(&w, "w", &err), WEFT_ERR_FORMAT);
    assert_non_null(strstr(err.message, "code 3"));
    free(codes);
    free(again);
}

static void round_trip(tensor_type type, int64_t rows, int64_t cols) {
    weft_error err;
    ternary_matrix w = random_matrix(rows, cols);
    uint8_t *file = malloc(tensor_bytes(type, cols, rows * cols));
    uint8_t *codes = new_codes(rows, cols);
    float scale, *values = malloc((size_t)(rows * cols) * sizeof *values);
    assert_int_equal(repack_encode(&w, type, file, &err), WEFT_OK);
    tensor_view t = matrix_view(type, rows, cols, file);
    assert_int_equal(repack_ternary(&t, codes, &scale, &err), WEFT_OK);
    assert_same(&w, codes, scale);
    assert_int_equal(repack_to_f32(&t, 0, rows * cols, values, &err), WEFT_OK);
    for (int64_t i = 0; i < rows * cols; i++)
        assert_true(values[i] == SCALE * (float)ternary_get(&w, i / cols, i % cols));
    assert_int_equal(repack_find_nonfinite(&t), -1);
    tight_trip(&t, &w);
    bool is_float = tensor_block_values(type) == 1;
    assert_int_equal(repack_is_ternary(&t), is_float);
    ternary_matrix borrowed;
    assert_int_equal(repack_in_place(&t, &borrowed), type == TENSOR_I2_S);
    if (type == TENSOR_I2_S) {
        assert_ptr_equal(borrowed.codes, file);
        assert_same(&w, borrowed.codes, borrowed.scale);
        assert_int_equal(repack_check(&borrowed, "w", &err), WEFT_OK);
    }
    free(values);
    free(codes);
    free(file);
    free((void *)(uintptr_t)w.codes);
}

static void test_round_trips(void **state) {
    (void)state;
    const tensor_type floats[] = {TENSOR_F32, TENSOR_F16, TENSOR_BF16};
    for (int i = 0; i < 3; i++) {
        round_trip(floats[i], 1, 1);
        round_trip(floats[i], 3, 100);
        round_trip(floats[i], 7, 300);
        round_trip(floats[i], 5, 1024);
        round_trip(floats[i], 2, 2049);
    }
    for (int64_t rows = 1; rows < 5; rows++) {
        round_trip(TENSOR_I2_S, rows, 128);
        round_trip(TENSOR_I2_S, rows, 640);
        round_trip(TENSOR_TQ1_0, rows, 256);
        round_trip(TENSOR_TQ1_0, rows, 768);
        round_trip(TENSOR_TQ2_0, rows, 256);
        round_trip(TENSOR_TQ2_0, rows, 1280);
    }
}

/* All 243 groups of five digits: the byte is the rounded-up fraction, and it decodes to the digits.
 */
static void test_tq1_every_byte(void **state) {
    (void)state;
    uint8_t codes[256], block[54], unpacked[64];
    for (int q = 0; q < 243; q++) {
        memset(codes, 1, sizeof codes);
        for (int n = 0, power = 81; n < 5; n++, power /= 3)
            codes[32 * n + 7] = (uint8_t)(q / power % 3);
        uint8_t packed[64];
        ternary_pack_block(codes, packed);
        ternary_pack_block(codes + 128, packed + 32);
        ternary_matrix w = {packed, 1, 256, SCALE, TERNARY_FAST};
        assert_int_equal(repack_encode(&w, TENSOR_TQ1_0, block, NULL), WEFT_OK);
        assert_int_equal(block[7], (q * 256 + 242) / 243);
        float scale;
        tensor_view t = matrix_view(TENSOR_TQ1_0, 1, 256, block);
        assert_int_equal(repack_ternary(&t, unpacked, &scale, NULL), WEFT_OK);
        assert_memory_equal(packed, unpacked, 64);
    }
}

/* The places of values in a TQ1_0 and a TQ2_0 block, one value at a time. */
static void test_tq_index_maps(void **state) {
    (void)state;
    for (int i = 0; i < 256; i++) {
        uint8_t tq1[54], tq2[66], codes[256], packed[64];
        memset(codes, 0, sizeof codes);
        codes[i] = 2;
        ternary_pack_block(codes, packed);
        ternary_pack_block(codes + 128, packed + 32);
        ternary_matrix w = {packed, 1, 256, SCALE, TERNARY_FAST};
        assert_int_equal(repack_encode(&w, TENSOR_TQ1_0, tq1, NULL), WEFT_OK);
        assert_int_equal(repack_encode(&w, TENSOR_TQ2_0, tq2, NULL), WEFT_OK);
        int byte = i < 160 ? i % 32 : i < 240 ? 32 + (i - 160) % 16 : 48 + (i - 240) % 4;
        int digit = i < 160 ? i / 32 : i < 240 ? (i - 160) / 16 : (i - 240) / 4;
        int weight[] = {81, 27, 9, 3, 1};
        for (int b = 0; b < 52; b++)
            assert_int_equal(tq1[b], b == byte ? (2 * weight[digit] * 256 + 242) / 243 : 0);
        for (int b = 0; b < 64; b++)
            assert_int_equal(tq2[b], b == 32 * (i / 128) + i % 32 ? 2 << 2 * (i % 128 / 32) : 0);
        assert_int_equal(tq1[52] | tq1[53] << 8, f16_from_f32(SCALE));
        assert_int_equal(tq2[64] | tq2[65] << 8, f16_from_f32(SCALE));
    }
}

/* Blocks of I2_S run on across rows whose length is no multiple of 128. */
static void test_i2s_odd_rows(void **state) {
    (void)state;
    enum { ROWS = 8, COLS = 80, COUNT = ROWS * COLS };
    uint8_t file[COUNT / 4 + 32] = {0}, values[COUNT];
    for (int i = 0; i < COUNT; i++) values[i] = (uint8_t)rng_below(8, (uint64_t)i, 3);
    for (int b = 0; b < COUNT / 128; b++) ternary_pack_block(values + 128 * b, file + 32 * b);
    float scale = SCALE, out[COUNT];
    memcpy(file + COUNT / 4, &scale, 4);
    tensor_view t = matrix_view(TENSOR_I2_S, ROWS, COLS, file);
    assert_int_equal(t.size_bytes, sizeof file);
    ternary_matrix w;
    assert_false(repack_in_place(&t, &w));
    uint8_t codes[ROWS * 32];
    assert_int_equal(repack_ternary(&t, codes, &scale, NULL), WEFT_OK);
    w = (ternary_matrix){codes, ROWS, COLS, scale, TERNARY_FAST};
    assert_int_equal(repack_check(&w, "w", NULL), WEFT_OK);
    assert_int_equal(repack_to_f32(&t, 0, COUNT, out, NULL), WEFT_OK);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(ternary_get(&w, i / COLS, i % COLS), (int)values[i] - 1);
        assert_true(out[i] == SCALE * (float)(values[i] - 1));
    }
    file[33] |= 3; /* value 128 + 96 + 1 = 225: row 2, column 65 */
    weft_error err;
    assert_int_equal(repack_ternary(&t, codes, &scale, &err), WEFT_ERR_FORMAT);
    assert_string_equal(err.message,
                        "'w' holds the code 3 at row 2, column 65; the file is damaged");
}

static void refused(const tensor_view *t, int code, const char *words) {
    weft_error err = {0};
    float scale;
    uint8_t *codes = new_codes(t->shape[0], t->shape[1]);
    int rc = repack_ternary(t, codes, &scale, &err);
    free(codes);
    if (rc != code || !strstr(err.message, words))
        fail_msg("got %d '%s', wanted %d '%s'", rc, err.message, code, words);
}

static void test_bad_scales(void **state) {
    (void)state;
    const float bad[] = {NAN, INFINITY, -1.0f};
    const char *words[] = {"is not a finite number", "is not a finite number", "is negative: -1"};
    const int statuses[] = {WEFT_ERR_NUMERIC, WEFT_ERR_NUMERIC, WEFT_ERR_FORMAT};
    for (int i = 0; i < 3; i++) {
        uint8_t i2s[64], tq2[66], tq1[54] = {0};
        memset(i2s, TERNARY_ZERO_BYTE, sizeof i2s);
        memset(tq2, TERNARY_ZERO_BYTE, sizeof tq2);
        memcpy(i2s + 32, &bad[i], 4);
        uint16_t half = f16_from_f32(bad[i]);
        memcpy(tq2 + 64, &half, 2);
        memcpy(tq1 + 52, &half, 2);
        tensor_view t = matrix_view(TENSOR_I2_S, 1, 128, i2s);
        refused(&t, statuses[i], words[i]);
        ternary_matrix w;
        assert_true(repack_in_place(&t, &w));
        assert_int_equal(repack_check(&w, "w", NULL), statuses[i]);
        t = matrix_view(TENSOR_TQ2_0, 1, 256, tq2);
        refused(&t, statuses[i], words[i]);
        assert_int_equal(repack_find_nonfinite(&t), i == 2 ? -1 : 0);
        t = matrix_view(TENSOR_TQ1_0, 1, 256, tq1);
        refused(&t, statuses[i], words[i]);
    }
}

static void test_tq_scales_differ(void **state) {
    (void)state;
    uint8_t file[2 * 66];
    memset(file, 0, sizeof file);
    uint16_t one = f16_from_f32(1), near = f16_from_f32(1 - 0x1p-11f), far = f16_from_f32(0.99f);
    memcpy(file + 64, &one, 2);
    tensor_view t = matrix_view(TENSOR_TQ2_0, 1, 512, file);
    uint8_t codes[128];
    float scale;
    memcpy(file + 130, &near, 2);
    assert_int_equal(repack_ternary(&t, codes, &scale, NULL), WEFT_OK);
    assert_true(scale == 1);
    memcpy(file + 130, &far, 2);
    refused(&t, WEFT_ERR_FORMAT, "'w' has more than one scale: block 1 has 0.990234, another 1");
    memset(file + 130, 0, 2); /* a block without a scale is all zeros, whatever its codes */
    assert_int_equal(repack_ternary(&t, codes, &scale, NULL), WEFT_OK);
    ternary_matrix w = {codes, 1, 512, scale, TERNARY_FAST};
    for (int i = 0; i < 512; i++) assert_int_equal(ternary_get(&w, 0, i), i < 256 ? -1 : 0);
    file[3] = 3;
    refused(&t, WEFT_ERR_FORMAT, "'w' holds the code 3 at row 0, column 3");
}

static void test_floats(void **state) {
    (void)state;
    float v[6] = {0.5f, -0.5f, 0, 0.4999f, 1e-5f, -0.5f};
    tensor_view t = matrix_view(TENSOR_F32, 2, 3, v);
    uint8_t codes[64];
    float scale;
    assert_int_equal(repack_ternary(&t, codes, &scale, NULL), WEFT_OK);
    assert_true(scale == 0.5f);
    ternary_matrix w = {codes, 2, 3, scale, TERNARY_FAST};
    const int expected[] = {1, -1, 0, 1, 0, -1};
    for (int i = 0; i < 6; i++) assert_int_equal(ternary_get(&w, i / 3, i % 3), expected[i]);
    assert_true(repack_is_ternary(&t));
    v[4] = 0.25f;
    refused(&t, WEFT_ERR_FORMAT, "'w' is not ternary: it holds 0.25 at row 1, column 1");
    assert_false(repack_is_ternary(&t));
    v[4] = NAN;
    refused(&t, WEFT_ERR_NUMERIC, "'w' is not finite at row 1, column 1");
    assert_false(repack_is_ternary(&t));
    assert_int_equal(repack_find_nonfinite(&t), 4);
    memset(v, 0, sizeof v);
    assert_int_equal(repack_ternary(&t, codes, &scale, NULL), WEFT_OK);
    assert_true(scale == 0);
    t.dim_count = 1;
    refused(&t, WEFT_ERR_FORMAT, "the tensor 'w' has 1 dimensions, not 2");
    t = matrix_view(TENSOR_I32, 2, 3, v);
    refused(&t, WEFT_ERR_UNSUPPORTED, "'w' has type I32, which holds no ternary weights");
}

static void test_hf_packed(void **state) {
    (void)state;
    enum { QUARTER = 3, COLS = 1200 };
    ternary_matrix w = random_matrix(4 * QUARTER, COLS);
    uint8_t *file = calloc(QUARTER, COLS), *codes = new_codes(4 * QUARTER, COLS);
    for (int r = 0; r < 4 * QUARTER; r++)
        for (int c = 0; c < COLS; c++)
            file[r % QUARTER * COLS + c] |=
                (uint8_t)((ternary_get(&w, r, c) + 1) << 2 * (r / QUARTER));
    tensor_view t = matrix_view(TENSOR_U8, QUARTER, COLS, file);
    weft_error err;
    assert_int_equal(repack_hf_packed(&t, codes, &err), WEFT_OK);
    assert_same(&w, codes, SCALE);
    file[COLS + 1100] |= 0x30; /* bits 5-4 of byte row 1: output row 2 * 3 + 1 */
    assert_int_equal(repack_hf_packed(&t, codes, &err), WEFT_ERR_FORMAT);
    assert_string_equal(err.message,
                        "'w' holds the code 3 at row 7, column 1100; the file is damaged");
    t.type = TENSOR_I8;
    assert_int_equal(repack_hf_packed(&t, codes, &err), WEFT_ERR_FORMAT);
    assert_string_equal(err.message, "'w' has type I8; packed weights are U8");
    free(file);
    free(codes);
    free((void *)(uintptr_t)w.codes);
}

static void test_quantise(void **state) {
    (void)state;
    float v[8] = {2, -2, 1, -1, 0.5f, -0.5f, 0.501f, 0.499f}; /* mean 1 */
    tensor_view t = matrix_view(TENSOR_F32, 2, 4, v);
    uint8_t codes[64];
    float scale;
    assert_int_equal(repack_quantise(&t, codes, &scale, NULL), WEFT_OK);
    assert_true(scale == 1);
    ternary_matrix w = {codes, 2, 4, scale, TERNARY_FAST};
    const int expected[] = {1, -1, 1, -1, 0, 0, 1, 0}; /* halves go to the even zero */
    for (int i = 0; i < 8; i++) assert_int_equal(ternary_get(&w, i / 4, i % 4), expected[i]);
    assert_int_equal(repack_check(&w, "w", NULL), WEFT_OK);
    for (int i = 0; i < 8; i++) v[i] = 1e-7f;
    assert_int_equal(repack_quantise(&t, codes, &scale, NULL), WEFT_OK);
    assert_true(fabsf(scale - 1e-5f) < 1e-11f);
    assert_int_equal(ternary_get(&w, 0, 0), 0);
    v[6] = -INFINITY;
    weft_error err;
    assert_int_equal(repack_quantise(&t, codes, &scale, &err), WEFT_ERR_NUMERIC);
    assert_string_equal(err.message, "'w' is not finite at row 1, column 2");
    t.type = TENSOR_I32;
    assert_int_equal(repack_quantise(&t, codes, &scale, &err), WEFT_ERR_UNSUPPORTED);
}

/* Over many chunks, against the definition with rint. */
static void test_quantise_large(void **state) {
    (void)state;
    enum { ROWS = 9, COLS = 1000, COUNT = ROWS * COLS };
    uint16_t *v = malloc(COUNT * sizeof *v);
    double sum = 0;
    for (int i = 0; i < COUNT; i++) {
        v[i] = bf16_from_f32(rng_uniform(4, (uint64_t)i) * 0.1f - 0.05f);
        sum += fabs((double)bf16_to_f32(v[i]));
    }
    tensor_view t = matrix_view(TENSOR_BF16, ROWS, COLS, v);
    uint8_t *codes = new_codes(ROWS, COLS);
    float scale, s = 1.0f / (float)(sum / COUNT);
    assert_int_equal(repack_quantise(&t, codes, &scale, NULL), WEFT_OK);
    assert_true(scale == 1.0f / s);
    ternary_matrix w = {codes, ROWS, COLS, scale, TERNARY_FAST};
    for (int i = 0; i < COUNT; i++) {
        float expected = fminf(fmaxf(rintf(bf16_to_f32(v[i]) * s), -1), 1);
        assert_int_equal(ternary_get(&w, i / COLS, i % COLS), (int)expected);
    }
    free(codes);
    free(v);
}

static void test_check(void **state) {
    (void)state;
    weft_error err;
    ternary_matrix w = random_matrix(3, 200);
    uint8_t *codes = (uint8_t *)(uintptr_t)w.codes;
    assert_int_equal(repack_check(&w, "w", &err), WEFT_OK);
    w.scale = 0;
    assert_int_equal(repack_check(&w, "w", &err), WEFT_OK);
    codes[2 * 64 + 5] |= 0xc0;
    assert_int_equal(repack_check(&w, "w", &err), WEFT_ERR_FORMAT);
    assert_string_equal(err.message,
                        "'w' holds the code 3 at row 2, column 5; the file is damaged");
    codes[2 * 64 + 5] = TERNARY_ZERO_BYTE;
    codes[64 + 32] |= 3; /* row 1, column 128 + 96 */
    assert_int_equal(repack_check(&w, "w", &err), WEFT_ERR_FORMAT);
    assert_string_equal(err.message, "'w' holds the code 3 behind row 1");
    codes[64 + 32] &= 0xfc; /* now -1 */
    assert_int_equal(repack_check(&w, "w", &err), WEFT_ERR_FORMAT);
    assert_string_equal(err.message, "'w' is not padded with zeros in row 1");
    free(codes);
}

static void test_encode_refusals(void **state) {
    (void)state;
    weft_error err;
    uint8_t out[1200];
    ternary_matrix w = random_matrix(1, 128), odd = random_matrix(1, 100);
    assert_int_equal(repack_encode(&w, TENSOR_TQ1_0, out, &err), WEFT_ERR_UNSUPPORTED);
    assert_string_equal(err.message, "rows of 128 values do not fit TQ1_0; use I2_S");
    assert_int_equal(repack_encode(&odd, TENSOR_I2_S, out, &err), WEFT_ERR_UNSUPPORTED);
    assert_string_equal(err.message, "rows of 100 values do not fit I2_S; use F16");
    assert_int_equal(repack_encode(&w, TENSOR_Q8_0, out, &err), WEFT_ERR_UNSUPPORTED);
    assert_string_equal(err.message, "ternary weights cannot be written as Q8_0");
    w.scale = 1e-9f;
    assert_int_equal(repack_encode(&w, TENSOR_F16, out, &err), WEFT_ERR_UNSUPPORTED);
    assert_string_equal(err.message, "the scale 1e-09 does not fit F16; use BF16 or F32");
    assert_int_equal(repack_encode(&w, TENSOR_BF16, out, &err), WEFT_OK);
    free((void *)(uintptr_t)w.codes);
    free((void *)(uintptr_t)odd.codes);
}

static void test_q8_0(void **state) {
    (void)state;
    uint8_t block[2][34];
    float out[64];
    for (int b = 0; b < 2; b++) {
        uint16_t d = f16_from_f32(0.5f);
        memcpy(block[b], &d, 2);
        for (int i = 0; i < 32; i++) block[b][2 + i] = (uint8_t)(8 * i - 128 + b);
    }
    tensor_view t = matrix_view(TENSOR_Q8_0, 1, 64, block);
    assert_int_equal(repack_to_f32(&t, 0, 64, out, NULL), WEFT_OK);
    for (int i = 0; i < 64; i++) assert_true(out[i] == 0.5f * (float)(8 * (i % 32) - 128 + i / 32));
    float part[3] = {0, 0, 7};
    assert_int_equal(repack_to_f32(&t, 32, 2, part, NULL), WEFT_OK);
    assert_true(part[0] == -63.5f && part[1] == -59.5f && part[2] == 7);
}

static void test_q4_0(void **state) {
    (void)state;
    uint8_t block[18];
    uint16_t d = f16_from_f32(-2);
    memcpy(block, &d, 2);
    for (int i = 0; i < 16; i++) block[2 + i] = (uint8_t)(i | (15 - i) << 4);
    float out[32];
    tensor_view t = matrix_view(TENSOR_Q4_0, 1, 32, block);
    assert_int_equal(repack_to_f32(&t, 0, 32, out, NULL), WEFT_OK);
    for (int i = 0; i < 32; i++) assert_true(out[i] == -2.0f * (float)((i < 16 ? i : 31 - i) - 8));
}

/* Encode with the six-bit layout written the other way round: by value, into the bytes. */
static void test_q6_k(void **state) {
    (void)state;
    uint8_t block[210] = {0};
    float expected[256], out[256];
    for (int i = 0; i < 256; i++) {
        int q = (int)rng_below(6, (uint64_t)i, 64), half = i / 128, j = i % 128, lane = j % 32;
        int8_t scale = (int8_t)(i / 16 * 7 - 50);
        block[192 + i / 16] = (uint8_t)scale;
        int low_byte = 64 * half + (j % 64);
        block[low_byte] |= (uint8_t)((q & 15) << (j < 64 ? 0 : 4));
        block[128 + 32 * half + lane] |= (uint8_t)(q >> 4 << j / 32 * 2);
        expected[i] = 0.25f * (float)scale * (float)(q - 32);
    }
    uint16_t d = f16_from_f32(0.25f);
    memcpy(block + 208, &d, 2);
    tensor_view t = matrix_view(TENSOR_Q6_K, 1, 256, block);
    assert_int_equal(repack_to_f32(&t, 0, 256, out, NULL), WEFT_OK);
    for (int i = 0; i < 256; i++) assert_true(out[i] == expected[i]);
}

static void test_to_f32_limits(void **state) {
    (void)state;
    weft_error err;
    double v[4] = {1, -2.5, 1e-3, INFINITY};
    float out[4];
    tensor_view t = matrix_view(TENSOR_F64, 2, 2, v);
    assert_int_equal(repack_to_f32(&t, 1, 2, out, &err), WEFT_OK);
    assert_true(out[0] == -2.5f && out[1] == 1e-3f);
    assert_int_equal(repack_find_nonfinite(&t), 3);
    assert_int_equal(repack_to_f32(&t, 3, 2, out, &err), WEFT_ERR_ARGUMENT);
    assert_string_equal(err.message, "'w' has no values 3 to 4");
    assert_int_equal(repack_to_f32(&t, -1, 1, out, &err), WEFT_ERR_ARGUMENT);
    uint8_t block[34] = {0};
    t = matrix_view(TENSOR_Q8_0, 1, 32, block);
    assert_int_equal(repack_to_f32(&t, 1, 1, out, &err), WEFT_ERR_ARGUMENT);
    t = matrix_view(TENSOR_I64, 2, 2, v);
    assert_int_equal(repack_to_f32(&t, 0, 1, out, &err), WEFT_ERR_UNSUPPORTED);
    assert_string_equal(err.message, "'w' has type I64, which is no kind of float");
    assert_int_equal(repack_find_nonfinite(&t), -1);
}

static void test_nonfinite_16_bit(void **state) {
    (void)state;
    uint16_t v[5] = {0, 0x3c00, 0x7bff, 0x7c00, 0xfe00};
    tensor_view t = matrix_view(TENSOR_F16, 1, 5, v);
    assert_int_equal(repack_find_nonfinite(&t), 3);
    v[3] = 0;
    assert_int_equal(repack_find_nonfinite(&t), 4);
    t.type = TENSOR_BF16;
    assert_int_equal(repack_find_nonfinite(&t), -1);
    v[2] = 0xff80;
    assert_int_equal(repack_find_nonfinite(&t), 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_tq1_every_byte),
        cmocka_unit_test(test_tq_index_maps),
        cmocka_unit_test(test_i2s_odd_rows),
        cmocka_unit_test(test_bad_scales),
        cmocka_unit_test(test_tq_scales_differ),
        cmocka_unit_test(test_floats),
        cmocka_unit_test(test_hf_packed),
        cmocka_unit_test(test_quantise),
        cmocka_unit_test(test_quantise_large),
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_encode_refusals),
        cmocka_unit_test(test_q8_0),
        cmocka_unit_test(test_q4_0),
        cmocka_unit_test(test_q6_k),
        cmocka_unit_test(test_to_f32_limits),
        cmocka_unit_test(test_nonfinite_16_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
