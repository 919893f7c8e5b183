/* Choosing the next token from logits. Pure over an array; seeded; the same on every machine. */
#ifndef WEFT_MODEL_SAMPLER_H
#define WEFT_MODEL_SAMPLER_H

#include "base/status.h"

#include <stddef.h>

typedef struct sampler_settings {
    float temperature;        /* 0 = greedy */
    int32_t top_k;            /* 0 = off */
    float top_p;              /* 1 = off */
    float min_p;              /* 0 = off */
    float repetition_penalty; /* 1 = off; as CTRL: positive logits divided, negative multiplied */
    int32_t penalty_last;     /* tokens that the penalty looks back over; 0 = all */
    uint64_t seed;
} sampler_settings;

typedef struct sampler sampler;

/* Settings out of range (negative temperature, top_p outside (0, 1] ...) are WEFT_ERR_ARGUMENT. */
int sampler_create(const sampler_settings *settings, int32_t vocab, sampler **out, weft_error *err);
void sampler_free(sampler **s);
/* Note a token of the context, for the penalty. */
void sampler_accept(sampler *s, int32_t token);
/* Pick from logits (vocab floats, changed in place); order: penalty, temperature, top-k, top-p,
 * min-p. Ties and sums are resolved in token order. All logits NaN or infinite: WEFT_ERR_NUMERIC.
 * Does not accept. */
int sampler_pick(sampler *s, float *logits, int32_t *token, weft_error *err);

#endif
