// e^x to about one unit in the last place; Vulkan's own loses some more for each unit of x. Results
// below the least normal float are 0. NaN stays NaN.
#ifndef EXPONENTIAL_GLSL
#define EXPONENTIAL_GLSL

vec4 exponential(vec4 x) {
    vec4 inside = clamp(x, -87.0, 88.7);
    vec4 power = roundEven(inside * 1.44269504);
    // ln 2 in two parts; the first has 16 bits, so that its product is exact.
    precise vec4 high = inside - power * 0.693145751953125;
    precise vec4 r = high - power * 1.42860677e-6;
    vec4 series = vec4(1.0 / 5040.0); // of Taylor: |r| <= ln(2) / 2
    series = series * r + 1.0 / 720.0;
    series = series * r + 1.0 / 120.0;
    series = series * r + 1.0 / 24.0;
    series = series * r + 1.0 / 6.0;
    series = series * r + 0.5;
    series = series * r * r + r + 1.0;
    ivec4 n = ivec4(power), half_n = n / 2; // 2^128 is not a float
    vec4 value = series * intBitsToFloat((half_n + 127) << 23) *
                 intBitsToFloat((n - half_n + 127) << 23);
    value = mix(value, vec4(0), lessThan(x, vec4(-87.0)));
    value = mix(value, uintBitsToFloat(uvec4(0x7f800000u)), greaterThan(x, vec4(88.7)));
    uvec4 bits = floatBitsToUint(x) & 0x7fffffffu;
    return mix(value, x, greaterThan(bits, uvec4(0x7f800000u)));
}

#endif
