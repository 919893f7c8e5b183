// Gradients rounded to 16 bits as two planes of int8: q = 256 high + low (vk.h, vk_gradient_planes).
#version 450
#extension GL_GOOGLE_include_directive : require
#define PUSH uint rows; uint n;
#include "weft.glsl"
#define WHOLE_VECTORS true
#include "team.glsl"
#include "rounding.glsl"

#define LIMIT 32639.0 // the largest that two planes can hold: 256 * 127 + 127

VALUES(0, dy)
layout(set = 0, binding = 1) writeonly buffer High { uint high[]; };
layout(set = 0, binding = 2) writeonly buffer Low { uint low[]; };
layout(set = 0, binding = 3) writeonly buffer Scale { uint scales[]; };

uint place; // of the row's first word in either plane

void round_at(uint i, vec4 v, uint scale) {
    ivec4 values = round_values(v, scale, -LIMIT, LIMIT);
    ivec4 rest = values << 24 >> 24;
    high[BASE(1) + place + i] = pack_bytes((values - rest) >> 8);
    low[BASE(2) + place + i] = pack_bytes(rest);
}

void main() {
    uint row = ROW, first = row * p.n, words = (p.n + 127) / 128 * 32;
    bool live = row < p.rows;
    uint fours = live ? words : 0;
    vec4 v[HELD];
    uint magnitude = 0;
    place = row * words;
    EACH_HELD({
        v[j] = dy_read(first, i, p.n);
        magnitude = max(magnitude, magnitude_bits(v[j]));
    })
    EACH_OTHER({ magnitude = max(magnitude, magnitude_bits(dy_read(first, i, p.n))); })
    uint scale = scale_bits(team_magnitude(magnitude), LIMIT, 1e-30);
    EACH_HELD({ round_at(i, v[j], scale); })
    EACH_OTHER({ round_at(i, dy_read(first, i, p.n), scale); })
    if (live && LANE == 0) scales[BASE(3) + row] = scale;
}
