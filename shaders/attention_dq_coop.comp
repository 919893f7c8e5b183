// The gradient of attention with respect to its queries.
#version 450
#extension GL_GOOGLE_include_directive : require
#define DQ
#include "attention_coop.glsl"
