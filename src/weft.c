/* The public functions about models and adapters: check arguments, call one layer. */
#include "weft_impl.h"

#include "model/import.h"
#include "store/store.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert((int)WEFT_PACKING_AUTO == PACKING_AUTO && (int)WEFT_PACKING_FAST == PACKING_FAST &&
                   (int)WEFT_PACKING_TIGHT == PACKING_TIGHT,
               "one numbering");

const char *weft_version(void) {
    return WEFT_VERSION;
}

void weft_free(void *memory) {
    free(memory);
}

int weft_model_begin(const weft_model_options *options, weft_model **out, weft_error *err) {
    static const weft_model_options standard = WEFT_MODEL_OPTIONS_DEFAULT;
    const weft_model_options *o = options ? options : &standard;
    *out = NULL;
    weft_model *m = calloc(1, sizeof *m);
    if (!m) return err_set(err, WEFT_ERR_MEMORY, "out of memory");
    m->smooth = o->smooth;
    m->thread_count = o->thread_count;
    m->cpu_mask = o->cpu_mask;
    m->packing = (packing_choice)o->packing;
    int rc = device_open(o, m, err);
    if (rc) weft_model_free(&m);
    *out = m;
    return rc;
}

int weft_model_load(const char *path, const weft_model_options *options, weft_model **out,
                    weft_error *err) {
    TRY(weft_model_begin(options, out, err));
    int rc = model_load(path, (*out)->packing, (*out)->be, &(*out)->m, err);
    if (device_fall_back(options, *out, rc, err))
        rc = model_load(path, (*out)->packing, (*out)->be, &(*out)->m, err);
    if (rc) weft_model_free(out);
    return rc;
}

void weft_model_free(weft_model **handle) {
    weft_model *m = *handle;
    if (!m) return;
    model_free(&m->m);
    backend_free(&m->be);
    free(m);
    *handle = NULL;
}

void weft_model_get_info(const weft_model *base, weft_model_info *info) {
    const struct model *m = base->m;
    const config *c = &m->cfg;
    *info = (weft_model_info){.layer_count = c->layer_count,
                              .hidden = c->hidden,
                              .ffn = c->ffn,
                              .heads = c->heads,
                              .kv_heads = c->kv_heads,
                              .head_dim = c->head_dim,
                              .vocab = c->vocab,
                              .context = c->context,
                              .ternary_count = config_ternary_count(c),
                              .dense_count = c->vocab * c->hidden * (c->tied_head ? 1 : 2),
                              .mapped_bytes = m->mapped_bytes,
                              .resident_bytes = m->codes_bytes + buffer_bytes(m->norms),
                              .ternary_bytes = model_ternary_bytes(c, m->packing),
                              .packing = m->packing == TERNARY_TIGHT ? WEFT_PACKING_TIGHT
                                                                     : WEFT_PACKING_FAST,
                              .tied_head = c->tied_head,
                              .has_tokenizer = m->tok != NULL,
                              .has_chat_template = m->chat != NULL};
    snprintf(info->name, sizeof info->name, "%s", c->name);
    snprintf(info->architecture, sizeof info->architecture, "%s", c->architecture);
    snprintf(info->activation, sizeof info->activation, "%s",
             c->act == ACTIVATION_RELU2 ? "relu2" : "silu");
    snprintf(info->device, sizeof info->device, "%s", backend_name(base->be));
    memcpy(info->device_note, base->device_note, sizeof info->device_note);
    snprintf(info->note, sizeof info->note, "%s", c->note);
}

static const struct {
    const char *name;
    tensor_type type;
} ternary_types[] = {{"i2_s", TENSOR_I2_S}, {"tq1_0", TENSOR_TQ1_0}, {"tq2_0", TENSOR_TQ2_0},
                     {"f16", TENSOR_F16},   {"bf16", TENSOR_BF16},   {"f32", TENSOR_F32}};

int weft_import(const char *dir, const char *out, const char *type, const char *name,
                char note[256], weft_error *err) {
    import_options options = {.ternary_type = TENSOR_I2_S, .name = name};
    char unused[256];
    bool known = !type;
    for (size_t i = 0; type && i < sizeof ternary_types / sizeof *ternary_types; i++) {
        if (strcmp(type, ternary_types[i].name) != 0) continue;
        options.ternary_type = ternary_types[i].type;
        known = true;
    }
    if (!known)
        return err_set(err, WEFT_ERR_ARGUMENT,
                       "'%.40s' is no ternary type: use i2_s, tq1_0, tq2_0, f16, bf16 or f32",
                       type);
    return import_hf(dir, out, &options, note ? note : unused, err);
}

int weft_adapter_load(const weft_model *base, const char *path, weft_adapter **out,
                      weft_error *err) {
    *out = NULL;
    weft_adapter *a = calloc(1, sizeof *a);
    if (!a) return err_set(err, WEFT_ERR_MEMORY, "out of memory");
    int rc = adapter_load(path, &base->m->cfg, base->be, &a->a, err);
    if (rc) weft_adapter_free(&a);
    *out = a;
    return rc;
}

int weft_adapter_save(const weft_adapter *a, const weft_model *base, weft_adapter_format format,
                      const char *path, const char *base_name, weft_error *err) {
    if (format == WEFT_ADAPTER_PEFT)
        return adapter_save_peft(a->a, &base->m->cfg, path, base_name, err);
    return adapter_save_gguf(a->a, &base->m->cfg, path, base_name, err);
}

int weft_adapter_blend(const weft_model *base, const weft_adapter *const *adapters,
                       const float *weights, size_t count, int32_t rank, weft_adapter **out,
                       double *error, weft_error *err) {
    const adapter *parts[ADAPTER_BLEND_MAX] = {NULL};
    double lost = 0;
    *out = NULL;
    if (count < 1 || count > ADAPTER_BLEND_MAX)
        return err_set(err, WEFT_ERR_ARGUMENT, "%zu adapters to blend; 1 to %d can be", count,
                       ADAPTER_BLEND_MAX);
    for (size_t i = 0; i < count; i++) {
        parts[i] = adapters[i]->a;
        if (parts[i]->be != base->be)
            return err_set(err, WEFT_ERR_ARGUMENT, "adapter %zu is loaded for another model",
                           i + 1);
    }
    weft_adapter *a = calloc(1, sizeof *a);
    if (!a) return err_set(err, WEFT_ERR_MEMORY, "out of memory");
    int rc = adapter_blend(&base->m->cfg, parts, weights, count, rank, &a->a, &lost, err);
    if (rc) weft_adapter_free(&a);
    if (error) *error = lost;
    *out = a;
    return rc;
}

void weft_adapter_free(weft_adapter **handle) {
    weft_adapter *a = *handle;
    if (!a) return;
    adapter_free(&a->a);
    free(a);
    *handle = NULL;
}

void weft_adapter_get_info(const weft_adapter *a, weft_adapter_info *info) {
    *info = (weft_adapter_info){.rank = a->a->rank,
                                .alpha = a->a->alpha,
                                .rslora = a->a->rslora,
                                .param_count = a->a->param_count};
    for (int t = 0; t < TARGET_COUNT; t++) {
        if (!(a->a->targets >> t & 1)) continue;
        size_t n = strlen(info->targets);
        snprintf(info->targets + n, sizeof info->targets - n, "%s%s", n ? ", " : "",
                 target_name((target)t));
    }
}

int adapter_uses(const weft_adapter *const *adapters, const float *scales, size_t count,
                 adapter_use *uses, weft_error *err) {
    if (count > FORWARD_ADAPTERS_MAX)
        return err_set(err, WEFT_ERR_RANGE, "%zu adapters at once; at most %d", count,
                       FORWARD_ADAPTERS_MAX);
    for (size_t i = 0; i < count; i++) {
        float scale = scales ? scales[i] : 1.0f;
        if (!isfinite(scale))
            return err_set(err, WEFT_ERR_ARGUMENT, "the scale of adapter %zu is %g", i + 1, scale);
        uses[i] = (adapter_use){adapters[i]->a, scale};
    }
    return WEFT_OK;
}

int weft_store_adapter(const char *name, bool create, weft_adapter_paths *paths, weft_error *err) {
    return store_adapter(name, create, paths, err);
}

int weft_store_list(char **names, weft_error *err) {
    os_list list;
    *names = NULL;
    TRY(store_list(&list, err));
    bytes text = {0};
    bool ok = bytes_add_text(&text, "");
    for (size_t i = 0; ok && i < list.count; i++) ok = bytes_printf(&text, "%s\n", list.names[i]);
    os_list_free(&list);
    *names = text.data;
    if (ok) return WEFT_OK;
    bytes_free(&text);
    *names = NULL;
    return err_set(err, WEFT_ERR_MEMORY, "out of memory");
}
