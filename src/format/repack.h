/* Every on-disk encoding of weights turned into the blocks of base/layout.h or into float32, and
 * back into files. Pure functions over memory; no model knowledge. */
#ifndef WEFT_FORMAT_REPACK_H
#define WEFT_FORMAT_REPACK_H

#include "base/layout.h"
#include "base/status.h"
#include "format/tensor.h"

#include <stdbool.h>

/* Can the tensor be computed from where it lies? True for I2_S with cols % 128 == 0 (any address).
 * Then *w borrows t->data and has the scale of the trailer. The codes are not checked here:
 * repack_check. */
bool repack_in_place(const tensor_view *t, ternary_matrix *w);

/* Turn t (2-D, of any ternary-holding type) into codes (rows * ternary_row_bytes_of(packing, cols)
 * bytes, the caller's) and one scale:
 *   I2_S, any row length; TQ1_0, TQ2_0: one scale a tensor, so blocks whose f16 scale d differs
 * from the largest by more than 2^-10 relative are an error that names the block (all-zero blocks
 * have d = 0); F32, F16, BF16 holding {-s, 0, +s}: s is the largest magnitude, each value within
 * 1e-3 of it or of 0. Refuses NaN, infinities, negative scales and other values with
 * WEFT_ERR_NUMERIC or WEFT_ERR_FORMAT, naming the element. */
int repack_ternary_as(const tensor_view *t, ternary_packing packing, uint8_t *codes, float *scale,
                      weft_error *err);
static inline int repack_ternary(const tensor_view *t, uint8_t *codes, float *scale,
                                 weft_error *err) {
    return repack_ternary_as(t, TERNARY_FAST, codes, scale, err);
}

/* A fast matrix without codes 3 as tight codes: rows * ternary_row_bytes_of(TERNARY_TIGHT, cols).
 */
void repack_tight(const ternary_matrix *fast, uint8_t *codes);

/* True if t is an F32/F16/BF16 matrix of ternary values {-s, 0, +s} (cheap: stops at the first
 * other). */
bool repack_is_ternary(const tensor_view *t);

/* Hugging Face packed uint8 [out/4, in]: byte row r holds output rows r, r + out/4, r + 2*out/4,
 * r + 3*out/4 in bits 1-0, 3-2, 5-4, 7-6, value + 1. Code 3 is WEFT_ERR_FORMAT. rows = 4 *
 * shape[0]. */
int repack_hf_packed(const tensor_view *t, uint8_t *codes, weft_error *err);

/* BitNet's own quantiser for master weights (F32/F16/BF16): scale = max(mean|W|, 1e-5) over the
 * matrix, T = clamp(round_half_even(W / scale), -1, 1), computed as transformers does: s = 1 /
 * scale in float32, round(W * s), and *scale = 1 / s. The mean is summed in double. NaN or
 * infinity: WEFT_ERR_NUMERIC with the element. */
int repack_quantise(const tensor_view *t, uint8_t *codes, float *scale, weft_error *err);

/* Refuse codes 3 (in a tight matrix bytes above 242) in a borrowed matrix, padding included (where
 * cols % 128 != 0 it must be code 1), and a scale that is not finite and positive (0 is allowed: an
 * all-zero tensor). */
int repack_check(const ternary_matrix *w, const char *name, weft_error *err);

/* `count` values of a dense type (F32, F16, BF16, F64, Q8_0, Q6_K, Q4_0, TQ1_0, TQ2_0, I2_S) to
 * float32. `first` must be a multiple of the type's block; count need not. A range outside the
 * tensor is WEFT_ERR_ARGUMENT, another type WEFT_ERR_UNSUPPORTED. */
int repack_to_f32(const tensor_view *t, int64_t first, int64_t count, float *out, weft_error *err);

/* Write a ternary matrix as a file tensor of type I2_S, TQ1_0, TQ2_0, F16, BF16 or F32. out has
 * tensor_bytes(type, cols, rows * cols) bytes. TQ types need cols % 256 == 0, I2_S cols % 128 == 0;
 * otherwise WEFT_ERR_UNSUPPORTED names the type that does fit. The TQ and F16 scale is rounded to
 * f16; one that would become zero or infinity there is WEFT_ERR_UNSUPPORTED. */
int repack_encode(const ternary_matrix *w, tensor_type type, uint8_t *out, weft_error *err);

/* First value that is NaN or infinite in a dense tensor, or -1: the check made at load. */
int64_t repack_find_nonfinite(const tensor_view *t);

#endif
