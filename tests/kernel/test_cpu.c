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
    kernels_init(&k, ~(uint32_t)(CPU_AVX2 | CPU_NEON)); /* all other levels need one of them */
    assert_memory_equal(&k, &ref, sizeof k);
}

static void test_every_level_is_complete(void **state) {
    (void)state;
    kernels k;
    memset(&k, 0, sizeof k);
    kernels_init(&k, UINT32_MAX);
    void *entries[sizeof k / sizeof(void *)];
    memcpy(entries, &k, sizeof k);
    for (size_t i = 0; i < sizeof k / sizeof(void *); i++) assert_non_null(entries[i]);
}

/* Each level needs those below it: a CPU with all of them, less one, falls to the level below. */
static void test_levels_rise(void **state) {
    (void)state;
    static const struct {
        uint32_t flags;
        const char *name;
    } levels[] = {{CPU_AVX2, "avx2"},
                  {CPU_AVX2 | CPU_VNNI, "avx2"},
                  {CPU_AVX2 | CPU_AVX512, "avx512"},
                  {CPU_AVX2 | CPU_AVX512 | CPU_VNNI, "avx512+vnni"},
                  {CPU_AVX512 | CPU_VNNI, "scalar"},
                  {CPU_NEON, "neon"},
                  {CPU_NEON | CPU_I8MM, "neon"},
                  {CPU_NEON | CPU_DOTPROD, "neon+dotprod"},
                  {CPU_NEON | CPU_DOTPROD | CPU_I8MM, "neon+i8mm"},
                  {CPU_DOTPROD | CPU_I8MM, "scalar"}};
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        kernels k;
        if ((cpu_flags() & levels[i].flags) != levels[i].flags) continue;
        kernels_init(&k, levels[i].flags);
        assert_string_equal(k.name, levels[i].name);
    }
}

static void test_flags_are_stable(void **state) {
    (void)state;
    assert_int_equal(cpu_flags(), cpu_flags());
    const uint32_t x86 = CPU_AVX2 | CPU_AVX512 | CPU_VNNI;
    const uint32_t arm = CPU_NEON | CPU_DOTPROD | CPU_I8MM;
    assert_int_equal(cpu_flags() & ~(x86 | arm), 0);
    assert_true((cpu_flags() & x86) == 0 || (cpu_flags() & arm) == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_flags_give_scalar),
        cmocka_unit_test(test_unknown_flags_are_ignored),
        cmocka_unit_test(test_every_level_is_complete),
        cmocka_unit_test(test_levels_rise),
        cmocka_unit_test(test_flags_are_stable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
