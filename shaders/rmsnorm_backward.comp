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
    vec4 v[HELD], u[HELD];
    EACH_HELD({
        v[j] = x_read(first, i, p.n);
        u[j] = dy_read(first, i, p.n) * gamma_read(0, i, p.n);
    })
    EACH_HELD({ sums += vec2(dot(v[j], v[j]), dot(u[j], v[j])); })
    EACH_OTHER({
        vec4 other = x_read(first, i, p.n);
        vec4 slope = dy_read(first, i, p.n) * gamma_read(0, i, p.n);
        sums += vec2(dot(other, other), dot(slope, other));
    })
    vec2 means = team_sum(sums) / float(p.n);
    float r = inversesqrt(means.x + p.eps), pull = r * r * means.y;
    if (ADD != 0) {
        vec4 start[HELD];
        EACH_HELD({ start[j] = dx_read(first, i, p.n); })
        EACH_HELD({ dx_write(first, i, p.n, start[j] + r * (u[j] - v[j] * pull)); })
    } else {
        EACH_HELD({ dx_write(first, i, p.n, r * (u[j] - v[j] * pull)); })
    }
    EACH_OTHER({
        vec4 slope = dy_read(first, i, p.n) * gamma_read(0, i, p.n);
        vec4 value = r * (slope - x_read(first, i, p.n) * pull);
        if (ADD != 0) value += dx_read(first, i, p.n);
        dx_write(first, i, p.n, value);
    })
}
