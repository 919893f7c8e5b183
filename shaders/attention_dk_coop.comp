// The gradient of attention with respect to its keys.
#version 450
#extension GL_GOOGLE_include_directive : require
#define DK
#include "attention_coop.glsl"
