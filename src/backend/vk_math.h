/* What the files of float products share: bindings by their number of floats, and how many rows of
 * several tables fit their bindings at once. */
#ifndef WEFT_BACKEND_VK_MATH_H
#define WEFT_BACKEND_VK_MATH_H

#include "backend/vk.h"

static inline vk_binding vk_floats(view at, int64_t count, vk_access access) {
    return (vk_binding){at, (size_t)count * sizeof(float), access};
}
static inline vk_binding vk_in(view at, int64_t count) {
    return vk_floats(at, count, VK_READ);
}
static inline vk_binding vk_out(view at, int64_t count) {
    return vk_floats(at, count, VK_WRITE);
}
static inline vk_binding vk_in_out(view at, int64_t count) {
    return vk_floats(at, count, VK_READ_WRITE);
}

static inline int64_t vk_blocks(int64_t count, int64_t block) {
    return (count + block - 1) / block;
}
static inline int64_t vk_least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* The next rows of a table of row_floats floats, at most `rows`; 0 after failing the backend. */
static inline int64_t vk_float_rows(vk_backend *vk, const char *op, int64_t row_floats,
                                    int64_t rows) {
    return vk_window_rows(vk, op, (size_t)row_floats * sizeof(float), rows);
}

#endif
