// y = factor y + x: the smallest dispatch, for tests of what records and runs dispatches.
#version 450
#extension GL_GOOGLE_include_directive : require
#define PUSH uint count; uint factor;
#include "weft.glsl"

layout(local_size_x = 64) in;
layout(constant_id = 0) const uint EXTRA = 0;
layout(set = 0, binding = 0) readonly buffer X { uint x[]; };
layout(set = 0, binding = 1) buffer Y { uint y[]; };

void main() {
    uint i = GROUP_INDEX * 64 + gl_LocalInvocationIndex;
    if (i < p.count) y[BASE(1) + i] = y[BASE(1) + i] * p.factor + x[BASE(0) + i] + EXTRA;
}
