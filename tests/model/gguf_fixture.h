/* A small GGUF model written by a test: two layers, width 256, every weight drawn from a seed, so
 * that the same model can be written in every encoding, or with one thing wrong. */
#ifndef WEFT_TESTS_GGUF_FIXTURE_H
#define WEFT_TESTS_GGUF_FIXTURE_H

#include "base/os.h"
#include "base/rng.h"
#include "format/gguf.h"
#include "format/repack.h"
#include "model/config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    GG_LAYERS = 2,
    GG_HIDDEN = 256,
    GG_FFN = 512,
    GG_HEADS = 4,
    GG_KV = 2,
    GG_DIM = 64,
    GG_VOCAB = 32,
    GG_TENSORS_MAX = 40
};

typedef struct gg_spec {
    const char *architecture; /* NULL = bitnet-b1.58 */
    tensor_type type;         /* of the projections; 0 is F32 */
    tensor_type head;         /* F32 or Q8_0 with untied */
    bool untied;              /* write output.weight too, equal to the embedding unless Q8_0 */
    bool hf_rows;             /* llama: leave the rows of q and k where the others have them */
    const char *drop;         /* leave this tensor out */
    const char *narrow;       /* write this tensor with half its last dimension */
    const char *spoil;        /* write these bytes ... */
    size_t spoil_at, spoil_size;
    const void *spoil_bytes; /* ... there in this tensor */
    const char *scale_of;    /* "blk.0.attn_q": add ".scale" */
    float scale;
    int64_t scale_count; /* its elements; 0 = 1 */
} gg_spec;

typedef struct gg_file {
    const gg_spec *spec;
    gguf_writer *w;
    void *blocks[GG_TENSORS_MAX]; /* data lent to the writer */
    size_t count;
} gg_file;

static inline config gg_shape(const gg_spec *spec) {
    config c = {.layer_count = GG_LAYERS,
                .hidden = GG_HIDDEN,
                .ffn = GG_FFN,
                .heads = GG_HEADS,
                .kv_heads = GG_KV,
                .head_dim = GG_DIM,
                .vocab = GG_VOCAB,
                .context = 64,
                .norm_epsilon = 1e-5f,
                .rope_base = 10000,
                .act = ACTIVATION_SILU};
    const char *name = spec->architecture ? spec->architecture : "bitnet-b1.58";
    snprintf(c.architecture, sizeof c.architecture, "%s", name);
    c.rope_interleaved = !strcmp(name, "llama");
    c.sub_norms = !c.rope_interleaved;
    for (int i = 0; i < GG_DIM / 2; i++) c.rope_factors[i] = 1;
    return c;
}

/* The tensor as the spec wants it; data is the file's from here on. */
static inline void gg_add(gg_file *f, const char *name, tensor_type type, int64_t rows,
                          int64_t cols, void *data) {
    const gg_spec *s = f->spec;
    f->blocks[f->count++] = data;
    if (s->drop && !strcmp(name, s->drop)) return;
    if (s->narrow && !strcmp(name, s->narrow)) cols /= 2;
    if (s->spoil && !strcmp(name, s->spoil))
        memcpy((uint8_t *)data + s->spoil_at, s->spoil_bytes, s->spoil_size);
    tensor_view t = {.name = name, .type = type, .dim_count = rows ? 2 : 1, .data = data};
    t.shape[0] = rows ? rows : cols;
    t.shape[1] = rows ? cols : 0;
    t.size_bytes = tensor_bytes(type, cols, cols * (rows ? rows : 1));
    gguf_put_tensor(f->w, &t);
}

static inline float *gg_floats(uint64_t seed, size_t count, float centre, float width) {
    float *v = malloc(count * sizeof *v);
    for (size_t i = 0; v && i < count; i++) v[i] = centre + width * (rng_uniform(seed, i) - 0.5f);
    return v;
}

static inline void gg_add_norm(gg_file *f, const char *name, int64_t n, uint64_t seed) {
    gg_add(f, name, TENSOR_F32, 0, n, gg_floats(seed, (size_t)n, 1, 0.5f));
}

/* Row `row` of the file's matrix, at row `row` of codes: for llama's q and k, the Hugging Face row
 * that belongs there, so that both layouts hold the same model. */
static inline void gg_row(uint8_t *codes, uint64_t seed, int64_t row, int64_t source,
                          int64_t cols) {
    uint8_t block[TERNARY_BLOCK];
    for (int64_t b = 0; b < cols / TERNARY_BLOCK; b++) {
        for (int64_t i = 0; i < TERNARY_BLOCK; i++) {
            uint64_t at = (uint64_t)(source * cols + b * TERNARY_BLOCK + i);
            block[i] = (uint8_t)rng_below(seed, at, 3);
        }
        ternary_pack_block(block, codes + (size_t)row * ternary_row_bytes(cols) +
                                      (size_t)b * TERNARY_BLOCK_BYTES);
    }
}

static inline void gg_add_projection(gg_file *f, const config *c, int64_t layer, target t) {
    char base[64], name[96];
    ternary_matrix w = {.scale = 0.09375f}; /* exact in every encoding */
    config_target_shape(c, t, &w.rows, &w.cols);
    uint8_t *codes = malloc((size_t)w.rows * ternary_row_bytes(w.cols));
    uint64_t seed = (uint64_t)(50 + layer * TARGET_COUNT + t);
    for (int64_t r = 0; r < w.rows; r++)
        gg_row(codes, seed, r, f->spec->hf_rows ? r : config_hf_row(c, t, r), w.cols);
    w.codes = codes;
    size_t size = tensor_bytes(f->spec->type, w.cols, w.rows * w.cols);
    uint8_t *data = malloc(size);
    if (repack_encode(&w, f->spec->type, data, NULL)) memset(data, 0xff, size);
    free(codes);
    snprintf(base, sizeof base, "blk.%d.%s", (int)layer, target_tensor(t));
    snprintf(name, sizeof name, "%s.weight", base);
    gg_add(f, name, f->spec->type, w.rows, w.cols, data);
    if (!f->spec->scale_of || strcmp(base, f->spec->scale_of) != 0) return;
    int64_t count = f->spec->scale_count ? f->spec->scale_count : 1;
    float *scale = malloc((size_t)count * sizeof *scale);
    for (int64_t i = 0; i < count; i++) scale[i] = f->spec->scale;
    snprintf(name, sizeof name, "%s.scale", base);
    gg_add(f, name, TENSOR_F32, 0, count, scale);
}

/* A head in Q8_0: blocks of an f16 scale and 32 int8. */
static inline void gg_add_q8_head(gg_file *f) {
    uint8_t *data = malloc(GG_VOCAB * GG_HIDDEN / 32 * 34);
    for (size_t b = 0; b < GG_VOCAB * GG_HIDDEN / 32; b++) {
        uint16_t scale = f16_from_f32(0x1p-7f);
        memcpy(data + b * 34, &scale, 2);
        for (size_t i = 0; i < 32; i++) data[b * 34 + 2 + i] = (uint8_t)rng_at(8, b * 32 + i);
    }
    gg_add(f, "output.weight", TENSOR_Q8_0, GG_VOCAB, GG_HIDDEN, data);
}

static inline int gg_write(const gg_spec *spec, const char *path, weft_error *err) {
    gg_file f = {.spec = spec};
    config c = gg_shape(spec);
    size_t embed = GG_VOCAB * GG_HIDDEN;
    TRY(gguf_writer_create(&f.w, err));
    config_to_gguf(&c, f.w);
    gg_add(&f, "token_embd.weight", TENSOR_F32, GG_VOCAB, GG_HIDDEN, gg_floats(1, embed, 0, 1));
    if (spec->untied && spec->head == TENSOR_Q8_0)
        gg_add_q8_head(&f);
    else if (spec->untied)
        gg_add(&f, "output.weight", TENSOR_F32, GG_VOCAB, GG_HIDDEN, gg_floats(1, embed, 0, 1));
    gg_add_norm(&f, "output_norm.weight", GG_HIDDEN, 2);
    for (int64_t i = 0; i < GG_LAYERS; i++) {
        static const char *const norms[] = {"attn_norm", "ffn_norm", "attn_sub_norm",
                                            "ffn_sub_norm"};
        for (int k = 0; k < (c.sub_norms ? 4 : 2); k++) {
            char name[64];
            snprintf(name, sizeof name, "blk.%d.%s.weight", (int)i, norms[k]);
            gg_add_norm(&f, name, k == 3 ? GG_FFN : GG_HIDDEN, (uint64_t)(10 + 4 * i + k));
        }
        for (int t = 0; t < TARGET_COUNT; t++) gg_add_projection(&f, &c, i, (target)t);
    }
    int rc = gguf_writer_save(f.w, path, err);
    gguf_writer_free(&f.w);
    for (size_t i = 0; i < f.count; i++) free(f.blocks[i]);
    return rc;
}

#endif
