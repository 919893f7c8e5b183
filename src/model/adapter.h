/* A LoRA adapter: for chosen projections of each layer a pair A (r, K), B (N, r); y += scale * B
 * (A x). */
#ifndef WEFT_MODEL_ADAPTER_H
#define WEFT_MODEL_ADAPTER_H

#include "backend/backend.h"
#include "model/config.h"

#define ADAPTER_RANK_MAX  1024
#define ADAPTER_ALPHA_MIN 1e-9f /* a scale of it is no 0 in 32 bits at any rank */
#define ADAPTER_ALPHA_MAX 1e6f

typedef struct lora_pair {
    int32_t rank;              /* 0 = this projection has none */
    float scale;               /* alpha / rank, or alpha / sqrt(rank) with rsLoRA */
    size_t a_offset, b_offset; /* floats into params */
} lora_pair;

typedef struct adapter {
    backend *be; /* not owned */
    int64_t layer_count;
    lora_pair *pairs; /* [layer * TARGET_COUNT + target] */
    buffer *params;   /* all A and B, float32, in the order layer, target, A, B */
    size_t param_count;
    int32_t rank; /* as given; pairs of a loaded file may differ */
    float alpha;
    bool rslora;
    uint32_t targets; /* bit mask of targets present */
} adapter;

typedef struct adapter_settings {
    int32_t rank;
    float alpha;
    bool rslora;
    uint32_t targets; /* bit mask */
    uint64_t seed;
} adapter_settings;

/* A fresh adapter: A uniform in +-1/sqrt(K) (PEFT's kaiming_uniform(a=sqrt(5))), each pair its own
 * random stream; B zero. Settings out of range are WEFT_ERR_ARGUMENT. */
int adapter_create(const config *c, backend *be, const adapter_settings *settings, adapter **out,
                   weft_error *err);
void adapter_free(adapter **a);

static inline const lora_pair *adapter_pair(const adapter *a, int64_t layer, target t) {
    return &a->pairs[layer * TARGET_COUNT + t];
}

/* Another of the same shape and parameters, on the same device. */
int adapter_copy(const adapter *from, adapter **out, weft_error *err);

/* One adapter whose effect is the weighted sum of those of count others, made for models of shape c
 * and on one device. rank 0: exactly so (up to float32), by putting the matrices beside each other;
 * their ranks add up to at most ADAPTER_RANK_MAX. Otherwise each pair has at most that rank: the
 * nearest there is to the sum in the sense of least squares. *error receives what is lost, the
 * Frobenius norm of the difference as a share of the sum's. The scale of every pair is 1. */
#define ADAPTER_BLEND_MAX 8
int adapter_blend(const config *c, const adapter *const *adapters, const float *weights,
                  size_t count, int32_t rank, adapter **out, double *error, weft_error *err);

/* Load for a model of shape c: a PEFT folder (adapter_config.json + adapter_model.safetensors; r,
 * lora_alpha, use_rslora, rank_pattern, alpha_pattern), or a GGUF adapter file. Tensors of modules
 * that c does not have, wrong shapes, NaN, DoRA, lora biases, modules_to_save, embeddings: an
 * error naming the tensor. For cfg.rope_interleaved PEFT's q and k B rows are permuted on the way
 * in and out, as llama.cpp's converter does. */
int adapter_load(const char *path, const config *c, backend *be, adapter **out, weft_error *err);

/* Save as PEFT: folder/adapter_config.json and folder/adapter_model.safetensors (F32). base_model
 * is written as base_model_name_or_path. The weights are in place before the config that names
 * them. */
int adapter_save_peft(const adapter *a, const config *c, const char *dir, const char *base_model,
                      weft_error *err);
/* Save as a GGUF adapter with exactly llama.cpp's keys and names; rsLoRA and per-pair differences
 * are folded (docs/FORMATS.md, 6.2). name becomes general.name; NULL = none. */
int adapter_save_gguf(const adapter *a, const config *c, const char *path, const char *name,
                      weft_error *err);

/* The same from parameters on the host (param_count floats laid out as params): for checkpoints. */
int adapter_set_params(adapter *a, const float *params, weft_error *err);
int adapter_get_params(const adapter *a, float *params, weft_error *err);

#endif
