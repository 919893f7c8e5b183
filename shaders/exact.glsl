// Float division, correctly rounded (to nearest, ties to even), in integers: Vulkan promises its own
// to 2.5 units in the last place only, and the scales of rounded rows must be the CPU's bits.
#ifndef EXACT_GLSL
#define EXACT_GLSL

#define EXACT_NAN      0x7fc00000u
#define EXACT_INFINITY 0x7f800000u

// The mantissa of a positive number's bits, shifted to have bit 23 set, and its biased exponent,
// which is 0 or less for a subnormal one.
uint exact_mantissa(uint bits, out int exponent) {
    exponent = int(bits >> 23);
    if (exponent != 0) return (bits & 0x7fffffu) | 0x800000u;
    int shift = 23 - findMSB(bits);
    exponent = 1 - shift;
    return bits << shift;
}

// value * 2^(exponent - 127 - 24), value in [2^24, 2^25), as the bits of a positive float; `rest`
// says that the number is a little larger than value.
uint exact_round(uint value, int exponent, bool rest) {
    int drop = exponent > 0 ? 1 : min(2 - exponent, 26); // bits that a float has no room for
    uint kept = value >> drop, lost = value & ((1u << drop) - 1u), tie = 1u << (drop - 1);
    bool up = lost > tie || (lost == tie && (rest || (kept & 1u) != 0u));
    uint bits = (exponent > 0 ? uint(exponent - 1) << 23 : 0u) + kept + (up ? 1u : 0u);
    return exponent > 254 ? EXACT_INFINITY : bits; // rounding up carries into infinity by itself
}

// a / b for positive finite numbers other than 0, as bits.
uint exact_quotient(uint a, uint b) {
    int of_a, of_b;
    uint top = exact_mantissa(a, of_a), bottom = exact_mantissa(b, of_b);
    int exponent = of_a - of_b + 127;
    if (top < bottom) {
        top <<= 1;
        exponent--;
    }
    uint value = 1u, rest = top - bottom; // the quotient is in [1, 2); 8 bits of it at a time
    for (int i = 0; i < 3; i++) {
        rest <<= 8;
        uint digit = rest / bottom;
        rest -= digit * bottom;
        value = value << 8 | digit;
    }
    return exact_round(value, exponent, rest != 0u);
}

// The bits of the quotient of two floats given as bits: any values, subnormal ones too.
uint exact_divide_bits(uint a, uint b) {
    uint sign = (a ^ b) & 0x80000000u;
    a &= 0x7fffffffu;
    b &= 0x7fffffffu;
    if (a > EXACT_INFINITY || b > EXACT_INFINITY) return EXACT_NAN;
    if (a == b && (a == 0u || a == EXACT_INFINITY)) return EXACT_NAN;
    if (a == EXACT_INFINITY || b == 0u) return sign | EXACT_INFINITY;
    if (a == 0u || b == EXACT_INFINITY) return sign;
    return sign | exact_quotient(a, b);
}

float exact_divide(float a, float b) {
    return uintBitsToFloat(exact_divide_bits(floatBitsToUint(a), floatBitsToUint(b)));
}

#endif
