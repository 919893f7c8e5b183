// The norm y of each row and y rounded to int8, in one pass. Before it is included: gamma and y, the
// place ROUNDED of the first of the three bindings of what is rounded, and where the rows come from,
// first_read(first, i) and, for what does not stay in registers, read_again(first, i).
layout(set = 0, binding = ROUNDED) writeonly buffer Q { uint q[]; };
layout(set = 0, binding = ROUNDED + 1) writeonly buffer Scale { uint scales[]; };
layout(set = 0, binding = ROUNDED + 2) writeonly buffer Sum { int sums[]; };

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
    place = BASE(ROUNDED) + row * words;
    EACH_HELD({
        v[j] = first_read(first, i);
        g[j] = gamma_read(0, i, p.n);
        squares += dot(v[j], v[j]);
    })
    EACH_OTHER({
        vec4 other = first_read(first, i);
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
        vec4 other = read_again(first, i) * r * gamma_read(0, i, p.n);
        y_write(first, i, p.n, other);
        magnitude = max(magnitude, magnitude_bits(other));
    })
    uint scale = scale_bits(team_magnitude(magnitude), 127.0, 1e-5);
    int sum = 0;
    EACH_HELD({ sum += round_at(i, v[j], scale); })
    EACH_OTHER({ sum += round_at(i, y_read(first, i, p.n), scale); }) // what it wrote itself
    sum = team_sum(sum);
    if (live && LANE == 0) {
        scales[BASE(ROUNDED + 1) + row] = scale;
        sums[BASE(ROUNDED + 2) + row] = sum;
    }
}
