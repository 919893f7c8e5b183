/* The Vulkan backend as the layers above see it: its options, the devices there are, and its
 * profile. A library built without Vulkan has the same functions; they say so. */
#ifndef WEFT_BACKEND_BACKEND_VK_H
#define WEFT_BACKEND_BACKEND_VK_H

#include "backend/backend.h"

/* What is multiplied with; each tier includes the ones before it. */
typedef enum vk_tier {
    VK_TIER_PLAIN, /* Vulkan 1.1, storage buffers */
    VK_TIER_DOT,   /* packed int8 dot products */
    VK_TIER_COOP,  /* cooperative matrices: int8 x int8 -> int32 and f16 x f16 -> float32 */
    VK_TIER_BEST = VK_TIER_COOP
} vk_tier;

typedef struct vk_options {
    int device;          /* as vk_devices_list counts them; -1: the best */
    vk_tier tier_max;    /* use no more than this */
    uint64_t max_buffer; /* largest binding in bytes, at least 1 MiB; 0: what the device allows */
    bool staged;         /* copy to and from memory of the host even where it is the device's */
    bool validate;       /* fail on what the validation layer says; an error where there is none */
    bool profile;        /* measure each dispatch: vk_profile_read */
    const char *cache_dir; /* where compiled pipelines are kept; NULL: nowhere */
} vk_options;

/* options NULL: the best device, everything it can. WEFT_ERR_UNSUPPORTED: built without Vulkan, no
 * driver, or the device lacks something that is needed; WEFT_ERR_ARGUMENT: no such device;
 * WEFT_ERR_DEVICE: the driver failed. */
int backend_create_vk(const vk_options *options, backend **out, weft_error *err);

typedef struct vk_device_info {
    char name[256], driver[256];
    const char *type; /* "discrete", "integrated", "virtual", "software" or "other" */
    uint32_t api_version[3];
    const char *unusable;  /* NULL, or why this device cannot be used */
    vk_tier tier;          /* the best it can */
    uint64_t memory_bytes; /* of the largest heap that is the device's own */
    uint64_t budget_bytes; /* of it, what this process may use now; 0: the driver does not say */
    uint64_t window_bytes; /* largest storage buffer binding */
    uint64_t allocation_bytes;          /* largest buffer */
    uint32_t shared_bytes, invocations; /* of a work group */
    uint32_t subgroup_size;
    bool coherent; /* its memory is the host's */
} vk_device_info;

#define VK_DEVICES_MAX 16

/* The devices there are, in the order of their drivers; *best is the place of the one that -1
 * takes, -1 if none can be used. No driver is not an error: *count is 0. */
int vk_devices_list(vk_device_info list[VK_DEVICES_MAX], int *count, int *best, weft_error *err);

const char *vk_tier_name(vk_tier tier); /* "plain", "dot products", "cooperative matrices" */

/* The device of a Vulkan backend. */
const vk_device_info *backend_vk_info(const backend *be);

/* What the device can do at most, measured now (about a second): the ceilings that speeds are
 * compared with. half: products of half precision with float32 sums, or float32 where there are
 * none. Texts are static. */
typedef struct vk_peak {
    double read_bytes_per_s, int8_ops_per_s, half_ops_per_s, f32_ops_per_s;
    const char *int8_name, *half_name;
} vk_peak;
int backend_vk_peak(backend *be, vk_peak *out, weft_error *err);

/* Sums over dispatches since creation or the last vk_profile_clear, by operation and shader. */
typedef struct vk_profile_entry {
    const char *op, *shader;
    uint64_t calls, ns;
    double operations, bytes;
} vk_profile_entry;

/* Borrowed until the next operation; NULL and 0 without options.profile. */
const vk_profile_entry *vk_profile_read(const backend *be, int *count);
void vk_profile_clear(backend *be);

#endif
