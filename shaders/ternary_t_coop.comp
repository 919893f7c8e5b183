// The transposed integer product on cooperative matrices.
#version 450
#extension GL_GOOGLE_include_directive : require
#define TRANSPOSED
#include "ternary_tile_coop.glsl"
