// result = activation(gate) * up
#version 450
#extension GL_GOOGLE_include_directive : require
#define PUSH uint count;
#include "weft.glsl"
#include "each.glsl"
#include "activation.glsl"

layout(constant_id = 2) const uint ACTIVATION = 0;

VALUES(0, gate)
VALUES(1, up)
VALUES_OUT(2, result)

void each(uint i) {
    vec4 value = activate(ACTIVATION, gate_read(0, i, p.count)) * up_read(0, i, p.count);
    result_write(0, i, p.count, value);
}
