// y (+)= scale * x W^T, or x W with TRANSPOSED, in float32: a tile of 8 * TOKENS tokens by 128
// features, 16 values of the sums at a time through shared memory. Forward those are the 16 values
// of one word of every weight row.
#define PUSH                                                                                       \
    uint tokens, features;                                                                         \
    uint depth;    /* values of a sum */                                                           \
    uint x_stride; /* floats of a row of x */                                                      \
    uint w_stride; /* words of a row of weights */                                                 \
    uint y_stride; /* floats of a row of y */                                                      \
    uint add;                                                                                      \
    float scale;
#include "weft.glsl"
#include "ternary.glsl"

#define FEATURES 128u
#define STEP     16u
#define STRIDE   17u

layout(local_size_x = 128) in;
layout(constant_id = 0) const uint TOKENS = 8; // of an invocation, which has 8 features

layout(set = 0, binding = 0) readonly buffer W { uint w[]; };
layout(set = 0, binding = 1) readonly buffer X { float x[]; };
layout(set = 0, binding = 2) buffer Y { float y[]; };

const uint TILE_TOKENS = 8 * TOKENS;
shared float x_tile[TILE_TOKENS * STRIDE];
shared float w_tile[FEATURES * STRIDE];

void load_x(uint token0, uint step) {
    for (uint i = gl_LocalInvocationIndex; i < TILE_TOKENS * STEP; i += 128) {
        uint token = i / STEP, value = i % STEP;
#ifdef TRANSPOSED
        uint source = step * STEP + value;
#else
        uint source = step / 8 * 128 + value / 4 * 32 + step % 8 * 4 + value % 4;
#endif
        x_tile[token * STRIDE + value] = token0 + token < p.tokens && source < p.depth
            ? x[BASE(1) + (token0 + token) * p.x_stride + source] : 0;
    }
}

float weight(uint word, uint quarter, uint b) {
    return float(bitfieldExtract(word, int(8 * b + 6 - 2 * quarter), 2)) - 1;
}

void load_w(uint tile, uint step) {
    uint i = gl_LocalInvocationIndex, word = TERNARY_ZEROS;
#ifdef TRANSPOSED
    uint row = step * STEP + i / 8;
    if (row < p.depth) word = w[BASE(0) + row * p.w_stride + tile * 8 + i % 8];
#else
    uint row = tile * FEATURES + i;
    if (row < p.features) word = w[BASE(0) + row * p.w_stride + step];
#endif
    for (uint quarter = 0; quarter < 4; quarter++)
        for (uint b = 0; b < 4; b++) {
#ifdef TRANSPOSED
            uint at = (32 * quarter + i % 8 * 4 + b) * STRIDE + i / 8;
#else
            uint at = i * STRIDE + 4 * quarter + b;
#endif
            w_tile[at] = weight(word, quarter, b);
        }
}

float sums[TOKENS * 8];

void add_products(uint row, uint column) {
    for (uint value = 0; value < STEP; value++) {
        float b[8];
        for (uint j = 0; j < 8; j++) b[j] = w_tile[(column + 16 * j) * STRIDE + value];
        for (uint i = 0; i < TOKENS; i++) {
            float a = x_tile[(row + 8 * i) * STRIDE + value];
            for (uint j = 0; j < 8; j++) sums[8 * i + j] += a * b[j];
        }
    }
}

void store_sum(uint t, uint feature, float sum) {
    if (t >= p.tokens || feature >= p.features) return;
    uint at = BASE(2) + t * p.y_stride + feature;
    y[at] = p.add != 0 ? y[at] + p.scale * sum : p.scale * sum;
}

void main() {
    uint tiles = (p.features + FEATURES - 1) / FEATURES;
    uint tile = GROUP_INDEX % tiles, token0 = GROUP_INDEX / tiles * TILE_TOKENS;
    uint row = gl_LocalInvocationIndex / 16, column = gl_LocalInvocationIndex % 16;
    if (token0 >= p.tokens) return;
    for (uint i = 0; i < TOKENS * 8; i++) sums[i] = 0;
#ifdef TRANSPOSED
    uint steps = (p.depth + STEP - 1) / STEP;
#else
    uint steps = p.w_stride;
#endif
    for (uint step = 0; step < steps; step++) {
        load_x(token0, step);
        load_w(tile, step);
        barrier();
        add_products(row, column);
        barrier();
    }
    for (uint i = 0; i < TOKENS; i++)
        for (uint j = 0; j < 8; j++)
            store_sum(token0 + row + 8 * i, tile * FEATURES + column + 16 * j, sums[8 * i + j]);
}
