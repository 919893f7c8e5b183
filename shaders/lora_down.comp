// h (T, r) = alpha * x (T, n) W, W (n, r) or the transpose of (r, n): the thin product that reduces
// wide rows. A group computes TOKENS x 8 elements (or TOKENS x 1); its threads share the terms,
// four neighbouring ones each.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#define PUSH uint tokens; uint n; uint rank; float alpha;
#include "weft.glsl"
#include "values.glsl"

#define THREADS 128
#define MOST    8   // of TOKENS
#define STRIDE  129 // of a sum's parts

layout(local_size_x = THREADS) in;
layout(constant_id = 1) const uint TOKENS = 8;
layout(constant_id = 2) const uint RANKS = 8;     // 1 or 8
layout(constant_id = 3) const uint BY_RANK = 1;   // W is (r, n)
VALUES(0, x)
VALUES(1, w)
layout(set = 0, binding = 2) writeonly buffer H { float h[]; };

shared vec4 parts[4 * STRIDE]; // of two tokens by two quads of ranks
shared vec4 sums[32];

vec4 total[MOST][2];

// Terms 4 i .. 4 i + 3, where W's rows are terms.
void add_terms(uint row[MOST], uint i, uint rank) {
    vec4 low[4], high[4];
    [[unroll]] for (uint k = 0; k < 4; k++) {
        uint term = min(4 * i + k, p.n - 1); // past the end x is 0
        low[k] = w_read(term * p.rank, rank / 4, p.rank);
        high[k] = w_read(term * p.rank, rank / 4 + 1, p.rank);
    }
    [[unroll]] for (uint t = 0; t < TOKENS; t++) {
        vec4 value = x_read(row[t], i, p.n);
        [[unroll]] for (uint k = 0; k < 4; k++) {
            total[t][0] += value[k] * low[k];
            total[t][1] += value[k] * high[k];
        }
    }
}

void add_terms_by_rank(uint row[MOST], uint i, uint rank) {
    vec4 factor[8];
    [[unroll]] for (uint r = 0; r < RANKS; r++)
        factor[r] = w_read(min(rank + r, p.rank - 1) * p.n, i, p.n);
    [[unroll]] for (uint t = 0; t < TOKENS; t++) {
        vec4 value = x_read(row[t], i, p.n);
        [[unroll]] for (uint r = 0; r < RANKS; r++) total[t][r / 4][r % 4] += dot(value, factor[r]);
    }
}

// parts added up in a fixed order: four sums, in sums[0 .. 3].
void reduce() {
    uint tid = gl_LocalInvocationIndex, slot = tid / 32, lane = tid % 32;
    vec4 sum = vec4(0);
    barrier();
    [[unroll]] for (uint i = 0; i < 4; i++) sum += parts[slot * STRIDE + lane + 32 * i];
    barrier();
    parts[slot * STRIDE + lane] = sum;
    barrier();
    if (tid < 32) {
        slot = tid / 8;
        sum = vec4(0);
        [[unroll]] for (uint i = 0; i < 4; i++) sum += parts[slot * STRIDE + tid % 8 + 8 * i];
        sums[tid] = sum;
    }
    barrier();
}

void main() {
    uint tid = gl_LocalInvocationIndex, rank_blocks = (p.rank + RANKS - 1) / RANKS;
    uint first_token = GROUP_INDEX / rank_blocks * TOKENS;
    uint first_rank = GROUP_INDEX % rank_blocks * RANKS;
    if (first_token >= p.tokens) return;

    uint row[MOST]; // beyond the end the last one is computed again
    [[unroll]] for (uint t = 0; t < MOST; t++) {
        row[t] = min(first_token + t, p.tokens - 1) * p.n;
        total[t][0] = total[t][1] = vec4(0);
    }
    for (uint i = tid; i < (p.n + 3) / 4; i += THREADS) {
        if (BY_RANK != 0)
            add_terms_by_rank(row, i, first_rank);
        else
            add_terms(row, i, first_rank);
    }
    [[unroll]] for (uint t = 0; t < TOKENS; t += 2) {
        [[unroll]] for (uint j = 0; j < 4; j++)
            parts[j * STRIDE + tid] = total[min(t + j / 2, MOST - 1)][j % 2];
        reduce();
        uint token = t + tid / 8, rank = tid % 8;
        if (tid < 16 && token < TOKENS && rank < RANKS && first_token + token < p.tokens &&
            first_rank + rank < p.rank) {
            float sum = 0;
            for (uint i = 0; i < 8; i++) sum += sums[tid / 4 * 8 + i][tid % 4];
            h[BASE(2) + (first_token + token) * p.rank + first_rank + rank] = p.alpha * sum;
        }
    }
}
