// The gradient of a LoRA matrix from one block of tokens: partial (blocks, count, n) = alpha *
// g^T x for `count` of g's ranks; and, on the same pass over x, dx (T, n) (+)= g A. A thread owns a
// column. x (T, n), g (T, rank), A (count, n).
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#define PUSH \
    uint tokens; uint n; uint rank; uint first_rank; uint count; uint block_tokens; float alpha;
#include "weft.glsl"

#define THREADS 128
#define TILE    64 // tokens whose g lies in shared memory
#define QUADS   8  // most of RANKS / 4
#define UNROLL  4
#define DX_NONE 0
#define DX_SET  1
#define DX_ADD  2

layout(local_size_x = THREADS) in;
layout(constant_id = 0) const uint RANKS = 8; // at least count; 8, 16 or 32
layout(constant_id = 1) const uint DX = DX_NONE;
layout(set = 0, binding = 0) readonly buffer X { float x[]; };
layout(set = 0, binding = 1) readonly buffer G { float g[]; };
layout(set = 0, binding = 2) readonly buffer A { float a[]; };
layout(set = 0, binding = 3) writeonly buffer Partial { float partial[]; };
layout(set = 0, binding = 4) buffer Dx { float dx[]; };

shared vec4 rows[TILE * QUADS];

float g_at(uint token, uint rank) {
    return rank < p.count ? g[BASE(1) + token * p.rank + p.first_rank + rank] : 0;
}

// Rows past the last token are zeros.
void load_rows(uint first, uint tokens) {
    const uint quads = RANKS / 4;
    for (uint i = gl_LocalInvocationIndex; i < TILE * quads; i += THREADS) {
        uint token = first + i / quads, rank = i % quads * 4;
        rows[i] = i / quads >= tokens
                      ? vec4(0)
                      : vec4(g_at(token, rank), g_at(token, rank + 1), g_at(token, rank + 2),
                             g_at(token, rank + 3));
    }
}

float a_at(uint rank, uint column) {
    return rank < p.count ? a[BASE(2) + rank * p.n + column] : 0;
}

void main() {
    uint column_blocks = (p.n + THREADS - 1) / THREADS;
    uint block = GROUP_INDEX / column_blocks;
    uint column = GROUP_INDEX % column_blocks * THREADS + gl_LocalInvocationIndex;
    uint begin = block * p.block_tokens;
    if (begin >= p.tokens) return;
    uint end = min(begin + p.block_tokens, p.tokens), place = min(column, p.n - 1);

    vec4 sum[QUADS], weight[QUADS];
    [[unroll]] for (uint q = 0; q < QUADS; q++) {
        sum[q] = vec4(0);
        weight[q] = vec4(0);
        if (DX != DX_NONE && q < RANKS / 4)
            weight[q] = vec4(a_at(q * 4, place), a_at(q * 4 + 1, place), a_at(q * 4 + 2, place),
                             a_at(q * 4 + 3, place));
    }
    for (uint first = begin; first < end; first += TILE) {
        uint tokens = min(end - first, TILE);
        barrier();
        load_rows(first, tokens);
        barrier();
        for (uint t = 0; t < tokens; t += UNROLL) {
            float value[UNROLL], gradient[UNROLL];
            uint at[UNROLL];
            [[unroll]] for (uint i = 0; i < UNROLL; i++) {
                at[i] = min(first + t + i, end - 1) * p.n + place;
                value[i] = x[BASE(0) + at[i]];
                gradient[i] = DX == DX_ADD ? dx[BASE(4) + at[i]] : 0;
            }
            [[unroll]] for (uint i = 0; i < UNROLL; i++) {
                [[unroll]] for (uint q = 0; q < RANKS / 4; q++) {
                    vec4 row = rows[(t + i) * (RANKS / 4) + q];
                    sum[q] += row * value[i];
                    if (DX != DX_NONE) gradient[i] += dot(row, weight[q]);
                }
                if (DX != DX_NONE && column < p.n && t + i < tokens)
                    dx[BASE(4) + at[i]] = gradient[i];
            }
        }
    }
    if (column >= p.n) return;
    [[unroll]] for (uint r = 0; r < RANKS; r++)
        if (r < p.count)
            partial[BASE(3) + (block * p.count + r) * p.n + column] = p.alpha * sum[r / 4][r % 4];
}
