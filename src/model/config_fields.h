/* Shared by the two readers of a config: the integers that every model has, and the checks on the
 * whole. Private to config*.c. */
#ifndef WEFT_MODEL_CONFIG_FIELDS_H
#define WEFT_MODEL_CONFIG_FIELDS_H

#include "model/config.h"

#include <stddef.h>

typedef struct config_field {
    const char *gguf_key; /* after "<architecture>." */
    const char *hf_key;   /* in config.json */
    size_t offset;        /* of an int64_t in config */
    int64_t max;
    bool required; /* otherwise 0 is left for the reader to fill */
} config_field;

#define CONFIG_FIELD_COUNT 8
extern const config_field config_fields[CONFIG_FIELD_COUNT];

/* Store value in the field, or say that `key` is out of range. */
int config_field_set(config *c, const config_field *field, const char *key, int64_t value,
                     weft_error *err);
/* kv_heads and head_dim where the file left them out. */
int config_fill_heads(config *c, weft_error *err);
/* "relu2", "silu" or "swish"; anything else is WEFT_ERR_UNSUPPORTED naming key and value. */
int config_activation_parse(const char *key, const char *text, size_t size, activation *out,
                            weft_error *err);
/* Multiply every rotary divisor by factor, which must be finite and at least 1e-3. */
int config_rope_scale(config *c, const char *key, double factor, weft_error *err);

#endif
