// The peak of int8 cooperative matrices.
#version 450
#extension GL_GOOGLE_include_directive : require
#define A int8_t
#define C int
#include "peak_coop.glsl"
