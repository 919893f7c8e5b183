// out += the sum over blocks of partial (blocks, count, n), in their order; element (r, c) lies at
// out[r * step_rank + c * step_n].
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#define PUSH uint blocks; uint count; uint n; uint step_rank; uint step_n;
#include "weft.glsl"

#define THREADS 128
#define UNROLL  16 // blocks on their way at once

layout(local_size_x = THREADS) in;
layout(set = 0, binding = 0) readonly buffer Partial { float partial[]; };
layout(set = 0, binding = 1) buffer Out { float result[]; };

void main() {
    uint i = GROUP_INDEX * THREADS + gl_LocalInvocationIndex, size = p.count * p.n;
    if (i >= size) return;
    float sum = 0;
    for (uint first = 0; first < p.blocks; first += UNROLL) {
        float part[UNROLL];
        [[unroll]] for (uint b = 0; b < UNROLL; b++)
            part[b] = partial[BASE(0) + min(first + b, p.blocks - 1) * size + i];
        [[unroll]] for (uint b = 0; b < UNROLL; b++) sum += first + b < p.blocks ? part[b] : 0;
    }
    result[BASE(1) + i / p.n * p.step_rank + i % p.n * p.step_n] += sum;
}
