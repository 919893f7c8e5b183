/* Segments: stretches of the stream with their command buffers. One that is the same as an earlier
 * one, word for word, is submitted again. Every segment ends with a barrier against all that
 * follows, so that its commands depend on nothing but its own words. */
#include "backend/vk_core.h"

#include "base/os.h"

#include <stdlib.h>

/* More are kept only within one submit; then those used longest ago go. */
#define SEGMENTS_MAX 512
#define LOOK_NS      3000000

int vk_segments_open(vk_backend *vk, weft_error *err) {
    VkCommandPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                    .queueFamilyIndex = vk->device.facts.family};
    VkFenceCreateInfo fence = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
    vk_segments *s = &vk->segments;
    VkDevice device = vk->device.handle;
    VkResult result = vk->device.f.vkCreateCommandPool(device, &pool, NULL, &s->pool);
    if (result != VK_SUCCESS) {
        s->pool = VK_NULL_HANDLE;
        return vk_error(vk, "commands cannot be recorded", result, err);
    }
    result = vk->device.f.vkCreateFence(device, &fence, NULL, &s->fence);
    if (result == VK_SUCCESS) return WEFT_OK;
    s->fence = VK_NULL_HANDLE;
    return vk_error(vk, "commands cannot be waited for", result, err);
}

static void segment_free(vk_backend *vk, vk_segment *s) {
    const struct VolkDeviceTable *f = &vk->device.f;
    VkDevice device = vk->device.handle;
    if (s->commands) f->vkFreeCommandBuffers(device, vk->segments.pool, 1, &s->commands);
    if (s->sets) f->vkDestroyDescriptorPool(device, s->sets, NULL);
    if (s->times) f->vkDestroyQueryPool(device, s->times, NULL);
    free(s->words);
    free(s);
}

void vk_segments_forget(vk_backend *vk) {
    vk_segments *s = &vk->segments;
    for (size_t i = 0; i < s->count; i++) segment_free(vk, s->list[i]);
    s->count = 0;
    s->last = NULL;
}

void vk_segments_close(vk_backend *vk) {
    vk_segments *s = &vk->segments;
    vk_segments_forget(vk);
    if (s->fence) vk->device.f.vkDestroyFence(vk->device.handle, s->fence, NULL);
    if (s->pool) vk->device.f.vkDestroyCommandPool(vk->device.handle, s->pool, NULL);
    free(s->list);
    free(vk->stream.words);
}

static void evict(vk_backend *vk) {
    vk_segments *s = &vk->segments;
    if (s->count <= SEGMENTS_MAX) return;
    for (size_t i = 0; i < s->count; i++) s->list[i]->next = NULL;
    s->last = NULL;
    while (s->count > SEGMENTS_MAX / 2) {
        size_t oldest = 0;
        for (size_t i = 1; i < s->count; i++)
            if (s->list[i]->used < s->list[oldest]->used) oldest = i;
        segment_free(vk, s->list[oldest]);
        s->list[oldest] = s->list[--s->count];
    }
}

/* ---- finding or making the segment of the stream ---- */

static uint64_t hash_words(const uint64_t *words, size_t size) {
    uint64_t h = size;
    for (size_t i = 0; i < size; i++) {
        h = (h ^ words[i]) * 0x9e3779b97f4a7c15;
        h ^= h >> 29;
    }
    return h;
}

static bool same(const vk_segment *segment, const vk_stream *stream) {
    return segment->size == stream->size &&
           memcmp(segment->words, stream->words, 8 * stream->size) == 0;
}

static vk_segment *find(const vk_backend *vk, uint64_t *hash) {
    const vk_segments *s = &vk->segments;
    if (s->last && s->last->next && same(s->last->next, &vk->stream)) return s->last->next;
    *hash = hash_words(vk->stream.words, vk->stream.size);
    for (size_t i = 0; i < s->count; i++)
        if (s->list[i]->hash == *hash && same(s->list[i], &vk->stream)) return s->list[i];
    return NULL;
}

static vk_segment *make(vk_backend *vk, uint64_t hash) {
    vk_segments *s = &vk->segments;
    if (s->count == s->capacity) {
        size_t capacity = s->capacity ? 2 * s->capacity : 64;
        vk_segment **list = realloc(s->list, capacity * sizeof(vk_segment *));
        if (!list) return NULL;
        s->list = list;
        s->capacity = capacity;
    }
    vk_segment *segment = calloc(1, sizeof *segment);
    uint64_t *words = malloc(8 * vk->stream.size);
    if (!segment || !words) {
        free(segment);
        free(words);
        return NULL;
    }
    memcpy(words, vk->stream.words, 8 * vk->stream.size);
    segment->words = words;
    segment->size = vk->stream.size;
    segment->hash = hash;
    if (!vk_segment_record(vk, segment)) {
        segment_free(vk, segment);
        return NULL;
    }
    s->list[s->count++] = segment;
    return segment;
}

/* ---- submitting and waiting ---- */

static bool submit(vk_backend *vk, const VkCommandBuffer *commands, VkFence fence) {
    VkSubmitInfo info = {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
                         .commandBufferCount = commands ? 1 : 0,
                         .pCommandBuffers = commands};
    VkResult result = vk->device.f.vkQueueSubmit(vk->device.queue, 1, &info, fence);
    if (result != VK_SUCCESS) vk_fail(vk, "submit", "commands could not be submitted", result);
    return result == VK_SUCCESS;
}

/* A token is done within less than it takes to be woken up, so the first moments are spent looking,
 * except where the device needs the processor itself. */
static VkResult look(const vk_backend *vk) {
    VkPhysicalDeviceType type = vk->device.facts.properties.deviceType;
    uint64_t end = type == VK_PHYSICAL_DEVICE_TYPE_CPU ? 0 : os_clock_ns() + LOOK_NS;
    VkResult result = VK_NOT_READY;
    while (end && result == VK_NOT_READY && os_clock_ns() < end)
        result = vk->device.f.vkGetFenceStatus(vk->device.handle, vk->segments.fence);
    return result;
}

static void wait_fence(vk_backend *vk) {
    vk_segments *s = &vk->segments;
    VkDevice device = vk->device.handle;
    VkResult result = look(vk);
    if (result == VK_NOT_READY)
        result = vk->device.f.vkWaitForFences(device, 1, &s->fence, VK_TRUE, UINT64_MAX);
    if (result == VK_SUCCESS) result = vk->device.f.vkResetFences(device, 1, &s->fence);
    if (result != VK_SUCCESS) vk_fail(vk, "submit", "the device did not finish", result);
}

/* True if the stream was submitted with the fence. */
static bool close_with(vk_backend *vk, VkFence fence) {
    vk_segments *s = &vk->segments;
    uint64_t hash = 0;
    bool done = false;
    if (!vk->stream.count || vk->lost) goto clear;
    vk_segment *segment = find(vk, &hash);
    if (!segment) segment = make(vk, hash);
    if (!segment) {
        backend_fail(&vk->base, "submit", WEFT_ERR_MEMORY, "out of memory for commands");
        goto clear;
    }
    if (s->last) s->last->next = segment;
    s->last = segment;
    segment->used = s->turn;
    done = submit(vk, &segment->commands, vk->profiling ? s->fence : fence);
    s->pending |= done;
    if (done && vk->profiling) {
        wait_fence(vk);
        if (!vk->lost) vk_profile_add(vk, segment);
        done = false;
    }
clear:
    vk->stream.size = vk->stream.count = vk->stream.set_count = vk->stream.binding_count = 0;
    vk->stream.segments++;
    return done;
}

void vk_segment_close(vk_backend *vk) {
    close_with(vk, VK_NULL_HANDLE);
}

void vk_segments_wait(vk_backend *vk) {
    vk_segments *s = &vk->segments;
    bool fenced = close_with(vk, s->fence);
    if (s->pending && !vk->lost) {
        if (fenced || submit(vk, NULL, s->fence)) wait_fence(vk);
        if (!vk->lost) vk_faults_check(vk);
    }
    s->pending = false;
    s->turn++;
    vk->stream.segments = 0;
    vk->upload_used = 0;
    if (!vk->lost) evict(vk);
    vk_check(vk, "submit");
}
