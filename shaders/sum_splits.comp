// out = the sum over splits of parts (splits, count), in their order.
#version 450
#extension GL_GOOGLE_include_directive : require
#define PUSH uint splits; uint count;
#include "weft.glsl"

layout(local_size_x = 128) in;
layout(set = 0, binding = 0) readonly buffer Parts { float parts[]; };
layout(set = 0, binding = 1) writeonly buffer Out { float result[]; };

void main() {
    uint i = GROUP_INDEX * 128 + gl_LocalInvocationIndex;
    if (i >= p.count) return;
    float sum = 0;
    for (uint s = 0; s < p.splits; s++) sum += parts[BASE(0) + s * p.count + i];
    result[BASE(1) + i] = sum;
}
