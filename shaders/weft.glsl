// What every shader shares. Bindings are storage buffers of set 0; the push constants begin with the
// place of each binding's first element in 32-bit words (vk.h), then the operation's own.
//
//     #define PUSH uint tokens; uint n; float eps;
//     #include "weft.glsl"
//     layout(set = 0, binding = 0) readonly buffer X { float x[]; };
//     ... x[BASE(0) + i] ...
#ifndef WEFT_GLSL
#define WEFT_GLSL

layout(push_constant) uniform Push {
    uint base[8];
    PUSH
} p;

#define BASE(i) p.base[i]

// The number of this work group in a one-dimensional grid (vk_groups); check it against a count.
#define GROUP_INDEX (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x)

// Places of the fault buffer, as in vk.h.
#define FAULT_ID       0
#define FAULT_POSITION 1
#define FAULT_KEYS     2
#define FAULT_DOCUMENT 3
#define FAULT_TARGET   4
#define FAULT_ROW      5

#endif
