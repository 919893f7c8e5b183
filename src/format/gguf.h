/* GGUF files, versions 2 and 3, little-endian: a bounded reader over memory, and a writer.
 * The layout: "GGUF", u32 version, u64 tensor count, u64 key count, keys, tensor infos, padding to
 * `general.alignment`, data (docs/FORMATS.md, 1). */
#ifndef WEFT_FORMAT_GGUF_H
#define WEFT_FORMAT_GGUF_H

#include "base/os.h"
#include "base/status.h"
#include "format/tensor.h"

#include <stdbool.h>

/* Limits on what a file may claim; more is WEFT_ERR_RANGE before anything is allocated. */
#define GGUF_KEYS_MAX       65536
#define GGUF_TENSORS_MAX    65536
#define GGUF_KEY_BYTES_MAX  65535
#define GGUF_NAME_BYTES_MAX 255 /* the format says 64; longer names exist */
#define GGUF_ARRAY_MAX      (1 << 24)
#define GGUF_ARRAY_DEPTH    4
#define GGUF_ALIGNMENT_MAX  65536

typedef enum gguf_type {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_STRING,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64
} gguf_type;

/* A string in the file: not NUL-terminated. */
typedef struct gguf_text {
    const char *data;
    size_t size;
} gguf_text;

typedef struct gguf_file gguf_file;

/* Map path and parse it. Errors name the path, say what is wrong and at which byte: missing file,
 * wrong magic (a safetensors file is recognised and named), version 1 or big-endian, truncation, a
 * count over its limit, duplicate keys or tensors, a tensor that lies outside the file or overlaps
 * another, an unknown tensor type. Thread-safe; the result is immutable. */
int gguf_open(const char *path, gguf_file **out, weft_error *err);

/* The same over memory, which is borrowed and must outlive the file. */
int gguf_parse(const void *data, size_t size, gguf_file **out, weft_error *err);
/* Let the memory of a tensor's mapped data go; it is read from the file again when it is used. */
void gguf_release(const gguf_file *f, const tensor_view *t);
void gguf_close(gguf_file **file); /* NULL allowed; clears *file */

uint32_t gguf_version(const gguf_file *file);
size_t gguf_size_bytes(const gguf_file *file);

/* Tensors in file order. gguf_tensor returns NULL if there is none of that name. */
size_t gguf_tensor_count(const gguf_file *file);
const tensor_view *gguf_tensor_at(const gguf_file *file, size_t index);
const tensor_view *gguf_tensor(const gguf_file *file, const char *name);

/* Keys in file order. The key name is NUL-terminated and lives as long as the file. */
size_t gguf_key_count(const gguf_file *file);
const char *gguf_key_at(const gguf_file *file, size_t index, gguf_type *type);
bool gguf_has(const gguf_file *file, const char *key);

/* Typed reads. Integers of any width and sign convert when the value fits; floats read F32 and F64.
 * Each returns false, leaving *value, if the key is missing or of another kind. */
bool gguf_get_u64(const gguf_file *file, const char *key, uint64_t *value);
bool gguf_get_i64(const gguf_file *file, const char *key, int64_t *value);
bool gguf_get_f64(const gguf_file *file, const char *key, double *value);
bool gguf_get_bool(const gguf_file *file, const char *key, bool *value);
bool gguf_get_text(const gguf_file *file, const char *key, gguf_text *value);

/* The encoded value of a key, as the file holds it (strings with their length, arrays with element
 * type and count first). Borrows from the file. */
bool gguf_get_raw(const gguf_file *file, const char *key, gguf_type *type, const uint8_t **data,
                  size_t *size);

/* An array key: its element type and count; false if missing or no array. Elements are read one by
 * one with a cursor that walks forward; strings borrow from the file. */
bool gguf_get_array(const gguf_file *file, const char *key, gguf_type *element, uint64_t *count);

typedef struct gguf_cursor {
    const gguf_file *file;
    gguf_type element;
    uint64_t left;
    const uint8_t *at;
} gguf_cursor;
bool gguf_array_begin(const gguf_file *file, const char *key, gguf_cursor *cursor);
bool gguf_next_text(gguf_cursor *cursor,
                    gguf_text *value);                   /* false at the end or on another type */
bool gguf_next_f64(gguf_cursor *cursor, double *value);  /* any float or integer element */
bool gguf_next_i64(gguf_cursor *cursor, int64_t *value); /* any integer or bool element */

/* Append one human-readable value (arrays: type, count and the first few elements; long strings are
 * cut) of the key at index to *out: for `weft info`. */
struct bytes;
int gguf_describe(const gguf_file *file, size_t index, struct bytes *out, weft_error *err);

/* A writer: keys and tensors are collected, then written in one go. Everything given is copied but
 * the tensor data, which is borrowed until gguf_writer_save. Adding fails for lack of memory, a
 * broken limit or a tensor whose size does not match its shape (WEFT_ERR_ARGUMENT); the first error
 * is kept and returned by gguf_writer_save, so the calls return nothing. A key or tensor name given
 * twice is found by gguf_writer_save (WEFT_ERR_ARGUMENT). */
typedef struct gguf_writer gguf_writer;
int gguf_writer_create(gguf_writer **out, weft_error *err);
void gguf_writer_free(gguf_writer **writer);
void gguf_put_u32(gguf_writer *w, const char *key, uint32_t value);
void gguf_put_u64(gguf_writer *w, const char *key, uint64_t value);
void gguf_put_f32(gguf_writer *w, const char *key, float value);
void gguf_put_bool(gguf_writer *w, const char *key, bool value);
void gguf_put_text(gguf_writer *w, const char *key, const char *data, size_t size);
void gguf_put_cstr(gguf_writer *w, const char *key, const char *text);
void gguf_put_texts(gguf_writer *w, const char *key, const gguf_text *values, size_t count);
void gguf_put_f32s(gguf_writer *w, const char *key, const float *values, size_t count);
void gguf_put_i32s(gguf_writer *w, const char *key, const int32_t *values, size_t count);
void gguf_put_u32s(gguf_writer *w, const char *key, const uint32_t *values, size_t count);
/* Copy a key of another file as it stands (any type); nothing if it has none of that name.
 * `general.alignment` is left out: the writer has its own. */
void gguf_put_copy(gguf_writer *w, const gguf_file *from, const char *key);
/* t->name, type, shape, data and size_bytes describe the tensor to write. */
void gguf_put_tensor(gguf_writer *w, const tensor_view *t);
/* Version 3, alignment 32, written through os_writer: whole or not at all. */
int gguf_writer_save(gguf_writer *w, const char *path, weft_error *err);

#endif
