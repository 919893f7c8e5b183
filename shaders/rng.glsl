// The counter-based generator of base/rng.h: 64-bit numbers as (low, high).
#ifndef RNG_GLSL
#define RNG_GLSL

uvec2 u64_add(uvec2 a, uvec2 b) {
    uint carry, low = uaddCarry(a.x, b.x, carry);
    return uvec2(low, a.y + b.y + carry);
}

uvec2 u64_multiply(uvec2 a, uvec2 b) {
    uint low, high;
    umulExtended(a.x, b.x, high, low);
    return uvec2(low, high + a.x * b.y + a.y * b.x);
}

// a ^ a >> by, 0 < by < 32
uvec2 u64_fold(uvec2 a, int by) {
    return a ^ uvec2(a.x >> by | a.y << (32 - by), a.y >> by);
}

// The upper 24 bits of number `index` after the one whose counter (seed and index multiplied and
// added, before the bits are mixed) is `start`.
uint rng_24_bits(uvec2 start, uint index) {
    uvec2 z = u64_add(start, u64_multiply(uvec2(0xde82ef95u, 0xd1342543u),
                                          uvec2(index, 0)));
    z = u64_multiply(u64_fold(z, 30), uvec2(0x1ce4e5b9u, 0xbf58476du));
    z = u64_multiply(u64_fold(z, 27), uvec2(0x133111ebu, 0x94d049bbu));
    return u64_fold(z, 31).y >> 8;
}

#endif
