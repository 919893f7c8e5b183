/* The transposed ternary product on 16-bit gradients with AVX-512 VNNI: vpdpwssd adds the products
 * of two rows at once, so weights lie in pairs of rows, (T[j][k], T[j + 1][k]), and a gradient is
 * broadcast as a pair. */
#if defined(__x86_64__)
#include "kernel/avx512.h"

#include "kernel/avx512_vnni.h"

enum {
    STEP = 6,           /* tokens multiplied at once */
    VECTORS = 4,        /* of 16 columns: 24 sums */
    PANEL_TOKENS = 66,  /* whose gradients are copied side by side: 16 KiB */
    PANEL_ROWS = 128,   /* rows of the matrix unpacked at a time */
    LINE = 16 * VECTORS /* columns of half a block */
};

typedef struct gradient_panel {
    _Alignas(64) int16_t weights[2][PANEL_ROWS / 2][LINE][2]; /* of the halves of a block */
    _Alignas(64) int16_t q[PANEL_TOKENS][PANEL_ROWS];
    _Alignas(64) int32_t sums[PANEL_TOKENS][2][LINE]; /* of the rows before this panel */
    int64_t tokens, pairs;
} gradient_panel;

/* Two rows of a block as pair `pair`: a lane takes a byte of each, in its halves, and so four
 * columns of both. */
ALWAYS_INLINE void unpack_pair(gradient_panel *panel, int64_t pair, const uint8_t *first,
                               const uint8_t *second) {
    const __m512i mask = _mm512_set1_epi16(3), one = _mm512_set1_epi16(1);
    for (int p = 0; p < TERNARY_BLOCK_BYTES; p += LANES) {
        __m512i high = _mm512_slli_epi32(load_codes(second + p), 16);
        __m512i packed = _mm512_or_si512(load_codes(first + p), high);
        for (int i = 0; i < 4; i++) {
            __m512i codes =
                _mm512_and_si512(_mm512_srli_epi32(packed, (unsigned)(6 - 2 * i)), mask);
            _mm512_store_si512(panel->weights[i / 2][pair][i % 2 * 32 + p],
                               _mm512_sub_epi16(codes, one));
        }
    }
}

/* An odd last row is taken twice: the gradients after it are zero. */
static void unpack_panel(gradient_panel *panel, const ternary_matrix *w, int64_t row, int64_t col) {
    size_t row_bytes = ternary_row_bytes(w->cols);
    const uint8_t *block = w->codes + (size_t)row * row_bytes + (size_t)col / 4;
    int64_t rows = min_i64(PANEL_ROWS, w->rows - row);
    panel->pairs = (rows + 1) / 2;
    for (int64_t p = 0; p < panel->pairs; p++, block += 2 * row_bytes)
        unpack_pair(panel, p, block, 2 * p + 1 < rows ? block + row_bytes : block);
}

/* `tokens` (a constant after inlining) tokens from `token` by half a block of columns. */
ALWAYS_INLINE void multiply_half(gradient_panel *panel, int half, int64_t token, const int tokens) {
    __m512i sums[STEP][VECTORS];
    const int16_t *weights = panel->weights[half][0][0], *q = panel->q[token];
    int32_t *kept = panel->sums[token][half];
    UNROLL (t, tokens) {
        UNROLL (v, VECTORS) sums[t][v] = _mm512_load_si512(kept + t * TERNARY_BLOCK + 16 * v);
    }
    for (int64_t p = 0; p < panel->pairs; p++, weights += 2 * LINE, q += 2) {
        UNROLL (t, tokens) {
            int32_t pair;
            memcpy(&pair, q + t * PANEL_ROWS, sizeof pair);
            __m512i x = _mm512_set1_epi32(pair);
            UNROLL (v, VECTORS) {
                __m512i pairs = _mm512_load_si512(weights + 32 * v);
                sums[t][v] = _mm512_dpwssd_epi32(sums[t][v], x, pairs);
            }
        }
    }
    UNROLL (t, tokens) {
        UNROLL (v, VECTORS) _mm512_store_si512(kept + t * TERNARY_BLOCK + 16 * v, sums[t][v]);
    }
}

/* Functions of their own, as in avx512_int.h. */
NEVER_INLINE void multiply_6(gradient_panel *panel, int half, int64_t token) {
    multiply_half(panel, half, token, STEP);
}
NEVER_INLINE void multiply_1(gradient_panel *panel, int half, int64_t token) {
    multiply_half(panel, half, token, 1);
}

static void multiply_panel(gradient_panel *panel, int halves) {
    for (int half = 0; half < halves; half++) {
        int64_t token = 0;
        for (; token + STEP <= panel->tokens; token += STEP) multiply_6(panel, half, token);
        for (; token < panel->tokens; token++) multiply_1(panel, half, token);
    }
}

static void store_sums(const int32_t *sums, int64_t width, float factor, float *out, bool add) {
    for (int64_t c = 0; c < width; c += LANES) {
        vec value = _mm512_cvtepi32_ps(_mm512_load_si512(sums + c)) * vec_set(factor);
        if (add) value = vec_load_some(out + c, width - c) + value;
        vec_store_some(out + c, width - c, value);
    }
}

void avx512_vnni_ternary_matmul_t_i16(const ternary_matrix *w, int64_t col_begin, int64_t col_end,
                                      const int16_t *q, const float *scale, int64_t tokens,
                                      float *dx, int64_t lddx, bool add) {
    gradient_panel panel;
    int64_t ldq = gradient_padded(w->rows);
    for (int64_t first = 0; first < tokens; first += PANEL_TOKENS) {
        panel.tokens = min_i64(PANEL_TOKENS, tokens - first);
        for (int64_t col = col_begin; col < col_end; col += TERNARY_BLOCK) {
            int64_t width = min_i64(TERNARY_BLOCK, col_end - col);
            memset(panel.sums, 0, (size_t)panel.tokens * sizeof panel.sums[0]);
            for (int64_t row = 0; row < w->rows; row += PANEL_ROWS) {
                unpack_panel(&panel, w, row, col);
                for (int64_t t = 0; t < panel.tokens; t++)
                    memcpy(panel.q[t], q + (first + t) * ldq + row,
                           (size_t)panel.pairs * 2 * sizeof *q);
                multiply_panel(&panel, width > LINE ? 2 : 1);
            }
            for (int64_t t = 0; t < panel.tokens; t++)
                store_sums(panel.sums[t][0], width, w->scale / scale[first + t],
                           dx + (first + t) * lddx + col, add);
        }
    }
}
#endif
