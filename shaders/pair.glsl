// Sums of floats kept as (sum, what its rounding lost): about 48 bits.
#ifndef PAIR_GLSL
#define PAIR_GLSL

// What rounding lost of sum = a + b.
#define LOST_OF_SUM(sum, a, b) ((a - (sum - (sum - a))) + (b - (sum - a)))

bool is_finite(float v) {
    return (floatBitsToUint(v) & 0x7f800000u) != 0x7f800000u;
}

// Of a sum that is not finite nothing is lost.
vec2 pair_of(float sum, float lost) {
    return vec2(sum, is_finite(sum) ? lost : 0.0);
}

vec2 pair_add(vec2 a, vec2 b) {
    precise float sum = a.x + b.x;
    precise float lost = LOST_OF_SUM(sum, a.x, b.x) + (a.y + b.y);
    if (!is_finite(sum)) return vec2(sum, 0.0);
    precise float high = sum + lost;
    precise float low = lost - (high - sum);
    return pair_of(high, low);
}

#endif
