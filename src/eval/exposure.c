/* Exposure of one string, by its rank among random ones. */
#include "eval/exposure.h"

#include "base/rng.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { TRIES_PER_VARIANT = 8 };

static int score_string(scorer *who, const secret *s, const char *text, score *out,
                        weft_error *err) {
    char whole[SECRET_BYTES * 3];
    int n = snprintf(whole, sizeof whole, "%s%s", s->lead, text);
    return scorer_score_text(who, whole, (size_t)n, out, NULL, err);
}

int exposure_measure(const dataset *d, const secret *s, scorer *who, int64_t variants,
                     uint64_t seed, exposure *out, weft_error *err) {
    dataset_example e = dataset_document(d, s->document);
    int64_t first = s->token > SECRET_CONTEXT_MAX ? s->token - SECRET_CONTEXT_MAX : 0;
    uint64_t stream = rng_split(seed, (uint64_t)s->document * 4099 + (uint64_t)s->token);
    char text[SECRET_BYTES * 2];
    score own, other;
    int64_t made = 0, better = 0;
    TRY(scorer_prompt(who, e.prompt + first, (size_t)(s->token - first), SECRET_BYTES, err));
    TRY(score_string(who, s, s->text, &own, err));
    for (uint64_t i = 0; made < variants && i < (uint64_t)variants * TRIES_PER_VARIANT; i++) {
        secret_vary(s, stream, i, text, sizeof text);
        if (!strcmp(text, s->text)) continue;
        TRY(score_string(who, s, text, &other, err));
        better += other.log_p >= own.log_p;
        made++;
    }
    *out = (exposure){.log_p = own.log_p,
                      .greedy = own.greedy,
                      .rank = better + 1,
                      .bits = log2((double)made + 1) - log2((double)better + 1)};
    return WEFT_OK;
}
