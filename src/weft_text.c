/* The public functions about text, sessions and generation. */
#include "weft_impl.h"

#include "base/os.h"
#include "model/sampler.h"

#include <stdlib.h>
#include <string.h>

static int need_tokenizer(const weft_model *base, weft_error *err) {
    if (base->m->tok) return WEFT_OK;
    return err_set(err, WEFT_ERR_STATE, "the model file holds no tokenizer");
}

static int need_template(const weft_model *base, weft_error *err) {
    TRY(need_tokenizer(base, err));
    if (base->m->chat) return WEFT_OK;
    return err_set(err, WEFT_ERR_STATE,
                   "the model file holds no chat template: give it plain text instead");
}

/* Spans to plain ids; frees spans. */
static int ids_of(token_span *spans, size_t count, int32_t **tokens, weft_error *err) {
    int32_t *ids = malloc((count ? count : 1) * sizeof *ids);
    for (size_t i = 0; ids && i < count; i++) ids[i] = spans[i].id;
    free(spans);
    *tokens = ids;
    return ids ? WEFT_OK : err_set(err, WEFT_ERR_MEMORY, "out of memory");
}

int weft_tokenize(const weft_model *base, const char *text, size_t size, bool add_bos,
                  bool parse_special, int32_t **tokens, size_t *count, weft_error *err) {
    tokenizer_options options = {.add_bos = add_bos, .parse_special = parse_special};
    token_span *spans;
    *tokens = NULL;
    *count = 0;
    TRY(need_tokenizer(base, err));
    TRY(tokenizer_encode(base->m->tok, text, size, &options, &spans, count, err));
    return ids_of(spans, *count, tokens, err);
}

int weft_detokenize(const weft_model *base, const int32_t *tokens, size_t count, bool show_special,
                    char **text, weft_error *err) {
    bytes out = {0};
    token_stream stream = {0};
    *text = NULL;
    TRY(need_tokenizer(base, err));
    int rc = bytes_add_text(&out, "") ? WEFT_OK : err_set(err, WEFT_ERR_MEMORY, "out of memory");
    for (size_t i = 0; !rc && i < count; i++) {
        if (show_special && tokenizer_is_special(base->m->tok, tokens[i]))
            rc = tokenizer_decode(base->m->tok, tokens[i], true, &out, err);
        else
            rc = token_stream_add(&stream, base->m->tok, tokens[i], &out, err);
    }
    if (!rc) rc = token_stream_flush(&stream, &out, err);
    if (rc) bytes_free(&out);
    *text = out.data;
    return rc;
}

/* Text of a special token as the template sees it; NULL if the model has none. The caller frees it.
 */
static char *special_text(const tokenizer *t, int32_t id) {
    if (id < 0) return NULL;
    gguf_text text = tokenizer_text(t, id);
    return strndup(text.data, text.size);
}

int weft_chat_render(const weft_model *base, const weft_message *messages, size_t count,
                     bool add_generation_prompt, char **text, int32_t **tokens, size_t *token_count,
                     weft_error *err) {
    const tokenizer *tok = base->m->tok;
    if (text) *text = NULL;
    if (tokens) *tokens = NULL;
    if (token_count) *token_count = 0;
    TRY(need_template(base, err));
    chat_message *list = malloc((count ? count : 1) * sizeof *list);
    if (!list) return err_set(err, WEFT_ERR_MEMORY, "out of memory");
    for (size_t i = 0; i < count; i++)
        list[i] = (chat_message){messages[i].role, messages[i].content};
    char *bos = special_text(tok, tokenizer_bos(tok)), *eos = special_text(tok, tokenizer_eos(tok));
    chat_options options = {
        .add_generation_prompt = add_generation_prompt, .bos_text = bos, .eos_text = eos};
    int rc = WEFT_OK;
    if (text) {
        chat_text rendered = {0};
        rc = chat_render(base->m->chat, list, count, &options, &rendered, err);
        if (!rc) {
            *text = strndup(rendered.text.data ? rendered.text.data : "", rendered.text.size);
            chat_text_free(&rendered);
            if (!*text) rc = err_set(err, WEFT_ERR_MEMORY, "out of memory");
        }
    }
    if (tokens && !rc) {
        token_span *spans = NULL;
        uint8_t *mask = NULL;
        size_t n = 0;
        rc = chat_encode(base->m->chat, tok, list, count, &options, &spans, &mask, &n, err);
        free(mask);
        if (!rc) rc = ids_of(spans, n, tokens, err);
        if (!rc && token_count) *token_count = n;
    }
    if (rc && text) {
        free(*text);
        *text = NULL;
    }
    free(bos);
    free(eos);
    free(list);
    return rc;
}

int weft_session_create(const weft_model *base, const weft_session_options *options,
                        weft_session **out, weft_error *err) {
    session_options o = {.smooth = base->smooth, .rank_max = ADAPTER_RANK_MAX};
    if (options) o.context = options->context, o.batch = options->batch;
    *out = NULL;
    if (o.context < 0 || o.batch < 0)
        return err_set(err, WEFT_ERR_ARGUMENT, "context and batch must not be negative");
    weft_session *s = calloc(1, sizeof *s);
    if (!s) return err_set(err, WEFT_ERR_MEMORY, "out of memory");
    s->model = base;
    int rc = session_create(base->m, &o, &s->s, err);
    if (!rc) {
        s->capacity = (size_t)session_context(s->s);
        s->cached = malloc(s->capacity * sizeof *s->cached);
        if (!s->cached) rc = err_set(err, WEFT_ERR_MEMORY, "out of memory");
    }
    if (rc) weft_session_free(&s);
    *out = s;
    return rc;
}

void weft_session_free(weft_session **handle) {
    weft_session *s = *handle;
    if (!s) return;
    session_free(&s->s);
    free(s->cached);
    free(s);
    *handle = NULL;
}

int weft_session_set_adapters(weft_session *s, const weft_adapter *const *adapters,
                              const float *scales, size_t count, weft_error *err) {
    adapter_use uses[FORWARD_ADAPTERS_MAX];
    TRY(adapter_uses(adapters, scales, count, uses, err));
    TRY(session_set_adapters(s->s, uses, count, err));
    session_truncate(s->s, 0);
    return WEFT_OK;
}

void weft_session_truncate(weft_session *s, int64_t position) {
    session_truncate(s->s, position);
}

int64_t weft_session_position(const weft_session *s) {
    return session_position(s->s);
}

int64_t weft_session_context(const weft_session *s) {
    return session_context(s->s);
}

int weft_session_eval(weft_session *s, const int32_t *tokens, size_t count, float *logits,
                      weft_error *err) {
    int64_t before = session_position(s->s);
    TRY(session_eval(s->s, tokens, count, logits, NULL, err));
    memcpy(s->cached + before, tokens, count * sizeof *tokens);
    return WEFT_OK;
}

/* A reply in the making. */
typedef struct reply {
    weft_session *s;
    sampler *pick;
    float *logits;
    token_stream stream;
    bytes text;
    weft_text_callback on_text;
    void *context;
    weft_generate_stats stats;
} reply;

/* Keep what the cache shares with the prompt (but its last token, whose logits are needed). */
static int64_t reuse_cache(weft_session *s, const int32_t *tokens, size_t count) {
    int64_t same = 0, limit = session_position(s->s);
    if (limit > (int64_t)count - 1) limit = (int64_t)count - 1;
    while (same < limit && s->cached[same] == tokens[same]) same++;
    session_truncate(s->s, same);
    return same;
}

static int deliver(reply *r, weft_error *err) {
    if (r->text.size == 0) return WEFT_OK;
    int stop = r->on_text ? r->on_text(r->context, r->text.data, r->text.size) : 0;
    bytes_clear(&r->text);
    return stop ? err_set(err, WEFT_ERR_INTERRUPTED, "stopped") : WEFT_OK;
}

static int decode(reply *r, int64_t max_tokens, weft_error *err) {
    const tokenizer *tok = r->s->model->m->tok;
    for (;;) {
        int32_t token;
        TRY(sampler_pick(r->pick, r->logits, &token, err));
        sampler_accept(r->pick, token);
        r->stats.generated_tokens++;
        if (tokenizer_is_end(tok, token)) {
            r->stats.ended = true;
            return WEFT_OK;
        }
        TRY(token_stream_add(&r->stream, tok, token, &r->text, err));
        TRY(deliver(r, err));
        if (max_tokens && r->stats.generated_tokens >= max_tokens) return WEFT_OK;
        if (session_position(r->s->s) >= session_context(r->s->s)) {
            r->stats.full = true;
            return WEFT_OK;
        }
        TRY(weft_session_eval(r->s, &token, 1, r->logits, err));
    }
}

static int generate(reply *r, const int32_t *tokens, size_t count, int64_t max_tokens,
                    weft_error *err) {
    uint64_t start = os_clock_ns();
    int64_t kept = reuse_cache(r->s, tokens, count);
    r->stats.prompt_tokens = (int64_t)count;
    r->stats.cached_tokens = kept;
    for (size_t i = 0; i < count; i++) sampler_accept(r->pick, tokens[i]);
    TRY(weft_session_eval(r->s, tokens + kept, count - (size_t)kept, r->logits, err));
    uint64_t middle = os_clock_ns();
    r->stats.prefill_seconds = (double)(middle - start) * 1e-9;
    int rc = decode(r, max_tokens, err);
    if (!rc) rc = token_stream_flush(&r->stream, &r->text, err);
    if (!rc) rc = deliver(r, err);
    r->stats.decode_seconds = (double)(os_clock_ns() - middle) * 1e-9;
    return rc;
}

int weft_generate(weft_session *s, const int32_t *tokens, size_t count,
                  const weft_generate_options *options, weft_text_callback on_text, void *context,
                  weft_generate_stats *stats, weft_error *err) {
    static const weft_generate_options standard = WEFT_GENERATE_OPTIONS_DEFAULT;
    const weft_generate_options *o = options ? options : &standard;
    const config *c = &s->model->m->cfg;
    sampler_settings settings = {.temperature = o->temperature,
                                 .top_k = o->top_k,
                                 .top_p = o->top_p,
                                 .min_p = o->min_p,
                                 .repetition_penalty = o->repetition_penalty,
                                 .penalty_last = 256,
                                 .seed = o->seed};
    reply r = {.s = s, .on_text = on_text, .context = context};
    TRY(need_tokenizer(s->model, err));
    if (count == 0) return err_set(err, WEFT_ERR_ARGUMENT, "the prompt is empty");
    if (o->max_tokens < 0)
        return err_set(err, WEFT_ERR_ARGUMENT, "max_tokens must not be negative");
    /* Rows of the embedding beyond the tokenizer's tokens are padding: never picked. */
    TRY(sampler_create(&settings, tokenizer_vocab_count(s->model->m->tok), &r.pick, err));
    r.logits = malloc((size_t)c->vocab * sizeof *r.logits);
    int rc = r.logits ? generate(&r, tokens, count, o->max_tokens, err)
                      : err_set(err, WEFT_ERR_MEMORY, "out of memory");
    if (stats) *stats = r.stats;
    sampler_free(&r.pick);
    free(r.logits);
    bytes_free(&r.text);
    return rc;
}

int weft_chat(weft_session *s, const weft_message *messages, size_t count,
              const weft_generate_options *options, weft_text_callback on_text, void *context,
              weft_generate_stats *stats, weft_error *err) {
    int32_t *tokens;
    size_t token_count;
    TRY(weft_chat_render(s->model, messages, count, true, NULL, &tokens, &token_count, err));
    int rc = weft_generate(s, tokens, token_count, options, on_text, context, stats, err);
    free(tokens);
    return rc;
}
