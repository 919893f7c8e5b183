/* safetensors files: u64 header length, JSON header, data. Reader over memory, and a writer.
 * Also the sharded form of Hugging Face: model.safetensors.index.json with its "weight_map". */
#ifndef WEFT_FORMAT_SAFETENSORS_H
#define WEFT_FORMAT_SAFETENSORS_H

#include "base/os.h"
#include "base/status.h"
#include "format/tensor.h"

#define SAFETENSORS_HEADER_MAX  (100u << 20)
#define SAFETENSORS_TENSORS_MAX 65536
#define SAFETENSORS_SHARDS_MAX  1024

typedef struct safetensors_file safetensors_file;

/* Map path and parse it; path may also be a folder holding model.safetensors or the sharded form,
 * of which all shards are opened. Errors name the file and say what is wrong: truncation, a header
 * that is no JSON object, an unknown dtype (named), a shape that does not match data_offsets,
 * ranges that overlap or leave the file, duplicate names. Types read: F32 F16 BF16 F64 I8 U8 I32
 * I64. Immutable. */
int safetensors_open(const char *path, safetensors_file **out, weft_error *err);
int safetensors_parse(const void *data, size_t size, safetensors_file **out, weft_error *err);
void safetensors_close(safetensors_file **file);

size_t safetensors_count(const safetensors_file *file);
const tensor_view *safetensors_at(const safetensors_file *file, size_t index); /* header order */
const tensor_view *safetensors_find(const safetensors_file *file, const char *name);
/* A string of "__metadata__" (of the first shard), or NULL. */
const char *safetensors_metadata(const safetensors_file *file, const char *key);

/* Write count tensors (types F32 F16 BF16 I8 U8 I32 I64 F64), in the order given, with an optional
 * metadata list of key, value pairs (metadata_count pairs, 2 * metadata_count strings). The header
 * is padded with spaces so that data starts on a multiple of 8. Written whole or not at all. */
int safetensors_save(const char *path, const tensor_view *tensors, size_t count,
                     const char *const *metadata, size_t metadata_count, weft_error *err);

#endif
