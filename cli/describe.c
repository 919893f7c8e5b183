/* Summaries of files. */
#include "describe.h"

#include "base/os.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONFIG_BYTES_MAX (1u << 20)
#define FILE_PATH_BYTES  4200

bool describe_value(const json_t *root, const char *key, char *value, size_t size) {
    const json_t *item;
    size_t i;
    json_array_foreach(json_object_get(root, "keys"), i, item) {
        if (strcmp(json_string_value(json_object_get(item, "name")), key) != 0) continue;
        const char *text = json_string_value(json_object_get(item, "value"));
        size_t n = strlen(text);
        bool quoted = n >= 2 && text[0] == '"' && text[n - 1] == '"';
        snprintf(value, size, "%.*s", (int)(quoted ? n - 2 : n), text + quoted);
        return true;
    }
    return false;
}

static json_int_t value_count(const json_t *tensor) {
    const json_t *dim;
    json_int_t count = 1;
    size_t i;
    json_array_foreach(json_object_get(tensor, "shape"), i, dim) count *= json_integer_value(dim);
    return count;
}

static void add_to(json_t *row, const char *name, json_int_t n) {
    json_object_set_new(row, name,
                        json_integer(json_integer_value(json_object_get(row, name)) + n));
}

/* One row an encoding, in the order of first appearance. */
static json_t *count_types(const json_t *root) {
    json_t *rows = json_array(), *row = NULL, *tensor;
    size_t i, k;
    json_array_foreach(json_object_get(root, "tensors"), i, tensor) {
        const char *type = json_string_value(json_object_get(tensor, "type"));
        json_array_foreach(
            rows, k, row) if (!strcmp(json_string_value(json_object_get(row, "type")), type)) break;
        if (k == json_array_size(rows)) {
            row = json_pack("{s:s}", "type", type);
            json_array_append_new(rows, row);
        }
        add_to(row, "tensors", 1);
        add_to(row, "values", value_count(tensor));
        add_to(row, "size_bytes", json_integer_value(json_object_get(tensor, "size_bytes")));
    }
    json_array_foreach(rows, k, row) {
        double values = (double)json_integer_value(json_object_get(row, "values"));
        double bits = 8 * (double)json_integer_value(json_object_get(row, "size_bytes"));
        json_object_set_new(row, "bits_per_value", json_real(values > 0 ? bits / values : 0));
    }
    return rows;
}

/* ---- adapters ---- */

/* The module in "blk.3.attn_q.weight.lora_a" or "...self_attn.q_proj.lora_A.weight". */
static bool module_of(const char *tensor, char module[64]) {
    const char *end = strstr(tensor, ".weight.lora_a");
    if (!end) end = strstr(tensor, ".lora_A.");
    if (!end) return false;
    const char *begin = end;
    while (begin > tensor && begin[-1] != '.') begin--;
    snprintf(module, 64, "%.*s", (int)(end - begin), begin);
    return true;
}

/* Is word one of the comma-separated list? */
static bool is_listed(const char *list, const char *word) {
    size_t n = strlen(word);
    for (const char *at = list; (at = strstr(at, word)); at += n)
        if ((at == list || at[-1] == ' ') && (!at[n] || at[n] == ',')) return true;
    return false;
}

/* Rank and targets show in the tensors; NULL if none of them is half of a LoRA pair. */
static json_t *adapter_of(const json_t *root) {
    const json_t *tensor;
    char module[64], targets[512] = "";
    json_int_t rank = 0, parameters = 0;
    size_t i;
    json_array_foreach(json_object_get(root, "tensors"), i, tensor) {
        parameters += value_count(tensor);
        if (!module_of(json_string_value(json_object_get(tensor, "name")), module)) continue;
        json_int_t r = json_integer_value(json_array_get(json_object_get(tensor, "shape"), 0));
        if (r > rank) rank = r;
        if (is_listed(targets, module)) continue;
        size_t n = strlen(targets);
        snprintf(targets + n, sizeof targets - n, "%s%s", n ? ", " : "", module);
    }
    if (!rank) return NULL;
    return json_pack("{s:I, s:s, s:I}", "rank", rank, "targets", targets, "parameters", parameters);
}

/* alpha and rsLoRA: from GGUF metadata, or from the config beside the safetensors file. */
static void add_config(json_t *adapter, const json_t *root, const char *path) {
    char value[64], config_path[FILE_PATH_BYTES], *text;
    size_t size;
    weft_error ignored;
    if (describe_value(root, "adapter.lora.alpha", value, sizeof value))
        json_object_set_new(adapter, "alpha", json_real(strtod(value, NULL)));
    const char *slash = os_is_dir(path) ? path + strlen(path) : strrchr(path, '/');
    snprintf(config_path, sizeof config_path, "%.*s%sadapter_config.json",
             slash ? (int)(slash - path) : 0, path, slash ? "/" : "");
    if (json_object_get(adapter, "alpha") || !os_is_file(config_path)) return;
    if (os_read_file(config_path, CONFIG_BYTES_MAX, &text, &size, &ignored)) return;
    json_t *config = json_loadb(text, size, 0, NULL);
    free(text);
    json_t *alpha = json_object_get(config, "lora_alpha");
    if (json_is_number(alpha)) json_object_set(adapter, "alpha", alpha);
    json_object_set_new(adapter, "rslora",
                        json_boolean(json_is_true(json_object_get(config, "use_rslora"))));
    json_decref(config);
}

/* A PEFT folder is described by the file in it; other paths as they are. */
static const char *file_in(const char *path, char file[FILE_PATH_BYTES]) {
    int n = snprintf(file, FILE_PATH_BYTES, "%s/adapter_model.safetensors", path);
    return n > 0 && n < FILE_PATH_BYTES && os_is_dir(path) && os_is_file(file) ? file : path;
}

int describe_file(const char *path, json_t **root, weft_error *err) {
    char *text, file[FILE_PATH_BYTES];
    *root = NULL;
    path = file_in(path, file);
    TRY(weft_file_describe(path, &text, err));
    *root = json_loads(text, 0, NULL);
    weft_free(text);
    if (!*root) return err_set(err, WEFT_ERR_MEMORY, "out of memory describing %s", path);
    json_object_set_new(*root, "types", count_types(*root));
    json_t *adapter = adapter_of(*root);
    if (!adapter) return WEFT_OK;
    add_config(adapter, *root, path);
    json_object_set_new(*root, "adapter", adapter);
    return WEFT_OK;
}
