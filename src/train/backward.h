/* The backward pass: forward.c in reverse, same names. Straight-through for the activation
 * rounding; nothing for the frozen weights. Gradients of A and B are added into a flat buffer laid
 * out as adapter.params. */
#ifndef WEFT_TRAIN_BACKWARD_H
#define WEFT_TRAIN_BACKWARD_H

#include "model/forward.h"

typedef struct backward {
    forward *f;     /* f->trained is the adapter whose gradients are wanted */
    view gradients; /* (param_count) accumulated */
    /* Scratch for f->tokens_max tokens. */
    buffer *scratch;
    view d_norm; /* (T, D) */
    view d_att;  /* (T, H*d), also d of att_norm */
    view dq, dk, dv;
    view d_glu;   /* (T, F) */
    view low;     /* (T, r) */
    view d_input; /* (T, max K) of a dropped input */
    view dropped; /* (T, max K) */
} backward;

size_t backward_scratch_bytes(const config *c, int64_t tokens, int32_t rank, bool dropout);
int backward_create(forward *f, view gradients, int32_t rank, backward *out, weft_error *err);
void backward_destroy(backward *b);

/* dx (T, D): on entry d(loss)/d(layer output), on return d(loss)/d(layer input). acts as
 * forward_layer left them; gate and up are overwritten. With lowest the input gradient is not
 * needed and not finished. */
void backward_layer(backward *b, int64_t layer, const token_batch *batch, const layer_acts *acts,
                    view dx, bool lowest);

#endif
