/* Windows over the items of an operation: the arithmetic of vk_sweep.h. */
#include "backend/vk_sweep.h"

int64_t vk_sweep_step(const vk_sweep *s, int64_t grain) {
    size_t widest = 1;
    for (uint32_t i = 0; i < s->all.binding_count; i++)
        if (s->unit[i] > widest) widest = s->unit[i];
    int64_t grains = (s->count - 1) / grain + 1;
    return vk_window_rows(s->vk, s->all.op, widest * (size_t)grain, grains) * grain;
}

void vk_sweep_run(const vk_sweep *s, int64_t begin, int64_t n, uint64_t groups, const void *push,
                  size_t push_bytes) {
    vk_dispatch d = s->all;
    d.bytes = 0;
    for (uint32_t i = 0; i < d.binding_count; i++) {
        vk_binding *b = &d.bindings[i];
        if (s->unit[i]) {
            b->at.offset += (size_t)begin * s->unit[i];
            b->bytes = (size_t)n * s->unit[i];
        }
        d.bytes += (double)b->bytes * (b->access == VK_READ_WRITE ? 2 : 1);
    }
    d.operations = s->all.operations * (double)n;
    d.push = push;
    d.push_bytes = (uint32_t)push_bytes;
    vk_groups(s->vk, groups, d.groups);
    vk_run(s->vk, &d);
}
