/* What a Vulkan device can do at most: arithmetic that stays in registers, and reads of a block
 * that no cache holds. Measured with the clock of the host around a submit that is long enough for
 * the submit itself not to matter. */
#include "backend/backend_vk.h"
#include "backend/vk.h"

#include "base/os.h"

#define PEAK_SECONDS   0.02 /* of a run that counts */
#define PEAK_ROUNDS    3    /* the best counts: other programs may be at work */
#define PEAK_LOOPS_MAX (1u << 20)
#define PEAK_THREADS   128
#define READ_BYTES     ((uint64_t)1 << 30)
#define READ_SPAN      4096 /* vectors of 16 bytes a work group */

typedef struct peak_run {
    vk_dispatch dispatch;
    double amount; /* operations or bytes of one loop */
    uint32_t push[2];
} peak_run;

static int run_once(vk_backend *vk, peak_run *run, uint32_t loops, bool in_shader, double *seconds,
                    weft_error *err) {
    backend *be = (backend *)(void *)vk;
    run->dispatch.push = run->push;
    if (in_shader) run->push[0] = loops;
    uint64_t begin = os_clock_ns();
    backend_begin(be);
    for (uint32_t i = 0; i < (in_shader ? 1 : loops); i++) vk_run(vk, &run->dispatch);
    TRY(backend_submit(be, err));
    *seconds = (double)(os_clock_ns() - begin) * 1e-9;
    return WEFT_OK;
}

/* Lengthen the run until it takes PEAK_SECONDS, then take the best of some. in_shader: the shader
 * itself loops. */
static int measure(vk_backend *vk, peak_run *run, bool in_shader, double *rate, weft_error *err) {
    double seconds = 0;
    uint32_t loops = 1;
    TRY(run_once(vk, run, loops, in_shader, &seconds, err)); /* compiles */
    for (;; loops *= 4) {
        TRY(run_once(vk, run, loops, in_shader, &seconds, err));
        if (seconds >= PEAK_SECONDS || loops >= PEAK_LOOPS_MAX) break;
    }
    for (int i = 0; i < PEAK_ROUNDS; i++) {
        double again;
        TRY(run_once(vk, run, loops, in_shader, &again, err));
        if (again < seconds) seconds = again;
    }
    *rate = run->amount * loops / seconds;
    return WEFT_OK;
}

static peak_run arithmetic(vk_backend *vk, vk_shader shader, view y, double per_thread) {
    uint32_t groups = 2048;
    peak_run run = {.dispatch = {.op = "peak",
                                 .shader = shader,
                                 .bindings = {{y, sizeof(uint32_t), VK_READ_WRITE}},
                                 .binding_count = 1,
                                 .push_bytes = sizeof(uint32_t),
                                 .groups = {groups, 1, 1}},
                    .amount = per_thread * PEAK_THREADS * groups};
    (void)vk;
    return run;
}

/* Eight products of matrices a loop and subgroup. */
static peak_run matrices(vk_backend *vk, vk_shader shader, view y, int kind) {
    const vk_limits *l = vk_limits_of(vk);
    double product = 2.0 * l->coop_m[kind] * l->coop_n[kind] * l->coop_k[kind];
    peak_run run = arithmetic(vk, shader, y, 8 * product / l->subgroup_size);
    run.dispatch.constants[0] = l->coop_m[kind];
    run.dispatch.constants[1] = l->coop_n[kind];
    run.dispatch.constants[2] = l->coop_k[kind];
    run.dispatch.constants[3] = PEAK_THREADS;
    run.dispatch.constant_count = 4;
    return run;
}

static int measure_arithmetic(vk_backend *vk, view y, vk_peak *out, weft_error *err) {
    const vk_limits *l = vk_limits_of(vk);
    peak_run f32 = arithmetic(vk, VK_SHADER_peak_f32, y, 2 * 16 * 16);
    TRY(measure(vk, &f32, true, &out->f32_ops_per_s, err));
    bool dot = l->tier >= VK_TIER_DOT && vk_has_shader(vk, VK_SHADER_peak_int8_dot);
    peak_run int8 =
        arithmetic(vk, dot ? VK_SHADER_peak_int8_dot : VK_SHADER_peak_int8_plain, y, 32 * 8);
    TRY(measure(vk, &int8, true, &out->int8_ops_per_s, err));
    out->int8_name = dot ? "dot products" : "integers";
    out->half_ops_per_s = out->f32_ops_per_s;
    out->half_name = "float32";
    if (l->tier < VK_TIER_COOP || !vk_has_shader(vk, VK_SHADER_peak_int8_coop)) return WEFT_OK;
    peak_run coop = matrices(vk, VK_SHADER_peak_int8_coop, y, 0);
    TRY(measure(vk, &coop, true, &out->int8_ops_per_s, err));
    out->int8_name = "int8 matrices";
    peak_run half = matrices(vk, VK_SHADER_peak_half_coop, y, 1);
    TRY(measure(vk, &half, true, &out->half_ops_per_s, err));
    out->half_name = "half-precision matrices";
    return WEFT_OK;
}

static int measure_read(vk_backend *vk, view y, double *rate, weft_error *err) {
    backend *be = (backend *)(void *)vk;
    const vk_limits *l = vk_limits_of(vk);
    uint64_t bytes = READ_BYTES;
    if (bytes > l->window_bytes) bytes = l->window_bytes;
    if (bytes > l->allocation_bytes) bytes = l->allocation_bytes;
    uint64_t memory = backend_vk_info(be)->memory_bytes / 8;
    if (memory && bytes > memory) bytes = memory;
    bytes -= bytes % (READ_SPAN * 16);
    buffer *block = NULL;
    TRY(buffer_create(be, bytes, &block, err));
    peak_run run = {.dispatch = {.op = "peak",
                                 .shader = VK_SHADER_peak_read,
                                 .bindings = {{view_of(block), bytes, VK_READ},
                                              {y, sizeof(uint32_t), VK_READ_WRITE}},
                                 .binding_count = 2,
                                 .push_bytes = 2 * sizeof(uint32_t)},
                    .amount = (double)bytes,
                    .push = {(uint32_t)(bytes / 16), READ_SPAN}};
    vk_groups(vk, bytes / 16 / READ_SPAN, run.dispatch.groups);
    int rc = measure(vk, &run, false, rate, err);
    buffer_free(be, &block);
    return rc;
}

int backend_vk_peak(backend *be, vk_peak *out, weft_error *err) {
    buffer *y = NULL;
    float one = 1;
    *out = (vk_peak){0};
    TRY(buffer_create(be, sizeof one, &y, err));
    backend_write(be, view_of(y), &one, sizeof one);
    int rc = measure_arithmetic(vk_of(be), view_of(y), out, err);
    if (!rc) rc = measure_read(vk_of(be), view_of(y), &out->read_bytes_per_s, err);
    buffer_free(be, &y);
    return rc;
}
