/* A Hugging Face model folder. */
#include "format/hf.h"

#include "base/bytes.h"
#include "format/json_file.h"

#include <stdlib.h>
#include <string.h>

struct hf_dir {
    char *path;
    json_t *config, *generation_config; /* the latter may be NULL */
    safetensors_file *tensors;
};

static int fail_memory(weft_error *err) {
    return err_set(err, WEFT_ERR_MEMORY, "out of memory opening a model folder");
}

/* Read folder/name into *root; a missing optional file leaves it NULL. */
static int read_json(const char *folder, const char *name, bool optional, json_t **root,
                     weft_error *err) {
    bytes path = {0};
    if (!bytes_printf(&path, "%s/%s", folder, name)) return fail_memory(err);
    int rc = WEFT_OK;
    if (os_is_file(path.data))
        rc = json_file_read(path.data, HF_CONFIG_BYTES_MAX, root, err);
    else if (!optional)
        rc = err_set(err, WEFT_ERR_IO,
                     "the folder %s has no %s: is it a Hugging Face model folder?", folder, name);
    bytes_free(&path);
    return rc;
}

static int open_into(hf_dir *dir, weft_error *err) {
    TRY(read_json(dir->path, "config.json", false, &dir->config, err));
    TRY(read_json(dir->path, "generation_config.json", true, &dir->generation_config, err));
    return safetensors_open(dir->path, &dir->tensors, err);
}

int hf_dir_open(const char *path, hf_dir **out, weft_error *err) {
    *out = NULL;
    if (!os_is_dir(path)) return err_set(err, WEFT_ERR_IO, "%s is not a folder", path);
    hf_dir *dir = calloc(1, sizeof *dir);
    if (!dir || !(dir->path = strdup(path))) {
        free(dir);
        return fail_memory(err);
    }
    int rc = open_into(dir, err);
    if (rc)
        hf_dir_close(&dir);
    else
        *out = dir;
    return rc;
}

void hf_dir_close(hf_dir **dir) {
    hf_dir *d = *dir;
    if (!d) return;
    *dir = NULL;
    safetensors_close(&d->tensors);
    json_decref(d->config);
    json_decref(d->generation_config);
    free(d->path);
    free(d);
}

const char *hf_path(const hf_dir *dir) {
    return dir->path;
}

const json_t *hf_config(const hf_dir *dir) {
    return dir->config;
}

const json_t *hf_generation_config(const hf_dir *dir) {
    return dir->generation_config;
}

const safetensors_file *hf_tensors(const hf_dir *dir) {
    return dir->tensors;
}

/* The value at a dotted key, or NULL; null counts as missing. */
static const json_t *find(const hf_dir *dir, const char *key) {
    const json_t *at = dir->config;
    for (const char *dot; at && (dot = strchr(key, '.')); key = dot + 1) {
        char *part = strndup(key, (size_t)(dot - key));
        at = part ? json_object_get(at, part) : NULL;
        free(part);
    }
    const json_t *value = json_object_get(at, key);
    return json_is_null(value) ? NULL : value;
}

/* Why the value of a key is not what was asked for. */
static int fail_key(const hf_dir *dir, const json_t *value, const char *key, const char *kind,
                    weft_error *err) {
    if (!value) return err_set(err, WEFT_ERR_FORMAT, "%s/config.json has no '%s'", dir->path, key);
    return err_set(err, WEFT_ERR_FORMAT, "%s/config.json: '%s' is not %s", dir->path, key, kind);
}

bool hf_config_has(const hf_dir *dir, const char *key) {
    return find(dir, key) != NULL;
}

int hf_config_i64(const hf_dir *dir, const char *key, int64_t *value, weft_error *err) {
    const json_t *found = find(dir, key);
    if (!json_is_integer(found)) return fail_key(dir, found, key, "an integer", err);
    *value = json_integer_value(found);
    return WEFT_OK;
}

int hf_config_f64(const hf_dir *dir, const char *key, double *value, weft_error *err) {
    const json_t *found = find(dir, key);
    if (!json_is_number(found)) return fail_key(dir, found, key, "a number", err);
    *value = json_number_value(found);
    return WEFT_OK;
}

int hf_config_bool(const hf_dir *dir, const char *key, bool *value, weft_error *err) {
    const json_t *found = find(dir, key);
    if (!json_is_boolean(found)) return fail_key(dir, found, key, "true or false", err);
    *value = json_is_true(found);
    return WEFT_OK;
}

int hf_config_text(const hf_dir *dir, const char *key, const char **value, weft_error *err) {
    const json_t *found = find(dir, key);
    if (!json_is_string(found)) return fail_key(dir, found, key, "a text", err);
    *value = json_string_value(found);
    return WEFT_OK;
}
