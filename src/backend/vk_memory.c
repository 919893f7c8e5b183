/* Device memory, and the ways in and out of it. On devices whose memory is the host's, buffers are
 * written and read in place while nothing is under way; else bytes pass through two staging areas,
 * which are free again after every wait. */
#include "backend/vk_core.h"

#include "base/os.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- allocation ---- */

static bool type_fits(const vk_backend *vk, uint32_t bits, uint32_t type,
                      VkMemoryPropertyFlags wanted, VkMemoryPropertyFlags unwanted) {
    VkMemoryPropertyFlags flags = vk->device.facts.memory.memoryTypes[type].propertyFlags;
    return (bits >> type & 1) && (flags & wanted) == wanted && !(flags & unwanted);
}

/* The memory types to try, best first: what is wanted, and what had better not be there. */
typedef struct type_wish {
    VkMemoryPropertyFlags wanted, unwanted;
} type_wish;

static uint32_t find_type(const vk_backend *vk, vk_place place, uint32_t bits) {
    const VkMemoryPropertyFlags local = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT;
    const VkMemoryPropertyFlags host =
        VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
    const VkMemoryPropertyFlags cached = VK_MEMORY_PROPERTY_HOST_CACHED_BIT;
    const VkMemoryPropertyFlags odd =
        VK_MEMORY_PROPERTY_LAZILY_ALLOCATED_BIT | VK_MEMORY_PROPERTY_PROTECTED_BIT;
    const type_wish device[] = {{local, odd | VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT}, {local, odd}};
    const type_wish shared[] = {{local | host | cached, odd}, {local | host, odd}};
    const type_wish upload[] = {{host, odd | local}, {host, odd}};
    const type_wish readback[] = {{host | cached, odd}, {host, odd}};
    const type_wish *wishes = place == VK_PLACE_UPLOAD     ? upload
                              : place == VK_PLACE_READ     ? readback
                              : vk->device.limits.coherent ? shared
                                                           : device;
    for (int w = 0; w < 2; w++)
        for (uint32_t t = 0; t < vk->device.facts.memory.memoryTypeCount; t++)
            if (type_fits(vk, bits, t, wishes[w].wanted, wishes[w].unwanted)) return t;
    return UINT32_MAX;
}

static int no_memory(vk_backend *vk, uint64_t bytes, weft_error *err) {
    uint64_t left = vk_facts_free_bytes(&vk->device.facts), mib = 1 << 20;
    char room[64] = "";
    if (left) snprintf(room, sizeof room, ", %llu MiB are free", (unsigned long long)(left / mib));
    return err_set(err, WEFT_ERR_MEMORY,
                   "%s is out of memory for a buffer of %llu bytes (%llu MiB are in use%s): use "
                   "shorter texts or --device cpu",
                   vk->device.facts.info.name, (unsigned long long)bytes,
                   (unsigned long long)(vk->base.bytes / mib), room);
}

static int allocate(vk_backend *vk, vk_place place, vk_memory *m, weft_error *err) {
    const struct VolkDeviceTable *f = &vk->device.f;
    VkDevice device = vk->device.handle;
    VkMemoryRequirements needs;
    f->vkGetBufferMemoryRequirements(device, m->handle, &needs);
    VkMemoryAllocateInfo info = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                                 .allocationSize = needs.size,
                                 .memoryTypeIndex = find_type(vk, place, needs.memoryTypeBits)};
    if (info.memoryTypeIndex == UINT32_MAX)
        return err_set(err, WEFT_ERR_UNSUPPORTED, "%s has no memory of the kind that is needed",
                       vk->device.facts.info.name);
    VkResult result = f->vkAllocateMemory(device, &info, NULL, &m->memory);
    if (result != VK_SUCCESS) m->memory = VK_NULL_HANDLE;
    if (result == VK_ERROR_OUT_OF_DEVICE_MEMORY || result == VK_ERROR_OUT_OF_HOST_MEMORY ||
        result == VK_ERROR_TOO_MANY_OBJECTS)
        return no_memory(vk, m->size, err);
    if (result == VK_SUCCESS) result = f->vkBindBufferMemory(device, m->handle, m->memory, 0);
    VkMemoryPropertyFlags flags =
        vk->device.facts.memory.memoryTypes[info.memoryTypeIndex].propertyFlags;
    bool map = place != VK_PLACE_DEVICE || vk->device.limits.coherent;
    if (result == VK_SUCCESS && map && (flags & VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT)) {
        void *mapped = NULL;
        result = f->vkMapMemory(device, m->memory, 0, VK_WHOLE_SIZE, 0, &mapped);
        m->mapped = mapped;
    }
    return result == VK_SUCCESS ? WEFT_OK : vk_error(vk, "memory could not be had", result, err);
}

static void name_buffer(vk_backend *vk, const vk_memory *m, const char *name) {
    VkDebugUtilsObjectNameInfoEXT info = {.sType =
                                              VK_STRUCTURE_TYPE_DEBUG_UTILS_OBJECT_NAME_INFO_EXT,
                                          .objectType = VK_OBJECT_TYPE_BUFFER,
                                          .objectHandle = (uint64_t)m->handle,
                                          .pObjectName = name};
    PFN_vkSetDebugUtilsObjectNameEXT set = (PFN_vkSetDebugUtilsObjectNameEXT)vkGetInstanceProcAddr(
        vk->device.instance.handle, "vkSetDebugUtilsObjectNameEXT");
    if (vk->device.instance.messenger && set) set(vk->device.handle, &info);
}

int vk_memory_create(vk_backend *vk, vk_place place, uint64_t bytes, const char *name, vk_memory *m,
                     weft_error *err) {
    *m = (vk_memory){0};
    uint64_t most = vk->device.limits.allocation_bytes;
    if (bytes > most || round_up(bytes, VK_MEMORY_UNIT) > most)
        return err_set(
            err, WEFT_ERR_MEMORY, "a buffer of %llu bytes is larger than %s allows (%llu bytes)",
            (unsigned long long)bytes, vk->device.facts.info.name, (unsigned long long)most);
    m->size = round_up(bytes, VK_MEMORY_UNIT);
    VkBufferCreateInfo info = {.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
                               .size = m->size,
                               .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT |
                                        VK_BUFFER_USAGE_TRANSFER_SRC_BIT |
                                        VK_BUFFER_USAGE_TRANSFER_DST_BIT,
                               .sharingMode = VK_SHARING_MODE_EXCLUSIVE};
    VkResult result = vk->device.f.vkCreateBuffer(vk->device.handle, &info, NULL, &m->handle);
    int rc = WEFT_OK;
    if (result != VK_SUCCESS) {
        m->handle = VK_NULL_HANDLE;
        rc = result == VK_ERROR_OUT_OF_DEVICE_MEMORY || result == VK_ERROR_OUT_OF_HOST_MEMORY
                 ? no_memory(vk, bytes, err)
                 : vk_error(vk, "a buffer could not be made", result, err);
    }
    if (!rc) rc = allocate(vk, place, m, err);
    if (rc)
        vk_memory_destroy(vk, m);
    else
        name_buffer(vk, m, name);
    return rc;
}

void vk_memory_destroy(vk_backend *vk, vk_memory *m) {
    if (m->handle) vk->device.f.vkDestroyBuffer(vk->device.handle, m->handle, NULL);
    if (m->memory) vk->device.f.vkFreeMemory(vk->device.handle, m->memory, NULL);
    *m = (vk_memory){0};
}

/* ---- buffers ---- */

static bool is_idle(const vk_backend *vk) {
    return !vk->segments.pending && !vk->stream.count;
}

int vk_buffer_create(backend *be, buffer *b, weft_error *err) {
    vk_backend *vk = vk_of(be);
    vk_memory *m = calloc(1, sizeof *m);
    if (!m) return err_set(err, WEFT_ERR_MEMORY, "out of memory for a buffer");
    if (vk->lost) {
        free(m);
        return vk_error(vk, "a buffer could not be made", VK_ERROR_DEVICE_LOST, err);
    }
    int rc = vk_memory_create(vk, VK_PLACE_DEVICE, b->bytes, "buffer", m, err);
    if (rc) {
        free(m);
        return rc;
    }
    b->memory = m;
    if (m->mapped)
        memset(m->mapped, 0, m->size);
    else
        vk_tell_fill(vk, "buffer_create", m, 0, m->size);
    return WEFT_OK;
}

/* Whatever was recorded with the buffer is forgotten, so commands may keep its address. */
void vk_buffer_free(backend *be, buffer *b) {
    vk_backend *vk = vk_of(be);
    vk_segments_wait(vk);
    vk_segments_forget(vk);
    vk_memory_destroy(vk, b->memory);
    free(b->memory);
}

/* ---- in and out ---- */

uint8_t *vk_stage(vk_backend *vk, const char *op, vk_memory *m, size_t offset, size_t bytes) {
    if (backend_has_failed(&vk->base)) return NULL;
    if (m->mapped && is_idle(vk)) return m->mapped + offset;
    size_t room = round_up(bytes, 16);
    if (room > VK_STAGE_BYTES - vk->upload_used) vk_segments_wait(vk);
    if (backend_has_failed(&vk->base)) return NULL;
    size_t at = vk->upload_used;
    vk->upload_used += room;
    vk_tell_copy(vk, op, &vk->upload, at, m, offset, bytes);
    return vk->upload.mapped + at;
}

void vk_write(backend *be, view to, const void *data, size_t bytes) {
    vk_backend *vk = vk_of(be);
    const uint8_t *from = data;
    for (size_t done = 0, part; done < bytes; done += part) {
        part = bytes - done < VK_STAGE_BYTES ? bytes - done : VK_STAGE_BYTES;
        uint8_t *at = vk_stage(vk, __func__, vk_memory_of(to.buf), to.offset + done, part);
        if (!at) return;
        memcpy(at, from + done, part);
    }
}

void vk_read(backend *be, view from, void *data, size_t bytes) {
    vk_backend *vk = vk_of(be);
    const vk_memory *m = vk_memory_of(from.buf);
    if (m->mapped) {
        vk_segments_wait(vk);
        if (!backend_has_failed(be)) memcpy(data, m->mapped + from.offset, bytes);
        return;
    }
    uint8_t *to = data;
    for (size_t done = 0, part; done < bytes; done += part) {
        part = bytes - done < VK_STAGE_BYTES ? bytes - done : VK_STAGE_BYTES;
        vk_tell_copy(vk, __func__, m, from.offset + done, &vk->readback, 0, part);
        vk_segments_wait(vk);
        if (backend_has_failed(be)) return;
        memcpy(to + done, vk->readback.mapped, part);
    }
}

bool vk_scratch(vk_backend *vk, const char *op, vk_scratch_slot slot, size_t bytes, view *out) {
    buffer **b = &vk->scratch[slot];
    if (backend_has_failed(&vk->base)) return false;
    if (!*b || (*b)->bytes < bytes) {
        weft_error err;
        buffer_free(&vk->base, b);
        if (buffer_create(&vk->base, bytes, b, &err)) {
            backend_fail(&vk->base, op, err.code, "%s", err.message);
            return false;
        }
    }
    *out = view_of(*b);
    return true;
}
