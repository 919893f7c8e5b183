// Attention of 64 tokens of one head: blocks of 64 keys go by while each row keeps its highest
// score, the sum of its weights relative to that, and the values that they have weighted. Gives out
// (T, heads, d); or with PART, for a window of the keys, out (parts, T, heads, d) not divided by
// the sums, and stats (parts, T, heads, 2), highest score and sum.
//
// With FOR_BACKWARD it gives stats (T, heads, 3) alone: the log of the sum of e^score and, for each
// block of columns, dout . out; and it checks that tokens lie in documents.
#define PUSH                                                                               \
    uint tokens; uint keys; uint heads; uint kv_heads; float scale; uint first_token;      \
    uint first_key; uint all_keys; uint part;
#include "weft.glsl"
#include "attention.glsl"

layout(constant_id = 2) const uint PART = 0;

layout(set = 0, binding = 0) readonly buffer Q { float q[]; };
layout(set = 0, binding = 1) readonly buffer K { float k[]; };
layout(set = 0, binding = 2) readonly buffer V { float v[]; };
layout(set = 0, binding = 3) readonly buffer First { int first[]; };
layout(set = 0, binding = 4) readonly buffer Last { int last[]; };
#ifdef FOR_BACKWARD
layout(set = 0, binding = 5) readonly buffer Dout { float dout[]; };
#else
layout(set = 0, binding = 5) writeonly buffer Out { float outputs[]; };
#endif
layout(set = 0, binding = 6) writeonly buffer Stats { float stats[]; };
layout(set = 0, binding = 7) buffer Fault { uint fault[]; };

shared ivec2 seen[TILE]; // the keys of the window that a row sees, first and last
shared int lowest_key, highest_key;

#ifdef FOR_BACKWARD
#define FAULT_RANGE FAULT_DOCUMENT
#else
#define FAULT_RANGE FAULT_KEYS
#endif

TILE_LOADER(load_q, q, 0, p.tokens, p.heads * HEAD_DIM, LEFT)
TILE_LOADER(load_k, k, 1, p.keys, p.kv_heads * HEAD_DIM, RIGHT)
VALUE_LOADER(load_v, v, 2, p.keys, p.kv_heads * HEAD_DIM)

vec4 highest[2], total[2]; // of this thread's rows; total only over its own columns

// Keys of token t in the window; none if t is no token.
ivec2 range_of(uint t) {
    if (t >= p.tokens) return ivec2(0x7fffffff, -1);
    uint place = p.first_token + t;
    int from = first[BASE(3) + place], to = last[BASE(4) + place];
    bool good = from >= 0 && from <= to && to < int(p.all_keys);
#ifdef FOR_BACKWARD
    good = good && to == int(place);
#endif
    if (!good) {
        atomicMin(fault[BASE(7) + FAULT_RANGE], place);
        return ivec2(0x7fffffff, -1);
    }
    from = max(from - int(p.first_key), 0);
    to = min(to - int(p.first_key), int(p.keys) - 1);
    return from <= to ? ivec2(from, to) : ivec2(0x7fffffff, -1);
}

void find_keys(uint token) {
    uint tid = gl_LocalInvocationIndex;
    if (tid == 0) {
        lowest_key = 0x7fffffff;
        highest_key = -1;
    }
    barrier();
    if (tid < TILE) {
        ivec2 range = range_of(token + tid);
        seen[tid] = range;
        atomicMin(lowest_key, range.x);
        atomicMax(highest_key, range.y);
    }
    barrier();
}

// The products in `sums` as scores; those of keys that are not seen are NO_SCORE.
void score(int key) {
    ivec4 at = ivec4(key + int(TILE_COLUMN)) + ivec4(0, 1, 2, 3);
    [[unroll]] for (uint i = 0; i < 8; i++) {
        ivec2 range = seen[TILE_ROW + i];
        bvec4 below = lessThan(at, ivec4(range.x)), above = greaterThan(at, ivec4(range.y));
        vec4 value = mix(sums[i] * p.scale, vec4(NO_SCORE), below);
        sums[i] = mix(value, vec4(NO_SCORE), above);
    }
}

float most_of(vec4 s) {
    return max(max(s.x, s.y), max(s.z, s.w));
}

// Rows' highest scores with those in `sums`, in all threads of a row; holds one barrier.
void raise_highest() {
    pool[VALUES_AT + LANE * 16 + ROWS] =
        vec4(most_of(sums[0]), most_of(sums[1]), most_of(sums[2]), most_of(sums[3]));
    pool[VALUES_AT + LANE * 16 + ROWS + 1] =
        vec4(most_of(sums[4]), most_of(sums[5]), most_of(sums[6]), most_of(sums[7]));
    barrier();
    [[unroll]] for (uint h = 0; h < 2; h++)
        for (uint i = 0; i < 16; i++)
            highest[h] = max(highest[h], pool[VALUES_AT + i * 16 + ROWS + h]);
}

void weigh() {
    vec4 before[2] = highest;
    raise_highest();
    [[unroll]] for (uint h = 0; h < 2; h++) {
        vec4 keep = weight_of(before[h] - highest[h]);
        total[h] *= keep;
        [[unroll]] for (uint j = 0; j < COLUMNS; j++) result[2 * j + h] *= keep;
        [[unroll]] for (uint i = 0; i < 4; i++) {
            vec4 e = weight_of(sums[4 * h + i] - highest[h][i]);
            sums[4 * h + i] = e;
            total[h][i] += (e.x + e.y) + (e.z + e.w);
        }
    }
}

// Sums over the threads of a row, in all of them.
void add_lanes(inout vec4 parts[2]) {
    barrier();
    pool[VALUES_AT + LANE * 16 + ROWS] = parts[0];
    pool[VALUES_AT + LANE * 16 + ROWS + 1] = parts[1];
    barrier();
    [[unroll]] for (uint h = 0; h < 2; h++) {
        parts[h] = vec4(0);
        for (uint i = 0; i < 16; i++) parts[h] += pool[VALUES_AT + i * 16 + ROWS + h];
    }
}

#ifdef FOR_BACKWARD
shared int starts[TILE]; // what the keys' own tokens see first

// A document that begins among the keys that a token sees, after the first.
void check_documents(uint token, int key) {
    if (gl_LocalInvocationIndex < TILE)
        starts[gl_LocalInvocationIndex] =
            first[BASE(3) + min(uint(key) + gl_LocalInvocationIndex, p.keys - 1)];
    barrier();
    for (uint i = 0; i < 8; i++)
        for (uint j = 0; j < 4; j++) {
            int at = key + int(TILE_COLUMN + j);
            ivec2 range = seen[TILE_ROW + i];
            if (at > range.x && at <= range.y && starts[TILE_COLUMN + j] == at)
                atomicMin(fault[BASE(7) + FAULT_DOCUMENT], p.first_token + token + TILE_ROW + i);
        }
}

void store(uint token, uint head, uint column) {
    vec4 products[2] = {vec4(0), vec4(0)};
    [[unroll]] for (uint i = 0; i < 8; i++) {
        uint row = min(token + TILE_ROW + i, p.tokens - 1) * p.heads + head;
        [[unroll]] for (uint j = 0; j < COLUMNS; j++) {
            uint c = column + LANE + 16 * j;
            if (c < HEAD_DIM)
                products[i / 4][i % 4] +=
                    result[2 * j + i / 4][i % 4] * dout[BASE(5) + row * HEAD_DIM + c];
        }
    }
    add_lanes(products);
    [[unroll]] for (uint i = 0; i < 8; i++) {
        uint t = token + TILE_ROW + i, at = BASE(6) + (t * p.heads + head) * 3;
        if (t >= p.tokens || LANE != 0) continue;
        float sum = total[i / 4][i % 4];
        bool nan = (floatBitsToUint(sum) & 0x7fffffffu) > 0x7f800000u;
        if (column == 0) stats[at] = nan ? sum : highest[i / 4][i % 4] + log(sum);
        stats[at + 1 + column / WIDTH] = products[i / 4][i % 4] / sum;
    }
}
#else
void store(uint token, uint head, uint column) {
    [[unroll]] for (uint i = 0; i < 8; i++) {
        uint t = token + TILE_ROW + i, row = (p.part * p.tokens + t) * p.heads + head;
        if (t >= p.tokens) continue;
        float gain = PART != 0 ? 1.0 : 1.0 / total[i / 4][i % 4];
        [[unroll]] for (uint j = 0; j < COLUMNS; j++) {
            uint c = column + LANE + 16 * j;
            if (c < HEAD_DIM)
                outputs[BASE(5) + row * HEAD_DIM + c] = result[2 * j + i / 4][i % 4] * gain;
        }
        if (PART != 0 && LANE == 0 && column == 0) {
            stats[BASE(6) + row * 2] = highest[i / 4][i % 4];
            stats[BASE(6) + row * 2 + 1] = total[i / 4][i % 4];
        }
    }
}
#endif

void main() {
    // Tokens that see most come first, as far as the last ones do.
    uint tiles = (p.tokens + TILE - 1) / TILE, blocks = (HEAD_DIM + WIDTH - 1) / WIDTH;
    uint head = GROUP_INDEX / blocks % p.heads, column = GROUP_INDEX % blocks * WIDTH;
    uint tile = GROUP_INDEX / blocks / p.heads;
    if (tile >= tiles) return;
    uint token = (tiles - 1 - tile) * TILE, q_offset = head * HEAD_DIM;
    uint k_offset = head / (p.heads / p.kv_heads) * HEAD_DIM;

    find_keys(token);
    clear_result();
    highest[0] = highest[1] = vec4(LOWEST);
    total[0] = total[1] = vec4(0);
    for (int key = lowest_key; key <= highest_key; key += TILE) {
        TILE_PRODUCT(load_q, token, q_offset, load_k, uint(key), k_offset)
#ifdef FOR_BACKWARD
        if (head == 0) check_documents(token, key);
#endif
        score(key);
        weigh();
        ADD_WEIGHTED(load_v, uint(key), k_offset, column)
    }
    add_lanes(total);
    store(token, head, column);
}
