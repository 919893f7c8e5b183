// rmsnorm and quantise of each row in one pass; y is the norm, as rmsnorm.comp has it.
#version 450
#extension GL_GOOGLE_include_directive : require
#define PUSH uint rows; uint n; float eps;
#include "weft.glsl"
#include "team.glsl"
#include "rounding.glsl"

VALUES(0, x)
VALUES(1, gamma)
VALUES_OUT(2, y)
layout(set = 0, binding = 3) writeonly buffer Q { uint q[]; };
layout(set = 0, binding = 4) writeonly buffer Scale { uint scales[]; };
layout(set = 0, binding = 5) writeonly buffer Sum { int sums[]; };

TEAM_REDUCTION(float, team_squares, PLUS)
TEAM_REDUCTION(int, team_sum, PLUS)

uint place; // of the row's first word in q

int round_at(uint i, vec4 v, uint scale) {
    ivec4 values = round_values(v, scale, -128.0, 127.0);
    q[place + i] = pack_bytes(values);
    return values.x + values.y + values.z + values.w;
}

void main() {
    uint row = ROW, first = row * p.n, words = (p.n + 127) / 128 * 32;
    bool live = row < p.rows;
    uint fours = live ? words : 0;
    vec4 v[HELD], g[HELD];
    float squares = 0;
    place = BASE(3) + row * words;
    EACH_HELD({
        v[j] = x_read(first, i, p.n);
        g[j] = gamma_read(0, i, p.n);
        squares += dot(v[j], v[j]);
    })
    EACH_OTHER({
        vec4 other = x_read(first, i, p.n);
        squares += dot(other, other);
    })
    float r = inversesqrt(team_squares(squares) / float(p.n) + p.eps);
    uint magnitude = 0;
    EACH_HELD({
        v[j] = v[j] * r * g[j];
        y_write(first, i, p.n, v[j]);
        magnitude = max(magnitude, magnitude_bits(v[j]));
    })
    EACH_OTHER({
        vec4 other = x_read(first, i, p.n) * r * gamma_read(0, i, p.n);
        y_write(first, i, p.n, other);
        magnitude = max(magnitude, magnitude_bits(other));
    })
    uint scale = scale_bits(team_magnitude(magnitude), 127.0, 1e-5);
    int sum = 0;
    EACH_HELD({ sum += round_at(i, v[j], scale); })
    EACH_OTHER({ sum += round_at(i, y_read(first, i, p.n), scale); }) // what it wrote itself
    sum = team_sum(sum);
    if (live && LANE == 0) {
        scales[BASE(4) + row] = scale;
        sums[BASE(5) + row] = sum;
    }
}
