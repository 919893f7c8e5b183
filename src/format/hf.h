/* A Hugging Face model folder: config.json, generation_config.json and the safetensors, without any
 * knowledge of what the keys mean. Tokenizer files belong to the text layer. */
#ifndef WEFT_FORMAT_HF_H
#define WEFT_FORMAT_HF_H

#include "base/status.h"
#include "format/safetensors.h"

#include <stdbool.h>

#define HF_CONFIG_BYTES_MAX (16u << 20)

struct json_t;
typedef struct hf_dir hf_dir;

/* Open the folder. Errors: no folder or no config.json (WEFT_ERR_IO), a broken config
 * (WEFT_ERR_FORMAT), those of safetensors_open; each names the file. Thread-safe; the result is
 * immutable. */
int hf_dir_open(const char *path, hf_dir **out, weft_error *err);
void hf_dir_close(hf_dir **dir); /* NULL allowed; clears *dir */

/* Borrowed from the folder. generation_config.json is optional: NULL without it. */
const char *hf_path(const hf_dir *dir);
const struct json_t *hf_config(const hf_dir *dir);
const struct json_t *hf_generation_config(const hf_dir *dir);
const safetensors_file *hf_tensors(const hf_dir *dir);

/* Does config.json have the key, with another value than null? In every `key` here a dot leads into
 * an inner object: "quantization_config.linear_class". */
bool hf_config_has(const hf_dir *dir, const char *key);

/* One value of config.json. A missing key, or one of another kind, is WEFT_ERR_FORMAT naming the
 * file and the key, and leaves *value; for an optional key ask hf_config_has first. hf_config_f64
 * reads integers too. Texts are borrowed. */
int hf_config_i64(const hf_dir *dir, const char *key, int64_t *value, weft_error *err);
int hf_config_f64(const hf_dir *dir, const char *key, double *value, weft_error *err);
int hf_config_bool(const hf_dir *dir, const char *key, bool *value, weft_error *err);
int hf_config_text(const hf_dir *dir, const char *key, const char **value, weft_error *err);

#endif
