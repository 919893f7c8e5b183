// Rows of attention from parts of their keys: parts (P, rows, d), not divided by their sums, and
// stats (P, rows, 2), the highest score and the sum of the weights relative to it.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#define PUSH uint rows; uint parts;
#include "weft.glsl"
#include "exponential.glsl"

#define THREADS 128
#define COLUMNS 2 // of a thread: heads have at most 256 dimensions
#define AT_ONCE 4 // parts whose loads do not wait for one another
#define LOWEST  -3.0e38

layout(local_size_x = THREADS) in;
layout(constant_id = 0) const uint HEAD_DIM = 128;
layout(set = 0, binding = 0) readonly buffer Parts { float parts[]; };
layout(set = 0, binding = 1) readonly buffer Stats { float stats[]; };
layout(set = 0, binding = 2) writeonly buffer Out { float result[]; };

shared float keeps[THREADS]; // what each part is multiplied with
shared float weights[THREADS];

uint stats_at(uint part) {
    return BASE(1) + (part * p.rows + GROUP_INDEX) * 2;
}

float highest_of_all() {
    uint tid = gl_LocalInvocationIndex;
    float highest = LOWEST;
    for (uint s = tid; s < p.parts; s += THREADS) highest = max(highest, stats[stats_at(s)]);
    keeps[tid] = highest;
    barrier();
    for (uint i = 0; i < min(p.parts, THREADS); i++) highest = max(highest, keeps[i]);
    barrier();
    return highest;
}

// keeps and weights of the parts first .. first + THREADS - 1; 0 for those without keys.
void weigh(uint first, float highest) {
    uint tid = gl_LocalInvocationIndex, s = first + tid;
    float keep = 0, weight = 0;
    if (s < p.parts) weight = stats[stats_at(s) + 1];
    if (weight != 0) keep = exponential(vec4(stats[stats_at(s)] - highest)).x;
    keeps[tid] = keep;
    weights[tid] = weight * keep;
    barrier();
}

void main() {
    uint tid = gl_LocalInvocationIndex, row = GROUP_INDEX;
    if (row >= p.rows) return;
    float highest = highest_of_all(), total = 0, sum[COLUMNS];
    [[unroll]] for (uint j = 0; j < COLUMNS; j++) sum[j] = 0;
    for (uint first = 0; first < p.parts; first += THREADS) {
        weigh(first, highest);
        for (uint i = 0; i < min(p.parts - first, THREADS); i += AT_ONCE) {
            bool any = false;
            [[unroll]] for (uint n = i; n < i + AT_ONCE; n++) any = any || keeps[n] != 0;
            if (!any) continue;
            [[unroll]] for (uint n = i; n < i + AT_ONCE; n++) {
                uint at = (min(first + n, p.parts - 1) * p.rows + row) * HEAD_DIM + tid;
                total += weights[n];
                [[unroll]] for (uint j = 0; j < COLUMNS; j++)
                    if (tid + THREADS * j < HEAD_DIM)
                        sum[j] += keeps[n] * parts[BASE(0) + at + THREADS * j];
            }
        }
        barrier();
    }
    [[unroll]] for (uint j = 0; j < COLUMNS; j++)
        if (tid + THREADS * j < HEAD_DIM)
            result[BASE(2) + row * HEAD_DIM + tid + THREADS * j] = sum[j] / total;
}
