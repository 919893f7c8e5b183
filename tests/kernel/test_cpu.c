/* Which kernels a set of flags selects. */
#include "kernel/kernel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static void test_no_flags_give_scalar(void **state) {
    (void)state;
    kernels ref, k;
    kernels_init_ref(&ref);
    kernels_init(&k, 0);
    assert_string_equal(k.name, "scalar");
    assert_memory_equal(&k, &ref, sizeof k);
}

static void test_unknown_flags_are_ignored(void **state) {
    (void)state;
    kernels ref, k;
    kernels_init_ref(&ref);
    kernels_init(&k, ~(uint32_t)CPU_AVX2);
    assert_memory_equal(&k, &ref, sizeof k);
}

static void test_every_level_is_complete(void **state) {
    (void)state;
    kernels k;
    memset(&k, 0, sizeof k);
    kernels_init(&k, UINT32_MAX);
    assert_string_equal(k.name, cpu_flags() & CPU_AVX2 ? "avx2" : "scalar");
    void *entries[sizeof k / sizeof(void *)];
    memcpy(entries, &k, sizeof k);
    for (size_t i = 0; i < sizeof k / sizeof(void *); i++) assert_non_null(entries[i]);
}

static void test_flags_are_stable(void **state) {
    (void)state;
    assert_int_equal(cpu_flags(), cpu_flags());
    assert_int_equal(cpu_flags() & ~(uint32_t)CPU_AVX2, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_flags_give_scalar),
        cmocka_unit_test(test_unknown_flags_are_ignored),
        cmocka_unit_test(test_every_level_is_complete),
        cmocka_unit_test(test_flags_are_stable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
