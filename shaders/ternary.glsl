// Ternary codes (base/layout.h, packing fast) as signed bytes, four a word.
#ifndef TERNARY_GLSL
#define TERNARY_GLSL

#define TERNARY_ZEROS 0x55555555u // sixteen weights 0

// The four values of one word of a block: its byte b holds value 32 * quarter + 4 * word + b.
uint ternary_values(uint word, uint quarter) {
    uint codes = (word >> (6u - 2u * quarter)) & 0x03030303u;
    return ((codes | 0x80808080u) - 0x01010101u) ^ 0x80808080u; // code - 1 without a borrow
}

uvec4 ternary_values(uvec4 words, uint quarter) {
    uvec4 codes = (words >> (6u - 2u * quarter)) & 0x03030303u;
    return ((codes | 0x80808080u) - 0x01010101u) ^ 0x80808080u;
}

// Byte c of word r becomes byte r of word c.
uvec4 transpose_bytes(uvec4 rows) {
    const uint even = 0x00ff00ffu;
    uint a = (rows.x & even) | ((rows.y & even) << 8), b = ((rows.x >> 8) & even) | (rows.y & ~even);
    uint c = (rows.z & even) | ((rows.w & even) << 8), d = ((rows.z >> 8) & even) | (rows.w & ~even);
    return uvec4((a & 0xffffu) | (c << 16), (b & 0xffffu) | (d << 16), (a >> 16) | (c & 0xffff0000u),
                 (b >> 16) | (d & 0xffff0000u));
}

#endif
