// The transposed integer product in plain integer arithmetic.
#version 450
#extension GL_GOOGLE_include_directive : require
#define TRANSPOSED
#include "ternary_tile.glsl"
