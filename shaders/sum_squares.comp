// The sum of squares of each CHUNK fours of values, as a pair of floats, for sum_pairs.comp.
#version 450
#extension GL_GOOGLE_include_directive : require
#define PUSH uint count; uint chunk;
#include "weft.glsl"
#include "team.glsl"
#include "pair.glsl"

VALUES(0, x)
layout(set = 0, binding = 1) writeonly buffer Pairs { float pairs[]; };

TEAM_REDUCTION(vec2, team_sum, pair_add)

void main() {
    vec4 sum = vec4(0), lost = vec4(0);
    uint chunk = GROUP_INDEX, first = chunk * p.chunk, end = min(first + p.chunk, (p.count + 3) / 4);
    bool live = 4 * first < p.count;
    if (!live) end = first;
    for (uint i = first + LANE; i < end; i += TEAM) {
        vec4 v = x_read(0, i, p.count);
        vec4 top = uintBitsToFloat(floatBitsToUint(v) & 0xfffff000u);
        precise vec4 rest = v - top; // 12 bits each: their products are exact
        precise vec4 square = v * v;
        precise vec4 error = ((top * top - square) + 2.0 * (top * rest)) + rest * rest;
        precise vec4 next = sum + square;
        precise vec4 less = lost + (LOST_OF_SUM(next, sum, square) + error);
        sum = next;
        lost = less;
    }
    vec2 xy = pair_add(pair_of(sum.x, lost.x), pair_of(sum.y, lost.y));
    vec2 zw = pair_add(pair_of(sum.z, lost.z), pair_of(sum.w, lost.w));
    vec2 all = team_sum(pair_add(xy, zw));
    if (live && LANE == 0) {
        pairs[BASE(1) + 2 * chunk] = all.x;
        pairs[BASE(1) + 2 * chunk + 1] = all.y;
    }
}
