// What the backward of attention needs to know of each row.
#version 450
#extension GL_GOOGLE_include_directive : require
#define STATS
#include "attention_coop.glsl"
