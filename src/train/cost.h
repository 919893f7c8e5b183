/* What a token costs at the least: bytes that must be read and operations that must be done, from
 * the shape of the model alone. `weft bench` divides them by the machine's peaks and so has a limit
 * to compare itself with; the formulas are written out in docs/SPEED.md. Norms, activations, the
 * rotation, rounding and the optimiser are left out: the limits are a little too high, never too
 * low. A multiply and an add are two operations. */
#ifndef WEFT_TRAIN_COST_H
#define WEFT_TRAIN_COST_H

#include "model/config.h"

/* Operations by the arithmetic that does them. */
typedef struct cost_ops {
    double ternary;    /* 8-bit: activations times ternary weights */
    double transposed; /* gradients times ternary weights */
    double other;      /* float32: attention, LoRA, head */
} cost_ops;

/* Bytes of one decoded token: the weights as they are stored (matrices, norms and head: all that a
 * token reads) and the float32 keys and values of the `keys` tokens before it. */
double cost_decode_bytes(const config *c, double weight_bytes, double keys);

/* Prefill of `tokens` tokens into an empty cache, logits for the last one only. */
cost_ops cost_prefill(const config *c, int64_t tokens);

/* A LoRA step on `rows` rows of `tokens` tokens, each learnt: forward, with recompute forward
 * again, and backward. The head runs once, forward and backward. targets: bit mask. */
cost_ops cost_train(const config *c, int64_t rows, int64_t tokens, int32_t rank, uint32_t targets,
                    bool recompute);

#endif
