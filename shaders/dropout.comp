// y (+)= dropout(x), bit for bit as on the CPU (kernel.h).
#version 450
#extension GL_GOOGLE_include_directive : require
#define PUSH uint count; uint threshold; float gain; uint start_low; uint start_high;
#include "weft.glsl"
#include "each.glsl"
#include "rng.glsl"

layout(constant_id = 2) const uint ADD = 0;

VALUES(0, x)
VALUES_OUT(1, y)

void each(uint i) {
    vec4 v = x_read(0, i, p.count);
    precise vec4 value = v * p.gain;
    uvec2 start = uvec2(p.start_low, p.start_high);
    for (uint k = 0; k < 4; k++)
        if (rng_24_bits(start, 4 * i + k) < p.threshold) value[k] = 0.0;
    if (ADD != 0) {
        precise vec4 sum = y_read(0, i, p.count) + value;
        value = sum;
    }
    y_write(0, i, p.count, value);
}
