/* oracle_check MODEL.gguf ORACLE_DIR [--device cpu|gpu|gpu:N] [--gpu-tier 1|2|3] [--max-buffer
 * BYTES]
 *     [--validate] [--cpu-mask N] [--threads N] [--packing fast|tight] [--cut] [--brief] [--trace]
 * Holds every golden comparison of a directory against the model: one line a check with the
 * measured error and its bound, then "N passed, N failed". Exit 0 if all hold, 1 if one falls
 * short, 2 on usage, 77 where there is no such device. */
#include "oracle/oracle.h"

#include "backend/backend_vk.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void report(oracle *o, const char *name, double error, double bound, const char *note) {
    bool good = error <= bound; /* false for NaN */
    printf("%-4s %-52s %10.3g  bound %8.3g %s\n", good ? "ok" : "FAIL", name, error, bound, note);
    if (good)
        o->passed++;
    else
        o->failed++;
}

void report_skip(oracle *o, const char *name, const char *why) {
    printf("%-4s %-52s %s\n", o->cut ? "skip" : "FAIL", name, why);
    if (o->cut)
        o->skipped++;
    else
        o->failed++;
}

const float *oracle_floats(const safetensors_file *file, const char *name, int64_t *count) {
    const tensor_view *t = safetensors_find(file, name);
    if (!t || t->type != TENSOR_F32 || (uintptr_t)t->data % sizeof(float)) return NULL;
    if (count) *count = tensor_count(t);
    return (const float *)(const void *)t->data;
}

double relative(const float *a, const float *b, int64_t count) {
    double difference = 0, norm = 0;
    for (int64_t i = 0; i < count; i++) {
        double d = (double)a[i] - (double)b[i];
        difference += d * d;
        norm += (double)b[i] * (double)b[i];
    }
    return norm > 0 ? sqrt(difference / norm) : sqrt(difference);
}

int32_t *oracle_ids(const json_t *list, int64_t *count) {
    *count = (int64_t)json_array_size(list);
    int32_t *ids = malloc(((size_t)*count + 1) * sizeof *ids);
    for (int64_t i = 0; ids && i < *count; i++)
        ids[i] = (int32_t)json_integer_value(json_array_get(list, (size_t)i));
    return ids;
}

bool oracle_batch(const json_t *step, micro_batch *b) {
    const json_t *rows = json_object_get(step, "ids"), *targets = json_object_get(step, "targets");
    int64_t total = 0;
    for (size_t r = 0; r < json_array_size(rows); r++)
        total += (int64_t)json_array_size(json_array_get(rows, r));
    if (micro_batch_create(total, b, NULL)) return false;
    for (size_t r = 0; r < json_array_size(rows); r++) {
        const json_t *row = json_array_get(rows, r), *wanted = json_array_get(targets, r);
        int32_t start = (int32_t)b->tokens;
        for (size_t i = 0; i < json_array_size(row); i++) {
            int64_t t = b->tokens++;
            int64_t next = json_integer_value(json_array_get(wanted, i));
            b->ids[t] = (int32_t)json_integer_value(json_array_get(row, i));
            b->first[t] = start;
            b->positions[t] = (int32_t)i;
            b->last[t] = (int32_t)t;
            b->targets[t] = next < 0 ? NO_TARGET : (int32_t)next;
            b->target_count += next >= 0;
        }
    }
    return true;
}

static void tensor_name(char *name, size_t size, const char *prefix, int64_t layer, int t,
                        char side) {
    snprintf(name, size, "%smodel.layers.%lld.%s.lora_%c.weight", prefix, (long long)layer,
             target_module((target)t), side);
}

/* Copy one tensor into its place; false if it is there with another size. */
static bool place(const safetensors_file *f, const char *name, float *to, int64_t count) {
    int64_t n = 0;
    const float *values = oracle_floats(f, name, &n);
    if (!values || n != count) return false;
    memcpy(to, values, (size_t)n * sizeof *to);
    return true;
}

adapter *oracle_adapter(oracle *o, const char *prefix, const char *fallback_prefix) {
    adapter_settings settings = {
        .rank = o->rank, .alpha = o->alpha, .targets = (1u << TARGET_COUNT) - 1};
    adapter *a = NULL;
    if (adapter_create(&o->m->cfg, o->m->be, &settings, &a, NULL)) return NULL;
    float *params = calloc(a->param_count, sizeof *params);
    for (int64_t layer = 0; params && layer < a->layer_count; layer++) {
        for (int t = 0; t < TARGET_COUNT; t++) {
            char name[160];
            int64_t rows, cols;
            const lora_pair *p = adapter_pair(a, layer, (target)t);
            config_target_shape(&o->m->cfg, (target)t, &rows, &cols);
            for (int b = 0; b < 2; b++) {
                float *to = params + (b ? p->b_offset : p->a_offset);
                int64_t count = (b ? rows : cols) * p->rank;
                tensor_name(name, sizeof name, prefix, layer, t, b ? 'B' : 'A');
                if (place(o->x, name, to, count) || place(o->t, name, to, count) || b) continue;
                tensor_name(name, sizeof name, fallback_prefix, layer, t, 'A');
                if (!place(o->t, name, to, count)) place(o->x, name, to, count);
            }
        }
    }
    if (!params || adapter_set_params(a, params, NULL)) adapter_free(&a);
    free(params);
    return a;
}

double worst_pair(oracle *o, const adapter *a, const float *flat, const char *prefix, bool b) {
    double worst = -1;
    for (int64_t layer = 0; layer < a->layer_count; layer++) {
        for (int t = 0; t < TARGET_COUNT; t++) {
            char name[160];
            int64_t count;
            const lora_pair *p = adapter_pair(a, layer, (target)t);
            tensor_name(name, sizeof name, prefix, layer, t, b ? 'B' : 'A');
            const float *wanted = oracle_floats(o->x, name, &count);
            if (!wanted) continue;
            double error = relative(flat + (b ? p->b_offset : p->a_offset), wanted, count);
            if (!(error <= worst)) worst = error;
        }
    }
    return worst;
}

static bool open_files(oracle *o, weft_error *err) {
    char path[4096];
    json_error_t why;
    const char *names[2] = {"oracle.json", "exact.json"};
    json_t **objects[2] = {&o->plain, &o->exact};
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", o->dir, names[i]);
        *objects[i] = json_load_file(path, 0, &why);
        if (*objects[i]) continue;
        err_set(err, WEFT_ERR_IO, "%s: %s", path, why.text);
        return false;
    }
    snprintf(path, sizeof path, "%s/oracle.safetensors", o->dir);
    if (safetensors_open(path, &o->t, err)) return false;
    snprintf(path, sizeof path, "%s/exact.safetensors", o->dir);
    if (safetensors_open(path, &o->x, err)) return false;
    json_t *lora = json_object_get(o->plain, "lora");
    o->rank = (int32_t)json_integer_value(json_object_get(lora, "r"));
    o->alpha = (float)json_number_value(json_object_get(lora, "alpha"));
    return true;
}

static void close_files(oracle *o) {
    json_decref(o->plain);
    json_decref(o->exact);
    safetensors_close(&o->t);
    safetensors_close(&o->x);
    model_free(&o->m);
}

static int usage(void) {
    fprintf(stderr, "usage: oracle_check MODEL.gguf ORACLE_DIR [--device cpu|gpu|gpu:N] "
                    "[--gpu-tier 1|2|3] [--max-buffer BYTES] [--validate] [--cpu-mask N] "
                    "[--threads N] [--packing fast|tight] [--cut] [--brief] [--trace]\n");
    return 2;
}

typedef struct device_choice {
    backend_options cpu;
    bool gpu;
    vk_options vk;
} device_choice;

static bool parse_device(const char *text, device_choice *d) {
    d->gpu = strncmp(text, "gpu", 3) == 0;
    if (d->gpu && text[3] == ':') d->vk.device = atoi(text + 4);
    return d->gpu ? !text[3] || text[3] == ':' : !strcmp(text, "cpu");
}

static bool parse(int argc, char **argv, oracle *o, const char **path, device_choice *device) {
    for (int i = 1; i < argc; i++) {
        bool more = i + 1 < argc;
        if (!strcmp(argv[i], "--cut"))
            o->cut = true;
        else if (!strcmp(argv[i], "--brief"))
            o->brief = true;
        else if (!strcmp(argv[i], "--trace"))
            o->trace_only = true;
        else if (!strcmp(argv[i], "--cpu-mask") && more)
            device->cpu.cpu_mask = (uint32_t)strtoul(argv[++i], NULL, 0);
        else if (!strcmp(argv[i], "--threads") && more)
            device->cpu.thread_count = atoi(argv[++i]);
        else if (!strcmp(argv[i], "--packing") && more) {
            o->packing = !strcmp(argv[++i], "tight") ? PACKING_TIGHT : PACKING_FAST;
            if (o->packing == PACKING_FAST && strcmp(argv[i], "fast") != 0) return false;
        } else if (!strcmp(argv[i], "--device") && more) {
            if (!parse_device(argv[++i], device)) return false;
        } else if (!strcmp(argv[i], "--gpu-tier") && more)
            device->vk.tier_max = (vk_tier)(atoi(argv[++i]) - 1);
        else if (!strcmp(argv[i], "--max-buffer") && more)
            device->vk.max_buffer = strtoull(argv[++i], NULL, 0);
        else if (!strcmp(argv[i], "--validate"))
            device->vk.validate = true;
        else if (argv[i][0] == '-')
            return false;
        else if (!*path)
            *path = argv[i];
        else if (!o->dir)
            o->dir = argv[i];
        else
            return false;
    }
    return *path && o->dir;
}

int main(int argc, char **argv) {
    oracle o = {0};
    const char *path = NULL;
    backend *be = NULL;
    weft_error err = {0};
    device_choice device = {.cpu = {.cpu_mask = UINT32_MAX},
                            .vk = {.device = -1, .tier_max = VK_TIER_BEST}};
    if (!parse(argc, argv, &o, &path, &device)) return usage();
    setvbuf(stdout, NULL, _IOLBF, 0);
    int rc = device.gpu ? backend_create_vk(&device.vk, &be, &err)
                        : backend_create_cpu(&device.cpu, &be, &err);
    if (rc || model_load(path, o.packing, be, &o.m, &err) || !open_files(&o, &err)) {
        fprintf(stderr, "oracle_check: %s\n", err.message);
        close_files(&o);
        backend_free(&be);
        return rc == WEFT_ERR_UNSUPPORTED ? 77 : 1; /* no such device here */
    }
    printf("%s against %s on %s\n", path, o.dir, backend_name(be));
    check_text(&o);
    check_trace(&o);
    if (!o.trace_only) {
        check_smooth(&o);
        check_rounded(&o);
        check_training(&o);
        check_adapter(&o);
    }
    close_files(&o);
    backend_free(&be);
    if (o.skipped) printf("%d checks skipped: this directory is cut small\n", o.skipped);
    printf("%d passed, %d failed\n", o.passed, o.failed);
    return o.failed ? 1 : 0;
}
