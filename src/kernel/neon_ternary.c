/* BitLinear in NEON without extensions. The integer product widens to 16 bits, two products a lane
 * for 16 columns, each within -256 .. 254: 64 such steps just fit, so every SPAN columns the sums
 * are widened to 32 bits. The float products unpack a tile of weights to float32 once and use it
 * for every token. */
#if defined(__aarch64__)
#include "kernel/neon_ternary.h"

_Static_assert(SPAN / 16 * 2 * 2 * 128 <= 32768, "the 16-bit sums of a span do not overflow");

void neon_quantise_row(const float *x, int64_t n, int8_t *q, float *scale, int32_t *sum) {
    float32x4_t highest = vdupq_n_f32(1e-5f), poison = vdupq_n_f32(0);
    for (int64_t i = 0; i < n; i += 4) {
        float32x4_t v = load_lanes(x + i, n - i);
        highest = vmaxnmq_f32(highest, vabsq_f32(v)); /* a NaN v is skipped */
        poison = vfmaq_n_f32(poison, v, 0);
    }
    float s = 127.0f / vmaxnmvq_f32(highest) + vec_sum(poison);
    int32x4_t total = vdupq_n_s32(0);
    memset(q + n, 0, (size_t)(ternary_padded(n) - n));
    for (int64_t i = 0; i < n; i += 4) {
        float32x4_t v = vmulq_n_f32(load_lanes(x + i, n - i), s);
        int32x4_t rounded = vcvtnq_s32_f32(vmaxnmq_f32(v, vdupq_n_f32(-128))); /* NaN too */
        if (n - i < 4)                                                         /* 0 * NaN */
            rounded = vandq_s32(rounded, vreinterpretq_s32_u32(lane_mask(n - i)));
        int16x4_t words = vqmovn_s32(rounded);
        int8x8_t bytes = vqmovn_s16(vcombine_s16(words, words));
        int32_t four = vget_lane_s32(vreinterpret_s32_s8(bytes), 0);
        memcpy(q + i, &four, sizeof four); /* within the padding */
        total = vaddq_s32(total, rounded);
    }
    *sum = vaddvq_s32(total);
    *scale = s;
}

static inline int32x4_t accumulate(int32x4_t sum, int8x16_t codes, int8x16_t q) {
    int16x8_t words = vreinterpretq_s16_s32(sum);
    words = vmlal_s8(words, vget_low_s8(codes), vget_low_s8(q));
    return vreinterpretq_s32_s16(vmlal_high_s8(words, codes, q));
}

/* The same for the many sums of a tile. */
static inline int32x4_t accumulate_held(int32x4_t sum, int8x16_t codes, int8x16_t q) {
    int16x8_t words = vreinterpretq_s16_s32(sum);
    words = vmlal_s8(words, vget_low_s8(codes), vget_low_s8(q));
    HOLD(words);
    return vreinterpretq_s32_s16(vmlal_high_s8(words, codes, q));
}

static inline int32x4_t widen(int32x4_t sum) {
    return vpaddlq_s16(vreinterpretq_s16_s32(sum));
}

static void multiply(int_tile *tile, int64_t col, int64_t width, bool last) {
    multiply_rows(tile, col, width, last, accumulate_held, widen);
}

void neon_ternary_matmul(const ternary_matrix *w, int64_t row_begin, int64_t row_end,
                         const int8_t *q, const float *scale, const int32_t *sum, int64_t tokens,
                         float *y, int64_t ldy) {
    if (tokens == 1)
        one_token(w, row_begin, row_end, q, w->scale / scale[0], sum[0], y, accumulate, widen);
    else
        tiled_matmul(w, row_begin, row_end, q, scale, sum, tokens, y, ldy, unpack_rows, multiply);
}
#endif
