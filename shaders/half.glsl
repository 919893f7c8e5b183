// Rows in half precision, scaled by a power of two so that their largest magnitude is at most 2^15:
// nothing overflows, and what is lost is less than 2^-39 of it.
#ifndef HALF_GLSL
#define HALF_GLSL

// The scale for a row whose magnitudes are at most this one (its bits), and the factor that undoes
// it. With a magnitude that is not finite, the scale is 0 and the factor NaN.
float half_scale(uint magnitude, out float factor) {
    if (magnitude >= 0x7f800000u) {
        factor = uintBitsToFloat(0x7fc00000u);
        return 0;
    }
    uint exponent = max(magnitude >> 23, 15u);
    factor = uintBitsToFloat(exponent - 14 << 23);
    return uintBitsToFloat(268 - exponent << 23);
}

// The same for a whole table whose products are to be halves again: magnitudes below 8.
float half_scale_all(uint magnitude, out float factor) {
    float scale = half_scale(magnitude, factor);
    factor *= 4096.0;
    return scale / 4096.0;
}

// Four values, scaled; zeros with a scale of 0.
uvec2 half_pack(vec4 v, float scale) {
    if (scale == 0) return uvec2(0);
    return uvec2(packHalf2x16(v.xy * scale), packHalf2x16(v.zw * scale));
}

#endif
