// dgate = dout * up * activation'(gate), dup = dout * activation(gate)
#version 450
#extension GL_GOOGLE_include_directive : require
#define PUSH uint count;
#include "weft.glsl"
#include "each.glsl"
#include "activation.glsl"

layout(constant_id = 2) const uint ACTIVATION = 0;

VALUES(0, gate)
VALUES(1, up)
VALUES(2, dout)
VALUES_OUT(3, dgate)
VALUES_OUT(4, dup)

void each(uint i) {
    vec4 z = gate_read(0, i, p.count), u = up_read(0, i, p.count), d = dout_read(0, i, p.count);
    dgate_write(0, i, p.count, d * u * activate_derivative(ACTIVATION, z));
    dup_write(0, i, p.count, d * activate(ACTIVATION, z));
}
