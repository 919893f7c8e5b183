// Eight neighbouring values of a dense matrix at once, for shaders that stream it. Beside WORDS(i)
// they define WORDS4(i): words i .. i + 3 as a uvec4.
#include "dense.glsl"

// Exact where a conversion keeps subnormal numbers or not.
vec2 dense_two(uint word) {
    if ((word & 0x7c00u) == 0 || (word & 0x7c000000u) == 0)
        return vec2(dense_f16(word & 0xffffu), dense_f16(word >> 16));
    return unpackHalf2x16(word);
}

vec2 dense_two_bf16(uint word) {
    return vec2(uintBitsToFloat(word << 16), uintBitsToFloat(word & 0xffff0000u));
}

// The word at byte `at`, which is even.
uint dense_word(uint at) {
    uint word = WORDS(at / 4);
    return at % 4 == 0 ? word : word >> 16 | WORDS(at / 4 + 1) << 16;
}

vec4 dense_bytes(uint word) {
    ivec4 bytes = ivec4(uvec4(word << 24, word << 16, word << 8, word)) >> 24;
    return vec4(bytes);
}

void dense_eight_q8_0(uint row, uint k, out vec4 low, out vec4 high) {
    uint block = row + k / 32 * 34;
    float d = dense_f16(dense_half(block));
    low = d * dense_bytes(dense_word(block + 2 + k % 32));
    high = d * dense_bytes(dense_word(block + 6 + k % 32));
}

vec4 dense_four_q6_k(uint block, uint k, float factor) {
    uint part = k / 128, quarter = k % 128 / 32, i = k % 32;
    uint low = dense_word(block + part * 64 + quarter % 2 * 32 + i) >> quarter / 2 * 4;
    uint high = dense_word(block + 128 + part * 32 + i) >> quarter * 2;
    uint q = (low & 0x0f0f0f0fu) | (high & 0x03030303u) << 4;
    return factor * vec4(ivec4(q & 0xffu, q >> 8 & 0xffu, q >> 16 & 0xffu, q >> 24) - 32);
}

void dense_eight_q6_k(uint row, uint k, out vec4 low, out vec4 high) {
    uint block = row + k / 256 * 210, at = k % 256;
    precise float factor =
        dense_f16(dense_half(block + 208)) * float(dense_int8(block + 192 + at / 16));
    low = dense_four_q6_k(block, at, factor);
    high = dense_four_q6_k(block, at + 4, factor);
}

// Values k .. k + 7 of the row that begins at byte `row`; k is a multiple of 8.
void dense_eight(uint type, uint row, uint k, out vec4 low, out vec4 high) {
    if (type == DENSE_F32) {
        low = uintBitsToFloat(WORDS4(row / 4 + k));
        high = uintBitsToFloat(WORDS4(row / 4 + k + 4));
    } else if (type == DENSE_F16) {
        uvec4 words = WORDS4(row / 4 + k / 2);
        low = vec4(dense_two(words.x), dense_two(words.y));
        high = vec4(dense_two(words.z), dense_two(words.w));
    } else if (type == DENSE_BF16) {
        uvec4 words = WORDS4(row / 4 + k / 2);
        low = vec4(dense_two_bf16(words.x), dense_two_bf16(words.y));
        high = vec4(dense_two_bf16(words.z), dense_two_bf16(words.w));
    } else if (type == DENSE_Q8_0) {
        dense_eight_q8_0(row, k, low, high);
    } else {
        dense_eight_q6_k(row, k, low, high);
    }
}
