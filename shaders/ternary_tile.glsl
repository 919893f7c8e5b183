// A tile of the integer product: 8 * TOKENS tokens by 128 features, 64 values of the sums at a time
// through shared memory. Forward such a step is half a block, 16 bytes of every weight row.
#extension GL_EXT_control_flow_attributes : require
#include "ternary_product.glsl"
#include "dot4.glsl"

#define FEATURES   128u
#define STEP       64u
#define STEP_WORDS 16u
#define STRIDE     17u // one more: no two rows begin in the same bank

layout(local_size_x = 128) in;
layout(constant_id = 0) const uint TOKENS = 8; // of an invocation, which has 8 features

const uint TILE_TOKENS = 8 * TOKENS;
shared uint a_tile[TILE_TOKENS * STRIDE];
shared uint b_tile[FEATURES * STRIDE];
shared float factors[TILE_TOKENS];

void load_a(uint plane, uint token0, uint step) {
    for (uint i = gl_LocalInvocationIndex; i < TILE_TOKENS * STEP_WORDS; i += 128) {
        uint token = i / STEP_WORDS, word = i % STEP_WORDS, value = 0;
#ifdef TRANSPOSED
        uint source = step * STEP_WORDS + word;
#else
        uint source = step / 2 * 32 + word / 4 * 8 + step % 2 * 4 + word % 4;
#endif
        uint at = (token0 + token) * p.a_stride + source;
        if (token0 + token < p.tokens) value = plane == 0 ? high[BASE(1) + at] : low[BASE(2) + at];
        a_tile[token * STRIDE + word] = value;
    }
}

#ifdef TRANSPOSED
void load_b(uint tile, uint step) {
    uint group = gl_LocalInvocationIndex / 8, word = gl_LocalInvocationIndex % 8;
    uint row = step * STEP + 4 * group, at = BASE(0) + row * p.w_stride + tile * 8 + word;
    uvec4 rows;
    for (uint r = 0; r < 4; r++)
        rows[r] = row + r < p.depth ? w[at + r * p.w_stride] : TERNARY_ZEROS;
    uvec4 columns = transpose_bytes(rows);
    for (uint quarter = 0; quarter < 4; quarter++)
        for (uint b = 0; b < 4; b++)
            b_tile[(32 * quarter + 4 * word + b) * STRIDE + group] =
                ternary_values(columns[b], quarter);
}
#else
void load_b(uint tile, uint step) {
    uint row = gl_LocalInvocationIndex, feature = tile * FEATURES + row;
    uvec4 words = uvec4(TERNARY_ZEROS);
    if (feature < p.features) words = w4[(BASE(0) + feature * p.w_stride) / 4 + step];
    for (uint quarter = 0; quarter < 4; quarter++) {
        uvec4 values = ternary_values(words, quarter);
        for (uint b = 0; b < 4; b++) b_tile[row * STRIDE + 4 * quarter + b] = values[b];
    }
}
#endif

int sums[TOKENS * 8];

void add_products(uint row, uint column) {
    [[dont_unroll]] for (uint word = 0; word < STEP_WORDS; word++) {
        uint b[8];
        [[unroll]] for (uint j = 0; j < 8; j++) b[j] = b_tile[(column + 16 * j) * STRIDE + word];
        [[unroll]] for (uint i = 0; i < TOKENS; i++) {
            uint a = a_tile[(row + 8 * i) * STRIDE + word];
            [[unroll]] for (uint j = 0; j < 8; j++) sums[8 * i + j] += dot4(a, b[j]);
        }
    }
}

void main() {
    uint tiles = (p.features + FEATURES - 1) / FEATURES;
    uint tile = GROUP_INDEX % tiles, token0 = GROUP_INDEX / tiles * TILE_TOKENS;
    uint row = gl_LocalInvocationIndex / 16, column = gl_LocalInvocationIndex % 16;
    if (token0 >= p.tokens) return;
    if (gl_LocalInvocationIndex < TILE_TOKENS)
        factors[gl_LocalInvocationIndex] = token_factor(token0 + gl_LocalInvocationIndex);
    [[unroll]] for (uint i = 0; i < TOKENS * 8; i++) sums[i] = 0;
    uint steps = (p.depth + STEP - 1) / STEP;
    for (uint plane = 0; plane < p.planes; plane++) {
        [[unroll]] for (uint i = 0; i < TOKENS * 8; i++) sums[i] *= 256;
        for (uint step = 0; step < steps; step++) {
            load_a(plane, token0, step);
            load_b(tile, step);
            barrier();
            add_products(row, column);
            barrier();
        }
    }
    [[unroll]] for (uint i = 0; i < TOKENS; i++)
        [[unroll]] for (uint j = 0; j < 8; j++)
            store_product(token0 + row + 8 * i, tile * FEATURES + column + 16 * j, sums[8 * i + j],
                          factors[row + 8 * i]);
}
