/* The transposed ternary product on 16-bit gradients in NEON: a tile of 4 tokens x 16 columns,
 * whose sums are widening multiply-adds of a row's weights by a token's gradient. */
#if defined(__aarch64__)
#include "kernel/neon_gradient.h"

enum { TILE_TOKENS = 4 /* 16 sums */ };

void neon_gradient_row(const float *x, int64_t n, int16_t *q, float *scale) {
    float32x4_t highest = vdupq_n_f32(GRADIENT_LEAST), poison = vdupq_n_f32(0);
    for (int64_t i = 0; i < n; i += 4) {
        float32x4_t v = load_lanes(x + i, n - i);
        highest = vmaxnmq_f32(highest, vabsq_f32(v)); /* a NaN v is skipped */
        poison = vfmaq_n_f32(poison, v, 0);
    }
    float s = (float)GRADIENT_MOST / vmaxnmvq_f32(highest) + vec_sum(poison);
    const float32x4_t least = vdupq_n_f32(-GRADIENT_MOST), most = vdupq_n_f32(GRADIENT_MOST);
    memset(q + n, 0, (size_t)(gradient_padded(n) - n) * sizeof *q);
    for (int64_t i = 0; i < n; i += 4) {
        float32x4_t v = vmulq_n_f32(load_lanes(x + i, n - i), s);
        int32x4_t rounded = vcvtnq_s32_f32(vminq_f32(vmaxnmq_f32(v, least), most)); /* NaN too */
        if (n - i < 4)                                                              /* 0 * NaN */
            rounded = vandq_s32(rounded, vreinterpretq_s32_u32(lane_mask(n - i)));
        vst1_s16(q + i, vmovn_s32(rounded)); /* within the padding */
    }
    *scale = s;
}

/* Strip by strip, row by row. */
static void unpack_panel(gradient_panel *panel, const ternary_matrix *w, int64_t row, int64_t col) {
    for (int64_t r = 0; r < panel->rows; r++) {
        int8x16_t codes[8];
        unpack_codes(codes_at(w, row + r, col), codes);
        for (int i = 0; i < 8; i++) {
            int16_t *out = panel->weights + (i * PANEL_ROWS + r) * STRIP;
            int8x16_t values = vsubq_s8(codes[i], vdupq_n_s8(1));
            vst1q_s16(out, vmovl_s8(vget_low_s8(values)));
            vst1q_s16(out + 8, vmovl_high_s8(values));
        }
    }
}

static void pack_token(gradient_panel *panel, int64_t token, const int16_t *q) {
    memcpy(panel->q[token], q, (size_t)panel->rows * sizeof *q);
}

/* `tokens` (a constant after inlining) tokens from `token` by the columns of a strip. */
ALWAYS_INLINE void multiply_strip(gradient_panel *panel, int strip, int64_t token,
                                  const int tokens) {
    int32x4_t sums[TILE_TOKENS][4];
    const int16_t *weights = panel->weights + strip * PANEL_ROWS * STRIP;
    UNROLL (t, tokens)
        UNROLL (v, 4) sums[t][v] = vld1q_s32(panel->sums[token + t] + STRIP * strip + 4 * v);
    for (int64_t row = 0; row < panel->rows; row++, weights += STRIP) {
        int16x8_t low = vld1q_s16(weights), high = vld1q_s16(weights + 8);
        UNROLL (t, tokens) {
            int16_t q = panel->q[token + t][row];
            sums[t][0] = vmlal_n_s16(sums[t][0], vget_low_s16(low), q);
            sums[t][1] = vmlal_high_n_s16(sums[t][1], low, q);
            sums[t][2] = vmlal_n_s16(sums[t][2], vget_low_s16(high), q);
            sums[t][3] = vmlal_high_n_s16(sums[t][3], high, q);
        }
    }
    UNROLL (t, tokens)
        UNROLL (v, 4) vst1q_s32(panel->sums[token + t] + STRIP * strip + 4 * v, sums[t][v]);
}

static void multiply_panel(gradient_panel *panel, int strips) {
    for (int strip = 0; strip < strips; strip++) {
        int64_t token = 0;
        for (; token + TILE_TOKENS <= panel->tokens; token += TILE_TOKENS)
            multiply_strip(panel, strip, token, TILE_TOKENS);
        for (; token < panel->tokens; token++) multiply_strip(panel, strip, token, 1);
    }
}

void neon_ternary_matmul_t_i16(const ternary_matrix *w, int64_t col_begin, int64_t col_end,
                               const int16_t *q, const float *scale, int64_t tokens, float *dx,
                               int64_t lddx, bool add) {
    gradient_panels(w, col_begin, col_end, q, scale, tokens, dx, lddx, add, unpack_panel,
                    pack_token, multiply_panel);
}
#endif
