/* The integer products with ternary weights as the device runs them: with a tile named, for the
 * bench that compares tiles (bench/bench_vk_matmul.c). Operations are in vk.h. */
#ifndef WEFT_BACKEND_VK_TERNARY_H
#define WEFT_BACKEND_VK_TERNARY_H

#include "backend/vk.h"

/* What a work group computes: `tokens` tokens by `features` features; or with lanes, rows of the
 * weight for at most that many tokens, `lanes` invocations for `each` rows. */
typedef struct vk_ternary_tile {
    vk_tier tier;
    uint32_t tokens, features;
    uint32_t lanes, each;
    bool transposed;                       /* cooperative matrices: the direction it is for */
    uint32_t block_tokens, block_features; /* of a subgroup */
    uint32_t units;                        /* of 16 values that go through shared memory at once */
    uint32_t splits;                       /* of them, each for other subgroups */
} vk_ternary_tile;

const vk_ternary_tile *vk_ternary_tiles(int *count);

/* Can the device run this tile for so many tokens? Tiles with lanes are for the forward product. */
bool vk_ternary_tile_fits(const vk_backend *vk, const vk_ternary_tile *tile, bool transposed,
                          int64_t tokens);

/* vk_ternary_matmul, and vk_ternary_matmul_t rounded, with a tile that fits; views are aligned to
 * 16 bytes. tile NULL: the one that the operation takes. With a term the transposed product adds
 * h A too, where b is A (r, K): only if vk_ternary_t_takes says that it can. */
void vk_ternary_product(backend *be, const ternary_weight *w, view q8, int64_t tokens,
                        const vk_ternary_tile *tile, view y);
void vk_ternary_product_t(backend *be, const ternary_weight *w, view dy, int64_t tokens,
                          const vk_ternary_tile *tile, const lora_term *term, view dx, bool add);
bool vk_ternary_t_takes(backend *be, const ternary_weight *w, const lora_term *term, int64_t tokens,
                        precision grade, view dx);

#endif
