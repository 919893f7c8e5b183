/* A model's shape read from GGUF keys and written back. Owns the rules of what is accepted: refuses
 * other architectures, sizes without sense or over a limit, and every feature that the forward pass
 * does not compute (experts, biases, soft caps, sliding windows, other rope scalings), naming the
 * key. */
#include "model/config_fields.h"

#include "text/tokenizer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define KEY_MAX 128

const config_field config_fields[CONFIG_FIELD_COUNT] = {
    {"block_count", "num_hidden_layers", offsetof(config, layer_count), CONFIG_LAYERS_MAX, true},
    {"embedding_length", "hidden_size", offsetof(config, hidden), CONFIG_HIDDEN_MAX, true},
    {"feed_forward_length", "intermediate_size", offsetof(config, ffn), CONFIG_FFN_MAX, true},
    {"context_length", "max_position_embeddings", offsetof(config, context), CONFIG_CONTEXT_MAX,
     true},
    {"attention.head_count", "num_attention_heads", offsetof(config, heads), CONFIG_HEADS_MAX,
     true},
    {"attention.head_count_kv", "num_key_value_heads", offsetof(config, kv_heads), CONFIG_HEADS_MAX,
     false},
    {"attention.key_length", "head_dim", offsetof(config, head_dim), CONFIG_HEAD_DIM_MAX, false},
    {"vocab_size", "vocab_size", offsetof(config, vocab), TOKENIZER_VOCAB_MAX, false},
};

int config_field_set(config *c, const config_field *field, const char *key, int64_t value,
                     weft_error *err) {
    if (value < 1)
        return err_set(err, WEFT_ERR_FORMAT, "%s is %lld: it must be at least 1", key,
                       (long long)value);
    if (value > field->max)
        return err_set(err, WEFT_ERR_RANGE, "%s is %lld: weft's limit is %lld", key,
                       (long long)value, (long long)field->max);
    memcpy((char *)c + field->offset, &value, sizeof value);
    return WEFT_OK;
}

int config_fill_heads(config *c, weft_error *err) {
    if (!c->kv_heads) c->kv_heads = c->heads;
    if (c->head_dim) return WEFT_OK;
    if (c->hidden % c->heads)
        return err_set(
            err, WEFT_ERR_FORMAT,
            "the hidden size %lld is not a multiple of the %lld attention heads, and no head "
            "size is given",
            (long long)c->hidden, (long long)c->heads);
    c->head_dim = c->hidden / c->heads;
    return WEFT_OK;
}

int config_activation_parse(const char *key, const char *text, size_t size, activation *out,
                            weft_error *err) {
    if (size == 5 && !memcmp(text, "relu2", 5))
        *out = ACTIVATION_RELU2;
    else if ((size == 4 && !memcmp(text, "silu", 4)) || (size == 5 && !memcmp(text, "swish", 5)))
        *out = ACTIVATION_SILU;
    else
        return err_set(err, WEFT_ERR_UNSUPPORTED, "%s is '%.*s': weft computes relu2 and silu", key,
                       size > 64 ? 64 : (int)size, text);
    return WEFT_OK;
}

int config_rope_scale(config *c, const char *key, double factor, weft_error *err) {
    if (!(factor >= 1e-3 && factor <= 1e6))
        return err_set(err, WEFT_ERR_FORMAT,
                       "%s is %g: a rope scaling factor lies in 0.001 .. 1000000", key, factor);
    for (int64_t i = 0; i < c->head_dim / 2; i++)
        c->rope_factors[i] = (float)(c->rope_factors[i] * factor);
    return WEFT_OK;
}

int config_check(const config *c, weft_error *err) {
    for (size_t i = 0; i < CONFIG_FIELD_COUNT; i++) {
        config copy; /* only to be written to: the setter checks the range */
        int64_t value;
        memcpy(&value, (const char *)c + config_fields[i].offset, sizeof value);
        TRY(config_field_set(&copy, &config_fields[i], config_fields[i].hf_key, value, err));
    }
    if (c->kv_heads > c->heads || c->heads % c->kv_heads)
        return err_set(err, WEFT_ERR_FORMAT,
                       "%lld attention heads cannot share %lld key/value heads: not a multiple",
                       (long long)c->heads, (long long)c->kv_heads);
    if (c->head_dim % 2)
        return err_set(err, WEFT_ERR_FORMAT,
                       "the head size %lld is odd: rotary positions need pairs",
                       (long long)c->head_dim);
    if (c->sub_norms && c->heads * c->head_dim != c->hidden)
        return err_set(
            err, WEFT_ERR_FORMAT,
            "%lld heads of %lld do not make the hidden size %lld, which attn_sub_norm has",
            (long long)c->heads, (long long)c->head_dim, (long long)c->hidden);
    if (!(c->norm_epsilon > 0 && c->norm_epsilon <= 1))
        return err_set(err, WEFT_ERR_FORMAT, "the norm epsilon is %g: it lies above 0 and up to 1",
                       (double)c->norm_epsilon);
    if (!(c->rope_base >= 1 && c->rope_base <= 1e12))
        return err_set(err, WEFT_ERR_FORMAT, "the rope base is %g: it lies in 1 .. 1e12",
                       c->rope_base);
    return WEFT_OK;
}

/* "<architecture>.<suffix>" in a buffer of KEY_MAX bytes. */
static const char *key_of(const config *c, const char *suffix, char *key) {
    snprintf(key, KEY_MAX, "%s.%s", c->architecture, suffix);
    return key;
}

static int read_architecture(const gguf_file *file, config *c, weft_error *err) {
    static const char *const known[] = {"bitnet", "bitnet-25", "bitnet-b1.58", "llama"};
    gguf_text text;
    if (!gguf_get_text(file, "general.architecture", &text))
        return err_set(err, WEFT_ERR_FORMAT,
                       "the key general.architecture is missing: this is no model file");
    if (gguf_get_text(file, "general.type", &text) && text.size == 7 &&
        !memcmp(text.data, "adapter", 7))
        return err_set(err, WEFT_ERR_FORMAT,
                       "this is an adapter, not a model: load it beside the model it was made for");
    gguf_get_text(file, "general.architecture", &text);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (text.size == strlen(known[i]) && !memcmp(text.data, known[i], text.size)) {
            snprintf(c->architecture, sizeof c->architecture, "%s", known[i]);
            return WEFT_OK;
        }
    return err_set(
        err, WEFT_ERR_UNSUPPORTED,
        "general.architecture is '%.*s': weft runs bitnet, bitnet-25, bitnet-b1.58 and llama "
        "with ternary weights",
        text.size > 64 ? 64 : (int)text.size, text.data);
}

static int read_fields(const gguf_file *file, config *c, weft_error *err) {
    char key[KEY_MAX];
    for (size_t i = 0; i < CONFIG_FIELD_COUNT; i++) {
        const config_field *field = &config_fields[i];
        int64_t value;
        key_of(c, field->gguf_key, key);
        if (gguf_get_i64(file, key, &value))
            TRY(config_field_set(c, field, key, value, err));
        else if (gguf_has(file, key))
            return err_set(err, WEFT_ERR_UNSUPPORTED,
                           "%s is not one integer: models whose layers differ are not supported",
                           key);
        else if (field->required)
            return err_set(err, WEFT_ERR_FORMAT, "the key %s is missing", key);
    }
    if (!c->vocab) { /* files of some converters: count the tokens, or the rows of the embedding */
        uint64_t count = 0;
        gguf_type element;
        const tensor_view *embed = gguf_tensor(file, "token_embd.weight");
        if (!gguf_get_array(file, "tokenizer.ggml.tokens", &element, &count) && embed &&
            embed->dim_count == 2)
            count = (uint64_t)embed->shape[0];
        TRY(config_field_set(c, &config_fields[CONFIG_FIELD_COUNT - 1], "the vocabulary's size",
                             (int64_t)(count > INT32_MAX ? INT32_MAX : count), err));
    }
    return config_fill_heads(c, err);
}

/* Features of other models under these architecture names: each would change the arithmetic. */
static int refuse_unknown_features(const gguf_file *file, const config *c, weft_error *err) {
    static const struct {
        const char *suffix;
        double neutral, neutral_too;
    } features[] = {
        {"expert_count", 0, 0},
        {"attn_logit_softcapping", 0, 0},
        {"final_logit_softcapping", 0, 0},
        {"attention.sliding_window", 0, 0},
        {"logit_scale", 0, 1},
        {"embedding_scale", 0, 1},
        {"residual_scale", 0, 1},
        {"attention.scale", 0, 0},
        {"attention.clamp_kqv", 0, 0},
        {"attention.max_alibi_bias", 0, 0},
    };
    char key[KEY_MAX];
    for (size_t i = 0; i < sizeof features / sizeof *features; i++) {
        double value = 0;
        int64_t integer;
        key_of(c, features[i].suffix, key);
        if (gguf_get_i64(file, key, &integer))
            value = (double)integer;
        else if (!gguf_get_f64(file, key, &value) && gguf_has(file, key))
            value = NAN;
        if (value != features[i].neutral && value != features[i].neutral_too)
            return err_set(err, WEFT_ERR_UNSUPPORTED, "%s is %g: weft does not compute that", key,
                           value);
    }
    for (size_t i = 0; i < gguf_tensor_count(file); i++) {
        const char *name = gguf_tensor_at(file, i)->name;
        size_t size = strlen(name);
        if (size > 5 && !strcmp(name + size - 5, ".bias"))
            return err_set(err, WEFT_ERR_UNSUPPORTED,
                           "tensor %s: models with biases are not supported", name);
    }
    return WEFT_OK;
}

/* head_dim / 2 divisors as llama.cpp stores llama3 scaling. */
static int read_rope_tensor(const tensor_view *t, config *c, weft_error *err) {
    if (t->type != TENSOR_F32 || t->dim_count != 1 || t->shape[0] != c->head_dim / 2)
        return err_set(err, WEFT_ERR_FORMAT, "tensor %s: %lld float32 values are expected", t->name,
                       (long long)(c->head_dim / 2));
    for (int64_t i = 0; i < t->shape[0]; i++) {
        float factor;
        memcpy(&factor, t->data + 4 * i, 4);
        if (!(factor > 0 && factor <= 1e6f))
            return err_set(err, WEFT_ERR_NUMERIC,
                           "tensor %s: element %lld is %g, not a positive divisor", t->name,
                           (long long)i, (double)factor);
        c->rope_factors[i] *= factor;
    }
    return WEFT_OK;
}

static int read_rope(const gguf_file *file, config *c, weft_error *err) {
    char key[KEY_MAX];
    int64_t rotated;
    if (gguf_get_i64(file, key_of(c, "rope.dimension_count", key), &rotated) &&
        rotated != c->head_dim)
        return err_set(
            err, WEFT_ERR_UNSUPPORTED,
            "%s is %lld but the head size is %lld: partly rotated heads are not supported", key,
            (long long)rotated, (long long)c->head_dim);
    c->rope_base = 10000;
    if (!gguf_get_f64(file, key_of(c, "rope.freq_base", key), &c->rope_base) && gguf_has(file, key))
        return err_set(err, WEFT_ERR_FORMAT, "%s is not a number", key);
    for (int64_t i = 0; i < c->head_dim / 2; i++) c->rope_factors[i] = 1;
    gguf_text type = {"linear", 6};
    gguf_get_text(file, key_of(c, "rope.scaling.type", key), &type);
    bool none = type.size == 4 && !memcmp(type.data, "none", 4);
    if (!none && (type.size != 6 || memcmp(type.data, "linear", 6)))
        return err_set(err, WEFT_ERR_UNSUPPORTED,
                       "%s is '%.*s': weft knows none, linear, and llama3 as rope_freqs.weight",
                       key, type.size > 64 ? 64 : (int)type.size, type.data);
    double factor = 0; /* llama.cpp too takes 0 for none */
    if (!none && !gguf_get_f64(file, key_of(c, "rope.scaling.factor", key), &factor))
        gguf_get_f64(file, key_of(c, "rope.scale_linear", key), &factor);
    if (factor != 0) TRY(config_rope_scale(c, key, factor, err));
    const tensor_view *t = gguf_tensor(file, "rope_freqs.weight");
    return t ? read_rope_tensor(t, c, err) : WEFT_OK;
}

/* docs/FORMATS.md, 3: the key where there is one; else what the converters of that name meant. */
static int read_activation(const gguf_file *file, config *c, weft_error *err) {
    char key[KEY_MAX];
    gguf_text text;
    if (gguf_get_text(file, key_of(c, "hidden_activation", key), &text))
        return config_activation_parse(key, text.data, text.size, &c->act, err);
    bool old_bitnet = !strcmp(c->architecture, "bitnet");
    c->act = !c->sub_norms ? ACTIVATION_SILU : old_bitnet ? ACTIVATION_SILU : ACTIVATION_RELU2;
    if (!old_bitnet || c->rope_base == 10000) return WEFT_OK;
    if (c->vocab == 128256) c->act = ACTIVATION_RELU2;
    snprintf(c->note, sizeof c->note,
             "the file does not name its activation (%s): %s is assumed, by its %s", key,
             c->act == ACTIVATION_RELU2 ? "relu2" : "silu",
             c->act == ACTIVATION_RELU2 ? "vocabulary of 128256" : "architecture's first models");
    return WEFT_OK;
}

static int read_epsilon(const gguf_file *file, config *c, weft_error *err) {
    char key[KEY_MAX];
    double epsilon;
    if (!gguf_get_f64(file, key_of(c, "attention.layer_norm_rms_epsilon", key), &epsilon))
        return err_set(err, WEFT_ERR_FORMAT, "the key %s is missing", key);
    c->norm_epsilon = (float)epsilon;
    return WEFT_OK;
}

int config_from_gguf(const gguf_file *file, config *out, weft_error *err) {
    config c = {0};
    gguf_text name;
    TRY(read_architecture(file, &c, err));
    c.sub_norms = strcmp(c.architecture, "llama") != 0;
    c.rope_interleaved = !c.sub_norms;
    /* The graph of bitnet-25 always multiplies by the embedding, though the file may hold a copy.
     */
    c.tied_head = !gguf_tensor(file, "output.weight") || !strcmp(c.architecture, "bitnet-25");
    if (gguf_get_text(file, "general.name", &name))
        snprintf(c.name, sizeof c.name, "%.*s", (int)(name.size < 127 ? name.size : 127),
                 name.data);
    TRY(read_fields(file, &c, err));
    TRY(read_epsilon(file, &c, err));
    TRY(read_rope(file, &c, err));
    TRY(config_check(&c, err));
    int64_t value_length;
    char key[KEY_MAX];
    if (gguf_get_i64(file, key_of(&c, "attention.value_length", key), &value_length) &&
        value_length != c.head_dim)
        return err_set(err, WEFT_ERR_UNSUPPORTED,
                       "%s is %lld but keys have %lld: heads of two sizes are not supported", key,
                       (long long)value_length, (long long)c.head_dim);
    TRY(refuse_unknown_features(file, &c, err));
    TRY(read_activation(file, &c, err));
    *out = c;
    return WEFT_OK;
}

static void put_rope(const config *c, gguf_writer *w) {
    char key[KEY_MAX];
    int64_t half = c->head_dim / 2;
    bool uniform = true;
    for (int64_t i = 1; i < half; i++)
        uniform = uniform && c->rope_factors[i] == c->rope_factors[0];
    gguf_put_u32(w, key_of(c, "rope.dimension_count", key), (uint32_t)c->head_dim);
    gguf_put_f32(w, key_of(c, "rope.freq_base", key), (float)c->rope_base);
    if (!uniform) {
        gguf_put_tensor(w, &(tensor_view){.name = "rope_freqs.weight",
                                          .type = TENSOR_F32,
                                          .dim_count = 1,
                                          .shape = {half},
                                          .data = (const uint8_t *)c->rope_factors,
                                          .size_bytes = (size_t)half * sizeof(float)});
    } else if (c->rope_factors[0] != 1) {
        gguf_put_cstr(w, key_of(c, "rope.scaling.type", key), "linear");
        gguf_put_f32(w, key_of(c, "rope.scaling.factor", key), c->rope_factors[0]);
    }
}

void config_to_gguf(const config *c, gguf_writer *w) {
    char key[KEY_MAX];
    gguf_put_cstr(w, "general.architecture", c->architecture);
    if (c->name[0]) gguf_put_cstr(w, "general.name", c->name);
    for (size_t i = 0; i < CONFIG_FIELD_COUNT; i++) {
        int64_t value;
        memcpy(&value, (const char *)c + config_fields[i].offset, sizeof value);
        gguf_put_u32(w, key_of(c, config_fields[i].gguf_key, key), (uint32_t)value);
    }
    gguf_put_u32(w, key_of(c, "attention.value_length", key), (uint32_t)c->head_dim);
    gguf_put_f32(w, key_of(c, "attention.layer_norm_rms_epsilon", key), c->norm_epsilon);
    gguf_put_cstr(w, key_of(c, "hidden_activation", key),
                  c->act == ACTIVATION_RELU2 ? "relu2" : "silu");
    put_rope(c, w);
}
