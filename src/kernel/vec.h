/* What the float kernels of the vector ISAs share; the vec_*.h files hold their bodies. A file
 * includes its vector header first (avx512.h), which defines: the types vec, vec_double (half as
 * many lanes) and vec_int; LANES and the register tiles; and their operations, of which these need
 * a word (+ - * / of C work on vectors; nothing is contracted):
 *   vec_load_some, vec_store_some   the first `count` lanes only, at most all: loads fill with 0
 *   vec_keep_some                   zeros from lane `count` on
 *   vec_fma(a, b, c)                a * b + c in one rounding; vec_fnma: c - a * b
 *   vec_min, vec_max                the second operand if one is NaN
 *   vec_scale_exponent(v, n)        v * 2^n for integral n without overflow
 *   vec_zero_below(v, x, bound)     0 where x < bound, else v
 *   vec_transpose                   of LANES vectors in place
 *   vec_bytes, vec_ternary          LANES bytes; the value, -1 0 1, of the code at bit `shift` */
#ifndef WEFT_KERNEL_VEC_H
#define WEFT_KERNEL_VEC_H

#include "kernel/kernel.h"

enum {
    STRIP = 2 * LANES, /* columns of the outer product's tile */
    DOT_COLUMNS =
        512 /* columns of one call of the inner product, so that its operands stay in L1 */
};

static inline int64_t min_i64(int64_t a, int64_t b) {
    return a < b ? a : b;
}
static inline int64_t max_i64(int64_t a, int64_t b) {
    return a > b ? a : b;
}

/* A vector from p, or its first `count` lanes and zeros. */
ALWAYS_INLINE vec load_lanes(const float *p, int64_t count) {
    return count >= LANES ? vec_load(p) : vec_load_some(p, count);
}

ALWAYS_INLINE void store_lanes(float *p, int64_t count, vec value) {
    if (count >= LANES)
        vec_store(p, value);
    else
        vec_store_some(p, count, value);
}

static inline float row_max(const float *row, int64_t n) {
    vec highest = vec_set(row[0]);
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) highest = vec_max(highest, vec_load(row + i));
    for (; i < n; i++) highest = vec_max(highest, vec_set(row[i]));
    return vec_highest(highest);
}

/* exp(x) within 2e-7 relative; 0 where the result would be subnormal, at most exp(88); NaN stays
 * NaN. With x = n ln2 + r, |r| <= ln2 / 2: the Taylor polynomial of degree 7 is off by less than
 * 6e-9. */
ALWAYS_INLINE vec vec_exp(vec x) {
    const vec ln2_high = vec_set(0x1.62e4p-1f); /* few bits: n * ln2_high is exact */
    const vec ln2_low = vec_set(0x1.7f7d1cp-20f), lowest = vec_set(-87.3f);
    static const float inverse_factorials[] = {1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6,
                                               0.5f,       1.0f,       1.0f};
    vec bounded = vec_min(vec_set(88.0f), vec_max(lowest, x));
    vec n = vec_round(bounded * vec_set(0x1.715476p+0f));
    vec r = vec_fnma(n, ln2_low, vec_fnma(n, ln2_high, bounded));
    vec p = vec_set(1.0f / 5040);
    for (int i = 0; i < 7; i++) p = vec_fma(p, r, vec_set(inverse_factorials[i]));
    return vec_zero_below(vec_scale_exponent(p, n), x, lowest);
}

#endif
