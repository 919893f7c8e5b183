/* check_kernels [--bench] [--cpu-mask N] [NAME]: run every kernel at every level that this CPU
 * offers against the scalar table (the scalar table against itself first: aliasing, ranges,
 * guards), or time them. NAME picks the kernels whose name contains it. Exits 1 if a check fails.
 */
#include "check.h"

#include <stdio.h>
#include <stdlib.h>

/* Each level includes those that it builds on. */
static const uint32_t levels[] = {0,
                                  CPU_AVX2,
                                  CPU_AVX2 | CPU_AVX512,
                                  CPU_AVX2 | CPU_AVX512 | CPU_VNNI,
                                  CPU_NEON,
                                  CPU_NEON | CPU_DOTPROD,
                                  CPU_NEON | CPU_DOTPROD | CPU_I8MM};

static int run_case(const check_case *one, const kernels *ref, const kernels *tested) {
    check c = {.ref = ref, .tested = tested, .name = one->name};
    for (int f = 0; f < FILLS; f++) {
        c.fill = (fill)f;
        c.seed = 1000 + (uint64_t)f;
        one->run(&c);
    }
    printf("%-8s %-22s %s", tested->name, one->name, c.failures ? "FAILED" : "ok");
    if (c.worst > 0) printf(", worst error %.2f of its bound", c.worst);
    printf("\n");
    return c.failures;
}

static int run_level(uint32_t flags, const char *filter) {
    kernels ref, tested;
    int failures = 0;
    kernels_init_ref(&ref);
    kernels_init(&tested, flags);
    const check_case *tables[] = {product_cases, row_cases};
    for (int i = 0; i < 2; i++)
        for (const check_case *one = tables[i]; one->name; one++)
            if (strstr(one->name, filter)) failures += run_case(one, &ref, &tested);
    return failures;
}

int main(int argc, char **argv) {
    uint32_t mask = UINT32_MAX;
    const char *filter = "";
    bool bench = false;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--bench"))
            bench = true;
        else if (!strcmp(argv[i], "--cpu-mask") && i + 1 < argc)
            mask = (uint32_t)strtoul(argv[++i], NULL, 0);
        else if (argv[i][0] == '-') {
            fprintf(stderr, "usage: check_kernels [--bench] [--cpu-mask N] [NAME]\n");
            return 2;
        } else
            filter = argv[i];
    }
    uint32_t flags = cpu_flags() & mask;
    kernels k;
    kernels_init(&k, flags);
    if (bench) return bench_run(&k, flags, filter);
    int failures = 0;
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
        if ((flags & levels[i]) == levels[i]) failures += run_level(levels[i], filter);
    printf("%d failures\n", failures);
    return failures != 0;
}
