/* LoRA adapters in memory: made fresh, assembled from a file's tensors, taken apart into tensors.
 * Owns the order of the parameters and every check of shapes and values; the file formats are in
 * adapter_peft.c and adapter_gguf.c. */
#include "model/adapter_parts.h"

#include "base/os.h"
#include "base/rng.h"
#include "format/repack.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

float adapter_scale(double alpha, int32_t rank, bool rslora) {
    return (float)(alpha / (rslora ? sqrt(rank) : (double)rank));
}

static size_t pair_count(const adapter *a) {
    return (size_t)a->layer_count * TARGET_COUNT;
}

/* An adapter without pairs or memory on the device. */
int adapter_begin(const config *c, backend *be, adapter **out, weft_error *err) {
    adapter *a = calloc(1, sizeof *a);
    if (a) a->pairs = calloc((size_t)c->layer_count * TARGET_COUNT, sizeof *a->pairs);
    if (!a || !a->pairs) {
        free(a);
        return err_set(err, WEFT_ERR_MEMORY, "no memory for an adapter of %lld layers",
                       (long long)c->layer_count);
    }
    a->be = be;
    a->layer_count = c->layer_count;
    *out = a;
    return WEFT_OK;
}

/* Give every pair its place, from the ranks; fills targets and param_count. */
void adapter_place_pairs(adapter *a, const config *c) {
    size_t at = 0;
    for (size_t i = 0; i < pair_count(a); i++) {
        lora_pair *pair = &a->pairs[i];
        int64_t rows, cols;
        if (!pair->rank) continue;
        config_target_shape(c, (target)(i % TARGET_COUNT), &rows, &cols);
        pair->a_offset = at;
        pair->b_offset = at + (size_t)(pair->rank * cols);
        at = pair->b_offset + (size_t)(rows * pair->rank);
        a->targets |= 1u << i % TARGET_COUNT;
    }
    a->param_count = at;
}

/* Move params to a device buffer of their size; the last step of making an adapter. */
int adapter_finish(adapter *a, const float *params, weft_error *err) {
    TRY(buffer_create(a->be, a->param_count * sizeof(float), &a->params, err));
    return adapter_set_params(a, params, err);
}

static int check_settings(const adapter_settings *s, weft_error *err) {
    if (s->rank < 1 || s->rank > ADAPTER_RANK_MAX)
        return err_set(err, WEFT_ERR_ARGUMENT, "the rank %d is out of range: 1 .. %d", s->rank,
                       ADAPTER_RANK_MAX);
    if (!(s->alpha >= ADAPTER_ALPHA_MIN && s->alpha <= ADAPTER_ALPHA_MAX))
        return err_set(err, WEFT_ERR_ARGUMENT, "alpha is %g: it lies in %g .. %.0f",
                       (double)s->alpha, (double)ADAPTER_ALPHA_MIN, (double)ADAPTER_ALPHA_MAX);
    if (!s->targets || s->targets >> TARGET_COUNT)
        return err_set(err, WEFT_ERR_ARGUMENT,
                       "the set of projections 0x%x is empty or has unknown members", s->targets);
    return WEFT_OK;
}

static void fill_a(const adapter *a, const config *c, uint64_t seed, float *params) {
    for (size_t i = 0; i < pair_count(a); i++) {
        const lora_pair *pair = &a->pairs[i];
        uint64_t stream = rng_split(seed, i);
        int64_t rows, cols;
        config_target_shape(c, (target)(i % TARGET_COUNT), &rows, &cols);
        float bound = (float)(1 / sqrt((double)cols));
        for (int64_t j = 0; j < pair->rank * cols; j++)
            params[pair->a_offset + (size_t)j] = (2 * rng_uniform(stream, (uint64_t)j) - 1) * bound;
    }
}

int adapter_create(const config *c, backend *be, const adapter_settings *settings, adapter **out,
                   weft_error *err) {
    *out = NULL;
    TRY(check_settings(settings, err));
    adapter *a;
    TRY(adapter_begin(c, be, &a, err));
    a->rank = settings->rank;
    a->alpha = settings->alpha;
    a->rslora = settings->rslora;
    for (size_t i = 0; i < pair_count(a); i++) {
        if (!(settings->targets >> i % TARGET_COUNT & 1)) continue;
        a->pairs[i].rank = settings->rank;
        a->pairs[i].scale = adapter_scale(settings->alpha, settings->rank, settings->rslora);
    }
    adapter_place_pairs(a, c);
    float *params = os_alloc(a->param_count * sizeof *params);
    int rc = params ? WEFT_OK
                    : err_set(err, WEFT_ERR_MEMORY, "no memory for %zu adapter parameters",
                              a->param_count);
    if (!rc) {
        fill_a(a, c, settings->seed, params);
        rc = adapter_finish(a, params, err);
    }
    os_free(params);
    if (rc)
        adapter_free(&a);
    else
        *out = a;
    return rc;
}

int adapter_copy(const adapter *from, adapter **out, weft_error *err) {
    *out = NULL;
    adapter *a = calloc(1, sizeof *a);
    if (!a) return err_set(err, WEFT_ERR_MEMORY, "no memory for an adapter");
    *a = *from;
    a->params = NULL;
    a->pairs = calloc(pair_count(from), sizeof *a->pairs);
    float *params = os_alloc(from->param_count * sizeof *params);
    int rc = a->pairs && params ? WEFT_OK
                                : err_set(err, WEFT_ERR_MEMORY, "no memory for %zu adapter "
                                          "parameters", from->param_count);
    if (!rc) memcpy(a->pairs, from->pairs, pair_count(from) * sizeof *a->pairs);
    if (!rc) rc = adapter_get_params(from, params, err);
    if (!rc) rc = adapter_finish(a, params, err);
    os_free(params);
    if (rc)
        adapter_free(&a);
    else
        *out = a;
    return rc;
}

void adapter_free(adapter **ap) {
    adapter *a = *ap;
    *ap = NULL;
    if (!a) return;
    buffer_free(a->be, &a->params);
    free(a->pairs);
    free(a);
}

int adapter_set_params(adapter *a, const float *params, weft_error *err) {
    for (size_t i = 0; i < a->param_count; i++)
        if (!isfinite(params[i]))
            return err_set(err, WEFT_ERR_NUMERIC, "adapter parameter %zu is NaN or infinite", i);
    backend_begin(a->be);
    backend_write(a->be, view_of(a->params), params, a->param_count * sizeof *params);
    return backend_submit(a->be, err);
}

int adapter_get_params(const adapter *a, float *params, weft_error *err) {
    return backend_read(a->be, view_of(a->params), params, a->param_count * sizeof *params, err);
}

int adapter_load(const char *path, const config *c, backend *be, adapter **out, weft_error *err) {
    *out = NULL;
    int rc = os_is_dir(path) ? adapter_load_peft(path, c, be, out, err)
                             : adapter_load_gguf(path, c, be, out, err);
    if (rc && err && !strstr(err->message, path)) err_prefix(err, "adapter %s", path);
    return rc;
}

bool adapter_name_parse(const char *text, const char *prefix, const char *(*projection)(target),
                        const char *suffix_a, const char *suffix_b, const config *c,
                        adapter_name *out) {
    if (strncmp(text, prefix, strlen(prefix))) return false;
    const char *at = text + strlen(prefix);
    int64_t layer = 0;
    int digits = 0;
    for (; *at >= '0' && *at <= '9' && digits < 6; at++, digits++) layer = 10 * layer + (*at - '0');
    if (!digits || *at++ != '.' || layer >= c->layer_count) return false;
    for (int t = 0; t < TARGET_COUNT; t++) {
        const char *name = projection((target)t);
        if (strncmp(at, name, strlen(name))) continue;
        const char *suffix = at + strlen(name);
        bool is_b = !strcmp(suffix, suffix_b);
        if (!is_b && strcmp(suffix, suffix_a)) continue;
        *out = (adapter_name){layer, (target)t, is_b};
        return true;
    }
    return false;
}

int adapter_source_put(adapter_source *sources, const adapter_name *name, const tensor_view *t,
                       weft_error *err) {
    adapter_source *source = &sources[name->layer * TARGET_COUNT + name->which];
    const tensor_view **slot = name->is_b ? &source->b : &source->a;
    if (*slot)
        return err_set(err, WEFT_ERR_FORMAT, "tensors %s and %s are the same matrix", (*slot)->name,
                       t->name);
    *slot = t;
    return WEFT_OK;
}

static int check_source(const adapter_source *s, int64_t rows, int64_t cols, weft_error *err) {
    if (!s->a || !s->b)
        return err_set(err, WEFT_ERR_FORMAT,
                       "tensor %s has no partner: the other matrix is missing",
                       (s->a ? s->a : s->b)->name);
    if (s->a->dim_count != 2 || s->a->shape[1] != cols)
        return err_set(
            err, WEFT_ERR_FORMAT,
            "tensor %s has %lld columns, the model's projection has %lld inputs: it was made "
            "for another model",
            s->a->name, s->a->dim_count == 2 ? (long long)s->a->shape[1] : 0, (long long)cols);
    if (s->a->shape[0] < 1 || s->a->shape[0] > ADAPTER_RANK_MAX)
        return err_set(err, WEFT_ERR_RANGE, "tensor %s has the rank %lld: weft's limit is %d",
                       s->a->name, (long long)s->a->shape[0], ADAPTER_RANK_MAX);
    if (s->b->dim_count != 2 || s->b->shape[0] != rows || s->b->shape[1] != s->a->shape[0])
        return err_set(
            err, WEFT_ERR_FORMAT,
            "tensor %s is not of the shape (%lld, %lld) that the model and its partner ask for",
            s->b->name, (long long)rows, (long long)s->a->shape[0]);
    if (!isfinite(s->scale))
        return err_set(err, WEFT_ERR_NUMERIC, "tensor %s has a scale that is no number",
                       s->a->name);
    return WEFT_OK;
}

static int read_matrix(const tensor_view *t, float *out, weft_error *err) {
    int64_t count = tensor_count(t);
    int rc = repack_to_f32(t, 0, count, out, err);
    if (rc) {
        if (err && !strstr(err->message, t->name)) err_prefix(err, "tensor %s", t->name);
        return rc;
    }
    for (int64_t i = 0; i < count; i++)
        if (!isfinite(out[i]))
            return err_set(err, WEFT_ERR_NUMERIC, "tensor %s: element %lld is NaN or infinite",
                           t->name, (long long)i);
    return WEFT_OK;
}

/* B between the model's order of rows and Hugging Face's. to_hf: out[hf row] = in[row]. */
static void permute_rows(const config *c, target t, const float *in, int64_t rows, int32_t rank,
                         bool to_hf, float *out) {
    for (int64_t row = 0; row < rows; row++) {
        int64_t hf = config_hf_row(c, t, row);
        memcpy(out + (to_hf ? hf : row) * rank, in + (to_hf ? row : hf) * rank,
               (size_t)rank * sizeof *out);
    }
}

static int read_pair(const adapter_source *source, const lora_pair *pair, const config *c, target t,
                     bool hf_rows, float *params, weft_error *err) {
    float *b = params + pair->b_offset;
    TRY(read_matrix(source->a, params + pair->a_offset, err));
    TRY(read_matrix(source->b, b, err));
    if (!hf_rows || !c->rope_interleaved || (t != TARGET_Q && t != TARGET_K)) return WEFT_OK;
    int64_t rows = source->b->shape[0];
    float *copy = malloc((size_t)(rows * pair->rank) * sizeof *copy);
    if (!copy) return err_set(err, WEFT_ERR_MEMORY, "no memory to reorder %s", source->b->name);
    memcpy(copy, b, (size_t)(rows * pair->rank) * sizeof *copy);
    permute_rows(c, t, copy, rows, pair->rank, false, b);
    free(copy);
    return WEFT_OK;
}

static int take_sources(adapter *a, const config *c, const adapter_source *sources,
                        weft_error *err) {
    for (size_t i = 0; i < pair_count(a); i++) {
        int64_t rows, cols;
        if (!sources[i].a && !sources[i].b) continue;
        config_target_shape(c, (target)(i % TARGET_COUNT), &rows, &cols);
        TRY(check_source(&sources[i], rows, cols, err));
        a->pairs[i].rank = (int32_t)sources[i].a->shape[0];
        a->pairs[i].scale = sources[i].scale;
        if (a->rank < a->pairs[i].rank) a->rank = a->pairs[i].rank;
    }
    adapter_place_pairs(a, c);
    if (!a->targets) return err_set(err, WEFT_ERR_FORMAT, "it holds no LoRA matrices");
    return WEFT_OK;
}

int adapter_assemble(const config *c, backend *be, const adapter_source *sources,
                     const adapter_form *form, adapter **out, weft_error *err) {
    adapter *a;
    float *params = NULL;
    TRY(adapter_begin(c, be, &a, err));
    int rc = take_sources(a, c, sources, err);
    if (!rc && !(params = os_alloc(a->param_count * sizeof *params)))
        rc = err_set(err, WEFT_ERR_MEMORY, "no memory for %zu adapter parameters", a->param_count);
    for (size_t i = 0; !rc && i < pair_count(a); i++)
        if (a->pairs[i].rank)
            rc = read_pair(&sources[i], &a->pairs[i], c, (target)(i % TARGET_COUNT), form->hf_rows,
                           params, err);
    if (!rc) rc = adapter_finish(a, params, err);
    os_free(params);
    if (rc)
        adapter_free(&a);
    else
        *out = a;
    return rc;
}

/* Add one matrix of the list; its values already lie in t->values. */
static void add_view(adapter_tensors *t, const adapter_form *form, int64_t layer, target which,
                     bool is_b, int64_t rows, int64_t cols, const float *values) {
    char *name = t->names[t->count];
    form->name(layer, which, is_b, name);
    t->views[t->count++] = (tensor_view){.name = name,
                                         .type = TENSOR_F32,
                                         .dim_count = 2,
                                         .shape = {rows, cols},
                                         .data = (const uint8_t *)values,
                                         .size_bytes = (size_t)(rows * cols) * sizeof *values};
}

static void export_pairs(const adapter *a, const config *c, const adapter_form *form,
                         const float *fold, const float *params, adapter_tensors *out) {
    for (size_t i = 0; i < pair_count(a); i++) {
        const lora_pair *pair = &a->pairs[i];
        int64_t layer = (int64_t)(i / TARGET_COUNT), rows, cols;
        target t = (target)(i % TARGET_COUNT);
        if (!pair->rank) continue;
        config_target_shape(c, t, &rows, &cols);
        float *b = out->values + pair->b_offset;
        memcpy(out->values + pair->a_offset, params + pair->a_offset,
               (size_t)(pair->rank * cols) * sizeof(float));
        if (form->hf_rows)
            permute_rows(c, t, params + pair->b_offset, rows, pair->rank, true, b);
        else
            memcpy(b, params + pair->b_offset, (size_t)(rows * pair->rank) * sizeof(float));
        for (int64_t j = 0; fold && fold[i] != 1 && j < rows * pair->rank; j++) b[j] *= fold[i];
        add_view(out, form, layer, t, false, pair->rank, cols, out->values + pair->a_offset);
        add_view(out, form, layer, t, true, rows, pair->rank, b);
    }
}

int adapter_tensors_make(const adapter *a, const config *c, const adapter_form *form,
                         const float *fold, adapter_tensors *out, weft_error *err) {
    *out = (adapter_tensors){0};
    float *params = os_alloc(a->param_count * sizeof *params);
    out->values = os_alloc(a->param_count * sizeof *params);
    out->views = calloc(2 * pair_count(a), sizeof *out->views);
    out->names = calloc(2 * pair_count(a), sizeof *out->names);
    int rc = WEFT_OK;
    if (!params || !out->values || !out->views || !out->names)
        rc = err_set(err, WEFT_ERR_MEMORY, "no memory to save an adapter of %zu parameters",
                     a->param_count);
    if (!rc) rc = adapter_get_params(a, params, err);
    if (!rc) export_pairs(a, c, form, fold, params, out);
    os_free(params);
    if (rc) adapter_tensors_free(out);
    return rc;
}

void adapter_tensors_free(adapter_tensors *t) {
    os_free(t->values);
    free(t->views);
    free(t->names);
    *t = (adapter_tensors){0};
}
