/* What the backend refuses, with the code and the message of the first failure, and that it can be
 * used again afterwards; its name, its accounting, its copies. */
#include "backend_fixture.h"

/* Under AddressSanitizer an allocation that is too big returns NULL too, instead of aborting. */
__attribute__((visibility("default"))) const char *__asan_default_options(void);
const char *__asan_default_options(void) {
    return "allocator_may_return_null=1";
}

static void expect_error(const weft_error *err, int code, weft_status want, const char *part) {
    assert_int_equal(code, want);
    assert_int_equal(err->code, want);
    if (!strstr(err->message, part)) fail_msg("\"%s\" does not say \"%s\"", err->message, part);
}

/* Submit, require this failure, and open the next recording. */
static void expect_failure(rig *r, weft_status want, const char *part) {
    weft_error err = {0};
    int code = backend_submit(r->be, &err);
    expect_error(&err, code, want, part);
    backend_begin(r->be);
}

static void test_extents(void **state) {
    (void)state;
    rig r = rig_open(1, 0);
    view x = rig_floats(&r, NULL, 8), y = rig_floats(&r, NULL, 8), none = {NULL, 0};
    view odd = {x.buf, 2}, past = {x.buf, 4096};
    backend_begin(r.be);
    op_add(r.be, x, none, 8, y);
    expect_failure(&r, WEFT_ERR_ARGUMENT, "op_add: b has no buffer");
    op_add(r.be, odd, y, 4, y);
    expect_failure(&r, WEFT_ERR_ARGUMENT, "op_add: a is at byte 2, which is not a multiple of 4");
    op_add(r.be, x, x, 9, y);
    expect_failure(&r, WEFT_ERR_ARGUMENT,
                   "op_add: a needs 36 bytes at byte 12, past the end of its buffer of 44");
    op_add(r.be, x, x, 8, past);
    expect_failure(&r, WEFT_ERR_ARGUMENT, "op_add: out needs 32 bytes at byte 4096");
    op_add(r.be, x, x, 0, y);
    expect_failure(&r, WEFT_ERR_ARGUMENT, "op_add: a size of a is zero or negative");
    op_rmsnorm(r.be, x, x, -1, 8, 1e-5f, y);
    expect_failure(&r, WEFT_ERR_ARGUMENT, "op_rmsnorm: a size of x is zero or negative");
    op_lora_down(r.be, x, y, 1, 8, 0, y);
    expect_failure(&r, WEFT_ERR_ARGUMENT, "op_lora_down: a size of a is zero or negative");
    op_rmsnorm(r.be, x, x, INT64_MAX, INT64_MAX, 1e-5f, y);
    expect_failure(&r, WEFT_ERR_ARGUMENT, "op_rmsnorm: the size of x overflows");
    op_quantise(r.be, x, 1, 8, y);
    expect_failure(&r, WEFT_ERR_ARGUMENT, "op_quantise: q8 needs 136 bytes");
    backend_write(r.be, x, "12345678", 40);
    expect_failure(&r, WEFT_ERR_ARGUMENT, "backend_write: to needs 40 bytes");
    rig other = rig_open(1, 0);
    op_fill_zero(r.be, rig_floats(&other, NULL, 8), 4);
    expect_failure(&r, WEFT_ERR_ARGUMENT, "op_fill_zero: to lies in a buffer of another backend");
    rig_close(&other);
    op_add(r.be, x, y, 8, y);
    assert_int_equal(backend_submit(r.be, NULL), WEFT_OK);
    rig_close(&r);
}

static void test_overlaps(void **state) {
    (void)state;
    rig r = rig_open(1, 0);
    view x = rig_floats(&r, NULL, 16), y = rig_floats(&r, NULL, 16), z = rig_floats(&r, NULL, 16);
    backend_begin(r.be);
    op_copy(r.be, x, view_floats(x, 3), 16);
    expect_failure(&r, WEFT_ERR_ARGUMENT, "op_copy: to is written and overlaps from");
    op_add(r.be, x, y, 8, view_floats(x, 1));
    expect_failure(&r, WEFT_ERR_ARGUMENT, "op_add: out is written and overlaps a");
    op_rmsnorm_backward(r.be, x, z, y, 1, 8, 1e-5f, y, true);
    expect_failure(&r, WEFT_ERR_ARGUMENT, "op_rmsnorm_backward: dx is written and overlaps dy");
    op_glu_backward(r.be, ACTIVATION_SILU, x, y, z, 8, y, view_floats(x, 8));
    expect_failure(&r, WEFT_ERR_ARGUMENT, "op_glu_backward: dgate is written and overlaps up");
    op_copy(r.be, x, view_floats(x, 4), 16);
    op_add(r.be, x, y, 8, x);
    op_rmsnorm(r.be, x, y, 1, 8, 1e-5f, x);
    assert_int_equal(backend_submit(r.be, NULL), WEFT_OK);
    rig_close(&r);
}

static void test_parameters(void **state) {
    (void)state;
    rig r = rig_open(1, 0);
    view x = rig_floats(&r, NULL, 32), y = rig_floats(&r, NULL, 32), z = rig_floats(&r, NULL, 32);
    view w = rig_floats(&r, NULL, 32), at = rig_ints(&r, NULL, 4);
    attention_args args = {
        x, y, z, at, at, w, .tokens = 2, .keys = 1, .heads = 3, .kv_heads = 2, .head_dim = 4};
    backend_begin(r.be);
    op_dropout(r.be, x, 8, 1, 0, y, false);
    expect_failure(&r, WEFT_ERR_ARGUMENT, "op_dropout: the probability is not in [0, 1)");
    op_dropout(r.be, x, 8, NAN, 0, y, false);
    expect_failure(&r, WEFT_ERR_ARGUMENT, "op_dropout: the probability is not in [0, 1)");
    op_glu(r.be, (activation)7, x, y, 8, z);
    expect_failure(&r, WEFT_ERR_ARGUMENT, "op_glu: the activation is unknown");
    op_rope(r.be, x, at, y, 2, 2, 3, false, false);
    expect_failure(&r, WEFT_ERR_ARGUMENT, "op_rope: head_dim is odd");
    op_attention(r.be, &args);
    expect_failure(&r, WEFT_ERR_ARGUMENT, "op_attention: heads is not a multiple of kv_heads");
    args.heads = 4;
    args.head_dim = 2;
    op_attention_backward(r.be, &args, rig_floats(&r, NULL, 16), rig_floats(&r, NULL, 16),
                          rig_floats(&r, NULL, 8), rig_floats(&r, NULL, 8));
    expect_failure(&r, WEFT_ERR_ARGUMENT, "op_attention_backward: keys and tokens differ");
    op_ternary_matmul(r.be, NULL, x, 1, y);
    expect_failure(&r, WEFT_ERR_ARGUMENT, "op_ternary_matmul: the weight is missing");
    op_ternary_matmul_lora(r.be, NULL, x, 1, NULL, &(lora_term){x, x, 1, 1}, y);
    expect_failure(&r, WEFT_ERR_ARGUMENT, "op_ternary_matmul_lora: the weight is missing");
    assert_int_equal(backend_submit(r.be, NULL), WEFT_OK);
    rig_close(&r);
}

static view one_int(rig *r, int32_t value) {
    return rig_ints(r, &value, 1);
}

static void test_indices(void **state) {
    (void)state;
    rig r = rig_open(2, 0);
    dense_matrix m = rig_dense(&r, 10, 4);
    dense_weight *w;
    assert_int_equal(dense_weight_create(r.be, &m, &w, NULL), WEFT_OK);
    view x = rig_floats(&r, NULL, 12), y = rig_floats(&r, NULL, 12), loss = rig_floats(&r, NULL, 1);
    view scratch = rig_bytes(&r, NULL, head_loss_scratch_bytes(r.be, w));
    backend_begin(r.be);
    op_embed(r.be, w, one_int(&r, 10), 1, x);
    expect_failure(&r, WEFT_ERR_RANGE, "op_embed: id 10 at 0 is not in 0 .. 9");
    op_embed(r.be, w, one_int(&r, -1), 1, x);
    expect_failure(&r, WEFT_ERR_RANGE, "op_embed: id -1 at 0 is not in 0 .. 9");
    op_head_loss(r.be, w, x, one_int(&r, 11), 1, 1, PRECISION_FULL, loss, y, scratch);
    expect_failure(&r, WEFT_ERR_RANGE, "op_head_loss: target 11 of token 0 is not in 0 .. 9");
    op_gather(r.be, x, 3, one_int(&r, 3), 1, 4, y);
    expect_failure(&r, WEFT_ERR_RANGE, "op_gather: row 3 at 0 is not in 0 .. 2");
    op_scatter(r.be, x, one_int(&r, 3), 1, 4, y, 3);
    expect_failure(&r, WEFT_ERR_RANGE, "op_scatter: row 3 at 0 is not in 0 .. 2");
    op_rope(r.be, x, one_int(&r, 6), y, 1, 2, 2, false, false);
    expect_failure(&r, WEFT_ERR_RANGE, "op_rope: position 6 of token 0 is not in 0 .. 5");
    op_embed(r.be, w, one_int(&r, 9), 1, x);
    op_gather(r.be, x, 3, one_int(&r, 2), 1, 4, y);
    op_rope(r.be, x, one_int(&r, 5), y, 1, 2, 2, false, false);
    assert_int_equal(backend_submit(r.be, NULL), WEFT_OK);
    dense_weight_free(r.be, &w);
    rig_close(&r);
}

static void attend(rig *r, bool backward, int32_t first, int32_t last, view *v) {
    int32_t firsts[3] = {0, 1, first}, lasts[3] = {0, 1, last};
    attention_args args = {
        v[0],        v[1],      v[2],       rig_ints(r, firsts, 3), rig_ints(r, lasts, 3), v[3],
        .tokens = 3, .keys = 3, .heads = 1, .kv_heads = 1,          .head_dim = 4};
    if (backward)
        op_attention_backward(r->be, &args, v[3], v[4], v[5], v[6]);
    else
        op_attention(r->be, &args);
}

static void test_key_ranges(void **state) {
    (void)state;
    rig r = rig_open(2, 0);
    view v[7];
    for (int i = 0; i < 7; i++) v[i] = rig_floats(&r, NULL, 12);
    backend_begin(r.be);
    attend(&r, false, -1, 2, v);
    expect_failure(&r, WEFT_ERR_RANGE, "op_attention: token 2 sees the keys -1 .. 2 of 3");
    attend(&r, false, 2, 3, v);
    expect_failure(&r, WEFT_ERR_RANGE, "op_attention: token 2 sees the keys 2 .. 3 of 3");
    attend(&r, false, 2, 1, v);
    expect_failure(&r, WEFT_ERR_RANGE, "op_attention: token 2 sees the keys 2 .. 1 of 3");
    attend(&r, true, 0, 2, v);
    expect_failure(
        &r, WEFT_ERR_RANGE,
        "op_attention_backward: token 2 sees the keys 0 .. 2, but its document begins at 1");
    attend(&r, true, 1, 1, v);
    expect_failure(&r, WEFT_ERR_RANGE, "op_attention_backward: token 2 sees the keys 1 .. 1");
    attend(&r, true, 3, 2, v);
    expect_failure(&r, WEFT_ERR_RANGE, "op_attention_backward: token 2 sees the keys 3 .. 2");
    attend(&r, false, 0, 2, v);
    attend(&r, true, 1, 2, v);
    assert_int_equal(backend_submit(r.be, NULL), WEFT_OK);
    rig_close(&r);
}

static void test_order_of_calls(void **state) {
    (void)state;
    rig r = rig_open(1, 0);
    float one = 1, got = 7;
    view x = rig_floats(&r, &one, 1), y = rig_floats(&r, NULL, 1);
    weft_error err = {0};
    expect_error(&err, backend_submit(r.be, &err), WEFT_ERR_STATE, "called without backend_begin");
    op_add(r.be, x, x, 1, y);
    expect_error(&err, backend_read(r.be, y, &got, 4, &err), WEFT_ERR_STATE,
                 "op_add: called outside backend_begin and backend_submit");
    assert_true(got == 7);
    assert_int_equal(backend_read(r.be, y, &got, 4, &err), WEFT_OK);
    assert_true(got == 0);
    backend_begin(r.be);
    backend_begin(r.be);
    expect_failure(&r, WEFT_ERR_STATE, "backend_begin: called again before backend_submit");

    /* The first failure counts; what follows it does nothing, reads included. */
    op_add(r.be, x, x, 2, y);
    op_dropout(r.be, x, 1, 2, 0, y, false);
    op_add(r.be, x, x, 1, y);
    backend_write(r.be, y, &one, 4);
    got = 7;
    expect_error(&err, backend_read(r.be, y, &got, 4, &err), WEFT_ERR_ARGUMENT,
                 "op_add: a needs 8");
    assert_true(got == 7);
    expect_failure(&r, WEFT_ERR_ARGUMENT, "op_add: a needs 8 bytes");
    assert_int_equal(backend_read(r.be, y, &got, 4, &err), WEFT_OK);
    assert_true(got == 0);
    op_add(r.be, x, x, 1, y);
    assert_int_equal(backend_read(r.be, y, &got, 4, &err), WEFT_OK);
    assert_true(got == 2);
    expect_error(&err, backend_read(r.be, y, &got, 8, &err), WEFT_ERR_ARGUMENT,
                 "backend_read: from needs 8 bytes");
    expect_failure(&r, WEFT_ERR_ARGUMENT, "backend_read: from needs 8 bytes");
    backend_write(r.be, y, NULL, 0);
    assert_int_equal(backend_submit(r.be, &err), WEFT_OK);
    rig_close(&r);
}

static void test_accounting(void **state) {
    (void)state;
    rig r = rig_open(2, 0);
    weft_error err = {0};
    buffer *a, *b, *none = NULL;
    assert_int_equal(backend_bytes(r.be), 0);
    assert_int_equal(buffer_create(r.be, 1000, &a, NULL), WEFT_OK);
    assert_int_equal(buffer_create(r.be, 24, &b, NULL), WEFT_OK);
    assert_int_equal(backend_bytes(r.be), 1024);
    assert_int_equal(buffer_bytes(a), 1000);
    buffer *broken = a;
    expect_error(&err, buffer_create(r.be, 0, &broken, &err), WEFT_ERR_ARGUMENT,
                 "a buffer of 0 bytes cannot be created");
    assert_null(broken);
    expect_error(&err, buffer_create(r.be, (size_t)1 << 60, &broken, &err), WEFT_ERR_MEMORY,
                 "out of memory for a buffer of 1152921504606846976 bytes (1024 are in use)");
    assert_int_equal(backend_bytes(r.be), 1024);
    backend_begin(r.be);
    op_sum_squares(r.be, view_of(a), 200, view_of(b));
    assert_int_equal(backend_submit(r.be, NULL), WEFT_OK);
    assert_true(backend_bytes(r.be) > 1024); /* the partial sums */
    uint64_t scratch = backend_bytes(r.be) - 1024;
    buffer_free(r.be, &a);
    assert_null(a);
    buffer_free(r.be, &b);
    buffer_free(r.be, &none);
    assert_int_equal(backend_bytes(r.be), scratch);
    rig_close(&r);
}

static void test_weights(void **state) {
    (void)state;
    rig r = rig_open(1, 0);
    weft_error err = {0};
    ternary_matrix t = rig_ternary(&r, 3, 5, 1);
    ternary_weight *tw = NULL;
    t.scale = INFINITY;
    expect_error(&err, ternary_weight_create(r.be, &t, &tw, &err), WEFT_ERR_NUMERIC,
                 "scale is not a finite number");
    t.scale = 1;
    t.rows = 0;
    expect_error(&err, ternary_weight_create(r.be, &t, &tw, &err), WEFT_ERR_ARGUMENT,
                 "a ternary weight of 0 x 5 cannot be used");
    ternary_weight_free(r.be, &tw);
    dense_matrix d = rig_dense(&r, 3, 40);
    dense_weight *dw = NULL;
    d.type = DENSE_Q8_0;
    expect_error(&err, dense_weight_create(r.be, &d, &dw, &err), WEFT_ERR_ARGUMENT,
                 "3 x 40 in rows of 160 bytes cannot be used");
    d.type = DENSE_F32;
    d.row_bytes = 159;
    expect_error(&err, dense_weight_create(r.be, &d, &dw, &err), WEFT_ERR_ARGUMENT, "159 bytes");
    dense_weight_free(r.be, &dw);
    rig_close(&r);
}

static void test_creation(void **state) {
    (void)state;
    weft_error err = {0};
    backend *be = NULL;
    backend_options options = {-1, UINT32_MAX};
    expect_error(&err, backend_create_cpu(&options, &be, &err), WEFT_ERR_ARGUMENT, "-1 threads");
    assert_null(be);
    options = (backend_options){1, 0};
    assert_int_equal(backend_create_cpu(&options, &be, &err), WEFT_OK);
    assert_string_equal(backend_name(be), "cpu (scalar, 1 thread)");
    backend_free(&be);
    assert_null(be);
    backend_free(&be);
    options = (backend_options){3, UINT32_MAX};
    assert_int_equal(backend_create_cpu(&options, &be, &err), WEFT_OK);
    kernels k;
    kernels_init(&k, UINT32_MAX);
    char name[64];
    snprintf(name, sizeof name, "cpu (%s, 3 threads)", k.name);
    assert_string_equal(backend_name(be), name);
    backend_free(&be);
    assert_int_equal(backend_create_cpu(NULL, &be, &err), WEFT_OK);
    backend_free(&be);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_extents),    cmocka_unit_test(test_overlaps),
        cmocka_unit_test(test_parameters), cmocka_unit_test(test_indices),
        cmocka_unit_test(test_key_ranges), cmocka_unit_test(test_order_of_calls),
        cmocka_unit_test(test_accounting), cmocka_unit_test(test_weights),
        cmocka_unit_test(test_creation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
