/* Adapters as PEFT folders: adapter_model.safetensors and the adapter_config.json that explains it.
 */
#include "model/adapter_parts.h"

#include "base/bytes.h"
#include "base/os.h"
#include "format/safetensors.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PEFT_CONFIG_BYTES_MAX (4u << 20)
#define PEFT_PREFIX           "base_model.model.model.layers."

static const char weights_file[] = "adapter_model.safetensors";
static const char config_file[] = "adapter_config.json";

/* A module's name as PEFT's patterns see it. */
static void module_name(int64_t layer, target t, char name[ADAPTER_NAME_MAX]) {
    snprintf(name, ADAPTER_NAME_MAX, "model.layers.%lld.%s", (long long)layer, target_module(t));
}

static void peft_name(int64_t layer, target t, bool is_b, char name[ADAPTER_NAME_MAX]) {
    snprintf(name, ADAPTER_NAME_MAX, PEFT_PREFIX "%lld.%s.lora_%c.weight", (long long)layer,
             target_module(t), is_b ? 'B' : 'A');
}

static const adapter_form peft_form = {peft_name, true};

static int join(bytes *path, const char *dir, const char *file, weft_error *err) {
    bytes_clear(path);
    if (bytes_printf(path, "%s/%s", dir, file)) return WEFT_OK;
    return err_set(err, WEFT_ERR_MEMORY, "no memory for a path in %s", dir);
}

static int open_config(const char *dir, peft_config **out, weft_error *err) {
    bytes path = {0};
    char *text = NULL;
    size_t size;
    int rc = join(&path, dir, config_file, err);
    if (!rc && !os_is_file(path.data))
        rc = err_set(err, WEFT_ERR_IO, "%s is missing: give a PEFT folder or a GGUF adapter file",
                     path.data);
    if (!rc) rc = os_read_file(path.data, PEFT_CONFIG_BYTES_MAX, &text, &size, err);
    if (!rc && (rc = peft_config_parse(text, size, out, err))) err_prefix(err, "%s", path.data);
    free(text);
    bytes_free(&path);
    return rc;
}

static int open_weights(const char *dir, safetensors_file **out, weft_error *err) {
    bytes path = {0};
    int rc = join(&path, dir, "adapter_model.bin", err);
    bool pickled = !rc && os_is_file(path.data);
    if (!rc) rc = join(&path, dir, weights_file, err);
    if (!rc && pickled && !os_is_file(path.data))
        rc = err_set(
            err, WEFT_ERR_UNSUPPORTED,
            "%s holds adapter_model.bin, a pickle, which is not read: save it as safetensors", dir);
    if (!rc) rc = safetensors_open(path.data, out, err);
    bytes_free(&path);
    return rc;
}

/* A tensor that is no LoRA matrix of this model, in the words that fit it best. */
static int refuse_tensor(const char *name, const config *c, weft_error *err) {
    if (strstr(name, "lora_magnitude_vector"))
        return err_set(err, WEFT_ERR_UNSUPPORTED, "tensor %s: DoRA is not supported", name);
    if (strstr(name, "lora_embedding_"))
        return err_set(err, WEFT_ERR_UNSUPPORTED, "tensor %s: LoRA on embeddings is not supported",
                       name);
    if (strstr(name, ".bias"))
        return err_set(err, WEFT_ERR_UNSUPPORTED, "tensor %s: biases are not supported", name);
    return err_set(err, WEFT_ERR_UNSUPPORTED,
                   "tensor %s is not a LoRA matrix of a projection of this model's %lld layers",
                   name, (long long)c->layer_count);
}

static int collect(const safetensors_file *file, const config *c, adapter_source *sources,
                   weft_error *err) {
    for (size_t i = 0; i < safetensors_count(file); i++) {
        const tensor_view *t = safetensors_at(file, i);
        adapter_name name;
        if (!adapter_name_parse(t->name, PEFT_PREFIX, target_module, ".lora_A.weight",
                                ".lora_B.weight", c, &name))
            return refuse_tensor(t->name, c, err);
        TRY(adapter_source_put(sources, &name, t, err));
    }
    return WEFT_OK;
}

/* Scales from the configuration, which must agree with the tensors about the ranks. */
static int explain(const peft_config *p, const config *c, adapter_source *sources,
                   weft_error *err) {
    for (int64_t i = 0; i < c->layer_count * TARGET_COUNT; i++) {
        char module[ADAPTER_NAME_MAX];
        int32_t rank;
        if (!sources[i].a) continue;
        module_name(i / TARGET_COUNT, (target)(i % TARGET_COUNT), module);
        TRY(peft_config_pair(p, module, &rank, &sources[i].scale, err));
        if (sources[i].a->dim_count != 2 || sources[i].a->shape[0] != rank)
            return err_set(err, WEFT_ERR_FORMAT,
                           "tensor %s does not have the rank %d that %s gives", sources[i].a->name,
                           rank, config_file);
    }
    return WEFT_OK;
}

int adapter_load_peft(const char *dir, const config *c, backend *be, adapter **out,
                      weft_error *err) {
    peft_config *p = NULL;
    safetensors_file *file = NULL;
    adapter_source *sources = calloc((size_t)c->layer_count * TARGET_COUNT, sizeof *sources);
    int rc = sources ? open_config(dir, &p, err)
                     : err_set(err, WEFT_ERR_MEMORY, "no memory to read the adapter");
    if (!rc) rc = open_weights(dir, &file, err);
    if (!rc) rc = collect(file, c, sources, err);
    if (!rc) rc = explain(p, c, sources, err);
    if (!rc) rc = adapter_assemble(c, be, sources, &peft_form, out, err);
    if (!rc) peft_config_base(p, &(*out)->rank, &(*out)->alpha, &(*out)->rslora);
    free(sources);
    safetensors_close(&file);
    peft_config_free(&p);
    return rc;
}

/* Pairs that differ from the adapter's own rank and alpha, by module name. */
static json_t *pattern_json(const adapter *a, bool ranks) {
    json_t *pattern = json_object();
    for (int64_t i = 0; i < a->layer_count * TARGET_COUNT; i++) {
        const lora_pair *pair = &a->pairs[i];
        char module[ADAPTER_NAME_MAX];
        if (!pair->rank) continue;
        module_name(i / TARGET_COUNT, (target)(i % TARGET_COUNT), module);
        if (ranks && pair->rank != a->rank)
            json_object_set_new(pattern, module, json_integer(pair->rank));
        if (!ranks && pair->scale != adapter_scale(a->alpha, pair->rank, a->rslora)) {
            double unit = a->rslora ? sqrt(pair->rank) : (double)pair->rank;
            json_object_set_new(pattern, module, json_real(pair->scale * unit));
        }
    }
    return pattern;
}

/* "q_proj" where all layers or none have it; else every module by its name. */
static json_t *targets_json(const adapter *a) {
    json_t *list = json_array();
    bool everywhere = true;
    for (int64_t i = 0; i < a->layer_count * TARGET_COUNT; i++)
        everywhere = everywhere && (a->targets >> i % TARGET_COUNT & 1) == (a->pairs[i].rank > 0);
    for (int64_t i = 0; i < a->layer_count * TARGET_COUNT; i++) {
        char module[ADAPTER_NAME_MAX];
        if (!a->pairs[i].rank || (everywhere && i >= TARGET_COUNT)) continue;
        module_name(i / TARGET_COUNT, (target)(i % TARGET_COUNT), module);
        json_array_append_new(list, json_string(everywhere ? target_name((target)i) : module));
    }
    return list;
}

/* A whole number without a fraction, as people write alpha. */
static json_t *number_json(double value) {
    return value == floor(value) && fabs(value) < 1e9 ? json_integer((json_int_t)value)
                                                      : json_real(value);
}

static char *config_text(const adapter *a, const char *base_model) {
    json_t *root = json_pack(
        "{s:s, s:n, s:s?, s:s, s:b, s:b, s:b, s:n, s:n, s:o, s:f, s:n, s:s, s:i, s:o, s:n, s:o, "
        "s:b, "
        "s:b, s:o}",
        "peft_type", "LORA", "auto_mapping", "base_model_name_or_path", base_model, "bias", "none",
        "fan_in_fan_out", 0, "inference_mode", 1, "init_lora_weights", 1, "layers_pattern",
        "layers_to_transform", "lora_alpha", number_json(a->alpha), "lora_dropout", 0.0,
        "modules_to_save", "task_type", "CAUSAL_LM", "r", (int)a->rank, "rank_pattern",
        pattern_json(a, true), "revision", "target_modules", targets_json(a), "use_dora", 0,
        "use_rslora", (int)a->rslora, "alpha_pattern", pattern_json(a, false));
    char *text = root ? json_dumps(root, JSON_INDENT(2) | JSON_SORT_KEYS) : NULL;
    json_decref(root);
    return text;
}

static int save_config(const adapter *a, const char *path, const char *base_model,
                       weft_error *err) {
    char *text = config_text(a, base_model);
    if (!text) return err_set(err, WEFT_ERR_MEMORY, "no memory to write %s", path);
    int rc = os_write_file(path, text, strlen(text), err);
    free(text);
    return rc;
}

int adapter_save_peft(const adapter *a, const config *c, const char *dir, const char *base_model,
                      weft_error *err) {
    static const char *const metadata[] = {"format", "pt"};
    bytes path = {0};
    adapter_tensors tensors = {0};
    int rc;
    TRY_OR(os_make_dirs(dir, err), done);
    TRY_OR(adapter_tensors_make(a, c, &peft_form, NULL, &tensors, err), done);
    TRY_OR(join(&path, dir, weights_file, err), done);
    TRY_OR(safetensors_save(path.data, tensors.views, tensors.count, metadata, 1, err), done);
    TRY_OR(join(&path, dir, config_file, err), done);
    rc = save_config(a, path.data, base_model, err);
done:
    adapter_tensors_free(&tensors);
    bytes_free(&path);
    return rc;
}
