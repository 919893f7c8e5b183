/* A model's shape read from config.json of a Hugging Face folder. Refuses other classes of model
 * and other quantisers, and what the forward pass does not compute, naming the key. */
#include "model/config_fields.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Text of a key for a message: its string, or a word for what else it is. */
static const char *text_of(const json_t *value) {
    if (json_is_string(value)) return json_string_value(value);
    return value && !json_is_null(value) ? "no string" : "missing";
}

static int read_class(const json_t *root, config *c, weft_error *err) {
    const json_t *class = json_array_get(json_object_get(root, "architectures"), 0);
    const char *name = text_of(class);
    if (!strcmp(name, "BitNetForCausalLM") || !strcmp(name, "BitnetForCausalLM"))
        c->sub_norms = true;
    else if (strcmp(name, "LlamaForCausalLM"))
        return err_set(err, WEFT_ERR_UNSUPPORTED,
                       "config.json: architectures is '%.64s': weft imports BitNetForCausalLM, and "
                       "LlamaForCausalLM with ternary weights",
                       name);
    c->rope_interleaved = !c->sub_norms;
    return WEFT_OK;
}

static int read_fields(const json_t *root, config *c, weft_error *err) {
    for (size_t i = 0; i < CONFIG_FIELD_COUNT; i++) {
        const config_field *field = &config_fields[i];
        bool required = field->required || !strcmp(field->hf_key, "vocab_size");
        const json_t *value = json_object_get(root, field->hf_key);
        if ((!value || json_is_null(value)) && !required) continue;
        if (!json_is_integer(value))
            return err_set(err, WEFT_ERR_FORMAT, "config.json: %s is %s", field->hf_key,
                           value ? "not an integer" : "missing");
        int rc = config_field_set(c, field, field->hf_key, json_integer_value(value), err);
        if (rc) err_prefix(err, "config.json");
        TRY(rc);
    }
    return config_fill_heads(c, err);
}

/* *value from a key that must be a number if it is there. */
static int read_number(const json_t *object, const char *key, double *value, weft_error *err) {
    const json_t *number = json_object_get(object, key);
    if (!number || json_is_null(number)) return WEFT_OK;
    if (!json_is_number(number))
        return err_set(err, WEFT_ERR_FORMAT, "config.json: %s is not a number", key);
    *value = json_number_value(number);
    return WEFT_OK;
}

/* Llama 3.1's scaling: long wavelengths are stretched by the factor, short ones left, with a ramp
 * between. */
static int scale_llama3(const json_t *rope, config *c, weft_error *err) {
    double factor = 0, low = 0, high = 0, original = 0;
    TRY(read_number(rope, "factor", &factor, err));
    TRY(read_number(rope, "low_freq_factor", &low, err));
    TRY(read_number(rope, "high_freq_factor", &high, err));
    TRY(read_number(rope, "original_max_position_embeddings", &original, err));
    if (!(factor >= 1 && factor <= 1e6 && low > 0 && high > low && high <= 1e6 && original >= 1))
        return err_set(
            err, WEFT_ERR_FORMAT,
            "config.json: the llama3 rope scaling lacks a sensible factor, low_freq_factor, "
            "high_freq_factor or original_max_position_embeddings");
    for (int64_t i = 0; i < c->head_dim / 2; i++) {
        double length = 2 * M_PI * pow(c->rope_base, 2.0 * (double)i / (double)c->head_dim);
        double ramp = (original / length - low) / (high - low);
        ramp = ramp < 0 ? 0 : ramp > 1 ? 1 : ramp;
        c->rope_factors[i] = (float)(1 / ((1 - ramp) / factor + ramp));
    }
    return WEFT_OK;
}

static int read_rope(const json_t *root, config *c, weft_error *err) {
    const json_t *rope = json_object_get(root, "rope_parameters");
    if (!json_is_object(rope)) rope = json_object_get(root, "rope_scaling");
    double partial = 1, factor = 0;
    c->rope_base = 10000;
    TRY(read_number(root, "rope_theta", &c->rope_base, err));
    TRY(read_number(rope, "rope_theta", &c->rope_base, err));
    TRY(read_number(root, "partial_rotary_factor", &partial, err));
    TRY(read_number(rope, "partial_rotary_factor", &partial, err));
    if (partial != 1)
        return err_set(
            err, WEFT_ERR_UNSUPPORTED,
            "config.json: partial_rotary_factor is %g: partly rotated heads are not supported",
            partial);
    for (int64_t i = 0; i < c->head_dim / 2; i++) c->rope_factors[i] = 1;
    if (!json_is_object(rope)) return WEFT_OK;
    const json_t *type = json_object_get(rope, "rope_type");
    if (!type) type = json_object_get(rope, "type");
    const char *name = type ? text_of(type) : "default";
    if (!strcmp(name, "default")) return WEFT_OK;
    if (!strcmp(name, "llama3")) return scale_llama3(rope, c, err);
    if (strcmp(name, "linear"))
        return err_set(
            err, WEFT_ERR_UNSUPPORTED,
            "config.json: the rope scaling '%.64s' is not supported: default, linear and llama3 "
            "are",
            name);
    TRY(read_number(rope, "factor", &factor, err));
    return config_rope_scale(c, "config.json: the factor of the rope scaling", factor, err);
}

/* Keys that say that something is computed which weft does not. */
static int refuse_features(const json_t *root, weft_error *err) {
    static const char *const switches[] = {"attention_bias", "mlp_bias", "use_qk_norm"};
    static const struct {
        const char *key;
        double neutral;
    } numbers[] = {
        {"sliding_window", 0},          {"num_local_experts", 0},      {"num_experts", 0},
        {"final_logit_softcapping", 0}, {"attn_logit_softcapping", 0}, {"input_bits", 8}};
    for (size_t i = 0; i < sizeof switches / sizeof *switches; i++)
        if (json_is_true(json_object_get(root, switches[i])))
            return err_set(err, WEFT_ERR_UNSUPPORTED, "config.json: %s is true: not supported",
                           switches[i]);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        double value = numbers[i].neutral;
        TRY(read_number(root, numbers[i].key, &value, err));
        if (value != numbers[i].neutral)
            return err_set(err, WEFT_ERR_UNSUPPORTED, "config.json: %s is %g: not supported",
                           numbers[i].key, value);
    }
    return WEFT_OK;
}

static int check_quantisation(const json_t *root, weft_error *err) {
    const json_t *q = json_object_get(root, "quantization_config");
    if (!q || json_is_null(q)) return WEFT_OK;
    const char *method = text_of(json_object_get(q, "quant_method"));
    if (strcmp(method, "bitnet"))
        return err_set(err, WEFT_ERR_UNSUPPORTED,
                       "config.json: quant_method is '%.64s': only bitnet is imported", method);
    if (json_is_true(json_object_get(q, "use_rms_norm")))
        return err_set(
            err, WEFT_ERR_UNSUPPORTED,
            "config.json: use_rms_norm is true: norms inside projections are not supported");
    size_t i;
    json_t *module;
    json_array_foreach(json_object_get(q, "modules_to_not_convert"), i, module) {
        const char *name = text_of(module);
        size_t size = strlen(name);
        if (size > 5 && !strcmp(name + size - 5, "_proj"))
            return err_set(
                err, WEFT_ERR_UNSUPPORTED,
                "config.json: modules_to_not_convert names %.64s: every projection must be "
                "ternary",
                name);
    }
    return WEFT_OK;
}

static int read_root(const json_t *root, config *c, weft_error *err) {
    double epsilon = 0;
    TRY(read_class(root, c, err));
    TRY(read_fields(root, c, err));
    TRY(read_number(root, "rms_norm_eps", &epsilon, err));
    c->norm_epsilon = (float)epsilon;
    TRY(read_rope(root, c, err));
    TRY(config_check(c, err));
    TRY(refuse_features(root, err));
    TRY(check_quantisation(root, err));
    const char *act = text_of(json_object_get(root, "hidden_act"));
    TRY(config_activation_parse("config.json: hidden_act", act, strlen(act), &c->act, err));
    snprintf(c->architecture, sizeof c->architecture, "%s",
             !c->sub_norms                ? "llama"
             : c->act == ACTIVATION_RELU2 ? "bitnet-b1.58"
                                          : "bitnet");
    return WEFT_OK;
}

int config_from_hf(const hf_dir *dir, config *out, weft_error *err) {
    config c = {0};
    const json_t *tie = json_object_get(hf_config(dir), "tie_word_embeddings");
    TRY(read_root(hf_config(dir), &c, err));
    c.tied_head = json_is_boolean(tie) ? json_is_true(tie)
                                       : !safetensors_find(hf_tensors(dir), "lm_head.weight");
    *out = c;
    return WEFT_OK;
}
