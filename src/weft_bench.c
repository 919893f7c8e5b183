/* The public functions about speed: random models of a shape, and measurements beside the limits
 * that the machine sets. */
#include "weft_plan.h"

#include "backend/backend_vk.h"
#include "base/os.h"
#include "base/pool.h"
#include "base/rng.h"
#include "kernel/peak.h"
#include "train/cost.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS_MAX    64
#define ROWS_COUNT    4 /* of the random data set at the least */
#define SHAPE_CONTEXT 4096
#define TOKENS_MAX    (1 << 20)
#define BENCH_SEED    1

/* ---- shapes ---- */

static const struct {
    const char *name;
    weft_shape shape;
} shapes[] = {{"125m", {768, 12, 12, 12, 2048, 32000}},
              {"700m", {1536, 24, 16, 16, 4096, 32000}},
              {"2b4t", {2560, 30, 20, 5, 6912, 128256}},
              {"8b", {4096, 32, 32, 8, 14336, 128256}},
              {"13b", {5120, 40, 40, 40, 13824, 32000}}};

int weft_shape_parse(const char *text, weft_shape *shape, weft_error *err) {
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        if (strcmp(text, shapes[i].name) != 0) continue;
        *shape = shapes[i].shape;
        return WEFT_OK;
    }
    int64_t *numbers[] = {&shape->hidden,   &shape->layer_count, &shape->heads,
                          &shape->kv_heads, &shape->ffn,         &shape->vocab};
    const char *at = text;
    for (int i = 0; i < 6; i++) {
        char *end;
        bool digit = *at >= '0' && *at <= '9';
        *numbers[i] = digit ? strtoll(at, &end, 10) : 0;
        if (!digit || *end != (i < 5 ? ',' : '\0'))
            return err_set(err, WEFT_ERR_ARGUMENT,
                           "'%.80s' is no shape: use 125m, 700m, 2b4t, 8b, 13b or six numbers "
                           "HIDDEN,LAYERS,HEADS,KV_HEADS,FFN,VOCAB",
                           text);
        at = end + 1;
    }
    return WEFT_OK;
}

static int shape_config(const weft_shape *s, config *c, weft_error *err) {
    *c = (config){.architecture = "bitnet-b1.58",
                  .layer_count = s->layer_count,
                  .hidden = s->hidden,
                  .ffn = s->ffn,
                  .heads = s->heads,
                  .kv_heads = s->kv_heads,
                  .head_dim = s->heads > 0 ? s->hidden / s->heads : 0,
                  .vocab = s->vocab,
                  .context = SHAPE_CONTEXT,
                  .norm_epsilon = 1e-5f,
                  .rope_base = 500000,
                  .act = ACTIVATION_RELU2,
                  .sub_norms = true,
                  .tied_head = true};
    snprintf(c->name, sizeof c->name, "random");
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (!memcmp(s, &shapes[i].shape, sizeof *s))
            snprintf(c->name, sizeof c->name, "random-%s", shapes[i].name);
    for (size_t i = 0; i < sizeof c->rope_factors / sizeof *c->rope_factors; i++)
        c->rope_factors[i] = 1;
    return config_check(c, err);
}

int weft_model_synthesise(const weft_shape *shape, const weft_model_options *options,
                          weft_model **out, weft_error *err) {
    config c;
    *out = NULL;
    TRY(shape_config(shape, &c, err));
    TRY(weft_model_begin(options, out, err));
    int rc = model_synthesise(&c, BENCH_SEED, (*out)->packing, (*out)->be, &(*out)->m, err);
    if (device_fall_back(options, *out, rc, err))
        rc = model_synthesise(&c, BENCH_SEED, (*out)->packing, (*out)->be, &(*out)->m, err);
    if (rc) weft_model_free(out);
    return rc;
}

/* ---- the machine ---- */

static int measure_gpu(const weft_model *base, weft_machine *machine, weft_error *err) {
    vk_peak peak;
    TRY(backend_vk_peak(base->be, &peak, err));
    *machine = (weft_machine){.thread_count = 1, /* the one that records */
                              .read_bytes_per_s = peak.read_bytes_per_s,
                              .int8_ops_per_s = peak.int8_ops_per_s,
                              .int16_ops_per_s = peak.int8_ops_per_s / 2,
                              .f32_ops_per_s = peak.half_ops_per_s};
    snprintf(machine->int8_name, sizeof machine->int8_name, "%s", peak.int8_name);
    snprintf(machine->int16_name, sizeof machine->int16_name, "two of them");
    snprintf(machine->f32_name, sizeof machine->f32_name, "%s", peak.half_name);
    return WEFT_OK;
}

static int measure_machine(const weft_model *base, weft_machine *machine, weft_error *err) {
    if (base->on_gpu) return measure_gpu(base, machine, err);
    pool *threads;
    peak_loops loops;
    TRY(pool_create(base->thread_count, &threads, err));
    peak_find(&loops, base->cpu_mask);
    struct {
        peak_kind kind;
        double *rate;
        char *name;
    } kinds[] = {{PEAK_INT8, &machine->int8_ops_per_s, machine->int8_name},
                 {PEAK_INT16, &machine->int16_ops_per_s, machine->int16_name},
                 {PEAK_F32, &machine->f32_ops_per_s, machine->f32_name}};
    for (int i = 0; i < PEAK_COMPUTE_COUNT; i++) {
        const peak_loop *loop = &loops.of[kinds[i].kind];
        double rate = peak_measure(loop, threads);
        if (rate > *kinds[i].rate) *kinds[i].rate = rate;
        snprintf(kinds[i].name, sizeof machine->int8_name, "%s", loop->name);
    }
    double rate = peak_measure_read(threads);
    if (rate > machine->read_bytes_per_s) machine->read_bytes_per_s = rate;
    machine->thread_count = pool_thread_count(threads);
    pool_free(&threads);
    return WEFT_OK;
}

/* ---- rounds ---- */

typedef struct bench {
    const weft_model *base;
    const weft_bench_options *o;
    weft_bench_report *report;
    weft_error *err;
} bench;

typedef struct stopwatch {
    double seconds; /* for all rounds */
    uint64_t begin_ns, round_ns, process_ns;
    double rounds[ROUNDS_MAX];
    int count;
} stopwatch;

static void stopwatch_start(stopwatch *w, double seconds) {
    *w = (stopwatch){.seconds = seconds, .process_ns = os_process_ns()};
    w->begin_ns = w->round_ns = os_clock_ns();
}

/* A round has ended. True: there is time for another one. */
static bool stopwatch_lap(stopwatch *w) {
    uint64_t now = os_clock_ns();
    w->rounds[w->count++] = (double)(now - w->round_ns) * 1e-9;
    w->round_ns = now;
    return w->count < ROUNDS_MAX && (double)(now - w->begin_ns) * 1e-9 < w->seconds;
}

static int compare_seconds(const void *a, const void *b) {
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* The first round touches fresh memory: it counts only where it is the only one. */
static void stopwatch_result(stopwatch *w, double tokens_a_round, const bench *b,
                             weft_speed *speed) {
    double *rounds = w->count > 1 ? w->rounds + 1 : w->rounds;
    size_t count = (size_t)(w->count > 1 ? w->count - 1 : 1);
    double wall = (double)(w->round_ns - w->begin_ns) * 1e-9;
    qsort(rounds, count, sizeof *rounds, compare_seconds);
    speed->rounds = (int64_t)count;
    speed->tokens_per_s = tokens_a_round / rounds[count / 2];
    speed->best_tokens_per_s = tokens_a_round / rounds[0];
    speed->processor_share =
        (double)(os_process_ns() - w->process_ns) * 1e-9 / (wall * b->report->machine.thread_count);
    speed->peak_bytes = b->base->on_gpu ? backend_bytes(b->base->be) : os_peak_rss_bytes();
}

/* ---- decode and prefill ---- */

static int32_t *random_tokens(const bench *b, int64_t count) {
    int32_t *ids = malloc((size_t)count * sizeof *ids);
    uint64_t vocab = (uint64_t)b->base->m->cfg.vocab;
    for (int64_t i = 0; ids && i < count; i++)
        ids[i] = (int32_t)rng_below(BENCH_SEED, (uint64_t)i, vocab);
    return ids;
}

/* One round: a batch of prompt tokens that does not count, then the measured ones, `step` at a
 * time. */
typedef struct generation {
    int64_t prompt, tokens, step;
    session *s;
    int32_t *ids;
    float *logits;
} generation;

static int run_rounds(const bench *b, generation *g, weft_speed *speed) {
    stopwatch w;
    if (g->prompt) TRY(session_eval(g->s, g->ids, (size_t)g->prompt, g->logits, NULL, b->err));
    stopwatch_start(&w, b->o->seconds);
    do {
        session_truncate(g->s, g->prompt);
        for (int64_t i = 0; i < g->tokens; i += g->step)
            TRY(session_eval(g->s, g->ids + g->prompt + i, (size_t)g->step, g->logits, NULL,
                             b->err));
    } while (stopwatch_lap(&w));
    stopwatch_result(&w, (double)g->tokens, b, speed);
    return WEFT_OK;
}

static int measure_generation(const bench *b, generation g, weft_speed *speed) {
    const config *c = &b->base->m->cfg;
    int64_t total = g.prompt + g.tokens;
    session_options options = {.context = total, .smooth = b->base->smooth};
    if (total > c->context)
        return err_set(b->err, WEFT_ERR_RANGE, "%lld tokens are over the model's context of %lld",
                       (long long)total, (long long)c->context);
    os_peak_rss_reset();
    g.ids = random_tokens(b, total);
    g.logits = malloc((size_t)c->vocab * sizeof *g.logits);
    int rc = g.ids && g.logits ? WEFT_OK : err_set(b->err, WEFT_ERR_MEMORY, "out of memory");
    if (!rc) rc = session_create(b->base->m, &options, &g.s, b->err);
    if (!rc) rc = run_rounds(b, &g, speed);
    session_free(&g.s);
    free(g.ids);
    free(g.logits);
    return rc;
}

/* ---- training ---- */

/* Rows of random tokens, every one of them to be learnt. */
static int random_dataset(const bench *b, weft_dataset *d) {
    int64_t n = b->o->row_tokens;
    int rows = (int)(b->o->row_count > ROWS_COUNT ? b->o->row_count : ROWS_COUNT);
    dataset_options options = {.context = n, .mask = LOSS_ALL};
    int32_t *ids = random_tokens(b, n * (rows + 1));
    if (!ids) return err_set(b->err, WEFT_ERR_MEMORY, "out of memory");
    d->context = n;
    int rc = dataset_create(NULL, NULL, &options, &d->d, b->err);
    for (int i = 0; !rc && i < rows; i++)
        rc = dataset_add_tokens(d->d, ids + i * n, ids + i * n + 1, (int32_t)n, b->err);
    if (!rc) rc = dataset_finish(d->d, b->err);
    free(ids);
    return rc;
}

static int on_step(void *context, const weft_train_event *event) {
    return event->kind == WEFT_EVENT_STEP && !stopwatch_lap(context);
}

static weft_train_options bench_options(const bench *b) {
    weft_train_options o = weft_train_options_default();
    o.steps = ROUNDS_MAX;
    o.micro_tokens = b->o->row_tokens * b->o->row_count;
    o.accumulate = 1;
    o.rank = b->o->rank;
    o.alpha = 2.0 * b->o->rank;
    o.eval_every = o.checkpoint_every = 0;
    return o;
}

static int measure_training(const bench *b, const weft_dataset *data, const weft_train_options *o,
                            weft_speed *speed) {
    weft_trainer *t;
    weft_plan plan;
    stopwatch w;
    os_peak_rss_reset();
    TRY(weft_trainer_create(b->base, data, o, NULL, &t, &plan, b->err));
    stopwatch_start(&w, b->o->seconds);
    int rc = weft_trainer_run(t, on_step, &w, b->err);
    if (rc == WEFT_ERR_INTERRUPTED && w.count) rc = WEFT_OK; /* on_step had enough */
    if (!rc) stopwatch_result(&w, (double)(o->micro_tokens * o->accumulate), b, speed);
    speed->plan_bytes = plan.total_bytes;
    weft_trainer_free(&t);
    return rc;
}

static int measure_as(const bench *b, const weft_dataset *data, weft_recompute recompute,
                      weft_speed *speed) {
    weft_train_options o = bench_options(b);
    o.recompute = recompute;
    return measure_training(b, data, &o, speed);
}

/* With the settings that a plan chooses to fit the memory asked for. */
static int measure_fitted(const bench *b, const weft_dataset *data) {
    weft_train_options o = bench_options(b);
    trainer_options inner = {
        .micro_tokens = o.micro_tokens, .accumulate = 1, .smooth = b->base->smooth};
    adapter_settings shape = {.rank = o.rank, .targets = (1u << TARGET_COUNT) - 1};
    plan_wishes wishes = {.recompute = b->o->recompute,
                          .batch_tokens = o.micro_tokens,
                          .memory_bytes = b->o->memory_bytes,
                          .keep_context = true,
                          .keep_packing = true};
    plan_case p;
    plan_choice choice;
    weft_plan plan;
    plan_begin(b->base, data, &shape, &inner, false, &p);
    TRY(plan_choose(&p, &wishes, &choice, &plan, b->err));
    o.micro_tokens = choice.micro_tokens;
    o.accumulate = choice.accumulate;
    o.recompute = choice.recompute ? WEFT_RECOMPUTE_ON : WEFT_RECOMPUTE_OFF;
    bool kept = !choice.recompute;
    return measure_training(b, data, &o, kept ? &b->report->train_kept : &b->report->train);
}

/* Keeping everything is measured if it is asked for, or if it takes at most a half of the memory:
 * the activations of all layers over those of one are about the ratio. */
static bool keeping_fits(const bench *b) {
    const config *c = &b->base->m->cfg;
    adapter_settings lora = {.rank = b->o->rank, .targets = (1u << TARGET_COUNT) - 1};
    step_options step = {.micro_tokens = b->o->row_tokens * b->o->row_count,
                         .positions_max = b->o->row_tokens};
    const vk_device_info *gpu = b->base->on_gpu ? backend_vk_info(b->base->be) : NULL;
    uint64_t memory = gpu ? gpu->memory_bytes : os_memory_bytes();
    return step_bytes(c, &lora, &step, 0) < memory / 2;
}

static int measure_trainings(const bench *b) {
    weft_dataset data = {0};
    weft_recompute wanted = b->o->recompute;
    int rc = random_dataset(b, &data);
    bool fitted = b->o->memory_bytes > 0;
    bool kept = wanted == WEFT_RECOMPUTE_OFF || (wanted == WEFT_RECOMPUTE_AUTO && keeping_fits(b));
    if (!rc && fitted) rc = measure_fitted(b, &data);
    if (!rc && !fitted && wanted != WEFT_RECOMPUTE_OFF)
        rc = measure_as(b, &data, WEFT_RECOMPUTE_ON, &b->report->train);
    if (!rc && !fitted && kept)
        rc = measure_as(b, &data, WEFT_RECOMPUTE_OFF, &b->report->train_kept);
    dataset_free(&data.d);
    return rc;
}

/* ---- limits ---- */

static void set_share(weft_speed *s, double tokens, double seconds) {
    if (!s->rounds || !(seconds > 0)) return;
    s->limit_tokens_per_s = tokens / seconds;
    s->share = s->tokens_per_s / s->limit_tokens_per_s;
}

/* Seconds of the operations at the peaks of the arithmetic in use: rounded activations are 8-bit
 * and their gradients 16-bit, smooth ones float32 both. */
static double ops_seconds(const weft_machine *m, cost_ops ops, bool smooth) {
    double ternary = smooth ? m->f32_ops_per_s : m->int8_ops_per_s;
    return ops.ternary / ternary +
           ops.transposed / (smooth ? m->f32_ops_per_s : m->int16_ops_per_s) +
           ops.other / m->f32_ops_per_s;
}

/* Bytes of weights that every token reads: all but an embedding that is not the head too. */
static double token_weight_bytes(const model *m) {
    const tensor_view *embed = m->file ? gguf_tensor(m->file, "token_embd.weight") : NULL;
    size_t all = m->mapped_bytes + m->codes_bytes + model_norms_bytes(&m->cfg);
    return (double)(all - (embed && m->head != m->embed ? embed->size_bytes : 0));
}

static void set_limits(const bench *b) {
    const struct model *m = b->base->m;
    const weft_bench_options *o = b->o;
    weft_bench_report *r = b->report;
    bool smooth = b->base->smooth;
    double keys = (double)o->prompt_tokens + ((double)o->decode_tokens + 1) / 2;
    double moved = cost_decode_bytes(&m->cfg, token_weight_bytes(m), keys);
    set_share(&r->decode, 1, moved / r->machine.read_bytes_per_s);
    cost_ops prefill = cost_prefill(&m->cfg, o->prefill_tokens);
    set_share(&r->prefill, (double)o->prefill_tokens, ops_seconds(&r->machine, prefill, smooth));
    cost_ops train =
        cost_train(&m->cfg, o->row_count, o->row_tokens, o->rank, (1u << TARGET_COUNT) - 1, true);
    double seconds = ops_seconds(&r->machine, train, smooth);
    set_share(&r->train, (double)(o->row_tokens * o->row_count), seconds);
    set_share(&r->train_kept, (double)(o->row_tokens * o->row_count), seconds);
}

/* ---- all of it ---- */

weft_bench_options weft_bench_options_default(void) {
    return (weft_bench_options){.decode = true,
                                .prefill = true,
                                .train = true,
                                .seconds = 5,
                                .prompt_tokens = 16,
                                .decode_tokens = 64,
                                .prefill_tokens = 512,
                                .row_tokens = 512,
                                .row_count = 1,
                                .rank = 8,
                                .recompute = WEFT_RECOMPUTE_AUTO};
}

static int check_options(const weft_bench_options *o, weft_error *err) {
    struct {
        const char *name;
        double value, low, high;
    } limits[] = {{"seconds", o->seconds, 0, 86400},
                  {"prompt", (double)o->prompt_tokens, 0, TOKENS_MAX},
                  {"decode", (double)o->decode_tokens, 1, TOKENS_MAX},
                  {"prefill", (double)o->prefill_tokens, 1, TOKENS_MAX},
                  {"rows", (double)o->row_tokens, 2, TOKENS_MAX},
                  {"batch", (double)o->row_count, 1, 4096},
                  {"rank", o->rank, 1, ADAPTER_RANK_MAX},
                  {"recompute", o->recompute, WEFT_RECOMPUTE_AUTO, WEFT_RECOMPUTE_OFF}};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        if (!(limits[i].value >= limits[i].low && limits[i].value <= limits[i].high))
            return err_set(err, WEFT_ERR_ARGUMENT, "%s is %g; it must be from %g to %g",
                           limits[i].name, limits[i].value, limits[i].low, limits[i].high);
    return WEFT_OK;
}

int weft_bench(const weft_model *base, const weft_bench_options *options, weft_bench_report *report,
               weft_error *err) {
    weft_bench_options standard = weft_bench_options_default();
    const weft_bench_options *o = options ? options : &standard;
    bench b = {base, o, report, err};
    *report = (weft_bench_report){0};
    TRY(check_options(o, err));
    TRY(measure_machine(base, &report->machine, err));
    generation decode = {.prompt = o->prompt_tokens, .tokens = o->decode_tokens, .step = 1};
    generation prefill = {.tokens = o->prefill_tokens, .step = o->prefill_tokens};
    if (o->decode) TRY(measure_generation(&b, decode, &report->decode));
    if (o->prefill) TRY(measure_generation(&b, prefill, &report->prefill));
    if (o->train) TRY(measure_trainings(&b));
    /* Once more: on a busy machine the better of two is nearer to what it can do. */
    if (o->seconds > 0) TRY(measure_machine(base, &report->machine, err));
    set_limits(&b);
    return WEFT_OK;
}
