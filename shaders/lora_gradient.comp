// The gradient of a LoRA matrix from one block of tokens: partial (blocks, count, n) = alpha *
// g^T x for `count` of g's ranks; and, on the same pass over x, dx (T, n) (+)= g A. A thread owns
// four columns. x (T, n), g (T, rank), A (count, n).
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#define PUSH \
    uint tokens; uint n; uint rank; uint first_rank; uint count; uint block_tokens; float alpha;
#include "weft.glsl"
#define WHOLE_VECTORS true
#include "values.glsl"

#define THREADS 128
#define TILE    64 // tokens whose g lies in shared memory
#define MOST    16 // of RANKS
#define UNROLL  4
#define DX_NONE 0
#define DX_SET  1
#define DX_ADD  2

layout(local_size_x = THREADS) in;
layout(constant_id = 1) const uint RANKS = 8; // at least count; 8 or 16
layout(constant_id = 2) const uint DX = DX_NONE;
VALUES(0, x)
layout(set = 0, binding = 1) readonly buffer G { float g[]; };
VALUES(2, a)
VALUES_OUT(3, partial)
VALUES_OUT(4, dx)

shared vec4 rows[TILE * MOST / 4];

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

void main() {
    uint fours = (p.n + 3) / 4, column_blocks = (fours + THREADS - 1) / THREADS;
    uint block = GROUP_INDEX / column_blocks;
    uint four = GROUP_INDEX % column_blocks * THREADS + gl_LocalInvocationIndex;
    uint begin = block * p.block_tokens;
    if (begin >= p.tokens) return;
    uint end = min(begin + p.block_tokens, p.tokens);

    vec4 sum[MOST], weight[MOST];
    [[unroll]] for (uint r = 0; r < MOST; r++) {
        sum[r] = weight[r] = vec4(0);
        if (DX != DX_NONE && r < RANKS && r < p.count) weight[r] = a_read(r * p.n, four, p.n);
    }
    for (uint first = begin; first < end; first += TILE) {
        uint tokens = min(end - first, TILE);
        barrier();
        load_rows(first, tokens);
        barrier();
        for (uint t = 0; t < tokens; t += UNROLL) {
            vec4 value[UNROLL], gradient[UNROLL];
            [[unroll]] for (uint i = 0; i < UNROLL; i++) {
                uint row = min(first + t + i, end - 1) * p.n;
                value[i] = x_read(row, four, p.n);
                gradient[i] = DX == DX_ADD ? dx_read(row, four, p.n) : vec4(0);
            }
            [[unroll]] for (uint i = 0; i < UNROLL; i++) {
                [[unroll]] for (uint r = 0; r < RANKS; r++) {
                    float factor = rows[(t + i) * (RANKS / 4) + r / 4][r % 4];
                    sum[r] += factor * value[i];
                    if (DX != DX_NONE) gradient[i] += factor * weight[r];
                }
                if (DX != DX_NONE && t + i < tokens)
                    dx_write((first + t + i) * p.n, four, p.n, gradient[i]);
            }
        }
    }
    [[unroll]] for (uint r = 0; r < RANKS; r++)
        if (r < p.count) partial_write((block * p.count + r) * p.n, four, p.n, p.alpha * sum[r]);
}
