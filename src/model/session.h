/* One timeline of tokens: KV cache, scratch and position. One caller at a time. */
#ifndef WEFT_MODEL_SESSION_H
#define WEFT_MODEL_SESSION_H

#include "model/forward.h"

typedef struct session session;

typedef struct session_options {
    int64_t context;  /* tokens it can hold; 0 = the model's, at most 4096 */
    int64_t batch;    /* prefill chunk; 0 = 256 */
    int32_t rank_max; /* largest adapter rank to be used; 0 = 64 */
    bool smooth;
} session_options;

int session_create(const model *m, const session_options *options, session **out, weft_error *err);
void session_free(session **s);

/* Adapters used from the next token on; the cache is kept only for tokens already evaluated. The
 * adapters must outlive the session or be replaced. A rank over rank_max is WEFT_ERR_RANGE. */
int session_set_adapters(session *s, const adapter_use *uses, size_t count, weft_error *err);

int64_t session_position(const session *s); /* tokens evaluated */
int64_t session_context(const session *s);
void session_truncate(session *s, int64_t position); /* forget tokens from position on */

/* Evaluate count tokens after what is there. logits, if not NULL, receives vocab floats of the last
 * token; all_logits, if not NULL, count * vocab floats. Ids out of range: WEFT_ERR_ARGUMENT; no
 * room: WEFT_ERR_RANGE; both leave the session as it was. NaN or infinite logits: WEFT_ERR_NUMERIC.
 */
int session_eval(session *s, const int32_t *tokens, size_t count, float *logits, float *all_logits,
                 weft_error *err);

#endif
