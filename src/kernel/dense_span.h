/* Dense weight encodings to float32, for every ISA file: each value is computed with one rounding
 * at most, so the results are the same bits whatever the compiler makes of the loops. */
#ifndef WEFT_KERNEL_DENSE_SPAN_H
#define WEFT_KERNEL_DENSE_SPAN_H

#include "kernel/simd.h"

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
 * scales; a scale covers 16 values. Vectors shift words, not bytes: what crosses a byte is masked
 * off. */
ALWAYS_INLINE void q6_k_codes(const uint8_t *ql, const uint8_t *qh, int8_t *codes) {
    typedef uint16_t words __attribute__((vector_size(32)));
    typedef int8_t bytes __attribute__((vector_size(32)));
    words low[2], high, q[4];
    memcpy(&low[0], ql, sizeof low[0]); /* each into a register */
    memcpy(&low[1], ql + 32, sizeof low[1]);
    memcpy(&high, qh, sizeof high);
    q[0] = (low[0] & 0x0f0f) | (high << 4 & 0x3030);
    q[1] = (low[1] & 0x0f0f) | (high << 2 & 0x3030);
    q[2] = (low[0] >> 4 & 0x0f0f) | (high & 0x3030);
    q[3] = (low[1] >> 4 & 0x0f0f) | (high >> 2 & 0x3030);
    UNROLL (i, 4) {
        const bytes centred = (bytes)q[i] - 32;
        memcpy(codes + 32 * i, &centred, sizeof centred);
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
