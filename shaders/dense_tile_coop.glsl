// y (T, features) (+)= x (T, depth) times a dense matrix, on cooperative matrices: x is scaled
// halves (half.glsl), the matrix becomes halves on its way into shared memory, sums are float32. It
// is W (features, depth) transposed, or with TRANSPOSED W (depth, features) itself. A group has
// TILE_TOKENS by 128 elements, each subgroup a block of them; 64 terms at a time go through shared
// memory, while the next ones are on their way into registers. The terms may be split between
// groups: split s writes the sums of its own terms at y + s * split_floats.
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#define PUSH                                                                               \
    uint tokens; uint features; uint depth; uint a_stride; uint row_words; uint y_stride;  \
    uint split_steps; uint splits; uint split_floats; uint add;
#include "weft.glsl"

#define FEATURES 128u
#define UNITS    8u // of eight halves: terms at a time

layout(constant_id = 0) const uint M = 16; // of the device's matrices
layout(constant_id = 1) const uint N = 16;
layout(constant_id = 2) const uint K = 16;
layout(constant_id = 3) const uint TILE_TOKENS = 64;
layout(constant_id = 4) const uint BLOCK_TOKENS = 32; // of a subgroup
layout(constant_id = 5) const uint BLOCK_FEATURES = 64;
layout(constant_id = 6) const uint THREADS = 128;
layout(constant_id = 7) const uint TYPE = 0;
layout(constant_id = 8) const uint VECTOR = 0; // rows of W begin at multiples of 4 words
layout(constant_id = 9) const uint VECTOR_OUT = 0; // the same of y, which has whole fours
layout(local_size_x_id = 6) in;

layout(set = 0, binding = 0) readonly buffer W { uint w[]; };
layout(set = 0, binding = 0) readonly buffer WVector { uvec4 w4[]; };
layout(set = 0, binding = 1) readonly buffer A { uvec4 a4[]; };
layout(set = 0, binding = 2) readonly buffer Factors { float factors[]; };
layout(set = 0, binding = 3) buffer Y { float y[]; };
layout(set = 0, binding = 3) buffer Y4 { vec4 y4[]; };

uvec4 four_words(uint at) {
    return VECTOR != 0 ? w4[at / 4] : uvec4(w[at], w[at + 1], w[at + 2], w[at + 3]);
}

#define WORDS(i)  w[BASE(0) + (i)]
#define WORDS4(i) four_words(BASE(0) + (i))
#include "dense_eight.glsl"

const uint A_STRIDE = UNITS + 1; // no eight rows that are read together share a bank
#ifdef TRANSPOSED
const uint B_STRIDE = FEATURES / 8 + 1, B_SIZE = UNITS * 8 * B_STRIDE; // rows are terms
#else
const uint B_STRIDE = UNITS + 1, B_SIZE = FEATURES * B_STRIDE; // rows are features
#endif
const uint A_ITEMS = TILE_TOKENS * UNITS, B_ITEMS = FEATURES * UNITS;
const uint A_EACH = (A_ITEMS + THREADS - 1) / THREADS, B_EACH = (B_ITEMS + THREADS - 1) / THREADS;
const uint B_PLACE = TILE_TOKENS * A_STRIDE, TILES_SIZE = B_PLACE + B_SIZE;
const uint ACROSS = FEATURES / BLOCK_FEATURES; // blocks
const uint FOURS = BLOCK_FEATURES / 4; // of a row of a block
const uint PATCH_STRIDE = FOURS + 1, PATCH_SIZE = M * PATCH_STRIDE;
const uint PATCHES_SIZE = TILE_TOKENS / BLOCK_TOKENS * ACROSS * PATCH_SIZE;
const uint SHARED_SIZE = TILES_SIZE > PATCHES_SIZE ? TILES_SIZE : PATCHES_SIZE;
const uint MS = BLOCK_TOKENS / M, NS = BLOCK_FEATURES / N;

shared uvec4 tiles[SHARED_SIZE]; // in the end, each subgroup's sums of M tokens

#define MATRIX_A coopmat<float16_t, gl_ScopeSubgroup, M, K, gl_MatrixUseA>
#define MATRIX_B coopmat<float16_t, gl_ScopeSubgroup, K, N, gl_MatrixUseB>
#define SUMS     coopmat<float, gl_ScopeSubgroup, M, N, gl_MatrixUseAccumulator>

uvec4 next_a[A_EACH], next_b[B_EACH];

void fetch_a(uint token0, uint step) {
    [[unroll]] for (uint n = 0; n < A_EACH; n++) {
        uint i = gl_LocalInvocationIndex + n * THREADS, token = token0 + i / UNITS;
        next_a[n] = uvec4(0);
        if (i < A_ITEMS && token < p.tokens)
            next_a[n] = a4[BASE(1) / 4 + token * p.a_stride + step * UNITS + i % UNITS];
    }
}

void store_a() {
    [[unroll]] for (uint n = 0; n < A_EACH; n++) {
        uint i = gl_LocalInvocationIndex + n * THREADS;
        if (i < A_ITEMS) tiles[i / UNITS * A_STRIDE + i % UNITS] = next_a[n];
    }
}

// Values k .. k + 7 of a row of W as halves, zeros from `end` on.
uvec4 weight_halves(uint row, uint k, uint end) {
    uint at = row * p.row_words * 4;
    vec4 low = vec4(0), high = vec4(0);
    if (k + 8 <= end) {
        if (TYPE == DENSE_F16) return WORDS4(at / 4 + k / 2);
        dense_eight(TYPE, at, k, low, high);
    } else {
        [[unroll]] for (uint i = 0; i < 4; i++) {
            if (k + i < end) low[i] = dense_value(TYPE, at, k + i);
            if (k + 4 + i < end) high[i] = dense_value(TYPE, at, k + 4 + i);
        }
    }
    return uvec4(packHalf2x16(low.xy), packHalf2x16(low.zw), packHalf2x16(high.xy),
                 packHalf2x16(high.zw));
}

#ifdef TRANSPOSED
#define B_ROW    (FEATURES / 8) // items of a row
#else
#define B_ROW    UNITS
#endif

void fetch_b(uint feature0, uint step) {
    [[unroll]] for (uint n = 0; n < B_EACH; n++) {
        uint i = gl_LocalInvocationIndex + n * THREADS;
#ifdef TRANSPOSED
        uint row = step * UNITS * 8 + i / B_ROW, rows = p.depth, end = p.features;
        uint k = feature0 + i % B_ROW * 8;
#else
        uint row = feature0 + i / B_ROW, rows = p.features, end = p.depth;
        uint k = step * UNITS * 8 + i % B_ROW * 8;
#endif
        next_b[n] = uvec4(0);
        if (i < B_ITEMS && row < rows) next_b[n] = weight_halves(row, k, end);
    }
}

void store_b() {
    [[unroll]] for (uint n = 0; n < B_EACH; n++) {
        uint i = gl_LocalInvocationIndex + n * THREADS;
        if (i < B_ITEMS) tiles[B_PLACE + i / B_ROW * B_STRIDE + i % B_ROW] = next_b[n];
    }
}

void store_four(uint at, uint count, vec4 sums) {
    if (VECTOR_OUT != 0) {
        y4[at / 4] = p.add != 0 ? y4[at / 4] + sums : sums;
        return;
    }
    [[unroll]] for (uint j = 0; j < 4; j++)
        if (j < count) y[at + j] = p.add != 0 ? y[at + j] + sums[j] : sums[j];
}

// The sums of M tokens of each block, from the subgroup's patch.
void store_patch(uint place, uint token, uint feature, uint base) {
    for (uint i = gl_SubgroupInvocationID; i < M * FOURS; i += gl_SubgroupSize) {
        uint row = token + i / FOURS, column = feature + i % FOURS * 4;
        if (row >= p.tokens || column >= p.features) continue;
        vec4 sums = uintBitsToFloat(tiles[place + i / FOURS * PATCH_STRIDE + i % FOURS]);
        store_four(base + row * p.y_stride + column, p.features - column,
                   sums * factors[BASE(2) + row]);
    }
}

// Orders shared memory alone: nothing waits for results on their way to memory.
void patch_barrier() {
    controlBarrier(gl_ScopeSubgroup, gl_ScopeSubgroup, gl_StorageSemanticsShared,
                   gl_SemanticsAcquireRelease);
}

// The matrices stay variables of main: a function would be handed copies.
void main() {
    // Neighbours share the weights: they are read from memory once.
    uint token_tiles = (p.tokens + TILE_TOKENS - 1) / TILE_TOKENS;
    uint feature_tiles = (p.features + FEATURES - 1) / FEATURES;
    uint token0 = GROUP_INDEX % token_tiles * TILE_TOKENS;
    uint feature0 = GROUP_INDEX / token_tiles % feature_tiles * FEATURES;
    uint split = GROUP_INDEX / token_tiles / feature_tiles;
    if (split >= p.splits) return;
    uint token = gl_SubgroupID / ACROSS * BLOCK_TOKENS;
    uint feature = gl_SubgroupID % ACROSS * BLOCK_FEATURES;
    SUMS sums[MS * NS];
    [[unroll]] for (uint i = 0; i < MS * NS; i++) sums[i] = SUMS(0);
    uint steps = (p.depth + UNITS * 8 - 1) / (UNITS * 8);
    uint begin = min(split * p.split_steps, steps), end = min(begin + p.split_steps, steps);
    if (begin < end) {
        fetch_a(token0, begin);
        fetch_b(feature0, begin);
    }
    for (uint step = begin; step < end; step++) {
        store_a();
        store_b();
        barrier();
        if (step + 1 < end) {
            fetch_a(token0, step + 1);
            fetch_b(feature0, step + 1);
        }
        [[unroll]] for (uint k = 0; k < UNITS; k += K / 8) {
            MATRIX_A a[MS];
            [[unroll]] for (uint m = 0; m < MS; m++)
                coopMatLoad(a[m], tiles, (token + m * M) * A_STRIDE + k, A_STRIDE,
                            gl_CooperativeMatrixLayoutRowMajor);
            [[unroll]] for (uint n = 0; n < NS; n++) {
                MATRIX_B b;
#ifdef TRANSPOSED
                coopMatLoad(b, tiles, B_PLACE + k * 8 * B_STRIDE + (feature + n * N) / 8, B_STRIDE,
                            gl_CooperativeMatrixLayoutRowMajor);
#else
                coopMatLoad(b, tiles, B_PLACE + (feature + n * N) * B_STRIDE + k, B_STRIDE,
                            gl_CooperativeMatrixLayoutColumnMajor);
#endif
                [[unroll]] for (uint m = 0; m < MS; m++)
                    sums[m * NS + n] = coopMatMulAdd(a[m], b, sums[m * NS + n]);
            }
        }
        barrier();
    }
    uint place = gl_SubgroupID * PATCH_SIZE, base = BASE(3) + split * p.split_floats;
    [[unroll]] for (uint m = 0; m < MS; m++) {
        [[unroll]] for (uint n = 0; n < NS; n++)
            coopMatStore(sums[m * NS + n], tiles, place + n * N / 4, PATCH_STRIDE,
                         gl_CooperativeMatrixLayoutRowMajor);
        patch_barrier();
        store_patch(place, token0 + token + m * M, feature0 + feature, base);
        patch_barrier();
    }
}
