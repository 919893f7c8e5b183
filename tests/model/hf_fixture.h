/* A small Hugging Face model folder written by a test: two layers, width 128, values that the test
 * can compute again from the names of the projections. */
#ifndef WEFT_TESTS_HF_FIXTURE_H
#define WEFT_TESTS_HF_FIXTURE_H

#include "base/bytes.h"
#include "base/layout.h"
#include "base/os.h"
#include "base/rng.h"
#include "format/safetensors.h"
#include "model/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    FIX_LAYERS = 2,
    FIX_HIDDEN = 128,
    FIX_FFN = 256,
    FIX_HEADS = 4,
    FIX_KV = 2,
    FIX_DIM = 32,
    FIX_VOCAB = 8,
    FIX_TENSORS_MAX = 64
};

typedef enum fixture_form { FORM_PACKED, FORM_MASTER_BF16, FORM_TERNARY_F32 } fixture_form;

typedef struct fixture_spec {
    const char *class, *act;
    const char *quantisation; /* JSON of quantization_config, or NULL */
    const char *more;         /* more keys for config.json, each with a comma after it */
    fixture_form form;
    bool llama, old_names, head;
    float scale;       /* of FORM_PACKED and FORM_TERNARY_F32 */
    const char *drop;  /* leave this tensor out */
    const char *extra; /* add one of this name */
    const char *spoil; /* this tensor's first bytes become ff ff ff ff: NaN, or four codes 3 */
    const char *wrong; /* this tensor gets one row too few */
} fixture_spec;

typedef struct fixture {
    char dir[64], out[96];
    tensor_view list[FIX_TENSORS_MAX];
    char names[FIX_TENSORS_MAX][128];
    size_t count;
} fixture;

static inline config fixture_shape(bool llama) {
    return (config){.layer_count = FIX_LAYERS,
                    .hidden = FIX_HIDDEN,
                    .ffn = FIX_FFN,
                    .heads = FIX_HEADS,
                    .kv_heads = FIX_KV,
                    .head_dim = FIX_DIM,
                    .vocab = FIX_VOCAB,
                    .context = 64,
                    .norm_epsilon = 1e-5f,
                    .rope_base = 10000,
                    .sub_norms = !llama,
                    .rope_interleaved = llama};
}

static inline uint64_t fixture_seed(int64_t layer, target t) {
    return (uint64_t)(100 + layer * TARGET_COUNT + t);
}

/* Element (row, col) of a projection in Hugging Face's order: -1, 0 or 1. */
static inline int fixture_ternary(int64_t layer, target t, int64_t row, int64_t col, int64_t cols) {
    return (int)rng_below(fixture_seed(layer, t), (uint64_t)(row * cols + col), 3) - 1;
}

/* The master weight there, exact in bfloat16. */
static inline float fixture_master(int64_t layer, target t, int64_t row, int64_t col,
                                   int64_t cols) {
    float x = rng_uniform(fixture_seed(layer, t), (uint64_t)(row * cols + col)) - 0.5f;
    return bf16_to_f32(bf16_from_f32(x * 0.1f));
}

static inline float fixture_norm(size_t i) {
    return 1 + (float)(i % 7) * 0.125f;
}

static inline void fixture_add(fixture *f, const fixture_spec *spec, const char *name,
                               tensor_type type, int64_t rows, int64_t cols, void *data,
                               size_t size) {
    bool fewer = spec->wrong && !strcmp(name, spec->wrong);
    if (spec->drop && !strcmp(name, spec->drop)) {
        free(data);
        return;
    }
    if (spec->spoil && !strcmp(name, spec->spoil)) memset(data, 0xff, 4);
    snprintf(f->names[f->count], sizeof f->names[0], "%s", name);
    f->list[f->count] =
        (tensor_view){.name = f->names[f->count],
                      .type = type,
                      .dim_count = cols ? 2 : 1,
                      .shape = {fewer ? rows - 1 : rows, cols},
                      .data = data,
                      .size_bytes = fewer ? size / (size_t)rows * (size_t)(rows - 1) : size};
    f->count++;
}

static inline void fixture_add_floats(fixture *f, const fixture_spec *spec, const char *name,
                                      int64_t rows, int64_t cols) {
    size_t count = (size_t)(rows * (cols ? cols : 1));
    uint16_t *data = malloc(count * sizeof *data);
    for (size_t i = 0; i < count; i++) data[i] = bf16_from_f32(fixture_norm(i));
    fixture_add(f, spec, name, TENSOR_BF16, rows, cols, data, count * sizeof *data);
}

static inline void fixture_add_projection(fixture *f, const fixture_spec *spec, const config *c,
                                          int64_t layer, target t) {
    int64_t rows, cols;
    char name[96], scale_name[128];
    config_target_shape(c, t, &rows, &cols);
    snprintf(name, sizeof name, "model.layers.%lld.%s.weight", (long long)layer, target_module(t));
    snprintf(scale_name, sizeof scale_name, "%s_scale", name);
    size_t count = (size_t)(rows * cols);
    if (spec->form == FORM_PACKED) {
        uint8_t *data = calloc(count / 4, 1);
        for (int64_t row = 0; row < rows; row++)
            for (int64_t col = 0; col < cols; col++)
                data[row % (rows / 4) * cols + col] |=
                    (uint8_t)((fixture_ternary(layer, t, row, col, cols) + 1)
                              << 2 * (row / (rows / 4)));
        float *scale = malloc(sizeof *scale);
        *scale = spec->scale;
        fixture_add(f, spec, name, TENSOR_U8, rows / 4, cols, data, count / 4);
        fixture_add(f, spec, scale_name, TENSOR_F32, 1, 0, scale, sizeof *scale);
    } else if (spec->form == FORM_MASTER_BF16) {
        uint16_t *data = malloc(count * sizeof *data);
        for (size_t i = 0; i < count; i++)
            data[i] =
                bf16_from_f32(fixture_master(layer, t, (int64_t)i / cols, (int64_t)i % cols, cols));
        fixture_add(f, spec, name, TENSOR_BF16, rows, cols, data, count * sizeof *data);
    } else {
        float *data = malloc(count * sizeof *data);
        for (size_t i = 0; i < count; i++)
            data[i] = spec->scale *
                      (float)fixture_ternary(layer, t, (int64_t)i / cols, (int64_t)i % cols, cols);
        fixture_add(f, spec, name, TENSOR_F32, rows, cols, data, count * sizeof *data);
    }
}

static inline void fixture_write(const fixture *f, const char *name, const char *text) {
    char path[160];
    snprintf(path, sizeof path, "%s/%s", f->dir, name);
    if (os_write_file(path, text, strlen(text), NULL)) abort();
}

static inline void fixture_write_config(const fixture *f, const fixture_spec *spec) {
    bytes text = {0};
    bytes_printf(
        &text,
        "{\"architectures\": [\"%s\"], \"hidden_act\": \"%s\", %s \"quantization_config\": %s, "
        "\"hidden_size\": 128, \"intermediate_size\": 256, \"num_hidden_layers\": 2, "
        "\"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"vocab_size\": 8, "
        "\"max_position_embeddings\": 64, \"rms_norm_eps\": 1e-5, "
        "\"tie_word_embeddings\": %s}",
        spec->class, spec->act, spec->more ? spec->more : "",
        spec->quantisation ? spec->quantisation : "null", spec->head ? "false" : "true");
    fixture_write(f, "config.json", text.data);
    bytes_free(&text);
}

static inline void fixture_layer(fixture *f, const fixture_spec *spec, const config *c, int64_t i) {
    static const char *const norms[2][4] = {{"input_layernorm", "post_attention_layernorm",
                                             "self_attn.attn_sub_norm", "mlp.ffn_sub_norm"},
                                            {"input_layernorm", "post_attention_layernorm",
                                             "self_attn.inner_attn_ln", "mlp.ffn_layernorm"}};
    for (int n = 0; n < (spec->llama ? 2 : 4); n++) {
        char name[96];
        snprintf(name, sizeof name, "model.layers.%lld.%s.weight", (long long)i,
                 norms[spec->old_names][n]);
        fixture_add_floats(f, spec, name, n == 3 ? FIX_FFN : FIX_HIDDEN, 0);
    }
    for (int t = 0; t < TARGET_COUNT; t++) fixture_add_projection(f, spec, c, i, (target)t);
}

/* Write the folder. Free with fixture_free. */
static inline void fixture_make(fixture *f, const fixture_spec *spec) {
    config c = fixture_shape(spec->llama);
    char path[96];
    memset(f, 0, sizeof *f);
    snprintf(f->dir, sizeof f->dir, "/tmp/weft-hf-XXXXXX");
    if (!mkdtemp(f->dir)) abort();
    snprintf(f->out, sizeof f->out, "%s/out.gguf", f->dir);
    fixture_add_floats(f, spec, "model.embed_tokens.weight", FIX_VOCAB, FIX_HIDDEN);
    for (int64_t i = 0; i < FIX_LAYERS; i++) fixture_layer(f, spec, &c, i);
    fixture_add_floats(f, spec, "model.norm.weight", FIX_HIDDEN, 0);
    if (spec->head) fixture_add_floats(f, spec, "lm_head.weight", FIX_VOCAB, FIX_HIDDEN);
    if (spec->extra) fixture_add_floats(f, spec, spec->extra, 4, 0);
    snprintf(path, sizeof path, "%s/model.safetensors", f->dir);
    if (safetensors_save(path, f->list, f->count, NULL, 0, NULL)) abort();
    fixture_write_config(f, spec);
    fixture_write(
        f, "tokenizer.json",
        "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"b\": 1, \"c\": 2, \"ab\": 3, "
        "\"d\": 4, \"e\": 5}, \"merges\": [\"a b\"]}, \"added_tokens\": [{\"id\": 6, "
        "\"content\": \"<s>\", \"special\": true}, {\"id\": 7, \"content\": \"</s>\", "
        "\"special\": true}], \"pre_tokenizer\": {\"type\": \"ByteLevel\", "
        "\"add_prefix_space\": false, \"use_regex\": true}, \"decoder\": {\"type\": "
        "\"ByteLevel\"}}");
    fixture_write(
        f, "tokenizer_config.json",
        "{\"bos_token\": \"<s>\", \"eos_token\": \"</s>\", \"chat_template\": [{\"name\": "
        "\"tools\", \"template\": \"no\"}, {\"name\": \"default\", \"template\": "
        "\"{{ messages }}\"}]}");
}

static inline void fixture_free(fixture *f) {
    for (size_t i = 0; i < f->count; i++) free((void *)f->list[i].data);
    os_remove_tree(f->dir, NULL);
}

#endif
