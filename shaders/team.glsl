// Operations on rows: each row belongs to a team of TEAM invocations (a power of two), as many teams
// to a work group as fit. Teams wait for each other, so that an invocation without a row must not
// return early.
#include "values.glsl"

#define GROUP_MAX 512 // invocations of a work group: vk_sweep.h
layout(local_size_x_id = 1) in;
layout(constant_id = 2) const uint TEAM = 1;

#define LANE (gl_LocalInvocationIndex & (TEAM - 1))
#define ROW  (GROUP_INDEX * (gl_WorkGroupSize.x / TEAM) + gl_LocalInvocationIndex / TEAM)

// Defines T NAME(T v): COMBINE of the values of a team, always in the same order.
#define TEAM_REDUCTION(T, NAME, COMBINE)                                                   \
    shared T NAME##_of[GROUP_MAX];                                                         \
    T NAME(T v) {                                                                          \
        uint i = gl_LocalInvocationIndex;                                                  \
        NAME##_of[i] = v;                                                                  \
        for (uint other = TEAM / 2; other > 0; other /= 2) {                               \
            barrier();                                                                     \
            if (LANE < other) NAME##_of[i] = COMBINE(NAME##_of[i], NAME##_of[i + other]);  \
        }                                                                                  \
        barrier();                                                                         \
        T all = NAME##_of[i - LANE];                                                       \
        barrier();                                                                         \
        return all;                                                                        \
    }

#define PLUS(a, b) ((a) + (b))
