/* The Vulkan backend's own parts, with validation, on whatever driver VK_DRIVER_FILES names:
 * memory, copies, the order of commands, segments that are replayed, limits, and everything that
 * fails. */
#include "backend/vk_core.h"

#include "base/os.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PROBE_LOCAL 64

static const vk_options plain = {.device = -1, .tier_max = VK_TIER_BEST, .validate = true};
static const vk_options staged = {
    .device = -1, .tier_max = VK_TIER_BEST, .validate = true, .staged = true};

static void expect_ok(int rc, const weft_error *err) {
    if (rc) print_message("%s\n", err->message);
    assert_int_equal(rc, WEFT_OK);
}

static void expect_error(int rc, const weft_error *err, int code, const char *text) {
    assert_int_equal(rc, code);
    if (!strstr(err->message, text)) print_message("%s\n", err->message);
    assert_non_null(strstr(err->message, text));
}

static backend *open_with(const vk_options *options) {
    backend *be;
    weft_error err;
    expect_ok(backend_create_vk(options, &be, &err), &err);
    return be;
}

static buffer *make(backend *be, size_t bytes) {
    buffer *b;
    weft_error err;
    expect_ok(buffer_create(be, bytes, &b, &err), &err);
    return b;
}

static void submit(backend *be) {
    weft_error err;
    expect_ok(backend_submit(be, &err), &err);
}

static void read_all(backend *be, view from, void *data, size_t bytes) {
    weft_error err;
    expect_ok(backend_read(be, from, data, bytes, &err), &err);
}

/* y = factor y + x + extra, with y's access as told. */
static void probe_as(backend *be, view x, view y, uint32_t count, uint32_t factor, uint32_t extra,
                     vk_access access) {
    const uint32_t push[] = {count, factor};
    vk_dispatch d = {.op = "op_probe",
                     .shader = VK_SHADER_probe,
                     .constants = {extra},
                     .constant_count = 1,
                     .bindings = {{x, 4 * (size_t)count, VK_READ}, {y, 4 * (size_t)count, access}},
                     .binding_count = 2,
                     .push = push,
                     .push_bytes = sizeof push,
                     .operations = count,
                     .bytes = 12.0 * count};
    vk_groups(vk_of(be), (count + PROBE_LOCAL - 1) / PROBE_LOCAL, d.groups);
    vk_run(vk_of(be), &d);
}

static void probe(backend *be, view x, view y, uint32_t count, uint32_t factor, uint32_t extra) {
    probe_as(be, x, y, count, factor, extra, VK_READ_WRITE);
}

/* ---- memory and copies ---- */

static void fill_pattern(uint8_t *data, size_t bytes, unsigned seed) {
    for (size_t i = 0; i < bytes; i++) data[i] = (uint8_t)(i * 31 + (i >> 8) + seed);
}

static void check_sizes(const vk_options *options) {
    static const size_t sizes[] = {1,   3,       4,       5,       255,     256,
                                   257, 1 << 16, 4194303, 4194304, 4194305, 9999999};
    backend *be = open_with(options);
    size_t most = 9999999 + 64;
    uint8_t *in = malloc(most), *out = malloc(most);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        buffer *b = make(be, sizes[i] + 64);
        memset(out, 0xee, most);
        read_all(be, view_of(b), out, sizes[i] + 64);
        for (size_t j = 0; j < sizes[i] + 64; j++) assert_int_equal(out[j], 0);
        fill_pattern(in, sizes[i], (unsigned)i);
        backend_write(be, (view){b, 32}, in, sizes[i]);
        read_all(be, (view){b, 32}, out, sizes[i]);
        assert_memory_equal(in, out, sizes[i]);
        read_all(be, view_of(b), out, sizes[i] + 64);
        for (size_t j = 0; j < 32; j++) assert_int_equal(out[j] | out[sizes[i] + 32 + j], 0);
        buffer_free(be, &b);
    }
    free(in);
    free(out);
    assert_int_equal(backend_bytes(be), 0);
    backend_free(&be);
}

static void test_sizes(void **state) {
    (void)state;
    check_sizes(&plain);
    check_sizes(&staged);
}

/* Writes and copies take effect in the order of the calls, in one recording. */
static void check_order(const vk_options *options) {
    backend *be = open_with(options);
    enum { BYTES = 3000000 };
    uint8_t *first = malloc(BYTES), *second = malloc(BYTES), *out = malloc(BYTES);
    fill_pattern(first, BYTES, 1);
    fill_pattern(second, BYTES, 2);
    buffer *a = make(be, BYTES), *b = make(be, BYTES), *c = make(be, BYTES);
    for (int turn = 0; turn < 3; turn++) {
        backend_begin(be);
        backend_write(be, view_of(a), first, BYTES);
        op_copy(be, view_of(a), view_of(b), BYTES);
        backend_write(be, view_of(a), second, BYTES);
        op_copy(be, view_of(a), view_of(c), BYTES);
        op_fill_zero(be, (view){c, 8}, 7);
        read_all(be, view_of(b), out, BYTES);
        assert_memory_equal(out, first, BYTES);
        op_fill_zero(be, view_of(a), BYTES);
        submit(be);
        read_all(be, view_of(c), out, BYTES);
        for (int i = 8; i < 15; i++) assert_int_equal(out[i], 0);
        memcpy(out + 8, second + 8, 7);
        assert_memory_equal(out, second, BYTES);
        read_all(be, view_of(a), out, BYTES);
        for (int i = 0; i < BYTES; i++) assert_int_equal(out[i], 0);
    }
    buffer_free(be, &a);
    buffer_free(be, &b);
    buffer_free(be, &c);
    backend_free(&be);
    free(first);
    free(second);
    free(out);
}

static void test_order_of_writes(void **state) {
    (void)state;
    check_order(&plain);
    check_order(&staged);
}

static void test_weights(void **state) {
    (void)state;
    backend *be = open_with(&staged);
    enum { ROWS = 300, COLS = 20000 };
    size_t tight = ternary_row_bytes_of(TERNARY_TIGHT, COLS), fast = ternary_row_bytes(COLS);
    uint8_t *codes = malloc(ROWS * tight), *out = malloc(ROWS * fast);
    for (size_t i = 0; i < ROWS * tight; i++) codes[i] = (uint8_t)(i * 7 % 243);
    ternary_matrix matrix = {codes, ROWS, COLS, 1, TERNARY_TIGHT};
    ternary_weight *w;
    weft_error err;
    expect_ok(ternary_weight_create(be, &matrix, &w, &err), &err);
    const vk_weight *weight = w->memory;
    assert_int_equal(weight->row_bytes, fast);
    read_all(be, view_of(weight->buf), out, ROWS * fast);
    ternary_matrix unpacked = {out, ROWS, COLS, 1, TERNARY_FAST};
    for (int64_t row = 0; row < ROWS; row += 13)
        for (int64_t col = 0; col < COLS; col++)
            if (ternary_get(&matrix, row, col) != ternary_get(&unpacked, row, col))
                fail_msg("row %d, col %d", (int)row, (int)col);
    ternary_weight_free(be, &w);
    dense_matrix dense = {codes, DENSE_F16, 1000, 7, 15};
    dense_weight *d;
    expect_ok(dense_weight_create(be, &dense, &d, &err), &err);
    weight = d->memory;
    assert_int_equal(weight->row_bytes, 16);
    read_all(be, view_of(weight->buf), out, 16000);
    for (size_t row = 0; row < 1000; row++) {
        assert_memory_equal(out + 16 * row, codes + 15 * row, 15);
        assert_int_equal(out[16 * row + 15], 0);
    }
    dense_weight_free(be, &d);
    free(codes);
    free(out);
    backend_free(&be);
}

/* ---- dispatches ---- */

/* A chain in which each needs the one before it, longer than some segments, and its own data; then
 * the same again with other data: the same segments are used. */
static void check_replay(const vk_options *options) {
    enum { N = 1000, CHAIN = 700 };
    backend *be = open_with(options);
    uint32_t x[N], y[N];
    buffer *bx = make(be, sizeof x), *by = make(be, sizeof y), *bz = make(be, sizeof y);
    size_t segments = 0;
    for (uint32_t turn = 0; turn < 4; turn++) {
        for (uint32_t i = 0; i < N; i++) x[i] = i * i + turn;
        backend_begin(be);
        backend_write(be, view_of(bx), x, sizeof x);
        op_fill_zero(be, view_of(by), sizeof y);
        for (uint32_t step = 0; step < CHAIN; step++) {
            probe(be, view_of(bx), view_of(by), N, step | 1, 7);
            probe(be, view_of(by), view_of(bz), N, 0, 1);
        }
        submit(be);
        read_all(be, view_of(bz), y, sizeof y);
        for (uint32_t i = 0; i < N; i++) {
            uint32_t expected = 0;
            for (uint32_t step = 0; step < CHAIN; step++)
                expected = expected * (step | 1) + x[i] + 7;
            assert_int_equal(y[i], expected + 1);
        }
        if (turn == 1) segments = vk_of(be)->segments.count;
        if (turn > 1) assert_int_equal(vk_of(be)->segments.count, segments);
    }
    assert_true(segments >= 2 * CHAIN / VK_SEGMENT_COMMANDS);
    buffer_free(be, &bx);
    buffer_free(be, &by);
    buffer_free(be, &bz);
    assert_int_equal(vk_of(be)->segments.count, 0);
    backend_free(&be);
}

static void test_replay(void **state) {
    (void)state;
    check_replay(&plain);
    check_replay(&staged);
}

/* Windows that begin anywhere, and neighbours that share an aligned window. */
static void test_offsets(void **state) {
    (void)state;
    backend *be = open_with(&plain);
    enum { N = 4096, PART = 100 };
    uint32_t x[N], y[N];
    for (uint32_t i = 0; i < N; i++) x[i] = i;
    buffer *bx = make(be, sizeof x), *by = make(be, sizeof y);
    backend_write(be, view_of(bx), x, sizeof x);
    backend_begin(be);
    for (uint32_t at = 0; at + PART <= N; at += PART)
        probe(be, view_floats(view_of(bx), N - PART - at), view_floats(view_of(by), at), PART, 1,
              at);
    submit(be);
    read_all(be, view_of(by), y, sizeof y);
    for (uint32_t i = 0; i < N / PART * PART; i++) {
        uint32_t at = i / PART * PART;
        assert_int_equal(y[i], N - PART - at + i % PART + at);
    }
    buffer_free(be, &bx);
    buffer_free(be, &by);
    backend_free(&be);
}

static void test_windows(void **state) {
    (void)state;
    vk_options options = plain;
    weft_error err;
    backend *be;
    options.max_buffer = 1000;
    expect_error(backend_create_vk(&options, &be, &err), &err, WEFT_ERR_ARGUMENT, "at least 1M");
    options.max_buffer = 1 << 20;
    be = open_with(&options);
    vk_backend *vk = vk_of(be);
    assert_int_equal(vk_limits_of(vk)->window_bytes, 1 << 20);
    int64_t rows = vk_window_rows(vk, "op_probe", 1000, 1 << 20);
    assert_in_range(rows, ((1 << 20) - 256) / 1000, (1 << 20) / 1000);
    assert_int_equal(vk_window_rows(vk, "op_probe", 1000, 3), 3);
    assert_int_equal(vk_window_rows(vk, "op_probe", 2 << 20, 3), 0);
    expect_error(backend_read(be, (view){0}, NULL, 0, &err), &err, WEFT_ERR_UNSUPPORTED,
                 "op_probe: a row of 2097152 bytes does not fit");
    buffer *b = make(be, 4 << 20);
    backend_begin(be);
    probe(be, view_of(b), view_of(b), 300000, 1, 0);
    expect_error(backend_submit(be, &err), &err, WEFT_ERR_ARGUMENT,
                 "op_probe: a binding is larger than the window (probe)");
    backend_begin(be);
    probe(be, view_of(b), (view){b, 2 << 20}, (1 << 20) / 4, 1, 0);
    submit(be);
    buffer_free(be, &b);
    backend_free(&be);
}

static void test_groups(void **state) {
    (void)state;
    backend *be = open_with(&plain);
    vk_backend *vk = vk_of(be);
    uint32_t groups[3], most = vk_limits_of(vk)->groups_max;
    const uint64_t counts[] = {1, 7, 65535, 65536, 1000000, 123456789};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        vk_groups(vk, counts[i], groups);
        assert_true(groups[0] <= most && groups[1] <= 65535 && groups[2] == 1);
        assert_true((uint64_t)groups[0] * groups[1] >= counts[i]);
    }
    vk_groups(vk, 0, groups);
    assert_int_equal(groups[0] * groups[1], 0);
    backend_free(&be);
}

static void test_scratch(void **state) {
    (void)state;
    backend *be = open_with(&plain);
    vk_backend *vk = vk_of(be);
    view small, same, large;
    assert_true(vk_scratch(vk, "op_probe", VK_SCRATCH_PARTIAL, 1000, &small));
    assert_true(vk_scratch(vk, "op_probe", VK_SCRATCH_PARTIAL, 900, &same));
    assert_ptr_equal(small.buf, same.buf);
    backend_begin(be);
    probe(be, small, small, 10, 0, 5);
    assert_true(vk_scratch(vk, "op_probe", VK_SCRATCH_PARTIAL, 5000, &large));
    probe(be, large, large, 1250, 0, 5);
    submit(be);
    assert_int_equal(backend_bytes(be), 5000);
    backend_free(&be);
}

static void test_profile(void **state) {
    (void)state;
    vk_options options = plain;
    options.profile = true;
    backend *be = open_with(&options);
    buffer *b = make(be, 4000), *c = make(be, 4000);
    vk_profile_clear(be);
    for (int turn = 0; turn < 2; turn++) {
        backend_begin(be);
        for (int i = 0; i < 100; i++) probe(be, view_of(b), view_of(c), 1000, 1, 1);
        submit(be);
    }
    int count;
    const vk_profile_entry *e = vk_profile_read(be, &count);
    assert_int_equal(count, 1);
    assert_string_equal(e->op, "op_probe");
    assert_string_equal(e->shader, "probe");
    assert_int_equal(e->calls, 200);
    assert_true(e->operations == 200000 && e->bytes == 2400000);
    buffer_free(be, &b);
    buffer_free(be, &c);
    backend_free(&be);
}

/* ---- failures ---- */

static void test_faults(void **state) {
    (void)state;
    backend *be = open_with(&plain);
    weft_error err;
    uint32_t places[VK_FAULT_COUNT];
    memset(places, 0xff, sizeof places);
    places[VK_FAULT_TARGET] = 17;
    buffer *b = make(be, sizeof places);
    backend_write(be, view_of(b), places, sizeof places);
    backend_begin(be);
    probe(be, view_of(b), vk_fault_binding(vk_of(be)).at, VK_FAULT_COUNT, 0, 0);
    expect_error(backend_submit(be, &err), &err, WEFT_ERR_RANGE,
                 "op_head_loss: a target is outside the vocabulary (place 17)");
    backend_begin(be);
    op_fill_zero(be, view_of(b), 4);
    submit(be);
    buffer_free(be, &b);
    backend_free(&be);
}

static void test_too_large(void **state) {
    (void)state;
    backend *be = open_with(&plain);
    weft_error err;
    buffer *b;
    uint64_t most = vk_limits_of(vk_of(be))->allocation_bytes;
    expect_error(buffer_create(be, most + 1, &b, &err), &err, WEFT_ERR_MEMORY, "is larger than");
    assert_null(b);
    uint8_t byte = 0;
    ternary_matrix w = {&byte, INT32_MAX, 1 << 20, 1, TERNARY_FAST};
    ternary_weight *weight;
    expect_error(ternary_weight_create(be, &w, &weight, &err), &err, WEFT_ERR_UNSUPPORTED,
                 "use --device cpu");
    assert_int_equal(backend_bytes(be), 0);
    backend_free(&be);
}

/* What is told after a mistake is not run; the next recording works. */
static void test_mistakes(void **state) {
    (void)state;
    backend *be = open_with(&plain);
    weft_error err;
    uint32_t y[16];
    buffer *b = make(be, 64), *c = make(be, 64);
    backend_begin(be);
    probe(be, view_of(b), view_of(c), 16, 1, 3);
    probe(be, view_of(b), view_of(c), 17, 1, 3);
    probe(be, view_of(b), view_of(c), 16, 1, 3);
    expect_error(backend_submit(be, &err), &err, WEFT_ERR_ARGUMENT,
                 "op_probe: a binding is outside its buffer (probe)");
    read_all(be, view_of(c), y, sizeof y);
    assert_int_equal(y[15], 3);
    backend_begin(be);
    vk_run(vk_of(be),
           &(vk_dispatch){.op = "op_probe", .shader = VK_SHADER_COUNT, .groups = {1, 1, 1}});
    expect_error(backend_submit(be, &err), &err, WEFT_ERR_ARGUMENT, "the shader is not available");
    buffer_free(be, &b);
    buffer_free(be, &c);
    backend_free(&be);
}

/* A binding that is written though it was told to be read lets two dispatches race. */
static void test_validation_sees_a_race(void **state) {
    (void)state;
    backend *be = open_with(&plain);
    weft_error err;
    buffer *b = make(be, 4000), *c = make(be, 4000), *d = make(be, 4000);
    backend_begin(be);
    probe_as(be, view_of(b), view_of(c), 1000, 1, 3, VK_READ);
    probe(be, view_of(c), view_of(d), 1000, 1, 3);
    expect_error(backend_submit(be, &err), &err, WEFT_ERR_STATE, "Vulkan validation: ");
    assert_non_null(strstr(err.message, "SYNC-HAZARD"));
    backend_begin(be);
    probe(be, view_of(b), view_of(c), 1000, 1, 3);
    submit(be);
    buffer_free(be, &b);
    buffer_free(be, &c);
    buffer_free(be, &d);
    backend_free(&be);
}

static void test_lost_device(void **state) {
    (void)state;
    backend *be = open_with(&plain);
    weft_error err;
    buffer *b = make(be, 4000), *c;
    backend_begin(be);
    probe(be, view_of(b), view_of(b), 1000, 1, 3);
    vk_fail(vk_of(be), "op_probe", "", VK_ERROR_DEVICE_LOST);
    expect_error(backend_submit(be, &err), &err, WEFT_ERR_DEVICE, "op_probe: ");
    assert_non_null(strstr(err.message, "saved up to its last checkpoint"));
    backend_begin(be);
    probe(be, view_of(b), view_of(b), 1000, 1, 3);
    expect_error(backend_submit(be, &err), &err, WEFT_ERR_DEVICE, "the device was lost");
    uint32_t word;
    expect_error(backend_read(be, view_of(b), &word, 4, &err), &err, WEFT_ERR_DEVICE, "lost");
    expect_error(buffer_create(be, 10, &c, &err), &err, WEFT_ERR_DEVICE, "lost");
    buffer_free(be, &b);
    backend_free(&be);
}

static void test_no_such_device(void **state) {
    (void)state;
    vk_options options = plain;
    options.device = VK_DEVICES_MAX;
    backend *be;
    weft_error err;
    expect_error(backend_create_vk(&options, &be, &err), &err, WEFT_ERR_ARGUMENT,
                 "there is no gpu 16");
    assert_null(be);
}

static void test_devices_list(void **state) {
    (void)state;
    vk_device_info list[VK_DEVICES_MAX];
    int count, best;
    weft_error err;
    expect_ok(vk_devices_list(list, &count, &best, &err), &err);
    assert_true(count > 0 && best >= 0 && best < count);
    const vk_device_info *d = &list[best];
    assert_true(d->name[0] && d->driver[0] && d->type[0] && !d->unusable);
    assert_true(d->memory_bytes && d->window_bytes >= 1 << 27 && d->shared_bytes >= 16384);
    backend *be = open_with(&plain);
    assert_string_equal(backend_vk_info(be)->name, d->name);
    assert_non_null(strstr(backend_name(be), vk_tier_name(vk_limits_of(vk_of(be))->tier)));
    backend_free(&be);
    vk_options options = plain;
    options.tier_max = VK_TIER_PLAIN;
    be = open_with(&options);
    assert_non_null(strstr(backend_name(be), "plain"));
    backend_free(&be);
    assert_true(backend_create_cpu(NULL, &be, &err) == WEFT_OK && !backend_vk_info(be));
    backend_free(&be);
}

/* ---- the cache on disk ---- */

static void run_once(const char *dir) {
    vk_options options = plain;
    options.cache_dir = dir;
    backend *be = open_with(&options);
    buffer *b = make(be, 400), *c = make(be, 400);
    uint32_t y[100];
    backend_begin(be);
    probe(be, view_of(b), view_of(c), 100, 1, 9);
    submit(be);
    read_all(be, view_of(c), y, sizeof y);
    assert_int_equal(y[99], 9);
    buffer_free(be, &b);
    buffer_free(be, &c);
    backend_free(&be);
}

static void only_file(const char *dir, char *path, size_t size) {
    os_list list;
    expect_ok(os_list_dir(dir, &list, NULL), NULL);
    assert_int_equal(list.count, 1);
    snprintf(path, size, "%s/%s", dir, list.names[0]);
    os_list_free(&list);
}

static void test_cache_file(void **state) {
    (void)state;
    char dir[] = "/tmp/weft-vk-XXXXXX", path[512], *data, *again;
    size_t size, size_again;
    assert_non_null(mkdtemp(dir));
    run_once(dir);
    only_file(dir, path, sizeof path);
    expect_ok(os_read_file(path, 1 << 28, &data, &size, NULL), NULL);
    for (size_t at = 0; at < size; at += size / 5 + 1) {
        data[at] ^= 0x55; /* magic, sizes, hash, the driver's own */
        expect_ok(os_write_file(path, data, size, NULL), NULL);
        run_once(dir);
        expect_ok(os_read_file(path, 1 << 28, &again, &size_again, NULL), NULL);
        data[at] ^= 0x55;
        assert_memory_equal(again, data, 8); /* written anew */
        free(again);
    }
    expect_ok(os_write_file(path, data, size / 2, NULL), NULL);
    run_once(dir);
    expect_ok(os_write_file(path, "", 0, NULL), NULL);
    run_once(dir);
    free(data);
    os_remove_tree(dir, NULL);
    run_once("/dev/null/nowhere"); /* no cache, no error */
}

int main(void) {
    vk_device_info list[VK_DEVICES_MAX];
    int count, best;
    weft_error err;
    if (vk_devices_list(list, &count, &best, &err) || best < 0) {
        puts("skipped: no Vulkan driver that can be used");
        return 77;
    }
    printf("%s, %s\n", list[best].name, vk_tier_name(list[best].tier));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),          cmocka_unit_test(test_order_of_writes),
        cmocka_unit_test(test_weights),        cmocka_unit_test(test_replay),
        cmocka_unit_test(test_offsets),        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_groups),         cmocka_unit_test(test_scratch),
        cmocka_unit_test(test_profile),        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_too_large),      cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_lost_device),    cmocka_unit_test(test_validation_sees_a_race),
        cmocka_unit_test(test_no_such_device), cmocka_unit_test(test_devices_list),
        cmocka_unit_test(test_cache_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
