/* The run's state to and from its checkpoint, and what tells one run from another: fingerprints of
 * the model and the data, the adapter's shape, the options that change the result. */
#include "train/trainer_impl.h"

#include "train/hash.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define SAMPLE_BYTES 64 /* read at both ends of a tensor */

/* ------------------------------------------------------------------ fingerprints */

static uint64_t hash_config(uint64_t hash, const config *c) {
    const int64_t shape[] = {
        c->layer_count,      c->hidden,   c->ffn,       c->heads,
        c->kv_heads,         c->head_dim, c->vocab,     config_ternary_count(c),
        c->rope_interleaved, c->act,      c->sub_norms, c->tied_head};
    hash = hash_text(hash, c->architecture);
    hash = hash_bytes(hash, shape, sizeof shape);
    hash = hash_f64(hash_f64(hash, (double)c->norm_epsilon), c->rope_base);
    return hash_bytes(hash, c->rope_factors, (size_t)(c->head_dim / 2) * sizeof(float));
}

static uint64_t hash_ends(uint64_t hash, const uint8_t *data, size_t size) {
    size_t sample = size < SAMPLE_BYTES ? size : SAMPLE_BYTES;
    if (!data) return hash_word(hash, size);
    hash = hash_bytes(hash, data, sample);
    return hash_word(hash_bytes(hash, data + size - sample, sample), size);
}

/* The shape, and both ends of every tensor: no need to read gigabytes to tell two models apart. How
 * a file's weights are packed in memory does not count. */
uint64_t trainer_model_fingerprint(const model *m) {
    uint64_t hash = hash_f64(hash_config(HASH_START, &m->cfg), m->mean_scale);
    if (!m->file) return hash_ends(hash, m->codes, m->codes_bytes);
    for (size_t i = 0; i < gguf_tensor_count(m->file); i++) {
        const tensor_view *t = gguf_tensor_at(m->file, i);
        hash = hash_ends(hash_text(hash, t->name), t->data, t->size_bytes);
    }
    return hash_word(hash, gguf_size_bytes(m->file));
}

/* Ranks, scales and places of all pairs: loaded adapters may differ from layer to layer. */
static uint64_t adapter_fingerprint(const adapter *a) {
    uint64_t hash = hash_word(HASH_START, a->param_count);
    for (int64_t i = 0; i < a->layer_count * TARGET_COUNT; i++) {
        const lora_pair *p = &a->pairs[i];
        hash = hash_word(hash, (uint64_t)p->rank);
        if (p->rank) hash = hash_word(hash_f64(hash, (double)p->scale), p->a_offset);
    }
    return hash;
}

/* ------------------------------------------------------------------ settings */

static void WEFT_PRINTF(3, 4) add(trainer *t, const char *name, const char *format, ...) {
    checkpoint_setting *s = &t->settings[t->setting_count++];
    va_list args;
    va_start(args, format);
    vsnprintf(s->value, sizeof s->value, format, args);
    va_end(args);
    s->name = name;
}

/* Nine digits tell any two float32 values apart, and seventeen any two doubles. The decimal point
 * is one in every locale. */
static void add_number(trainer *t, const char *name, double value, int digits) {
    add(t, name, "%.*g", digits, value);
    char *comma = strchr(t->settings[t->setting_count - 1].value, ',');
    if (comma) *comma = '.';
}

static void add_whole(trainer *t, const char *name, int64_t value) {
    add(t, name, "%" PRId64, value);
}

void trainer_list_settings(trainer *t) {
    static const char *const schedules[] = {"cosine", "linear", "constant"};
    const trainer_options *o = &t->o;
    const adapter *a = t->a;
    t->setting_count = 0;
    add(t, "model", "%016" PRIx64, trainer_model_fingerprint(t->m));
    add(t, "data set (documents, context, loss mask, split)", "%016" PRIx64,
        dataset_fingerprint(t->d));
    add_whole(t, "rank", a->rank);
    add_number(t, "alpha", (double)a->alpha, 9);
    add(t, "rslora", "%s", a->rslora ? "on" : "off");
    add(t, "set of targets", "%#" PRIx32, a->targets);
    add_whole(t, "adapter size in parameters", (int64_t)a->param_count);
    add(t, "adapter shape", "%016" PRIx64, adapter_fingerprint(a));
    add_whole(t, "steps", t->step_count);
    add_whole(t, "micro_tokens", o->micro_tokens);
    add_whole(t, "accumulate", o->accumulate);
    add_number(t, "learning rate", (double)o->optimiser.rate, 9);
    add_number(t, "beta1", (double)o->optimiser.beta1, 9);
    add_number(t, "beta2", (double)o->optimiser.beta2, 9);
    add_number(t, "epsilon", (double)o->optimiser.epsilon, 9);
    add_number(t, "weight decay", (double)o->optimiser.weight_decay, 9);
    add_number(t, "clipping norm", (double)o->optimiser.clip, 9);
    add(t, "schedule", "%s", schedules[o->schedule]);
    add_whole(t, "warmup_steps", o->warmup_steps);
    add_number(t, "final_rate_share", o->final_rate_share, 17);
    add(t, "seed", "%" PRIu64, o->seed);
    add_whole(t, "eval_every", o->eval_every);
    add_whole(t, "patience", o->patience);
    add_number(t, "dropout", (double)o->dropout, 9);
    if (o->replay)
        add(t, "replayed text", "%016" PRIx64, dataset_fingerprint(o->replay));
    else
        add(t, "replayed text", "none");
    add_number(t, "share of replay", o->replay ? o->replay_share : 0, 17);
    add(t, "activation rounding", "%s", o->smooth ? "off" : "on");
}

/* ------------------------------------------------------------------ saving */

int trainer_save(trainer *t, weft_error *err) {
    size_t count = t->a->param_count;
    float *block = malloc(3 * count * sizeof *block);
    if (!block) return err_set(err, WEFT_ERR_MEMORY, "out of memory for the checkpoint");
    checkpoint c = {.step = t->step,
                    .tokens_seen = t->tokens_seen,
                    .param_count = count,
                    .params = block,
                    .moment1 = block + count,
                    .moment2 = block + 2 * count,
                    .best = t->best,
                    .losses = t->losses,
                    .eval_count = t->eval_count,
                    .eval_steps = t->eval_steps,
                    .eval_losses = t->eval_losses};
    int rc = adapter_get_params(t->a, c.params, err);
    if (!rc) rc = train_step_get_moments(t->engine, c.moment1, c.moment2, err);
    if (!rc) rc = checkpoint_save(t->path, &c, t->settings, t->setting_count, err);
    free(block);
    if (rc) return rc;
    t->saved_step = t->step;
    t->saved_evals = t->eval_count;
    return WEFT_OK;
}

/* ------------------------------------------------------------------ resuming */

int64_t trainer_find_best(const double *losses, int64_t count) {
    int64_t best = 0;
    for (int64_t i = 1; i < count; i++)
        if (losses[i] < losses[best]) best = i;
    return best;
}

/* The arrays of c become the trainer's. */
static void adopt_state(trainer *t, checkpoint *c) {
    free(t->losses);
    free(t->eval_steps);
    free(t->eval_losses);
    free(t->best);
    t->losses = c->losses;
    t->eval_steps = c->eval_steps;
    t->eval_losses = c->eval_losses;
    t->best = c->best;
    c->losses = c->best = NULL;
    c->eval_steps = NULL;
    c->eval_losses = NULL;
    t->step = t->losses_capacity = c->step;
    t->eval_count = t->evals_capacity = c->eval_count;
    t->best_index = trainer_find_best(t->eval_losses, t->eval_count);
    t->tokens_seen = c->tokens_seen;
    t->saved_step = c->step;
    t->saved_evals = c->eval_count;
    t->finished = false;
    t->resumed = true;
}

int trainer_resume(trainer *t, weft_error *err) {
    if (t->failed) return err_set(err, WEFT_ERR_STATE, "the run has failed; make a new trainer");
    if (!t->path) return err_set(err, WEFT_ERR_STATE, "the run has no checkpoint file");
    checkpoint c = {.param_count = t->a->param_count};
    TRY(checkpoint_load(t->path, t->settings, t->setting_count, &c, err));
    int rc = WEFT_OK;
    if (c.step > t->step_count)
        rc = err_set(err, WEFT_ERR_FORMAT,
                     "checkpoint %s is damaged (step %" PRId64 " of %" PRId64 ")", t->path, c.step,
                     t->step_count);
    if (!rc) rc = adapter_set_params(t->a, c.params, err);
    if (!rc) {
        train_step_set_moments(t->engine, c.moment1, c.moment2);
        adopt_state(t, &c);
    }
    checkpoint_free(&c);
    return rc;
}
