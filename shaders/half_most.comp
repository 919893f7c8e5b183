// The largest magnitude of `count` floats, as bits, into a word that is 0 before: ordered, with
// infinity and NaN on top.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#define PUSH uint count; uint groups;
#include "weft.glsl"
#include "values.glsl"

#define THREADS 128
#define UNROLL  4 // vectors on their way at once

layout(local_size_x = THREADS) in;
VALUES(0, x)
layout(set = 0, binding = 1) buffer Most { uint most[]; };

shared uint group_most;

void main() {
    if (gl_LocalInvocationIndex == 0) group_most = 0;
    barrier();
    uint own = 0, step = p.groups * THREADS;
    uint fours = (p.count + 3) / 4;
    for (uint i = GROUP_INDEX * THREADS + gl_LocalInvocationIndex; i < fours; i += UNROLL * step) {
        vec4 v[UNROLL];
        [[unroll]] for (uint k = 0; k < UNROLL; k++) v[k] = x_read(0, i + k * step, p.count);
        [[unroll]] for (uint k = 0; k < UNROLL; k++) {
            uvec4 bits = floatBitsToUint(v[k]) & 0x7fffffffu;
            own = max(own, max(max(bits.x, bits.y), max(bits.z, bits.w)));
        }
    }
    atomicMax(group_most, own);
    barrier();
    if (gl_LocalInvocationIndex == 0) atomicMax(most[BASE(1)], group_most);
}
