// Independent products of cooperative matrices that stay in registers, for the device's peak. A is
// the type of the operands, C that of the sums.
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_EXT_shader_explicit_arithmetic_types_int8 : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#define PUSH uint rounds;
#include "weft.glsl"
layout(constant_id = 0) const uint M = 16;
layout(constant_id = 1) const uint N = 16;
layout(constant_id = 2) const uint K = 16;
layout(constant_id = 3) const uint THREADS = 128;
layout(local_size_x_id = 3) in;
layout(set = 0, binding = 0) buffer Out { C y[]; };

#define MATRIX_A coopmat<A, gl_ScopeSubgroup, M, K, gl_MatrixUseA>
#define MATRIX_B coopmat<A, gl_ScopeSubgroup, K, N, gl_MatrixUseB>
#define SUMS     coopmat<C, gl_ScopeSubgroup, M, N, gl_MatrixUseAccumulator>

// Every operand is another one and every element of every sum is used: nothing can be left out.
void main() {
    MATRIX_A a[2];
    MATRIX_B b[4];
    SUMS sums[8];
    C first = y[BASE(0)];
    [[unroll]] for (int j = 0; j < 2; j++) a[j] = MATRIX_A(A(first + C(j)));
    [[unroll]] for (int j = 0; j < 4; j++) b[j] = MATRIX_B(A(first - C(j)));
    [[unroll]] for (int j = 0; j < 8; j++) sums[j] = SUMS(first + C(j));
    for (uint i = 0; i < p.rounds; i++)
        [[unroll]] for (int j = 0; j < 8; j++) sums[j] = coopMatMulAdd(a[j / 4], b[j % 4], sums[j]);
    C all = C(0);
    [[unroll]] for (int j = 0; j < 8; j++)
        for (int i = 0; i < sums[j].length(); i++) all += sums[j][i];
    if (all == C(77777)) y[BASE(0)] = all; // hardly ever
}
