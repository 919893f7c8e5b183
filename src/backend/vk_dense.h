/* Products with rows of a dense matrix, between backend_vk_dense.c, which computes in float32, and
 * backend_vk_dense_half.c, which uses the device's half-precision matrices. */
#ifndef WEFT_BACKEND_VK_DENSE_H
#define WEFT_BACKEND_VK_DENSE_H

#include "backend/vk_math.h"

/* Rows in half precision, each scaled by a power of two (shaders/half.glsl): halves (T, padded),
 * and the factor (T) that undoes it. Empty (buf NULL): float32 is wanted. */
typedef struct vk_halves {
    view halves, factors;
    int64_t padded;
} vk_halves;

/* y (T, rows) = x W^T, or transposed, with x (T, rows): y (T, cols) = x W; with rows
 * [first, first + rows) of the matrix, for tokens whose tables fit. */
typedef struct vk_dense_product {
    const char *op;
    const dense_weight *w;
    int64_t first, rows;
    view x, y;
    int64_t tokens;
    vk_halves half; /* x of all columns, or with a transposed product of all rows */
} vk_dense_product;

/* Sums of a transposed product: `splits` tables (T, cols), to which is added if `add`. */
typedef struct vk_dense_sums {
    view at;
    int64_t splits;
    bool add;
} vk_dense_sums;

vk_binding vk_dense_rows(const dense_weight *w, int64_t first, int64_t count);
size_t vk_dense_row_bytes(const dense_weight *w);

/* Does the device have half-precision products for so many tokens of this weight? */
bool vk_dense_has_half(const vk_backend *vk, const dense_weight *w, int64_t tokens);
/* Results that a work group of them computes. */
int64_t vk_dense_half_area(const vk_backend *vk, int64_t tokens);
/* Rows of the matrix that one half-precision product may take, at most `rows`. */
int64_t vk_dense_half_rows(int64_t rows, int64_t all);
/* Bytes that `tokens` rows of n take as halves, with their factors; places within them. */
size_t vk_halves_bytes(int64_t tokens, int64_t n);
vk_halves vk_halves_at(view at, int64_t tokens, int64_t n);
vk_binding vk_halves_binding(const vk_halves *h, int64_t tokens, vk_access access);
/* x (T, n) rounded to them. */
void vk_halves_fill(vk_backend *vk, const char *op, view x, int64_t tokens, int64_t n,
                    const vk_halves *to);

void vk_dense_half(vk_backend *vk, const vk_dense_product *c);
void vk_dense_half_t(vk_backend *vk, const vk_dense_product *c, const vk_dense_sums *sums);

#endif
