// Rows moved by index: y[i] = x[rows[i]], or y[rows[i]] = x[i] if SCATTER. The indexed side is a
// window of its rows.
#version 450
#extension GL_GOOGLE_include_directive : require
#define PUSH uint count; uint n; uint first; uint first_row; uint rows; uint all_rows;
#include "weft.glsl"
#include "values.glsl"

layout(local_size_x = 128) in;
layout(constant_id = 1) const uint SCATTER = 0;

VALUES(0, x)
layout(set = 0, binding = 1) readonly buffer Rows { uint index[]; };
VALUES_OUT(2, y)
layout(set = 0, binding = 3) buffer Fault { uint fault[]; };

void main() {
    uint fours = (p.n + 3) / 4, at = GROUP_INDEX * 128 + gl_LocalInvocationIndex;
    uint place = at / fours, i = at % fours;
    if (place >= p.count) return;
    uint row = index[BASE(1) + place];
    if (row >= p.all_rows) { // a negative one is a large one here
        if (i == 0) atomicMin(fault[BASE(3) + FAULT_ROW], p.first + place);
        return;
    }
    row -= p.first_row; // wraps around below the window
    if (row >= p.rows) return;
    uint from = SCATTER != 0 ? place : row, to = SCATTER != 0 ? row : place;
    y_write(to * p.n, i, p.n, x_read(from * p.n, i, p.n));
}
