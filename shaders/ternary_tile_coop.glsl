// A tile of the integer product on cooperative matrices: TILE_TOKENS tokens by 128 features, each
// subgroup a block of it. 16 * UNITS values of the sums at a time go through shared memory, where
// they lie side by side for tokens and for features; while they are multiplied, the next ones are on
// their way from memory into registers.
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_EXT_shader_explicit_arithmetic_types_int8 : require
#include "ternary_product.glsl"

#define FEATURES 128u

layout(constant_id = 0) const uint M = 16; // of the device's matrices
layout(constant_id = 1) const uint N = 16;
layout(constant_id = 2) const uint K = 32;
layout(constant_id = 3) const uint TILE_TOKENS = 128;
layout(constant_id = 4) const uint BLOCK_TOKENS = 64; // of a subgroup
layout(constant_id = 5) const uint BLOCK_FEATURES = 32;
layout(constant_id = 6) const uint UNITS = 8;   // 4 or 8: 64 or 128 values at a time
layout(constant_id = 7) const uint BUFFERS = 1; // 2: the next ones are stored without waiting
layout(constant_id = 8) const uint THREADS = 256;
layout(local_size_x_id = 8) in;

layout(set = 0, binding = 1) readonly buffer High4 { uvec4 high4[]; };
layout(set = 0, binding = 2) readonly buffer Low4 { uvec4 low4[]; };

const uint STRIDE = UNITS + 1; // no eight rows that are read together share a bank
const uint A_ITEMS = TILE_TOKENS * UNITS, B_ITEMS = FEATURES * UNITS / 4;
const uint A_EACH = (A_ITEMS + THREADS - 1) / THREADS, B_EACH = (B_ITEMS + THREADS - 1) / THREADS;
const uint B_PLACE = TILE_TOKENS * STRIDE, BUFFER_SIZE = (TILE_TOKENS + FEATURES) * STRIDE;
const uint ACROSS = FEATURES / BLOCK_FEATURES; // blocks
const uint PATCH_STRIDE = BLOCK_FEATURES / 4 + 1, PATCH_SIZE = M * PATCH_STRIDE;
const uint PATCHES_SIZE = TILE_TOKENS / BLOCK_TOKENS * ACROSS * PATCH_SIZE;
const uint ALL_BUFFERS = BUFFERS * BUFFER_SIZE;
const uint SHARED_SIZE = ALL_BUFFERS > PATCHES_SIZE ? ALL_BUFFERS : PATCHES_SIZE;
const uint MS = BLOCK_TOKENS / M, NS = BLOCK_FEATURES / N;

shared uvec4 tiles[SHARED_SIZE]; // in the end, each subgroup's sums of M tokens
shared float factors[TILE_TOKENS];

#define MATRIX_A coopmat<int8_t, gl_ScopeSubgroup, M, K, gl_MatrixUseA>
#define MATRIX_B coopmat<int8_t, gl_ScopeSubgroup, K, N, gl_MatrixUseB>
#define SUMS     coopmat<int, gl_ScopeSubgroup, M, N, gl_MatrixUseAccumulator>

uvec4 next_a[A_EACH], next_b[B_EACH];

void fetch_a(uint plane, uint token0, uint step) {
    [[unroll]] for (uint n = 0; n < A_EACH; n++) {
        uint i = gl_LocalInvocationIndex + n * THREADS, token = token0 + i / UNITS;
#ifdef TRANSPOSED
        uint source = step * UNITS + i % UNITS;
#else
        uint source = UNITS == 8 ? step * 8 + i % 8 : step / 2 * 8 + i % 4 * 2 + step % 2;
#endif
        source += token * (p.a_stride / 4);
        next_a[n] = uvec4(0);
        if (i < A_ITEMS && token < p.tokens)
            next_a[n] = plane == 0 ? high4[BASE(1) / 4 + source] : low4[BASE(2) / 4 + source];
    }
}

void store_a(uint place) {
    [[unroll]] for (uint n = 0; n < A_EACH; n++) {
        uint i = gl_LocalInvocationIndex + n * THREADS;
        if (i < A_ITEMS) tiles[place + i / UNITS * STRIDE + i % UNITS] = next_a[n];
    }
}

#ifdef TRANSPOSED
// One word of four weight rows: sixteen columns.
void fetch_b(uint tile, uint step) {
    [[unroll]] for (uint n = 0; n < B_EACH; n++) {
        uint i = gl_LocalInvocationIndex + n * THREADS, row = step * UNITS * 16 + i / 8 * 4;
        uint at = BASE(0) + row * p.w_stride + tile * 8 + i % 8;
        next_b[n] = uvec4(TERNARY_ZEROS);
        if (i >= B_ITEMS) continue;
        [[unroll]] for (uint r = 0; r < 4; r++)
            if (row + r < p.depth) next_b[n][r] = w[at + r * p.w_stride];
    }
}

// Column 32 * quarter + 4 * word + b is kept at 32 * quarter + 8 * b + word: then the columns that
// are written together lie in different banks.
void store_b(uint place) {
    [[unroll]] for (uint n = 0; n < B_EACH; n++) {
        uint i = gl_LocalInvocationIndex + n * THREADS, word = i % 8, group = i / 8;
        if (i >= B_ITEMS) continue;
        uvec4 columns = transpose_bytes(next_b[n]);
        [[unroll]] for (uint quarter = 0; quarter < 4; quarter++) {
            uvec4 values = ternary_values(columns, quarter);
            [[unroll]] for (uint b = 0; b < 4; b++)
                tiles[place + (32 * quarter + 8 * b + word) * STRIDE + group / 4][group % 4] =
                    values[b];
        }
    }
}

uint feature_place(uint feature) {
    return (feature & ~31u) + feature % 4 * 8 + feature % 32 / 4;
}
#else
// 16 bytes of one weight row: 64 values, 16 of each quarter of the block.
void fetch_b(uint tile, uint step) {
    [[unroll]] for (uint n = 0; n < B_EACH; n++) {
        uint i = gl_LocalInvocationIndex + n * THREADS, feature = tile * FEATURES + i % FEATURES;
        uint at = (BASE(0) + feature * p.w_stride) / 4 + step * (UNITS / 4) + i / FEATURES;
        next_b[n] = uvec4(TERNARY_ZEROS);
        if (i < B_ITEMS && feature < p.features) next_b[n] = w4[at];
    }
}

void store_b(uint place) {
    [[unroll]] for (uint n = 0; n < B_EACH; n++) {
        uint i = gl_LocalInvocationIndex + n * THREADS;
        uint at = place + i % FEATURES * STRIDE + i / FEATURES;
        if (i >= B_ITEMS) continue;
        [[unroll]] for (uint quarter = 0; quarter < 4; quarter++)
            tiles[at + quarter * (UNITS / 4)] = ternary_values(next_b[n], quarter);
    }
}

uint feature_place(uint feature) {
    return feature;
}
#endif

void fetch(uint tile, uint token0, uint plane, uint step) {
    fetch_a(plane, token0, step);
    fetch_b(tile, step);
}

void store(uint place) {
    store_a(place);
    store_b(place + B_PLACE);
}

// The sums of M tokens of each block, from the subgroup's patch.
void store_patch(uint place, uint token, uint token0, uint feature0) {
    for (uint i = gl_SubgroupInvocationID; i < M * BLOCK_FEATURES; i += gl_SubgroupSize) {
        uint row = i / BLOCK_FEATURES, column = i % BLOCK_FEATURES, from = feature_place(column);
        int sum = int(tiles[place + row * PATCH_STRIDE + from / 4][from % 4]);
        store_product(token0 + token + row, feature0 + column, sum, factors[token + row]);
    }
}

// The matrices stay variables of main: a function would be handed copies.
void main() {
    uint across = (p.features + FEATURES - 1) / FEATURES;
    uint tile = GROUP_INDEX % across, token0 = GROUP_INDEX / across * TILE_TOKENS;
    if (token0 >= p.tokens) return;
    uint token = gl_SubgroupID / ACROSS * BLOCK_TOKENS;
    uint feature = gl_SubgroupID % ACROSS * BLOCK_FEATURES;
    for (uint t = gl_LocalInvocationIndex; t < TILE_TOKENS; t += THREADS)
        factors[t] = token_factor(token0 + t);
    SUMS sums[MS * NS];
    [[unroll]] for (uint i = 0; i < MS * NS; i++) sums[i] = SUMS(0);
    uint steps = (p.depth + UNITS * 16 - 1) / (UNITS * 16), count = steps * p.planes;
    fetch(tile, token0, 0, 0);
    store(0);
    barrier();
    for (uint s = 0; s < count; s++) {
        uint next = s + 1, place = s % BUFFERS * BUFFER_SIZE;
        if (next < count) fetch(tile, token0, next / steps, next % steps);
        if (s == steps)
            [[unroll]] for (uint i = 0; i < MS * NS; i++) sums[i] = sums[i] * 256;
        [[unroll]] for (uint k = 0; k < UNITS; k += K / 16) {
            MATRIX_A a[MS];
            [[unroll]] for (uint m = 0; m < MS; m++)
                coopMatLoad(a[m], tiles, place + (token + m * M) * STRIDE + k, STRIDE,
                            gl_CooperativeMatrixLayoutRowMajor);
            [[unroll]] for (uint n = 0; n < NS; n++) {
                MATRIX_B b;
                coopMatLoad(b, tiles, place + B_PLACE + (feature + n * N) * STRIDE + k, STRIDE,
                            gl_CooperativeMatrixLayoutColumnMajor);
                [[unroll]] for (uint m = 0; m < MS; m++)
                    sums[m * NS + n] = coopMatMulAdd(a[m], b, sums[m * NS + n]);
            }
        }
        if (BUFFERS == 1) barrier();
        if (next < count) store(next % BUFFERS * BUFFER_SIZE);
        barrier();
    }
    uint patch_place = gl_SubgroupID * PATCH_SIZE;
    [[unroll]] for (uint m = 0; m < MS; m++) {
        [[unroll]] for (uint n = 0; n < NS; n++)
            coopMatStore(sums[m * NS + n], tiles, patch_place + n * N / 4, PATCH_STRIDE,
                         gl_CooperativeMatrixLayoutRowMajor);
        barrier();
        store_patch(patch_place, token + m * M, token0, tile * FEATURES + feature);
        barrier();
    }
}
