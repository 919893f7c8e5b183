// Activations rounded to int8, with their scale and sum, bit for bit as on the CPU (kernel.h,
// quantise_row).
#version 450
#extension GL_GOOGLE_include_directive : require
#define PUSH uint rows; uint n;
#include "weft.glsl"
#define WHOLE_VECTORS true
#include "team.glsl"
#include "rounding.glsl"

VALUES(0, x)
layout(set = 0, binding = 1) writeonly buffer Q { uint q[]; };
layout(set = 0, binding = 2) writeonly buffer Scale { uint scales[]; };
layout(set = 0, binding = 3) writeonly buffer Sum { int sums[]; };

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
    vec4 v[HELD];
    uint magnitude = 0;
    place = BASE(1) + row * words;
    EACH_HELD({
        v[j] = x_read(first, i, p.n);
        magnitude = max(magnitude, magnitude_bits(v[j]));
    })
    EACH_OTHER({ magnitude = max(magnitude, magnitude_bits(x_read(first, i, p.n))); })
    uint scale = scale_bits(team_magnitude(magnitude), 127.0, 1e-5);
    int sum = 0;
    EACH_HELD({ sum += round_at(i, v[j], scale); })
    EACH_OTHER({ sum += round_at(i, x_read(first, i, p.n), scale); })
    sum = team_sum(sum);
    if (live && LANE == 0) {
        scales[BASE(2) + row] = scale;
        sums[BASE(3) + row] = sum;
    }
}
