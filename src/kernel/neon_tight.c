/* Tight rows to fast rows in NEON. The digits are taken off from the front without division: x mod
 * w of an x < 3 w is the least of x, x - w and x - 2 w as unsigned bytes. What was taken off, a
 * multiple of the weight, becomes bits by a mask or a table of its low four bits. */
#if defined(__aarch64__)
#include "kernel/neon.h"

ALWAYS_INLINE uint8x16_t rest_of(uint8x16_t x, const uint8_t weight) {
    uint8x16_t once = vsubq_u8(x, vdupq_n_u8(weight));
    uint8x16_t twice = vsubq_u8(once, vdupq_n_u8(weight));
    return vminq_u8(x, vminq_u8(once, twice));
}

/* The fast bytes of the first four digits of 16 bytes; *e gets the fifth. */
ALWAYS_INLINE uint8x16_t unpack_bytes(uint8x16_t x, uint8x16_t *e) {
    static const uint8_t middle[16] = {0, 0, 8, 0, 20, 0, 32, 0, 40, 4, 0, 16, 0, 24, 0, 36};
    static const uint8_t fourth[16] = {0, 0, 0, 1, 1, 1, 2, 2, 2};
    static const uint8_t fifth[16] = {0, 1, 2, 0, 1, 2, 0, 1, 2};
    uint8x16_t below81 = rest_of(x, 81), below9 = rest_of(rest_of(below81, 27), 9);
    uint8x16_t a = vandq_u8(vsubq_u8(x, below81), vdupq_n_u8(0xc0)); /* 0, 81, 162 */
    uint8x16_t bc = vandq_u8(vsubq_u8(below81, below9), vdupq_n_u8(15));
    uint8x16_t d = vqtbl1q_u8(vld1q_u8(fourth), below9);
    *e = vqtbl1q_u8(vld1q_u8(fifth), below9);
    return vorrq_u8(vorrq_u8(a, vqtbl1q_u8(vld1q_u8(middle), bc)), d);
}

/* Bytes 0..15 and 10..25, so that nothing past the block is read, and so that the digits e of four
 * bytes in turn are one fast byte: the second vector has bytes 26..29, the first 30 and 31. */
ALWAYS_INLINE void unpack_block(const uint8_t *block, uint8_t *out) {
    static const int8_t shifts[16] = {6, 4, 2, 0, 6, 4, 2, 0, 6, 4, 2, 0, 6, 4, 2, 0};
    uint8x16_t e[2];
    vst1q_u8(out, unpack_bytes(vld1q_u8(block), &e[0]));
    vst1q_u8(out + 10, unpack_bytes(vld1q_u8(block + 10), &e[1]));
    uint8x16_t first = vshlq_u8(e[1], vld1q_s8(shifts)), last = vshlq_u8(e[0], vld1q_s8(shifts));
    uint8x16_t pairs = vpaddq_u8(first, last), six = vpaddq_u8(pairs, pairs);
    uint8_t bytes[16];
    vst1q_u8(bytes, six);
    memcpy(out + TERNARY_TIGHT_BYTES, bytes, TERNARY_TIGHT_SPREAD);
}

void neon_ternary_unpack_rows(const ternary_matrix *w, int64_t row_begin, int64_t row_end,
                              int64_t col_begin, int64_t col_end, uint8_t *out) {
    size_t row_bytes = ternary_row_bytes_of(TERNARY_TIGHT, w->cols);
    size_t first = (size_t)(col_begin / TERNARY_BLOCK) * TERNARY_TIGHT_BYTES;
    for (int64_t row = row_begin; row < row_end; row++) {
        const uint8_t *block = w->codes + (size_t)row * row_bytes + first;
        for (int64_t col = col_begin; col < col_end; col += TERNARY_BLOCK) {
            unpack_block(block, out);
            block += TERNARY_TIGHT_BYTES;
            out += TERNARY_BLOCK_BYTES;
        }
    }
}
#endif
