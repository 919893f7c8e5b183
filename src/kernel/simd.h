/* What the kernels of every ISA share: words for the compiler and small helpers. */
#ifndef WEFT_KERNEL_SIMD_H
#define WEFT_KERNEL_SIMD_H

#include "kernel/kernel.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define NEVER_INLINE  static __attribute__((noinline))

/* A loop of a few constant steps, at most 16, over an array of vectors: unrolled early and in full,
 * so that the array lives in registers. */
#if defined(__clang__)
#define UNROLL(i, count) _Pragma("clang loop unroll(full)") for (int i = 0; i < (count); i++)
#else
#define UNROLL(i, count) _Pragma("GCC unroll 16") for (int i = 0; i < (count); i++)
#endif

static inline int64_t min_i64(int64_t a, int64_t b) {
    return a < b ? a : b;
}
static inline int64_t max_i64(int64_t a, int64_t b) {
    return a > b ? a : b;
}

static inline const uint8_t *codes_at(const ternary_matrix *w, int64_t row, int64_t col) {
    return w->codes + (size_t)row * ternary_row_bytes(w->cols) + (size_t)col / 4;
}

#endif
