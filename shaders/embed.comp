// Row ids[t] of a dense matrix for each token, from the window of its rows that is bound.
#version 450
#extension GL_GOOGLE_include_directive : require
#define PUSH                                                                               \
    uint tokens; uint cols; uint row_words; uint first_token; uint first_row; uint rows;   \
    uint all_rows;
#include "weft.glsl"
#include "values.glsl"

layout(local_size_x = 128) in;
layout(constant_id = 1) const uint TYPE = 0;

layout(set = 0, binding = 0) readonly buffer W { uint w[]; };
layout(set = 0, binding = 1) readonly buffer Ids { uint ids[]; };
VALUES_OUT(2, embedding)
layout(set = 0, binding = 3) buffer Fault { uint fault[]; };

#define WORDS(i) w[BASE(0) + (i)]
#include "dense.glsl"

void main() {
    uint fours = (p.cols + 3) / 4, at = GROUP_INDEX * 128 + gl_LocalInvocationIndex;
    uint token = at / fours, i = at % fours;
    if (token >= p.tokens) return;
    uint id = ids[BASE(1) + token];
    if (id >= p.all_rows) { // a negative one is a large one here
        if (i == 0) atomicMin(fault[BASE(3) + FAULT_ID], p.first_token + token);
        return;
    }
    uint row = id - p.first_row; // wraps around below the window
    if (row >= p.rows) return;
    vec4 v = vec4(0);
    for (uint k = 0; k < 4; k++)
        if (4 * i + k < p.cols) v[k] = dense_value(TYPE, row * p.row_words * 4, 4 * i + k);
    embedding_write(token * p.cols, i, p.cols, v);
}
