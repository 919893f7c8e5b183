/* What the NEON files share: vector helpers and the two float products that everything else is cut
 * into. Only files compiled for AArch64 include it. */
#ifndef WEFT_KERNEL_NEON_H
#define WEFT_KERNEL_NEON_H

#include "kernel/kernel.h"

#include <arm_neon.h>

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* A loop over sums or operands, at most eight, in full: only then do they stay in registers. */
#define UNROLL(i, count) _Pragma("GCC unroll 8") for (int i = 0; i < (count); i++)

/* Tells the compiler that v may change here: it must then hold v in one register, instead of
 * rotating the sums of an inner loop through copies or storing them in every round. */
#define HOLD(v) __asm__("" : "+w"(v))

enum {
    STRIP = 16,       /* columns of the outer product's tile: four vectors */
    DOT_COLUMNS = 256 /* columns of one call of the inner product: chains of 64 additions */
};

static inline int64_t min_i64(int64_t a, int64_t b) {
    return a < b ? a : b;
}
static inline int64_t max_i64(int64_t a, int64_t b) {
    return a > b ? a : b;
}

/* All ones in the first `count` lanes (all from 4 on, none up to 0). */
static inline uint32x4_t lane_mask(int64_t count) {
    static const int32_t lanes[4] = {0, 1, 2, 3};
    return vcltq_s32(vld1q_s32(lanes), vdupq_n_s32((int)max_i64(min_i64(count, 4), 0)));
}

static inline float32x4_t mask_lanes(float32x4_t v, uint32x4_t mask) {
    return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(v), mask));
}

/* The four floats from p, or the first `count` of them and zeros. */
ALWAYS_INLINE float32x4_t load_lanes(const float *p, int64_t count) {
    if (count >= 4) return vld1q_f32(p);
    float32x4_t v = vdupq_n_f32(0);
    if (count > 0) v = vld1q_lane_f32(p, v, 0);
    if (count > 1) v = vld1q_lane_f32(p + 1, v, 1);
    if (count > 2) v = vld1q_lane_f32(p + 2, v, 2);
    return v;
}

ALWAYS_INLINE void store_lanes(float *p, int64_t count, float32x4_t value) {
    if (count >= 4) {
        vst1q_f32(p, value);
        return;
    }
    if (count > 0) vst1q_lane_f32(p, value, 0);
    if (count > 1) vst1q_lane_f32(p + 1, value, 1);
    if (count > 2) vst1q_lane_f32(p + 2, value, 2);
}

/* Sums of the lanes of four vectors, each (0+1) + (2+3). */
static inline float32x4_t sum_lanes4(float32x4_t a, float32x4_t b, float32x4_t c, float32x4_t d) {
    return vpaddq_f32(vpaddq_f32(a, b), vpaddq_f32(c, d));
}

static inline float sum_lanes(float32x4_t a) {
    return vgetq_lane_f32(sum_lanes4(a, a, a, a), 0);
}

static inline int32x4_t sum_lanes4_s32(int32x4_t a, int32x4_t b, int32x4_t c, int32x4_t d) {
    return vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d));
}

static inline float row_max(const float *row, int64_t n) {
    float32x4_t highest = vdupq_n_f32(row[0]);
    int64_t i = 0;
    for (; i + 4 <= n; i += 4) highest = vmaxnmq_f32(highest, vld1q_f32(row + i));
    for (; i < n; i++) highest = vmaxnmq_f32(highest, vdupq_n_f32(row[i]));
    return vmaxnmvq_f32(highest);
}

/* exp(x) within 2e-7 relative; 0 where the result would be subnormal, at most exp(88); NaN stays
 * NaN. With x = n ln2 + r, |r| <= ln2 / 2: the Taylor polynomial of degree 7 is off by less than
 * 6e-9. */
static inline float32x4_t exp_ps(float32x4_t x) {
    const float32x4_t ln2_high = vdupq_n_f32(0x1.62e4p-1f); /* few bits: n * ln2_high is exact */
    const float32x4_t ln2_low = vdupq_n_f32(0x1.7f7d1cp-20f);
    static const float inverse_factorials[] = {1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6,
                                               0.5f,       1.0f,       1.0f};
    uint32x4_t zero = vcltq_f32(x, vdupq_n_f32(-87.3f));
    x = vminq_f32(vdupq_n_f32(88.0f), vmaxq_f32(vdupq_n_f32(-87.3f), x));
    float32x4_t n = vrndnq_f32(vmulq_f32(x, vdupq_n_f32(0x1.715476p+0f)));
    float32x4_t r = vfmsq_f32(vfmsq_f32(x, n, ln2_high), n, ln2_low);
    float32x4_t p = vdupq_n_f32(1.0f / 5040);
    for (int i = 0; i < 7; i++) p = vfmaq_f32(vdupq_n_f32(inverse_factorials[i]), p, r);
    int32x4_t exponent = vshlq_n_s32(vcvtnq_s32_f32(n), 23);
    int32x4_t result = vaddq_s32(vreinterpretq_s32_f32(p), exponent);
    return mask_lanes(vreinterpretq_f32_s32(result), vmvnq_u32(zero));
}

static inline const uint8_t *codes_at(const ternary_matrix *w, int64_t row, int64_t col) {
    return w->codes + (size_t)row * ternary_row_bytes(w->cols) + (size_t)col / 4;
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

/* Outer product: C (rows, width <= STRIP) = alpha * A B + (C if keep), where A's element (i, j) is
 * a[i * a_row + j * a_step] and B (depth, width) has rows ldb apart. Each element is one chain of
 * FMAs over j, so it does not depend on the tile that it fell in, and a zero in A changes nothing.
 */
typedef struct strip_product {
    const float *a;
    int64_t a_row, a_step;
    int64_t rows, depth;
    const float *b;
    int64_t ldb, width;
    float alpha;
    float *c;
    int64_t ldc;
    bool keep;
} strip_product;
void neon_strip_product(const strip_product *args);

/* The same over the columns of a panel: C (rows, width) = alpha * A B + (C if keep), A (rows,
 * depth), depth at most PANEL_DEPTH; column col of B is in the strip at panel + col / STRIP *
 * strip_step. */
enum { PANEL_DEPTH = 64 };
typedef struct panel_product {
    const float *a;
    int64_t lda, rows, depth;
    const float *panel;
    int64_t strip_step, width;
    float alpha;
    float *c;
    int64_t ldc;
    bool keep;
} panel_product;
void neon_panel_product(const panel_product *args);

/* Inner product: y (tokens, rows) = alpha * x w^T + (y if keep), x (tokens, k), w (rows, k). */
typedef struct dot_product {
    const float *x;
    int64_t ldx, tokens;
    const float *w;
    int64_t ldw, rows;
    int64_t k;
    float alpha;
    float *y;
    int64_t ldy;
    bool keep;
} dot_product;
void neon_dot_product(const dot_product *args);

void neon_quantise_row(const float *x, int64_t n, int8_t *q, float *scale, int32_t *sum);
void neon_ternary_matmul(const ternary_matrix *w, int64_t row_begin, int64_t row_end,
                         const int8_t *q, const float *scale, const int32_t *sum, int64_t tokens,
                         float *y, int64_t ldy);
void neon_dotprod_ternary_matmul(const ternary_matrix *w, int64_t row_begin, int64_t row_end,
                                 const int8_t *q, const float *scale, const int32_t *sum,
                                 int64_t tokens, float *y, int64_t ldy);
void neon_ternary_matmul_f32(const ternary_matrix *w, int64_t row_begin, int64_t row_end,
                             const float *x, int64_t ldx, int64_t tokens, float *y, int64_t ldy);
void neon_ternary_matmul_t(const ternary_matrix *w, int64_t col_begin, int64_t col_end,
                           const float *dy, int64_t lddy, int64_t tokens, float *dx, int64_t lddx,
                           bool add);

void neon_gradient_row(const float *x, int64_t n, int16_t *q, float *scale);
void neon_ternary_matmul_t_i16(const ternary_matrix *w, int64_t col_begin, int64_t col_end,
                               const int16_t *q, const float *scale, int64_t tokens, float *dx,
                               int64_t lddx, bool add);
void neon_dotprod_ternary_matmul_t_i16(const ternary_matrix *w, int64_t col_begin, int64_t col_end,
                                       const int16_t *q, const float *scale, int64_t tokens,
                                       float *dx, int64_t lddx, bool add);
void neon_ternary_unpack_rows(const ternary_matrix *w, int64_t row_begin, int64_t row_end,
                              int64_t col_begin, int64_t col_end, uint8_t *out);

void neon_dense_row(const dense_matrix *w, int64_t row, float *out);
void neon_dense_matmul(const dense_matrix *w, int64_t row_begin, int64_t row_end, const float *x,
                       int64_t ldx, int64_t tokens, float *y, int64_t ldy);
void neon_dense_matmul_t(const dense_matrix *w, int64_t token_begin, int64_t token_end,
                         const float *dy, int64_t lddy, float *dx, int64_t lddx);
void neon_gemm_nt(int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
                  const float *b, int64_t ldb, float *c, int64_t ldc, bool add);
void neon_gemm_nn(int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
                  const float *b, int64_t ldb, float *c, int64_t ldc, bool add);
void neon_gemm_tn(int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
                  const float *b, int64_t ldb, float *c, int64_t ldc, bool add);

void neon_attention(const attention_shape *shape, int64_t head, int64_t token_begin,
                    int64_t token_end, const float *q, const float *k, const float *v, float *out,
                    float *scratch);
void neon_attention_backward(const attention_shape *shape, int64_t kv_head, int64_t token_begin,
                             int64_t token_end, const float *q, const float *k, const float *v,
                             const float *dout, float *dq, float *dk, float *dv, float *scratch);

#endif
