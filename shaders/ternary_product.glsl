// What the integer products with ternary weights share: (float) isum * (scale / scales[t]), isum =
// sum of a[t][i] * weight, rounded step by step as on the CPU.
//
// Forward, a is the rounded activations (T, K) and the weights of a feature are a row. With
// TRANSPOSED, a is two planes of rounded gradients, 256 * high + low (T, N), each weight row is one
// step of the sum, and a feature is a column. Rows of a are padded to whole blocks; its words hold
// four values.
#define PUSH                                                                                       \
    uint tokens, features;                                                                         \
    uint depth;    /* values of a sum; forward whole blocks */                                     \
    uint a_stride; /* words of a row of a */                                                       \
    uint w_stride; /* words of a row of weights */                                                 \
    uint y_stride; /* floats of a row of y */                                                      \
    uint planes;   /* of a: 1, or 2 */                                                             \
    uint add;                                                                                      \
    float scale;                                                                               \
    float term_scale; /* of a low-rank term, where a shader takes one */
#include "weft.glsl"
#include "exact.glsl"
#include "ternary.glsl"

#ifdef TRANSPOSED
layout(set = 0, binding = 0) readonly buffer W { uint w[]; };
#else
layout(set = 0, binding = 0) readonly buffer W4 { uvec4 w4[]; };
#endif
layout(set = 0, binding = 1) readonly buffer High { uint high[]; };
layout(set = 0, binding = 2) readonly buffer Low { uint low[]; };
layout(set = 0, binding = 3) readonly buffer Scales { float scales[]; };
layout(set = 0, binding = 4) buffer Y { float y[]; };
layout(set = 0, binding = 5) readonly buffer Start { float start[]; }; // what is added to; maybe y

// What a sum of token t is multiplied with.
float token_factor(uint t) {
    return t < p.tokens ? exact_divide(p.scale, scales[BASE(3) + t]) : 0;
}

void store_product(uint t, uint feature, int sum, float factor) {
    if (t >= p.tokens || feature >= p.features) return;
    uint at = t * p.y_stride + feature;
    precise float value = float(sum) * factor;
    precise float total = value;
    if (p.add != 0) total = start[BASE(5) + at] + value;
    y[BASE(4) + at] = total;
}
