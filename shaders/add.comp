// out = a + b
#version 450
#extension GL_GOOGLE_include_directive : require
#define PUSH uint count;
#include "weft.glsl"
#include "each.glsl"

VALUES(0, a)
VALUES(1, b)
VALUES_OUT(2, sum)

void each(uint i) {
    sum_write(0, i, p.count, a_read(0, i, p.count) + b_read(0, i, p.count));
}
