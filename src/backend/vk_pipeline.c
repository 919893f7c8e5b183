/* Pipelines, made when first used, and the driver's cache of them on disk. */
#include "backend/vk_core.h"
#include "backend/vk_shader.h"

#include "base/bytes.h"
#include "base/os.h"

#include <stdlib.h>

/* ---- the cache file: a header of ours, since drivers trust what they are given ---- */

#define CACHE_MAGIC "weftvkp1"
#define CACHE_MOST  ((size_t)256 << 20)

typedef struct cache_header {
    char magic[8];
    uint64_t size, hash; /* of what follows */
} cache_header;

static uint64_t hash_bytes(const void *data, size_t size) {
    const uint8_t *p = data;
    uint64_t h = 0xcbf29ce484222325;
    for (size_t i = 0; i < size; i++) h = (h ^ p[i]) * 0x100000001b3;
    return h;
}

/* "DIR/vulkan-VENDOR-DEVICE-DRIVER-UUID.cache"; NULL if there is no memory for it. */
static char *cache_path(const vk_backend *vk, const char *dir) {
    const VkPhysicalDeviceProperties *p = &vk->device.facts.properties;
    bytes path = {0};
    bool ok = bytes_printf(&path, "%s/vulkan-%04x-%04x-%08x-", dir, p->vendorID, p->deviceID,
                           p->driverVersion);
    for (size_t i = 0; i < VK_UUID_SIZE; i++)
        ok = ok && bytes_printf(&path, "%02x", p->pipelineCacheUUID[i]);
    ok = ok && bytes_add_text(&path, ".cache");
    if (!ok) bytes_free(&path);
    return path.data;
}

/* The driver's bytes within the file, or NULL if anything is wrong with it. */
static const void *cache_payload(const vk_backend *vk, const char *data, size_t size,
                                 size_t *payload_size) {
    cache_header header;
    VkPipelineCacheHeaderVersionOne own;
    const VkPhysicalDeviceProperties *p = &vk->device.facts.properties;
    if (size < sizeof header + sizeof own) return NULL;
    memcpy(&header, data, sizeof header);
    const char *payload = data + sizeof header;
    *payload_size = size - sizeof header;
    memcpy(&own, payload, sizeof own);
    bool good = memcmp(header.magic, CACHE_MAGIC, sizeof header.magic) == 0 &&
                header.size == *payload_size && header.hash == hash_bytes(payload, *payload_size) &&
                own.vendorID == p->vendorID && own.deviceID == p->deviceID &&
                memcmp(own.pipelineCacheUUID, p->pipelineCacheUUID, VK_UUID_SIZE) == 0;
    return good ? payload : NULL;
}

static VkResult cache_open(vk_backend *vk) {
    VkPipelineCacheCreateInfo info = {.sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO};
    char *data = NULL;
    size_t size = 0;
    const char *path = vk->pipelines.cache_path;
    if (path && os_is_file(path) && os_read_file(path, CACHE_MOST, &data, &size, NULL) == WEFT_OK)
        info.pInitialData = cache_payload(vk, data, size, &info.initialDataSize);
    if (!info.pInitialData) info.initialDataSize = 0;
    VkResult result =
        vk->device.f.vkCreatePipelineCache(vk->device.handle, &info, NULL, &vk->pipelines.cache);
    free(data);
    return result;
}

static void cache_save(vk_backend *vk) {
    vk_pipelines *p = &vk->pipelines;
    size_t size = 0;
    if (!p->cache || !p->cache_path || !p->cache_grew || vk->lost) return;
    const struct VolkDeviceTable *f = &vk->device.f;
    if (f->vkGetPipelineCacheData(vk->device.handle, p->cache, &size, NULL) != VK_SUCCESS ||
        size > CACHE_MOST - sizeof(cache_header))
        return;
    char *data = malloc(sizeof(cache_header) + size);
    if (!data) return;
    char *payload = data + sizeof(cache_header);
    if (f->vkGetPipelineCacheData(vk->device.handle, p->cache, &size, payload) == VK_SUCCESS) {
        cache_header header = {.size = size, .hash = hash_bytes(payload, size)};
        memcpy(header.magic, CACHE_MAGIC, sizeof header.magic);
        memcpy(data, &header, sizeof header);
        os_write_file(p->cache_path, data, sizeof header + size, NULL);
    }
    free(data);
}

/* ---- life ---- */

int vk_pipelines_open(vk_backend *vk, const char *cache_dir, weft_error *err) {
    vk_pipelines *p = &vk->pipelines;
    if (cache_dir && os_make_dirs(cache_dir, NULL) == WEFT_OK)
        p->cache_path = cache_path(vk, cache_dir);
    VkResult result = cache_open(vk);
    if (result == VK_SUCCESS) return WEFT_OK;
    p->cache = VK_NULL_HANDLE;
    return vk_error(vk, "the pipeline cache could not be made", result, err);
}

void vk_pipelines_close(vk_backend *vk) {
    vk_pipelines *p = &vk->pipelines;
    const struct VolkDeviceTable *f = &vk->device.f;
    VkDevice device = vk->device.handle;
    cache_save(vk);
    for (size_t i = 0; i < p->count; i++) f->vkDestroyPipeline(device, p->list[i].handle, NULL);
    for (int i = 0; i < VK_SHADER_COUNT; i++)
        if (p->modules[i]) f->vkDestroyShaderModule(device, p->modules[i], NULL);
    for (int i = 0; i <= VK_BINDINGS_MAX; i++) {
        if (p->layouts[i]) f->vkDestroyPipelineLayout(device, p->layouts[i], NULL);
        if (p->set_layouts[i]) f->vkDestroyDescriptorSetLayout(device, p->set_layouts[i], NULL);
    }
    if (p->cache) f->vkDestroyPipelineCache(device, p->cache, NULL);
    free(p->list);
    free(p->cache_path);
    *p = (vk_pipelines){0};
}

/* ---- making them ---- */

static VkResult make_layout(vk_backend *vk, uint32_t binding_count) {
    vk_pipelines *p = &vk->pipelines;
    VkDescriptorSetLayoutBinding bindings[VK_BINDINGS_MAX];
    for (uint32_t i = 0; i < binding_count; i++)
        bindings[i] = (VkDescriptorSetLayoutBinding){
            .binding = i,
            .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
            .descriptorCount = 1,
            .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT,
        };
    VkDescriptorSetLayoutCreateInfo set = {.sType =
                                               VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
                                           .bindingCount = binding_count,
                                           .pBindings = bindings};
    VkDescriptorSetLayout *set_layout = &p->set_layouts[binding_count];
    VkResult result = VK_SUCCESS;
    if (!*set_layout)
        result =
            vk->device.f.vkCreateDescriptorSetLayout(vk->device.handle, &set, NULL, set_layout);
    if (result != VK_SUCCESS) {
        *set_layout = VK_NULL_HANDLE;
        return result;
    }
    VkPushConstantRange push = {.stageFlags = VK_SHADER_STAGE_COMPUTE_BIT,
                                .size = 4 * VK_BINDINGS_MAX + VK_PUSH_MAX};
    VkPipelineLayoutCreateInfo info = {.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
                                       .setLayoutCount = 1,
                                       .pSetLayouts = set_layout,
                                       .pushConstantRangeCount = 1,
                                       .pPushConstantRanges = &push};
    result = vk->device.f.vkCreatePipelineLayout(vk->device.handle, &info, NULL,
                                                 &p->layouts[binding_count]);
    if (result != VK_SUCCESS) p->layouts[binding_count] = VK_NULL_HANDLE;
    return result;
}

VkPipelineLayout vk_pipeline_layout(vk_backend *vk, const char *op, uint32_t binding_count) {
    VkPipelineLayout *layout = &vk->pipelines.layouts[binding_count];
    if (!*layout) {
        VkResult result = make_layout(vk, binding_count);
        if (result != VK_SUCCESS) vk_fail(vk, op, "a pipeline layout could not be made", result);
    }
    return *layout;
}

static VkShaderModule get_module(vk_backend *vk, const char *op, vk_shader shader) {
    VkShaderModule *module = &vk->pipelines.modules[shader];
    if (*module) return *module;
    const vk_shader_code *code = vk_shader_find(shader);
    VkShaderModuleCreateInfo info = {.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
                                     .codeSize = code->bytes,
                                     .pCode = code->words};
    VkResult result = vk->device.f.vkCreateShaderModule(vk->device.handle, &info, NULL, module);
    if (result == VK_SUCCESS) return *module;
    *module = VK_NULL_HANDLE;
    vk_fail(vk, op, "the driver refuses a shader", result);
    return VK_NULL_HANDLE;
}

static VkPipeline make_pipeline(vk_backend *vk, const char *op, const vk_pipeline *key) {
    VkPipelineLayout layout = vk_pipeline_layout(vk, op, key->binding_count);
    VkShaderModule module = layout ? get_module(vk, op, key->shader) : VK_NULL_HANDLE;
    if (!module) return VK_NULL_HANDLE;
    VkSpecializationMapEntry entries[VK_CONSTANTS_MAX];
    for (uint32_t i = 0; i < key->constant_count; i++)
        entries[i] = (VkSpecializationMapEntry){i, 4 * i, 4};
    VkSpecializationInfo constants = {key->constant_count, entries, 4 * key->constant_count,
                                      key->constants};
    VkPipelineShaderStageRequiredSubgroupSizeCreateInfo subgroup = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO,
        .requiredSubgroupSize = vk->device.facts.subgroup_required};
    VkComputePipelineCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                  .pNext = vk->device.facts.subgroup_required ? &subgroup : NULL,
                  .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                  .module = module,
                  .pName = "main",
                  .pSpecializationInfo = &constants},
        .layout = layout};
    VkPipeline handle = VK_NULL_HANDLE;
    VkResult result = vk->device.f.vkCreateComputePipelines(vk->device.handle, vk->pipelines.cache,
                                                            1, &info, NULL, &handle);
    if (result == VK_SUCCESS) return handle;
    vk_fail(vk, op, "the driver cannot compile a shader", result);
    return VK_NULL_HANDLE;
}

static bool same_key(const vk_pipeline *a, const vk_pipeline *b) {
    return a->shader == b->shader && a->binding_count == b->binding_count &&
           a->constant_count == b->constant_count &&
           memcmp(a->constants, b->constants, 4 * a->constant_count) == 0;
}

VkPipeline vk_pipeline_get(vk_backend *vk, const char *op, vk_shader shader,
                           const uint32_t *constants, uint32_t constant_count,
                           uint32_t binding_count) {
    vk_pipelines *p = &vk->pipelines;
    vk_pipeline key = {
        .shader = shader, .constant_count = constant_count, .binding_count = binding_count};
    if (constant_count) memcpy(key.constants, constants, 4 * constant_count);
    for (size_t i = 0; i < p->count; i++)
        if (same_key(&p->list[i], &key)) return p->list[i].handle;
    if (p->count == p->capacity) {
        size_t capacity = p->capacity ? 2 * p->capacity : 64;
        vk_pipeline *list = realloc(p->list, capacity * sizeof *list);
        if (!list) {
            backend_fail(&vk->base, op, WEFT_ERR_MEMORY, "out of memory for pipelines");
            return VK_NULL_HANDLE;
        }
        p->list = list;
        p->capacity = capacity;
    }
    key.handle = make_pipeline(vk, op, &key);
    if (!key.handle) return VK_NULL_HANDLE;
    p->list[p->count++] = key;
    p->cache_grew = true;
    return key.handle;
}
