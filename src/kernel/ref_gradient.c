/* Scalar C of the transposed ternary product on 16-bit gradients. */
#include "kernel/ref.h"

#include <math.h>

enum { TOKEN_TILE = 16 /* tokens that share an unpacked row of a block */ };

static int64_t min_i64(int64_t a, int64_t b) {
    return a < b ? a : b;
}

void ref_gradient_row(const float *x, int64_t n, int16_t *q, float *scale) {
    float highest = GRADIENT_LEAST, poison = 0; /* NaN as soon as a value is not finite */
    for (int64_t i = 0; i < n; i++) {
        highest = fmaxf(highest, fabsf(x[i]));
        poison += x[i] * 0.0f;
    }
    float s = (float)GRADIENT_MOST / highest + poison, most = GRADIENT_MOST;
    for (int64_t i = 0; i < n; i++)
        q[i] = (int16_t)fminf(fmaxf(nearbyintf(x[i] * s), -most), most);
    memset(q + n, 0, (size_t)(gradient_padded(n) - n) * sizeof *q);
    *scale = s;
}

/* isum[t][c] = sum_j q[t][j] * T[j][col + c] for up to TOKEN_TILE tokens. */
static void block_sums(const ternary_matrix *w, int64_t col, const int16_t *q, int64_t tokens,
                       int32_t sums[TOKEN_TILE][TERNARY_BLOCK]) {
    int64_t ldq = gradient_padded(w->rows);
    size_t row_bytes = ternary_row_bytes(w->cols);
    const uint8_t *block = w->codes + col / 4;
    int8_t values[TERNARY_BLOCK];
    memset(sums, 0, sizeof(int32_t) * TOKEN_TILE * TERNARY_BLOCK);
    for (int64_t row = 0; row < w->rows; row++, block += row_bytes) {
        for (int p = 0; p < TERNARY_BLOCK_BYTES; p++)
            for (int i = 0; i < 4; i++)
                values[32 * i + p] = (int8_t)((block[p] >> (6 - 2 * i) & 3) - 1);
        for (int64_t t = 0; t < tokens; t++) {
            int32_t value = q[t * ldq + row];
            for (int c = 0; c < TERNARY_BLOCK; c++) sums[t][c] += value * values[c];
        }
    }
}

void ref_ternary_matmul_t_i16(const ternary_matrix *w, int64_t col_begin, int64_t col_end,
                              const int16_t *q, const float *scale, int64_t tokens, float *dx,
                              int64_t lddx, bool add) {
    int32_t sums[TOKEN_TILE][TERNARY_BLOCK];
    for (int64_t col = col_begin; col < col_end; col += TERNARY_BLOCK) {
        int64_t width = min_i64(TERNARY_BLOCK, col_end - col);
        for (int64_t t = 0; t < tokens; t += TOKEN_TILE) {
            int64_t count = min_i64(TOKEN_TILE, tokens - t);
            block_sums(w, col, q + t * gradient_padded(w->rows), count, sums);
            for (int64_t i = 0; i < count; i++) {
                float factor = w->scale / scale[t + i], *out = dx + (t + i) * lddx + col;
                for (int64_t c = 0; c < width; c++) {
                    float value = (float)sums[i][c] * factor;
                    out[c] = add ? out[c] + value : value;
                }
            }
        }
    }
}
