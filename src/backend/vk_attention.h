/* Attention on half-precision matrices (backend_vk_attention_half.c), for backend_vk_attention.c.
 */
#ifndef WEFT_BACKEND_VK_ATTENTION_H
#define WEFT_BACKEND_VK_ATTENTION_H

#include "backend/vk_math.h"

/* Does the caller allow it, and have the device and the sizes what it needs? */
bool vk_attention_has_half(const vk_backend *vk, const attention_args *s, bool backward);

/* Of VK_SCRATCH_HALF, that it takes. */
size_t vk_attention_half_bytes(const attention_args *s, bool backward);

void vk_attention_half(backend *be, const attention_args *s);
void vk_attention_half_backward(backend *be, const attention_args *s, view dout, view dq, view dk,
                                view dv);

#endif
