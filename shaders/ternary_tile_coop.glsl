// A tile of the integer product on cooperative matrices. 16 * UNITS values of the sums at a time go
// through shared memory, where they lie side by side for tokens and for features; while they are
// multiplied, the next ones are on their way from memory into registers. Each subgroup has a block
// of the tile, and with SPLITS a part of those values: for few tokens. With TRANSPOSED, both planes
// of a meet the same unpacked weights.
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_EXT_shader_explicit_arithmetic_types_int8 : require
#include "ternary_product.glsl"

layout(constant_id = 0) const uint M = 16; // of the device's matrices
layout(constant_id = 1) const uint N = 16;
layout(constant_id = 2) const uint K = 32;
layout(constant_id = 3) const uint TILE_TOKENS = 64;
layout(constant_id = 4) const uint TILE_FEATURES = 128;
layout(constant_id = 5) const uint BLOCK_TOKENS = 64; // of a subgroup
layout(constant_id = 6) const uint BLOCK_FEATURES = 32;
layout(constant_id = 7) const uint UNITS = 8; // a multiple of 8
layout(constant_id = 8) const uint SPLITS = 1;
layout(constant_id = 9) const uint THREADS = 128;
layout(constant_id = 10) const uint TERM = 0; // fours of ranks of a low-rank term that is added
layout(local_size_x_id = 9) in;

layout(set = 0, binding = 1) readonly buffer High4 { uvec4 high4[]; };
layout(set = 0, binding = 2) readonly buffer Low4 { uvec4 low4[]; };
layout(set = 0, binding = 4) buffer Y4 { vec4 y4[]; };
layout(set = 0, binding = 5) readonly buffer Start4 { vec4 start4[]; };
layout(set = 0, binding = 6) restrict readonly buffer TermRows { vec4 term_rows[]; };     // h
layout(set = 0, binding = 7) restrict readonly buffer TermFactor { vec4 term_factor[]; }; // B or A

#ifdef TRANSPOSED
const uint PLANES = 2;
#else
const uint PLANES = 1;
#endif
const uint STRIDE = UNITS + 1; // no eight rows that are read together share a bank
const uint A_ITEMS = TILE_TOKENS * UNITS, B_ITEMS = TILE_FEATURES * UNITS / 4;
const uint A_EACH = (A_ITEMS + THREADS - 1) / THREADS, B_EACH = (B_ITEMS + THREADS - 1) / THREADS;
const bool A_EVEN = A_ITEMS % THREADS == 0, B_EVEN = B_ITEMS % THREADS == 0;
const uint A_ROWS = PLANES * TILE_TOKENS, B_PLACE = A_ROWS * STRIDE;
const uint BUFFER_SIZE = (A_ROWS + TILE_FEATURES) * STRIDE;
const uint ACROSS = TILE_FEATURES / BLOCK_FEATURES, BLOCKS = TILE_TOKENS / BLOCK_TOKENS * ACROSS;
const uint PATCH_STRIDE = BLOCK_FEATURES / 4 + 1, PATCH_SIZE = M * PATCH_STRIDE;
const uint PATCHES_SIZE = BLOCKS * SPLITS * PATCH_SIZE;
const uint SHARED_SIZE = BUFFER_SIZE > PATCHES_SIZE ? BUFFER_SIZE : PATCHES_SIZE;
const uint MS = BLOCK_TOKENS / M, NS = BLOCK_FEATURES / N, BLOCK_SUMS = MS * NS;
const uint PART = UNITS / SPLITS; // units of a subgroup
const uint LANES = THREADS / (BLOCKS * SPLITS);
const uint FOURS = BLOCK_FEATURES / 4;              // of features, of a row of a block
const bool SAME_FOUR = LANES * SPLITS % FOURS == 0; // of all results that an invocation stores

shared uvec4 tiles[SHARED_SIZE]; // in the end, each subgroup's sums of M tokens
shared float factors[TILE_TOKENS];
shared vec4 term_h[TERM == 0 ? 1 : TILE_TOKENS * TERM]; // of the tile's tokens

#define MATRIX_A coopmat<int8_t, gl_ScopeSubgroup, M, K, gl_MatrixUseA>
#define MATRIX_B coopmat<int8_t, gl_ScopeSubgroup, K, N, gl_MatrixUseB>
#define SUMS     coopmat<int, gl_ScopeSubgroup, M, N, gl_MatrixUseAccumulator>

uvec4 next_a[A_EACH], next_b[B_EACH];
#ifdef TRANSPOSED
uvec4 next_low[A_EACH];
#endif

void fetch_a(uint token0, uint step) {
    [[unroll]] for (uint n = 0; n < A_EACH; n++) {
        uint i = gl_LocalInvocationIndex + n * THREADS, token = token0 + i / UNITS;
        uint source = token * (p.a_stride / 4) + step * UNITS + i % UNITS;
        bool inside = (A_EVEN || i < A_ITEMS) && token < p.tokens;
        if (UNITS > 8) inside = inside && step * UNITS + i % UNITS < p.a_stride / 4;
        next_a[n] = uvec4(0);
        if (inside) next_a[n] = high4[BASE(1) / 4 + source];
#ifdef TRANSPOSED
        next_low[n] = uvec4(0);
        if (inside) next_low[n] = low4[BASE(2) / 4 + source];
#endif
    }
}

void store_a() {
    [[unroll]] for (uint n = 0; n < A_EACH; n++) {
        uint i = gl_LocalInvocationIndex + n * THREADS, at = i / UNITS * STRIDE + i % UNITS;
        if (!A_EVEN && i >= A_ITEMS) continue;
        tiles[at] = next_a[n];
#ifdef TRANSPOSED
        tiles[TILE_TOKENS * STRIDE + at] = next_low[n];
#endif
    }
}

#ifdef TRANSPOSED
// One word of four weight rows: sixteen columns.
const uint WORDS = TILE_FEATURES / 16;

void fetch_b(uint tile, uint step) {
    [[unroll]] for (uint n = 0; n < B_EACH; n++) {
        uint i = gl_LocalInvocationIndex + n * THREADS;
        uint row = step * UNITS * 16 + i / WORDS * 4, word = tile * WORDS + i % WORDS;
        uint at = BASE(0) + row * p.w_stride + word;
        next_b[n] = uvec4(TERNARY_ZEROS);
        if ((!B_EVEN && i >= B_ITEMS) || word >= p.w_stride) continue;
        [[unroll]] for (uint r = 0; r < 4; r++)
            if (row + r < p.depth) next_b[n][r] = w[at + r * p.w_stride];
    }
}

// Column 32 * quarter + 4 * word + b is kept at 32 * quarter + 8 * b + word: then the columns that
// are written together lie in different banks.
void store_b() {
    [[unroll]] for (uint n = 0; n < B_EACH; n++) {
        uint i = gl_LocalInvocationIndex + n * THREADS, word = i % WORDS, group = i / WORDS;
        uint at = B_PLACE + (word / 8 * 128 + word % 8) * STRIDE + group / 4;
        if (!B_EVEN && i >= B_ITEMS) continue;
        uvec4 columns = transpose_bytes(next_b[n]);
        [[unroll]] for (uint quarter = 0; quarter < 4; quarter++) {
            uvec4 values = ternary_values(columns, quarter);
            [[unroll]] for (uint b = 0; b < 4; b++)
                tiles[at + (32 * quarter + 8 * b) * STRIDE][group % 4] = values[b];
        }
    }
}

// Four features of a row of sums.
ivec4 patch_sums(uint row, uint four) {
    uint at = row + four / 8 * 8 + four % 8 / 4, part = four % 4;
    return ivec4(tiles[at][part], tiles[at + 2][part], tiles[at + 4][part], tiles[at + 6][part]);
}
#else
// 16 bytes of one weight row: 64 values, 16 of each quarter of the block.
const uint B_UNITS = UNITS / 4;

void fetch_b(uint tile, uint step) {
    [[unroll]] for (uint n = 0; n < B_EACH; n++) {
        uint i = gl_LocalInvocationIndex + n * THREADS;
        uint feature = tile * TILE_FEATURES + i / B_UNITS, unit = step * B_UNITS + i % B_UNITS;
        bool inside = (B_EVEN || i < B_ITEMS) && feature < p.features;
        if (UNITS > 8) inside = inside && unit < p.w_stride / 4;
        next_b[n] = uvec4(TERNARY_ZEROS);
        if (inside) next_b[n] = w4[(BASE(0) + feature * p.w_stride) / 4 + unit];
    }
}

void store_b() {
    [[unroll]] for (uint n = 0; n < B_EACH; n++) {
        uint i = gl_LocalInvocationIndex + n * THREADS, unit = i % B_UNITS;
        uint at = B_PLACE + i / B_UNITS * STRIDE + unit / 2 * 8 + unit % 2;
        if (!B_EVEN && i >= B_ITEMS) continue;
        [[unroll]] for (uint quarter = 0; quarter < 4; quarter++)
            tiles[at + 2 * quarter] = ternary_values(next_b[n], quarter);
    }
}

ivec4 patch_sums(uint row, uint four) {
    return ivec4(tiles[row + four]);
}
#endif

void fetch(uint tile, uint token0, uint step) {
    fetch_a(token0, step);
    fetch_b(tile, step);
}

void store() {
    store_a();
    store_b();
}

// The term that is added, h B^T or with TRANSPOSED h A, of four features: their part of B or A
// stays in registers for all tokens.
#define TERM_MOST 2 // of TERM
vec4 term_part[4 * TERM_MOST];

void term_load(uint feature) {
    [[unroll]] for (uint q = 0; q < TERM; q++) {
        [[unroll]] for (uint j = 0; j < 4; j++) {
#ifdef TRANSPOSED
            uint at = (4 * q + j) * (p.features / 4) + min(feature, p.features - 4) / 4;
#else
            uint at = min(feature + j, p.features - 1) * TERM + q;
#endif
            term_part[4 * q + j] = term_factor[BASE(7) / 4 + at];
        }
    }
}

// token: of the tile.
vec4 term_of(uint token) {
    vec4 sum = vec4(0);
    [[unroll]] for (uint q = 0; q < TERM; q++) {
        vec4 h = term_h[token * TERM + q];
        [[unroll]] for (uint j = 0; j < 4; j++) {
#ifdef TRANSPOSED
            sum += h[j] * term_part[4 * q + j];
#else
            sum[j] += dot(h, term_part[4 * q + j]);
#endif
        }
    }
    return p.term_scale * sum;
}

// A term comes with whole fours alone.
void store_four(uint token0, uint token, uint feature, ivec4 sums) {
    uint t = token0 + token;
    float factor = factors[token];
    bool wide = ((p.y_stride | BASE(4) | (p.add != 0 ? BASE(5) : 0)) & 3) == 0;
    if (!wide || t >= p.tokens || feature + 4 > p.features) {
        [[unroll]] for (uint i = 0; i < 4; i++) store_product(t, feature + i, sums[i], factor);
        return;
    }
    uint at = t * p.y_stride + feature;
    precise vec4 values = vec4(sums) * factor;
    precise vec4 totals = values;
    if (p.add != 0) totals = start4[(BASE(5) + at) / 4] + values;
    y4[(BASE(4) + at) / 4] = TERM != 0 ? totals + term_of(token) : totals;
}

// The sums of M tokens of a block, from its subgroups' patches.
void store_patches(uint block, uint split, uint token, uint token0, uint feature0) {
    [[unroll]] for (uint n = 0; n < M * FOURS; n += LANES * SPLITS) {
        uint i = n + split * LANES + gl_SubgroupInvocationID;
        uint row = i / FOURS, four = i % FOURS;
        if (i >= M * FOURS) continue;
        if (TERM != 0 && !SAME_FOUR) term_load(feature0 + 4 * four);
        ivec4 sums = ivec4(0);
        [[unroll]] for (uint s = 0; s < SPLITS; s++)
            sums += patch_sums((s * BLOCKS + block) * PATCH_SIZE + row * PATCH_STRIDE, four);
        store_four(token0, token + row, feature0 + 4 * four, sums);
    }
}

// Orders shared memory alone: nothing waits for results on their way to memory.
void patch_barrier() {
    if (SPLITS > 1)
        barrier();
    else
        controlBarrier(gl_ScopeSubgroup, gl_ScopeSubgroup, gl_StorageSemanticsShared,
                       gl_SemanticsAcquireRelease);
}

// The matrices stay variables of main: a function would be handed copies.
void main() {
    uint across = (p.features + TILE_FEATURES - 1) / TILE_FEATURES;
    uint tile = GROUP_INDEX % across, token0 = GROUP_INDEX / across * TILE_TOKENS;
    if (token0 >= p.tokens) return;
    uint block = gl_SubgroupID % BLOCKS, split = gl_SubgroupID / BLOCKS;
    uint token = block / ACROSS * BLOCK_TOKENS, feature = block % ACROSS * BLOCK_FEATURES;
    uint a_place = token * STRIDE + split * PART;
    uint b_place = B_PLACE + feature * STRIDE + split * PART;
    SUMS sums[PLANES * BLOCK_SUMS];
    [[unroll]] for (uint i = 0; i < PLANES * BLOCK_SUMS; i++) sums[i] = SUMS(0);
    uint steps = (p.depth + UNITS * 16 - 1) / (UNITS * 16);
    fetch(tile, token0, 0);
    for (uint t = gl_LocalInvocationIndex; t < TILE_TOKENS; t += THREADS)
        factors[t] = token_factor(token0 + t);
    for (uint i = gl_LocalInvocationIndex; i < TILE_TOKENS * TERM; i += THREADS)
        term_h[i] = term_rows[BASE(6) / 4 + min(token0 * TERM + i, p.tokens * TERM - 1)];
    for (uint step = 0; step < steps; step++) {
        store();
        barrier();
        if (step + 1 < steps) fetch(tile, token0, step + 1);
        [[unroll]] for (uint k = 0; k < PART; k += K / 16) {
            MATRIX_B b[NS];
            [[unroll]] for (uint n = 0; n < NS; n++)
                coopMatLoad(b[n], tiles, b_place + n * N * STRIDE + k, STRIDE,
                            gl_CooperativeMatrixLayoutColumnMajor);
            [[unroll]] for (uint m = 0; m < PLANES * MS; m++) {
                MATRIX_A a;
                uint row = m / MS * TILE_TOKENS + m % MS * M;
                coopMatLoad(a, tiles, a_place + row * STRIDE + k, STRIDE,
                            gl_CooperativeMatrixLayoutRowMajor);
                [[unroll]] for (uint n = 0; n < NS; n++)
                    sums[m * NS + n] = coopMatMulAdd(a, b[n], sums[m * NS + n]);
            }
        }
        barrier();
    }
    uint patch_place = (split * BLOCKS + block) * PATCH_SIZE;
    if (TERM != 0 && SAME_FOUR) {
        uint four = (split * LANES + gl_SubgroupInvocationID) % FOURS;
        term_load(tile * TILE_FEATURES + feature + 4 * four);
    }
    [[unroll]] for (uint m = 0; m < MS; m++) {
        [[unroll]] for (uint n = 0; n < NS; n++) {
            SUMS sum = sums[m * NS + n];
            if (PLANES == 2) sum = sum * 256 + sums[(PLANES - 1) * BLOCK_SUMS + m * NS + n];
            coopMatStore(sum, tiles, patch_place + n * N / 4, PATCH_STRIDE,
                         gl_CooperativeMatrixLayoutRowMajor);
        }
        patch_barrier();
        store_patches(block, split, token + m * M, token0, tile * TILE_FEATURES + feature);
        patch_barrier();
    }
}
