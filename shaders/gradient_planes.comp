// Gradients rounded to 16 bits as two planes of int8: q = 256 high + low (vk.h, vk_gradient_planes).
#version 450
#extension GL_GOOGLE_include_directive : require
#define PUSH uint rows; uint n;
#include "weft.glsl"
#include "team.glsl"
#include "rounding.glsl"

#define LIMIT 32639.0 // the largest that two planes can hold: 256 * 127 + 127

VALUES(0, dy)
layout(set = 0, binding = 1) writeonly buffer High { uint high[]; };
layout(set = 0, binding = 2) writeonly buffer Low { uint low[]; };
layout(set = 0, binding = 3) writeonly buffer Scale { uint scales[]; };

void main() {
    uint row = ROW, first = row * p.n, words = (p.n + 127) / 128 * 32;
    bool live = row < p.rows;
    uint fours = live ? words : 0;
    uint magnitude = 0;
    for (uint i = LANE; i < fours; i += TEAM)
        magnitude = max(magnitude, magnitude_bits(dy_read(first, i, p.n)));
    uint scale = scale_bits(team_magnitude(magnitude), LIMIT, 1e-30);
    for (uint i = LANE; i < fours; i += TEAM) {
        ivec4 values = round_values(dy_read(first, i, p.n), scale, -LIMIT, LIMIT);
        ivec4 rest = values << 24 >> 24;
        high[BASE(1) + row * words + i] = pack_bytes((values - rest) >> 8);
        low[BASE(2) + row * words + i] = pack_bytes(rest);
    }
    if (live && LANE == 0) scales[BASE(3) + row] = scale;
}
