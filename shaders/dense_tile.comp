// y (T, rows) = x (T, cols) W^T for more than a few tokens.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "dense_tile.glsl"
