/* The compiled shaders, as the build made them. */
#ifndef WEFT_BACKEND_VK_SHADER_H
#define WEFT_BACKEND_VK_SHADER_H

#include "backend/vk.h"

typedef struct vk_shader_code {
    const char *name;
    const uint32_t *words; /* NULL: no compiler knew it */
    size_t bytes;
} vk_shader_code;

const vk_shader_code *vk_shader_find(vk_shader shader);

#endif
