/* The peak loops of NEON: plain, with the dot product, with 8-bit matrix products. */
#if defined(__aarch64__)
#include "kernel/kernel.h"
#include "kernel/peak.h"
#include "kernel/peak_loop.h"

#include <arm_neon.h>

PEAK_LOOP(PEAK_PLAIN, mlal8, int16x8_t, "w", 12, vdupq_n_s16(1),
          vmlal_s8(sum, vget_low_s8(vreinterpretq_s8_s16(x)),
                   vget_high_s8(vreinterpretq_s8_s16(x))))
PEAK_LOOP(PEAK_PLAIN, mlal16, int32x4_t, "w", 12, vdupq_n_s32(1),
          vmlal_s16(sum, vget_low_s16(vreinterpretq_s16_s32(x)),
                    vget_high_s16(vreinterpretq_s16_s32(x))))
PEAK_LOOP(PEAK_PLAIN, fmadd, float32x4_t, "w", 16, vdupq_n_f32(0.5f), vfmaq_f32(sum, x, x))

/* These functions may hold instructions that the machine lacks: the flags say if they are called.
 */
#if defined(__clang__)
#define DOTPROD __attribute__((target("dotprod")))
#define I8MM    __attribute__((target("i8mm")))
#else
#define DOTPROD __attribute__((target("arch=armv8.2-a+dotprod")))
#define I8MM    __attribute__((target("arch=armv8.2-a+i8mm")))
#endif
PEAK_LOOP(DOTPROD, sdot, int32x4_t, "w", 16, vdupq_n_s32(1),
          vdotq_s32(sum, vreinterpretq_s8_s32(x), vreinterpretq_s8_s32(x)))
PEAK_LOOP(I8MM, smmla, int32x4_t, "w", 16, vdupq_n_s32(1),
          vmmlaq_s32(sum, vreinterpretq_s8_s32(x), vreinterpretq_s8_s32(x)))

void peak_find_neon(peak_loops *loops, uint32_t flags) {
    loops->of[PEAK_INT8] = (peak_loop){mlal8, 12 * 16, "smlal"};
    loops->of[PEAK_INT16] = (peak_loop){mlal16, 12 * 8, "smlal"};
    loops->of[PEAK_F32] = (peak_loop){fmadd, 16 * 8, "fmla"};
    if (flags & CPU_DOTPROD) loops->of[PEAK_INT8] = (peak_loop){sdot, 16 * 32, "sdot"};
    if (flags & CPU_I8MM) loops->of[PEAK_INT8] = (peak_loop){smmla, 16 * 64, "smmla"};
}
#endif
