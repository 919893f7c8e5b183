/* Log-likelihood of continuations over one session. */
#include "eval/score.h"

#include "eval/statistics.h"

#include <stdlib.h>
#include <string.h>

#define PIECE 8 /* tokens whose logits are held at once */

struct scorer {
    const model *m;
    session *s;
    int32_t *prompt; /* (session_position): what the session holds between calls */
    size_t prompt_count;
    float *next; /* (vocab) logits after the prompt */
    float *rows; /* (PIECE, vocab) */
};

int scorer_create(const model *m, bool smooth, int64_t context, const adapter_use *uses,
                  size_t use_count, scorer **out, weft_error *err) {
    session_options o = {.context = context, .smooth = smooth, .rank_max = ADAPTER_RANK_MAX};
    int rc;
    *out = NULL;
    if (!m->tok) return err_set(err, WEFT_ERR_STATE, "the model file holds no tokenizer");
    if (o.context < 1 || o.context > SCORE_CONTEXT_MAX) o.context = SCORE_CONTEXT_MAX;
    if (o.context > m->cfg.context) o.context = m->cfg.context;
    scorer *s = calloc(1, sizeof *s);
    if (!s) return err_set(err, WEFT_ERR_MEMORY, "out of memory");
    s->m = m;
    TRY_OR(session_create(m, &o, &s->s, err), fail);
    TRY_OR(session_set_adapters(s->s, uses, use_count, err), fail);
    size_t row = (size_t)m->cfg.vocab * sizeof(float);
    s->prompt = malloc((size_t)o.context * sizeof *s->prompt);
    s->next = malloc(row);
    s->rows = malloc(PIECE * row);
    if (!s->prompt || !s->next || !s->rows) {
        rc = err_set(err, WEFT_ERR_MEMORY, "out of memory");
        goto fail;
    }
    *out = s;
    return WEFT_OK;
fail:
    scorer_free(&s);
    return rc;
}

void scorer_free(scorer **handle) {
    scorer *s = *handle;
    if (!s) return;
    session_free(&s->s);
    free(s->prompt);
    free(s->next);
    free(s->rows);
    free(s);
    *handle = NULL;
}

/* Nothing of a failed prompt may be taken for computed. */
static void forget(scorer *s) {
    session_truncate(s->s, 0);
    s->prompt_count = 0;
}

int scorer_prompt(scorer *s, const int32_t *tokens, size_t count, size_t room, weft_error *err) {
    size_t context = (size_t)session_context(s->s), same = 0;
    int32_t begin = tokenizer_bos(s->m->tok);
    if (room > context / 2) room = context / 2;
    if (!count && begin < 0)
        return err_set(err, WEFT_ERR_ARGUMENT,
                       "the prompt is empty, and the model has no token "
                       "that begins a text");
    if (!count) tokens = &begin, count = 1;
    if (count > context - room) {
        tokens += count - (context - room);
        count = context - room;
    }
    while (same < count && same < s->prompt_count && tokens[same] == s->prompt[same]) same++;
    if (same == count && count == s->prompt_count) return WEFT_OK;
    if (same == count) same--; /* the logits after it are needed */
    session_truncate(s->s, (int64_t)same);
    int rc = session_eval(s->s, tokens + same, count - same, s->next, NULL, err);
    if (rc) return forget(s), rc;
    memcpy(s->prompt + same, tokens + same, (count - same) * sizeof *tokens);
    s->prompt_count = count;
    return WEFT_OK;
}

static void count_token(const scorer *s, const float *logits, int32_t token, score *out) {
    float best;
    double all = log_sum_exp(logits, (size_t)s->m->cfg.vocab, &best);
    out->log_p += (double)logits[token] - all;
    out->greedy &= logits[token] >= best;
}

int scorer_score(scorer *s, const int32_t *tokens, size_t count, score *out, weft_error *err) {
    size_t vocab = (size_t)s->m->cfg.vocab;
    int rc = WEFT_OK;
    *out = (score){.greedy = true};
    if (!count || tokens[0] < 0 || (size_t)tokens[0] >= vocab)
        return err_set(err, WEFT_ERR_ARGUMENT, "no tokens to score, or one outside the vocabulary");
    count_token(s, s->next, tokens[0], out);
    for (size_t done = 0; !rc && done + 1 < count; done += PIECE) {
        size_t n = count - 1 - done < PIECE ? count - 1 - done : PIECE;
        /* The last token is only scored, so it is checked here. */
        if (tokens[done + n] < 0 || (size_t)tokens[done + n] >= vocab)
            rc = err_set(err, WEFT_ERR_ARGUMENT, "token %d is outside the vocabulary",
                         tokens[done + n]);
        if (!rc) rc = session_eval(s->s, tokens + done, n, NULL, s->rows, err);
        for (size_t i = 0; !rc && i < n; i++)
            count_token(s, s->rows + i * vocab, tokens[done + i + 1], out);
    }
    session_truncate(s->s, (int64_t)s->prompt_count);
    return rc;
}

int scorer_score_text(scorer *s, const char *text, size_t size, score *out, size_t *token_count,
                      weft_error *err) {
    token_span *spans;
    size_t count;
    TRY(tokenizer_encode(s->m->tok, text, size, NULL, &spans, &count, err));
    int32_t *ids = malloc((count ? count : 1) * sizeof *ids);
    for (size_t i = 0; ids && i < count; i++) ids[i] = spans[i].id;
    free(spans);
    int rc = ids ? scorer_score(s, ids, count, out, err)
                 : err_set(err, WEFT_ERR_MEMORY, "out of memory");
    free(ids);
    if (token_count) *token_count = count;
    return rc;
}

static int continue_prompt(scorer *s, sampler *pick, int64_t max_tokens, bytes *text,
                           weft_error *err) {
    token_stream stream = {0};
    float *logits = s->rows;
    memcpy(logits, s->next, (size_t)s->m->cfg.vocab * sizeof *logits);
    for (size_t i = 0; i < s->prompt_count; i++) sampler_accept(pick, s->prompt[i]);
    for (int64_t made = 0; made < max_tokens; made++) {
        int32_t token;
        TRY(sampler_pick(pick, logits, &token, err));
        sampler_accept(pick, token);
        if (tokenizer_is_end(s->m->tok, token)) break;
        TRY(token_stream_add(&stream, s->m->tok, token, text, err));
        if (made + 1 == max_tokens || session_position(s->s) >= session_context(s->s)) break;
        TRY(session_eval(s->s, &token, 1, logits, NULL, err));
    }
    return token_stream_flush(&stream, text, err);
}

int scorer_generate(scorer *s, const sampler_settings *settings, int64_t max_tokens, bytes *text,
                    weft_error *err) {
    static const sampler_settings likeliest = {.top_p = 1, .repetition_penalty = 1};
    sampler *pick;
    TRY(sampler_create(settings ? settings : &likeliest, tokenizer_vocab_count(s->m->tok), &pick,
                       err));
    int rc = continue_prompt(s, pick, max_tokens, text, err);
    sampler_free(&pick);
    session_truncate(s->s, (int64_t)s->prompt_count);
    return rc;
}
