// The integer product of at most 8 tokens: LANES invocations a weight row, which is read once.
#include "ternary_product.glsl"
#include "dot4.glsl"

#define GROUP 128u
#define BATCH 4u // 16-byte loads of an invocation on their way at once

layout(local_size_x = 128) in;
layout(constant_id = 0) const uint TOKENS = 1;
layout(constant_id = 1) const uint LANES = 16; // 16 or more, a power of two
layout(constant_id = 2) const uint ALIGNED = 0; // a may be read 16 bytes at a time

layout(set = 0, binding = 1) readonly buffer A4 { uvec4 a4[]; };

const uint ROWS = GROUP / LANES;
shared int partial[TOKENS * GROUP];

// Unit u of 16 weight bytes: 64 values, 16 of each quarter of its block.
uvec4 activations(uint t, uint unit, uint quarter) {
    uint at = BASE(1) + t * p.a_stride + unit / 2 * 32 + quarter * 8 + unit % 2 * 4;
    if (ALIGNED != 0) return a4[at / 4];
    return uvec4(high[at], high[at + 1], high[at + 2], high[at + 3]);
}

int sums[TOKENS];

void add_products(uvec4 words, uint unit) {
    for (uint quarter = 0; quarter < 4; quarter++) {
        uvec4 b = ternary_values(words, quarter);
        for (uint t = 0; t < TOKENS; t++) {
            uvec4 a = activations(t, unit, quarter);
            sums[t] += dot4(a.x, b.x) + dot4(a.y, b.y) + dot4(a.z, b.z) + dot4(a.w, b.w);
        }
    }
}

void add_row(uint feature, uint lane) {
    uint first = (BASE(0) + feature * p.w_stride) / 4, units = p.depth / 64;
    for (uint unit = lane; unit < units; unit += BATCH * LANES) {
        uvec4 words[BATCH];
        for (uint n = 0; n < BATCH; n++)
            if (unit + n * LANES < units) words[n] = w4[first + unit + n * LANES];
        for (uint n = 0; n < BATCH; n++)
            if (unit + n * LANES < units) add_products(words[n], unit + n * LANES);
    }
}

void main() {
    uint row0 = GROUP_INDEX * ROWS, i = gl_LocalInvocationIndex, feature = row0 + i / LANES;
    if (row0 >= p.features) return;
    for (uint t = 0; t < TOKENS; t++) sums[t] = 0;
    if (feature < p.features) add_row(feature, i % LANES);
    for (uint t = 0; t < TOKENS; t++) partial[t * GROUP + i] = sums[t];
    barrier();
    if (i >= TOKENS * ROWS) return;
    int sum = 0;
    for (uint lane = 0; lane < LANES; lane++) sum += partial[i * LANES + lane];
    store_product(i / ROWS, row0 + i % ROWS, sum, token_factor(i / ROWS));
}
