// h (T, r) = alpha * x (T, n) W, W (n, r) or the transpose of (r, n), for many tokens: a group
// computes 4 * TOKENS x 8 elements, so that W is read once for as many tokens; it passes through
// shared memory. A team of 32 threads shares the terms of TOKENS tokens, four neighbouring terms
// each.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#define PUSH uint tokens; uint n; uint rank; float alpha;
#include "weft.glsl"
#define WHOLE_VECTORS true
#include "values.glsl"

#define THREADS 128
#define LANES   32 // of a team
#define TEAMS   (THREADS / LANES)
#define RANKS   8
#define MOST    8  // of TOKENS
#define CHUNK   64 // fours of terms in shared memory
#define STRIDE  65 // of a rank there
#define ITEMS   (CHUNK * RANKS / THREADS)
#define SLOT    129 // of sums

layout(local_size_x = THREADS) in;
layout(constant_id = 1) const uint TOKENS = 8;  // of a team
layout(constant_id = 2) const uint BY_RANK = 1; // W is (r, n)
VALUES(0, x)
VALUES(1, w)
layout(set = 0, binding = 2) writeonly buffer H { float h[]; };

shared vec4 tile[RANKS * STRIDE]; // in the end, sums: of two tokens by two quads of ranks

vec4 total[MOST][RANKS / 4];
vec4 next[ITEMS];

void fetch(uint first_four, uint first_rank) {
    [[unroll]] for (uint k = 0; k < ITEMS; k++) {
        uint i = gl_LocalInvocationIndex + k * THREADS;
        next[k] = vec4(0);
        if (BY_RANK != 0) {
            uint rank = first_rank + i / CHUNK;
            if (rank < p.rank) next[k] = w_read(rank * p.n, first_four + i % CHUNK, p.n);
        } else {
            uint term = 4 * first_four + i / (RANKS / 4);
            uint quad = first_rank / 4 + i % (RANKS / 4);
            if (term < p.n) next[k] = w_read(term * p.rank, quad, p.rank);
        }
    }
}

void store() {
    [[unroll]] for (uint k = 0; k < ITEMS; k++) {
        uint i = gl_LocalInvocationIndex + k * THREADS;
        if (BY_RANK != 0) {
            tile[i / CHUNK * STRIDE + i % CHUNK] = next[k];
        } else {
            uint term = i / (RANKS / 4), rank = i % (RANKS / 4) * 4;
            [[unroll]] for (uint c = 0; c < 4; c++)
                tile[(rank + c) * STRIDE + term / 4][term % 4] = next[k][c];
        }
    }
}

void add_terms(uint row[MOST], uint first_four) {
    [[unroll]] for (uint at = 0; at < CHUNK; at += LANES) {
        uint lane = at + gl_LocalInvocationIndex % LANES;
        vec4 value[MOST];
        [[unroll]] for (uint t = 0; t < TOKENS; t++)
            value[t] = x_read(row[t], first_four + lane, p.n);
        [[unroll]] for (uint r = 0; r < RANKS; r++) {
            vec4 factor = tile[r * STRIDE + lane];
            [[unroll]] for (uint t = 0; t < TOKENS; t++)
                total[t][r / 4][r % 4] += dot(value[t], factor);
        }
    }
}

// Tokens t and t + 1 of each team: its threads' sums, added up in a fixed order.
void reduce(uint t, uint first_token, uint first_rank) {
    uint tid = gl_LocalInvocationIndex, at = tid / 32 * SLOT, part = tid % 32;
    barrier();
    [[unroll]] for (uint j = 0; j < 4; j++)
        tile[j * SLOT + tid] = total[min(t + j / 2, MOST - 1)][j % 2];
    barrier();
    vec4 sum = vec4(0); // of four threads
    [[unroll]] for (uint i = 0; i < 4; i++)
        sum += tile[at + part / 8 * LANES + part % 8 + 8 * i];
    barrier();
    tile[at + part] = sum;
    barrier();
    if (tid >= 16 * TEAMS) return;
    uint team = tid / 16, slot = tid / 4 % 4, c = tid % 4;
    float all = 0;
    [[unroll]] for (uint i = 0; i < 8; i++) all += tile[slot * SLOT + team * 8 + i][c];
    uint token = first_token + team * TOKENS + t + slot / 2, rank = first_rank + slot % 2 * 4 + c;
    if (token < p.tokens && rank < p.rank) h[BASE(2) + token * p.rank + rank] = p.alpha * all;
}

void main() {
    uint rank_blocks = (p.rank + RANKS - 1) / RANKS;
    uint first_token = GROUP_INDEX / rank_blocks * TEAMS * TOKENS;
    uint first_rank = GROUP_INDEX % rank_blocks * RANKS;
    if (first_token >= p.tokens) return;

    uint row[MOST]; // beyond the end the last one is computed again
    uint own = first_token + gl_LocalInvocationIndex / LANES * TOKENS;
    [[unroll]] for (uint t = 0; t < MOST; t++) {
        row[t] = min(own + t, p.tokens - 1) * p.n;
        total[t][0] = total[t][1] = vec4(0);
    }
    fetch(0, first_rank);
    for (uint four = 0; 4 * four < p.n; four += CHUNK) {
        barrier();
        store();
        barrier();
        if (4 * (four + CHUNK) < p.n) fetch(four + CHUNK, first_rank);
        add_terms(row, four);
    }
    [[unroll]] for (uint t = 0; t < TOKENS; t += 2) reduce(t, first_token, first_rank);
}
