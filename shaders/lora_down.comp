// h (T, r) = alpha * x (T, n) W, W (n, r) or the transpose of (r, n): the thin product that reduces
// wide rows. A group computes TOKENS x RANKS elements; each of its threads sums every 128th term.
#version 450
#extension GL_GOOGLE_include_directive : require
#define PUSH uint tokens; uint n; uint rank; uint step_n; uint step_rank; float alpha;
#include "weft.glsl"

#define THREADS 128
#define MOST    8   // of TOKENS and RANKS
#define SLOTS   16  // elements that are reduced at once: two tokens
#define STRIDE  136 // of a slot: the readers of four slots meet no bank twice

layout(local_size_x = THREADS) in;
layout(constant_id = 0) const uint TOKENS = 8;
layout(constant_id = 1) const uint RANKS = 8;
layout(set = 0, binding = 0) readonly buffer X { float x[]; };
layout(set = 0, binding = 1) readonly buffer W { float w[]; };
layout(set = 0, binding = 2) writeonly buffer H { float h[]; };

shared float parts[SLOTS * STRIDE];
shared float sums[THREADS];

// The total of each slot, for thread `slot`.
float reduce() {
    uint tid = gl_LocalInvocationIndex;
    barrier();
    float sum = 0;
    for (uint i = 0; i < SLOTS; i++) sum += parts[tid / 8 * STRIDE + tid % 8 + 8 * i];
    sums[tid] = sum;
    barrier();
    sum = 0;
    if (tid < SLOTS)
        for (uint i = 0; i < 8; i++) sum += sums[tid * 8 + i];
    return sum;
}

void main() {
    uint tid = gl_LocalInvocationIndex;
    uint rank_blocks = (p.rank + RANKS - 1) / RANKS;
    uint first_token = GROUP_INDEX / rank_blocks * TOKENS;
    uint first_rank = GROUP_INDEX % rank_blocks * RANKS;
    if (first_token >= p.tokens) return;

    float sum[MOST][MOST];
    for (uint t = 0; t < MOST; t++)
        for (uint r = 0; r < MOST; r++) sum[t][r] = 0;
    uint row[MOST], column[MOST]; // beyond the end the last one is computed again
    for (uint i = 0; i < MOST; i++) {
        row[i] = BASE(0) + min(first_token + i, p.tokens - 1) * p.n;
        column[i] = BASE(1) + min(first_rank + i, p.rank - 1) * p.step_rank;
    }
    for (uint k = tid; k < p.n; k += THREADS) {
        float value[MOST];
        for (uint r = 0; r < RANKS; r++) value[r] = w[column[r] + k * p.step_n];
        for (uint t = 0; t < TOKENS; t++) {
            float activation = x[row[t] + k];
            for (uint r = 0; r < RANKS; r++) sum[t][r] += activation * value[r];
        }
    }
    for (uint t = 0; t < TOKENS; t += 2) {
        for (uint r = 0; r < MOST; r++) {
            parts[r * STRIDE + tid] = sum[t][r];
            parts[(MOST + r) * STRIDE + tid] = sum[min(t + 1, MOST - 1)][r];
        }
        float total = reduce();
        uint token = t + tid / MOST, rank = tid % MOST;
        if (tid < SLOTS && token < TOKENS && rank < RANKS && first_token + token < p.tokens &&
            first_rank + rank < p.rank)
            h[BASE(2) + (first_token + token) * p.rank + first_rank + rank] = p.alpha * total;
    }
}
