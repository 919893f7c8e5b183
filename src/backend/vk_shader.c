/* The words of every shader (cmake/vulkan.cmake). */
#include "backend/vk_shader.h"

#include "vk_shader_code.inc"

static const vk_shader_code table[] = {
#include "vk_shader_table.inc"
};

const vk_shader_code *vk_shader_find(vk_shader shader) {
    return &table[shader];
}
