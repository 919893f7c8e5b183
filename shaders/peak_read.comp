// Reads `count` vectors of 16 bytes, each work group a span of its own, for the device's bandwidth.
#version 450
#extension GL_GOOGLE_include_directive : require
#define PUSH uint count; uint span;
#include "weft.glsl"
layout(local_size_x = 128) in;
layout(set = 0, binding = 0) readonly buffer In { uvec4 x[]; };
layout(set = 0, binding = 1) buffer Out { uint y[]; };

void main() {
    uint begin = GROUP_INDEX * p.span, end = min(begin + p.span, p.count);
    uvec4 all = uvec4(0);
    for (uint i = begin + gl_LocalInvocationIndex; i < end; i += 128) all ^= x[BASE(0) / 4 + i];
    if ((all.x ^ all.y ^ all.z ^ all.w) == 0x5a5a5a5a) y[BASE(1)] = 1; // hardly ever
}
