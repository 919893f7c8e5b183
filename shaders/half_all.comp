// `count` floats as halves of one scale (half.glsl), by the largest magnitude that half_most.comp
// found, and the factor that undoes it. count is a multiple of 4.
#version 450
#extension GL_GOOGLE_include_directive : require
#define PUSH uint count;
#include "weft.glsl"
#include "values.glsl"
#include "half.glsl"

#define THREADS 128

layout(local_size_x = THREADS) in;
VALUES(0, x)
layout(set = 0, binding = 1) readonly buffer Most { uint most[]; };
layout(set = 0, binding = 2) writeonly buffer Factor { float factors[]; };
layout(set = 0, binding = 3) writeonly buffer Halves { uvec2 halves[]; };

void main() {
    uint i = GROUP_INDEX * THREADS + gl_LocalInvocationIndex;
    float factor, scale = half_scale_all(most[BASE(1)], factor);
    if (i == 0) factors[BASE(2)] = factor;
    if (i < p.count / 4) halves[BASE(3) / 2 + i] = half_pack(x_read(0, i, p.count), scale);
}
