/* The safetensors writer: one header, then the data without gaps, in the order given. */
#include "format/safetensors.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static json_t *describe_tensor(const tensor_view *t, uint64_t offset) {
    json_t *shape = json_array();
    for (int i = 0; i < t->dim_count; i++)
        json_array_append_new(shape, json_integer((json_int_t)t->shape[i]));
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", tensor_type_name(t->type), "shape", shape,
                     "data_offsets", (json_int_t)offset, (json_int_t)(offset + t->size_bytes));
}

static int check_tensor(const tensor_view *t, weft_error *err) {
    bool fits =
        t->dim_count >= 0 && t->dim_count <= TENSOR_DIMS_MAX && tensor_block_values(t->type) == 1;
    int64_t count = 1;
    for (int i = 0; fits && i < t->dim_count; i++) {
        fits = t->shape[i] >= 1 && t->shape[i] <= INT64_MAX / count;
        if (fits) count *= t->shape[i];
    }
    if (fits && t->size_bytes == tensor_bytes(t->type, 1, count)) return WEFT_OK;
    return err_set(err, WEFT_ERR_ARGUMENT,
                   "the tensor '%.100s' cannot be written: type %s with %zu bytes does not match "
                   "its shape",
                   t->name, tensor_type_name(t->type), t->size_bytes);
}

static int add_tensors(json_t *root, const tensor_view *tensors, size_t count, weft_error *err) {
    uint64_t offset = 0;
    for (size_t i = 0; i < count; i++) {
        const tensor_view *t = &tensors[i];
        TRY(check_tensor(t, err));
        if (json_object_get(root, t->name) || !strcmp(t->name, "__metadata__"))
            return err_set(err, WEFT_ERR_ARGUMENT, "the tensor '%.100s' was added twice", t->name);
        if (json_object_set_new(root, t->name, describe_tensor(t, offset)))
            return err_set(err, WEFT_ERR_ARGUMENT,
                           "cannot describe the tensor '%.100s': its name is not UTF-8, or memory "
                           "is short",
                           t->name);
        offset += t->size_bytes;
    }
    return WEFT_OK;
}

static int add_metadata(json_t *root, const char *const *metadata, size_t count, weft_error *err) {
    if (!count) return WEFT_OK;
    json_t *object = json_object();
    int failed = !object;
    for (size_t i = 0; i < count && !failed; i++)
        failed = json_object_set_new(object, metadata[2 * i], json_string(metadata[2 * i + 1]));
    if (!failed && !json_object_set(root, "__metadata__", object)) {
        json_decref(object);
        return WEFT_OK;
    }
    json_decref(object);
    return err_set(err, WEFT_ERR_ARGUMENT,
                   "cannot write the metadata: a text is not UTF-8, or memory is short");
}

/* The header as text with its length in front, padded so that data starts on a multiple of 8. */
static int write_header(os_writer *out, const json_t *root, weft_error *err) {
    char *text = json_dumps(root, JSON_COMPACT);
    if (!text) return err_set(err, WEFT_ERR_MEMORY, "out of memory writing safetensors");
    size_t size = strlen(text), padding = (8 - size % 8) % 8;
    uint8_t length[8];
    for (int i = 0; i < 8; i++) length[i] = (uint8_t)((uint64_t)(size + padding) >> 8 * i);
    int rc = size + padding > SAFETENSORS_HEADER_MAX
                 ? err_set(err, WEFT_ERR_RANGE, "the header is too large: %zu bytes", size)
                 : WEFT_OK;
    if (!rc) rc = os_writer_write(out, length, 8, err);
    if (!rc) rc = os_writer_write(out, text, size, err);
    if (!rc) rc = os_writer_write(out, "        ", padding, err);
    free(text);
    return rc;
}

static int write_file(const char *path, const json_t *root, const tensor_view *tensors,
                      size_t count, weft_error *err) {
    os_writer *out;
    TRY(os_writer_open(path, &out, err));
    int rc = write_header(out, root, err);
    for (size_t i = 0; i < count && !rc; i++)
        rc = os_writer_write(out, tensors[i].data, tensors[i].size_bytes, err);
    if (!rc) return os_writer_commit(&out, err);
    os_writer_abort(&out);
    return rc;
}

int safetensors_save(const char *path, const tensor_view *tensors, size_t count,
                     const char *const *metadata, size_t metadata_count, weft_error *err) {
    if (count > SAFETENSORS_TENSORS_MAX)
        return err_set(err, WEFT_ERR_RANGE, "more than %d tensors", SAFETENSORS_TENSORS_MAX);
    json_t *root = json_object();
    if (!root) return err_set(err, WEFT_ERR_MEMORY, "out of memory writing safetensors");
    int rc = add_metadata(root, metadata, metadata_count, err);
    if (!rc) rc = add_tensors(root, tensors, count, err);
    if (!rc) rc = write_file(path, root, tensors, count, err);
    json_decref(root);
    return rc;
}
