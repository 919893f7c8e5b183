/* The Vulkan backend's own parts: memory, pipelines, the stream of commands and its segments. */
#ifndef WEFT_BACKEND_VK_CORE_H
#define WEFT_BACKEND_VK_CORE_H

#include "backend/vk_device.h"

/* ---- memory (vk_memory.c) ---- */

typedef struct vk_memory {
    VkBuffer handle;
    VkDeviceMemory memory;
    VkDeviceSize size; /* at least what was asked for, a multiple of VK_MEMORY_UNIT */
    uint8_t *mapped;   /* NULL: the host does not see it */
} vk_memory;

#define VK_MEMORY_UNIT 256 /* windows are rounded to words and to offset_alignment within it */

typedef enum vk_place { VK_PLACE_DEVICE, VK_PLACE_UPLOAD, VK_PLACE_READ } vk_place;

int vk_memory_create(vk_backend *vk, vk_place place, uint64_t bytes, const char *name,
                     vk_memory *memory, weft_error *err);
void vk_memory_destroy(vk_backend *vk, vk_memory *memory); /* of zeros: allowed */

static inline vk_memory *vk_memory_of(const buffer *b) {
    return b->memory;
}

/* Where the host may put bytes [offset, offset + bytes) of memory, in the order of the calls:
 * filled in before anything else is called. bytes at most VK_STAGE_BYTES. NULL after failing the
 * backend.
 */
#define VK_STAGE_BYTES ((size_t)4 << 20)
uint8_t *vk_stage(vk_backend *vk, const char *op, vk_memory *memory, size_t offset, size_t bytes);

int vk_buffer_create(backend *be, buffer *b, weft_error *err);
void vk_buffer_free(backend *be, buffer *b);
void vk_write(backend *be, view to, const void *data, size_t bytes);
void vk_read(backend *be, view from, void *data, size_t bytes);

/* ---- weights (vk_weight.c) ---- */

int vk_ternary_weight_create(backend *be, ternary_weight *w, weft_error *err);
void vk_ternary_weight_free(backend *be, ternary_weight *w);
int vk_dense_weight_create(backend *be, dense_weight *w, weft_error *err);
void vk_dense_weight_free(backend *be, dense_weight *w);

/* ---- pipelines (vk_pipeline.c) ---- */

typedef struct vk_pipeline {
    vk_shader shader;
    uint32_t binding_count, constant_count;
    uint32_t constants[VK_CONSTANTS_MAX];
    VkPipeline handle;
} vk_pipeline;

typedef struct vk_pipelines {
    vk_pipeline *list;
    size_t count, capacity;
    VkShaderModule modules[VK_SHADER_COUNT];
    VkDescriptorSetLayout set_layouts[VK_BINDINGS_MAX + 1]; /* by number of bindings */
    VkPipelineLayout layouts[VK_BINDINGS_MAX + 1];
    VkPipelineCache cache;
    char *cache_path; /* NULL: not kept */
    bool cache_grew;
} vk_pipelines;

int vk_pipelines_open(vk_backend *vk, const char *cache_dir, weft_error *err);
void vk_pipelines_close(vk_backend *vk); /* writes the cache; failing to is no error */
/* VK_NULL_HANDLE after failing the backend with op. */
VkPipeline vk_pipeline_get(vk_backend *vk, const char *op, vk_shader shader,
                           const uint32_t *constants, uint32_t constant_count,
                           uint32_t binding_count);
VkPipelineLayout vk_pipeline_layout(vk_backend *vk, const char *op, uint32_t binding_count);

/* ---- the stream and its segments (vk_record.c, vk_segment.c) ---- */

typedef enum vk_command { VK_COMMAND_DISPATCH, VK_COMMAND_COPY, VK_COMMAND_FILL } vk_command;

/* Commands in one segment, at most. */
#define VK_SEGMENT_COMMANDS 256

/* Commands as they are told, one after another in words: a segment is known again by them. Every
 * struct is whole words without gaps. */
typedef struct vk_told_range {
    const vk_memory *memory;
    uint64_t offset, bytes;
} vk_told_range;

typedef struct vk_told {
    uint8_t command, binding_count, constant_count, push_words;
    uint16_t shader, access; /* two bits a binding */
    uint32_t groups[3];
    uint32_t words; /* of all that belongs to this command, this header included */
    const char *op;
    double operations, bytes;
    /* binding_count ranges, constant_count words, VK_BINDINGS_MAX bases and push_words words */
} vk_told;
_Static_assert(sizeof(vk_told) % 8 == 0 && sizeof(vk_told_range) % 8 == 0, "whole words");

typedef struct vk_segment {
    uint64_t *words;         /* of the stream */
    size_t size;             /* in words of 8 bytes */
    uint64_t hash, used;     /* used: the turn in which it was last submitted */
    struct vk_segment *next; /* what followed it last time */
    VkCommandBuffer commands;
    VkDescriptorPool sets;
    VkQueryPool times; /* of its dispatches: only where they are measured */
    uint32_t time_count;
} vk_segment;

typedef struct vk_stream {
    uint64_t *words;
    size_t size, capacity;
    uint32_t count;                    /* commands */
    uint32_t set_count, binding_count; /* descriptor sets and descriptors that it takes */
    uint32_t segments;                 /* closed since the last wait */
} vk_stream;

typedef struct vk_segments {
    vk_segment **list;
    size_t count, capacity;
    vk_segment *last; /* submitted */
    uint64_t turn;    /* waits so far */
    VkCommandPool pool;
    VkFence fence;
    bool pending; /* something was submitted and not waited for */
} vk_segments;

int vk_segments_open(vk_backend *vk, weft_error *err);
void vk_segments_close(vk_backend *vk);
/* Submit what the stream tells and empty it. */
void vk_segment_close(vk_backend *vk);
void vk_segments_wait(vk_backend *vk);   /* closes, then waits until all is done */
void vk_segments_forget(vk_backend *vk); /* nothing may be pending */
/* Command buffer of a fresh segment (vk_commands.c). False after failing the backend. */
bool vk_segment_record(vk_backend *vk, vk_segment *segment);

void vk_tell_copy(vk_backend *vk, const char *op, const vk_memory *from, uint64_t from_offset,
                  const vk_memory *to, uint64_t to_offset, uint64_t bytes);
void vk_tell_fill(vk_backend *vk, const char *op, const vk_memory *to, uint64_t offset,
                  uint64_t bytes); /* with zeros; multiples of 4 */

/* ---- the backend ---- */

typedef struct vk_profile {
    vk_profile_entry *entries;
    size_t count, capacity;
} vk_profile;

struct vk_backend {
    backend base;
    vk_device device;
    vk_pipelines pipelines;
    vk_stream stream;
    vk_segments segments;
    kernels k; /* to unpack weights */
    vk_memory upload, readback;
    size_t upload_used; /* bytes since the last wait */
    buffer faults;      /* seen by the host */
    vk_memory fault_memory;
    buffer *scratch[VK_SCRATCH_COUNT];
    bool profiling, lost;
    vk_profile profile;
};

/* Fail the backend with what a call of the driver said; losing the device is remembered. */
void vk_fail(vk_backend *vk, const char *op, const char *what, VkResult result);
/* The same where there is an err to fill. */
int vk_error(vk_backend *vk, const char *what, VkResult result, weft_error *err);
/* Fail the backend if the device is lost or the validation layer has complained. */
void vk_check(vk_backend *vk, const char *op);
void vk_faults_check(vk_backend *vk); /* nothing may be pending */
void vk_faults_reset(vk_backend *vk);
/* Adds the times of a segment that has been waited for. */
void vk_profile_add(vk_backend *vk, const vk_segment *segment);

#endif
