/* weft_file_describe: what is in a GGUF or safetensors file, as JSON. */
#include "base/bytes.h"
#include "base/os.h"
#include "format/gguf.h"
#include "format/safetensors.h"

#include <jansson.h>
#include <string.h>

static json_t *describe_tensor(const tensor_view *t) {
    json_t *shape = json_array();
    for (int i = 0; i < t->dim_count; i++)
        json_array_append_new(shape, json_integer((json_int_t)t->shape[i]));
    return json_pack("{s:s, s:s, s:o, s:I}", "name", t->name, "type", tensor_type_name(t->type),
                     "shape", shape, "size_bytes", (json_int_t)t->size_bytes);
}

static int describe_gguf(const gguf_file *file, json_t *root, weft_error *err) {
    static const char *const types[] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                        "bool", "string", "array", "u64", "i64", "f64"};
    json_t *keys = json_array(), *tensors = json_array();
    json_object_set_new(root, "kind", json_string("gguf"));
    json_object_set_new(root, "version", json_integer(gguf_version(file)));
    json_object_set_new(root, "size_bytes", json_integer((json_int_t)gguf_size_bytes(file)));
    json_object_set_new(root, "keys", keys);
    json_object_set_new(root, "tensors", tensors);
    for (size_t i = 0; i < gguf_key_count(file); i++) {
        gguf_type type;
        bytes value = {0};
        const char *name = gguf_key_at(file, i, &type);
        int rc = gguf_describe(file, i, &value, err);
        if (!rc)
            json_array_append_new(keys,
                                  json_pack("{s:s, s:s, s:s}", "name", name, "type", types[type],
                                            "value", value.data ? value.data : ""));
        bytes_free(&value);
        if (rc) return rc;
    }
    for (size_t i = 0; i < gguf_tensor_count(file); i++)
        json_array_append_new(tensors, describe_tensor(gguf_tensor_at(file, i)));
    return WEFT_OK;
}

static void describe_safetensors(const safetensors_file *file, json_t *root) {
    json_t *tensors = json_array();
    uint64_t size = 0;
    for (size_t i = 0; i < safetensors_count(file); i++) {
        json_array_append_new(tensors, describe_tensor(safetensors_at(file, i)));
        size += safetensors_at(file, i)->size_bytes;
    }
    json_object_set_new(root, "kind", json_string("safetensors"));
    json_object_set_new(root, "version", json_integer(0));
    json_object_set_new(root, "size_bytes", json_integer((json_int_t)size));
    json_object_set_new(root, "keys", json_array());
    json_object_set_new(root, "tensors", tensors);
}

static bool looks_like_safetensors(const char *path) {
    size_t n = strlen(path);
    return os_is_dir(path) || (n > 12 && strcmp(path + n - 12, ".safetensors") == 0);
}

int weft_file_describe(const char *path, char **out, weft_error *err) {
    int rc;
    *out = NULL;
    json_t *root = json_object();
    if (looks_like_safetensors(path)) {
        safetensors_file *file;
        rc = safetensors_open(path, &file, err);
        if (!rc) describe_safetensors(file, root);
        safetensors_close(&file);
    } else {
        gguf_file *file;
        rc = gguf_open(path, &file, err);
        if (!rc) rc = describe_gguf(file, root, err);
        gguf_close(&file);
    }
    if (!rc) {
        *out = json_dumps(root, JSON_INDENT(1));
        if (!*out) rc = err_set(err, WEFT_ERR_MEMORY, "out of memory describing %s", path);
    }
    json_decref(root);
    return rc;
}
