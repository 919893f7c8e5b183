/* Choosing and opening a device. */
#include "backend/vk_device.h"

#include "base/os.h"

#define MAX_BUFFER_LEAST (1u << 20)

/* The features' chain holds addresses of itself: it is made anew, not copied. */
static int choose(const vk_options *options, vk_device *device, weft_error *err) {
    vk_facts *list;
    int count, best, rc = WEFT_OK;
    TRY(vk_facts_list(&device->instance, &list, &count, &best, err));
    int chosen = options->device < 0 ? best : options->device;
    if (options->device >= count)
        rc = err_set(err, WEFT_ERR_ARGUMENT, "there is no gpu %d: %d are there (weft devices)",
                     options->device, count);
    else if (chosen < 0)
        rc =
            err_set(err, WEFT_ERR_UNSUPPORTED,
                    count ? "no Vulkan device can be used (weft devices says why): use the cpu"
                          : "no Vulkan device was found: install the GPU's driver, or use the cpu");
    else if (list[chosen].info.unusable)
        rc = err_set(err, WEFT_ERR_UNSUPPORTED, "%s cannot be used: %s", list[chosen].info.name,
                     list[chosen].info.unusable);
    else
        vk_facts_read(&device->instance, list[chosen].physical, &device->facts);
    os_free(list);
    return rc;
}

static int apply(const vk_options *options, vk_device *device, weft_error *err) {
    device->limits = device->facts.limits;
    vk_limits *l = &device->limits;
    if (options->tier_max < l->tier) l->tier = options->tier_max;
    if (options->max_buffer && options->max_buffer < MAX_BUFFER_LEAST)
        return err_set(err, WEFT_ERR_ARGUMENT,
                       "--max-buffer of %llu bytes is too small: at least 1M",
                       (unsigned long long)options->max_buffer);
    if (options->max_buffer && options->max_buffer < l->window_bytes)
        l->window_bytes = options->max_buffer;
    if (options->staged) l->coherent = false;
    return WEFT_OK;
}

static int create(vk_device *device, weft_error *err) {
    const vk_facts *facts = &device->facts;
    const float priority = 1;
    VkDeviceQueueCreateInfo queue = {.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                     .queueFamilyIndex = facts->family,
                                     .queueCount = 1,
                                     .pQueuePriorities = &priority};
    VkDeviceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                               .pNext = &facts->features.core,
                               .queueCreateInfoCount = 1,
                               .pQueueCreateInfos = &queue,
                               .enabledExtensionCount = facts->extension_count,
                               .ppEnabledExtensionNames = facts->extensions};
    VkResult result = vkCreateDevice(facts->physical, &info, NULL, &device->handle);
    if (result != VK_SUCCESS) {
        device->handle = VK_NULL_HANDLE;
        return err_set(err, WEFT_ERR_DEVICE, "%s could not be opened (%s)", facts->info.name,
                       vk_result_text(result));
    }
    volkLoadDeviceTable(&device->f, device->handle);
    device->f.vkGetDeviceQueue(device->handle, facts->family, 0, &device->queue);
    return WEFT_OK;
}

int vk_device_open(const vk_options *options, vk_device *device, weft_error *err) {
    int rc;
    TRY_OR(vk_instance_open(options->validate, &device->instance, err), fail);
    TRY_OR(choose(options, device, err), fail);
    TRY_OR(apply(options, device, err), fail);
    TRY_OR(create(device, err), fail);
    return WEFT_OK;
fail:
    vk_device_close(device);
    return rc;
}

void vk_device_close(vk_device *device) {
    if (device->handle) device->f.vkDestroyDevice(device->handle, NULL);
    device->handle = VK_NULL_HANDLE;
    vk_instance_close(&device->instance);
}

const char *vk_tier_name(vk_tier tier) {
    switch (tier) {
    case VK_TIER_PLAIN:
        return "plain";
    case VK_TIER_DOT:
        return "dot products";
    case VK_TIER_COOP:
        return "cooperative matrices";
    }
    return "unknown";
}

int vk_devices_list(vk_device_info list[VK_DEVICES_MAX], int *count, int *best, weft_error *err) {
    vk_instance instance;
    vk_facts *facts = NULL;
    *count = 0;
    *best = -1;
    weft_error reason;
    int rc = vk_instance_open(false, &instance, &reason);
    if (rc == WEFT_ERR_UNSUPPORTED) return WEFT_OK; /* no loader, no driver */
    if (rc) {
        if (err) *err = reason;
        return rc;
    }
    rc = vk_facts_list(&instance, &facts, count, best, err);
    for (int i = 0; i < *count && !rc; i++) list[i] = facts[i].info;
    os_free(facts);
    vk_instance_close(&instance);
    return rc;
}
