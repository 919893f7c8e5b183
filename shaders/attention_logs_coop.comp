// The logarithm of the sum of each row of attention.
#version 450
#extension GL_GOOGLE_include_directive : require
#define LOGS
#include "attention_coop.glsl"
