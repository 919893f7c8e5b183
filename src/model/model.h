/* A model as loaded from a GGUF file: immutable, shared by sessions and trainers. */
#ifndef WEFT_MODEL_MODEL_H
#define WEFT_MODEL_MODEL_H

#include "backend/backend.h"
#include "model/config.h"
#include "text/chat.h"
#include "text/tokenizer.h"

typedef struct layer_weights {
    view attn_norm, attn_sub_norm, ffn_norm,
        ffn_sub_norm; /* float32; sub-norms only with cfg.sub_norms */
    ternary_weight *proj[TARGET_COUNT];
} layer_weights;

/* How ternary matrices lie in memory (base/layout.h). AUTO: tight if the fast ones would fill more
 * than half of the machine's memory. */
typedef enum packing_choice { PACKING_AUTO, PACKING_FAST, PACKING_TIGHT } packing_choice;

typedef struct model {
    config cfg;
    backend *be;           /* not owned */
    gguf_file *file;       /* mapped weights live here */
    layer_weights *layers; /* cfg.layer_count */
    view output_norm;
    dense_weight *embed, *head; /* the same object when tied */
    tokenizer *tok;             /* NULL if the file has none */
    chat_template *chat;        /* NULL if the file has none */
    buffer *norms;              /* holds every norm vector */
    uint8_t *codes;             /* ternary codes that could not be used from the mapping */
    size_t codes_bytes, mapped_bytes;
    ternary_packing packing; /* of all ternary matrices */
    double mean_scale;       /* of the ternary matrices, for information */
    char *chat_source;
} model;

/* Load for a device. Every tensor is checked: present, right shape, supported type, no NaN or
 * infinity, no code outside -1..1. Errors name the file and the tensor. The backend must outlive
 * the model. */
int model_load(const char *path, packing_choice packing, backend *be, model **out, weft_error *err);
void model_free(model **m); /* NULL allowed */

/* Bytes of all norm vectors, as they lie in model.norms. */
size_t model_norms_bytes(const config *c);

/* Bytes of all ternary matrices, and the packing that a choice means on a machine with so much
 * memory (0 = unknown). */
size_t model_ternary_bytes(const config *c, ternary_packing packing);
ternary_packing model_packing(const config *c, packing_choice choice, uint64_t memory_bytes);

/* A model of the given shape with random ternary weights, a tied F16 embedding and no tokenizer,
 * the same for the same seed: for tests and benchmarks. About a second a billion weights. */
int model_synthesise(const config *shape, uint64_t seed, packing_choice packing, backend *be,
                     model **out, weft_error *err);

#endif
