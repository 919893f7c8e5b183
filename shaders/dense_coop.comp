// y (T, rows) = x (T, cols) W^T on cooperative matrices.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "dense_tile_coop.glsl"
