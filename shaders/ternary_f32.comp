// The product in float32.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "ternary_tile_f32.glsl"
