// Heads rotated by the angles of their positions (kernel.h, rope_row), for the positions in the
// window of the table that is bound; in place (y is x), or with STORE into the row of y that `rows`
// names. An invocation turns four pairs.
#version 450
#extension GL_GOOGLE_include_directive : require
#define PUSH                                                                               \
    uint tokens; uint heads; uint pairs; uint row_count; uint first_token;                 \
    uint first_position; uint positions; uint all_positions;
#include "weft.glsl"
#include "values.glsl"

layout(local_size_x = 128) in;
layout(constant_id = 1) const uint INTERLEAVED = 0;
layout(constant_id = 2) const uint INVERSE = 0;
layout(constant_id = 3) const uint STORE = 0;

VALUES(0, x)
layout(set = 0, binding = 1) readonly buffer Positions { uint position_of[]; };
VALUES(2, angles)
layout(set = 0, binding = 3) buffer Fault { uint fault[]; };
VALUES_OUT(4, y)
layout(set = 0, binding = 5) readonly buffer Rows { uint rows[]; };

// Pairs are (j, j + pairs) of the head that begins at `head`.
void rotate_halves(uint head, uint to, uint i, vec4 c, vec4 s) {
    vec4 a = x_read(head, i, p.pairs), b = x_read(head + p.pairs, i, p.pairs);
    y_write(to, i, p.pairs, a * c - b * s);
    y_write(to + p.pairs, i, p.pairs, a * s + b * c);
}

// Pairs are (2 j, 2 j + 1).
void rotate_neighbours(uint head, uint to, uint i, vec4 c, vec4 s) {
    vec4 v = x_read(head, 2 * i, 2 * p.pairs), w = x_read(head, 2 * i + 1, 2 * p.pairs);
    vec4 a = vec4(v.xz, w.xz), b = vec4(v.yw, w.yw);
    vec4 turned_a = a * c - b * s, turned_b = a * s + b * c;
    v = vec4(turned_a.x, turned_b.x, turned_a.y, turned_b.y);
    w = vec4(turned_a.z, turned_b.z, turned_a.w, turned_b.w);
    y_write(to, 2 * i, 2 * p.pairs, v);
    y_write(to, 2 * i + 1, 2 * p.pairs, w);
}

void main() {
    uint fours = (p.pairs + 3) / 4, at = GROUP_INDEX * 128 + gl_LocalInvocationIndex;
    uint head = at / fours, i = at % fours, token = head / p.heads;
    if (token >= p.tokens) return;
    uint position = position_of[BASE(1) + token];
    if (position >= p.all_positions) { // a negative one is a large one here
        if (head % p.heads == 0 && i == 0)
            atomicMin(fault[BASE(3) + FAULT_POSITION], p.first_token + token);
        return;
    }
    position -= p.first_position; // wraps around below the window
    if (position >= p.positions) return;
    uint row = STORE != 0 ? rows[BASE(5) + token] : token;
    if (STORE != 0 && row >= p.row_count) {
        if (head % p.heads == 0 && i == 0)
            atomicMin(fault[BASE(3) + FAULT_ROW], p.first_token + token);
        return;
    }
    uint first = position * 2 * p.pairs;
    vec4 c = angles_read(first, i, p.pairs), s = angles_read(first + p.pairs, i, p.pairs);
    if (INVERSE != 0) s = -s;
    uint from = head * 2 * p.pairs, to = (row * p.heads + head % p.heads) * 2 * p.pairs;
    if (INTERLEAVED != 0) rotate_neighbours(from, to, i, c, s);
    else rotate_halves(from, to, i, c, s);
}
