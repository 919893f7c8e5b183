/* The transposed ternary product on 16-bit gradients with NEON's dot product extension, twice the
 * speed of 16-bit multiply-adds. A gradient is 256 * high + low + 128 with two signed bytes; the
 * three parts are multiplied apart, the last one by the sum of the weights alone. Sums may pass
 * through values outside int32 on the way: they wrap, and the result fits. */
#if defined(__aarch64__)
#include "kernel/neon_gradient.h"

enum {
    TILE_TOKENS = 4, /* by 8 columns and two bytes: 16 sums */
    GROUP = 4        /* rows that one lane sums: a vector has 4 columns of 4 rows */
};

/* Four rows of 16 columns, as four vectors of 4 columns x 4 rows. */
ALWAYS_INLINE void transpose_group(const int8x16_t rows[GROUP], int8x16_t out[4]) {
    for (int half = 0; half < 2; half++) {
        int8x16_t a = half ? vzip2q_s8(rows[0], rows[1]) : vzip1q_s8(rows[0], rows[1]);
        int8x16_t b = half ? vzip2q_s8(rows[2], rows[3]) : vzip1q_s8(rows[2], rows[3]);
        int16x8_t x = vreinterpretq_s16_s8(a), y = vreinterpretq_s16_s8(b);
        out[2 * half] = vreinterpretq_s8_s16(vzip1q_s16(x, y));
        out[2 * half + 1] = vreinterpretq_s8_s16(vzip2q_s16(x, y));
    }
}

/* The weights of half strip h (8 columns) of group g: two vectors. */
ALWAYS_INLINE int8_t *weights_at(gradient_panel *panel, int64_t h, int64_t g) {
    return (int8_t *)panel->weights + (h * (PANEL_ROWS / GROUP) + g) * 32;
}

static int64_t group_count(const gradient_panel *panel) { /* whole vectors of gradients */
    return (int64_t)round_up((size_t)panel->rows, 16) / GROUP;
}

/* Every token starts from 128 times the sums of the weights. Missing rows are zeros. */
static void unpack_panel(gradient_panel *panel, const ternary_matrix *w, int64_t row, int64_t col) {
    _Alignas(16) int32_t biases[TERNARY_BLOCK] = {0};
    for (int64_t g = 0; g < group_count(panel); g++) {
        int8x16_t codes[GROUP][8];
        for (int64_t r = 0; r < GROUP; r++) {
            for (int i = 0; i < 8; i++) codes[r][i] = vdupq_n_s8(1);
            if (g * GROUP + r < panel->rows)
                unpack_codes(codes_at(w, row + g * GROUP + r, col), codes[r]);
        }
        for (int i = 0; i < 8; i++) {
            int8x16_t rows[GROUP], columns[4];
            for (int r = 0; r < GROUP; r++) rows[r] = vsubq_s8(codes[r][i], vdupq_n_s8(1));
            transpose_group(rows, columns);
            for (int v = 0; v < 4; v++) {
                int32_t *bias = biases + STRIP * i + 4 * v;
                vst1q_s8(weights_at(panel, 2 * i + v / 2, g) + v % 2 * 16, columns[v]);
                vst1q_s32(bias, vdotq_s32(vld1q_s32(bias), columns[v], vdupq_n_s8(1)));
            }
        }
    }
    for (int64_t t = 0; t < panel->tokens; t++)
        for (int c = 0; c < TERNARY_BLOCK; c += 4) {
            int32_t *sum = panel->sums[t] + c;
            vst1q_s32(sum, vaddq_s32(vld1q_s32(sum), vshlq_n_s32(vld1q_s32(biases + c), 7)));
        }
}

/* All high bytes, then all low bytes less 128. */
static void pack_token(gradient_panel *panel, int64_t token, const int16_t *q) {
    int8_t *high = (int8_t *)panel->q[token], *low = high + PANEL_ROWS;
    for (int64_t i = 0; i < group_count(panel) * GROUP; i += 8) {
        int16x8_t values = i < panel->rows ? vld1q_s16(q + i) : vdupq_n_s16(0);
        vst1_s8(high + i, vshrn_n_s16(values, 8));
        vst1_s8(low + i, veor_s8(vmovn_s16(values), vdup_n_s8(-128)));
    }
}

/* Group `lane` of four: both vectors of columns by `tokens` tokens' bytes. */
#define MULTIPLY_GROUP(lane)                                                                       \
    {                                                                                              \
        int8x16_t w0 = vld1q_s8(weights + 32 * lane), w1 = vld1q_s8(weights + 32 * lane + 16);     \
        UNROLL (t, tokens) {                                                                       \
            high[t][0] = vdotq_laneq_s32(high[t][0], w0, q_high[t], lane);                         \
            high[t][1] = vdotq_laneq_s32(high[t][1], w1, q_high[t], lane);                         \
            low[t][0] = vdotq_laneq_s32(low[t][0], w0, q_low[t], lane);                            \
            low[t][1] = vdotq_laneq_s32(low[t][1], w1, q_low[t], lane);                            \
        }                                                                                          \
    }

/* `tokens` (a constant after inlining) tokens from `token` by the 8 columns of half strip h. */
ALWAYS_INLINE void multiply_half(gradient_panel *panel, int64_t h, int64_t token,
                                 const int tokens) {
    int32x4_t high[TILE_TOKENS][2], low[TILE_TOKENS][2];
    UNROLL (t, tokens)
        UNROLL (v, 2) {
            high[t][v] = vdupq_n_s32(0);
            low[t][v] = vld1q_s32(panel->sums[token + t] + 8 * h + 4 * v);
        }
    for (int64_t g = 0; g < group_count(panel); g += 4) {
        const int8_t *weights = weights_at(panel, h, g);
        int8x16_t q_high[TILE_TOKENS], q_low[TILE_TOKENS];
        UNROLL (t, tokens) {
            const int8_t *q = (const int8_t *)panel->q[token + t] + g * GROUP;
            q_high[t] = vld1q_s8(q);
            q_low[t] = vld1q_s8(q + PANEL_ROWS);
        }
        MULTIPLY_GROUP(0)
        MULTIPLY_GROUP(1)
        MULTIPLY_GROUP(2)
        MULTIPLY_GROUP(3)
    }
    UNROLL (t, tokens)
        UNROLL (v, 2) {
            int32x4_t sum = vaddq_s32(vshlq_n_s32(high[t][v], 8), low[t][v]);
            vst1q_s32(panel->sums[token + t] + 8 * h + 4 * v, sum);
        }
}

static void multiply_panel(gradient_panel *panel, int strips) {
    for (int64_t h = 0; h < 2 * strips; h++) {
        int64_t token = 0;
        for (; token + TILE_TOKENS <= panel->tokens; token += TILE_TOKENS)
            multiply_half(panel, h, token, TILE_TOKENS);
        for (; token < panel->tokens; token++) multiply_half(panel, h, token, 1);
    }
}

void neon_dotprod_ternary_matmul_t_i16(const ternary_matrix *w, int64_t col_begin, int64_t col_end,
                                       const int16_t *q, const float *scale, int64_t tokens,
                                       float *dx, int64_t lddx, bool add) {
    gradient_panels(w, col_begin, col_end, q, scale, tokens, dx, lddx, add, unpack_panel,
                    pack_token, multiply_panel);
}
#endif
