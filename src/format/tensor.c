/* The table of element types: block sizes and names. */
#include "format/tensor.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct type_row {
    int type;
    int block_values, block_bytes; /* 0: known by name only, not read */
    const char *name;
} type_row;

static const type_row TYPES[] = {
    {TENSOR_F32, 1, 4, "F32"},
    {TENSOR_F16, 1, 2, "F16"},
    {TENSOR_Q4_0, 32, 18, "Q4_0"},
    {3, 0, 0, "Q4_1"},
    {6, 0, 0, "Q5_0"},
    {7, 0, 0, "Q5_1"},
    {TENSOR_Q8_0, 32, 34, "Q8_0"},
    {9, 0, 0, "Q8_1"},
    {10, 0, 0, "Q2_K"},
    {11, 0, 0, "Q3_K"},
    {12, 0, 0, "Q4_K"},
    {13, 0, 0, "Q5_K"},
    {TENSOR_Q6_K, 256, 210, "Q6_K"},
    {15, 0, 0, "Q8_K"},
    {TENSOR_I8, 1, 1, "I8"},
    {25, 0, 0, "I16"},
    {TENSOR_I32, 1, 4, "I32"},
    {TENSOR_I64, 1, 8, "I64"},
    {TENSOR_F64, 1, 8, "F64"},
    {TENSOR_BF16, 1, 2, "BF16"},
    {TENSOR_TQ1_0, 256, 54, "TQ1_0"},
    {TENSOR_TQ2_0, 256, 66, "TQ2_0"},
    {TENSOR_I2_S, 128, 32, "I2_S"},
    {TENSOR_U8, 1, 1, "U8"},
};

static const type_row *find_type(int type) {
    for (size_t i = 0; i < sizeof TYPES / sizeof *TYPES; i++)
        if (TYPES[i].type == type) return &TYPES[i];
    return NULL;
}

int64_t tensor_block_values(tensor_type type) {
    const type_row *row = find_type((int)type);
    return row ? row->block_values : 0;
}

size_t tensor_bytes(tensor_type type, int64_t row, int64_t count) {
    const type_row *info = find_type((int)type);
    if (!info || !info->block_values || row < 1 || count < 1 || count % row) return 0;
    bool flat = type == TENSOR_I2_S; /* its blocks run across the ends of rows */
    if ((flat ? count : row) % info->block_values) return 0;
    uint64_t blocks = (uint64_t)count / (uint64_t)info->block_values;
    if (blocks > (uint64_t)(SIZE_MAX / 4) / (uint64_t)info->block_bytes) return 0;
    size_t trailer = flat ? TENSOR_I2_S_TRAILER : 0;
    return (size_t)(blocks * (uint64_t)info->block_bytes) + trailer;
}

int64_t tensor_count(const tensor_view *t) {
    int64_t count = 1;
    for (int i = 0; i < t->dim_count; i++) count *= t->shape[i];
    return count;
}

const char *tensor_type_name(tensor_type type) {
    static _Thread_local char unknown[24];
    const type_row *row = find_type((int)type);
    if (row) return row->name;
    snprintf(unknown, sizeof unknown, "type %d", (int)type);
    return unknown;
}

static int compare_data(const void *a, const void *b) {
    const tensor_view *x = *(const tensor_view *const *)a, *y = *(const tensor_view *const *)b;
    return (x->data > y->data) - (x->data < y->data);
}

int tensors_check_overlap(const tensor_view *tensors, size_t count, weft_error *err) {
    const tensor_view **order = malloc((count + 1) * sizeof *order);
    if (!order) return err_set(err, WEFT_ERR_MEMORY, "out of memory checking the tensors");
    size_t used = 0;
    for (size_t i = 0; i < count; i++)
        if (tensors[i].size_bytes) order[used++] = &tensors[i];
    if (used) qsort(order, used, sizeof *order, compare_data);
    int rc = WEFT_OK;
    for (size_t i = 1; i < used && !rc; i++)
        if (order[i - 1]->size_bytes > (size_t)(order[i]->data - order[i - 1]->data))
            rc = err_set(err, WEFT_ERR_FORMAT, "the tensors '%.100s' and '%.100s' overlap",
                         order[i - 1]->name, order[i]->name);
    free(order);
    return rc;
}
