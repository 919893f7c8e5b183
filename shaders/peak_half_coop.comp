// The peak of half-precision cooperative matrices with float32 sums.
#version 450
#extension GL_GOOGLE_include_directive : require
#define A float16_t
#define C float
#include "peak_coop.glsl"
