/* Loading a GGUF model: every tensor is found by name, checked and put on the device. Ternary
 * matrices in I2_S are used from the mapped file; other encodings, and the tight packing, are
 * repacked into one allocation, and the file's part is let go. */
#include "model/model.h"

#include "base/os.h"
#include "format/repack.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Where loading stands: the model, and how much of its norms and codes is taken. */
typedef struct loader {
    model *m;
    size_t norms_used, codes_used;
} loader;

static const tensor_view *find(const model *m, const char *name, int64_t rows, int64_t cols,
                               weft_error *err) {
    const tensor_view *t = gguf_tensor(m->file, name);
    if (!t) {
        err_set(err, WEFT_ERR_FORMAT, "tensor %s is missing", name);
        return NULL;
    }
    bool vector = rows == 0;
    if (vector ? t->dim_count != 1 || t->shape[0] != cols
               : t->dim_count != 2 || t->shape[0] != rows || t->shape[1] != cols) {
        err_set(err, WEFT_ERR_FORMAT, "tensor %s has shape (%lld, %lld), expected (%lld, %lld)",
                name, (long long)(t->dim_count > 1 ? t->shape[0] : 0),
                (long long)(t->dim_count > 1 ? t->shape[1] : t->shape[0]), (long long)rows,
                (long long)cols);
        return NULL;
    }
    return t;
}

static int check_finite(const tensor_view *t, weft_error *err) {
    int64_t bad = repack_find_nonfinite(t);
    if (bad < 0) return WEFT_OK;
    return err_set(err, WEFT_ERR_NUMERIC,
                   "tensor %s holds NaN or infinity at element %lld: the file is damaged", t->name,
                   (long long)bad);
}

static int load_norm(loader *l, const char *name, int64_t n, view *out, weft_error *err) {
    const tensor_view *t = find(l->m, name, 0, n, err);
    if (!t) return WEFT_ERR_FORMAT;
    TRY(check_finite(t, err));
    float *values = os_alloc((size_t)n * sizeof(float));
    if (!values) return err_set(err, WEFT_ERR_MEMORY, "out of memory reading %s", name);
    int rc = repack_to_f32(t, 0, n, values, err);
    if (!rc) {
        *out = (view){l->m->norms, l->norms_used};
        backend_write(l->m->be, *out, values, (size_t)n * sizeof(float));
        l->norms_used += round_up((size_t)n * sizeof(float), 64);
    }
    os_free(values);
    return rc;
}

/* Older converters keep a projection's scale in a tensor of its own, of one element. */
static int apply_scale_tensor(const model *m, const char *base, float *scale, weft_error *err) {
    char name[128];
    snprintf(name, sizeof name, "%s.scale", base);
    const tensor_view *t = gguf_tensor(m->file, name);
    if (!t) return WEFT_OK;
    float factor;
    if (tensor_count(t) != 1)
        return err_set(err, WEFT_ERR_FORMAT, "tensor %s must have one element", name);
    TRY(repack_to_f32(t, 0, 1, &factor, err));
    if (!isfinite(factor) || factor <= 0)
        return err_set(err, WEFT_ERR_NUMERIC, "tensor %s holds the senseless scale %g", name,
                       factor);
    *scale *= factor;
    return WEFT_OK;
}

static int load_ternary(loader *l, int64_t layer, target which, weft_error *err) {
    model *m = l->m;
    ternary_matrix w = {0};
    char base[96], name[128];
    config_target_shape(&m->cfg, which, &w.rows, &w.cols);
    snprintf(base, sizeof base, "blk.%lld.%s", (long long)layer, target_tensor(which));
    snprintf(name, sizeof name, "%s.weight", base);
    const tensor_view *t = find(m, name, w.rows, w.cols, err);
    if (!t) return WEFT_ERR_FORMAT;
    if (m->packing == TERNARY_FAST && repack_in_place(t, &w)) {
        m->mapped_bytes += t->size_bytes;
    } else {
        uint8_t *codes = m->codes + l->codes_used;
        TRY(repack_ternary_as(t, m->packing, codes, &w.scale, err));
        gguf_release(m->file, t);
        w.codes = codes;
        w.packing = m->packing;
        l->codes_used += (size_t)w.rows * ternary_row_bytes_of(w.packing, w.cols);
    }
    TRY(repack_check(&w, name, err));
    TRY(apply_scale_tensor(m, base, &w.scale, err));
    m->mean_scale += w.scale / (double)(m->cfg.layer_count * TARGET_COUNT);
    return ternary_weight_create(m->be, &w, &m->layers[layer].proj[which], err);
}

/* Bytes of ternary matrices that cannot be used where they are mapped. All must be there and of the
 * right shape, so that a header alone cannot ask for memory. */
static int count_repacked(const model *m, size_t *total, weft_error *err) {
    *total = 0;
    for (int64_t i = 0; i < m->cfg.layer_count; i++) {
        for (int which = 0; which < TARGET_COUNT; which++) {
            char name[128];
            int64_t rows, cols;
            ternary_matrix unused;
            config_target_shape(&m->cfg, (target)which, &rows, &cols);
            snprintf(name, sizeof name, "blk.%lld.%s.weight", (long long)i,
                     target_tensor((target)which));
            const tensor_view *t = find(m, name, rows, cols, err);
            if (!t) return WEFT_ERR_FORMAT;
            if (m->packing == TERNARY_TIGHT || !repack_in_place(t, &unused))
                *total += (size_t)rows * ternary_row_bytes_of(m->packing, cols);
        }
    }
    return WEFT_OK;
}

static int dense_of(const tensor_view *t, dense_matrix *d, weft_error *err) {
    switch (t->type) {
    case TENSOR_F32:
        d->type = DENSE_F32;
        break;
    case TENSOR_F16:
        d->type = DENSE_F16;
        break;
    case TENSOR_BF16:
        d->type = DENSE_BF16;
        break;
    case TENSOR_Q8_0:
        d->type = DENSE_Q8_0;
        break;
    case TENSOR_Q6_K:
        d->type = DENSE_Q6_K;
        break;
    default:
        return err_set(err, WEFT_ERR_UNSUPPORTED,
                       "tensor %s is of type %s: weft reads F32, F16, BF16, Q8_0 and Q6_K here",
                       t->name, tensor_type_name(t->type));
    }
    d->data = t->data;
    d->rows = t->shape[0];
    d->cols = t->shape[1];
    d->row_bytes = t->size_bytes / (size_t)t->shape[0];
    return WEFT_OK;
}

static int load_dense(model *m, const char *name, dense_weight **out, weft_error *err) {
    const tensor_view *t = find(m, name, m->cfg.vocab, m->cfg.hidden, err);
    dense_matrix d;
    if (!t) return WEFT_ERR_FORMAT;
    TRY(dense_of(t, &d, err));
    TRY(check_finite(t, err));
    m->mapped_bytes += t->size_bytes;
    return dense_weight_create(m->be, &d, out, err);
}

size_t model_norms_bytes(const config *c) {
    size_t hidden = round_up((size_t)c->hidden * sizeof(float), 64);
    size_t attention = round_up((size_t)(c->heads * c->head_dim) * sizeof(float), 64);
    size_t ffn = round_up((size_t)c->ffn * sizeof(float), 64);
    return (size_t)c->layer_count * (2 * hidden + (c->sub_norms ? attention + ffn : 0)) + hidden;
}

static int load_layer(loader *l, int64_t i, weft_error *err) {
    const config *c = &l->m->cfg;
    layer_weights *w = &l->m->layers[i];
    struct {
        const char *name;
        int64_t n;
        view *out;
        bool wanted;
    } norms[] = {{"attn_norm", c->hidden, &w->attn_norm, true},
                 {"ffn_norm", c->hidden, &w->ffn_norm, true},
                 {"attn_sub_norm", c->heads * c->head_dim, &w->attn_sub_norm, c->sub_norms},
                 {"ffn_sub_norm", c->ffn, &w->ffn_sub_norm, c->sub_norms}};
    for (int k = 0; k < 4; k++) {
        char name[96];
        snprintf(name, sizeof name, "blk.%lld.%s.weight", (long long)i, norms[k].name);
        if (norms[k].wanted) TRY(load_norm(l, name, norms[k].n, norms[k].out, err));
    }
    for (int t = 0; t < TARGET_COUNT; t++) TRY(load_ternary(l, i, (target)t, err));
    return WEFT_OK;
}

static int load_text(model *m, weft_error *err) {
    gguf_text source;
    if (!gguf_has(m->file, "tokenizer.ggml.model")) return WEFT_OK;
    TRY(tokenizer_from_gguf(m->file, &m->tok, err));
    if (tokenizer_vocab_count(m->tok) > m->cfg.vocab)
        return err_set(err, WEFT_ERR_FORMAT,
                       "the tokenizer has %d tokens but the embedding only %lld rows",
                       tokenizer_vocab_count(m->tok), (long long)m->cfg.vocab);
    if (!gguf_get_text(m->file, "tokenizer.chat_template", &source)) return WEFT_OK;
    m->chat_source = malloc(source.size + 1);
    if (!m->chat_source) return err_set(err, WEFT_ERR_MEMORY, "out of memory");
    memcpy(m->chat_source, source.data, source.size);
    m->chat_source[source.size] = 0;
    int rc = chat_template_compile(source.data, source.size, &m->chat, err);
    if (rc) err_prefix(err, "tokenizer.chat_template");
    return rc;
}

static int load_tensors(model *m, weft_error *err) {
    loader l = {.m = m};
    size_t codes, layers = (size_t)m->cfg.layer_count;
    TRY(load_dense(m, "token_embd.weight", &m->embed, err));
    TRY(count_repacked(m, &codes, err));
    m->codes_bytes = codes;
    m->layers = calloc(layers, sizeof *m->layers);
    if (codes) m->codes = os_alloc(codes);
    if (!m->layers || (codes && !m->codes))
        return err_set(err, WEFT_ERR_MEMORY, "out of memory for the weights (%zu bytes)", codes);
    TRY(buffer_create(m->be, model_norms_bytes(&m->cfg), &m->norms, err));
    if (m->cfg.tied_head)
        m->head = m->embed;
    else
        TRY(load_dense(m, "output.weight", &m->head, err));
    TRY(load_norm(&l, "output_norm.weight", m->cfg.hidden, &m->output_norm, err));
    for (int64_t i = 0; i < m->cfg.layer_count; i++) TRY(load_layer(&l, i, err));
    return WEFT_OK;
}

size_t model_ternary_bytes(const config *c, ternary_packing packing) {
    size_t layer_bytes = 0;
    for (int t = 0; t < TARGET_COUNT; t++) {
        int64_t rows, cols;
        config_target_shape(c, (target)t, &rows, &cols);
        layer_bytes += (size_t)rows * ternary_row_bytes_of(packing, cols);
    }
    return (size_t)c->layer_count * layer_bytes;
}

ternary_packing model_packing(const config *c, packing_choice choice, uint64_t memory_bytes) {
    if (choice == PACKING_FAST) return TERNARY_FAST;
    if (choice == PACKING_TIGHT) return TERNARY_TIGHT;
    bool scarce = memory_bytes && model_ternary_bytes(c, TERNARY_FAST) > memory_bytes / 2;
    return scarce ? TERNARY_TIGHT : TERNARY_FAST;
}

int model_load(const char *path, packing_choice packing, backend *be, model **out,
               weft_error *err) {
    int rc;
    model *m = calloc(1, sizeof *m);
    *out = NULL;
    if (!m) return err_set(err, WEFT_ERR_MEMORY, "out of memory");
    m->be = be;
    TRY_OR(gguf_open(path, &m->file, err), fail); /* its messages name the path */
    rc = config_from_gguf(m->file, &m->cfg, err);
    if (!rc) {
        m->packing = model_packing(&m->cfg, packing, os_memory_bytes());
        rc = load_tensors(m, err);
    }
    if (!rc) rc = load_text(m, err);
    if (rc) {
        err_prefix(err, "%s", path);
        goto fail;
    }
    *out = m;
    return WEFT_OK;
fail:
    model_free(&m);
    return rc;
}

void model_free(model **handle) {
    model *m = *handle;
    if (!m) return;
    for (int64_t i = 0; m->layers && i < m->cfg.layer_count; i++)
        for (int t = 0; t < TARGET_COUNT; t++) ternary_weight_free(m->be, &m->layers[i].proj[t]);
    if (m->head != m->embed) dense_weight_free(m->be, &m->head);
    dense_weight_free(m->be, &m->embed);
    buffer_free(m->be, &m->norms);
    free(m->layers);
    os_free(m->codes);
    free(m->chat_source);
    chat_template_free(&m->chat);
    tokenizer_free(&m->tok);
    gguf_close(&m->file);
    free(m);
    *handle = NULL;
}
