/* The GGUF writer: keys are encoded as they are added; tensors are listed, and their data is
 * written straight from where it lies. The first error is kept until gguf_writer_save. */
#include "format/gguf.h"

#include "base/bytes.h"
#include "base/layout.h"

#include <stdlib.h>
#include <string.h>

#define ALIGNMENT 32

typedef struct written_tensor {
    tensor_view view;
    char *name;
} written_tensor;

struct gguf_writer {
    bytes keys; /* encoded */
    size_t key_count, key_capacity;
    char **key_names;
    written_tensor *tensors;
    size_t tensor_count, tensor_capacity;
    int status;
    weft_error error;
};

int gguf_writer_create(gguf_writer **out, weft_error *err) {
    *out = calloc(1, sizeof **out);
    return *out ? WEFT_OK : err_set(err, WEFT_ERR_MEMORY, "out of memory creating a GGUF file");
}

void gguf_writer_free(gguf_writer **writer) {
    gguf_writer *w = *writer;
    if (!w) return;
    *writer = NULL;
    for (size_t i = 0; i < w->key_count; i++) free(w->key_names[i]);
    for (size_t i = 0; i < w->tensor_count; i++) free(w->tensors[i].name);
    free(w->key_names);
    free(w->tensors);
    bytes_free(&w->keys);
    free(w);
}

static void fail_memory(gguf_writer *w) {
    if (!w->status) w->status = err_set(&w->error, WEFT_ERR_MEMORY, "out of memory writing GGUF");
}

static void put(gguf_writer *w, const void *data, size_t size) {
    if (!w->status && !bytes_add(&w->keys, data, size)) fail_memory(w);
}

/* Little-endian whatever the machine. */
static void encode_u32(uint8_t *p, uint32_t value) {
    for (int i = 0; i < 4; i++) p[i] = (uint8_t)(value >> 8 * i);
}

static void encode_u64(uint8_t *p, uint64_t value) {
    for (int i = 0; i < 8; i++) p[i] = (uint8_t)(value >> 8 * i);
}

static void put_u32(gguf_writer *w, uint32_t value) {
    uint8_t p[4];
    encode_u32(p, value);
    put(w, p, 4);
}

static void put_u64(gguf_writer *w, uint64_t value) {
    uint8_t p[8];
    encode_u64(p, value);
    put(w, p, 8);
}

static void put_string(gguf_writer *w, const char *data, size_t size) {
    put_u64(w, size);
    put(w, data, size);
}

/* Room for one more element; the element size is that of the array. */
static void *grow(gguf_writer *w, void *array, size_t count, size_t *capacity, size_t size) {
    if (count < *capacity) return array;
    size_t grown = *capacity ? *capacity * 2 : 64;
    void *moved = realloc(array, grown * size);
    if (!moved) {
        fail_memory(w);
        return NULL;
    }
    *capacity = grown;
    return moved;
}

/* Start a key: its name and type. The value must follow. */
static void begin_key(gguf_writer *w, const char *key, gguf_type type) {
    size_t size = strlen(key);
    if (w->status) return;
    if (size > GGUF_KEY_BYTES_MAX || w->key_count >= GGUF_KEYS_MAX) {
        w->status = err_set(&w->error, WEFT_ERR_RANGE,
                            "the key '%.60s' is too long or one too many for a GGUF file", key);
        return;
    }
    char **names = grow(w, w->key_names, w->key_count, &w->key_capacity, sizeof *names);
    if (!names) return;
    w->key_names = names;
    if (!(names[w->key_count] = strdup(key))) {
        fail_memory(w);
        return;
    }
    w->key_count++;
    put_string(w, key, size);
    put_u32(w, (uint32_t)type);
}

static void begin_array(gguf_writer *w, const char *key, gguf_type element, size_t count) {
    if (!w->status && count > GGUF_ARRAY_MAX)
        w->status = err_set(&w->error, WEFT_ERR_RANGE,
                            "the array '%.60s' has %zu elements; at most %d can be written", key,
                            count, GGUF_ARRAY_MAX);
    begin_key(w, key, GGUF_ARRAY);
    put_u32(w, (uint32_t)element);
    put_u64(w, count);
}

void gguf_put_u32(gguf_writer *w, const char *key, uint32_t value) {
    begin_key(w, key, GGUF_U32);
    put_u32(w, value);
}

void gguf_put_u64(gguf_writer *w, const char *key, uint64_t value) {
    begin_key(w, key, GGUF_U64);
    put_u64(w, value);
}

void gguf_put_f32(gguf_writer *w, const char *key, float value) {
    begin_key(w, key, GGUF_F32);
    put_u32(w, f32_to_bits(value));
}

void gguf_put_bool(gguf_writer *w, const char *key, bool value) {
    begin_key(w, key, GGUF_BOOL);
    put(w, value ? "\1" : "\0", 1);
}

void gguf_put_text(gguf_writer *w, const char *key, const char *data, size_t size) {
    begin_key(w, key, GGUF_STRING);
    put_string(w, data, size);
}

void gguf_put_cstr(gguf_writer *w, const char *key, const char *text) {
    gguf_put_text(w, key, text, strlen(text));
}

void gguf_put_texts(gguf_writer *w, const char *key, const gguf_text *values, size_t count) {
    begin_array(w, key, GGUF_STRING, count);
    for (size_t i = 0; i < count && !w->status; i++) put_string(w, values[i].data, values[i].size);
}

void gguf_put_f32s(gguf_writer *w, const char *key, const float *values, size_t count) {
    begin_array(w, key, GGUF_F32, count);
    for (size_t i = 0; i < count && !w->status; i++) put_u32(w, f32_to_bits(values[i]));
}

void gguf_put_i32s(gguf_writer *w, const char *key, const int32_t *values, size_t count) {
    begin_array(w, key, GGUF_I32, count);
    for (size_t i = 0; i < count && !w->status; i++) put_u32(w, (uint32_t)values[i]);
}

void gguf_put_u32s(gguf_writer *w, const char *key, const uint32_t *values, size_t count) {
    begin_array(w, key, GGUF_U32, count);
    for (size_t i = 0; i < count && !w->status; i++) put_u32(w, values[i]);
}

void gguf_put_copy(gguf_writer *w, const gguf_file *from, const char *key) {
    gguf_type type;
    const uint8_t *data;
    size_t size;
    if (!strcmp(key, "general.alignment") || !gguf_get_raw(from, key, &type, &data, &size)) return;
    begin_key(w, key, type);
    put(w, data, size);
}

/* Sizes are checked here, so that a file can never hold less than its header says. */
static bool check_tensor(gguf_writer *w, const tensor_view *t) {
    bool fits = t->dim_count >= 0 && t->dim_count <= TENSOR_DIMS_MAX && t->type != TENSOR_U8;
    int64_t count = 1;
    for (int i = 0; fits && i < t->dim_count; i++) {
        fits = t->shape[i] >= 1 && t->shape[i] <= INT64_MAX / count;
        if (fits) count *= t->shape[i];
    }
    int64_t row = fits && t->dim_count ? t->shape[t->dim_count - 1] : 1;
    fits = fits && t->size_bytes && t->size_bytes == tensor_bytes(t->type, row, count);
    if (!fits)
        w->status = err_set(&w->error, WEFT_ERR_ARGUMENT,
                            "the tensor '%.100s' cannot be written: type %s with %zu bytes does "
                            "not match its shape",
                            t->name, tensor_type_name(t->type), t->size_bytes);
    return fits;
}

void gguf_put_tensor(gguf_writer *w, const tensor_view *t) {
    if (w->status || !check_tensor(w, t)) return;
    if (strlen(t->name) > GGUF_NAME_BYTES_MAX || w->tensor_count >= GGUF_TENSORS_MAX) {
        w->status = err_set(&w->error, WEFT_ERR_RANGE,
                            "the tensor '%.60s' has too long a name or is one too many", t->name);
        return;
    }
    written_tensor *tensors =
        grow(w, w->tensors, w->tensor_count, &w->tensor_capacity, sizeof *tensors);
    if (!tensors) return;
    w->tensors = tensors;
    written_tensor *added = &tensors[w->tensor_count];
    *added = (written_tensor){*t, strdup(t->name)};
    if (!added->name)
        fail_memory(w);
    else
        w->tensor_count++;
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int check_names(const char **names, size_t count, const char *what, weft_error *err) {
    if (count) qsort(names, count, sizeof *names, compare_names);
    for (size_t i = 1; i < count; i++)
        if (!strcmp(names[i - 1], names[i]))
            return err_set(err, WEFT_ERR_ARGUMENT, "the %s '%.100s' was added twice", what,
                           names[i]);
    return WEFT_OK;
}

static int check_unique(const gguf_writer *w, weft_error *err) {
    size_t most = w->key_count > w->tensor_count ? w->key_count : w->tensor_count;
    const char **names = malloc((most + 1) * sizeof *names);
    if (!names) return err_set(err, WEFT_ERR_MEMORY, "out of memory writing GGUF");
    for (size_t i = 0; i < w->key_count; i++) names[i] = w->key_names[i];
    int rc = check_names(names, w->key_count, "key", err);
    for (size_t i = 0; i < w->tensor_count; i++) names[i] = w->tensors[i].name;
    if (!rc) rc = check_names(names, w->tensor_count, "tensor", err);
    free(names);
    return rc;
}

static int write_pad(os_writer *out, weft_error *err) {
    static const uint8_t zeros[ALIGNMENT];
    uint64_t at = os_writer_offset(out);
    return os_writer_write(out, zeros, (ALIGNMENT - at % ALIGNMENT) % ALIGNMENT, err);
}

static int write_info(const written_tensor *t, uint64_t offset, os_writer *out, weft_error *err) {
    uint8_t p[8];
    size_t size = strlen(t->name);
    encode_u64(p, size);
    TRY(os_writer_write(out, p, 8, err));
    TRY(os_writer_write(out, t->name, size, err));
    encode_u32(p, (uint32_t)t->view.dim_count);
    TRY(os_writer_write(out, p, 4, err));
    for (int i = t->view.dim_count - 1; i >= 0; i--) { /* fastest first */
        encode_u64(p, (uint64_t)t->view.shape[i]);
        TRY(os_writer_write(out, p, 8, err));
    }
    encode_u32(p, (uint32_t)t->view.type);
    TRY(os_writer_write(out, p, 4, err));
    encode_u64(p, offset);
    return os_writer_write(out, p, 8, err);
}

static int write_all(const gguf_writer *w, os_writer *out, weft_error *err) {
    uint8_t head[24] = "GGUF";
    encode_u32(head + 4, 3);
    encode_u64(head + 8, w->tensor_count);
    encode_u64(head + 16, w->key_count);
    TRY(os_writer_write(out, head, sizeof head, err));
    TRY(os_writer_write(out, w->keys.data, w->keys.size, err));
    uint64_t offset = 0;
    for (size_t i = 0; i < w->tensor_count; i++) {
        TRY(write_info(&w->tensors[i], offset, out, err));
        offset += round_up(w->tensors[i].view.size_bytes, ALIGNMENT);
    }
    for (size_t i = 0; i < w->tensor_count; i++) {
        TRY(write_pad(out, err));
        TRY(os_writer_write(out, w->tensors[i].view.data, w->tensors[i].view.size_bytes, err));
    }
    return write_pad(out, err);
}

int gguf_writer_save(gguf_writer *w, const char *path, weft_error *err) {
    if (w->status) {
        if (err) *err = w->error;
        return w->status;
    }
    TRY(check_unique(w, err));
    os_writer *out;
    TRY(os_writer_open(path, &out, err));
    int rc = write_all(w, out, err);
    if (rc) {
        os_writer_abort(&out);
        return rc;
    }
    return os_writer_commit(&out, err);
}
