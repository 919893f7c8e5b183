// The integer product of few tokens with packed dot products.
#version 450
#extension GL_GOOGLE_include_directive : require
#define DOT
#include "ternary_vec.glsl"
