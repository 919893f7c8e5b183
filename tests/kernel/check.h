/* What check_kernels' files share: buffers with guards, fillings, comparisons, and the two tables
 * of cases. A check runs one kernel of the table under test against the scalar table. */
#ifndef WEFT_TESTS_KERNEL_CHECK_H
#define WEFT_TESTS_KERNEL_CHECK_H

#include "kernel/kernel.h"

#include <stddef.h>

/* How inputs are filled. */
typedef enum fill { FILL_RANDOM, FILL_MAX, FILL_MIN, FILL_ZERO, FILL_TINY, FILL_HUGE, FILLS } fill;

typedef struct check {
    const kernels *ref, *tested;
    const char *name; /* of the case */
    uint64_t seed;
    fill fill;
    double worst; /* largest error as a share of its bound */
    int failures;
} check;

typedef void check_function(check *c);
typedef struct check_case {
    const char *name;
    check_function *run;
} check_case;
extern const check_case product_cases[], row_cases[]; /* end with a NULL name */

/* Inputs end where their allocation ends (the sanitizers see a read past it) and start one element
 * off any larger alignment. Freed by check_free_all. */
float *check_floats(check *c, int64_t n);
uint8_t *check_bytes(check *c, size_t n);
int8_t *check_int8(check *c, int64_t n);
ternary_matrix check_ternary(check *c, int64_t rows, int64_t cols);
ternary_matrix check_ternary_magnitudes(const ternary_matrix *w);
dense_matrix check_dense(check *c, dense_type type, int64_t rows, int64_t cols);
float *check_magnitudes(const float *x, int64_t n);
float *check_copy(const float *x, int64_t n);
void *check_alloc(size_t bytes);

/* An output of n floats, filled with one odd NaN, between two guards. */
float *check_output(int64_t n);
void check_free_all(void);

/* The next random number of the case. */
uint64_t check_random(check *c, uint64_t bound);

/* got must have expected's bits, or lie within factor * 2^-24 * magnitude of it (magnitude NULL:
 * bits only). Guards of got are tested too. */
void check_compare(check *c, const char *what, const float *expected, const float *got,
                   const float *magnitude, double factor, int64_t n);
void check_same_bytes(check *c, const char *what, const void *expected, const void *got, size_t n);

/* bench_kernels.c: time every case of its list; returns the exit status. */
int bench_run(const kernels *k, uint32_t flags, const char *filter);

#endif
