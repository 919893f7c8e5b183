/* How alike two bodies of writing are in manner, whatever they are about: the shares of function
 * words, punctuation, sentence lengths and capitals, compared by the Jensen-Shannon distance (J.
 * Lin, "Divergence measures based on the Shannon entropy", IEEE Transactions on Information Theory
 * 37, 1991; its root is a metric: D. Endres, J. Schindelin, "A new metric for probability
 * distributions", the same 49, 2003). Pure functions over texts. */
#ifndef WEFT_EVAL_STYLE_H
#define WEFT_EVAL_STYLE_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

enum { STYLE_WORDS, STYLE_MARKS, STYLE_SENTENCES, STYLE_CAPITALS, STYLE_GROUPS };

#define STYLE_BINS_MAX 128

/* Counts of one text; those of several texts are added up. */
typedef struct style_profile {
    uint32_t counts[STYLE_GROUPS][STYLE_BINS_MAX];
} style_profile;

void style_count(const char *text, style_profile *p);
void style_add(style_profile *sum, const style_profile *p);

/* Distance of each group, 0 (alike) .. 1 (nothing in common), and their mean. Bins are smoothed by
 * a half before they become shares. */
typedef struct style_distance {
    double groups[STYLE_GROUPS], mean;
} style_distance;
style_distance style_compare(const style_profile *a, const style_profile *b);

typedef struct style_result {
    style_distance distance;
    double low, high; /* 95% of the mean's bootstrap, over texts of both sides */
} style_result;

/* Compare the writing of a and b: count >= 1 texts each. Deterministic in the seed. */
int style_measure(const style_profile *a, size_t a_count, const style_profile *b, size_t b_count,
                  uint64_t seed, style_result *out, weft_error *err);

/* The mean distance between two random halves of one body: what chance alone makes. NaN for fewer
 * than two texts. */
double style_floor(const style_profile *a, size_t count, uint64_t seed);

#endif
