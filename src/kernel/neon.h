/* The 128-bit vector of NEON in the terms of vec.h, and the entries of other files. Only files
 * compiled for AArch64 include it. */
#ifndef WEFT_KERNEL_NEON_H
#define WEFT_KERNEL_NEON_H

#include "kernel/simd.h"

#include <arm_neon.h>

/* Tells the compiler that v may change here: it must then hold v in one register, instead of
 * rotating the sums of an inner loop through copies or storing them in every round. */
#define HOLD(v) __asm__("" : "+w"(v))

/* 24 sums, four vectors of B and a value of A (or the operands of 16 dot products) fit the 32
 * registers. */
enum {
    LANES = 4,
    STRIP_VECTORS = 4,
    STRIP_ROWS = 6,
    DOT_ROWS4 = 4,
    DOT_ROWS3 = 4,
    DOT_ROWS2 = 4,
    DOT_ROWS1 = 8,
    DENSE_ROWS = 40,
    TOKEN_ROWS = 4
};

typedef float32x4_t vec;
typedef float64x2_t vec_double;
typedef float32x4_t vec_quad;

/* All ones in the first `count` lanes: all from LANES on, none up to 0. */
static inline uint32x4_t lane_mask(int64_t count) {
    static const int32_t lanes[LANES] = {0, 1, 2, 3};
    return vcltq_s32(vld1q_s32(lanes), vdupq_n_s32((int)max_i64(min_i64(count, LANES), 0)));
}

ALWAYS_INLINE vec vec_mask(vec v, uint32x4_t mask) {
    return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(v), mask));
}

ALWAYS_INLINE vec vec_zero(void) {
    return vdupq_n_f32(0);
}
ALWAYS_INLINE vec vec_set(float x) {
    return vdupq_n_f32(x);
}
ALWAYS_INLINE vec vec_load(const float *p) {
    return vld1q_f32(p);
}
ALWAYS_INLINE void vec_store(float *p, vec v) {
    vst1q_f32(p, v);
}
ALWAYS_INLINE vec vec_load_some(const float *p, int64_t count) {
    vec v = vdupq_n_f32(0);
    if (count >= LANES) return vld1q_f32(p);
    if (count > 0) v = vld1q_lane_f32(p, v, 0);
    if (count > 1) v = vld1q_lane_f32(p + 1, v, 1);
    if (count > 2) v = vld1q_lane_f32(p + 2, v, 2);
    return v;
}
ALWAYS_INLINE void vec_store_some(float *p, int64_t count, vec v) {
    if (count >= LANES) {
        vst1q_f32(p, v);
        return;
    }
    if (count > 0) vst1q_lane_f32(p, v, 0);
    if (count > 1) vst1q_lane_f32(p + 1, v, 1);
    if (count > 2) vst1q_lane_f32(p + 2, v, 2);
}
ALWAYS_INLINE vec vec_keep_some(vec v, int64_t count) {
    return vec_mask(v, lane_mask(count));
}

ALWAYS_INLINE vec vec_fma(vec a, vec b, vec c) {
    return vfmaq_f32(c, a, b);
}
ALWAYS_INLINE vec vec_fnma(vec a, vec b, vec c) {
    return vfmsq_f32(c, a, b);
}
ALWAYS_INLINE vec vec_min(vec a, vec b) {
    return vminq_f32(a, b);
}
ALWAYS_INLINE vec vec_max(vec a, vec b) {
    return vmaxq_f32(a, b);
}
ALWAYS_INLINE vec vec_round(vec v) {
    return vrndnq_f32(v);
}
ALWAYS_INLINE vec vec_sqrt(vec v) {
    return vsqrtq_f32(v);
}
ALWAYS_INLINE vec vec_scale_exponent(vec v, vec n) {
    int32x4_t exponent = vshlq_n_s32(vcvtnq_s32_f32(n), 23);
    return vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(v), exponent));
}
ALWAYS_INLINE vec vec_zero_below(vec v, vec x, vec bound) {
    return vec_mask(v, vmvnq_u32(vcltq_f32(x, bound)));
}

/* Each (0+1) + (2+3). */
ALWAYS_INLINE vec_quad vec_sum4(vec a, vec b, vec c, vec d) {
    return vpaddq_f32(vpaddq_f32(a, b), vpaddq_f32(c, d));
}
ALWAYS_INLINE float vec_highest(vec a) {
    return vmaxvq_f32(a);
}

ALWAYS_INLINE void vec_transpose(vec v[LANES]) {
    float32x4x2_t a = vzipq_f32(v[0], v[2]), b = vzipq_f32(v[1], v[3]);
    float32x4x2_t low = vzipq_f32(a.val[0], b.val[0]), high = vzipq_f32(a.val[1], b.val[1]);
    v[0] = low.val[0];
    v[1] = low.val[1];
    v[2] = high.val[0];
    v[3] = high.val[1];
}

ALWAYS_INLINE vec_double vec_double_zero(void) {
    return vdupq_n_f64(0);
}
ALWAYS_INLINE vec_double vec_low_double(vec v) {
    return vcvt_f64_f32(vget_low_f32(v));
}
ALWAYS_INLINE vec_double vec_high_double(vec v) {
    return vcvt_high_f64_f32(v);
}
ALWAYS_INLINE vec_double vec_double_fma(vec_double a, vec_double b, vec_double c) {
    return vfmaq_f64(c, a, b);
}
ALWAYS_INLINE double vec_double_sum(vec_double v) {
    return vaddvq_f64(v);
}

ALWAYS_INLINE void vec_halves(const uint8_t *p, vec v[4]) {
    UNROLL (i, 2) {
        float16x8_t halves = vreinterpretq_f16_u8(vld1q_u8(p + 16 * i));
        v[2 * i] = vcvt_f32_f16(vget_low_f16(halves));
        v[2 * i + 1] = vcvt_high_f32_f16(halves);
    }
}
ALWAYS_INLINE void vec_brains(const uint8_t *p, vec v[4]) {
    UNROLL (i, 2) {
        uint16x8_t words = vreinterpretq_u16_u8(vld1q_u8(p + 16 * i));
        v[2 * i] = vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(words), 16));
        v[2 * i + 1] = vreinterpretq_f32_u32(vshll_high_n_u16(words, 16));
    }
}
ALWAYS_INLINE void floats_of_bytes(int8x16_t bytes, vec v[4]) {
    int16x8_t low = vmovl_s8(vget_low_s8(bytes)), high = vmovl_high_s8(bytes);
    v[0] = vcvtq_f32_s32(vmovl_s16(vget_low_s16(low)));
    v[1] = vcvtq_f32_s32(vmovl_high_s16(low));
    v[2] = vcvtq_f32_s32(vmovl_s16(vget_low_s16(high)));
    v[3] = vcvtq_f32_s32(vmovl_high_s16(high));
}
ALWAYS_INLINE void vec_bytes(const void *p, vec v[4]) {
    floats_of_bytes(vld1q_s8(p), v);
}
ALWAYS_INLINE vec vec_set_half(const uint8_t *p) {
    return vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16((uint16_t)(p[0] | p[1] << 8))));
}

/* Half a block: the codes of columns 32 i + 16 half + 0..15 in codes[i]. */
ALWAYS_INLINE void unpack_half(const uint8_t *block, int half, int8x16_t codes[4]) {
    const uint8x16_t low = vdupq_n_u8(3);
    uint8x16_t packed = vld1q_u8(block + 16 * half);
    codes[0] = vreinterpretq_s8_u8(vshrq_n_u8(packed, 6));
    codes[1] = vreinterpretq_s8_u8(vandq_u8(vshrq_n_u8(packed, 4), low));
    codes[2] = vreinterpretq_s8_u8(vandq_u8(vshrq_n_u8(packed, 2), low));
    codes[3] = vreinterpretq_s8_u8(vandq_u8(packed, low));
}

/* The eight vectors of codes of a block, in the order of the columns. */
ALWAYS_INLINE void unpack_codes(const uint8_t *block, int8x16_t codes[8]) {
    int8x16_t first[4], second[4];
    unpack_half(block, 0, first);
    unpack_half(block, 1, second);
    for (int i = 0; i < 4; i++) {
        codes[2 * i] = first[i];
        codes[2 * i + 1] = second[i];
    }
}
ALWAYS_INLINE void unpack_floats(const uint8_t *block, float *out, int64_t strip_step) {
    int8x16_t codes[8];
    unpack_codes(block, codes);
    UNROLL (i, 8) {
        vec v[4];
        floats_of_bytes(vsubq_s8(codes[i], vdupq_n_s8(1)), v);
        UNROLL (j, 4) vst1q_f32(out + i * strip_step + 4 * j, v[j]);
    }
}

void neon_quantise_row(const float *x, int64_t n, int8_t *q, float *scale, int32_t *sum);
void neon_ternary_matmul(const ternary_matrix *w, int64_t row_begin, int64_t row_end,
                         const int8_t *q, const float *scale, const int32_t *sum, int64_t tokens,
                         float *y, int64_t ldy);
void neon_dotprod_ternary_matmul(const ternary_matrix *w, int64_t row_begin, int64_t row_end,
                                 const int8_t *q, const float *scale, const int32_t *sum,
                                 int64_t tokens, float *y, int64_t ldy);

void neon_gradient_row(const float *x, int64_t n, int16_t *q, float *scale);
void neon_ternary_matmul_t_i16(const ternary_matrix *w, int64_t col_begin, int64_t col_end,
                               const int16_t *q, const float *scale, int64_t tokens, float *dx,
                               int64_t lddx, bool add);
void neon_dotprod_ternary_matmul_t_i16(const ternary_matrix *w, int64_t col_begin, int64_t col_end,
                                       const int16_t *q, const float *scale, int64_t tokens,
                                       float *dx, int64_t lddx, bool add);
void neon_ternary_unpack_rows(const ternary_matrix *w, int64_t row_begin, int64_t row_end,
                              int64_t col_begin, int64_t col_end, uint8_t *out);

#endif
