// dx (T, cols) = dy (T, rows) W on cooperative matrices.
#version 450
#extension GL_GOOGLE_include_directive : require
#define TRANSPOSED
#include "dense_tile_coop.glsl"
