/* Models of random weights, for tests and benchmarks. They are drawn four to eight at a time, so
 * that billions take seconds. */
#include "model/model.h"

#include "base/os.h"
#include "base/rng.h"
#include "format/repack.h"

#include <math.h>
#include <stdlib.h>

#define BYTE_CHOICES   81 /* bytes of four codes 0..2 */
#define DRAWS_A_NUMBER 4  /* bytes from one random number, 16 bits each */
#define EMBED_CHOICES  256

/* Random codes of one matrix: a third each of -1, 0, +1, zeros in the padding. */
static void random_codes(const ternary_matrix *w, uint8_t *codes, uint64_t seed) {
    uint8_t choices[BYTE_CHOICES];
    size_t row_bytes = ternary_row_bytes(w->cols), size = (size_t)w->rows * row_bytes;
    for (int i = 0; i < BYTE_CHOICES; i++)
        choices[i] = (uint8_t)(i / 27 << 6 | i / 9 % 3 << 4 | i / 3 % 3 << 2 | i % 3);
    for (size_t at = 0; at < size; at += DRAWS_A_NUMBER) { /* whole blocks: a multiple of 32 */
        uint64_t bits = rng_at(seed, at / DRAWS_A_NUMBER);
        for (int i = 0; i < DRAWS_A_NUMBER; i++)
            codes[at + (size_t)i] = choices[((bits >> 16 * i & 0xffff) * BYTE_CHOICES) >> 16];
    }
    for (int64_t col = w->cols; col < ternary_padded(w->cols); col++) {
        int shift = 6 - 2 * (int)(col % TERNARY_BLOCK / 32);
        size_t place = (size_t)(col / TERNARY_BLOCK) * TERNARY_BLOCK_BYTES + (size_t)(col % 32);
        for (uint8_t *row = codes; row < codes + size; row += row_bytes)
            row[place] = (uint8_t)((row[place] & ~(3 << shift)) | 1 << shift);
    }
}

/* Values within +-0.05. */
static void random_embedding(uint16_t *values, size_t count, uint64_t seed) {
    uint16_t choices[EMBED_CHOICES];
    for (int i = 0; i < EMBED_CHOICES; i++)
        choices[i] = f16_from_f32(((float)i + 0.5f) * (0.1f / EMBED_CHOICES) - 0.05f);
    for (size_t i = 0; i < count; i++) values[i] = choices[rng_at(seed, i / 8) >> i % 8 * 8 & 255];
}

static int fill_ones(model *m, size_t at, int64_t n, view *out, weft_error *err) {
    float *ones = os_alloc((size_t)n * sizeof(float));
    if (!ones) return err_set(err, WEFT_ERR_MEMORY, "out of memory");
    for (int64_t i = 0; i < n; i++) ones[i] = 1;
    *out = (view){m->norms, at};
    backend_write(m->be, *out, ones, (size_t)n * sizeof(float));
    os_free(ones);
    return WEFT_OK;
}

/* The same values in either packing. */
static int random_matrix(ternary_matrix *w, uint8_t *codes, uint64_t seed, weft_error *err) {
    ternary_matrix fast = *w;
    fast.packing = TERNARY_FAST;
    if (w->packing == TERNARY_FAST) {
        random_codes(&fast, codes, seed);
        return WEFT_OK;
    }
    uint8_t *first = os_alloc((size_t)w->rows * ternary_row_bytes(w->cols));
    if (!first) return err_set(err, WEFT_ERR_MEMORY, "out of memory");
    fast.codes = first;
    random_codes(&fast, first, seed);
    repack_tight(&fast, codes);
    os_free(first);
    return WEFT_OK;
}

static int synthesise_layer(model *m, int64_t i, uint64_t seed, size_t *norm_at, uint8_t **codes,
                            weft_error *err) {
    const config *c = &m->cfg;
    layer_weights *w = &m->layers[i];
    view *norms[4] = {&w->attn_norm, &w->ffn_norm, &w->attn_sub_norm, &w->ffn_sub_norm};
    int64_t widths[4] = {c->hidden, c->hidden, c->heads * c->head_dim, c->ffn};
    for (int k = 0; k < (c->sub_norms ? 4 : 2); k++) {
        TRY(fill_ones(m, *norm_at, widths[k], norms[k], err));
        *norm_at += round_up((size_t)widths[k] * sizeof(float), 64);
    }
    for (int t = 0; t < TARGET_COUNT; t++) {
        ternary_matrix matrix = {.codes = *codes, .packing = m->packing};
        config_target_shape(c, (target)t, &matrix.rows, &matrix.cols);
        matrix.scale = 1.2f / sqrtf((float)matrix.cols); /* keeps activations near 1 */
        TRY(random_matrix(&matrix, *codes, rng_split(seed, (uint64_t)(i * TARGET_COUNT + t)), err));
        *codes += (size_t)matrix.rows * ternary_row_bytes_of(matrix.packing, matrix.cols);
        TRY(ternary_weight_create(m->be, &matrix, &w->proj[t], err));
    }
    return WEFT_OK;
}

static int synthesise(model *m, uint64_t seed, weft_error *err) {
    const config *c = &m->cfg;
    size_t embed_bytes = (size_t)(c->vocab * c->hidden) * 2, norm_at;
    m->codes_bytes = model_ternary_bytes(c, m->packing) + embed_bytes;
    m->codes = os_alloc(m->codes_bytes);
    m->layers = calloc((size_t)c->layer_count, sizeof *m->layers);
    if (!m->codes || !m->layers) return err_set(err, WEFT_ERR_MEMORY, "out of memory");
    /* First, so that it is aligned. */
    random_embedding((uint16_t *)(void *)m->codes, embed_bytes / 2, seed);
    dense_matrix d = {.data = m->codes,
                      .type = DENSE_F16,
                      .rows = c->vocab,
                      .cols = c->hidden,
                      .row_bytes = (size_t)c->hidden * 2};
    TRY(dense_weight_create(m->be, &d, &m->embed, err));
    m->head = m->embed;
    TRY(buffer_create(m->be, model_norms_bytes(c), &m->norms, err));
    TRY(fill_ones(m, 0, c->hidden, &m->output_norm, err));
    norm_at = round_up((size_t)c->hidden * sizeof(float), 64);
    uint8_t *codes = m->codes + embed_bytes;
    for (int64_t i = 0; i < c->layer_count; i++)
        TRY(synthesise_layer(m, i, seed, &norm_at, &codes, err));
    return WEFT_OK;
}

int model_synthesise(const config *shape, uint64_t seed, packing_choice packing, backend *be,
                     model **out, weft_error *err) {
    model *m = calloc(1, sizeof *m);
    *out = NULL;
    if (!m) return err_set(err, WEFT_ERR_MEMORY, "out of memory");
    m->be = be;
    m->cfg = *shape;
    m->cfg.tied_head = true;
    m->packing = model_packing(shape, packing, os_memory_bytes());
    int rc = synthesise(m, seed, err);
    if (rc) model_free(&m);
    *out = m;
    return rc;
}
