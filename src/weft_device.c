/* The public functions about devices, and the choice between them. */
#include "weft_impl.h"

#include "backend/backend_vk.h"
#include "base/os.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the list ---- */

static int list_cpu(weft_device *d, weft_error *err) {
    backend *be;
    TRY(backend_create_cpu(NULL, &be, err));
    *d = (weft_device){.id = "cpu", .type = "cpu", .memory_bytes = os_memory_bytes()};
    snprintf(d->name, sizeof d->name, "%s", backend_name(be));
    kernels k;
    kernels_init(&k, UINT32_MAX);
    snprintf(d->tier, sizeof d->tier, "%s", k.name);
    backend_free(&be);
    return WEFT_OK;
}

static void list_gpu(const vk_device_info *from, int place, bool best, weft_device *d) {
    *d = (weft_device){.best = best,
                       .memory_bytes = from->memory_bytes,
                       .free_bytes = from->budget_bytes,
                       .max_buffer_bytes = from->window_bytes,
                       .max_allocation_bytes = from->allocation_bytes,
                       .shared_bytes = from->shared_bytes,
                       .invocations = from->invocations,
                       .subgroup_size = from->subgroup_size};
    snprintf(d->id, sizeof d->id, "gpu:%d", place);
    snprintf(d->name, sizeof d->name, "%s", from->name);
    snprintf(d->type, sizeof d->type, "%s", from->type);
    snprintf(d->driver, sizeof d->driver, "%s", from->driver);
    snprintf(d->tier, sizeof d->tier, "%s", vk_tier_name(from->tier));
    snprintf(d->unusable, sizeof d->unusable, "%s", from->unusable ? from->unusable : "");
}

int weft_devices(weft_device list[WEFT_DEVICES_MAX], int *count, weft_error *err) {
    _Static_assert(WEFT_DEVICES_MAX == VK_DEVICES_MAX + 1, "the CPU and every GPU");
    int found, best;
    *count = 0;
    vk_device_info *gpus = calloc(VK_DEVICES_MAX, sizeof *gpus);
    if (!gpus) return err_set(err, WEFT_ERR_MEMORY, "out of memory");
    int rc = list_cpu(&list[0], err);
    if (!rc) rc = vk_devices_list(gpus, &found, &best, err);
    for (int i = 0; !rc && i < found; i++) list_gpu(&gpus[i], i, i == best, &list[i + 1]);
    if (!rc) *count = found + 1;
    free(gpus);
    return rc;
}

/* ---- the choice ---- */

#define TRIAL_SIZE   2048 /* of the square matrix */
#define TRIAL_TOKENS 128
#define TRIAL_ROUNDS 3

static int trial_rounds(backend *be, const ternary_weight *w, buffer *memory, double *best_s,
                        weft_error *err) {
    view x = view_of(memory), y = view_floats(x, TRIAL_TOKENS * TRIAL_SIZE);
    view q8 = view_floats(y, TRIAL_TOKENS * TRIAL_SIZE);
    for (int i = 0; i <= TRIAL_ROUNDS; i++) {
        uint64_t begin = os_clock_ns();
        backend_begin(be);
        op_quantise(be, x, TRIAL_TOKENS, TRIAL_SIZE, q8);
        op_ternary_matmul(be, w, q8, TRIAL_TOKENS, y);
        op_ternary_matmul_t(be, w, y, TRIAL_TOKENS, PRECISION_ROUNDED, x, false);
        TRY(backend_submit(be, err));
        double seconds = (double)(os_clock_ns() - begin) * 1e-9;
        if (i == 1 || (i > 1 && seconds < *best_s)) *best_s = seconds; /* round 0 compiles */
    }
    return WEFT_OK;
}

/* Seconds of a forward and a backward product, the kind of work that a step is made of. */
static int trial(backend *be, double *seconds, weft_error *err) {
    size_t code_bytes = TRIAL_SIZE * ternary_row_bytes(TRIAL_SIZE);
    ternary_matrix m = {.rows = TRIAL_SIZE, .cols = TRIAL_SIZE, .scale = 1};
    ternary_weight *w = NULL;
    buffer *memory = NULL;
    uint8_t *codes = malloc(code_bytes);
    if (!codes) return err_set(err, WEFT_ERR_MEMORY, "out of memory");
    memset(codes, TERNARY_ZERO_BYTE, code_bytes);
    m.codes = codes;
    size_t room =
        2 * TRIAL_TOKENS * TRIAL_SIZE * sizeof(float) + quantised_bytes(TRIAL_TOKENS, TRIAL_SIZE);
    int rc = ternary_weight_create(be, &m, &w, err);
    if (!rc) rc = buffer_create(be, room, &memory, err);
    if (!rc) rc = trial_rounds(be, w, memory, seconds, err);
    buffer_free(be, &memory);
    ternary_weight_free(be, &w);
    free(codes);
    return rc;
}

static int open_cpu(const weft_model_options *o, weft_model *m, weft_error *err) {
    backend_options options = {.thread_count = o->thread_count, .cpu_mask = o->cpu_mask};
    m->on_gpu = false;
    return backend_create_cpu(&options, &m->be, err);
}

static int open_gpu(const weft_model_options *o, int place, weft_model *m, weft_error *err) {
    if (o->gpu.tier_max < 0 || o->gpu.tier_max > VK_TIER_BEST + 1)
        return err_set(err, WEFT_ERR_ARGUMENT, "there is no GPU tier %d", o->gpu.tier_max);
    vk_options options = {.device = place,
                          .tier_max =
                              o->gpu.tier_max ? (vk_tier)(o->gpu.tier_max - 1) : VK_TIER_BEST,
                          .max_buffer = o->gpu.max_buffer_bytes,
                          .validate = o->gpu.validate,
                          .profile = o->gpu.profile,
                          .cache_dir = o->gpu.cache_dir};
    m->on_gpu = true;
    return backend_create_vk(&options, &m->be, err);
}

/* Both are open: keep the faster one. A GPU that fails the trial is not taken. */
static int choose(weft_model *m, backend *gpu, weft_error *err) {
    double cpu_s, gpu_s;
    weft_error why;
    TRY(trial(m->be, &cpu_s, err));
    if (trial(gpu, &gpu_s, &why)) {
        snprintf(m->device_note, sizeof m->device_note, "the GPU failed a trial: %.256s",
                 why.message);
        backend_free(&gpu);
        return WEFT_OK;
    }
    m->on_gpu = gpu_s < cpu_s;
    snprintf(m->device_note, sizeof m->device_note,
             "a trial product took %.2f ms on the GPU and %.2f ms on the CPU", gpu_s * 1e3,
             cpu_s * 1e3);
    if (m->on_gpu) {
        backend *cpu = m->be;
        m->be = gpu;
        gpu = cpu;
    }
    backend_free(&gpu);
    return WEFT_OK;
}

static int open_auto(const weft_model_options *o, weft_model *m, weft_error *err) {
    weft_error why;
    weft_model gpu = {0};
    int count, best = -1;
    m->automatic = true;
    vk_device_info *list = calloc(VK_DEVICES_MAX, sizeof *list);
    if (!list) return err_set(err, WEFT_ERR_MEMORY, "out of memory");
    int rc = vk_devices_list(list, &count, &best, &why);
    bool found = !rc && best >= 0 && strcmp(list[best].type, "software") != 0;
    free(list);
    TRY(open_cpu(o, m, err));
    if (!found) {
        snprintf(m->device_note, sizeof m->device_note, "no GPU that Vulkan can use was found");
        return WEFT_OK;
    }
    if (open_gpu(o, best, &gpu, &why)) {
        snprintf(m->device_note, sizeof m->device_note, "the GPU could not be opened: %.256s",
                 why.message);
        return WEFT_OK;
    }
    return choose(m, gpu.be, err);
}

int device_open(const weft_model_options *o, weft_model *m, weft_error *err) {
    const char *name = o->device ? o->device : "cpu";
    char *end;
    m->automatic = false;
    m->device_note[0] = '\0';
    if (!strcmp(name, "cpu")) return open_cpu(o, m, err);
    if (!strcmp(name, "gpu")) return open_gpu(o, -1, m, err);
    if (!strcmp(name, "auto")) return open_auto(o, m, err);
    if (!strncmp(name, "gpu:", 4) && name[4] >= '0' && name[4] <= '9') {
        long place = strtol(name + 4, &end, 10);
        if (!*end && place < VK_DEVICES_MAX) return open_gpu(o, (int)place, m, err);
    }
    return err_set(err, WEFT_ERR_ARGUMENT,
                   "there is no device '%.40s': use cpu, gpu, gpu:N or auto (`weft devices`)",
                   name);
}

bool device_fall_back(const weft_model_options *o, weft_model *m, int status, weft_error *err) {
    bool again =
        m->automatic && m->on_gpu && (status == WEFT_ERR_MEMORY || status == WEFT_ERR_DEVICE);
    if (!again) return false;
    char why[256];
    snprintf(why, sizeof why, "%.255s", err ? err->message : "out of memory");
    backend_free(&m->be);
    snprintf(m->device_note, sizeof m->device_note, "the GPU failed: %s", why);
    return !open_cpu(o, m, err);
}

/* ---- the profile ---- */

static int compare_profile(const void *a, const void *b) {
    double x = ((const weft_profile_entry *)a)->seconds;
    double y = ((const weft_profile_entry *)b)->seconds;
    return (x < y) - (x > y);
}

int weft_model_profile(const weft_model *base, weft_profile_entry list[WEFT_PROFILE_MAX]) {
    int count = 0;
    const vk_profile_entry *from = base->on_gpu ? vk_profile_read(base->be, &count) : NULL;
    if (count > WEFT_PROFILE_MAX) count = WEFT_PROFILE_MAX;
    for (int i = 0; i < count; i++) {
        list[i] = (weft_profile_entry){.calls = from[i].calls,
                                       .seconds = (double)from[i].ns * 1e-9,
                                       .operations = from[i].operations,
                                       .bytes = from[i].bytes};
        snprintf(list[i].op, sizeof list[i].op, "%s", from[i].op);
        snprintf(list[i].shader, sizeof list[i].shader, "%s", from[i].shader);
    }
    if (from) vk_profile_clear(base->be);
    qsort(list, (size_t)count, sizeof *list, compare_profile);
    return count;
}
