// Attention and its gradients on cooperative matrices: operands are halves of one scale a table
// (half_all.comp), sums are float32. A group has 64 rows, 16 a subgroup, and 32 columns at a time
// go through shared memory, while the next ones are on their way into registers:
//
//     kind         rows     columns    of a row and a column        result
//     LOGS         queries  keys       score                        log2 of the row's sum
//     STATS        queries  keys       score, dout . v              log2, mean of dout . v
//     OUT          queries  keys       weight                       weights times v
//     DQ           queries  keys       gradient of the score        gradients times k
//     DK           keys     queries    gradient of the score        gradients times q
//     DV           keys     queries    weight                       weights times dout
//
// DK and DV sum over the query heads of a key head. stats (T, heads, 2): log2, mean. Scores are in
// powers of 2 and leave the matrices through a patch of shared memory of each subgroup, where two
// of its threads have a row. What a row sees lies side by side, also by key: queries from its own
// on, to the end of its document.
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#define PUSH                                                                               \
    uint tokens; uint keys; uint heads; uint kv_heads; float scale; uint q_at; uint k_at;  \
    uint v_at; uint dout_at;
#include "weft.glsl"

#if defined(LOGS) || defined(STATS)
#define ONLINE
#endif
#if defined(STATS) || defined(DQ) || defined(DK)
#define WITH_DOUT // dout . v is needed
#endif
#if defined(DK) || defined(DV)
#define BY_KEY
#endif

#define SUBGROUPS 4u
#define ROWS      16u // of a subgroup
#define COLUMNS   32u
#define LOWEST    -3.0e38

layout(constant_id = 0) const uint HEAD_DIM = 128; // a multiple of 16, at most 128
layout(constant_id = 1) const uint THREADS = 256;
layout(local_size_x_id = 1) in;

layout(set = 0, binding = 0) readonly buffer Halves { uvec4 halves[]; };
layout(set = 0, binding = 1) readonly buffer Factors { float factors[]; }; // of q, k, v, dout
layout(set = 0, binding = 2) readonly buffer First { int first[]; };
layout(set = 0, binding = 3) readonly buffer Last { int last[]; };
#ifdef ONLINE
layout(set = 0, binding = 4) writeonly buffer Stats { float stats[]; };
layout(set = 0, binding = 5) buffer Fault { uint fault[]; };
#else
layout(set = 0, binding = 4) readonly buffer Stats { float stats[]; };
layout(set = 0, binding = 5) writeonly buffer Out { float result[]; };
layout(set = 0, binding = 5) writeonly buffer OutVector { vec4 result4[]; };
#endif

const uint UNITS = HEAD_DIM / 8;     // of eight halves
const uint TILE_STRIDE = UNITS + 1;  // no eight rows that are read together share a bank
const uint TILE_SIZE = COLUMNS * TILE_STRIDE, DIMS = HEAD_DIM / 16;
const uint PATCH_STRIDE = COLUMNS / 4 + 1, PATCH_SIZE = ROWS * PATCH_STRIDE;
const uint WEIGHT_STRIDE = COLUMNS / 8 + 1; // of weights as halves, in the same patch
const uint ITEMS = COLUMNS * UNITS, EACH = (ITEMS + THREADS - 1) / THREADS;
const uint PATCHES = 2 * TILE_SIZE;

shared uvec4 tiles[2 * TILE_SIZE + SUBGROUPS * PATCH_SIZE];
shared int column_first[COLUMNS];       // STATS: of what a key sees
shared vec4 column_logs[COLUMNS / 4];   // by key
shared vec4 column_means[COLUMNS / 4];
shared int starts[SUBGROUPS * ROWS];    // by key: where documents begin, of the rows
shared int lowest, highest;

#define MATRIX_A coopmat<float16_t, gl_ScopeSubgroup, 16, 16, gl_MatrixUseA>
#define MATRIX_B coopmat<float16_t, gl_ScopeSubgroup, 16, 16, gl_MatrixUseB>
#define SUMS     coopmat<float, gl_ScopeSubgroup, 16, 16, gl_MatrixUseAccumulator>

const ivec2 NOTHING = ivec2(0x7fffffff, -1);

uvec4 next_one[EACH], next_two[EACH];
vec2 next_stats;
int next_first;

// Orders shared memory alone: what is on its way from memory is not waited for.
void patch_barrier() {
    controlBarrier(gl_ScopeSubgroup, gl_ScopeSubgroup, gl_StorageSemanticsShared,
                   gl_SemanticsAcquireRelease);
}

ivec2 keys_of(uint t) {
    if (t >= p.tokens) return NOTHING;
    int from = first[BASE(2) + t], to = last[BASE(3) + t];
    bool good = from >= 0 && from <= to && to < int(p.keys);
#ifdef STATS
    good = good && to == int(t);
    if (!good) atomicMin(fault[BASE(5) + FAULT_DOCUMENT], t);
#elif defined(LOGS)
    if (!good) atomicMin(fault[BASE(5) + FAULT_KEYS], t);
#endif
    return good ? ivec2(from, to) : NOTHING;
}

// Columns from `column` on, of two tables, of a head each: into registers.
void fetch(uint column, uint query_head, uint kv_head) {
#ifdef BY_KEY
    uint count = p.tokens, stride = p.heads * UNITS, head = query_head * UNITS;
    uint one = p.q_at, two = p.dout_at;
#else
    uint count = p.keys, stride = p.kv_heads * UNITS, head = kv_head * UNITS;
    uint one = p.k_at, two = p.v_at;
#endif
    [[unroll]] for (uint n = 0; n < EACH; n++) {
        uint i = gl_LocalInvocationIndex + n * THREADS, row = column + i / UNITS;
        uint at = BASE(0) / 4 + row * stride + head + i % UNITS;
        next_one[n] = next_two[n] = uvec4(0);
        if (i >= ITEMS || row >= count) continue;
        next_one[n] = halves[one + at];
#ifndef LOGS
        next_two[n] = halves[two + at];
#endif
    }
    uint t = column + gl_LocalInvocationIndex;
    next_stats = vec2(0);
    next_first = -1;
#ifdef BY_KEY
    if (gl_LocalInvocationIndex < COLUMNS && t < p.tokens) {
        uint at = BASE(4) + (t * p.heads + query_head) * 2;
        next_stats = vec2(stats[at], stats[at + 1]);
    }
#elif defined(STATS)
    if (gl_LocalInvocationIndex < COLUMNS && t < p.tokens) next_first = first[BASE(2) + t];
#endif
}

void store() {
    [[unroll]] for (uint n = 0; n < EACH; n++) {
        uint i = gl_LocalInvocationIndex + n * THREADS, at = i / UNITS * TILE_STRIDE + i % UNITS;
        if (i >= ITEMS) continue;
        tiles[at] = next_one[n];
#ifndef LOGS
        tiles[TILE_SIZE + at] = next_two[n];
#endif
    }
    if (gl_LocalInvocationIndex < COLUMNS) {
        uint i = gl_LocalInvocationIndex;
        column_first[i] = next_first;
        column_logs[i / 4][i % 4] = next_stats.x;
        column_means[i / 4][i % 4] = next_stats.y;
    }
}

#ifdef BY_KEY
// The first token after `token` where a document begins, by all threads.
uint document_end(uint token) {
    if (gl_LocalInvocationIndex == 0) highest = int(p.tokens);
    barrier();
    for (uint at = token + 1; at < p.tokens; at += THREADS) {
        uint t = at + gl_LocalInvocationIndex;
        if (t < p.tokens && first[BASE(2) + t] == int(t)) atomicMin(highest, int(t));
        barrier();
        if (highest < int(at + THREADS)) break;
        barrier();
    }
    barrier();
    return uint(highest);
}

// The queries that see a key, where the group's last document ends before `end`.
ivec2 queries_of(uint row, uint row0, int end) {
    uint i = gl_LocalInvocationIndex, t = row0 + i;
    if (i < SUBGROUPS * ROWS)
        starts[i] = t < p.tokens && first[BASE(2) + t] == int(t) ? int(t) : end;
    barrier();
    int next = end;
    for (uint r = 0; r < SUBGROUPS * ROWS; r++)
        if (starts[r] > int(row)) next = min(next, starts[r]);
    return ivec2(int(row), next - 1);
}
#endif

// This thread's part of a row of a patch: 16 columns.
#define HALF_ROW (gl_SubgroupInvocationID / 2)
#define HALF_AT  (gl_SubgroupInvocationID % 2 * 16)

// The columns from .. to of this thread's sixteen, as bits.
uint visible_mask(int from, int to) {
    uint low = uint(clamp(from, 0, 16)), high = uint(clamp(to + 1, 0, 16));
    return (1u << high) - (1u << min(low, high));
}

#ifdef STATS
// No key that a row sees begins a document, but the first one.
void check_documents(uint row, ivec2 seen, int column, uint mask) {
    for (uint j = 0; j < 16; j++) {
        int at = column + int(HALF_AT + j);
        if ((mask & 1u << j) != 0 && at > seen.x && column_first[HALF_AT + j] == at)
            atomicMin(fault[BASE(5) + FAULT_DOCUMENT], row);
    }
}
#endif

vec4 patch_read(uint place, uint quad) {
    return uintBitsToFloat(tiles[place + HALF_ROW * PATCH_STRIDE + HALF_AT / 4 + quad]);
}

#ifndef ONLINE
void store_four(uint at, vec4 values) {
    at += BASE(5);
    if (BASE(5) % 4 == 0)
        result4[at / 4] = values;
    else
        [[unroll]] for (uint j = 0; j < 4; j++) result[at + j] = values[j];
}
#endif

// The matrices stay variables of main: a function would be handed copies.
void main() {
    uint own = gl_SubgroupID * ROWS;
    bool lane = gl_SubgroupInvocationID < 2 * ROWS; // has half a row
#ifdef BY_KEY
    uint row_heads = p.kv_heads, rows = p.keys;
#else
    uint row_heads = p.heads, rows = p.tokens;
#endif
    uint row_tiles = (rows + SUBGROUPS * ROWS - 1) / (SUBGROUPS * ROWS);
    uint head = GROUP_INDEX % row_heads, tile = GROUP_INDEX / row_heads;
    if (tile >= row_tiles) return;
    uint group = p.heads / p.kv_heads;
#ifdef BY_KEY
    uint row0 = tile * SUBGROUPS * ROWS, kv_head = head;
#else
    uint row0 = (row_tiles - 1 - tile) * SUBGROUPS * ROWS, kv_head = head / group;
#endif
    uint row = row0 + own + HALF_ROW; // of this thread
    uint place = PATCHES + gl_SubgroupID * PATCH_SIZE;

    // Columns that the group sees, and those that this subgroup does.
    int begin, end, own_begin, own_end;
#ifdef BY_KEY
    begin = int(row0);
    end = int(document_end(min(row0 + SUBGROUPS * ROWS, rows) - 1));
    own_begin = begin + int(own);
    own_end = end;
    ivec2 seen = queries_of(row, row0, end);
    if (row >= rows) seen = NOTHING;
#else
    ivec2 seen = lane ? keys_of(row) : NOTHING;
    if (gl_LocalInvocationIndex == 0) {
        lowest = 0x7fffffff;
        highest = -1;
    }
    barrier();
    if (lane) {
        atomicMin(lowest, seen.x);
        atomicMax(highest, seen.y);
        tiles[place + HALF_ROW] = uvec4(ivec4(seen, 0, 0));
    }
    barrier();
    begin = lowest;
    end = highest + 1;
    own_begin = 0x7fffffff;
    own_end = -1;
    for (uint r = 0; r < ROWS; r++) {
        ivec2 one = ivec2(tiles[place + r].xy);
        own_begin = min(own_begin, one.x);
        own_end = max(own_end, one.y + 1);
    }
#endif

#ifdef BY_KEY
    uint row_stride = p.kv_heads * UNITS, row_head = head * UNITS;
    uint rows_one = p.k_at, rows_two = p.v_at;
#else
    uint row_stride = p.heads * UNITS, row_head = head * UNITS;
    uint rows_one = p.q_at, rows_two = p.dout_at;
#endif
    MATRIX_A a_one[DIMS]; // tables have room for whole groups of rows
    uint a_at = BASE(0) / 4 + (row0 + own) * row_stride + row_head;
    [[unroll]] for (uint k = 0; k < DIMS; k++)
        coopMatLoad(a_one[k], halves, rows_one + a_at + 2 * k, row_stride,
                    gl_CooperativeMatrixLayoutRowMajor);
#ifdef WITH_DOUT
    MATRIX_A a_two[DIMS];
    [[unroll]] for (uint k = 0; k < DIMS; k++)
        coopMatLoad(a_two[k], halves, rows_two + a_at + 2 * k, row_stride,
                    gl_CooperativeMatrixLayoutRowMajor);
#endif
    float q_factor = factors[BASE(1)], k_factor = factors[BASE(1) + 1];
    float v_factor = factors[BASE(1) + 2], dout_factor = factors[BASE(1) + 3];
    float score_factor = p.scale * q_factor * k_factor * 1.44269504; // log2 of e
    float row_log = 0, row_mean = 0;
    float most = LOWEST, total = 0, product_total = 0;
#ifndef ONLINE
    SUMS sums[DIMS];
    [[unroll]] for (uint n = 0; n < DIMS; n++) sums[n] = SUMS(0);
#ifndef BY_KEY
    uint stats_at = BASE(4) + (min(row, rows - 1) * p.heads + head) * 2;
    row_log = stats[stats_at];
    row_mean = stats[stats_at + 1];
#endif
#endif

    uint across = end > begin ? (uint(end - begin) + COLUMNS - 1) / COLUMNS : 0;
#ifdef BY_KEY
    uint count = across * group;
#else
    uint count = across;
#endif
    if (count > 0) fetch(uint(begin), kv_head * group, kv_head);
    for (uint i = 0; i < count; i++) {
        uint query_head = kv_head * group + i / across;
        int column = begin + int(i % across * COLUMNS);
        barrier();
        store();
        barrier();
        if (i + 1 < count)
            fetch(uint(begin) + (i + 1) % across * COLUMNS, kv_head * group + (i + 1) / across,
                  kv_head);
        if (column >= own_end || column + int(COLUMNS) <= own_begin) continue;

        // Sums that do not wait for each other in turn: none of them is stored before all are made.
        SUMS scores[2];
        scores[0] = scores[1] = SUMS(0);
#ifdef WITH_DOUT
        SUMS products[2];
        products[0] = products[1] = SUMS(0);
#endif
        [[unroll]] for (uint k = 0; k < DIMS; k++) {
            [[unroll]] for (uint n = 0; n < 2; n++) {
                MATRIX_B b;
                coopMatLoad(b, tiles, n * 16 * TILE_STRIDE + 2 * k, TILE_STRIDE,
                            gl_CooperativeMatrixLayoutColumnMajor);
                scores[n] = coopMatMulAdd(a_one[k], b, scores[n]);
#ifdef WITH_DOUT
                coopMatLoad(b, tiles, TILE_SIZE + n * 16 * TILE_STRIDE + 2 * k, TILE_STRIDE,
                            gl_CooperativeMatrixLayoutColumnMajor);
                products[n] = coopMatMulAdd(a_two[k], b, products[n]);
#endif
            }
        }
        [[unroll]] for (uint n = 0; n < 2; n++)
            coopMatStore(scores[n], tiles, place + n * 4, PATCH_STRIDE,
                         gl_CooperativeMatrixLayoutRowMajor);
        patch_barrier();
        vec4 weight[4], score[4];
        [[unroll]] for (uint j = 0; j < 4; j++) {
            if (lane) score[j] = patch_read(place, j) * score_factor;
        }
        patch_barrier();
#ifdef WITH_DOUT
        [[unroll]] for (uint n = 0; n < 2; n++)
            coopMatStore(products[n], tiles, place + n * 4, PATCH_STRIDE,
                         gl_CooperativeMatrixLayoutRowMajor);
        patch_barrier();
        vec4 product[4];
        [[unroll]] for (uint j = 0; j < 4; j++) {
            if (lane) product[j] = patch_read(place, j);
        }
        patch_barrier();
#endif
        if (lane) {
#ifdef ONLINE
            float before = most;
#endif
            int from = seen.x - column - int(HALF_AT), to = seen.y - column - int(HALF_AT);
            uint mask = visible_mask(from, to);
            [[unroll]] for (uint j = 0; j < 16; j++) {
                bool visible = (mask & 1u << j) != 0;
#ifdef ONLINE
                if (!visible) score[j / 4][j % 4] = uintBitsToFloat(0xff800000u);
                most = max(most, score[j / 4][j % 4]);
#else
#ifdef BY_KEY
                row_log = column_logs[HALF_AT / 4 + j / 4][j % 4];
                row_mean = column_means[HALF_AT / 4 + j / 4][j % 4];
#endif
                float w = exp2(score[j / 4][j % 4] - row_log);
#ifdef WITH_DOUT
                w *= product[j / 4][j % 4] - row_mean;
#endif
                weight[j / 4][j % 4] = visible ? w : 0.0;
#endif
            }
#ifdef ONLINE
#ifdef STATS
            if (head == 0) check_documents(row, seen, column, mask);
#endif
            float keep = exp2(before - most);
            total *= keep;
            product_total *= keep;
            [[unroll]] for (uint j = 0; j < 16; j++) {
                float w = exp2(score[j / 4][j % 4] - most);
                total += w;
#ifdef STATS
                product_total += w * product[j / 4][j % 4];
#endif
            }
#else
            [[unroll]] for (uint j = 0; j < 2; j++)
                tiles[place + HALF_ROW * WEIGHT_STRIDE + HALF_AT / 8 + j] =
                    uvec4(packHalf2x16(weight[2 * j].xy), packHalf2x16(weight[2 * j].zw),
                          packHalf2x16(weight[2 * j + 1].xy), packHalf2x16(weight[2 * j + 1].zw));
#endif
        }
#ifndef ONLINE
        patch_barrier();
#if defined(DQ) || defined(DK)
        const uint values = 0;
#else
        const uint values = TILE_SIZE;
#endif
        [[unroll]] for (uint k = 0; k < 2; k++) {
            MATRIX_A a;
            coopMatLoad(a, tiles, place + 2 * k, WEIGHT_STRIDE, gl_CooperativeMatrixLayoutRowMajor);
            [[unroll]] for (uint n = 0; n < DIMS; n++) {
                MATRIX_B b;
                coopMatLoad(b, tiles, values + k * 16 * TILE_STRIDE + 2 * n, TILE_STRIDE,
                            gl_CooperativeMatrixLayoutRowMajor);
                sums[n] = coopMatMulAdd(a, b, sums[n]);
            }
        }
        patch_barrier();
#endif
    }
    barrier();

#ifdef ONLINE
    // The two halves of a row, one after the other.
    if (lane)
        tiles[place + gl_SubgroupInvocationID] =
            floatBitsToUint(vec4(most, total, product_total, 0));
    patch_barrier();
    if (lane && HALF_AT == 0 && row < rows) {
        vec4 a = uintBitsToFloat(tiles[place + gl_SubgroupInvocationID]);
        vec4 b = uintBitsToFloat(tiles[place + gl_SubgroupInvocationID + 1]);
        float top = max(a.x, b.x), keep_a = exp2(a.x - top), keep_b = exp2(b.x - top);
        float sum = a.y * keep_a + b.y * keep_b;
        bool nan = (floatBitsToUint(sum) & 0x7fffffffu) > 0x7f800000u;
        uint at = BASE(4) + (row * p.heads + head) * 2;
        stats[at] = nan ? sum : top + log2(sum);
        stats[at + 1] = (a.z * keep_a + b.z * keep_b) / sum;
    }
#else
#if defined(DQ)
    float factor = p.scale * v_factor * dout_factor * k_factor;
#elif defined(DK)
    float factor = p.scale * v_factor * dout_factor * q_factor;
#elif defined(DV)
    float factor = dout_factor;
#else
    float factor = v_factor;
#endif
    [[unroll]] for (uint n = 0; n < DIMS; n++) {
        coopMatStore(sums[n], tiles, place, PATCH_STRIDE, gl_CooperativeMatrixLayoutRowMajor);
        patch_barrier();
        for (uint i = gl_SubgroupInvocationID; i < ROWS * 4; i += gl_SubgroupSize) {
            uint r = row0 + own + i / 4, quad = i % 4;
            vec4 values = uintBitsToFloat(tiles[place + i / 4 * PATCH_STRIDE + quad]) * factor;
            if (r < rows) store_four((r * row_heads + head) * HEAD_DIM + n * 16 + 4 * quad, values);
        }
        patch_barrier();
    }
#endif
}
