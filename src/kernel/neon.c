/* The NEON table: the float kernels at 128 bits, and the integer ones of the other files. */
#if defined(__aarch64__)
#include "kernel/neon.h"

#include "kernel/vec_kernels.h"

/* Interleaved pairs are taken apart as they are loaded. */
static void rope_pairs(float *x, int64_t heads, int64_t head_dim, const float *table,
                       bool interleaved, bool inverse) {
    int64_t half = head_dim / 2;
    if (!interleaved || half % LANES != 0) {
        rope_row(x, heads, head_dim, table, interleaved, inverse);
        return;
    }
    const vec sign = vec_set(inverse ? -1.0f : 1.0f);
    for (int64_t h = 0; h < heads; h++, x += head_dim) {
        for (int64_t j = 0; j < half; j += LANES) {
            vec c = vec_load(table + j), s = sign * vec_load(table + half + j);
            float32x4x2_t pairs = vld2q_f32(x + 2 * j);
            vec a = pairs.val[0], b = pairs.val[1];
            pairs.val[0] = vec_fnma(b, s, a * c);
            pairs.val[1] = vec_fma(a, s, b * c);
            vst2q_f32(x + 2 * j, pairs);
        }
    }
}

void kernels_init_neon(kernels *k) {
    vec_kernels(k);
    k->name = "neon";
    k->quantise_row = neon_quantise_row;
    k->ternary_matmul = neon_ternary_matmul;
    k->ternary_unpack_rows = neon_ternary_unpack_rows;
    k->gradient_row = neon_gradient_row;
    k->ternary_matmul_t_i16 = neon_ternary_matmul_t_i16;
    k->rope_row = rope_pairs;
}
#endif
