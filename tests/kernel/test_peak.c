/* The peaks: every level that this machine has gives figures, with its own instructions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "kernel/kernel.h"
#include "kernel/peak.h"

#include <string.h>

static void test_every_level(void **state) {
    (void)state;
    static const uint32_t levels[] = {0, CPU_AVX2, CPU_AVX2 | CPU_AVX512,
                                      CPU_AVX2 | CPU_AVX512 | CPU_VNNI, CPU_NEON,
                                      CPU_NEON | CPU_DOTPROD, CPU_NEON | CPU_DOTPROD | CPU_I8MM};
    pool *threads;
    weft_error err;
    assert_int_equal(pool_create(2, &threads, &err), 0);
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        peak_loops loops;
        peak_find(&loops, levels[i]);
        for (int kind = 0; kind < PEAK_COMPUTE_COUNT; kind++) {
            assert_true(peak_measure(&loops.of[kind], threads) > 1e6);
            assert_true(loops.of[kind].ops > 0 && loops.of[kind].name[0]);
        }
        if (!(levels[i] & cpu_flags())) assert_non_null(strstr(loops.of[PEAK_F32].name, "scalar"));
    }
    assert_true(peak_measure_read(threads) > 1e6);
    pool_free(&threads);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_level)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
