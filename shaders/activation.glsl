// The activations of gated units and their derivatives, for four values.
#ifndef ACTIVATION_GLSL
#define ACTIVATION_GLSL

#include "exponential.glsl"

#define ACTIVATION_RELU2 0 // kernel.h

vec4 sigmoid(vec4 z) {
    return 1.0 / (1.0 + exponential(-z));
}

// Not max(z, 0): it may lose a NaN.
vec4 unless_negative(vec4 z, vec4 value) {
    return mix(value, vec4(0), lessThanEqual(z, vec4(0)));
}

vec4 activate(uint act, vec4 z) {
    return act == ACTIVATION_RELU2 ? unless_negative(z, z * z) : z * sigmoid(z);
}

vec4 activate_derivative(uint act, vec4 z) {
    if (act == ACTIVATION_RELU2) return unless_negative(z, 2.0 * z);
    vec4 s = sigmoid(z);
    return s * (1.0 + z * (1.0 - s));
}

#endif
