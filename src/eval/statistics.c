/* Small statistics of measurements. */
#include "eval/statistics.h"

#include <math.h>
#include <stdlib.h>

#define Z95 1.959963984540054

share share_of(int64_t hits, int64_t total) {
    if (total < 1) return (share){NAN, NAN, NAN};
    double n = (double)total, p = (double)hits / n, z2 = Z95 * Z95;
    double centre = (p + z2 / (2 * n)) / (1 + z2 / n);
    double half = Z95 / (1 + z2 / n) * sqrt(p * (1 - p) / n + z2 / (4 * n * n));
    return (share){p, fmax(0, centre - half), fmin(1, centre + half)};
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double quantile(double *values, size_t count, double q) {
    qsort(values, count, sizeof *values, compare);
    double at = q * (double)(count - 1);
    size_t below = (size_t)at;
    if (below + 1 >= count) return values[count - 1];
    return values[below] + (at - (double)below) * (values[below + 1] - values[below]);
}

double log_sum_exp(const float *values, size_t count, float *best) {
    float most = values[0];
    double sum = 0;
    for (size_t i = 1; i < count; i++)
        if (values[i] > most) most = values[i];
    for (size_t i = 0; i < count; i++) sum += (double)expf(values[i] - most);
    *best = most;
    return (double)most + log(sum);
}
