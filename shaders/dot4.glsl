// dot4(a, b): the sum of the products of four signed bytes each; with DOT by the device's own
// instruction (VK_KHR_shader_integer_dot_product).
#ifndef DOT4_GLSL
#define DOT4_GLSL

#ifdef DOT
#extension GL_EXT_spirv_intrinsics : require
spirv_instruction(extensions = ["SPV_KHR_integer_dot_product"], capabilities = [6019, 6018],
                  id = 4450) // OpSDot of packed 4x8 bits
int signed_dot(uint a, uint b, spirv_literal int packed_format);

int dot4(uint a, uint b) {
    return signed_dot(a, b, 0);
}
#else
int dot4(uint a, uint b) {
    ivec4 x = bitfieldExtract(ivec4(a, a >> 8, a >> 16, a >> 24), 0, 8);
    ivec4 y = bitfieldExtract(ivec4(b, b >> 8, b >> 16, b >> 24), 0, 8);
    return x.x * y.x + x.y * y.y + x.z * y.z + x.w * y.w;
}
#endif

#endif
