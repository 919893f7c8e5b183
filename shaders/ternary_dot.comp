// The integer product with packed dot products.
#version 450
#extension GL_GOOGLE_include_directive : require
#define DOT
#include "ternary_tile.glsl"
