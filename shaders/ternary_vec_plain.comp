// The integer product of few tokens in plain integer arithmetic.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "ternary_vec.glsl"
