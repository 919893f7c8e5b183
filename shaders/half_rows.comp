// Rows of floats (T, n) as scaled halves (T, padded) with zeros past n, and the factor of each row
// (half.glsl).
#version 450
#extension GL_GOOGLE_include_directive : require
#define PUSH uint tokens; uint n; uint padded;
#include "weft.glsl"
#include "values.glsl"
#include "half.glsl"

#define THREADS 128

layout(local_size_x = THREADS) in;
VALUES(0, x)
layout(set = 0, binding = 1) writeonly buffer Halves { uvec2 halves[]; };
layout(set = 0, binding = 2) writeonly buffer Factors { float factors[]; };

shared uint most;

void main() {
    uint token = GROUP_INDEX, row = token * p.n, tid = gl_LocalInvocationIndex;
    if (token >= p.tokens) return;
    if (tid == 0) most = 0;
    barrier();
    uint own = 0; // the bits of magnitudes are ordered, with infinity and NaN on top
    for (uint i = tid; i < (p.n + 3) / 4; i += THREADS) {
        uvec4 bits = floatBitsToUint(x_read(row, i, p.n)) & 0x7fffffffu;
        own = max(own, max(max(bits.x, bits.y), max(bits.z, bits.w)));
    }
    atomicMax(most, own);
    barrier();
    float factor, scale = half_scale(most, factor);
    if (tid == 0) factors[BASE(2) + token] = factor;
    for (uint i = tid; i < p.padded / 4; i += THREADS)
        halves[BASE(1) / 2 + token * (p.padded / 4) + i] = half_pack(x_read(row, i, p.n), scale);
}
