// The gradient of attention with respect to its values.
#version 450
#extension GL_GOOGLE_include_directive : require
#define DV
#include "attention_coop.glsl"
