// With r = 1 / sqrt(mean(x^2) + eps), u = dy * gamma: dx (+)= r * (u - x * r^2 * mean(u * x)).
#version 450
#extension GL_GOOGLE_include_directive : require
#define PUSH uint rows; uint n; float eps;
#include "weft.glsl"
#define WHOLE_VECTORS true
#include "team.glsl"

layout(constant_id = 4) const uint ADD = 0;

VALUES(0, x)
VALUES(1, gamma)
VALUES(2, dy)
VALUES_OUT(3, dx)

TEAM_REDUCTION(vec2, team_sum, PLUS)

void main() {
    uint row = ROW, first = row * p.n, fours = row < p.rows ? (p.n + 3) / 4 : 0;
    vec2 sums = vec2(0);
    for (uint i = LANE; i < fours; i += TEAM) {
        vec4 v = x_read(first, i, p.n), u = dy_read(first, i, p.n) * gamma_read(0, i, p.n);
        sums += vec2(dot(v, v), dot(u, v));
    }
    vec2 means = team_sum(sums) / float(p.n);
    float r = inversesqrt(means.x + p.eps), pull = r * r * means.y;
    for (uint i = LANE; i < fours; i += TEAM) {
        vec4 u = dy_read(first, i, p.n) * gamma_read(0, i, p.n);
        vec4 value = r * (u - x_read(first, i, p.n) * pull);
        if (ADD != 0) value += dx_read(first, i, p.n);
        dx_write(first, i, p.n, value);
    }
}
