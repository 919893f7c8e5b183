/* How likely a model finds given continuations of a prompt, and what it would say itself. One
 * session is kept: what two prompts share is computed once, and a prompt is computed once for all
 * its continuations. */
#ifndef WEFT_EVAL_SCORE_H
#define WEFT_EVAL_SCORE_H

#include "base/bytes.h"
#include "model/sampler.h"
#include "model/session.h"

#define SCORE_CONTEXT_MAX 2048 /* tokens of a prompt with its continuation */
#define SCORE_ROOM        128  /* usually left for the continuation */

typedef struct scorer scorer;

/* Several may be made of one model and used in turn, not at the same time. context is cut to the
 * model's and to SCORE_CONTEXT_MAX; 0 = that. */
int scorer_create(const model *m, bool smooth, int64_t context, const adapter_use *uses,
                  size_t use_count, scorer **out, weft_error *err);
void scorer_free(scorer **s);

/* Take a prompt. With no tokens at all the begin mark stands for it. Of one that leaves no room for
 * `room` more tokens, or half of the context if that is less, the beginning is left out. */
int scorer_prompt(scorer *s, const int32_t *tokens, size_t count, size_t room, weft_error *err);

typedef struct score {
    double log_p; /* sum over the tokens, natural logarithm */
    bool greedy;  /* each token was the likeliest at its place */
} score;

/* Score count >= 1 tokens after the prompt, which stays. */
int scorer_score(scorer *s, const int32_t *tokens, size_t count, score *out, weft_error *err);

/* The same for text, which is tokenised alone. *token_count (NULL allowed) receives its tokens. */
int scorer_score_text(scorer *s, const char *text, size_t size, score *out, size_t *token_count,
                      weft_error *err);

/* Continue the prompt, which stays, by at most max_tokens, until the model ends. settings NULL =
 * the likeliest token each time. Appends to text. */
int scorer_generate(scorer *s, const sampler_settings *settings, int64_t max_tokens, bytes *text,
                    weft_error *err);

#endif
