// Cross-entropy of rows of logits: losses (T) = log(sum of e^x) - x[target], and the rows become
// their gradient, scale * (softmax - onehot(target)), if scale is not 0; with HALVES that goes as
// scaled halves (half.glsl) to a table of its own. A group has one row; its threads keep a highest
// value and a sum each, which are put together in their order.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#define PUSH uint tokens; uint n; uint first_token; uint padded; float scale;
#include "weft.glsl"
#include "values.glsl"
#include "exponential.glsl"
#include "half.glsl"

#define THREADS 128
#define UNROLL  4 // vectors of a row on their way at once
#define LOWEST  -3.0e38

layout(local_size_x = THREADS) in;
layout(constant_id = 1) const uint HALVES = 0;
VALUES_OUT(0, logits)
layout(set = 0, binding = 1) readonly buffer Targets { uint targets[]; };
layout(set = 0, binding = 2) writeonly buffer Losses { float losses[]; };
layout(set = 0, binding = 3) buffer Fault { uint fault[]; };
layout(set = 0, binding = 4) writeonly buffer Halves { uvec2 halves[]; };
layout(set = 0, binding = 5) writeonly buffer Factors { float factors[]; };

shared float highest[THREADS];
shared float totals[THREADS];

float exponential_of(float x) {
    return exponential(vec4(x)).x;
}

vec4 logits_of(uint row, uint i) {
    vec4 v = logits_read(row, i, p.n);
    uvec4 at = uvec4(4 * i) + uvec4(0, 1, 2, 3);
    return mix(v, vec4(uintBitsToFloat(0xff800000u)), greaterThanEqual(at, uvec4(p.n)));
}

// What this thread's part of the row adds up to, relative to e^top.
void sum_part(uint row, out float top, out float sum) {
    top = LOWEST;
    sum = 0;
    for (uint i = gl_LocalInvocationIndex; i < (p.n + 3) / 4; i += UNROLL * THREADS) {
        vec4 v[UNROLL];
        [[unroll]] for (uint k = 0; k < UNROLL; k++) v[k] = logits_of(row, i + k * THREADS);
        vec4 four = v[0];
        [[unroll]] for (uint k = 1; k < UNROLL; k++) four = max(four, v[k]);
        float most = max(max(four.x, four.y), max(four.z, four.w));
        if (most > top) {
            sum *= exponential_of(top - most);
            top = most;
        }
        [[unroll]] for (uint k = 0; k < UNROLL; k++) {
            vec4 e = exponential(v[k] - top);
            sum += (e.x + e.y) + (e.z + e.w);
        }
    }
}

// Of the whole row, in every thread.
void sum_row(uint row, out float top, out float sum) {
    uint tid = gl_LocalInvocationIndex;
    sum_part(row, top, sum);
    highest[tid] = top;
    barrier();
    float most = LOWEST;
    for (uint i = 0; i < THREADS; i++) most = max(most, highest[i]);
    totals[tid] = sum * exponential_of(top - most);
    for (uint other = THREADS / 2; other > 0; other /= 2) {
        barrier();
        if (tid < other) totals[tid] += totals[tid + other];
    }
    barrier();
    top = most;
    sum = totals[0];
}

// Of logits 4 i .. 4 i + 3.
vec4 gradient_of(vec4 logits, uint i, uint target, float top, float gain) {
    vec4 v = exponential(logits - top) * gain;
    if (target / 4 == i) v[target % 4] -= 1;
    return p.scale * v;
}

// No part of a gradient is larger than that of the likeliest id, or of the target.
void store_halves(uint token, uint target, float top, float gain) {
    uint row = token * p.n;
    float likely = exponential_of(logits_read(row, target / 4, p.n)[target % 4] - top) * gain;
    float most = abs(p.scale) * (gain + abs(likely - 1));
    float factor, scale = half_scale(floatBitsToUint(most) & 0x7fffffffu, factor);
    if (gl_LocalInvocationIndex == 0) factors[BASE(5) + token] = factor;
    uint fours = p.padded / 4;
    for (uint first = gl_LocalInvocationIndex; first < fours; first += UNROLL * THREADS) {
        vec4 logits[UNROLL];
        [[unroll]] for (uint k = 0; k < UNROLL; k++)
            logits[k] = logits_read(row, first + k * THREADS, p.n);
        [[unroll]] for (uint k = 0; k < UNROLL; k++) {
            uint i = first + k * THREADS;
            if (i >= fours) break;
            vec4 v = gradient_of(logits[k], i, target, top, gain);
            uvec4 at = uvec4(4 * i) + uvec4(0, 1, 2, 3);
            v = mix(v, vec4(0), greaterThanEqual(at, uvec4(p.n)));
            halves[BASE(4) / 2 + token * fours + i] = half_pack(v, scale);
        }
    }
}

void main() {
    uint token = GROUP_INDEX;
    if (token >= p.tokens) return;
    uint row = token * p.n, target = targets[BASE(1) + token];
    if (target >= p.n) { // a negative one is a large one here
        if (gl_LocalInvocationIndex == 0)
            atomicMin(fault[BASE(3) + FAULT_TARGET], p.first_token + token);
        target = 0;
    }
    float top, sum;
    sum_row(row, top, sum);
    if (gl_LocalInvocationIndex == 0) {
        float loss = log(sum) - (logits_read(row, target / 4, p.n)[target % 4] - top);
        bool nan = (floatBitsToUint(sum) & 0x7fffffffu) > 0x7f800000u;
        losses[BASE(2) + token] = nan ? sum : loss;
    }
    barrier(); // the target's logit has been read
    if (p.scale == 0) return;
    float gain = 1 / sum;
    if (HALVES != 0) {
        store_halves(token, target, top, gain);
        return;
    }
    for (uint i = gl_LocalInvocationIndex; i < (p.n + 3) / 4; i += THREADS)
        logits_write(row, i, p.n, gradient_of(logits_read(row, i, p.n), i, target, top, gain));
}
