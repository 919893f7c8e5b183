// The transposed product in float32.
#version 450
#extension GL_GOOGLE_include_directive : require
#define TRANSPOSED
#include "ternary_tile_f32.glsl"
