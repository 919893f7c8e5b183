// The sum of count pairs of floats, by one work group.
#version 450
#extension GL_GOOGLE_include_directive : require
#define PUSH uint count;
#include "weft.glsl"
#include "team.glsl"
#include "pair.glsl"

layout(set = 0, binding = 0) readonly buffer Pairs { float pairs[]; };
layout(set = 0, binding = 1) writeonly buffer Result { float result[]; };

TEAM_REDUCTION(vec2, team_sum, pair_add)

void main() {
    vec2 sum = vec2(0);
    for (uint i = LANE; i < p.count; i += TEAM)
        sum = pair_add(sum, vec2(pairs[BASE(0) + 2 * i], pairs[BASE(0) + 2 * i + 1]));
    sum = team_sum(sum);
    if (gl_WorkGroupID.x == 0 && LANE == 0) {
        result[BASE(1)] = sum.x;
        result[BASE(1) + 1] = sum.y;
    }
}
