// Cross-entropy of rows of logits: losses (T) = log(sum of e^x) - x[target], and the rows become
// their gradient, scale * (softmax - onehot(target)), if scale is not 0. A group has one row; its
// threads keep a highest value and a sum each, which are put together in their order.
#version 450
#extension GL_GOOGLE_include_directive : require
#define PUSH uint tokens; uint n; uint first_token; float scale;
#include "weft.glsl"
#include "values.glsl"
#include "exponential.glsl"

#define THREADS 128
#define LOWEST  -3.0e38

layout(local_size_x = THREADS) in;
VALUES_OUT(0, logits)
layout(set = 0, binding = 1) readonly buffer Targets { uint targets[]; };
layout(set = 0, binding = 2) writeonly buffer Losses { float losses[]; };
layout(set = 0, binding = 3) buffer Fault { uint fault[]; };

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
    for (uint i = gl_LocalInvocationIndex; i < (p.n + 3) / 4; i += THREADS) {
        vec4 v = logits_of(row, i);
        float most = max(max(v.x, v.y), max(v.z, v.w));
        if (most > top) {
            sum *= exponential_of(top - most);
            top = most;
        }
        vec4 e = exponential(v - top);
        sum += (e.x + e.y) + (e.z + e.w);
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

void main() {
    uint token = GROUP_INDEX;
    if (token >= p.tokens) return;
    uint row = token * p.n, target = targets[BASE(1) + token];
    float top, sum;
    sum_row(row, top, sum);
    if (gl_LocalInvocationIndex == 0) {
        if (target >= p.n) // a negative one is a large one here
            atomicMin(fault[BASE(3) + FAULT_TARGET], p.first_token + token);
        uint at = min(target, p.n - 1);
        float loss = log(sum) - (logits_read(row, at / 4, p.n)[at % 4] - top);
        bool nan = (floatBitsToUint(sum) & 0x7fffffffu) > 0x7f800000u;
        losses[BASE(2) + token] = nan ? sum : loss;
    }
    barrier(); // the target's logit has been read
    if (p.scale == 0) return;
    float gain = 1 / sum;
    for (uint i = gl_LocalInvocationIndex; i < (p.n + 3) / 4; i += THREADS) {
        vec4 v = exponential(logits_read(row, i, p.n) - top) * gain;
        if (target / 4 == i) v[target % 4] -= 1;
        logits_write(row, i, p.n, p.scale * v);
    }
}
