/* Generation: tokens go through the layers in chunks, keys and values stay in the cache. */
#include "model/session.h"

#include "base/os.h"

#include <math.h>
#include <stdlib.h>

#define DEFAULT_CONTEXT_MAX 4096
#define DEFAULT_BATCH       256
#define DEFAULT_RANK_MAX    64

struct session {
    backend *be;
    forward f;
    int64_t context, batch, position;
    int32_t rank_max;
    buffer *memory; /* activations, cache, token arrays, logits */
    layer_acts acts;
    view x, last_row, logits, ids, positions, first, last;
    view keys, values; /* (layer, context, kv width) each */
    int32_t *host;     /* 4 * batch: staging of the token arrays */
};

/* Carve the session's memory; with buf NULL only the size is wanted. */
static size_t place(session *s, const config *c, buffer *buf) {
    size_t row = (size_t)c->hidden * sizeof(float), array = (size_t)s->batch * sizeof(int32_t);
    size_t cache =
        (size_t)(c->layer_count * s->context * c->kv_heads * c->head_dim) * sizeof(float);
    struct {
        view *at;
        size_t size;
    } pieces[] = {{&s->x, (size_t)s->batch * row},
                  {&s->last_row, row},
                  {&s->logits, (size_t)c->vocab * sizeof(float)},
                  {&s->ids, array},
                  {&s->positions, array},
                  {&s->first, array},
                  {&s->last, array},
                  {&s->keys, cache},
                  {&s->values, cache}};
    size_t at = 0;
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        *pieces[i].at = (view){buf, at};
        at += round_up(pieces[i].size, 64);
    }
    at += acts_place(c, s->batch, 0, true, buf, at, &s->acts);
    s->acts.in = s->acts.mid = s->x; /* the residual stream is updated in place */
    return at;
}

static int64_t pick(int64_t asked, int64_t fallback) {
    return asked > 0 ? asked : fallback;
}

int session_create(const model *m, const session_options *o, session **out, weft_error *err) {
    int rc;
    *out = NULL;
    session *s = calloc(1, sizeof *s);
    if (!s) return err_set(err, WEFT_ERR_MEMORY, "out of memory");
    s->be = m->be;
    int64_t standard = m->cfg.context < DEFAULT_CONTEXT_MAX ? m->cfg.context : DEFAULT_CONTEXT_MAX;
    s->context = pick(o->context, standard);
    s->batch = pick(o->batch, DEFAULT_BATCH);
    if (s->batch > s->context) s->batch = s->context;
    s->rank_max = (int32_t)pick(o->rank_max, DEFAULT_RANK_MAX);
    forward_options options = {.tokens_max = s->batch,
                               .positions_max = s->context,
                               .rank_max = s->rank_max,
                               .smooth = o->smooth};
    if (s->context > m->cfg.context) {
        rc = err_set(err, WEFT_ERR_RANGE, "a context of %lld tokens is over the model's %lld",
                     (long long)s->context, (long long)m->cfg.context);
        goto fail;
    }
    /* The cache first: it is the largest, and if it does not fit nothing was computed in vain. */
    TRY_OR(buffer_create(m->be, place(s, &m->cfg, NULL), &s->memory, err), fail);
    place(s, &m->cfg, s->memory);
    TRY_OR(forward_create(m, &options, &s->f, err), fail);
    s->host = malloc((size_t)s->batch * 4 * sizeof(int32_t));
    if (!s->host) {
        rc = err_set(err, WEFT_ERR_MEMORY, "out of memory");
        goto fail;
    }
    *out = s;
    return WEFT_OK;
fail:
    session_free(&s);
    return rc;
}

void session_free(session **handle) {
    session *s = *handle;
    if (!s) return;
    buffer_free(s->be, &s->memory);
    forward_destroy(&s->f);
    free(s->host);
    free(s);
    *handle = NULL;
}

int session_set_adapters(session *s, const adapter_use *uses, size_t count, weft_error *err) {
    if (count > FORWARD_ADAPTERS_MAX)
        return err_set(err, WEFT_ERR_RANGE, "%zu adapters at once; at most %d", count,
                       FORWARD_ADAPTERS_MAX);
    for (size_t i = 0; i < count; i++) {
        const adapter *a = uses[i].adapter;
        if (a->layer_count != s->f.m->cfg.layer_count)
            return err_set(err, WEFT_ERR_ARGUMENT, "adapter %zu is for a model of %lld layers",
                           i + 1, (long long)a->layer_count);
        for (int64_t p = 0; p < a->layer_count * TARGET_COUNT; p++)
            if (a->pairs[p].rank > s->rank_max)
                return err_set(err, WEFT_ERR_RANGE, "adapter rank %d is over the session's %d",
                               a->pairs[p].rank, s->rank_max);
    }
    for (size_t i = 0; i < count; i++) s->f.uses[i] = uses[i];
    s->f.use_count = count;
    return WEFT_OK;
}

int64_t session_position(const session *s) {
    return s->position;
}

int64_t session_context(const session *s) {
    return s->context;
}

void session_truncate(session *s, int64_t position) {
    if (position >= 0 && position < s->position) s->position = position;
}

/* One chunk through the layers; s->x holds the result. */
static void eval_chunk(session *s, const int32_t *tokens, int64_t count) {
    const config *c = &s->f.m->cfg;
    backend *be = s->f.be;
    int32_t *ids = s->host, *positions = ids + s->batch, *first = positions + s->batch,
            *last = first + s->batch;
    for (int64_t i = 0; i < count; i++) {
        ids[i] = tokens[i];
        positions[i] = last[i] = (int32_t)(s->position + i);
        first[i] = 0;
    }
    size_t size = (size_t)count * sizeof(int32_t);
    backend_write(be, s->ids, ids, size);
    backend_write(be, s->positions, positions, size);
    backend_write(be, s->first, first, size);
    backend_write(be, s->last, last, size);
    token_batch b = {.tokens = count,
                     .ids = s->ids,
                     .positions = s->positions,
                     .first = s->first,
                     .last = s->last};
    forward_embed(&s->f, &b, s->x);
    int64_t layer_floats = s->context * c->kv_heads * c->head_dim;
    for (int64_t i = 0; i < c->layer_count; i++) {
        layer_cache cache = {.k = view_floats(s->keys, i * layer_floats),
                             .v = view_floats(s->values, i * layer_floats),
                             .keys = s->context};
        forward_layer(&s->f, i, &b, &s->acts, &cache, s->x);
    }
    forward_final_norm(&s->f, s->x, count, s->x);
}

/* Without a branch a value, since a decoded token waits for it: four at a time, by their bits. */
static bool all_finite(const float *x, int64_t n) {
    uint32_t most[4] = {0};
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits = f32_to_bits(x[i]) & 0x7fffffff;
        if (bits > most[i % 4]) most[i % 4] = bits;
    }
    for (int k = 1; k < 4; k++)
        if (most[k] > most[0]) most[0] = most[k];
    return most[0] < 0x7f800000;
}

static int read_logits(session *s, view row, float *out, weft_error *err) {
    int64_t vocab = s->f.m->cfg.vocab;
    op_copy(s->f.be, row, s->last_row, (size_t)s->f.m->cfg.hidden * sizeof(float));
    forward_logits(&s->f, s->last_row, 1, s->logits);
    TRY(backend_read(s->f.be, s->logits, out, (size_t)vocab * sizeof(float), err));
    if (all_finite(out, vocab)) return WEFT_OK;
    int64_t i = 0;
    while (isfinite(out[i])) i++;
    return err_set(err, WEFT_ERR_NUMERIC, "the logits are not finite (token %lld)", (long long)i);
}

static int check_tokens(const session *s, const int32_t *tokens, size_t count, weft_error *err) {
    if (count == 0) return err_set(err, WEFT_ERR_ARGUMENT, "no tokens to evaluate");
    if (count > (size_t)(s->context - s->position))
        return err_set(err, WEFT_ERR_RANGE,
                       "%zu tokens do not fit: the context of %lld tokens has %lld left", count,
                       (long long)s->context, (long long)(s->context - s->position));
    for (size_t i = 0; i < count; i++)
        if (tokens[i] < 0 || tokens[i] >= s->f.m->cfg.vocab)
            return err_set(err, WEFT_ERR_ARGUMENT, "token %d is outside the vocabulary of %lld",
                           tokens[i], (long long)s->f.m->cfg.vocab);
    return WEFT_OK;
}

int session_eval(session *s, const int32_t *tokens, size_t count, float *logits, float *all_logits,
                 weft_error *err) {
    const config *c = &s->f.m->cfg;
    TRY(check_tokens(s, tokens, count, err));
    int64_t before = s->position;
    int rc = WEFT_OK;
    backend_begin(s->f.be);
    for (size_t done = 0; !rc && done < count;) {
        int64_t n = (int64_t)(count - done) < s->batch ? (int64_t)(count - done) : s->batch;
        eval_chunk(s, tokens + done, n);
        for (int64_t i = 0; all_logits && !rc && i < n; i++)
            rc = read_logits(s, view_floats(s->x, i * c->hidden),
                             all_logits + (done + (size_t)i) * (size_t)c->vocab, err);
        done += (size_t)n;
        if (logits && !rc && done == count)
            rc = read_logits(s, view_floats(s->x, (n - 1) * c->hidden), logits, err);
        s->position += n;
    }
    weft_error late;
    int submitted = backend_submit(s->f.be, rc ? &late : err);
    if (!rc) rc = submitted;
    if (rc) s->position = before;
    return rc;
}
