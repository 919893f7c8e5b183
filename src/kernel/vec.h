/* The float kernels are written once, for any vector ISA: their bodies are in the vec_*.h files,
 * and vec_kernels.h fills a table with them. A file includes the vector header of its ISA first
 * (avx2.h, avx512.h, neon.h), which defines:
 *   LANES, STRIP_VECTORS, STRIP_ROWS, DOT_ROWS1 .. 4   the tiles that fill the registers
 *   DENSE_ROWS                  rows of dense_matmul_t's panel
 *   TOKEN_ROWS                  rows of dense_matmul at once for one token: so many chains of FMAs
 *   vec, vec_double, vec_quad   vectors of float, of half as many doubles, of four floats; the
 *                               operators of C work on them, and nothing is contracted
 *   vec_load_some, vec_store_some   the first `count` lanes, none up to 0: loads fill with 0
 *   vec_keep_some               zeros from lane `count` on
 *   vec_fma(a, b, c)            a * b + c in one rounding; vec_fnma: c - a * b
 *   vec_min, vec_max            NaN if the second operand is
 *   vec_scale_exponent(v, n)    v * 2^n for integral n without overflow
 *   vec_zero_below(v, x, bound) 0 where x < bound, else v
 *   vec_sum4                    the sums of the lanes of four vectors
 *   vec_transpose               of LANES vectors in place
 *   vec_halves, vec_brains, vec_bytes   16 f16, bf16, int8 from unaligned bytes, as 16 / LANES
 *                               vectors; vec_set_half: all lanes the f16 at p
 *   unpack_floats(block, out, step)   the 128 values of a block of ternary codes as strips that
 *                               lie `step` floats apart */
#ifndef WEFT_KERNEL_VEC_H
#define WEFT_KERNEL_VEC_H

#include "kernel/simd.h"

enum {
    STRIP = STRIP_VECTORS * LANES, /* columns of the outer product's tile */
    /* Columns of one call of the inner product: chains of at most 64 additions, as the error bound
     * of check_kernels has it, and a panel of 12 rows within 24 KiB. */
    DOT_COLUMNS = 64 * (LANES < 8 ? LANES : 8)
};

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

ALWAYS_INLINE float vec_sum(vec a) {
    return vec_sum4(a, a, a, a)[0];
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
