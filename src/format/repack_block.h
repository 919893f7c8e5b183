/* Single blocks of the ternary file types, for the repack files. Unpacked codes are one byte each.
 */
#ifndef WEFT_FORMAT_REPACK_BLOCK_H
#define WEFT_FORMAT_REPACK_BLOCK_H

#include "base/layout.h"
#include "format/tensor.h"

#define REPACK_TQ_BLOCK  256 /* values in a block of TQ1_0 and TQ2_0 */
#define REPACK_TQ1_BYTES 54
#define REPACK_TQ2_BYTES 66

/* The scale that follows the codes of an I2_S tensor. */
static inline float repack_i2s_scale(const tensor_view *t) {
    const uint8_t *p = t->data + t->size_bytes - TENSOR_I2_S_TRAILER;
    return f32_from_bits((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
                         (uint32_t)p[3] << 24);
}

/* One block of base/layout.h, which is also one of I2_S, as 128 codes. */
static inline void repack_unpack_block(const uint8_t *restrict block, uint8_t *restrict codes) {
    for (int n = 0; n < 4; n++)
        for (int p = 0; p < 32; p++) codes[32 * n + p] = block[p] >> (6 - 2 * n) & 3;
}

/* TQ2_0: two groups of 128 values, in the same order but from the low bits up. */
static inline void repack_unpack_tq2(const uint8_t *restrict block, uint8_t *restrict codes) {
    for (int half = 0; half < 2; half++)
        for (int n = 0; n < 4; n++)
            for (int p = 0; p < 32; p++)
                codes[128 * half + 32 * n + p] = block[32 * half + p] >> 2 * n & 3;
}

/* Digit n of `count` TQ1_0 bytes. A byte is a fraction of 256: multiplying by 3^n (power) drops the
 * digits in front, and the next one is the whole part of three times the rest. */
static inline void repack_tq1_digit(const uint8_t *restrict bytes, int count, int power,
                                    uint8_t *restrict codes) {
    for (int p = 0; p < count; p++) {
        uint8_t rest = (uint8_t)(bytes[p] * power);
        codes[p] = (uint8_t)(rest * 3 >> 8);
    }
}

/* TQ1_0: bytes 0-31 hold five digits each, 32 values apart; 32-47 five, 16 apart; 48-51 four, 4
 * apart. */
static inline void repack_unpack_tq1(const uint8_t *restrict block, uint8_t *restrict codes) {
    static const uint8_t powers[] = {1, 3, 9, 27, 81};
    for (int n = 0; n < 5; n++) {
        repack_tq1_digit(block, 32, powers[n], codes + 32 * n);
        repack_tq1_digit(block + 32, 16, powers[n], codes + 160 + 16 * n);
        if (n < 4) repack_tq1_digit(block + 48, 4, powers[n], codes + 240 + 4 * n);
    }
}

#endif
