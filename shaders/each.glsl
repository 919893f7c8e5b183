// Operations on single values: defines main, which calls each(i) for every four of count values.
// The push constants begin with uint count; an invocation does ITEMS fours.
#include "values.glsl"

layout(local_size_x = 128) in;
layout(constant_id = 1) const uint ITEMS = 1;

void each(uint i);

void main() {
    uint first = GROUP_INDEX * 128 * ITEMS + gl_LocalInvocationIndex;
    for (uint k = 0; k < ITEMS; k++) {
        uint i = first + 128 * k;
        if (4 * i < p.count) each(i);
    }
}
