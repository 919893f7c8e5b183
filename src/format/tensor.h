/* A named tensor as it lies in a file: a view that owns nothing. */
#ifndef WEFT_FORMAT_TENSOR_H
#define WEFT_FORMAT_TENSOR_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

#define TENSOR_DIMS_MAX 4

/* On-disk element types. The first group carries GGUF's numbers (docs/FORMATS.md, 1). */
typedef enum tensor_type {
    TENSOR_F32 = 0,
    TENSOR_F16 = 1,
    TENSOR_Q4_0 = 2,
    TENSOR_Q8_0 = 8,
    TENSOR_Q6_K = 14,
    TENSOR_I8 = 24,
    TENSOR_I32 = 26,
    TENSOR_I64 = 27,
    TENSOR_F64 = 28,
    TENSOR_BF16 = 30,
    TENSOR_TQ1_0 = 34,
    TENSOR_TQ2_0 = 35,
    TENSOR_I2_S = 36,
    TENSOR_U8 = 1000 /* safetensors only: the packed Hugging Face form */
} tensor_type;

/* shape is written as PyTorch writes it, slowest first: a linear weight is (out, in). GGUF files
 * list the dimensions fastest first; their reader turns them round. A scalar has dim_count 0. */
typedef struct tensor_view {
    const char *name; /* NUL-terminated, lives as long as its file */
    tensor_type type;
    int dim_count;
    int64_t shape[TENSOR_DIMS_MAX];
    const uint8_t *data; /* unaligned in general */
    size_t size_bytes;
} tensor_view;

#define TENSOR_I2_S_TRAILER 32 /* bytes after the codes: the f32 scale, then padding */

/* Refuse tensors that share bytes (WEFT_ERR_FORMAT, naming two of them). */
int tensors_check_overlap(const tensor_view *tensors, size_t count, weft_error *err);

/* Bytes that `count` values in rows of `row` values take; 0 if the type is unknown, the row length
 * does not fit its blocks, count is no multiple of row, either is below 1, or the size overflows.
 * I2_S includes its trailer; its blocks run on from row to row, so only `count` must fit them. */
size_t tensor_bytes(tensor_type type, int64_t row, int64_t count);

/* Values in one block of a type (1 for plain numbers); 0 for types that are not read. */
int64_t tensor_block_values(tensor_type type);

/* Values in t; the product of its shape (1 for a scalar). */
int64_t tensor_count(const tensor_view *t);

/* "F16", "TQ2_0"; common types that are not read have names too, others are "type 39" (that text
 * lives until the thread's next call). */
const char *tensor_type_name(tensor_type type);

#endif
