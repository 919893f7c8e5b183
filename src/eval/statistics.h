/* Small statistics of measurements. Pure functions. */
#ifndef WEFT_EVAL_STATISTICS_H
#define WEFT_EVAL_STATISTICS_H

#include <stddef.h>
#include <stdint.h>

/* A share hits / total with its 95% interval (Wilson's score interval, which holds for few items
 * and for shares of 0 and 1). total 0 gives NaN in all three. */
typedef struct share {
    double value, low, high;
} share;
share share_of(int64_t hits, int64_t total);

/* The values' quantile q in 0 .. 1, between neighbours by straight lines; sorts values. count >= 1.
 */
double quantile(double *values, size_t count, double q);

/* log(sum(exp(values))) without overflow; *best receives the largest value. count >= 1. */
double log_sum_exp(const float *values, size_t count, float *best);

#endif
