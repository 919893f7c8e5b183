// y = gamma * x / sqrt(mean(x^2) + eps) of each row
#version 450
#extension GL_GOOGLE_include_directive : require
#define PUSH uint rows; uint n; float eps;
#include "weft.glsl"
#define WHOLE_VECTORS true
#include "team.glsl"

VALUES(0, x)
VALUES(1, gamma)
VALUES_OUT(2, y)

TEAM_REDUCTION(float, team_sum, PLUS)

void main() {
    uint row = ROW, first = row * p.n, fours = row < p.rows ? (p.n + 3) / 4 : 0;
    float squares = 0;
    for (uint i = LANE; i < fours; i += TEAM) {
        vec4 v = x_read(first, i, p.n);
        squares += dot(v, v);
    }
    float r = inversesqrt(team_sum(squares) / float(p.n) + p.eps);
    for (uint i = LANE; i < fours; i += TEAM)
        y_write(first, i, p.n, x_read(first, i, p.n) * r * gamma_read(0, i, p.n));
}
