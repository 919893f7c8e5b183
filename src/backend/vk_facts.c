/* What a physical device is and can do: features, limits, tier, memory. */
#include "backend/vk_device.h"

#include "base/os.h"

#include <stdio.h>

#define DEVICE_EXTENSIONS_MAX 1024
#define SHAPES_MAX            256
#define FAMILIES_MAX          32
/* The least that shaders rely on; every known driver has more. */
#define INVOCATIONS_LEAST 128
#define SHARED_LEAST      16384
#define BINDINGS_LEAST    VK_BINDINGS_MAX
#define PUSH_LEAST        128
/* Subgroups of this size where a driver lets us choose: what most hardware is built for. */
#define SUBGROUP_WANTED 32

typedef struct extension_list {
    VkExtensionProperties *items;
    uint32_t count;
} extension_list;

static bool listed(const extension_list *list, const char *name) {
    for (uint32_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i].extensionName, name) == 0) return true;
    return false;
}

/* ---- features ---- */

typedef struct feature_source {
    const char *extension;
    uint32_t core_since; /* API version; UINT32_MAX: never */
    void *link;          /* its structure in the chain; NULL: no features */
    VkStructureType type;
} feature_source;

typedef struct feature_header { /* what all structures of a chain begin with */
    VkStructureType type;
    void *next;
} feature_header;

static void chain(vk_features *f, void *link, VkStructureType type) {
    feature_header *header = link;
    header->type = type;
    header->next = f->core.pNext;
    f->core.pNext = header;
}

/* Chains what the device knows and names the extensions to enable. */
static void chain_features(vk_facts *facts, const extension_list *list) {
    vk_features *f = &facts->features;
    const feature_source sources[] = {
        {VK_KHR_8BIT_STORAGE_EXTENSION_NAME, VK_API_VERSION_1_2, &f->storage8,
         VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_8BIT_STORAGE_FEATURES},
        {VK_KHR_SHADER_FLOAT16_INT8_EXTENSION_NAME, VK_API_VERSION_1_2, &f->small,
         VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES},
        {VK_KHR_VULKAN_MEMORY_MODEL_EXTENSION_NAME, VK_API_VERSION_1_2, &f->memory_model,
         VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_MEMORY_MODEL_FEATURES},
        {VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME, VK_API_VERSION_1_3, &f->dot,
         VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES},
        {VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME, VK_API_VERSION_1_3, &f->subgroup,
         VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES},
        {VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME, UINT32_MAX, &f->coop,
         VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR},
        {VK_KHR_DRIVER_PROPERTIES_EXTENSION_NAME, VK_API_VERSION_1_2, NULL, 0},
        {VK_EXT_MEMORY_BUDGET_EXTENSION_NAME, UINT32_MAX, NULL, 0},
        {"VK_KHR_portability_subset", UINT32_MAX, NULL, 0},
    };
    f->core.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2;
    chain(f, &f->storage16, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES);
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        const feature_source *s = &sources[i];
        bool has = listed(list, s->extension);
        if (has) facts->extensions[facts->extension_count++] = s->extension;
        if (s->link && (has || facts->properties.apiVersion >= s->core_since))
            chain(f, s->link, s->type);
    }
}

static void read_features(vk_facts *facts) {
    vk_features *f = &facts->features;
    vkGetPhysicalDeviceFeatures2(facts->physical, &f->core);
    VkBool32 int16 = f->core.features.shaderInt16;
    f->core.features = (VkPhysicalDeviceFeatures){.shaderInt16 = int16};
    f->coop.cooperativeMatrixRobustBufferAccess = VK_FALSE;
}

/* ---- matrices ---- */

static uint32_t shape_rank(const VkCooperativeMatrixPropertiesKHR *p) {
    uint32_t volume = p->MSize * p->NSize * p->KSize;
    return p->MSize == 16 && p->NSize == 16 ? volume + (1u << 30) : volume;
}

/* Of the shapes with these types in a subgroup takes 16 x 16 if there is one, else the largest. */
static void take_shape(vk_limits *limits, int kind, const VkCooperativeMatrixPropertiesKHR *list,
                       uint32_t count, VkComponentTypeKHR in, VkComponentTypeKHR out) {
    uint32_t best = 0;
    for (uint32_t i = 0; i < count; i++) {
        const VkCooperativeMatrixPropertiesKHR *p = &list[i];
        if (p->AType != in || p->BType != in || p->CType != out || p->ResultType != out ||
            p->saturatingAccumulation || p->scope != VK_SCOPE_SUBGROUP_KHR || shape_rank(p) <= best)
            continue;
        best = shape_rank(p);
        limits->coop_m[kind] = p->MSize;
        limits->coop_n[kind] = p->NSize;
        limits->coop_k[kind] = p->KSize;
    }
}

static void read_shapes(const vk_instance *instance, vk_facts *facts) {
    PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR get =
        (PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR)vkGetInstanceProcAddr(
            instance->handle, "vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR");
    VkCooperativeMatrixPropertiesKHR *list = os_alloc(SHAPES_MAX * sizeof *list);
    uint32_t count = SHAPES_MAX;
    if (!get || !list || !facts->features.coop.cooperativeMatrix) {
        os_free(list);
        return;
    }
    for (uint32_t i = 0; i < count; i++)
        list[i].sType = VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_PROPERTIES_KHR;
    if (get(facts->physical, &count, list) < 0) count = 0;
    take_shape(&facts->limits, 0, list, count, VK_COMPONENT_TYPE_SINT8_KHR,
               VK_COMPONENT_TYPE_SINT32_KHR);
    take_shape(&facts->limits, 1, list, count, VK_COMPONENT_TYPE_FLOAT16_KHR,
               VK_COMPONENT_TYPE_FLOAT32_KHR);
    os_free(list);
}

static vk_tier best_tier(const vk_facts *facts) {
    const vk_features *f = &facts->features;
    const vk_limits *l = &facts->limits;
    if (!f->dot.shaderIntegerDotProduct) return VK_TIER_PLAIN;
    bool coop = facts->properties.apiVersion >= VK_API_VERSION_1_3 && l->coop_m[0] &&
                l->coop_m[1] && f->small.shaderFloat16 && f->small.shaderInt8 &&
                f->storage8.storageBuffer8BitAccess && f->storage16.storageBuffer16BitAccess &&
                f->memory_model.vulkanMemoryModel && l->subgroup_arithmetic;
    return coop ? VK_TIER_COOP : VK_TIER_DOT;
}

/* ---- limits ---- */

static void read_subgroups(vk_facts *facts) {
    VkPhysicalDeviceSubgroupSizeControlProperties sizes = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES};
    VkPhysicalDeviceSubgroupProperties subgroup = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES,
        .pNext = facts->features.subgroup.subgroupSizeControl ? &sizes : NULL};
    VkPhysicalDeviceProperties2 p = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2,
                                     .pNext = &subgroup};
    vkGetPhysicalDeviceProperties2(facts->physical, &p);
    const VkSubgroupFeatureFlags wanted =
        VK_SUBGROUP_FEATURE_BASIC_BIT | VK_SUBGROUP_FEATURE_ARITHMETIC_BIT;
    vk_limits *l = &facts->limits;
    l->subgroup_size = subgroup.subgroupSize;
    l->subgroup_arithmetic = (subgroup.supportedStages & VK_SHADER_STAGE_COMPUTE_BIT) &&
                             (subgroup.supportedOperations & wanted) == wanted;
    if ((sizes.requiredSubgroupSizeStages & VK_SHADER_STAGE_COMPUTE_BIT) &&
        sizes.minSubgroupSize <= SUBGROUP_WANTED && SUBGROUP_WANTED <= sizes.maxSubgroupSize)
        l->subgroup_size = facts->subgroup_required = SUBGROUP_WANTED;
}

static uint64_t smaller(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

static void read_limits(vk_facts *facts) {
    const VkPhysicalDeviceLimits *d = &facts->properties.limits;
    VkPhysicalDeviceMaintenance3Properties most = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES};
    VkPhysicalDeviceMaintenance4Properties buffers = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_4_PROPERTIES,
        .maxBufferSize = UINT64_MAX};
    if (facts->properties.apiVersion >= VK_API_VERSION_1_3) most.pNext = &buffers;
    VkPhysicalDeviceProperties2 p = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2,
                                     .pNext = &most};
    vkGetPhysicalDeviceProperties2(facts->physical, &p);
    vk_limits *l = &facts->limits;
    l->window_bytes = d->maxStorageBufferRange;
    l->allocation_bytes = smaller(most.maxMemoryAllocationSize, buffers.maxBufferSize);
    l->allocation_bytes = smaller(l->allocation_bytes, facts->info.memory_bytes);
    uint64_t alignment = d->minStorageBufferOffsetAlignment;
    l->offset_alignment = alignment < 16 ? 16 : (uint32_t)alignment;
    l->shared_bytes = d->maxComputeSharedMemorySize;
    l->invocations =
        (uint32_t)smaller(d->maxComputeWorkGroupInvocations, d->maxComputeWorkGroupSize[0]);
    l->groups_max = d->maxComputeWorkGroupCount[0];
    read_subgroups(facts);
}

/* ---- memory ---- */

static uint32_t largest_heap(const vk_facts *facts) {
    uint32_t best = UINT32_MAX;
    for (uint32_t i = 0; i < facts->memory.memoryHeapCount; i++) {
        const VkMemoryHeap *h = &facts->memory.memoryHeaps[i];
        if ((h->flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT) &&
            (best == UINT32_MAX || h->size > facts->memory.memoryHeaps[best].size))
            best = i;
    }
    return best;
}

uint64_t vk_facts_free_bytes(const vk_facts *facts) {
    uint32_t heap = largest_heap(facts);
    if (!facts->budget || heap == UINT32_MAX) return 0;
    VkPhysicalDeviceMemoryBudgetPropertiesEXT budget = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT};
    VkPhysicalDeviceMemoryProperties2 p = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2, .pNext = &budget};
    vkGetPhysicalDeviceMemoryProperties2(facts->physical, &p);
    uint64_t all = budget.heapBudget[heap], used = budget.heapUsage[heap];
    return all > used ? all - used : 1;
}

/* Is all of the device's memory the host's too? */
static bool is_coherent(const vk_facts *facts) {
    const VkMemoryPropertyFlags wanted = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT |
                                         VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT |
                                         VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
    VkPhysicalDeviceType type = facts->properties.deviceType;
    if (type != VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU && type != VK_PHYSICAL_DEVICE_TYPE_CPU)
        return false;
    for (uint32_t i = 0; i < facts->memory.memoryTypeCount; i++)
        if ((facts->memory.memoryTypes[i].propertyFlags & wanted) == wanted &&
            facts->memory.memoryTypes[i].heapIndex == largest_heap(facts))
            return true;
    return false;
}

static void read_memory(vk_facts *facts) {
    vkGetPhysicalDeviceMemoryProperties(facts->physical, &facts->memory);
    uint32_t heap = largest_heap(facts);
    facts->info.memory_bytes =
        heap == UINT32_MAX ? 0 : (uint64_t)facts->memory.memoryHeaps[heap].size;
    facts->limits.coherent = is_coherent(facts);
}

/* ---- the whole ---- */

static const char *type_name(VkPhysicalDeviceType type) {
    switch (type) {
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU:
        return "integrated";
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU:
        return "discrete";
    case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU:
        return "virtual";
    case VK_PHYSICAL_DEVICE_TYPE_CPU:
        return "software";
    default:
        return "other";
    }
}

/* A compute family, one without graphics if there is one: it is free of the desktop's work. */
static bool find_family(vk_facts *facts) {
    VkQueueFamilyProperties list[FAMILIES_MAX];
    uint32_t count = 0; /* asked for first: not every driver lowers it */
    vkGetPhysicalDeviceQueueFamilyProperties(facts->physical, &count, NULL);
    if (count > FAMILIES_MAX) count = FAMILIES_MAX;
    vkGetPhysicalDeviceQueueFamilyProperties(facts->physical, &count, list);
    bool found = false;
    for (uint32_t i = count; i-- > 0;) {
        bool graphics = list[i].queueFlags & VK_QUEUE_GRAPHICS_BIT;
        if (!(list[i].queueFlags & VK_QUEUE_COMPUTE_BIT) || (found && graphics)) continue;
        facts->family = i;
        facts->timestamp_bits = list[i].timestampValidBits;
        found = true;
    }
    return found;
}

static const char *unusable(const vk_facts *facts, bool has_family) {
    const VkPhysicalDeviceLimits *l = &facts->properties.limits;
    if (facts->properties.apiVersion < VK_API_VERSION_1_1) return "it is older than Vulkan 1.1";
    if (!has_family) return "it has no compute queue";
    if (!facts->info.memory_bytes) return "it has no memory of its own";
    if (l->maxComputeWorkGroupInvocations < INVOCATIONS_LEAST ||
        l->maxComputeWorkGroupSize[0] < INVOCATIONS_LEAST)
        return "its work groups are smaller than 128";
    if (l->maxComputeSharedMemorySize < SHARED_LEAST)
        return "it has less than 16 KiB shared memory";
    if (l->maxPerStageDescriptorStorageBuffers < BINDINGS_LEAST)
        return "its shaders see fewer than 8 buffers";
    if (l->maxPushConstantsSize < PUSH_LEAST) return "it has less than 128 bytes push constants";
    if (l->minStorageBufferOffsetAlignment > 256) return "its buffers are aligned above 256 bytes";
    return NULL;
}

static void read_driver(vk_facts *facts, const extension_list *list) {
    VkPhysicalDeviceDriverProperties driver = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES};
    VkPhysicalDeviceProperties2 p = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2,
                                     .pNext = &driver};
    uint32_t version = facts->properties.driverVersion;
    if (facts->properties.apiVersion >= VK_API_VERSION_1_2 ||
        listed(list, VK_KHR_DRIVER_PROPERTIES_EXTENSION_NAME))
        vkGetPhysicalDeviceProperties2(facts->physical, &p);
    if (driver.driverName[0])
        snprintf(facts->info.driver, sizeof facts->info.driver, "%.100s %.100s", driver.driverName,
                 driver.driverInfo);
    else
        snprintf(facts->info.driver, sizeof facts->info.driver, "version %u", version);
}

static void fill_info(vk_facts *facts) {
    vk_device_info *info = &facts->info;
    const vk_limits *l = &facts->limits;
    info->tier = l->tier;
    info->budget_bytes = vk_facts_free_bytes(facts);
    info->window_bytes = l->window_bytes;
    info->allocation_bytes = l->allocation_bytes;
    info->shared_bytes = l->shared_bytes;
    info->invocations = l->invocations;
    info->subgroup_size = l->subgroup_size;
    info->coherent = l->coherent;
}

void vk_facts_read(const vk_instance *instance, VkPhysicalDevice physical, vk_facts *facts) {
    *facts = (vk_facts){.physical = physical};
    vkGetPhysicalDeviceProperties(physical, &facts->properties);
    uint32_t api = facts->properties.apiVersion;
    snprintf(facts->info.name, sizeof facts->info.name, "%s", facts->properties.deviceName);
    facts->info.type = type_name(facts->properties.deviceType);
    facts->info.api_version[0] = VK_API_VERSION_MAJOR(api);
    facts->info.api_version[1] = VK_API_VERSION_MINOR(api);
    facts->info.api_version[2] = VK_API_VERSION_PATCH(api);
    if (api > instance->api) facts->properties.apiVersion = instance->api;
    bool has_family = find_family(facts);
    read_memory(facts);
    facts->info.unusable = unusable(facts, has_family);
    extension_list list = {os_alloc(DEVICE_EXTENSIONS_MAX * sizeof *list.items),
                           DEVICE_EXTENSIONS_MAX};
    if (!list.items) facts->info.unusable = "the host is out of memory";
    if (!facts->info.unusable) {
        if (vkEnumerateDeviceExtensionProperties(physical, NULL, &list.count, list.items) < 0)
            list.count = 0;
        facts->budget = listed(&list, VK_EXT_MEMORY_BUDGET_EXTENSION_NAME);
        read_driver(facts, &list);
        chain_features(facts, &list);
        read_features(facts);
        read_limits(facts);
        read_shapes(instance, facts);
        facts->limits.tier = best_tier(facts);
        fill_info(facts);
    }
    os_free(list.items);
}

/* Discrete before virtual before integrated before software; then the larger memory. */
static bool better(const vk_facts *a, const vk_facts *b) {
    static const char order[] = {
        [VK_PHYSICAL_DEVICE_TYPE_OTHER] = 1,          [VK_PHYSICAL_DEVICE_TYPE_CPU] = 0,
        [VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU] = 2, [VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU] = 3,
        [VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU] = 4,
    };
    char rank_a = order[a->properties.deviceType], rank_b = order[b->properties.deviceType];
    if (rank_a != rank_b) return rank_a > rank_b;
    return a->info.memory_bytes > b->info.memory_bytes;
}

int vk_facts_list(const vk_instance *instance, vk_facts **list, int *count, int *best,
                  weft_error *err) {
    VkPhysicalDevice devices[VK_DEVICES_MAX];
    uint32_t found = VK_DEVICES_MAX;
    *list = NULL;
    *count = 0;
    *best = -1;
    VkResult result = vkEnumeratePhysicalDevices(instance->handle, &found, devices);
    if (result < 0)
        return err_set(err, WEFT_ERR_DEVICE, "the Vulkan devices could not be listed (%s)",
                       vk_result_text(result));
    *list = os_alloc(VK_DEVICES_MAX * sizeof **list);
    if (!*list) return err_set(err, WEFT_ERR_MEMORY, "out of memory for the list of devices");
    *count = (int)found;
    for (int i = 0; i < *count; i++) {
        vk_facts *facts = *list + i;
        vk_facts_read(instance, devices[i], facts);
        if (!facts->info.unusable && (*best < 0 || better(facts, *list + *best))) *best = i;
    }
    return WEFT_OK;
}
