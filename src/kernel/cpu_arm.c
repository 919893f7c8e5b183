/* What an AArch64 CPU offers, as its system reports it: user programs cannot read the feature
 * registers themselves everywhere. A system that reports nothing gets Advanced SIMD alone, which
 * the architecture's application profile always has. */
#if defined(__aarch64__)
#include "kernel/kernel.h"

#if defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>

uint32_t cpu_arm_flags(void) {
    unsigned long features = getauxval(AT_HWCAP), more = getauxval(AT_HWCAP2);
    uint32_t flags = 0;
    if (features & HWCAP_ASIMD) flags |= CPU_NEON;
    if (features & HWCAP_ASIMDDP) flags |= CPU_DOTPROD;
    if (more & HWCAP2_I8MM) flags |= CPU_I8MM;
    return flags;
}

#elif defined(__APPLE__)
#include <sys/sysctl.h>

static uint32_t flag_if(const char *feature, uint32_t flag) {
    int present = 0;
    size_t size = sizeof present;
    return !sysctlbyname(feature, &present, &size, NULL, 0) && present ? flag : 0;
}

uint32_t cpu_arm_flags(void) {
    return CPU_NEON | flag_if("hw.optional.arm.FEAT_DotProd", CPU_DOTPROD) |
           flag_if("hw.optional.arm.FEAT_I8MM", CPU_I8MM);
}

#else
uint32_t cpu_arm_flags(void) {
    return CPU_NEON;
}
#endif
#endif
