// rmsnorm and quantise of each row in one pass; y is the norm, as rmsnorm.comp has it.
#version 450
#extension GL_GOOGLE_include_directive : require
#define PUSH uint rows; uint n; float eps;
#include "weft.glsl"
#define WHOLE_VECTORS true
#include "team.glsl"
#include "rounding.glsl"

VALUES(0, x)
VALUES(1, gamma)
VALUES_OUT(2, y)
#define ROUNDED 3

vec4 first_read(uint first, uint i) {
    return x_read(first, i, p.n);
}
#define read_again first_read

#include "rmsnorm_quantise.glsl"
