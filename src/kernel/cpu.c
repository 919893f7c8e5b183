/* What this CPU offers, and which kernels that selects. */
#include "kernel/kernel.h"

#include <pthread.h>

#if defined(__x86_64__)
#include <cpuid.h>

/* The state that the system saves on a task switch; usable only where cpuid shows OSXSAVE. */
static uint64_t enabled_state(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static uint32_t detect(void) {
    const uint32_t needed = bit_FMA | bit_AVX | bit_F16C | bit_OSXSAVE;
    const uint32_t avx512 = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL;
    const uint64_t sse_and_avx = 6, opmask_and_zmm = 0xe0;
    uint32_t a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || (c & needed) != needed) return 0;
    if ((enabled_state() & sse_and_avx) != sse_and_avx) return 0;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
    if (!(b & bit_AVX2)) return 0;
    if ((b & avx512) != avx512 || (enabled_state() & opmask_and_zmm) != opmask_and_zmm)
        return CPU_AVX2;
    return CPU_AVX2 | CPU_AVX512 | (c & bit_AVX512VNNI ? CPU_VNNI : 0);
}
#elif defined(__aarch64__)
static uint32_t detect(void) {
    return cpu_arm_flags();
}
#else
static uint32_t detect(void) {
    return 0;
}
#endif

static uint32_t detected_flags;
static pthread_once_t detected_once = PTHREAD_ONCE_INIT;

static void detect_once(void) {
    detected_flags = detect();
}

uint32_t cpu_flags(void) {
    pthread_once(&detected_once, detect_once);
    return detected_flags;
}

void kernels_init(kernels *k, uint32_t flags) {
    kernels_init_ref(k);
#if defined(__x86_64__)
    if ((flags & cpu_flags() & CPU_AVX2) != CPU_AVX2) return;
    kernels_init_avx2(k);
    if (!(flags & cpu_flags() & CPU_AVX512)) return;
    kernels_init_avx512(k);
    if (!(flags & cpu_flags() & CPU_VNNI)) return;
    kernels_init_avx512_vnni(k);
#elif defined(__aarch64__)
    const uint32_t on = flags & cpu_flags();
    if (!(on & CPU_NEON)) return;
    kernels_init_neon(k);
    if (!(on & CPU_DOTPROD)) return;
    kernels_init_neon_dotprod(k);
    if (!(on & CPU_I8MM)) return;
    kernels_init_neon_i8mm(k);
#else
    (void)flags;
#endif
}
