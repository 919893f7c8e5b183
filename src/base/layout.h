/* THE in-memory blocks that every layer agrees on: ternary weights, and small float conversions.
 *
 * Ternary matrix, packing `fast`: each row of `cols` values is cut into blocks of 128; a block is
 * 32 bytes, byte p (0..31) holds values p, 32+p, 64+p, 96+p in bits 7-6, 5-4, 3-2, 1-0; code =
 * value + 1 in {0, 1, 2}. A row takes ternary_row_bytes(cols); values past `cols` in its last block
 * have code 1 (zero). This is the byte order of an I2_S file whose rows are a multiple of 128, so
 * such a file is computed from where it is mapped.
 *
 * Packing `tight`: a block is 26 bytes, 1.625 bits a value, each byte five codes in base 3. Byte p
 * (0..25) is 81 a + 27 b + 9 c + 3 d + e, where a, b, c, d are the codes of values p, 32+p, 64+p,
 * 96+p: those of byte p of the fast block. The six last bytes of the fast block are spread over the
 * digits e: byte (10 + 4 g + n) % 26 has the code of value 32 n + 26 + g, g = 0..5, n = 0..3; bytes
 * 8 and 9 have e = 0. No byte is above 242. Padding is as in `fast`. */
#ifndef WEFT_BASE_LAYOUT_H
#define WEFT_BASE_LAYOUT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define TERNARY_BLOCK       128 /* values */
#define TERNARY_BLOCK_BYTES 32
#define TERNARY_ZERO_BYTE   0x55 /* four codes 1 */

#define TERNARY_TIGHT_BYTES  26
#define TERNARY_TIGHT_SPREAD 6   /* fast bytes that are spread over the digits e */
#define TERNARY_TIGHT_MAX    242 /* largest byte */

_Static_assert(TERNARY_BLOCK == 4 * TERNARY_BLOCK_BYTES, "two bits a value");
_Static_assert(TERNARY_TIGHT_BYTES + TERNARY_TIGHT_SPREAD == TERNARY_BLOCK_BYTES &&
                   4 * TERNARY_TIGHT_SPREAD <= TERNARY_TIGHT_BYTES,
               "one digit e a byte");

typedef enum ternary_packing { TERNARY_FAST, TERNARY_TIGHT } ternary_packing;

/* A frozen weight matrix W = scale * T, T (rows, cols) in {-1, 0, +1}; rows = output features.
 * Borrows its codes (a mapping or an allocation of the model), which outlive it; no alignment is
 * promised. */
typedef struct ternary_matrix {
    const uint8_t *codes; /* (rows, ternary_row_bytes_of(packing, cols)) */
    int64_t rows, cols;
    float scale;
    ternary_packing packing;
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

static inline size_t ternary_block_bytes(ternary_packing packing) {
    return packing == TERNARY_TIGHT ? TERNARY_TIGHT_BYTES : TERNARY_BLOCK_BYTES;
}

static inline size_t ternary_row_bytes_of(ternary_packing packing, int64_t cols) {
    return (size_t)(ternary_padded(cols) / TERNARY_BLOCK) * ternary_block_bytes(packing);
}

/* The tight byte whose digit e belongs to value 32 n + 26 + g. */
static inline int ternary_tight_spread(int g, int n) {
    return (10 + 4 * g + n) % TERNARY_TIGHT_BYTES;
}

/* Value at (row, col) in {-1, 0, 1}: the definition of the packings, for tests and slow paths. */
static inline int ternary_get(const ternary_matrix *w, int64_t row, int64_t col) {
    static const int powers[] = {81, 27, 9, 3};
    const uint8_t *block = w->codes + (size_t)row * ternary_row_bytes_of(w->packing, w->cols) +
                           (size_t)(col / TERNARY_BLOCK) * ternary_block_bytes(w->packing);
    int p = (int)(col % 32), n = (int)(col % TERNARY_BLOCK / 32);
    if (w->packing == TERNARY_FAST) return (block[p] >> (6 - 2 * n) & 3) - 1;
    if (p < TERNARY_TIGHT_BYTES) return block[p] / powers[n] % 3 - 1;
    return block[ternary_tight_spread(p - TERNARY_TIGHT_BYTES, n)] % 3 - 1;
}

/* Write codes[0..127] (each 0, 1 or 2) as one fast block. */
static inline void ternary_pack_block(const uint8_t *restrict codes, uint8_t *restrict block) {
    for (int p = 0; p < 32; p++)
        block[p] =
            (uint8_t)(codes[p] << 6 | codes[32 + p] << 4 | codes[64 + p] << 2 | codes[96 + p]);
}

/* The same as one tight block. */
static inline void ternary_pack_tight_block(const uint8_t *restrict codes,
                                            uint8_t *restrict block) {
    for (int p = 0; p < TERNARY_TIGHT_BYTES; p++)
        block[p] =
            (uint8_t)(81 * codes[p] + 27 * codes[32 + p] + 9 * codes[64 + p] + 3 * codes[96 + p]);
    for (int g = 0; g < TERNARY_TIGHT_SPREAD; g++)
        for (int n = 0; n < 4; n++)
            block[ternary_tight_spread(g, n)] += codes[32 * n + TERNARY_TIGHT_BYTES + g];
}

static inline void ternary_pack(ternary_packing packing, const uint8_t *restrict codes,
                                uint8_t *restrict block) {
    if (packing == TERNARY_TIGHT)
        ternary_pack_tight_block(codes, block);
    else
        ternary_pack_block(codes, block);
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
