// The peak of packed dot products of bytes.
#version 450
#extension GL_GOOGLE_include_directive : require
#define DOT
#include "peak_int8.glsl"
