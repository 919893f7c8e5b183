// One gradient of attention over packed documents, by tiles. With P = e^(score - log of the row's
// sum) and dS = P (dout v^T - dout . out) scale:
//
//     DQ: dq = dS k; a group has 64 queries of a head
//     DK: dk = dS^T q, summed over the heads of a key head; a group has 64 keys
//     DV: dv = P^T dout, as DK
//
// stats (T, heads, 3) are attention.comp's. Queries lie in a window of their tables, and so do the
// keys of DK and DV; those add to what earlier windows gave.
#define PUSH                                                                               \
    uint queries; uint keys; uint heads; uint kv_heads; float scale; uint first_query;     \
    uint first_key; uint add; uint tokens;
#include "weft.glsl"
#include "attention.glsl"

layout(set = 0, binding = 0) readonly buffer Q { float q[]; };
layout(set = 0, binding = 1) readonly buffer K { float k[]; };
layout(set = 0, binding = 2) readonly buffer V { float v[]; };
layout(set = 0, binding = 3) readonly buffer First { int first[]; };
layout(set = 0, binding = 4) readonly buffer Dout { float dout[]; };
layout(set = 0, binding = 5) readonly buffer Stats { float stats[]; };
layout(set = 0, binding = 6) buffer Out { float gradient[]; };

#define Q_ROW  (p.heads * HEAD_DIM)
#define KV_ROW (p.kv_heads * HEAD_DIM)

#ifdef DQ
TILE_LOADER(load_q, q, 0, p.queries, Q_ROW, LEFT)
TILE_LOADER(load_k, k, 1, p.keys, KV_ROW, RIGHT)
TILE_LOADER(load_dout, dout, 4, p.queries, Q_ROW, LEFT)
TILE_LOADER(load_v, v, 2, p.keys, KV_ROW, RIGHT)
VALUE_LOADER(load_values, k, 1, p.keys, KV_ROW)
#else
TILE_LOADER(load_q, q, 0, p.queries, Q_ROW, RIGHT)
TILE_LOADER(load_k, k, 1, p.keys, KV_ROW, LEFT)
#ifdef DK
TILE_LOADER(load_dout, dout, 4, p.queries, Q_ROW, RIGHT)
TILE_LOADER(load_v, v, 2, p.keys, KV_ROW, LEFT)
VALUE_LOADER(load_values, q, 0, p.queries, Q_ROW)
#else
VALUE_LOADER(load_values, dout, 4, p.queries, Q_ROW)
#endif
#endif

// What is known of 64 queries: the first key of each, as an index into the window of keys; the log
// of the sum; dout . out.
shared ivec4 query_from[TILE / 4];
shared vec4 query_log[TILE / 4];
shared vec4 query_product[TILE / 4];
shared int lowest_key;

// Queries that are none see no key.
void load_queries(uint query, uint head) {
    uint tid = gl_LocalInvocationIndex;
    barrier();
    if (tid == 0) lowest_key = 0x7fffffff;
    barrier();
    if (tid < TILE) {
        uint i = query + tid, at = BASE(5) + (min(i, p.queries - 1) * p.heads + head) * 3;
        int from = 0x7fffffff;
        if (i < p.queries) from = max(first[BASE(3) + p.first_query + i], 0) - int(p.first_key);
        query_from[tid / 4][tid % 4] = from;
        query_log[tid / 4][tid % 4] = stats[at];
        query_product[tid / 4][tid % 4] = stats[at + 1] + (HEAD_DIM > WIDTH ? stats[at + 2] : 0);
        atomicMin(lowest_key, from);
    }
    barrier();
}

void store(uint row, uint rows, uint row_floats, uint offset, uint column) {
    [[unroll]] for (uint i = 0; i < 8; i++) {
        uint r = row + TILE_ROW + i;
        [[unroll]] for (uint j = 0; j < COLUMNS; j++) {
            uint c = column + LANE + 16 * j, at = BASE(6) + r * row_floats + offset + c;
            float value = result[2 * j + i / 4][i % 4];
            if (r < rows && c < HEAD_DIM) gradient[at] = p.add != 0 ? gradient[at] + value : value;
        }
    }
}

#ifdef DQ
// Query row i of the tile and the keys of this thread's columns.
bvec4 seen(uint i, uint query, int key) {
    uint row = TILE_ROW + i;
    ivec4 at = ivec4(key + int(TILE_COLUMN)) + ivec4(0, 1, 2, 3);
    int from = query_from[row / 4][row % 4], to = int(p.first_query + query + row);
    bvec4 above = greaterThanEqual(at, ivec4(from)), below = lessThanEqual(at, ivec4(to));
    return bvec4(uvec4(above) & uvec4(below));
}
#define LOG(i)     vec4(query_log[(TILE_ROW + (i)) / 4][(i) % 4])
#define PRODUCT(i) vec4(query_product[(TILE_ROW + (i)) / 4][(i) % 4])
#else
// Key row i of the tile and the queries of this thread's columns.
bvec4 seen(uint i, uint query, int key) {
    int at = key + int(TILE_ROW + i), first_at = int(p.first_query + query + TILE_COLUMN);
    ivec4 to = ivec4(first_at - int(p.first_key)) + ivec4(0, 1, 2, 3);
    bvec4 above = lessThanEqual(query_from[LANE], ivec4(at));
    bvec4 below = greaterThanEqual(to, ivec4(at));
    return bvec4(uvec4(above) & uvec4(below));
}
#define LOG(i)     query_log[LANE]
#define PRODUCT(i) query_product[LANE]
#endif

vec4 weights[8];

void weigh(uint query, int key) {
    [[unroll]] for (uint i = 0; i < 8; i++)
        weights[i] = mix(vec4(0), weight_of(sums[i] * p.scale - LOG(i)), seen(i, query, key));
}

// sums, the products with dout, become the gradients of the scores.
void weigh_gradient(uint query, int key) {
    [[unroll]] for (uint i = 0; i < 8; i++)
        sums[i] = mix(vec4(0), weights[i] * (sums[i] - PRODUCT(i)) * p.scale, seen(i, query, key));
}

#ifdef DQ
void run(uint tile, uint head, uint column) {
    uint query = tile * TILE, q_offset = head * HEAD_DIM;
    uint k_offset = head / (p.heads / p.kv_heads) * HEAD_DIM;
    load_queries(query, head);
    int end = int(p.first_query + min(query + TILE, p.queries));
    for (int key = lowest_key; key < end; key += TILE) {
        TILE_PRODUCT(load_q, query, q_offset, load_k, uint(key), k_offset)
        weigh(query, key);
        TILE_PRODUCT(load_dout, query, q_offset, load_v, uint(key), k_offset)
        weigh_gradient(query, key);
        barrier();
        ADD_WEIGHTED(load_values, uint(key), k_offset, column)
    }
    store(query, p.queries, Q_ROW, q_offset, column);
}
#else
shared uint document_end;

// The first token after the tile's last key where a document begins.
void find_end(uint token) {
    if (gl_LocalInvocationIndex == 0) document_end = p.tokens;
    barrier();
    for (uint at = token; at < p.tokens; at += THREADS) {
        uint t = at + gl_LocalInvocationIndex;
        if (t < p.tokens && first[BASE(3) + t] == int(t)) atomicMin(document_end, t);
        barrier();
        if (document_end < at + THREADS) break;
        barrier();
    }
}

void run(uint tile, uint kv_head, uint column) {
    uint key = tile * TILE, k_offset = kv_head * HEAD_DIM, group = p.heads / p.kv_heads;
    uint last_key = min(key + TILE, p.keys) - 1, begin = p.first_key + key;
    find_end(p.first_key + last_key + 1);
    uint end = min(document_end, p.first_query + p.queries);
    begin = max(begin, p.first_query);
    for (uint head = kv_head * group; head < (kv_head + 1) * group; head++) {
        uint q_offset = head * HEAD_DIM;
        for (uint at = begin; at < end; at += TILE) {
            uint query = at - p.first_query;
            load_queries(query, head);
            if (lowest_key > int(last_key)) continue;
            TILE_PRODUCT(load_k, key, k_offset, load_q, query, q_offset)
            weigh(query, int(key));
#ifdef DK
            TILE_PRODUCT(load_v, key, k_offset, load_dout, query, q_offset)
            weigh_gradient(query, int(key));
#else
            [[unroll]] for (uint i = 0; i < 8; i++) sums[i] = weights[i];
#endif
            barrier();
            ADD_WEIGHTED(load_values, query, q_offset, column)
        }
    }
    store(key, p.keys, KV_ROW, k_offset, column);
}
#endif

void main() {
#ifdef DQ
    uint rows = p.queries, heads = p.heads;
#else
    uint rows = p.keys, heads = p.kv_heads;
#endif
    uint blocks = (HEAD_DIM + WIDTH - 1) / WIDTH, tiles = (rows + TILE - 1) / TILE;
    uint column = GROUP_INDEX % blocks * WIDTH, head = GROUP_INDEX / blocks % heads;
    uint tile = GROUP_INDEX / blocks / heads;
    if (tile >= tiles) return;
    clear_result();
#ifdef DQ
    run(tiles - 1 - tile, head, column); // those that see most come first
#else
    run(tile, head, column);
#endif
}
