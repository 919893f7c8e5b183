/* One Vulkan device: what it can do, and its opening and closing. Below the backend: no buffers, no
 * recording. */
#ifndef WEFT_BACKEND_VK_DEVICE_H
#define WEFT_BACKEND_VK_DEVICE_H

#include "backend/vk_coop.h"

#include <pthread.h>

/* Every feature that a shader may need, chained as the driver wants them. After vk_facts_read it
 * holds what the device has; the same chain then enables it all. */
typedef struct vk_features {
    VkPhysicalDeviceFeatures2 core;
    VkPhysicalDevice16BitStorageFeatures storage16;
    VkPhysicalDevice8BitStorageFeatures storage8;
    VkPhysicalDeviceShaderFloat16Int8Features small;
    VkPhysicalDeviceVulkanMemoryModelFeatures memory_model;
    VkPhysicalDeviceShaderIntegerDotProductFeatures dot;
    VkPhysicalDeviceSubgroupSizeControlFeatures subgroup;
    VkPhysicalDeviceCooperativeMatrixFeaturesKHR coop;
} vk_features;

#define VK_EXTENSIONS_MAX 16

/* What is known of a physical device before it is opened. */
typedef struct vk_facts {
    VkPhysicalDevice physical;
    vk_device_info info;
    vk_limits limits; /* at the best tier */
    VkPhysicalDeviceProperties properties;
    VkPhysicalDeviceMemoryProperties memory;
    vk_features features;
    const char *extensions[VK_EXTENSIONS_MAX]; /* to enable */
    uint32_t extension_count;
    uint32_t family;            /* of the queue */
    uint32_t timestamp_bits;    /* of that family; 0: none */
    uint32_t subgroup_required; /* size to ask for; 0: the driver's own */
    bool budget;                /* VK_EXT_memory_budget */
} vk_facts;

/* The functions of an instance, from the loader. */
typedef struct vk_instance {
    VkInstance handle;
    VkDebugUtilsMessengerEXT messenger;
    PFN_vkDestroyDebugUtilsMessengerEXT messenger_destroy;
    uint32_t api; /* at most this version is asked of devices */
    pthread_mutex_t lock;
    char complaint[480]; /* the validation layer's first; guarded by lock */
} vk_instance;

/* Fails with WEFT_ERR_UNSUPPORTED where there is no loader or no driver. The address of *instance
 * must stay: the validation layer keeps it. */
int vk_instance_open(bool validate, vk_instance *instance, weft_error *err);
void vk_instance_close(vk_instance *instance); /* of zeros: allowed */

void vk_facts_read(const vk_instance *instance, VkPhysicalDevice physical, vk_facts *facts);
/* The facts of all devices, at most VK_DEVICES_MAX; *best as vk_devices_list. Free list. */
int vk_facts_list(const vk_instance *instance, vk_facts **list, int *count, int *best,
                  weft_error *err);
/* What this process may still allocate of the device's own memory; 0 if the driver does not say. */
uint64_t vk_facts_free_bytes(const vk_facts *facts);

typedef struct vk_device {
    vk_instance instance;
    vk_facts facts;
    vk_limits limits; /* in use */
    VkDevice handle;
    VkQueue queue;
    struct VolkDeviceTable f;
} vk_device;

int vk_device_open(const vk_options *options, vk_device *device, weft_error *err);
void vk_device_close(vk_device *device); /* partly opened or of zeros: allowed */

const char *vk_result_text(VkResult result);

#endif
