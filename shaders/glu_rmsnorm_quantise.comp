// glu of each row, its norm, and the norm rounded, in one pass: as glu.comp and rmsnorm_quantise.comp
// have them.
#version 450
#extension GL_GOOGLE_include_directive : require
#define PUSH uint rows; uint n; float eps;
#include "weft.glsl"
#define WHOLE_VECTORS true
#include "team.glsl"
#include "rounding.glsl"
#include "activation.glsl"

layout(constant_id = 4) const uint ACTIVATION = 0;

VALUES(0, gate)
VALUES(1, up)
VALUES_OUT(2, unit)
VALUES(3, gamma)
VALUES_OUT(4, y)
#define ROUNDED 5

vec4 first_read(uint first, uint i) {
    vec4 value = activate(ACTIVATION, gate_read(first, i, p.n)) * up_read(first, i, p.n);
    unit_write(first, i, p.n, value);
    return value;
}

vec4 read_again(uint first, uint i) { // what it wrote itself
    return unit_read(first, i, p.n);
}

#include "rmsnorm_quantise.glsl"
