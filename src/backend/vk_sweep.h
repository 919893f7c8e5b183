/* Operations that do the same to many items (rows or single values), cut into windows that the
 * device's bindings can show. For backend_vk_rows.c and backend_vk_values.c. */
#ifndef WEFT_BACKEND_VK_SWEEP_H
#define WEFT_BACKEND_VK_SWEEP_H

#include "backend/vk.h"

#define VK_SWEEP_GROUP     128 /* invocations of a work group that every device takes */
#define VK_SWEEP_GROUP_MAX 512 /* shaders/team.glsl */

/* Binding i shows unit[i] bytes for each item, or always the same bytes where unit[i] is 0. */
typedef struct vk_sweep {
    vk_backend *vk;
    vk_dispatch all; /* bindings begin at item 0 */
    size_t unit[VK_BINDINGS_MAX];
    int64_t count;
} vk_sweep;

static inline void vk_sweep_add(vk_sweep *s, view at, size_t unit, vk_access access) {
    uint32_t i = s->all.binding_count++;
    s->all.bindings[i] = (vk_binding){at, unit * (size_t)s->count, access};
    s->unit[i] = unit;
}

/* Bytes that belong to no item. */
static inline void vk_sweep_share(vk_sweep *s, vk_binding binding) {
    s->all.bindings[s->all.binding_count++] = binding;
}

static inline void vk_sweep_constant(vk_sweep *s, uint32_t value) {
    s->all.constants[s->all.constant_count++] = value;
}

/* May the shader move vectors of 4 words? Every binding begins at a multiple of 16 bytes. */
static inline bool vk_sweep_vectors(const vk_sweep *s) {
    for (uint32_t i = 0; i < s->all.binding_count; i++)
        if (s->unit[i] && s->all.bindings[i].at.offset % 16) return false;
    return true;
}

/* How many items a window takes, a multiple of `grain` unless it is all; 0 after a failure. */
int64_t vk_sweep_step(const vk_sweep *s, int64_t grain);

/* Record items [begin, begin + n) as `groups` work groups. */
void vk_sweep_run(const vk_sweep *s, int64_t begin, int64_t n, uint64_t groups, const void *push,
                  size_t push_bytes);

#endif
