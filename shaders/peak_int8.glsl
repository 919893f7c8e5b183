// Independent chains of sums of four products of bytes, for the device's peak.
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#define PUSH uint rounds;
#include "weft.glsl"
#include "dot4.glsl"
layout(local_size_x = 128) in;
layout(set = 0, binding = 0) buffer Out { uint y[]; };

void main() {
    int sums[8];
    [[unroll]] for (int j = 0; j < 8; j++) sums[j] = j;
    uint m = y[BASE(0)] + gl_LocalInvocationIndex;
    for (uint i = 0; i < p.rounds; i++)
        [[unroll]] for (int j = 0; j < 32; j++)
            sums[j % 8] += dot4(uint(sums[(j + 1) % 8]), m);
    int all = 0;
    [[unroll]] for (int j = 0; j < 8; j++) all ^= sums[j];
    if (all == 0x5a5a5a5a) y[BASE(0)] = 0u; // hardly ever
}
