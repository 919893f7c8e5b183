// What the tiled forms of attention share. Scores and their like are tiles of 64 x 64 products over
// the head's dimensions (tile.glsl); then rows of 64 weights multiply 64 rows of values, and each
// thread keeps 8 rows and COLUMNS columns of the result, of which a group has 16 * COLUMNS.
//
// The pool holds the two tiles of factors, then the weights of 32 of the 64 terms, transposed; and
// beside them 8 rows of values, or what rows are reduced through.
#include "tile.glsl"

#define LEFT       0
#define RIGHT      (DEPTH * STRIDE)
#define VALUES_AT  (2 * DEPTH * STRIDE)
#define POOL       (VALUES_AT + 256)
#define HALF       32 // terms whose weights are in shared memory at once
#define CHUNK      8  // terms whose values are
#define ROWS       (TILE_ROW / 4)    // first of this thread's two quads of rows
#define LANE       (TILE_COLUMN / 4) // its place among the 16 threads of its rows
#define LOWEST     -3.0e38
#define NO_SCORE   uintBitsToFloat(0xff800000u) // of what is not seen: minus infinity

layout(constant_id = 0) const uint HEAD_DIM = 128;
layout(constant_id = 1) const uint COLUMNS = 8; // of a thread: 4 or 8
#define WIDTH (16 * COLUMNS)

shared vec4 pool[POOL];

vec4 result[16]; // column j: rows 0 .. 3 in result[2 j], rows 4 .. 7 in result[2 j + 1]

void clear_result() {
    [[unroll]] for (uint i = 0; i < 16; i++) result[i] = vec4(0);
}

// Defines NAME(row, offset, dim): dimensions dim .. dim + 15 of the 64 rows from `row` on, into the
// pool at AT. Past the last row it is read again; past the last dimension there are zeros.
#define TILE_LOADER(NAME, BUFFER, BINDING, COUNT, ROW_FLOATS, AT)                          \
    void NAME(uint row, uint offset, uint dim) {                                           \
        uint term = gl_LocalInvocationIndex % DEPTH, last = (COUNT) - 1;                   \
        uint base = BASE(BINDING) + offset + dim + term;                                   \
        [[unroll]] for (uint i = 0; i < 2; i++) {                                          \
            uint quad = gl_LocalInvocationIndex / DEPTH + 8 * i, r = row + 4 * quad;       \
            vec4 four = vec4(0);                                                           \
            if (HEAD_DIM % DEPTH == 0 || dim + term < HEAD_DIM)                            \
                four = vec4(BUFFER[base + min(r, last) * (ROW_FLOATS)],                    \
                            BUFFER[base + min(r + 1, last) * (ROW_FLOATS)],                \
                            BUFFER[base + min(r + 2, last) * (ROW_FLOATS)],                \
                            BUFFER[base + min(r + 3, last) * (ROW_FLOATS)]);               \
            pool[(AT) + TILE_PLACE(term, quad)] = four;                                    \
        }                                                                                  \
    }

#define LEFT_TILE(place)  pool[LEFT + (place)]
#define RIGHT_TILE(place) pool[RIGHT + (place)]

// sums = the products of 64 rows of one table with 64 rows of another. What the pool held is lost
// at its first barrier.
#define TILE_PRODUCT(LOAD_LEFT, LEFT_ROW, LEFT_OFFSET, LOAD_RIGHT, RIGHT_ROW, RIGHT_OFFSET)\
    tile_clear();                                                                          \
    for (uint dim = 0; dim < HEAD_DIM; dim += DEPTH) {                                     \
        barrier();                                                                         \
        LOAD_LEFT(LEFT_ROW, LEFT_OFFSET, dim);                                             \
        LOAD_RIGHT(RIGHT_ROW, RIGHT_OFFSET, dim);                                          \
        barrier();                                                                         \
        TILE_MULTIPLY(LEFT_TILE, RIGHT_TILE)                                               \
    }

// Where the weights of four rows for a term of the half lie: the writers of eight columns, and so
// of eight times four terms, meet no bank twice.
#define WEIGHT_PLACE(term, quad) ((term) * 16 + (term) / 4 + (quad))

// The weights in `sums` of those terms of the half that are this thread's columns.
void store_weights(uint half_index) {
    if (LANE / 8 != half_index) return;
    uint term = TILE_COLUMN % HALF;
    [[unroll]] for (uint j = 0; j < 4; j++) {
        pool[WEIGHT_PLACE(term + j, ROWS)] = vec4(sums[0][j], sums[1][j], sums[2][j], sums[3][j]);
        pool[WEIGHT_PLACE(term + j, ROWS + 1)] =
            vec4(sums[4][j], sums[5][j], sums[6][j], sums[7][j]);
    }
}

// Defines NAME(row, offset, column): CHUNK rows of values from `row` on, four rows a vector.
#define VALUE_LOADER(NAME, BUFFER, BINDING, COUNT, ROW_FLOATS)                             \
    void NAME(uint row, uint offset, uint column) {                                        \
        uint last = (COUNT) - 1;                                                           \
        [[unroll]] for (uint i = 0; i < COLUMNS / 4; i++) {                                \
            uint item = gl_LocalInvocationIndex + THREADS * i;                             \
            uint c = column + item % WIDTH, r = row + item / WIDTH * 4;                    \
            uint base = BASE(BINDING) + offset + c;                                        \
            vec4 four = vec4(0);                                                           \
            if (HEAD_DIM % WIDTH == 0 || c < HEAD_DIM)                                     \
                four = vec4(BUFFER[base + min(r, last) * (ROW_FLOATS)],                    \
                            BUFFER[base + min(r + 1, last) * (ROW_FLOATS)],                \
                            BUFFER[base + min(r + 2, last) * (ROW_FLOATS)],                \
                            BUFFER[base + min(r + 3, last) * (ROW_FLOATS)]);               \
            pool[VALUES_AT + item] = four;                                                 \
        }                                                                                  \
    }

void add_chunk(uint chunk) {
    for (uint quad = 0; quad < CHUNK / 4; quad++) {
        uint place = WEIGHT_PLACE(chunk + quad * 4, ROWS);
        vec4 a[4], b[4];
        [[unroll]] for (uint i = 0; i < 4; i++) {
            a[i] = pool[place + i * 16];
            b[i] = pool[place + i * 16 + 1];
        }
        [[unroll]] for (uint j = 0; j < COLUMNS; j++) {
            vec4 v = pool[VALUES_AT + quad * WIDTH + LANE + 16 * j];
            result[2 * j] += a[0] * v.x + a[1] * v.y + a[2] * v.z + a[3] * v.w;
            result[2 * j + 1] += b[0] * v.x + b[1] * v.y + b[2] * v.z + b[3] * v.w;
        }
    }
}

// result += the weights in `sums` times 64 rows of values from VALUE_ROW on, at columns COLUMN ...
// All threads must have passed a barrier since the pool's tiles were read.
#define ADD_WEIGHTED(LOAD_VALUES, VALUE_ROW, OFFSET, COLUMN)                               \
    for (uint half_index = 0; half_index < TILE / HALF; half_index++) {                    \
        if (half_index != 0) barrier();                                                    \
        store_weights(half_index);                                                         \
        for (uint chunk = 0; chunk < HALF; chunk += CHUNK) {                               \
            barrier();                                                                     \
            LOAD_VALUES((VALUE_ROW) + half_index * HALF + chunk, OFFSET, COLUMN);          \
            barrier();                                                                     \
            add_chunk(chunk);                                                              \
        }                                                                                  \
    }

// e^x for x that is not large; NaN stays NaN, and what is nothing beside 1 is 0.
vec4 weight_of(vec4 x) {
    vec4 e = mix(exp(x), vec4(0), lessThan(x, vec4(-87.0)));
    uvec4 bits = floatBitsToUint(x) & 0x7fffffffu;
    return mix(e, x, greaterThan(bits, uvec4(0x7f800000u)));
}
