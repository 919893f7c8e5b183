// Values of dense matrices as they lie in a file (kernel/dense_span.h), for shaders that define
// WORDS(i): word i of the rows, which begin at multiples of 4 bytes.
#ifndef DENSE_GLSL
#define DENSE_GLSL

#define DENSE_F32  0 // kernel.h
#define DENSE_F16  1
#define DENSE_BF16 2
#define DENSE_Q8_0 3
#define DENSE_Q6_K 4

uint dense_byte(uint at) {
    return WORDS(at / 4) >> at % 4 * 8 & 0xffu;
}

// `at` is even.
uint dense_half(uint at) {
    return WORDS(at / 4) >> at % 4 * 8 & 0xffffu;
}

int dense_int8(uint at) {
    return int(dense_byte(at) << 24) >> 24;
}

// In integers: the conversions of Vulkan may lose subnormal numbers.
float dense_f16(uint h) {
    uint sign = (h & 0x8000u) << 16, exponent = h >> 10 & 31u, mantissa = h & 0x3ffu;
    if (exponent == 31) return uintBitsToFloat(sign | 0x7f800000u | mantissa << 13);
    if (exponent != 0) return uintBitsToFloat(sign | (exponent + 112) << 23 | mantissa << 13);
    return (sign != 0 ? -1.0 : 1.0) * (float(mantissa) * (1.0 / 16777216.0));
}

// A block: f16 d, 32 int8.
float dense_q8_0(uint row, uint k) {
    uint block = row + k / 32 * 34;
    return dense_f16(dense_half(block)) * float(dense_int8(block + 2 + k % 32));
}

// A block: low 4 bits of 256 values in 128 bytes, high 2 bits in 64, 16 int8 scales, f16 d.
float dense_q6_k(uint row, uint k) {
    uint block = row + k / 256 * 210, part = k % 256 / 128, quarter = k % 128 / 32, i = k % 32;
    uint low = dense_byte(block + part * 64 + quarter % 2 * 32 + i) >> quarter / 2 * 4 & 15u;
    uint high = dense_byte(block + 128 + part * 32 + i) >> quarter * 2 & 3u;
    int scale = dense_int8(block + 192 + part * 8 + quarter * 2 + i / 16);
    precise float factor = dense_f16(dense_half(block + 208)) * float(scale);
    return factor * float(int(low | high << 4) - 32);
}

// Value k of the row that begins at byte `row`.
float dense_value(uint type, uint row, uint k) {
    switch (type) {
    case DENSE_F32: return uintBitsToFloat(WORDS(row / 4 + k));
    case DENSE_F16: return dense_f16(dense_half(row + 2 * k));
    case DENSE_BF16: return uintBitsToFloat(dense_half(row + 2 * k) << 16);
    case DENSE_Q8_0: return dense_q8_0(row, k);
    default: return dense_q6_k(row, k);
    }
}

#endif
