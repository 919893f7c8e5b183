/* A summary of a model or adapter file, from weft_file_describe's lists. */
#ifndef WEFT_CLI_DESCRIBE_H
#define WEFT_CLI_DESCRIBE_H

#include "base/status.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* Describe path. Beside weft_file_describe's members, *root holds "types" (tensors, values, bytes
 * and bits a value of each encoding) and, for adapters, "adapter" {rank, alpha, rslora, targets,
 * parameters}. The caller drops *root. */
int describe_file(const char *path, json_t **root, weft_error *err);

/* A metadata value without its quotes; false if there is no such key. */
bool describe_value(const json_t *root, const char *key, char *value, size_t size);

#endif
