/* The Vulkan backend: its life and its table. */
#include "backend/vk_core.h"

#include "base/os.h"

#include <stdio.h>
#include <stdlib.h>

static void vk_begin(backend *be) {
    vk_check(vk_of(be), "begin");
}

static void vk_submit(backend *be) {
    vk_segments_wait(vk_of(be));
}

void vk_copy(backend *be, view from, view to, size_t bytes) {
    vk_tell_copy(vk_of(be), "op_copy", vk_memory_of(from.buf), from.offset, vk_memory_of(to.buf),
                 to.offset, bytes);
}

/* Devices fill whole words; what is left is written. */
void vk_fill_zero(backend *be, view to, size_t bytes) {
    static const uint8_t zeros[4];
    size_t whole = bytes / 4 * 4;
    if (whole) vk_tell_fill(vk_of(be), "op_fill_zero", vk_memory_of(to.buf), to.offset, whole);
    if (bytes % 4) vk_write(be, (view){to.buf, to.offset + whole}, zeros, bytes % 4);
}

static void vk_destroy(backend *be) {
    vk_backend *vk = vk_of(be);
    if (vk->segments.fence) vk_segments_wait(vk);
    for (int i = 0; i < VK_SCRATCH_COUNT; i++) buffer_free(be, &vk->scratch[i]);
    vk_segments_close(vk);
    vk_pipelines_close(vk);
    vk_memory_destroy(vk, &vk->upload);
    vk_memory_destroy(vk, &vk->readback);
    vk_memory_destroy(vk, &vk->fault_memory);
    vk_device_close(&vk->device);
    free(vk->profile.entries);
    os_free(vk);
}

static int vk_thread_count(const backend *be) {
    (void)be;
    return 1;
}

/* Slots that hold as much already take nothing more. */
static size_t vk_training_scratch_bytes(const backend *be, const training_extent *e) {
    const vk_backend *vk = (const vk_backend *)(const void *)be;
    const vk_limits *l = &vk->device.limits;
    vk_scratch_plan plan = {0};
    size_t row = vk_gradient_planes_bytes(1, e->widest_out), more = 0;
    int64_t fit = (int64_t)((l->window_bytes - l->offset_alignment) / row);
    if (e->grade == PRECISION_ROUNDED)
        vk_plan_raise(&plan, VK_SCRATCH_GRADIENT,
                      row * (size_t)(fit < e->tokens ? fit : e->tokens));
    vk_plan_dense(vk, e, &plan);
    vk_plan_lora(e, &plan);
    vk_plan_attention(vk, e, &plan);
    for (int i = 0; i < VK_SCRATCH_COUNT; i++) {
        size_t held = vk->scratch[i] ? vk->scratch[i]->bytes : 0;
        if (plan.bytes[i] > held) more += plan.bytes[i] - held;
    }
    return more;
}

static uint64_t vk_free_bytes(const backend *be) {
    return vk_facts_free_bytes(&((const vk_backend *)(const void *)be)->device.facts);
}

static const backend_ops vk_ops = {
    .destroy = vk_destroy,
    .thread_count = vk_thread_count,
    .training_scratch_bytes = vk_training_scratch_bytes,
    .free_bytes = vk_free_bytes,
    .buffer_create = vk_buffer_create,
    .buffer_free = vk_buffer_free,
    .ternary_weight_create = vk_ternary_weight_create,
    .ternary_weight_free = vk_ternary_weight_free,
    .dense_weight_create = vk_dense_weight_create,
    .dense_weight_free = vk_dense_weight_free,
    .begin = vk_begin,
    .submit = vk_submit,
    .write = vk_write,
    .read = vk_read,
    .embed = vk_embed,
    .rmsnorm = vk_rmsnorm,
    .rmsnorm_backward = vk_rmsnorm_backward,
    .quantise = vk_quantise,
    .rmsnorm_quantise = vk_rmsnorm_quantise,
    .ternary_matmul = vk_ternary_matmul,
    .ternary_matmul_add = vk_ternary_matmul_add,
    .ternary_matmul_lora = vk_ternary_matmul_lora,
    .ternary_matmul_f32 = vk_ternary_matmul_f32,
    .ternary_matmul_t = vk_ternary_matmul_t,
    .dense_matmul = vk_dense_matmul,
    .lora_down = vk_lora_down,
    .lora_up = vk_lora_up,
    .lora_backward = vk_lora_backward,
    .dropout = vk_dropout,
    .rope = vk_rope,
    .rope_scatter = vk_rope_scatter,
    .attention = vk_attention,
    .attention_backward = vk_attention_backward,
    .glu = vk_glu,
    .glu_rmsnorm_quantise = vk_glu_rmsnorm_quantise,
    .glu_backward = vk_glu_backward,
    .head_loss_scratch_bytes = vk_head_loss_scratch_bytes,
    .head_loss = vk_head_loss,
    .add = vk_add,
    .gather = vk_gather,
    .scatter = vk_scatter,
    .copy = vk_copy,
    .fill_zero = vk_fill_zero,
    .sum_squares = vk_sum_squares,
    .adamw = vk_adamw,
};

static int open_parts(vk_backend *vk, const vk_options *options, weft_error *err) {
    TRY(vk_device_open(options, &vk->device, err));
    TRY(vk_segments_open(vk, err));
    TRY(vk_pipelines_open(vk, options->cache_dir, err));
    TRY(vk_memory_create(vk, VK_PLACE_UPLOAD, VK_STAGE_BYTES, "upload", &vk->upload, err));
    TRY(vk_memory_create(vk, VK_PLACE_READ, VK_STAGE_BYTES, "readback", &vk->readback, err));
    TRY(vk_memory_create(vk, VK_PLACE_READ, VK_MEMORY_UNIT, "faults", &vk->fault_memory, err));
    vk->faults = (buffer){&vk->base, VK_MEMORY_UNIT, &vk->fault_memory};
    vk_faults_reset(vk);
    vk->profiling = options->profile && vk->device.facts.timestamp_bits;
    vk_check(vk, "create");
    if (!backend_has_failed(&vk->base)) return WEFT_OK;
    if (err) *err = vk->base.failure;
    return (int)vk->base.failure.code;
}

int backend_create_vk(const vk_options *options, backend **out, weft_error *err) {
    const vk_options defaults = {.device = -1, .tier_max = VK_TIER_BEST};
    if (!options) options = &defaults;
    *out = NULL;
    vk_backend *vk = os_alloc(sizeof *vk);
    if (!vk) return err_set(err, WEFT_ERR_MEMORY, "out of memory for the gpu backend");
    vk->base.ops = &vk_ops;
    kernels_init(&vk->k, UINT32_MAX);
    int rc = open_parts(vk, options, err);
    if (rc) {
        vk_destroy(&vk->base);
        return rc;
    }
    snprintf(vk->base.name, sizeof vk->base.name, "gpu (%.32s, %s)", vk->device.facts.info.name,
             vk_tier_name(vk->device.limits.tier));
    *out = &vk->base;
    return WEFT_OK;
}

const vk_device_info *backend_vk_info(const backend *be) {
    if (be->ops != &vk_ops) return NULL;
    return &((const vk_backend *)(const void *)be)->device.facts.info;
}
