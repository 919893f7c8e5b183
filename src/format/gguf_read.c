/* The GGUF reader: one pass over the header with a bounded cursor whose first error sticks. Every
 * value, array and tensor is checked to lie inside the file here, so that the getters need no
 * checks. Refuses versions other than 2 and 3, big-endian files, and names with a NUL inside. */
#include "format/gguf.h"

#include "base/layout.h"
#include "format/names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct key_entry {
    char *name;
    gguf_type type, element; /* element, count: arrays only */
    uint64_t count;
    const uint8_t *value; /* scalars and strings: the value; arrays: the first element */
    const uint8_t *raw;   /* the encoded value; raw_bytes long */
    size_t raw_bytes;
} key_entry;

struct gguf_file {
    os_map map; /* data NULL if the memory is borrowed */
    uint32_t version;
    size_t size_bytes, alignment;
    size_t key_count, tensor_count;
    key_entry *keys;
    tensor_view *tensors;
    char **tensor_names;
    name_index *keys_by_name, *tensors_by_name; /* sorted */
};

typedef struct reader {
    const uint8_t *data;
    size_t size, at;
    const char *part; /* what is being read, for messages */
    int status;
    weft_error *err;
} reader;

static bool fail(reader *r, weft_status code, const char *what) {
    if (!r->status)
        r->status = err_set_at(r->err, code, r->at, "%s in %s at byte %zu", what, r->part, r->at);
    return false;
}

/* The next n bytes, or NULL (with the error set) if the file ends before. */
static const uint8_t *take(reader *r, uint64_t n) {
    if (r->status) return NULL;
    if (n > r->size - r->at) {
        r->status = err_set_at(r->err, WEFT_ERR_FORMAT, r->at,
                               "the file ends too early: %s at byte %zu needs %llu more bytes, "
                               "%zu are left; it is damaged or was not downloaded completely",
                               r->part, r->at, (unsigned long long)n, r->size - r->at);
        return NULL;
    }
    const uint8_t *p = r->data + r->at;
    r->at += (size_t)n;
    return p;
}

static uint32_t load_u32(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t load_u64(const uint8_t *p) {
    return load_u32(p) | (uint64_t)load_u32(p + 4) << 32;
}

static uint32_t read_u32(reader *r) {
    const uint8_t *p = take(r, 4);
    return p ? load_u32(p) : 0;
}

static uint64_t read_u64(reader *r) {
    const uint8_t *p = take(r, 8);
    return p ? load_u64(p) : 0;
}

/* Read a name of at most `limit` bytes into a fresh string; NULL with the error set on failure. */
static char *read_name(reader *r, size_t limit) {
    size_t start = r->at;
    uint64_t size = read_u64(r);
    if (r->status) return NULL;
    if (size > limit) {
        r->at = start;
        r->status = err_set_at(r->err, WEFT_ERR_RANGE, start,
                               "the name of %s at byte %zu has %llu bytes; at most %zu are read",
                               r->part, start, (unsigned long long)size, limit);
        return NULL;
    }
    const uint8_t *text = take(r, size);
    if (!text) return NULL;
    if (memchr(text, 0, (size_t)size)) {
        r->at = start;
        fail(r, WEFT_ERR_FORMAT, "a name with a zero byte inside");
        return NULL;
    }
    char *name = malloc((size_t)size + 1);
    if (!name) {
        r->status = err_set(r->err, WEFT_ERR_MEMORY, "out of memory reading %s", r->part);
        return NULL;
    }
    memcpy(name, text, (size_t)size);
    name[size] = 0;
    return name;
}

/* Bytes of a scalar of the given type; 0 for strings, arrays and unknown types. */
static size_t scalar_bytes(gguf_type type) {
    static const uint8_t sizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    return (size_t)type < sizeof sizes ? sizes[type] : 0;
}

static void check_bools(reader *r, const uint8_t *p, uint64_t count) {
    for (uint64_t i = 0; i < count && !r->status; i++) {
        if (p[i] <= 1) continue;
        r->at = (size_t)(p + i - r->data);
        fail(r, WEFT_ERR_FORMAT, "a truth value other than 0 and 1");
    }
}

static bool read_array_head(reader *r, int depth, gguf_type *element, uint64_t *count) {
    if (depth > GGUF_ARRAY_DEPTH) return fail(r, WEFT_ERR_RANGE, "arrays nested too deeply");
    uint32_t type = read_u32(r);
    *element = (gguf_type)type;
    *count = read_u64(r);
    if (r->status) return false;
    if (type > GGUF_F64) return fail(r, WEFT_ERR_FORMAT, "an unknown array element type");
    if (*count > GGUF_ARRAY_MAX) return fail(r, WEFT_ERR_RANGE, "an array with too many elements");
    return true;
}

/* Walk over `count` values of one type, checking them; depth is that of the array they lie in. */
static void skip_values(reader *r, gguf_type type, uint64_t count, int depth) {
    size_t size = scalar_bytes(type);
    if (size) {
        const uint8_t *p = take(r, count * size); /* no overflow: count is limited */
        if (p && type == GGUF_BOOL) check_bools(r, p, count);
        return;
    }
    for (uint64_t i = 0; i < count && !r->status; i++) {
        gguf_type element;
        uint64_t inner;
        if (type == GGUF_STRING)
            take(r, read_u64(r));
        else if (read_array_head(r, depth + 1, &element, &inner))
            skip_values(r, element, inner, depth + 1);
    }
}

static void read_value(reader *r, key_entry *key) {
    uint32_t type = read_u32(r);
    if (r->status) return;
    if (type > GGUF_F64) {
        fail(r, WEFT_ERR_FORMAT, "an unknown value type");
        return;
    }
    key->type = (gguf_type)type;
    key->raw = key->value = r->data + r->at;
    size_t start = r->at;
    if (type == GGUF_ARRAY) {
        if (!read_array_head(r, 1, &key->element, &key->count)) return;
        key->value = r->data + r->at;
        skip_values(r, key->element, key->count, 1);
    } else {
        skip_values(r, key->type, 1, 0);
    }
    key->raw_bytes = r->at - start;
}

static void read_key(reader *r, key_entry *key) {
    r->part = "a key";
    key->name = read_name(r, GGUF_KEY_BYTES_MAX);
    if (!key->name) return;
    char part[96];
    snprintf(part, sizeof part, "the key '%.60s'", key->name);
    r->part = part;
    read_value(r, key);
    r->part = "the header";
}

/* Dimensions come fastest first; shape wants them slowest first. Returns the count of values. */
static uint64_t read_shape(reader *r, tensor_view *t) {
    uint32_t n = read_u32(r);
    if (!r->status && n > TENSOR_DIMS_MAX) fail(r, WEFT_ERR_RANGE, "more than 4 dimensions");
    uint64_t count = 1;
    for (uint32_t i = 0; i < n && !r->status; i++) {
        uint64_t dim = read_u64(r);
        if (r->status) break;
        if (dim < 1 || dim > (uint64_t)INT64_MAX / count) {
            fail(r, WEFT_ERR_RANGE, "an impossible dimension");
            break;
        }
        count *= dim;
        t->shape[n - 1 - i] = (int64_t)dim;
    }
    t->dim_count = (int)n;
    return count;
}

static void read_type(reader *r, tensor_view *t, uint64_t count) {
    uint32_t type = read_u32(r);
    if (r->status) return;
    t->type = (tensor_type)type;
    /* U8 has a number of our own, which no file may use. */
    if (type >= TENSOR_U8 || !tensor_block_values(t->type)) {
        r->status = err_set_at(r->err, WEFT_ERR_UNSUPPORTED, r->at - 4,
                               "%s is stored as %s, which is not read", r->part,
                               type < TENSOR_U8 ? tensor_type_name(t->type) : "an unknown type");
        return;
    }
    int64_t row = t->dim_count ? t->shape[t->dim_count - 1] : 1;
    t->size_bytes = tensor_bytes(t->type, row, (int64_t)count);
    if (t->size_bytes) return;
    r->status = err_set_at(r->err, WEFT_ERR_FORMAT, r->at,
                           "%s: %lld values in rows of %lld do not fit the blocks of %s", r->part,
                           (long long)count, (long long)row, tensor_type_name(t->type));
}

/* Read one tensor info; *offset is relative to the start of the data, which is not known yet. */
static void read_tensor(reader *r, tensor_view *t, char **name, uint64_t *offset) {
    r->part = "a tensor";
    *name = read_name(r, GGUF_NAME_BYTES_MAX);
    if (!*name) return;
    char part[96];
    snprintf(part, sizeof part, "the tensor '%.60s'", *name);
    r->part = part;
    t->name = *name;
    uint64_t count = read_shape(r, t);
    read_type(r, t, count);
    *offset = read_u64(r);
    r->part = "the header";
}

static void sort_names(reader *r, name_index *names, size_t count, const char *what) {
    const char *twice = names_sort(names, count);
    if (twice)
        r->status = err_set(r->err, WEFT_ERR_FORMAT, "the %s '%.100s' is there twice", what, twice);
}

static void check_magic(reader *r) {
    r->part = "the start of the file";
    const uint8_t *p = take(r, 8);
    if (!p) return;
    uint32_t version = load_u32(p + 4);
    if (memcmp(p, "GGUF", 4)) {
        bool is_safetensors = r->size > 8 && r->data[8] == '{' && load_u64(p) < r->size;
        r->status = err_set(r->err, WEFT_ERR_FORMAT,
                            is_safetensors ? "this is a safetensors file, not GGUF; import the "
                                             "folder that it lies in first"
                                           : "this is not a GGUF file: it does not start with "
                                             "'GGUF'");
    } else if (version != 2 && version != 3) {
        bool swapped = version && !(version & 0xffff);
        r->status = err_set_at(r->err, WEFT_ERR_UNSUPPORTED, 4,
                               swapped ? "big-endian GGUF files are not read"
                                       : "GGUF version %u is not read, only 2 and 3",
                               version);
    }
}

static size_t read_count(reader *r, size_t limit, size_t least_bytes, const char *what) {
    size_t start = r->at;
    uint64_t count = read_u64(r);
    if (r->status) return 0;
    if (count > limit) {
        r->status = err_set_at(r->err, WEFT_ERR_RANGE, start,
                               "the file claims %llu %s; at most %zu are read",
                               (unsigned long long)count, what, limit);
    } else if (count > (r->size - r->at) / least_bytes) {
        r->status = err_set_at(r->err, WEFT_ERR_FORMAT, start,
                               "the file claims %llu %s, more than its %zu bytes can hold",
                               (unsigned long long)count, what, r->size);
    }
    return r->status ? 0 : (size_t)count;
}

static void read_keys(reader *r, gguf_file *f) {
    for (size_t i = 0; i < f->key_count && !r->status; i++) {
        read_key(r, &f->keys[i]);
        f->keys_by_name[i] = (name_index){f->keys[i].name, i};
    }
    if (!r->status) sort_names(r, f->keys_by_name, f->key_count, "key");
    f->alignment = 32;
    uint64_t alignment;
    if (r->status || !gguf_has(f, "general.alignment")) return;
    if (!gguf_get_u64(f, "general.alignment", &alignment) || alignment < 1 ||
        alignment > GGUF_ALIGNMENT_MAX || (alignment & (alignment - 1)))
        r->status = err_set(r->err, WEFT_ERR_FORMAT,
                            "general.alignment is not a power of two up to %d", GGUF_ALIGNMENT_MAX);
    else
        f->alignment = (size_t)alignment;
}

static void read_tensors(reader *r, gguf_file *f, uint64_t *offsets) {
    for (size_t i = 0; i < f->tensor_count && !r->status; i++) {
        read_tensor(r, &f->tensors[i], &f->tensor_names[i], &offsets[i]);
        f->tensors_by_name[i] = (name_index){f->tensor_names[i], i};
    }
    if (!r->status) sort_names(r, f->tensors_by_name, f->tensor_count, "tensor");
}

/* Turn offsets into addresses, now that the end of the header is known. */
static void place_tensors(reader *r, gguf_file *f, const uint64_t *offsets) {
    size_t start = round_up(r->at, f->alignment);
    size_t room = start < r->size ? r->size - start : 0;
    for (size_t i = 0; i < f->tensor_count && !r->status; i++) {
        tensor_view *t = &f->tensors[i];
        if (offsets[i] % f->alignment)
            r->status = err_set(r->err, WEFT_ERR_FORMAT,
                                "the tensor '%.100s' lies at offset %llu, no multiple of %zu",
                                t->name, (unsigned long long)offsets[i], f->alignment);
        else if (offsets[i] > room || t->size_bytes > room - offsets[i])
            r->status = err_set(r->err, WEFT_ERR_FORMAT,
                                "the tensor '%.100s' (%zu bytes at offset %llu) reaches beyond the "
                                "end of the file (%zu bytes of data); the file is damaged or was "
                                "not downloaded completely",
                                t->name, t->size_bytes, (unsigned long long)offsets[i], room);
        else
            t->data = r->data + start + offsets[i];
    }
    if (!r->status) r->status = tensors_check_overlap(f->tensors, f->tensor_count, r->err);
}

static bool allocate(reader *r, gguf_file *f, uint64_t **offsets) {
    size_t keys = f->key_count + 1, tensors = f->tensor_count + 1; /* never 0 bytes */
    f->keys = calloc(keys, sizeof *f->keys);
    f->keys_by_name = calloc(keys, sizeof *f->keys_by_name);
    f->tensors = calloc(tensors, sizeof *f->tensors);
    f->tensor_names = calloc(tensors, sizeof *f->tensor_names);
    f->tensors_by_name = calloc(tensors, sizeof *f->tensors_by_name);
    *offsets = calloc(tensors, sizeof **offsets);
    if (f->keys && f->keys_by_name && f->tensors && f->tensor_names && f->tensors_by_name &&
        *offsets)
        return true;
    r->status = err_set(r->err, WEFT_ERR_MEMORY, "out of memory for %zu keys and %zu tensors",
                        f->key_count, f->tensor_count);
    return false;
}

static void parse_into(reader *r, gguf_file *f) {
    const size_t least_key_bytes = 8 + 4 + 1, least_tensor_bytes = 8 + 4 + 4 + 8;
    check_magic(r);
    if (r->status) return;
    f->version = load_u32(r->data + 4);
    f->size_bytes = r->size;
    r->part = "the header";
    size_t tensor_count = read_count(r, GGUF_TENSORS_MAX, least_tensor_bytes, "tensors");
    size_t key_count = read_count(r, GGUF_KEYS_MAX, least_key_bytes, "keys");
    if (r->status) return;
    f->tensor_count = tensor_count;
    f->key_count = key_count;
    uint64_t *offsets;
    if (allocate(r, f, &offsets)) {
        read_keys(r, f);
        if (!r->status) read_tensors(r, f, offsets);
        if (!r->status) place_tensors(r, f, offsets);
    }
    free(offsets);
}

int gguf_parse(const void *data, size_t size, gguf_file **out, weft_error *err) {
    *out = NULL;
    gguf_file *f = calloc(1, sizeof *f);
    if (!f) return err_set(err, WEFT_ERR_MEMORY, "out of memory opening a GGUF file");
    reader r = {.data = data, .size = size, .err = err};
    parse_into(&r, f);
    if (r.status)
        gguf_close(&f);
    else
        *out = f;
    return r.status;
}

int gguf_open(const char *path, gguf_file **out, weft_error *err) {
    *out = NULL;
    os_map map;
    TRY(os_map_open(path, &map, err));
    int rc = gguf_parse(map.data, map.size, out, err);
    if (rc) {
        os_map_close(&map);
        err_prefix(err, "%s", path);
        return rc;
    }
    (*out)->map = map;
    return WEFT_OK;
}

void gguf_release(const gguf_file *f, const tensor_view *t) {
    os_map_release(&f->map, t->data, t->size_bytes);
}

void gguf_close(gguf_file **file) {
    gguf_file *f = *file;
    if (!f) return;
    *file = NULL;
    for (size_t i = 0; f->keys && i < f->key_count; i++) free(f->keys[i].name);
    for (size_t i = 0; f->tensor_names && i < f->tensor_count; i++) free(f->tensor_names[i]);
    free(f->keys);
    free(f->keys_by_name);
    free(f->tensors);
    free(f->tensor_names);
    free(f->tensors_by_name);
    os_map_close(&f->map);
    free(f);
}

uint32_t gguf_version(const gguf_file *f) {
    return f->version;
}

size_t gguf_size_bytes(const gguf_file *f) {
    return f->size_bytes;
}

size_t gguf_tensor_count(const gguf_file *f) {
    return f->tensor_count;
}

const tensor_view *gguf_tensor_at(const gguf_file *f, size_t index) {
    return &f->tensors[index];
}

const tensor_view *gguf_tensor(const gguf_file *f, const char *name) {
    const name_index *found = names_find(f->tensors_by_name, f->tensor_count, name);
    return found ? &f->tensors[found->index] : NULL;
}

size_t gguf_key_count(const gguf_file *f) {
    return f->key_count;
}

const char *gguf_key_at(const gguf_file *f, size_t index, gguf_type *type) {
    if (type) *type = f->keys[index].type;
    return f->keys[index].name;
}

static const key_entry *find_key(const gguf_file *f, const char *key) {
    const name_index *found = names_find(f->keys_by_name, f->key_count, key);
    return found ? &f->keys[found->index] : NULL;
}

bool gguf_has(const gguf_file *f, const char *key) {
    return find_key(f, key) != NULL;
}

/* An integer of any width and sign: all of u64 and i64 fit. */
typedef struct integer {
    bool negative;
    uint64_t bits; /* two's complement */
} integer;

static bool load_integer(gguf_type type, const uint8_t *p, integer *out) {
    int64_t value;
    if (type == GGUF_U8)
        value = *p;
    else if (type == GGUF_I8)
        value = (int8_t)*p;
    else if (type == GGUF_U16)
        value = (uint16_t)(p[0] | p[1] << 8);
    else if (type == GGUF_I16)
        value = (int16_t)(p[0] | p[1] << 8);
    else if (type == GGUF_U32)
        value = load_u32(p);
    else if (type == GGUF_I32)
        value = (int32_t)load_u32(p);
    else if (type == GGUF_U64 || type == GGUF_I64)
        value = (int64_t)load_u64(p);
    else
        return false;
    *out = (integer){type != GGUF_U64 && value < 0, (uint64_t)value};
    return true;
}

static bool load_i64(gguf_type type, const uint8_t *p, int64_t *value) {
    integer n;
    if (!load_integer(type, p, &n) || (!n.negative && n.bits > INT64_MAX)) return false;
    *value = (int64_t)n.bits;
    return true;
}

static bool load_float(gguf_type type, const uint8_t *p, double *value) {
    if (type == GGUF_F32) {
        *value = f32_from_bits(load_u32(p));
        return true;
    }
    if (type != GGUF_F64) return false;
    uint64_t bits = load_u64(p);
    memcpy(value, &bits, 8);
    return true;
}

bool gguf_get_u64(const gguf_file *f, const char *key, uint64_t *value) {
    const key_entry *k = find_key(f, key);
    integer n;
    if (!k || !load_integer(k->type, k->value, &n) || n.negative) return false;
    *value = n.bits;
    return true;
}

bool gguf_get_i64(const gguf_file *f, const char *key, int64_t *value) {
    const key_entry *k = find_key(f, key);
    return k && load_i64(k->type, k->value, value);
}

bool gguf_get_f64(const gguf_file *f, const char *key, double *value) {
    const key_entry *k = find_key(f, key);
    return k && load_float(k->type, k->value, value);
}

bool gguf_get_bool(const gguf_file *f, const char *key, bool *value) {
    const key_entry *k = find_key(f, key);
    if (!k || k->type != GGUF_BOOL) return false;
    *value = *k->value != 0;
    return true;
}

bool gguf_get_text(const gguf_file *f, const char *key, gguf_text *value) {
    const key_entry *k = find_key(f, key);
    if (!k || k->type != GGUF_STRING) return false;
    *value = (gguf_text){(const char *)k->value + 8, (size_t)load_u64(k->value)};
    return true;
}

bool gguf_get_raw(const gguf_file *f, const char *key, gguf_type *type, const uint8_t **data,
                  size_t *size) {
    const key_entry *k = find_key(f, key);
    if (!k) return false;
    *type = k->type;
    *data = k->raw;
    *size = k->raw_bytes;
    return true;
}

bool gguf_get_array(const gguf_file *f, const char *key, gguf_type *element, uint64_t *count) {
    const key_entry *k = find_key(f, key);
    if (!k || k->type != GGUF_ARRAY) return false;
    *element = k->element;
    *count = k->count;
    return true;
}

bool gguf_array_begin(const gguf_file *f, const char *key, gguf_cursor *cursor) {
    const key_entry *k = find_key(f, key);
    if (!k || k->type != GGUF_ARRAY) return false;
    *cursor = (gguf_cursor){f, k->element, k->count, k->value};
    return true;
}

bool gguf_next_text(gguf_cursor *c, gguf_text *value) {
    if (!c->left || c->element != GGUF_STRING) return false;
    *value = (gguf_text){(const char *)c->at + 8, (size_t)load_u64(c->at)};
    c->at += 8 + value->size;
    c->left--;
    return true;
}

bool gguf_next_f64(gguf_cursor *c, double *value) {
    integer n;
    if (!c->left) return false;
    if (load_integer(c->element, c->at, &n))
        *value = n.negative ? (double)(int64_t)n.bits : (double)n.bits;
    else if (!load_float(c->element, c->at, value))
        return false;
    c->at += scalar_bytes(c->element);
    c->left--;
    return true;
}

bool gguf_next_i64(gguf_cursor *c, int64_t *value) {
    if (!c->left) return false;
    if (c->element == GGUF_BOOL)
        *value = *c->at;
    else if (!load_i64(c->element, c->at, value))
        return false;
    c->at += scalar_bytes(c->element);
    c->left--;
    return true;
}
