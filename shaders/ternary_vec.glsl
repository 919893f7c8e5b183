// The integer product of at most 8 tokens, bound by reading the weight: LANES invocations share
// EACH weight rows, which are read once. A thread asks for all it reads of its rows, or as much as
// its registers hold, before it multiplies the first.
#extension GL_EXT_control_flow_attributes : require
#include "ternary_product.glsl"
#include "dot4.glsl"

layout(constant_id = 0) const uint TOKENS = 1;
layout(constant_id = 1) const uint LANES = 16; // a power of two
layout(constant_id = 2) const uint EACH = 2;
layout(constant_id = 3) const uint ALIGNED = 0; // a may be read 16 bytes at a time
#define GROUP 128u
layout(local_size_x = 128) in;

layout(set = 0, binding = 1) readonly buffer A4 { uvec4 a4[]; };

#define BATCH 3u // 16-byte loads of an invocation and row on their way at once
const uint ROWS = GROUP / LANES * EACH, RESULTS = TOKENS * ROWS;
shared int partial[TOKENS * EACH * GROUP];

// Unit u of 16 weight bytes: 64 values, 16 of each quarter of its block.
uvec4 activations(uint t, uint unit, uint quarter) {
    uint at = BASE(1) + t * p.a_stride + unit / 2 * 32 + quarter * 8 + unit % 2 * 4;
    if (ALIGNED != 0) return a4[at / 4];
    return uvec4(high[at], high[at + 1], high[at + 2], high[at + 3]);
}

int sums[TOKENS * EACH];

void add_products(uvec4 words[EACH], uint unit) {
    [[unroll]] for (uint quarter = 0; quarter < 4; quarter++) {
        uvec4 b[EACH];
        [[unroll]] for (uint r = 0; r < EACH; r++) b[r] = ternary_values(words[r], quarter);
        [[unroll]] for (uint t = 0; t < TOKENS; t++) {
            uvec4 a = activations(t, unit, quarter);
            [[unroll]] for (uint r = 0; r < EACH; r++)
                sums[t * EACH + r] += dot4(a.x, b[r].x) + dot4(a.y, b[r].y) + dot4(a.z, b[r].z) +
                                      dot4(a.w, b[r].w);
        }
    }
}

void add_rows(uint feature, uint lane) {
    uint units = p.depth / 64;
    for (uint unit = lane; unit < units; unit += BATCH * LANES) {
        uvec4 words[BATCH][EACH];
        [[unroll]] for (uint n = 0; n < BATCH; n++)
            [[unroll]] for (uint r = 0; r < EACH; r++) {
                uint row = min(feature + r, p.features - 1);
                uint at = (BASE(0) + row * p.w_stride) / 4;
                words[n][r] = w4[at + min(unit + n * LANES, units - 1)];
            }
        [[unroll]] for (uint n = 0; n < BATCH; n++)
            if (unit + n * LANES < units) add_products(words[n], unit + n * LANES);
    }
}

void main() {
    uint row0 = GROUP_INDEX * ROWS, i = gl_LocalInvocationIndex;
    if (row0 >= p.features) return;
    float factor = token_factor(i / ROWS);
    [[unroll]] for (uint s = 0; s < TOKENS * EACH; s++) sums[s] = 0;
    add_rows(row0 + i / LANES * EACH, i % LANES);
    [[unroll]] for (uint s = 0; s < TOKENS * EACH; s++) partial[s * GROUP + i] = sums[s];
    barrier();
    for (uint n = i; n < RESULTS; n += GROUP) {
        uint t = n / ROWS, row = n % ROWS;
        uint from = (t * EACH + row % EACH) * GROUP + row / EACH * LANES;
        int sum = 0;
        [[unroll]] for (uint lane = 0; lane < LANES; lane++)
            sum += partial[from + (lane + n) % LANES];
        if (n != i) factor = token_factor(t);
        store_product(t, row0 + row, sum, factor);
    }
}
