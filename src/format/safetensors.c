/* The safetensors reader. A file may stand for several shards; their tensors form one list. Names
 * borrow from the parsed headers, which are kept for that. */
#include "format/safetensors.h"

#include "base/bytes.h"
#include "format/json_file.h"
#include "format/names.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INDEX_NAME      "model.safetensors.index.json"
#define INDEX_BYTES_MAX (64u << 20)

typedef struct shard {
    os_map map; /* data NULL if the memory is borrowed */
    json_t *header;
} shard;

struct safetensors_file {
    shard *shards;
    size_t shard_count;
    tensor_view *tensors;
    size_t count;
    name_index *by_name;
};

static int fail_memory(weft_error *err) {
    return err_set(err, WEFT_ERR_MEMORY, "out of memory reading safetensors");
}

static int fail_tensor(weft_error *err, const char *name, const char *what) {
    return err_set(err, WEFT_ERR_FORMAT, "the tensor '%.100s' %s", name, what);
}

static int read_dtype(const json_t *info, tensor_view *t, weft_error *err) {
    const char *dtype = json_string_value(json_object_get(info, "dtype"));
    if (!dtype) return fail_tensor(err, t->name, "has no dtype");
    static const tensor_type types[] = {TENSOR_F32, TENSOR_F16, TENSOR_BF16, TENSOR_F64,
                                        TENSOR_I8,  TENSOR_U8,  TENSOR_I32,  TENSOR_I64};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (strcmp(dtype, tensor_type_name(types[i]))) continue;
        t->type = types[i];
        return WEFT_OK;
    }
    return err_set(err, WEFT_ERR_UNSUPPORTED,
                   "the tensor '%.100s' has dtype %.20s, which is not read", t->name, dtype);
}

/* Fills dim_count and shape; *count is the number of values, 0 for an empty tensor. */
static int read_shape(const json_t *info, tensor_view *t, int64_t *count, weft_error *err) {
    const json_t *shape = json_object_get(info, "shape");
    if (!json_is_array(shape)) return fail_tensor(err, t->name, "has no shape");
    size_t dims = json_array_size(shape);
    if (dims > TENSOR_DIMS_MAX)
        return err_set(err, WEFT_ERR_RANGE,
                       "the tensor '%.100s' has %zu dimensions; at most %d are "
                       "read",
                       t->name, dims, TENSOR_DIMS_MAX);
    int64_t product = 1;
    for (size_t i = 0; i < dims; i++) {
        const json_t *item = json_array_get(shape, i);
        int64_t dim = json_integer_value(item);
        if (!json_is_integer(item) || dim < 0 || (dim && product > INT64_MAX / dim))
            return fail_tensor(err, t->name, "has an impossible shape");
        t->shape[i] = dim;
        product *= dim;
    }
    t->dim_count = (int)dims;
    *count = product;
    return WEFT_OK;
}

static int read_place(const json_t *info, tensor_view *t, const uint8_t *data, size_t room,
                      weft_error *err) {
    const json_t *offsets = json_object_get(info, "data_offsets");
    const json_t *first = json_array_get(offsets, 0), *last = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(first) || !json_is_integer(last))
        return fail_tensor(err, t->name, "has no data_offsets");
    int64_t begin = json_integer_value(first), end = json_integer_value(last);
    if (begin < 0 || end < begin)
        return fail_tensor(err, t->name, "has data_offsets that run backwards");
    if ((uint64_t)end > room)
        return err_set(err, WEFT_ERR_FORMAT,
                       "the tensor '%.100s' ends at byte %lld of the data, which has %zu; the file "
                       "is damaged or was not downloaded completely",
                       t->name, (long long)end, room);
    t->data = data + begin;
    t->size_bytes = (size_t)(end - begin);
    return WEFT_OK;
}

static int read_tensor(const char *name, const json_t *info, const uint8_t *data, size_t room,
                       tensor_view *t, weft_error *err) {
    *t = (tensor_view){.name = name};
    if (!json_is_object(info)) return fail_tensor(err, name, "is not described by an object");
    int64_t count = 0;
    TRY(read_dtype(info, t, err));
    TRY(read_shape(info, t, &count, err));
    TRY(read_place(info, t, data, room, err));
    size_t expected = count ? tensor_bytes(t->type, 1, count) : 0;
    if (t->size_bytes != expected || (count && !expected))
        return fail_tensor(err, name, "has a shape that does not match its data_offsets");
    return WEFT_OK;
}

static int check_metadata(const json_t *metadata, weft_error *err) {
    const char *key;
    json_t *value;
    if (!json_is_object(metadata))
        return err_set(err, WEFT_ERR_FORMAT, "__metadata__ is not a JSON object");
    json_object_foreach((json_t *)(uintptr_t)metadata, key, value) {
        if (!json_is_string(value))
            return err_set(err, WEFT_ERR_FORMAT, "__metadata__ '%.100s' is not a string", key);
    }
    return WEFT_OK;
}

/* Length of the JSON header, checked to lie inside the file. */
static int read_header_length(const uint8_t *data, size_t size, size_t *length, weft_error *err) {
    if (size >= 4 && !memcmp(data, "GGUF", 4))
        return err_set(err, WEFT_ERR_FORMAT, "this is a GGUF file, not safetensors");
    if (size < 8)
        return err_set(err, WEFT_ERR_FORMAT,
                       "the file ends too early: %zu bytes are no "
                       "safetensors file",
                       size);
    uint64_t n = 0;
    for (int i = 7; i >= 0; i--) n = n << 8 | data[i];
    if (n > SAFETENSORS_HEADER_MAX)
        return err_set(err, WEFT_ERR_RANGE,
                       "the header claims %llu bytes, at most %u are read; is "
                       "this a safetensors file?",
                       (unsigned long long)n, SAFETENSORS_HEADER_MAX);
    if (n > size - 8)
        return err_set_at(err, WEFT_ERR_FORMAT, size,
                          "the file ends too early: the header claims %llu bytes, %zu are left",
                          (unsigned long long)n, size - 8);
    *length = (size_t)n;
    return WEFT_OK;
}

static int reserve_tensors(safetensors_file *f, size_t added, weft_error *err) {
    if (added > SAFETENSORS_TENSORS_MAX - f->count)
        return err_set(err, WEFT_ERR_RANGE, "more than %d tensors", SAFETENSORS_TENSORS_MAX);
    size_t capacity = f->count + added + 1;
    tensor_view *tensors = realloc(f->tensors, capacity * sizeof *tensors);
    if (!tensors) return fail_memory(err);
    f->tensors = tensors;
    return WEFT_OK;
}

static int add_tensors(safetensors_file *f, json_t *header, const uint8_t *data, size_t room,
                       weft_error *err) {
    const char *name;
    json_t *info;
    TRY(reserve_tensors(f, json_object_size(header), err));
    json_object_foreach(header, name, info) {
        if (!strcmp(name, "__metadata__")) {
            TRY(check_metadata(info, err));
            continue;
        }
        TRY(read_tensor(name, info, data, room, &f->tensors[f->count], err));
        f->count++;
    }
    return WEFT_OK;
}

/* Add the tensors of one file in memory. On failure the file owns what was added so far. */
static int add_shard(safetensors_file *f, const uint8_t *data, size_t size, weft_error *err) {
    shard *shards = realloc(f->shards, (f->shard_count + 1) * sizeof *shards);
    if (!shards) return fail_memory(err);
    f->shards = shards;
    size_t length = 0;
    json_t *header;
    TRY(read_header_length(data, size, &length, err));
    int rc = json_file_parse((const char *)data + 8, length, &header, err);
    if (rc) {
        if (err) err->offset += 8;
        err_prefix(err, "the header");
        return rc;
    }
    shards[f->shard_count++] = (shard){.header = header};
    return add_tensors(f, header, data + 8 + length, size - 8 - length, err);
}

static int add_file(safetensors_file *f, const char *path, weft_error *err) {
    os_map map;
    TRY(os_map_open(path, &map, err));
    size_t before = f->shard_count;
    int rc = add_shard(f, map.data, map.size, err);
    if (f->shard_count > before)
        f->shards[before].map = map;
    else
        os_map_close(&map);
    if (rc) err_prefix(err, "%s", path);
    return rc;
}

/* Sort the names and check all tensors against each other. */
static int finish(safetensors_file *f, weft_error *err) {
    f->by_name = malloc((f->count + 1) * sizeof *f->by_name);
    if (!f->by_name) return fail_memory(err);
    for (size_t i = 0; i < f->count; i++) f->by_name[i] = (name_index){f->tensors[i].name, i};
    const char *twice = names_sort(f->by_name, f->count);
    if (twice) return fail_tensor(err, twice, "is there twice");
    return tensors_check_overlap(f->tensors, f->count, err);
}

/* A shard's file name comes from outside: it must not lead out of the folder. */
static int add_named_shard(safetensors_file *f, const char *folder, const char *name,
                           weft_error *err) {
    if (!*name || strchr(name, '/') || !strcmp(name, "..") || !strcmp(name, "."))
        return err_set(err, WEFT_ERR_FORMAT, "%s/" INDEX_NAME ": '%.100s' is not a file name",
                       folder, name);
    bytes path = {0};
    if (!bytes_printf(&path, "%s/%s", folder, name)) return fail_memory(err);
    int rc = add_file(f, path.data, err);
    bytes_free(&path);
    return rc;
}

/* Open every file that the weight map names, once. */
static int add_mapped(safetensors_file *f, const char *folder, json_t *weight_map,
                      weft_error *err) {
    json_t *seen = json_object();
    if (!seen) return fail_memory(err);
    const char *tensor;
    json_t *value;
    int rc = WEFT_OK;
    json_object_foreach(weight_map, tensor, value) {
        const char *name = json_string_value(value);
        if (!name)
            rc = err_set(err, WEFT_ERR_FORMAT, "%s/" INDEX_NAME ": no file name for '%.100s'",
                         folder, tensor);
        else if (json_object_get(seen, name))
            continue;
        else if (json_object_size(seen) >= SAFETENSORS_SHARDS_MAX)
            rc = err_set(err, WEFT_ERR_RANGE, "%s/" INDEX_NAME ": more than %d files", folder,
                         SAFETENSORS_SHARDS_MAX);
        else if (json_object_set_new(seen, name, json_true()))
            rc = fail_memory(err);
        else
            rc = add_named_shard(f, folder, name, err);
        if (rc) break;
    }
    json_decref(seen);
    return rc;
}

/* Every tensor of the weight map must have been found. */
static int check_mapped(const safetensors_file *f, const char *folder, json_t *weight_map,
                        weft_error *err) {
    const char *tensor;
    json_t *value;
    json_object_foreach(weight_map, tensor, value) {
        if (!safetensors_find(f, tensor))
            return err_set(err, WEFT_ERR_FORMAT, "%s: the tensor '%.100s' is not in %.100s", folder,
                           tensor, json_string_value(value));
    }
    return WEFT_OK;
}

static int open_sharded(safetensors_file *f, const char *folder, const char *index_path,
                        weft_error *err) {
    json_t *root;
    TRY(json_file_read(index_path, INDEX_BYTES_MAX, &root, err));
    json_t *weight_map = json_object_get(root, "weight_map");
    int rc;
    if (json_is_object(weight_map)) {
        rc = add_mapped(f, folder, weight_map, err);
        if (!rc) rc = finish(f, err);
        if (!rc) rc = check_mapped(f, folder, weight_map, err);
    } else {
        rc = err_set(err, WEFT_ERR_FORMAT, "%s: there is no weight_map", index_path);
    }
    json_decref(root);
    return rc;
}

static int open_file(safetensors_file *f, const char *path, weft_error *err) {
    TRY(add_file(f, path, err));
    int rc = finish(f, err);
    if (rc) err_prefix(err, "%s", path);
    return rc;
}

static int open_folder(safetensors_file *f, const char *folder, weft_error *err) {
    bytes single = {0}, index = {0};
    int rc;
    if (!bytes_printf(&single, "%s/model.safetensors", folder) ||
        !bytes_printf(&index, "%s/" INDEX_NAME, folder))
        rc = fail_memory(err);
    else if (os_is_file(single.data))
        rc = open_file(f, single.data, err);
    else if (os_is_file(index.data))
        rc = open_sharded(f, folder, index.data, err);
    else
        rc = err_set(err, WEFT_ERR_IO,
                     "the folder %s has neither model.safetensors nor " INDEX_NAME, folder);
    bytes_free(&single);
    bytes_free(&index);
    return rc;
}

int safetensors_open(const char *path, safetensors_file **out, weft_error *err) {
    *out = NULL;
    safetensors_file *f = calloc(1, sizeof *f);
    if (!f) return fail_memory(err);
    int rc = os_is_dir(path) ? open_folder(f, path, err) : open_file(f, path, err);
    if (rc)
        safetensors_close(&f);
    else
        *out = f;
    return rc;
}

int safetensors_parse(const void *data, size_t size, safetensors_file **out, weft_error *err) {
    *out = NULL;
    safetensors_file *f = calloc(1, sizeof *f);
    if (!f) return fail_memory(err);
    int rc = add_shard(f, data, size, err);
    if (!rc) rc = finish(f, err);
    if (rc)
        safetensors_close(&f);
    else
        *out = f;
    return rc;
}

void safetensors_close(safetensors_file **file) {
    safetensors_file *f = *file;
    if (!f) return;
    *file = NULL;
    for (size_t i = 0; i < f->shard_count; i++) {
        json_decref(f->shards[i].header);
        os_map_close(&f->shards[i].map);
    }
    free(f->shards);
    free(f->tensors);
    free(f->by_name);
    free(f);
}

size_t safetensors_count(const safetensors_file *f) {
    return f->count;
}

const tensor_view *safetensors_at(const safetensors_file *f, size_t index) {
    return &f->tensors[index];
}

const tensor_view *safetensors_find(const safetensors_file *f, const char *name) {
    const name_index *found = names_find(f->by_name, f->count, name);
    return found ? &f->tensors[found->index] : NULL;
}

const char *safetensors_metadata(const safetensors_file *f, const char *key) {
    if (!f->shard_count) return NULL;
    return json_string_value(
        json_object_get(json_object_get(f->shards[0].header, "__metadata__"), key));
}
