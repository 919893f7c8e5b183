// Rows rounded to integers relative to their largest magnitude: scale = LIMIT / max(magnitude,
// LEAST) in float32, q = round_half_even(x * scale), the same bits on every device. Include after
// team.glsl.
#include "exact.glsl"

TEAM_REDUCTION(uint, team_magnitude, max)

// The bits of the largest magnitude of four values. As unsigned numbers, the bits of magnitudes are
// ordered, with infinity and every NaN on top.
uint magnitude_bits(vec4 v) {
    uvec4 bits = floatBitsToUint(v) & 0x7fffffffu;
    return max(max(bits.x, bits.y), max(bits.z, bits.w));
}

// The bits of the scale; NaN if a value was not finite.
uint scale_bits(uint magnitude, float limit, float least) {
    if (magnitude >= EXACT_INFINITY) return EXACT_NAN;
    return exact_divide_bits(floatBitsToUint(limit), max(magnitude, floatBitsToUint(least)));
}

// With a scale that is NaN all values are 0.
ivec4 round_values(vec4 v, uint scale, float least, float most) {
    if (scale == EXACT_NAN) return ivec4(0);
    precise vec4 scaled = v * uintBitsToFloat(scale);
    return ivec4(clamp(roundEven(scaled), least, most));
}

// Four int8, the first in the lowest byte.
uint pack_bytes(ivec4 q) {
    uvec4 bytes = uvec4(q) & 0xffu;
    return bytes.x | bytes.y << 8 | bytes.z << 16 | bytes.w << 24;
}
