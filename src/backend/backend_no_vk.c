/* Stands in for the Vulkan backend where the library is built without it. */
#include "backend/backend_vk.h"

int backend_create_vk(const vk_options *options, backend **out, weft_error *err) {
    (void)options;
    *out = NULL;
    return err_set(err, WEFT_ERR_UNSUPPORTED,
                   "this weft was built without Vulkan: use the cpu, or build it with WEFT_VULKAN");
}

int vk_devices_list(vk_device_info list[VK_DEVICES_MAX], int *count, int *best, weft_error *err) {
    (void)list, (void)err;
    *count = 0;
    *best = -1;
    return WEFT_OK;
}

const char *vk_tier_name(vk_tier tier) {
    (void)tier;
    return "none";
}

const vk_device_info *backend_vk_info(const backend *be) {
    (void)be;
    return NULL;
}

int backend_vk_peak(backend *be, vk_peak *out, weft_error *err) {
    (void)be, (void)out;
    return err_set(err, WEFT_ERR_UNSUPPORTED, "this weft was built without Vulkan");
}

const vk_profile_entry *vk_profile_read(const backend *be, int *count) {
    (void)be;
    *count = 0;
    return NULL;
}

void vk_profile_clear(backend *be) {
    (void)be;
}
