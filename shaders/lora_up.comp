// y (T, n) += scale * h (T, r) B^T, B (n, r): a thread owns a column for TOKENS tokens.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#define PUSH uint tokens; uint n; uint rank; float scale;
#include "weft.glsl"

#define THREADS 128
#define MOST    16 // of TOKENS
#define QUADS   32 // ranks at once, in fours

layout(local_size_x = THREADS) in;
layout(constant_id = 0) const uint TOKENS = 16;
layout(set = 0, binding = 0) readonly buffer H { float h[]; };
layout(set = 0, binding = 1) readonly buffer B { float b[]; };
layout(set = 0, binding = 2) buffer Y { float y[]; };

shared vec4 rows[MOST * QUADS];

float h_at(uint token, uint rank) {
    if (token >= p.tokens || rank >= p.rank) return 0;
    return h[BASE(0) + token * p.rank + rank];
}

float b_at(uint row, uint rank) {
    return rank < p.rank ? b[row + rank] : 0;
}

void load_rows(uint first_token, uint first_rank, uint quads) {
    for (uint i = gl_LocalInvocationIndex; i < TOKENS * quads; i += THREADS) {
        uint token = first_token + i / quads, rank = first_rank + i % quads * 4;
        rows[i / quads * QUADS + i % quads] = vec4(h_at(token, rank), h_at(token, rank + 1),
                                                   h_at(token, rank + 2), h_at(token, rank + 3));
    }
}

void main() {
    uint blocks = (p.n + THREADS - 1) / THREADS;
    uint first_token = GROUP_INDEX / blocks * TOKENS;
    uint column = GROUP_INDEX % blocks * THREADS + gl_LocalInvocationIndex;
    if (first_token >= p.tokens) return;

    uint row = BASE(1) + min(column, p.n - 1) * p.rank;
    float sum[MOST];
    [[unroll]] for (uint t = 0; t < MOST; t++) sum[t] = 0;
    for (uint first = 0; first < p.rank; first += QUADS * 4) {
        uint quads = min((p.rank - first + 3) / 4, QUADS);
        barrier();
        load_rows(first_token, first, quads);
        barrier();
        for (uint q = 0; q < quads; q++) {
            uint rank = first + q * 4;
            vec4 value = vec4(b_at(row, rank), b_at(row, rank + 1), b_at(row, rank + 2),
                              b_at(row, rank + 3));
            [[unroll]] for (uint t = 0; t < TOKENS; t++)
                sum[t] += dot(rows[t * QUADS + q], value);
        }
    }
    if (column >= p.n) return;
    uint at = BASE(2) + first_token * p.n + column;
    if (first_token + TOKENS <= p.tokens) { // all are read before one is written
        [[unroll]] for (uint t = 0; t < TOKENS; t++) sum[t] = y[at + t * p.n] + p.scale * sum[t];
        [[unroll]] for (uint t = 0; t < TOKENS; t++) y[at + t * p.n] = sum[t];
        return;
    }
    [[unroll]] for (uint t = 0; t < TOKENS; t++)
        if (first_token + t < p.tokens) y[at + t * p.n] += p.scale * sum[t];
}
