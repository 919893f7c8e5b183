// y (T, features) (+)= x (T, depth) times a dense matrix: W (features, depth) transposed, or with
// TRANSPOSED W (depth, features) itself. The terms may be split between groups: split s writes the
// sums of its own terms at y + s * split_floats.
#define PUSH                                                                               \
    uint tokens; uint features; uint depth; uint x_stride; uint row_words; uint y_stride;  \
    uint split_depth; uint splits; uint split_floats; uint add;
#include "weft.glsl"
#include "tile.glsl"

layout(constant_id = 0) const uint TYPE = 0;
layout(set = 0, binding = 0) readonly buffer W { uint w[]; };
layout(set = 0, binding = 1) readonly buffer X { float x[]; };
layout(set = 0, binding = 2) buffer Y { float y[]; };

#define WORDS(i) w[BASE(0) + (i)]
#include "dense.glsl"

shared vec4 left_tile[DEPTH * STRIDE];
shared vec4 right_tile[DEPTH * STRIDE];
#define LEFT_TILE(place)  left_tile[place]
#define RIGHT_TILE(place) right_tile[place]

float x_at(uint token, uint k) {
    return x[BASE(1) + min(token, p.tokens - 1) * p.x_stride + k];
}

void load_left(uint token, uint first, uint end) {
    uint term = gl_LocalInvocationIndex % DEPTH, k = first + term;
    [[unroll]] for (uint i = 0; i < 2; i++) {
        uint quad = gl_LocalInvocationIndex / DEPTH + 8 * i, row = token + 4 * quad;
        vec4 v = vec4(0);
        if (k < end) v = vec4(x_at(row, k), x_at(row + 1, k), x_at(row + 2, k), x_at(row + 3, k));
        left_tile[TILE_PLACE(term, quad)] = v;
    }
}

#ifdef TRANSPOSED
float w_at(uint row, uint column) {
    return dense_value(TYPE, row * p.row_words * 4, min(column, p.features - 1));
}

void load_right(uint feature, uint first, uint end) {
    uint term = gl_LocalInvocationIndex / 8, k = first + term;
    [[unroll]] for (uint i = 0; i < 2; i++) {
        uint quad = gl_LocalInvocationIndex % 8 + 8 * i, column = feature + 4 * quad;
        vec4 v = vec4(0);
        if (k < end)
            v = vec4(w_at(k, column), w_at(k, column + 1), w_at(k, column + 2),
                     w_at(k, column + 3));
        right_tile[TILE_PLACE(term, quad)] = v;
    }
}
#else
float w_at(uint row, uint k) {
    return dense_value(TYPE, min(row, p.features - 1) * p.row_words * 4, k);
}

void load_right(uint feature, uint first, uint end) {
    uint term = gl_LocalInvocationIndex % DEPTH, k = first + term;
    [[unroll]] for (uint i = 0; i < 2; i++) {
        uint quad = gl_LocalInvocationIndex / DEPTH + 8 * i, row = feature + 4 * quad;
        vec4 v = vec4(0);
        if (k < end) v = vec4(w_at(row, k), w_at(row + 1, k), w_at(row + 2, k), w_at(row + 3, k));
        right_tile[TILE_PLACE(term, quad)] = v;
    }
}
#endif

void store(uint token, uint feature, uint base) {
    [[unroll]] for (uint i = 0; i < 8; i++) {
        uint row = token + TILE_ROW + i;
        [[unroll]] for (uint j = 0; j < 4; j++) {
            uint column = feature + TILE_COLUMN + j, at = base + row * p.y_stride + column;
            if (row < p.tokens && column < p.features)
                y[at] = p.add != 0 ? y[at] + sums[i][j] : sums[i][j];
        }
    }
}

void main() {
    // Neighbours share the weights: they are read from memory once.
    uint token_tiles = (p.tokens + TILE - 1) / TILE, feature_tiles = (p.features + TILE - 1) / TILE;
    uint token = GROUP_INDEX % token_tiles * TILE;
    uint feature = GROUP_INDEX / token_tiles % feature_tiles * TILE;
    uint split = GROUP_INDEX / token_tiles / feature_tiles;
    if (split >= p.splits) return;
    uint begin = split * p.split_depth, end = min(begin + p.split_depth, p.depth);
    tile_clear();
    for (uint first = begin; first < end; first += DEPTH) {
        barrier();
        load_left(token, first, end);
        load_right(feature, first, end);
        barrier();
        TILE_MULTIPLY(LEFT_TILE, RIGHT_TILE)
    }
    store(token, feature, BASE(2) + split * p.split_floats);
}
