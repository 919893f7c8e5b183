/* Dense weight encodings to float32, for every ISA file: each value is computed with one rounding
 * at most, so the results are the same bits whatever the compiler makes of the loops. */
#ifndef WEFT_KERNEL_DENSE_SPAN_H
#define WEFT_KERNEL_DENSE_SPAN_H

#include "kernel/kernel.h"

enum {
    Q8_0_VALUES = 32,
    Q8_0_BYTES = 34, /* f16 d, 32 int8; value = d * q */
    Q6_K_VALUES = 256,
    Q6_K_HALF = 128,
    Q6_K_BYTES = 210, /* ql[128], qh[64], int8 scales[16], f16 d; value = d * scale * (q - 32) */
    DENSE_SPAN = 256  /* values: the longest span; whole blocks of every type */
};

static inline uint16_t u16_at(const uint8_t *p) {
    return (uint16_t)(p[0] | p[1] << 8);
}

static inline void q8_0_block(const uint8_t *block, float *out) {
    float d = f16_to_f32(u16_at(block));
    for (int i = 0; i < Q8_0_VALUES; i++) out[i] = d * (float)(int8_t)block[2 + i];
}

/* The codes q - 32 of a half block of 128 values, which takes 64 bytes of ql, 32 of qh and 8
 * scales; a scale covers 16 values. */
static inline void q6_k_codes(const uint8_t *restrict ql, const uint8_t *restrict qh,
                              int8_t *restrict codes) {
    for (int i = 0; i < 32; i++) {
        codes[i] = (int8_t)(((ql[i] & 15) | (qh[i] & 3) << 4) - 32);
        codes[32 + i] = (int8_t)(((ql[32 + i] & 15) | (qh[i] >> 2 & 3) << 4) - 32);
        codes[64 + i] = (int8_t)((ql[i] >> 4 | (qh[i] >> 4 & 3) << 4) - 32);
        codes[96 + i] = (int8_t)((ql[32 + i] >> 4 | (qh[i] >> 6) << 4) - 32);
    }
}

static inline void q6_k_block(const uint8_t *block, float *out) {
    const uint8_t *ql = block, *qh = block + 128, *scales = block + 192;
    float d = f16_to_f32(u16_at(block + 208));
    int8_t codes[Q6_K_VALUES];
    q6_k_codes(ql, qh, codes);
    q6_k_codes(ql + 64, qh + 32, codes + Q6_K_HALF);
    for (int i = 0; i < Q6_K_VALUES; i++) {
        float scale = d * (float)(int8_t)scales[i / 16]; /* exact: 11 + 7 bits */
        out[i] = scale * (float)codes[i];
    }
}

/* Values [begin, begin + count) of a row; begin is a multiple of DENSE_SPAN, count at most that. */
static inline void dense_span(const dense_matrix *w, int64_t row, int64_t begin, int64_t count,
                              float *out) {
    const uint8_t *bytes = w->data + (size_t)row * w->row_bytes;
    switch (w->type) {
    case DENSE_F32:
        memcpy(out, bytes + begin * 4, (size_t)count * 4);
        break;
    case DENSE_F16:
        for (int64_t i = 0; i < count; i++) out[i] = f16_to_f32(u16_at(bytes + (begin + i) * 2));
        break;
    case DENSE_BF16:
        for (int64_t i = 0; i < count; i++) out[i] = bf16_to_f32(u16_at(bytes + (begin + i) * 2));
        break;
    case DENSE_Q8_0:
        for (int64_t i = 0; i < count; i += Q8_0_VALUES)
            q8_0_block(bytes + (begin + i) / Q8_0_VALUES * Q8_0_BYTES, out + i);
        break;
    case DENSE_Q6_K:
        q6_k_block(bytes + begin / Q6_K_VALUES * Q6_K_BYTES, out);
        break;
    }
}

#endif
