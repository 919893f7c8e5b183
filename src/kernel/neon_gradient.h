/* What the products of 16-bit gradients share: a panel of weights, multiplied by the gradients of a
 * panel of tokens. A level brings its own order of the weights and its own inner loop. */
#ifndef WEFT_KERNEL_NEON_GRADIENT_H
#define WEFT_KERNEL_NEON_GRADIENT_H

#include "kernel/neon.h"
#include "kernel/vec.h"

enum {
    PANEL_TOKENS = 64, /* whose gradients are copied side by side: 16 KiB */
    PANEL_ROWS = 128   /* rows of the matrix unpacked at a time: 32 KiB as int16 */
};

typedef struct gradient_panel {
    _Alignas(64) int16_t weights[TERNARY_BLOCK * PANEL_ROWS]; /* in the order of the level */
    _Alignas(64) int16_t q[PANEL_TOKENS][PANEL_ROWS];         /* as well */
    _Alignas(64) int32_t sums[PANEL_TOKENS][TERNARY_BLOCK];   /* of the rows up to this panel */
    int64_t tokens, rows;
} gradient_panel;

/* Fills weights with panel->rows rows of the block at col, from `row` on. */
typedef void unpack_panel_function(gradient_panel *panel, const ternary_matrix *w, int64_t row,
                                   int64_t col);
/* Fills a row of panel->q with panel->rows gradients; they may be read up to gradient_padded. */
typedef void pack_token_function(gradient_panel *panel, int64_t token, const int16_t *q);
/* Adds the products in the first `strips` strips to the sums. */
typedef void multiply_panel_function(gradient_panel *panel, int strips);

static inline void store_sums(const int32_t *sums, int64_t width, float factor, float *out,
                              bool add) {
    for (int64_t c = 0; c < width; c += 4) {
        float32x4_t value = vmulq_n_f32(vcvtq_f32_s32(vld1q_s32(sums + c)), factor);
        if (add) value = vaddq_f32(load_lanes(out + c, width - c), value);
        store_lanes(out + c, width - c, value);
    }
}

ALWAYS_INLINE void gradient_panels(const ternary_matrix *w, int64_t col_begin, int64_t col_end,
                                   const int16_t *q, const float *scale, int64_t tokens, float *dx,
                                   int64_t lddx, bool add, unpack_panel_function *unpack,
                                   pack_token_function *pack, multiply_panel_function *multiply) {
    gradient_panel panel;
    int64_t ldq = gradient_padded(w->rows);
    for (int64_t first = 0; first < tokens; first += PANEL_TOKENS) {
        panel.tokens = min_i64(PANEL_TOKENS, tokens - first);
        for (int64_t col = col_begin; col < col_end; col += TERNARY_BLOCK) {
            int64_t width = min_i64(TERNARY_BLOCK, col_end - col);
            memset(panel.sums, 0, sizeof panel.sums);
            for (int64_t row = 0; row < w->rows; row += PANEL_ROWS) {
                panel.rows = min_i64(PANEL_ROWS, w->rows - row);
                unpack(&panel, w, row, col);
                for (int64_t t = 0; t < panel.tokens; t++)
                    pack(&panel, t, q + (first + t) * ldq + row);
                multiply(&panel, (int)((width + STRIP - 1) / STRIP));
            }
            for (int64_t t = 0; t < panel.tokens; t++)
                store_sums(panel.sums[t], width, w->scale / scale[first + t],
                           dx + (first + t) * lddx + col, add);
        }
    }
}

#endif
