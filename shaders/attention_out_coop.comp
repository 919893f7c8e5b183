// Attention, from the logarithms of its rows.
#version 450
#extension GL_GOOGLE_include_directive : require
#define OUT
#include "attention_coop.glsl"
