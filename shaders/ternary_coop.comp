// The integer product on cooperative matrices.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "ternary_tile_coop.glsl"
