// y (T, rows) = x (T, cols) W^T for a few tokens: W is read once, at the memory's speed. A team of
// 32 threads has four rows of W.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#define PUSH uint rows; uint cols; uint row_words; uint x_stride; uint y_stride;
#include "weft.glsl"

#define THREADS 128
#define TEAM    32
#define TEAMS   4
#define ROWS    4
#define MOST    8  // of TOKENS
#define STRIDE  33 // of the partial sums of an element

layout(local_size_x = THREADS) in;
layout(constant_id = 0) const uint TYPE = 0;
layout(constant_id = 1) const uint TOKENS = 1;
layout(constant_id = 2) const uint VECTOR = 0; // rows of W and of x begin at multiples of 4 words
layout(set = 0, binding = 0) readonly buffer W { uint w[]; };
layout(set = 0, binding = 0) readonly buffer WVector { uvec4 w4[]; };
layout(set = 0, binding = 1) readonly buffer X { float x[]; };
layout(set = 0, binding = 1) readonly buffer XVector { vec4 x4[]; };
layout(set = 0, binding = 2) writeonly buffer Y { float y[]; };

uvec4 four_words(uint at) {
    return VECTOR != 0 ? w4[at / 4] : uvec4(w[at], w[at + 1], w[at + 2], w[at + 3]);
}
vec4 four_values(uint at) {
    return VECTOR != 0 ? x4[at / 4] : vec4(x[at], x[at + 1], x[at + 2], x[at + 3]);
}

#define WORDS(i)  w[BASE(0) + (i)]
#define WORDS4(i) four_words(BASE(0) + (i))
#include "dense_eight.glsl"

shared float parts[TEAMS * ROWS * STRIDE];

float sums[ROWS][MOST];

void add_eight(uint row[ROWS], uint k) {
    vec4 low[ROWS], high[ROWS];
    [[unroll]] for (uint r = 0; r < ROWS; r++) dense_eight(TYPE, row[r], k, low[r], high[r]);
    [[unroll]] for (uint t = 0; t < TOKENS; t++) {
        uint at = BASE(1) + t * p.x_stride + k;
        vec4 a = four_values(at), b = four_values(at + 4);
        [[unroll]] for (uint r = 0; r < ROWS; r++) sums[r][t] += dot(a, low[r]) + dot(b, high[r]);
    }
}

void main() {
    uint lane = gl_LocalInvocationIndex % TEAM, team = gl_LocalInvocationIndex / TEAM;
    uint first_group = GROUP_INDEX * (TEAMS * ROWS);
    if (first_group >= p.rows) return;
    uint first = first_group + team * ROWS, whole = p.cols / 8 * 8, row[ROWS];
    [[unroll]] for (uint r = 0; r < ROWS; r++) {
        row[r] = min(first + r, p.rows - 1) * p.row_words * 4;
        [[unroll]] for (uint t = 0; t < MOST; t++) sums[r][t] = 0;
    }
    for (uint k = lane * 8; k < whole; k += TEAM * 8) add_eight(row, k);
    for (uint k = whole + lane; k < p.cols; k += TEAM)
        for (uint r = 0; r < ROWS; r++)
            [[unroll]] for (uint t = 0; t < TOKENS; t++)
                sums[r][t] += x[BASE(1) + t * p.x_stride + k] * dense_value(TYPE, row[r], k);

    [[unroll]] for (uint t = 0; t < TOKENS; t++) {
        barrier();
        [[unroll]] for (uint r = 0; r < ROWS; r++)
            parts[(team * ROWS + r) * STRIDE + lane] = sums[r][t];
        barrier();
        uint i = gl_LocalInvocationIndex;
        float total = 0;
        if (i < TEAMS * ROWS)
            for (uint j = 0; j < TEAM; j++) total += parts[i * STRIDE + j];
        if (i < TEAMS * ROWS && first_group + i < p.rows)
            y[BASE(2) + t * p.y_stride + first_group + i] = total;
    }
}
