// One step of AdamW, in the order of operations of kernel/ref_layers.c.
#version 450
#extension GL_GOOGLE_include_directive : require
#define PUSH                                                                               \
    uint count; float keep; float beta1; float gain1; float beta2; float gain2; float rate; \
    float epsilon; float correction1; float correction2; float grad_scale;
#include "weft.glsl"
#include "each.glsl"

VALUES_OUT(0, weight)
VALUES(1, gradient)
VALUES_OUT(2, moment1)
VALUES_OUT(3, moment2)

void each(uint i) {
    precise vec4 g = gradient_read(0, i, p.count) * p.grad_scale;
    precise vec4 m = p.beta1 * moment1_read(0, i, p.count) + p.gain1 * g;
    precise vec4 v = p.beta2 * moment2_read(0, i, p.count) + p.gain2 * (g * g);
    precise vec4 change = p.rate * (m / p.correction1) / (sqrt(v / p.correction2) + p.epsilon);
    precise vec4 w = weight_read(0, i, p.count) * p.keep - change;
    moment1_write(0, i, p.count, m);
    moment2_write(0, i, p.count, v);
    weight_write(0, i, p.count, w);
}
