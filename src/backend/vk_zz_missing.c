/* Operations that no file has yet: they fail. A strong definition takes the place of each. */
#include "backend/vk.h"

#pragma GCC diagnostic ignored "-Wattributes"
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wattribute-alias"
#endif

void vk_missing(backend *be);
void vk_missing(backend *be) {
    backend_fail(be, "vk", WEFT_ERR_UNSUPPORTED, "the operation is missing on this device");
}

__attribute__((weak)) size_t vk_head_loss_scratch_bytes(const backend *be, const dense_weight *w) {
    (void)be, (void)w;
    return 4;
}

#define MISSING(name) __typeof__(name) name __attribute__((weak, alias("vk_missing")));
MISSING(vk_embed)
MISSING(vk_rmsnorm)
MISSING(vk_rmsnorm_backward)
MISSING(vk_quantise)
MISSING(vk_dropout)
MISSING(vk_rope)
MISSING(vk_glu)
MISSING(vk_glu_backward)
MISSING(vk_add)
MISSING(vk_gather)
MISSING(vk_scatter)
MISSING(vk_sum_squares)
MISSING(vk_adamw)
MISSING(vk_ternary_matmul)
MISSING(vk_ternary_matmul_f32)
MISSING(vk_ternary_matmul_t)
MISSING(vk_dense_matmul)
MISSING(vk_head_loss)
MISSING(vk_lora_down)
MISSING(vk_lora_up)
MISSING(vk_lora_backward)
MISSING(vk_attention)
MISSING(vk_attention_backward)
