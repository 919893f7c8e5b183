/* The tensors of a Hugging Face folder turned into those of a GGUF file, one by one: projections
 * become ternary codes in the file's type, norms float32, embedding and head stay as they are. */
#include "model/import_parts.h"

#include "base/os.h"
#include "format/repack.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_BYTES    128
#define MODULE_MAX_BYTES  96 /* a name without ".weight_scale" */
#define TENSORS_PER_LAYER 18 /* 7 weights, 7 scales, 4 norms */

int import_lists_create(importer *im, weft_error *err) {
    size_t most = (size_t)im->cfg.layer_count * TENSORS_PER_LAYER + 3;
    im->used = calloc(most, sizeof *im->used);
    im->owned = calloc(most, sizeof *im->owned);
    if (im->used && im->owned) return WEFT_OK;
    return err_set(err, WEFT_ERR_MEMORY, "no memory to list the model's tensors");
}

void import_lists_free(importer *im) {
    for (size_t i = 0; i < im->owned_count; i++) os_free(im->owned[i]);
    free(im->owned);
    free(im->used);
}

/* The tensor of that name, counted as used; NULL if there is none. */
static const tensor_view *take(importer *im, const char *name) {
    const tensor_view *t = safetensors_find(hf_tensors(im->hf), name);
    if (t) im->used[im->used_count++] = t;
    return t;
}

/* The same with a check of its shape; cols 0 means a vector. */
static int take_shape(importer *im, const char *name, int64_t rows, int64_t cols,
                      const tensor_view **out, weft_error *err) {
    const tensor_view *t = take(im, name);
    if (!t) return err_set(err, WEFT_ERR_FORMAT, "tensor %s is missing", name);
    bool fits =
        t->dim_count == (cols ? 2 : 1) && t->shape[0] == rows && (!cols || t->shape[1] == cols);
    if (!fits && cols)
        return err_set(err, WEFT_ERR_FORMAT,
                       "tensor %s is not of shape (%lld, %lld) as config.json says", name,
                       (long long)rows, (long long)cols);
    if (!fits)
        return err_set(err, WEFT_ERR_FORMAT,
                       "tensor %s does not have %lld elements as config.json says", name,
                       (long long)rows);
    *out = t;
    return WEFT_OK;
}

/* Memory for a tensor to be written, kept until the file is saved. */
static void *own(importer *im, size_t size, const char *name, weft_error *err) {
    void *p = os_alloc(size);
    if (p)
        im->owned[im->owned_count++] = p;
    else
        err_set(err, WEFT_ERR_MEMORY, "no memory (%zu bytes) to convert %s", size, name);
    return p;
}

static int check_dense(const tensor_view *t, weft_error *err) {
    if (t->type != TENSOR_F32 && t->type != TENSOR_F16 && t->type != TENSOR_BF16)
        return err_set(err, WEFT_ERR_UNSUPPORTED,
                       "tensor %s is of type %s: F32, F16 or BF16 is needed", t->name,
                       tensor_type_name(t->type));
    int64_t bad = repack_find_nonfinite(t);
    if (bad >= 0)
        return err_set(err, WEFT_ERR_NUMERIC, "tensor %s: element %lld is NaN or infinite", t->name,
                       (long long)bad);
    return WEFT_OK;
}

/* Embedding or head: as it stands. */
static int put_dense(importer *im, const char *hf_name, const char *gguf_name, weft_error *err) {
    const tensor_view *t;
    TRY(take_shape(im, hf_name, im->cfg.vocab, im->cfg.hidden, &t, err));
    TRY(check_dense(t, err));
    tensor_view renamed = *t;
    renamed.name = gguf_name;
    gguf_put_tensor(im->w, &renamed);
    return WEFT_OK;
}

static int put_norm(importer *im, const char *hf_name, const char *gguf_name, int64_t n,
                    weft_error *err) {
    const tensor_view *t;
    TRY(take_shape(im, hf_name, n, 0, &t, err));
    TRY(check_dense(t, err));
    float *values = own(im, (size_t)n * sizeof *values, hf_name, err);
    if (!values) return WEFT_ERR_MEMORY;
    TRY(repack_to_f32(t, 0, n, values, err));
    gguf_put_tensor(im->w, &(tensor_view){.name = gguf_name,
                                          .type = TENSOR_F32,
                                          .dim_count = 1,
                                          .shape = {n},
                                          .data = (const uint8_t *)values,
                                          .size_bytes = (size_t)n * sizeof *values});
    return WEFT_OK;
}

/* *factor = what weight_scale multiplies the ternary values by; 1 and *found = false without one.
 */
static int read_scale(importer *im, const char *name, float *factor, bool *found, weft_error *err) {
    const tensor_view *t = take(im, name);
    *found = t != NULL;
    *factor = 1;
    if (!t) return WEFT_OK;
    if (tensor_count(t) != 1)
        return err_set(err, WEFT_ERR_FORMAT,
                       "tensor %s has %lld elements: one scale a tensor is read", name,
                       (long long)tensor_count(t));
    TRY(check_dense(t, err));
    TRY(repack_to_f32(t, 0, 1, factor, err));
    if (!(*factor > 0))
        return err_set(err, WEFT_ERR_NUMERIC, "tensor %s is %g: a scale is above 0", name,
                       (double)*factor);
    if (!im->scale_multiplies) *factor = 1 / *factor;
    if (!isfinite(*factor))
        return err_set(err, WEFT_ERR_NUMERIC, "tensor %s is too small to divide by", name);
    return WEFT_OK;
}

/* Master weights are rounded as BitNet does; weights that are ternary already keep their values. */
static int codes_from_dense(const tensor_view *t, bool has_factor, uint8_t *codes, float *scale,
                            weft_error *err) {
    TRY(check_dense(t, err));
    if (repack_is_ternary(t)) return repack_ternary(t, codes, scale, err);
    if (has_factor)
        return err_set(err, WEFT_ERR_UNSUPPORTED,
                       "tensor %s has a weight_scale but is not ternary: its meaning is not known",
                       t->name);
    return repack_quantise(t, codes, scale, err);
}

static int read_codes(importer *im, const char module[MODULE_MAX_BYTES], ternary_matrix *m,
                      uint8_t *codes, weft_error *err) {
    char name[NAME_MAX_BYTES];
    const tensor_view *t;
    float factor, scale = 1;
    bool has_factor;
    snprintf(name, sizeof name, "%s.weight_scale", module);
    TRY(read_scale(im, name, &factor, &has_factor, err));
    snprintf(name, sizeof name, "%s.weight", module);
    const tensor_view *found = safetensors_find(hf_tensors(im->hf), name);
    bool packed = found && found->type == TENSOR_U8;
    if (packed && m->rows % 4)
        return err_set(err, WEFT_ERR_FORMAT, "tensor %s: %lld rows cannot be packed by four", name,
                       (long long)m->rows);
    TRY(take_shape(im, name, packed ? m->rows / 4 : m->rows, m->cols, &t, err));
    if (packed && !has_factor)
        return err_set(err, WEFT_ERR_FORMAT, "tensor %s_scale is missing", name);
    int rc = packed ? repack_hf_packed(t, codes, err)
                    : codes_from_dense(t, has_factor, codes, &scale, err);
    if (rc && err && !strstr(err->message, name)) err_prefix(err, "tensor %s", name);
    m->codes = codes;
    m->scale = scale * factor;
    return rc;
}

/* Rows in GGUF's order, where it is another one. */
static int permute(const config *c, target which, const ternary_matrix *m, uint8_t *codes,
                   weft_error *err) {
    if (!c->rope_interleaved || (which != TARGET_Q && which != TARGET_K)) return WEFT_OK;
    size_t row_bytes = ternary_row_bytes(m->cols), size = (size_t)m->rows * row_bytes;
    uint8_t *copy = os_alloc(size);
    if (!copy) return err_set(err, WEFT_ERR_MEMORY, "no memory to reorder a projection");
    memcpy(copy, codes, size);
    for (int64_t row = 0; row < m->rows; row++)
        memcpy(codes + (size_t)row * row_bytes,
               copy + (size_t)config_hf_row(c, which, row) * row_bytes, row_bytes);
    os_free(copy);
    return WEFT_OK;
}

/* The wanted type, or the nearest that takes rows of this length and this scale. */
static tensor_type fitting_type(importer *im, const ternary_matrix *m, const char *name) {
    tensor_type type = im->ternary_type;
    if ((type == TENSOR_TQ1_0 || type == TENSOR_TQ2_0) && m->cols % 256) type = TENSOR_I2_S;
    if (type == TENSOR_I2_S && m->cols % TERNARY_BLOCK) type = TENSOR_F16;
    bool half = type == TENSOR_F16 || type == TENSOR_TQ1_0 || type == TENSOR_TQ2_0;
    float rounded = f16_to_f32(f16_from_f32(m->scale));
    if (half && (!isfinite(rounded) || rounded < 0x1p-14f))
        type = type == TENSOR_F16 || m->cols % TERNARY_BLOCK ? TENSOR_F32 : TENSOR_I2_S;
    if (type != im->ternary_type && !im->fallbacks++)
        snprintf(im->fallback_text, sizeof im->fallback_text,
                 "%.80s (%lld columns) is stored as %s", name, (long long)m->cols,
                 tensor_type_name(type));
    return type;
}

static int put_encoded(importer *im, const ternary_matrix *m, const char *name, weft_error *err) {
    tensor_type type = fitting_type(im, m, name);
    size_t size = tensor_bytes(type, m->cols, m->rows * m->cols);
    uint8_t *out = size ? own(im, size, name, err) : NULL;
    if (!size)
        return err_set(err, WEFT_ERR_UNSUPPORTED, "tensor %s does not fit %s", name,
                       tensor_type_name(type));
    if (!out) return WEFT_ERR_MEMORY;
    TRY(repack_encode(m, type, out, err));
    gguf_put_tensor(im->w, &(tensor_view){.name = name,
                                          .type = type,
                                          .dim_count = 2,
                                          .shape = {m->rows, m->cols},
                                          .data = out,
                                          .size_bytes = size});
    return WEFT_OK;
}

static int put_projection(importer *im, int64_t layer, target which, weft_error *err) {
    char module[MODULE_MAX_BYTES], name[NAME_MAX_BYTES];
    ternary_matrix m = {0};
    config_target_shape(&im->cfg, which, &m.rows, &m.cols);
    snprintf(module, sizeof module, "model.layers.%lld.%s", (long long)layer, target_module(which));
    snprintf(name, sizeof name, "blk.%lld.%s.weight", (long long)layer, target_tensor(which));
    uint8_t *codes = os_alloc((size_t)m.rows * ternary_row_bytes(m.cols));
    if (!codes) return err_set(err, WEFT_ERR_MEMORY, "no memory to convert %s", module);
    int rc = read_codes(im, module, &m, codes, err);
    if (!rc) rc = permute(&im->cfg, which, &m, codes, err);
    if (!rc) rc = put_encoded(im, &m, name, err);
    os_free(codes);
    return rc;
}

static int put_layer_norm(importer *im, int64_t layer, const char *hf, const char *gguf, int64_t n,
                          weft_error *err) {
    char hf_name[NAME_MAX_BYTES], gguf_name[NAME_MAX_BYTES];
    snprintf(hf_name, sizeof hf_name, "model.layers.%lld.%s.weight", (long long)layer, hf);
    snprintf(gguf_name, sizeof gguf_name, "blk.%lld.%s.weight", (long long)layer, gguf);
    return put_norm(im, hf_name, gguf_name, n, err);
}

/* A sub-norm under its name, or the one of the first BitNet models. */
static int put_sub_norm(importer *im, int64_t layer, const char *hf, const char *older,
                        const char *gguf, int64_t n, weft_error *err) {
    char name[NAME_MAX_BYTES];
    snprintf(name, sizeof name, "model.layers.%lld.%s.weight", (long long)layer, older);
    bool is_older = safetensors_find(hf_tensors(im->hf), name) != NULL;
    return put_layer_norm(im, layer, is_older ? older : hf, gguf, n, err);
}

static int put_layer(importer *im, int64_t i, weft_error *err) {
    const config *c = &im->cfg;
    TRY(put_layer_norm(im, i, "input_layernorm", "attn_norm", c->hidden, err));
    for (int t = TARGET_Q; t <= TARGET_V; t++) TRY(put_projection(im, i, (target)t, err));
    if (c->sub_norms)
        TRY(put_sub_norm(im, i, "self_attn.attn_sub_norm", "self_attn.inner_attn_ln",
                         "attn_sub_norm", c->hidden, err));
    TRY(put_projection(im, i, TARGET_O, err));
    TRY(put_layer_norm(im, i, "post_attention_layernorm", "ffn_norm", c->hidden, err));
    TRY(put_projection(im, i, TARGET_GATE, err));
    TRY(put_projection(im, i, TARGET_UP, err));
    if (c->sub_norms)
        TRY(put_sub_norm(im, i, "mlp.ffn_sub_norm", "mlp.ffn_layernorm", "ffn_sub_norm", c->ffn,
                         err));
    return put_projection(im, i, TARGET_DOWN, err);
}

/* Tensors that old checkpoints carry and that hold nothing of their own. */
static bool is_redundant(const importer *im, const char *name) {
    static const char rotary[] = ".rotary_emb.inv_freq";
    size_t size = strlen(name), tail = sizeof rotary - 1;
    if (size > tail && !strcmp(name + size - tail, rotary)) return true;
    return im->cfg.tied_head && !strcmp(name, "lm_head.weight");
}

static bool is_used(const importer *im, const tensor_view *t) {
    for (size_t i = 0; i < im->used_count; i++)
        if (im->used[i] == t) return true;
    return false;
}

static int refuse_extra(const importer *im, weft_error *err) {
    const safetensors_file *file = hf_tensors(im->hf);
    if (safetensors_count(file) == im->used_count) return WEFT_OK;
    for (size_t i = 0; i < safetensors_count(file); i++) {
        const tensor_view *t = safetensors_at(file, i);
        if (!is_used(im, t) && !is_redundant(im, t->name))
            return err_set(err, WEFT_ERR_UNSUPPORTED,
                           "tensor %s has no place in this kind of model: it would be lost",
                           t->name);
    }
    return WEFT_OK;
}

int import_tensors(importer *im, weft_error *err) {
    TRY(put_dense(im, "model.embed_tokens.weight", "token_embd.weight", err));
    for (int64_t i = 0; i < im->cfg.layer_count; i++) TRY(put_layer(im, i, err));
    TRY(put_norm(im, "model.norm.weight", "output_norm.weight", im->cfg.hidden, err));
    if (!im->cfg.tied_head) TRY(put_dense(im, "lm_head.weight", "output.weight", err));
    return refuse_extra(im, err);
}
