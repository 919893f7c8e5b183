/* JSON documents from outside, read with jansson: limited in size, without duplicate keys. */
#ifndef WEFT_FORMAT_JSON_FILE_H
#define WEFT_FORMAT_JSON_FILE_H

#include "base/status.h"

#include <jansson.h>
#include <stddef.h>

/* Parse size bytes as one JSON object (WEFT_ERR_FORMAT with the byte offset if it is none: a syntax
 * error, a key given twice, another kind of value). The caller releases *root with json_decref. */
int json_file_parse(const char *data, size_t size, json_t **root, weft_error *err);

/* The same for a file of at most `limit` bytes (more: WEFT_ERR_RANGE); errors name the path. */
int json_file_read(const char *path, size_t limit, json_t **root, weft_error *err);

#endif
