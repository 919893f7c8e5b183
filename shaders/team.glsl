// Operations on rows: each row belongs to a team of TEAM invocations (a power of two), as many teams
// to a work group as fit. Teams wait for each other, so that an invocation without a row must not
// return early.
#extension GL_EXT_control_flow_attributes : require
#include "values.glsl"

#define GROUP_MAX 512 // invocations of a work group: vk_sweep.h
layout(local_size_x_id = 1) in;
layout(constant_id = 2) const uint TEAM = 1;

#define LANE (gl_LocalInvocationIndex & (TEAM - 1))
#define ROW  (GROUP_INDEX * (gl_WorkGroupSize.x / TEAM) + gl_LocalInvocationIndex / TEAM)

// Defines T NAME(T v): COMBINE of the values of a team, always in the same order. A shader may call
// it once.
#define TEAM_PARTS min(TEAM, 16u)
#define TEAM_REDUCTION(T, NAME, COMBINE)                                                   \
    shared T NAME##_of[GROUP_MAX];                                                         \
    T NAME(T v) {                                                                          \
        uint i = gl_LocalInvocationIndex, first = i - LANE;                                \
        NAME##_of[i] = v;                                                                  \
        barrier();                                                                         \
        if (LANE < TEAM_PARTS) {                                                           \
            [[unroll]] for (uint k = 1; k < GROUP_MAX / 16; k++)                           \
                if (k * TEAM_PARTS < TEAM) v = COMBINE(v, NAME##_of[i + k * TEAM_PARTS]);  \
            NAME##_of[i] = v;                                                              \
        }                                                                                  \
        barrier();                                                                         \
        T all = NAME##_of[first];                                                          \
        [[unroll]] for (uint k = 1; k < 16; k++)                                           \
            if (k < TEAM_PARTS) all = COMBINE(all, NAME##_of[first + k]);                  \
        return all;                                                                        \
    }

// Vectors of a row that an invocation keeps in registers between passes, at most HELD; it reads the
// rest again. No more code than that is made: a device fetches it anew for each token.
layout(constant_id = 3) const uint EACH = 8; // vectors of an invocation
#define HELD 8u
// Runs BODY for each vector i of the invocation, j its place among those held.
#define EACH_HELD(BODY)                                                                    \
    [[unroll]] for (uint j = 0; j < HELD; j++) {                                           \
        uint i = LANE + j * TEAM;                                                          \
        if (j < EACH && i < fours) BODY                                                    \
    }
#define EACH_OTHER(BODY)                                                                   \
    if (EACH > HELD)                                                                       \
        for (uint i = LANE + HELD * TEAM; i < fours; i += TEAM) BODY

#define PLUS(a, b) ((a) + (b))
