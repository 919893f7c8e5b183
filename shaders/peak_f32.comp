// Independent chains of float32 multiply-adds, for the device's peak.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#define PUSH uint rounds;
#include "weft.glsl"
layout(local_size_x = 128) in;
layout(set = 0, binding = 0) buffer Out { float y[]; };

void main() {
    vec4 a = vec4(gl_LocalInvocationIndex), b = a + 1.0, c = a + 2.0, d = a + 3.0;
    float m = y[BASE(0)] * 1e-9 + 0.999;
    for (uint i = 0; i < p.rounds; i++) {
        [[unroll]] for (int j = 0; j < 16; j++) {
            a = fma(a, vec4(m), vec4(m));
            b = fma(b, vec4(m), vec4(m));
            c = fma(c, vec4(m), vec4(m));
            d = fma(d, vec4(m), vec4(m));
        }
    }
    vec4 all = a + b + c + d;
    if (all.x + all.y + all.z + all.w == 0.125) y[BASE(0)] = 1.0; // never, but who knows
}
