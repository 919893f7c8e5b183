/* Adapters as GGUF files, with exactly the keys and tensor names that llama.cpp reads. That form
 * has one alpha for all pairs and no rsLoRA: whatever differs is folded into B when saving. */
#include "model/adapter_parts.h"

#include "base/os.h"
#include "format/gguf.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void gguf_name(int64_t layer, target t, bool is_b, char name[ADAPTER_NAME_MAX]) {
    snprintf(name, ADAPTER_NAME_MAX, "blk.%lld.%s.weight.lora_%c", (long long)layer,
             target_tensor(t), is_b ? 'b' : 'a');
}

static const adapter_form gguf_form = {gguf_name, false};

static int expect_text(const gguf_file *file, const char *key, const char *wanted, const char *hint,
                       weft_error *err) {
    gguf_text text;
    if (!gguf_get_text(file, key, &text))
        return err_set(err, WEFT_ERR_FORMAT, "the key %s is missing: %s", key, hint);
    if (text.size != strlen(wanted) || memcmp(text.data, wanted, text.size))
        return err_set(err, WEFT_ERR_UNSUPPORTED, "%s is '%.*s' instead of '%s': %s", key,
                       text.size > 64 ? 64 : (int)text.size, text.data, wanted, hint);
    return WEFT_OK;
}

/* The three names of BitNet stand for the same tensors, so their adapters fit one another. */
static int check_architecture(const gguf_file *file, const config *c, weft_error *err) {
    gguf_text text;
    if (gguf_get_text(file, "general.architecture", &text) && text.size >= 6 &&
        !memcmp(text.data, "bitnet", 6) && !strncmp(c->architecture, "bitnet", 6))
        return WEFT_OK;
    return expect_text(file, "general.architecture", c->architecture,
                       "the adapter was made for another kind of model", err);
}

static int check_keys(const gguf_file *file, const config *c, double *alpha, weft_error *err) {
    TRY(expect_text(file, "general.type", "adapter", "this is no adapter", err));
    TRY(expect_text(file, "adapter.type", "lora", "weft reads LoRA adapters", err));
    TRY(check_architecture(file, c, err));
    if (gguf_has(file, "adapter.alora.invocation_tokens"))
        return err_set(err, WEFT_ERR_UNSUPPORTED,
                       "adapter.alora.invocation_tokens: activated LoRA is not supported");
    *alpha = 0;
    if (!gguf_get_f64(file, "adapter.lora.alpha", alpha) && gguf_has(file, "adapter.lora.alpha"))
        return err_set(err, WEFT_ERR_FORMAT, "adapter.lora.alpha is not a number");
    bool taken = *alpha == 0 || (float)*alpha >= ADAPTER_ALPHA_MIN;
    if (!(taken && *alpha <= ADAPTER_ALPHA_MAX))
        return err_set(err, WEFT_ERR_FORMAT, "adapter.lora.alpha is %g: it is 0 or in %g .. %.0f",
                       *alpha, (double)ADAPTER_ALPHA_MIN, (double)ADAPTER_ALPHA_MAX);
    return WEFT_OK;
}

static int collect(const gguf_file *file, const config *c, double alpha, adapter_source *sources,
                   weft_error *err) {
    for (size_t i = 0; i < gguf_tensor_count(file); i++) {
        const tensor_view *t = gguf_tensor_at(file, i);
        adapter_name name;
        if (!adapter_name_parse(t->name, "blk.", target_tensor, ".weight.lora_a", ".weight.lora_b",
                                c, &name))
            return err_set(
                err, WEFT_ERR_UNSUPPORTED,
                "tensor %s is not a LoRA matrix of a projection of this model's %lld layers",
                t->name, (long long)c->layer_count);
        TRY(adapter_source_put(sources, &name, t, err));
        /* An alpha of 0 means that the product is used as it is. */
        if (!name.is_b && t->dim_count == 2 && t->shape[0] > 0)
            sources[name.layer * TARGET_COUNT + name.which].scale =
                alpha != 0 ? (float)(alpha / (double)t->shape[0]) : 1;
    }
    return WEFT_OK;
}

int adapter_load_gguf(const char *path, const config *c, backend *be, adapter **out,
                      weft_error *err) {
    gguf_file *file = NULL;
    double alpha = 0;
    TRY(gguf_open(path, &file, err));
    adapter_source *sources = calloc((size_t)c->layer_count * TARGET_COUNT, sizeof *sources);
    int rc = sources ? check_keys(file, c, &alpha, err)
                     : err_set(err, WEFT_ERR_MEMORY, "no memory to read the adapter");
    if (!rc) rc = collect(file, c, alpha, sources, err);
    if (!rc) rc = adapter_assemble(c, be, sources, &gguf_form, out, err);
    if (!rc) (*out)->alpha = alpha != 0 ? (float)alpha : (float)(*out)->rank;
    free(sources);
    gguf_close(&file);
    return rc;
}

/* The alpha that llama.cpp's scale alpha / rank needs for this pair. Exact where the pair has the
 * adapter's own settings; from the scale otherwise. */
static double pair_alpha(const adapter *a, const lora_pair *pair) {
    if (pair->scale == adapter_scale(a->alpha, pair->rank, a->rslora))
        return a->rslora ? a->alpha * sqrt(pair->rank) : (double)a->alpha;
    return (double)pair->scale * pair->rank;
}

/* One alpha for the file, and what each B is multiplied by so that it holds for all. */
static float fold_scales(const adapter *a, float *fold) {
    double alpha = 0;
    for (size_t i = 0; i < (size_t)a->layer_count * TARGET_COUNT; i++) {
        const lora_pair *pair = &a->pairs[i];
        fold[i] = 1;
        if (!pair->rank) continue;
        double own = pair_alpha(a, pair);
        if (alpha == 0) alpha = own;
        if ((float)own != (float)alpha) fold[i] = (float)(own / alpha);
    }
    return (float)alpha;
}

int adapter_save_gguf(const adapter *a, const config *c, const char *path, const char *name,
                      weft_error *err) {
    adapter_tensors tensors = {0};
    gguf_writer *w = NULL;
    int rc;
    float *fold = calloc((size_t)a->layer_count * TARGET_COUNT, sizeof *fold);
    if (!fold) return err_set(err, WEFT_ERR_MEMORY, "no memory to save the adapter %s", path);
    float alpha = fold_scales(a, fold);
    TRY_OR(adapter_tensors_make(a, c, &gguf_form, fold, &tensors, err), done);
    TRY_OR(gguf_writer_create(&w, err), done);
    gguf_put_cstr(w, "general.architecture", c->architecture);
    gguf_put_cstr(w, "general.type", "adapter");
    if (name) gguf_put_cstr(w, "general.name", name);
    gguf_put_cstr(w, "adapter.type", "lora");
    gguf_put_f32(w, "adapter.lora.alpha", alpha);
    for (size_t i = 0; i < tensors.count; i++) gguf_put_tensor(w, &tensors.views[i]);
    rc = gguf_writer_save(w, path, err);
done:
    gguf_writer_free(&w);
    adapter_tensors_free(&tensors);
    free(fold);
    return rc;
}
