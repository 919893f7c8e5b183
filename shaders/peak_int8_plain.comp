// The peak of products of bytes by plain integer arithmetic.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "peak_int8.glsl"
