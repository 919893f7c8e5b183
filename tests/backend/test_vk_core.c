/* The Vulkan backend's own parts on whatever driver VK_DRIVER_FILES names, with validation. */
#include "backend/vk_core.h"
#include "base/os.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static backend *open_with(vk_options options) {
    backend *be;
    weft_error err;
    options.validate = true;
    int rc = backend_create_vk(&options, &be, &err);
    if (rc) print_message("%s\n", err.message);
    assert_int_equal(rc, WEFT_OK);
    return be;
}

static vk_options plain_options(void) {
    return (vk_options){.device = -1, .tier_max = VK_TIER_BEST};
}

static buffer *make(backend *be, size_t bytes) {
    buffer *b;
    assert_int_equal(buffer_create(be, bytes, &b, NULL), WEFT_OK);
    return b;
}

static void expect_ok(int rc, const weft_error *err) {
    if (rc) print_message("%s\n", err->message);
    assert_int_equal(rc, WEFT_OK);
}

/* y = factor y + x + extra */
static void probe(backend *be, view x, view y, uint32_t count, uint32_t factor, uint32_t extra) {
    const uint32_t push[] = {count, factor};
    vk_dispatch d = {.op = "op_probe",
                     .shader = VK_SHADER_probe,
                     .constants = {extra},
                     .constant_count = 1,
                     .bindings = {{x, 4 * count, VK_READ}, {y, 4 * count, VK_READ_WRITE}},
                     .binding_count = 2,
                     .push = push,
                     .push_bytes = sizeof push,
                     .operations = count,
                     .bytes = 12.0 * count};
    vk_groups(vk_of(be), (count + 63) / 64, d.groups);
    vk_run(vk_of(be), &d);
}

static void test_probe(void **state) {
    (void)state;
    backend *be = open_with(plain_options());
    weft_error err;
    print_message("%s\n", backend_name(be));
    enum { N = 1000 };
    uint32_t x[N], y[N];
    buffer *bx = make(be, sizeof x), *by = make(be, sizeof y);
    for (uint32_t step = 0; step < 3; step++) {
        for (uint32_t i = 0; i < N; i++) x[i] = i * i + step;
        backend_begin(be);
        backend_write(be, view_of(bx), x, sizeof x);
        op_fill_zero(be, view_of(by), sizeof y);
        probe(be, view_of(bx), view_of(by), N, 3, 0);
        probe(be, view_of(bx), view_of(by), N, 5, 7);
        expect_ok(backend_submit(be, &err), &err);
        expect_ok(backend_read(be, view_of(by), y, sizeof y, &err), &err);
        for (uint32_t i = 0; i < N; i++) assert_int_equal(y[i], x[i] * 6 + 7);
    }
    buffer_free(be, &bx);
    buffer_free(be, &by);
    backend_free(&be);
}

int main(void) {
    vk_device_info list[VK_DEVICES_MAX];
    int count, best;
    weft_error err;
    if (vk_devices_list(list, &count, &best, &err) || best < 0) {
        puts("skipped: no Vulkan driver that can be used");
        return 77;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_probe)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
