// A tile of 64 x 64 sums of products in float32, 16 terms at a time through shared memory: each of
// 128 threads has 8 rows and 4 columns. A shader fills a left and a right tile, between barriers, at
// TILE_PLACE(term, quad): the term's factors for four rows, or four columns.
#extension GL_EXT_control_flow_attributes : require

#define TILE    64
#define DEPTH   16
#define THREADS 128
#define STRIDE  17 // quads of a term: the odd one keeps the writers of a column off each other's banks

#define TILE_PLACE(term, quad) ((term) * STRIDE + (quad))
// The place in the tile of this thread's sums[i][j]: row TILE_ROW + i, column TILE_COLUMN + j.
#define TILE_ROW    (gl_LocalInvocationIndex / 16 * 8)
#define TILE_COLUMN (gl_LocalInvocationIndex % 16 * 4)

layout(local_size_x = THREADS) in;

vec4 sums[8];

void tile_clear() {
    [[unroll]] for (uint i = 0; i < 8; i++) sums[i] = vec4(0);
}

#define TILE_MULTIPLY_TERM(A, B, C)                                                        \
    {                                                                                      \
        vec4 rows_a = A, rows_b = B, columns = C;                                          \
        sums[0] += rows_a.x * columns;                                                     \
        sums[1] += rows_a.y * columns;                                                     \
        sums[2] += rows_a.z * columns;                                                     \
        sums[3] += rows_a.w * columns;                                                     \
        sums[4] += rows_b.x * columns;                                                     \
        sums[5] += rows_b.y * columns;                                                     \
        sums[6] += rows_b.z * columns;                                                     \
        sums[7] += rows_b.w * columns;                                                     \
    }

// sums += the products of the two tiles.
#define TILE_MULTIPLY(LEFT, RIGHT)                                                         \
    for (uint k = 0; k < DEPTH; k++)                                                       \
        TILE_MULTIPLY_TERM(LEFT(TILE_PLACE(k, TILE_ROW / 4)),                              \
                           LEFT(TILE_PLACE(k, TILE_ROW / 4 + 1)),                          \
                           RIGHT(TILE_PLACE(k, TILE_COLUMN / 4)))
