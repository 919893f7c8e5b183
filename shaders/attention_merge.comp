// Rows of attention from parts of their keys: parts (P, rows, d), not divided by their sums, and
// stats (P, rows, 2), the highest score and the sum of the weights relative to it.
#version 450
#extension GL_GOOGLE_include_directive : require
#define PUSH uint rows; uint parts;
#include "weft.glsl"
#include "exponential.glsl"

#define THREADS 128
#define LOWEST  -3.0e38

layout(local_size_x = THREADS) in;
layout(constant_id = 0) const uint HEAD_DIM = 128;
layout(set = 0, binding = 0) readonly buffer Parts { float parts[]; };
layout(set = 0, binding = 1) readonly buffer Stats { float stats[]; };
layout(set = 0, binding = 2) writeonly buffer Out { float result[]; };

void main() {
    uint row = GROUP_INDEX;
    if (row >= p.rows) return;
    float highest = LOWEST, total = 0;
    for (uint s = 0; s < p.parts; s++)
        highest = max(highest, stats[BASE(1) + (s * p.rows + row) * 2]);
    float sum[8]; // of the columns of this thread
    for (uint i = 0; i < 8; i++) sum[i] = 0;
    for (uint s = 0; s < p.parts; s++) {
        uint at = s * p.rows + row;
        float weight = stats[BASE(1) + at * 2 + 1];
        if (weight == 0) continue; // a part without keys
        float keep = exponential(vec4(stats[BASE(1) + at * 2] - highest)).x;
        total += weight * keep;
        for (uint i = 0, c = gl_LocalInvocationIndex; c < HEAD_DIM; i++, c += THREADS)
            sum[i] += keep * parts[BASE(0) + at * HEAD_DIM + c];
    }
    for (uint i = 0, c = gl_LocalInvocationIndex; c < HEAD_DIM; i++, c += THREADS)
        result[BASE(2) + row * HEAD_DIM + c] = sum[i] / total;
}
