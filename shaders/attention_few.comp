// Attention of a few tokens: the keys that rows see are split between groups, as many groups
// whatever the ranges are, and attention_merge.comp puts the parts together. A group has four rows,
// that is query heads of one key head and neighbouring tokens; row r is head r % (heads / kv_heads)
// of token r / (heads / kv_heads). Keys go by in tiles of 64.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#define PUSH                                                                               \
    uint tokens; uint keys; uint heads; uint kv_heads; float scale; uint first_token;      \
    uint first_key; uint all_keys; uint first_part; uint parts;
#include "weft.glsl"

#define THREADS   128
#define TILE      64
#define LANES     8 // threads that share a key's product
#define ROWS      4
#define KEY_LEAST 32 // fewest keys of a part, if there are as many
#define DIM_MOST  256
#define LOWEST    -3.0e38
#define NO_SCORE  uintBitsToFloat(0xff800000u)

layout(local_size_x = THREADS) in;
layout(constant_id = 0) const uint HEAD_DIM = 128;
layout(set = 0, binding = 0) readonly buffer Q { float q[]; };
layout(set = 0, binding = 1) readonly buffer K { float k[]; };
layout(set = 0, binding = 2) readonly buffer V { float v[]; };
layout(set = 0, binding = 3) readonly buffer First { int first[]; };
layout(set = 0, binding = 4) readonly buffer Last { int last[]; };
layout(set = 0, binding = 5) writeonly buffer Out { float parts_out[]; };
layout(set = 0, binding = 6) writeonly buffer Stats { float stats[]; };
layout(set = 0, binding = 7) buffer Fault { uint fault[]; };

shared vec4 queries[DIM_MOST]; // one dimension of the four rows each
shared vec4 shares[TILE * LANES];
shared vec4 weights[TILE];

vec4 weight_of(vec4 x) {
    vec4 e = mix(exp(x), vec4(0), lessThan(x, vec4(-87.0)));
    uvec4 bits = floatBitsToUint(x) & 0x7fffffffu;
    return mix(e, x, greaterThan(bits, uvec4(0x7f800000u)));
}

const ivec2 NOTHING = ivec2(0x7fffffff, -1);

// The keys of the window that a token sees.
ivec2 range_of(uint t) {
    uint place = p.first_token + t;
    int from = first[BASE(3) + place], to = last[BASE(4) + place];
    if (from < 0 || from > to || to >= int(p.all_keys)) {
        atomicMin(fault[BASE(7) + FAULT_KEYS], place);
        return NOTHING;
    }
    from = max(from - int(p.first_key), 0);
    to = min(to - int(p.first_key), int(p.keys) - 1);
    return from <= to ? ivec2(from, to) : NOTHING;
}

uint key_at(int key) {
    return min(uint(key), p.keys - 1) * p.kv_heads * HEAD_DIM;
}

// shares = this thread's part of the products of four keys with the rows.
void multiply_keys(int key, uint offset) {
    uint lane = gl_LocalInvocationIndex % LANES, own = gl_LocalInvocationIndex / LANES;
    uint at[4];
    vec4 sum[4];
    [[unroll]] for (int i = 0; i < 4; i++) {
        at[i] = BASE(1) + offset + key_at(key + int(own) + 16 * i);
        sum[i] = vec4(0);
    }
    [[unroll]] for (uint dim = lane; dim < HEAD_DIM; dim += LANES)
        [[unroll]] for (uint i = 0; i < 4; i++) sum[i] += k[at[i] + dim] * queries[dim];
    [[unroll]] for (uint i = 0; i < 4; i++) shares[(own + 16 * i) * LANES + lane] = sum[i];
}

vec4 score_of(int key, ivec4 from, ivec4 to) {
    vec4 sum = vec4(0);
    for (uint i = 0; i < LANES; i++) sum += shares[gl_LocalInvocationIndex * LANES + i];
    bvec4 below = lessThan(ivec4(key), from), above = greaterThan(ivec4(key), to);
    return mix(mix(sum * p.scale, vec4(NO_SCORE), below), vec4(NO_SCORE), above);
}

void main() {
    uint tid = gl_LocalInvocationIndex, group = p.heads / p.kv_heads;
    uint rows = p.tokens * group, row_blocks = (rows + ROWS - 1) / ROWS;
    uint part = GROUP_INDEX % p.parts, kv_head = GROUP_INDEX / p.parts % p.kv_heads;
    uint first_row = GROUP_INDEX / p.parts / p.kv_heads * ROWS;
    if (first_row >= rows) return;

    uint row_of[ROWS]; // in tables (T, heads); beyond the last the last again
    ivec4 from, to;
    int lowest = 0x7fffffff, highest_key = -1;
    [[unroll]] for (uint r = 0; r < ROWS; r++) {
        uint row = min(first_row + r, rows - 1);
        row_of[r] = row / group * p.heads + kv_head * group + row % group;
        ivec2 range = range_of(row / group);
        from[r] = range.x;
        to[r] = range.y;
        lowest = min(lowest, range.x);
        highest_key = max(highest_key, range.y);
    }
    for (uint dim = tid; dim < HEAD_DIM; dim += THREADS)
        queries[dim] = vec4(q[BASE(0) + row_of[0] * HEAD_DIM + dim],
                            q[BASE(0) + row_of[1] * HEAD_DIM + dim],
                            q[BASE(0) + row_of[2] * HEAD_DIM + dim],
                            q[BASE(0) + row_of[3] * HEAD_DIM + dim]);

    int span = highest_key < 0 ? 0 : highest_key - lowest + 1;
    int step = max((span + int(p.parts) - 1) / int(p.parts), KEY_LEAST);
    int begin = min(int(part) * step, span), end = min(begin + step, span);
    uint offset = kv_head * HEAD_DIM;
    vec4 highest = vec4(LOWEST), total = vec4(0), result[DIM_MOST / THREADS];
    [[unroll]] for (uint j = 0; j < DIM_MOST / THREADS; j++) result[j] = vec4(0);
    for (int at = begin; at < end; at += TILE) {
        int key = lowest + at, past = lowest + end;
        barrier();
        multiply_keys(key, offset);
        barrier();
        vec4 score = vec4(NO_SCORE);
        if (tid < TILE && key + int(tid) < past) score = score_of(key + int(tid), from, to);
        if (tid < TILE) weights[tid] = score;
        barrier();
        vec4 before = highest;
        for (uint i = 0; i < TILE; i++) highest = max(highest, weights[i]);
        barrier();
        if (tid < TILE) weights[tid] = weight_of(score - highest);
        barrier();
        vec4 keep = weight_of(before - highest);
        total *= keep;
        for (uint i = 0; i < TILE; i++) total += weights[i];
        [[unroll]] for (uint j = 0; j < DIM_MOST / THREADS; j++) {
            uint column = tid + THREADS * j;
            result[j] *= keep;
            for (int i = 0; column < HEAD_DIM && i < TILE; i += 32)
                [[unroll]] for (int n = i; n < i + 32; n++)
                    result[j] += weights[n] * v[BASE(2) + offset + key_at(key + n) + column];
        }
    }
    [[unroll]] for (uint r = 0; r < ROWS; r++) {
        if (first_row + r >= rows) continue;
        uint row = (p.first_part + part) * p.tokens * p.heads + row_of[r];
        [[unroll]] for (uint j = 0; j < DIM_MOST / THREADS; j++)
            if (tid + THREADS * j < HEAD_DIM)
                parts_out[BASE(5) + row * HEAD_DIM + tid + THREADS * j] = result[j][r];
        if (tid == 0) {
            stats[BASE(6) + row * 2] = highest[r];
            stats[BASE(6) + row * 2 + 1] = total[r];
        }
    }
}
