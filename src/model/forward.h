/* The forward pass: one fixed sequence of backend operations, read top to bottom in forward.c and
 * mirrored by train/backward.c. Letters: T tokens, D hidden, F ffn, H heads, G kv heads, d head
 * size. */
#ifndef WEFT_MODEL_FORWARD_H
#define WEFT_MODEL_FORWARD_H

#include "model/adapter.h"
#include "model/model.h"

#define FORWARD_ADAPTERS_MAX 16

/* What one layer computes for T tokens: all that its backward needs. Views may share memory where
 * the caller needs only the output (generation). Without sub-norms att_norm is att and glu_norm is
 * glu. */
typedef struct layer_acts {
    view in;                 /* (T, D) input of the layer */
    view norm1;              /* (T, D) */
    view q;                  /* (T, H*d) rotated */
    view k, v;               /* (T, G*d), k rotated */
    view att, att_norm;      /* (T, H*d) */
    view mid;                /* (T, D) after attention */
    view norm2;              /* (T, D) */
    view gate, up;           /* (T, F) */
    view glu, glu_norm;      /* (T, F) */
    view down[TARGET_COUNT]; /* (T, r) A x of the adapter in training */
} layer_acts;

/* The tokens of a call, on the device: int32 each. Token t stands at position positions[t] (rotary)
 * and sees the keys first[t] .. last[t]. */
typedef struct token_batch {
    int64_t tokens;
    view ids, positions, first, last;
} token_batch;

typedef struct adapter_use {
    const adapter *adapter;
    float scale; /* the person's: 1 = as trained */
} adapter_use;

/* Keys and values seen by a layer other than the batch's own: a cache (keys, G*d) each. Token t's
 * own go to row last[t], and where they go is data, as all that changes from token to token: the
 * recorded operations stay the same, and a device may replay them. */
typedef struct layer_cache {
    view k, v;
    int64_t keys; /* capacity in tokens */
} layer_cache;

typedef struct forward {
    const model *m;
    backend *be;
    int64_t tokens_max, positions_max;
    int64_t layer_count; /* layers to run: cfg.layer_count, or fewer in tests */
    bool smooth;         /* activations unrounded (--activations f32) */
    adapter_use uses[FORWARD_ADAPTERS_MAX];
    size_t use_count;
    /* Training: the adapter whose A x is kept in layer_acts.down; NULL otherwise. */
    const adapter *trained;
    float dropout;         /* on the trained adapter's input; 0 = off (always off in evaluation) */
    uint64_t dropout_seed; /* of this micro-batch */
    /* Scratch for tokens_max tokens. */
    buffer *scratch;
    view rope, q8, proj, dropped, low; /* proj: in smooth mode only */
} forward;

typedef struct forward_options {
    int64_t tokens_max;    /* largest batch */
    int64_t positions_max; /* largest position + 1 */
    int32_t rank_max;      /* largest rank of any adapter used */
    bool smooth;
    bool dropout; /* scratch for it is wanted */
} forward_options;

/* Bytes that forward_create takes on the device. */
size_t forward_scratch_bytes(const config *c, const forward_options *options);

int forward_create(const model *m, const forward_options *options, forward *f, weft_error *err);
void forward_destroy(forward *f);

/* Bytes of acts for `tokens` tokens with a trained adapter of rank `rank` (0 = none). With `shared`
 * the pieces that one layer does not need at the same time share memory (generation). acts_place
 * points acts into buf from offset on and returns the bytes used; with buf NULL it only measures.
 * acts->in is left alone. */
size_t acts_place(const config *c, int64_t tokens, int32_t rank, bool shared, buffer *buf,
                  size_t offset, layer_acts *acts);

/* Seed of the dropout mask of one projection: backward draws the same mask. */
uint64_t dropout_seed_of(const forward *f, int64_t layer, target t);

/* What the products of this pass may be rounded to. */
static inline precision forward_precision(const forward *f) {
    return f->smooth ? PRECISION_FULL : PRECISION_ROUNDED;
}

void forward_embed(forward *f, const token_batch *b, view x);
/* acts->in -> out (T, D); out may be acts->in when nothing is kept. cache NULL: the batch sees
 * itself. */
void forward_layer(forward *f, int64_t layer, const token_batch *b, const layer_acts *acts,
                   const layer_cache *cache, view out);
/* y = final norm of x; logits = head(y) for `tokens` rows. */
void forward_final_norm(forward *f, view x, int64_t tokens, view y);
void forward_logits(forward *f, view y, int64_t tokens, view logits);

#endif
