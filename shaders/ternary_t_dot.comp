// The transposed integer product with packed dot products.
#version 450
#extension GL_GOOGLE_include_directive : require
#define TRANSPOSED
#define DOT
#include "ternary_tile.glsl"
