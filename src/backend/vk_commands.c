/* A segment's command buffer: its commands, with a barrier wherever one uses what an earlier one
 * wrote, or writes what an earlier one uses. */
#include "backend/vk_core.h"

#include "base/os.h"

/* What commands since the last barrier touch. */
typedef struct touched {
    const vk_memory *memory;
    uint64_t begin, end;
    bool written;
} touched;

typedef struct recorder {
    vk_backend *vk;
    const struct VolkDeviceTable *f;
    VkDevice device;
    vk_segment *segment;
    touched *touched;
    size_t touched_count;
    bool timed;
} recorder;

static void barrier(recorder *r, VkPipelineStageFlags host, VkAccessFlags host_access) {
    const VkPipelineStageFlags stages =
        VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT;
    const VkAccessFlags writes = VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT;
    const VkAccessFlags reads = VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_TRANSFER_READ_BIT;
    VkMemoryBarrier memory = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                              .srcAccessMask = writes,
                              .dstAccessMask = reads | writes | host_access};
    r->f->vkCmdPipelineBarrier(r->segment->commands, stages, stages | host, 0, 1, &memory, 0, NULL,
                               0, NULL);
    r->touched_count = 0;
}

static bool clashes(const recorder *r, const touched *t) {
    for (size_t i = 0; i < r->touched_count; i++) {
        const touched *u = &r->touched[i];
        if (u->memory == t->memory && (u->written || t->written) && u->begin < t->end &&
            t->begin < u->end)
            return true;
    }
    return false;
}

/* Faults are reported without order, so their buffer makes no command wait. */
static void order(recorder *r, const vk_told *told, const vk_told_range *ranges) {
    touched list[VK_BINDINGS_MAX];
    size_t count = 0;
    bool clash = false;
    for (unsigned i = 0; i < told->binding_count; i++) {
        if (ranges[i].memory == &r->vk->fault_memory) continue;
        touched t = {ranges[i].memory, ranges[i].offset, ranges[i].offset + ranges[i].bytes,
                     told->access >> 2 * i & VK_WRITE};
        clash = clash || clashes(r, &t);
        list[count++] = t;
    }
    if (clash) barrier(r, 0, 0);
    memcpy(r->touched + r->touched_count, list, count * sizeof *list);
    r->touched_count += count;
}

static bool bind(recorder *r, const vk_told *told, const vk_told_range *ranges,
                 VkPipelineLayout layout) {
    VkDescriptorSet set;
    VkDescriptorSetAllocateInfo info = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
                                        .descriptorPool = r->segment->sets,
                                        .descriptorSetCount = 1,
                                        .pSetLayouts =
                                            &r->vk->pipelines.set_layouts[told->binding_count]};
    VkResult result = r->f->vkAllocateDescriptorSets(r->device, &info, &set);
    if (result != VK_SUCCESS) {
        vk_fail(r->vk, told->op, "descriptors could not be had", result);
        return false;
    }
    VkDescriptorBufferInfo buffers[VK_BINDINGS_MAX];
    VkWriteDescriptorSet writes[VK_BINDINGS_MAX];
    for (unsigned i = 0; i < told->binding_count; i++) {
        buffers[i] =
            (VkDescriptorBufferInfo){ranges[i].memory->handle, ranges[i].offset, ranges[i].bytes};
        writes[i] = (VkWriteDescriptorSet){.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
                                           .dstSet = set,
                                           .dstBinding = i,
                                           .descriptorCount = 1,
                                           .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                           .pBufferInfo = &buffers[i]};
    }
    r->f->vkUpdateDescriptorSets(r->device, told->binding_count, writes, 0, NULL);
    r->f->vkCmdBindDescriptorSets(r->segment->commands, VK_PIPELINE_BIND_POINT_COMPUTE, layout, 0,
                                  1, &set, 0, NULL);
    return true;
}

static bool dispatch(recorder *r, const vk_told *told, const vk_told_range *ranges) {
    const uint32_t *constants = (const uint32_t *)(const void *)(ranges + told->binding_count);
    const uint32_t *push = constants + told->constant_count;
    VkPipeline pipeline = vk_pipeline_get(r->vk, told->op, (vk_shader)told->shader, constants,
                                          told->constant_count, told->binding_count);
    if (!pipeline) return false;
    VkPipelineLayout layout = vk_pipeline_layout(r->vk, told->op, told->binding_count);
    VkCommandBuffer commands = r->segment->commands;
    if (!layout || !bind(r, told, ranges, layout)) return false;
    r->f->vkCmdBindPipeline(commands, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline);
    r->f->vkCmdPushConstants(commands, layout, VK_SHADER_STAGE_COMPUTE_BIT, 0,
                             4u * (VK_BINDINGS_MAX + told->push_words), push);
    r->f->vkCmdDispatch(commands, told->groups[0], told->groups[1], told->groups[2]);
    return true;
}

static void stamp(recorder *r) {
    if (!r->timed) return;
    r->f->vkCmdWriteTimestamp(r->segment->commands, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT,
                              r->segment->times, r->segment->time_count++);
}

static bool command(recorder *r, const vk_told *told) {
    const vk_told_range *ranges = (const vk_told_range *)(const void *)(told + 1);
    VkCommandBuffer commands = r->segment->commands;
    if (r->timed) barrier(r, 0, 0); /* one at a time, so that each has its own time */
    order(r, told, ranges);
    stamp(r);
    bool ok = true;
    if (told->command == VK_COMMAND_DISPATCH) {
        ok = dispatch(r, told, ranges);
    } else if (told->command == VK_COMMAND_COPY) {
        VkBufferCopy copy = {ranges[0].offset, ranges[1].offset, ranges[0].bytes};
        r->f->vkCmdCopyBuffer(commands, ranges[0].memory->handle, ranges[1].memory->handle, 1,
                              &copy);
    } else {
        r->f->vkCmdFillBuffer(commands, ranges[0].memory->handle, ranges[0].offset, ranges[0].bytes,
                              0);
    }
    stamp(r);
    return ok;
}

/* ---- what a segment needs ---- */

static VkResult make_sets(recorder *r) {
    const vk_stream *s = &r->vk->stream;
    if (!s->set_count) return VK_SUCCESS;
    VkDescriptorPoolSize size = {VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, s->binding_count};
    VkDescriptorPoolCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
                                       .maxSets = s->set_count,
                                       .poolSizeCount = 1,
                                       .pPoolSizes = &size};
    VkResult result = r->f->vkCreateDescriptorPool(r->device, &info, NULL, &r->segment->sets);
    if (result != VK_SUCCESS) r->segment->sets = VK_NULL_HANDLE;
    return result;
}

static VkResult make_times(recorder *r) {
    if (!r->timed) return VK_SUCCESS;
    VkQueryPoolCreateInfo info = {.sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO,
                                  .queryType = VK_QUERY_TYPE_TIMESTAMP,
                                  .queryCount = 2 * r->vk->stream.count};
    VkResult result = r->f->vkCreateQueryPool(r->device, &info, NULL, &r->segment->times);
    if (result != VK_SUCCESS) r->segment->times = VK_NULL_HANDLE;
    return result;
}

static VkResult make_commands(recorder *r) {
    VkCommandBufferAllocateInfo info = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                        .commandPool = r->vk->segments.pool,
                                        .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
                                        .commandBufferCount = 1};
    VkResult result = r->f->vkAllocateCommandBuffers(r->device, &info, &r->segment->commands);
    if (result != VK_SUCCESS) r->segment->commands = VK_NULL_HANDLE;
    return result;
}

static VkResult begin(recorder *r) {
    VkCommandBufferBeginInfo info = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                     .flags = VK_COMMAND_BUFFER_USAGE_SIMULTANEOUS_USE_BIT};
    VkResult result = make_sets(r);
    if (result == VK_SUCCESS) result = make_times(r);
    if (result == VK_SUCCESS) result = make_commands(r);
    if (result == VK_SUCCESS) result = r->f->vkBeginCommandBuffer(r->segment->commands, &info);
    if (result == VK_SUCCESS && r->timed)
        r->f->vkCmdResetQueryPool(r->segment->commands, r->segment->times, 0,
                                  2 * r->vk->stream.count);
    return result;
}

bool vk_segment_record(vk_backend *vk, vk_segment *segment) {
    recorder r = {.vk = vk,
                  .f = &vk->device.f,
                  .device = vk->device.handle,
                  .segment = segment,
                  .timed = vk->profiling};
    r.touched = os_alloc(vk->stream.count * VK_BINDINGS_MAX * sizeof *r.touched);
    VkResult result = r.touched ? begin(&r) : VK_ERROR_OUT_OF_HOST_MEMORY;
    bool ok = result == VK_SUCCESS;
    for (size_t at = 0; ok && at < segment->size;) {
        const vk_told *told = (const vk_told *)(const void *)(segment->words + at);
        ok = command(&r, told);
        at += told->words;
    }
    if (ok) {
        barrier(&r, VK_PIPELINE_STAGE_HOST_BIT, VK_ACCESS_HOST_READ_BIT);
        result = vk->device.f.vkEndCommandBuffer(segment->commands);
    }
    if (result != VK_SUCCESS) vk_fail(vk, "submit", "commands could not be recorded", result);
    os_free(r.touched);
    return ok && result == VK_SUCCESS;
}
