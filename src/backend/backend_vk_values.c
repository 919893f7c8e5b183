/* Vulkan operations on single values: sums, dropout, gated units, the sum of squares and the
 * optimiser's step. */
#include "backend/vk_sweep.h"

#include <math.h>

enum {
    VALUES_GRAIN = 1024,    /* windows are cut at multiples of it */
    VALUES_MANY = 1 << 20,  /* from here on an invocation does several fours */
    SUM_CHUNK = 8192,       /* values of one partial sum of squares, unless there are */
    SUM_PARTIALS = 1 << 16, /* more partial sums than this */
};

static vk_sweep values_sweep(backend *be, const char *op, vk_shader shader, int64_t count,
                             double operations) {
    return (vk_sweep){.vk = vk_of(be),
                      .all = {.op = op, .shader = shader, .operations = operations},
                      .count = count};
}

static void values_add(vk_sweep *s, view at, vk_access access) {
    vk_sweep_add(s, at, sizeof(float), access);
}

/* Constants 0 and 1 of shaders/each.glsl; returns the fours of an invocation. */
static uint32_t values_constants(vk_sweep *s) {
    uint32_t items = s->count >= VALUES_MANY ? 4 : 1;
    vk_sweep_constant(s, vk_sweep_vectors(s));
    vk_sweep_constant(s, items);
    return items;
}

static uint64_t values_groups(int64_t n, uint32_t items) {
    return (uint64_t)(n - 1) / (4 * VK_SWEEP_GROUP * items) + 1;
}

/* Run over all values; the first word of push is the number of values in the window. */
static void values_run(const vk_sweep *s, uint32_t items, uint32_t *push, size_t push_bytes) {
    int64_t step = vk_sweep_step(s, VALUES_GRAIN);
    for (int64_t begin = 0; step && begin < s->count; begin += step) {
        int64_t n = s->count - begin < step ? s->count - begin : step;
        *push = (uint32_t)n;
        vk_sweep_run(s, begin, n, values_groups(n, items), push, push_bytes);
    }
}

void vk_add(backend *be, view a, view b, int64_t count, view out) {
    vk_sweep s = values_sweep(be, "op_add", VK_SHADER_add, count, 1);
    values_add(&s, a, VK_READ);
    values_add(&s, b, VK_READ);
    values_add(&s, out, VK_WRITE);
    uint32_t items = values_constants(&s), push[1];
    values_run(&s, items, push, sizeof push);
}

void vk_glu(backend *be, activation act, view gate, view up, int64_t count, view out) {
    vk_sweep s = values_sweep(be, "op_glu", VK_SHADER_glu, count, act == ACTIVATION_SILU ? 25 : 3);
    values_add(&s, gate, VK_READ);
    values_add(&s, up, VK_READ);
    values_add(&s, out, VK_WRITE);
    uint32_t items = values_constants(&s), push[1];
    vk_sweep_constant(&s, (uint32_t)act);
    values_run(&s, items, push, sizeof push);
}

void vk_glu_backward(backend *be, activation act, view gate, view up, view dout, int64_t count,
                     view dgate, view dup) {
    vk_sweep s = values_sweep(be, "op_glu_backward", VK_SHADER_glu_backward, count,
                              act == ACTIVATION_SILU ? 35 : 6);
    values_add(&s, gate, VK_READ);
    values_add(&s, up, VK_READ);
    values_add(&s, dout, VK_READ);
    values_add(&s, dgate, VK_WRITE);
    values_add(&s, dup, VK_WRITE);
    uint32_t items = values_constants(&s), push[1];
    vk_sweep_constant(&s, (uint32_t)act);
    values_run(&s, items, push, sizeof push);
}

/* The counter of value `index` in rng_at, before its bits are mixed. */
static uint64_t rng_counter(uint64_t seed, uint64_t index) {
    return seed * 0x9e3779b97f4a7c15u + (index + 1) * 0xd1342543de82ef95u;
}

void vk_dropout(backend *be, view x, int64_t count, float p, uint64_t seed, view y, bool add) {
    vk_sweep s = values_sweep(be, "op_dropout", VK_SHADER_dropout, count, 30);
    values_add(&s, x, VK_READ);
    values_add(&s, y, add ? VK_READ_WRITE : VK_WRITE);
    uint32_t items = values_constants(&s);
    vk_sweep_constant(&s, add);
    struct {
        uint32_t count, threshold;
        float gain;
        uint32_t start_low, start_high;
    } push;
    push.threshold = (uint32_t)ceil((double)p * 0x1p24); /* rng_uniform < p, in integers */
    push.gain = 1.0f / (1.0f - p);
    int64_t step = vk_sweep_step(&s, VALUES_GRAIN);
    for (int64_t begin = 0; step && begin < count; begin += step) {
        int64_t n = count - begin < step ? count - begin : step;
        uint64_t start = rng_counter(seed, (uint64_t)begin);
        push.count = (uint32_t)n;
        push.start_low = (uint32_t)start;
        push.start_high = (uint32_t)(start >> 32);
        vk_sweep_run(&s, begin, n, values_groups(n, items), &push, sizeof push);
    }
}

void vk_adamw(backend *be, const adamw_settings *settings, int64_t count, view p, view g, view m,
              view v) {
    vk_sweep s = values_sweep(be, "op_adamw", VK_SHADER_adamw, count, 20);
    values_add(&s, p, VK_READ_WRITE);
    values_add(&s, g, VK_READ);
    values_add(&s, m, VK_READ_WRITE);
    values_add(&s, v, VK_READ_WRITE);
    uint32_t items = values_constants(&s);
    const adamw_settings *a = settings;
    struct {
        uint32_t count;
        float keep, beta1, gain1, beta2, gain2, rate, epsilon, correction1, correction2, grad_scale;
    } push = {0,
              1.0f - a->rate * a->weight_decay,
              a->beta1,
              1.0f - a->beta1,
              a->beta2,
              1.0f - a->beta2,
              a->rate,
              a->epsilon,
              a->correction1,
              a->correction2,
              a->grad_scale};
    values_run(&s, items, &push.count, sizeof push);
}

/* One pair of floats from each chunk of x, all at `pairs`. */
static bool sum_chunks(backend *be, view x, int64_t count, int64_t chunk, view pairs) {
    vk_sweep s = values_sweep(be, "op_sum_squares", VK_SHADER_sum_squares, count, 20);
    values_add(&s, x, VK_READ);
    vk_sweep_constant(&s, vk_sweep_vectors(&s));
    vk_sweep_constant(&s, VK_SWEEP_GROUP);
    vk_sweep_constant(&s, VK_SWEEP_GROUP);
    int64_t step = vk_sweep_step(&s, chunk);
    for (int64_t begin = 0; step && begin < count; begin += step) {
        int64_t n = count - begin < step ? count - begin : step, chunks = (n - 1) / chunk + 1;
        vk_sweep window = s;
        vk_binding out = {view_floats(pairs, begin / chunk * 2), (size_t)chunks * 8, VK_WRITE};
        vk_sweep_share(&window, out);
        uint32_t push[2] = {(uint32_t)n, (uint32_t)(chunk / 4)};
        vk_sweep_run(&window, begin, n, (uint64_t)chunks, push, sizeof push);
    }
    return step != 0;
}

void vk_sum_squares(backend *be, view x, int64_t count, view out) {
    int64_t chunk = SUM_CHUNK;
    while ((count - 1) / chunk >= SUM_PARTIALS) chunk *= 2;
    int64_t chunks = (count - 1) / chunk + 1;
    view pairs;
    if (!vk_scratch(vk_of(be), "op_sum_squares", VK_SCRATCH_PARTIAL, (size_t)chunks * 8, &pairs) ||
        !sum_chunks(be, x, count, chunk, pairs))
        return;
    vk_sweep s = values_sweep(be, "op_sum_squares", VK_SHADER_sum_pairs, chunks, 10);
    vk_sweep_add(&s, pairs, 8, VK_READ);
    vk_sweep_share(&s, (vk_binding){out, 8, VK_WRITE});
    vk_sweep_constant(&s, 0);
    vk_sweep_constant(&s, VK_SWEEP_GROUP);
    vk_sweep_constant(&s, VK_SWEEP_GROUP);
    uint32_t push[1] = {(uint32_t)chunks};
    vk_sweep_run(&s, 0, chunks, 1, push, sizeof push);
}
