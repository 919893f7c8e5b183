/* Where the device's time goes: the times of commands, summed by operation and shader. */
#include "backend/vk_core.h"
#include "backend/vk_shader.h"

#include "base/os.h"

#include <stdlib.h>

static vk_profile_entry *entry_of(vk_profile *p, const char *op, const char *shader) {
    for (size_t i = 0; i < p->count; i++)
        if (strcmp(p->entries[i].op, op) == 0 && strcmp(p->entries[i].shader, shader) == 0)
            return &p->entries[i];
    if (p->count == p->capacity) {
        size_t capacity = p->capacity ? 2 * p->capacity : 64;
        vk_profile_entry *entries = realloc(p->entries, capacity * sizeof *entries);
        if (!entries) return NULL;
        p->entries = entries;
        p->capacity = capacity;
    }
    p->entries[p->count] = (vk_profile_entry){.op = op, .shader = shader};
    return &p->entries[p->count++];
}

static const char *shader_name(const vk_told *told) {
    if (told->command == VK_COMMAND_DISPATCH) return vk_shader_find((vk_shader)told->shader)->name;
    return told->command == VK_COMMAND_COPY ? "(copy)" : "(fill)";
}

void vk_profile_add(vk_backend *vk, const vk_segment *segment) {
    uint64_t *times = os_alloc((size_t)segment->time_count * sizeof *times);
    if (!times) return;
    VkResult result = vk->device.f.vkGetQueryPoolResults(
        vk->device.handle, segment->times, 0, segment->time_count,
        segment->time_count * sizeof *times, times, sizeof *times,
        VK_QUERY_RESULT_64_BIT | VK_QUERY_RESULT_WAIT_BIT);
    double unit = vk->device.facts.properties.limits.timestampPeriod;
    uint32_t bits = vk->device.facts.timestamp_bits;
    uint64_t mask = bits < 64 ? (UINT64_C(1) << bits) - 1 : UINT64_MAX;
    size_t at = 0;
    for (uint32_t i = 0; result == VK_SUCCESS && at < segment->size; i += 2) {
        const vk_told *told = (const vk_told *)(const void *)(segment->words + at);
        vk_profile_entry *e = entry_of(&vk->profile, told->op, shader_name(told));
        if (!e) break;
        e->calls++;
        e->ns += (uint64_t)((double)((times[i + 1] - times[i]) & mask) * unit);
        e->operations += told->operations;
        e->bytes += told->bytes;
        at += told->words;
    }
    os_free(times);
}

const vk_profile_entry *vk_profile_read(const backend *be, int *count) {
    const vk_backend *vk = (const vk_backend *)(const void *)be;
    *count = (int)vk->profile.count;
    return vk->profile.entries;
}

void vk_profile_clear(backend *be) {
    vk_of(be)->profile.count = 0;
}
