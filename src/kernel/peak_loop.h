/* A peak loop: `chains` sums that do not depend on each other, enough to hide the latency of the
 * instruction. The empty assembly keeps sums and operand in registers and every step in place.
 * `target` is the attribute that lets the function use its instructions (PEAK_PLAIN: none), `class`
 * is the constraint of the register class. Include in files compiled with -O3. */
#ifndef WEFT_KERNEL_PEAK_LOOP_H
#define WEFT_KERNEL_PEAK_LOOP_H

#include <stdint.h>

#define PEAK_PLAIN
#define PEAK_LOOP(target, function, type, class, chains, start, step)                              \
    target static void function(int64_t rounds) {                                                  \
        type x = start, sums[chains];                                                              \
        for (int i = 0; i < chains; i++) sums[i] = x;                                              \
        for (int64_t r = 0; r < rounds; r++) {                                                     \
            for (int i = 0; i < chains; i++) {                                                     \
                type sum = sums[i];                                                                \
                __asm__ volatile("" : "+" class(x), "+" class(sum));                               \
                sums[i] = step;                                                                    \
            }                                                                                      \
        }                                                                                          \
        for (int i = 0; i < chains; i++) __asm__ volatile("" : "+" class(sums[i]));                \
    }

#endif
