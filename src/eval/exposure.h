/* How much an adapter gives away of strings that it was trained on: exposure, after N. Carlini, C.
 * Liu, U. Erlingsson, J. Kos, D. Song, "The Secret Sharer: Evaluating and Testing Unintended
 * Memorization in Neural Networks", USENIX Security 2019, section 4. */
#ifndef WEFT_EVAL_EXPOSURE_H
#define WEFT_EVAL_EXPOSURE_H

#include "eval/score.h"
#include "eval/secrets.h"

#define EXPOSURE_VARIANTS_MAX 65535

typedef struct exposure {
    double log_p; /* of the string after what stood before it */
    int64_t rank; /* among itself and the variants, 1 = likeliest */
    double bits;  /* log2(variants + 1) - log2(rank) */
    bool greedy;  /* the model's likeliest tokens spell the string */
} exposure;

/* Compare a string with `variants` others of its form. The model is given at most
 * SECRET_CONTEXT_MAX tokens that stood before it. The same seed gives the same variants for every
 * model. */
int exposure_measure(const dataset *d, const secret *s, scorer *who, int64_t variants,
                     uint64_t seed, exposure *out, weft_error *err);

#endif
