/* THE in-memory blocks that every layer agrees on: ternary weights, and small float conversions.
 *
 * Ternary matrix, packing `fast`: each row of `cols` values is cut into blocks of 128; a block is
 * 32 bytes, byte p (0..31) holds values p, 32+p, 64+p, 96+p in bits 7-6, 5-4, 3-2, 1-0; code =
 * value + 1 in {0, 1, 2}. A row takes ternary_row_bytes(cols); values past `cols` in its last block
 * have code 1 (zero). This is the byte order of an I2_S file whose rows are a multiple of 128, so
 * such a file is computed from where it is mapped. */
#ifndef WEFT_BASE_LAYOUT_H
#define WEFT_BASE_LAYOUT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define TERNARY_BLOCK       128 /* values */
#define TERNARY_BLOCK_BYTES 32
#define TERNARY_ZERO_BYTE   0x55 /* four codes 1 */

_Static_assert(TERNARY_BLOCK == 4 * TERNARY_BLOCK_BYTES, "two bits a value");

/* A frozen weight matrix W = scale * T, T (rows, cols) in {-1, 0, +1}; rows = output features.
 * Borrows its codes (a mapping or an allocation of the model), which outlive it; no alignment is
 * promised. */
typedef struct ternary_matrix {
    const uint8_t *codes; /* (rows, row_bytes) */
    int64_t rows, cols;
    float scale;
} ternary_matrix;

static inline size_t round_up(size_t n, size_t unit) {
    return (n + unit - 1) / unit * unit;
}

/* Columns after padding to whole blocks: the row length of quantised activations too. */
static inline int64_t ternary_padded(int64_t cols) {
    return (cols + TERNARY_BLOCK - 1) / TERNARY_BLOCK * TERNARY_BLOCK;
}

static inline size_t ternary_row_bytes(int64_t cols) {
    return (size_t)ternary_padded(cols) / 4;
}

/* Value at (row, col) in {-1, 0, 1}: the definition of the packing, for tests and slow paths. */
static inline int ternary_get(const ternary_matrix *w, int64_t row, int64_t col) {
    const uint8_t *block = w->codes + (size_t)row * ternary_row_bytes(w->cols) +
                           (size_t)(col / TERNARY_BLOCK) * TERNARY_BLOCK_BYTES;
    int64_t in_block = col % TERNARY_BLOCK;
    return (block[in_block % 32] >> (6 - 2 * (in_block / 32)) & 3) - 1;
}

/* Write codes[0..127] (each 0, 1 or 2) as one block. */
static inline void ternary_pack_block(const uint8_t *restrict codes, uint8_t *restrict block) {
    for (int p = 0; p < 32; p++)
        block[p] =
            (uint8_t)(codes[p] << 6 | codes[32 + p] << 4 | codes[64 + p] << 2 | codes[96 + p]);
}

static inline float f32_from_bits(uint32_t bits) {
    float f;
    memcpy(&f, &bits, 4);
    return f;
}

static inline uint32_t f32_to_bits(float f) {
    uint32_t bits;
    memcpy(&bits, &f, 4);
    return bits;
}

static inline float bf16_to_f32(uint16_t h) {
    return f32_from_bits((uint32_t)h << 16);
}

/* Round to nearest even; NaN stays NaN. */
static inline uint16_t bf16_from_f32(float f) {
    uint32_t u = f32_to_bits(f);
    if ((u & 0x7fffffff) > 0x7f800000) return (uint16_t)(u >> 16 | 0x40);
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

static inline float f16_to_f32(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, mantissa = h & 0x3ff;
    if (exponent == 31) return f32_from_bits(sign | 0x7f800000 | mantissa << 13);
    if (exponent) return f32_from_bits(sign | (exponent + 112) << 23 | mantissa << 13);
    float tiny = (float)mantissa * 0x1p-24f; /* subnormal: exact */
    return f32_from_bits(sign | f32_to_bits(tiny));
}

/* Round to nearest even; overflow gives infinity, NaN stays NaN. */
static inline uint16_t f16_from_f32(float f) {
    uint32_t u = f32_to_bits(f), sign = u >> 16 & 0x8000;
    u &= 0x7fffffff;
    if (u > 0x7f800000) return (uint16_t)(sign | 0x7e00);
    if (u >= 0x477ff000) return (uint16_t)(sign | 0x7c00);
    if (u < 0x38800000) { /* subnormal half: let float addition round at 2^-24 */
        float shifted = f32_from_bits(u) + 0.5f;
        return (uint16_t)(sign | (f32_to_bits(shifted) - f32_to_bits(0.5f)));
    }
    u += 0xfff + (u >> 13 & 1);
    return (uint16_t)(sign | (u - 0x38000000) >> 13);
}

#endif
