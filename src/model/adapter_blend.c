/* Several adapters as one. The sum of w_j s_j B_j A_j is B A, with the B_j, scaled, side by side
 * and the A_j below each other: no multiplication, no loss, a rank that is the sum of theirs. To
 * reduce it B = Qb Rb and A^T = Qa Ra are factored (modified Gram-Schmidt, twice), the small matrix
 * Rb Ra^T = U S V^T is decomposed (one-sided Jacobi), and its largest singular values are kept: by
 * Eckart and Young nothing of that rank is nearer to the sum, and the full matrices never exist. */
#include "model/adapter_parts.h"

#include "base/os.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SWEEPS_MAX 60    /* of Jacobi; it converges in about ten */
#define ZERO       1e-13 /* what is left of a column that depends on those before it */
#define ORTHOGONAL 1e-14 /* cosine of two columns */

/* The factors of one projection, columns contiguous: b (r, rows), a (r, cols). */
typedef struct factors {
    int64_t rows, cols;
    int32_t rank;
    double *block; /* the memory of all of them */
    double *b, *a; /* in: factors; after factoring: orthonormal columns, or zero ones */
    double *rb, *ra, *core, *v; /* (r, r) */
    double *singular;           /* (r) falling */
    int32_t *order;             /* (r) column of core and v of each */
} factors;

static double dot(const double *x, const double *y, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += x[i] * y[i];
    return sum;
}

static void add_scaled(double *x, double scale, const double *y, int64_t n) {
    for (int64_t i = 0; i < n; i++) x[i] += scale * y[i];
}

/* ---- the parts of the decomposition ---- */

/* q (r columns of n) becomes orthonormal columns, or zero ones where a column depended on those
 * before it; upper[j * r + k] says how much of column k is in the old column j. */
static void factor_columns(double *q, int64_t n, int32_t r, double *upper) {
    for (int32_t j = 0; j < r; j++) {
        double *column = q + j * n, before = sqrt(dot(column, column, n));
        for (int pass = 0; pass < 2; pass++)
            for (int32_t k = 0; k < j; k++) {
                double share = dot(q + k * n, column, n);
                upper[(int64_t)j * r + k] += share;
                add_scaled(column, -share, q + k * n, n);
            }
        double length = sqrt(dot(column, column, n));
        bool independent = length > ZERO * before && length > 0;
        upper[(int64_t)j * r + j] = independent ? length : 0;
        for (int64_t i = 0; i < n; i++) column[i] = independent ? column[i] / length : 0;
    }
}

/* core = Rb Ra^T, column by column: column m is the sum over j of ra[j][m] times column j of Rb. */
static void multiply_small(factors *f) {
    int64_t r = f->rank;
    for (int64_t m = 0; m < r; m++)
        for (int64_t j = m; j < r; j++)
            add_scaled(f->core + m * r, f->ra[j * r + m], f->rb + j * r, r);
}

/* Rotate columns p and q of core, and of v alike, until they are orthogonal; false if they were. */
static bool rotate(factors *f, int64_t p, int64_t q) {
    int64_t r = f->rank;
    double *x = f->core + p * r, *y = f->core + q * r;
    double xx = dot(x, x, r), yy = dot(y, y, r), xy = dot(x, y, r);
    if (fabs(xy) <= ORTHOGONAL * sqrt(xx * yy) || xy * xy == 0) return false;
    double zeta = (yy - xx) / (2 * xy);
    double t = copysign(1 / (fabs(zeta) + hypot(1, zeta)), zeta);
    double c = 1 / hypot(1, t), s = c * t;
    double *pairs[2][2] = {{x, y}, {f->v + p * r, f->v + q * r}};
    for (int k = 0; k < 2; k++)
        for (int64_t i = 0; i < r; i++) {
            double a = pairs[k][0][i], b = pairs[k][1][i];
            pairs[k][0][i] = c * a - s * b;
            pairs[k][1][i] = s * a + c * b;
        }
    return true;
}

/* core becomes U S, v becomes V; order lists the columns by falling singular value. */
static void decompose(factors *f) {
    int64_t r = f->rank;
    for (int64_t i = 0; i < r; i++) f->v[i * r + i] = 1;
    for (int sweep = 0, changed = 1; changed && sweep < SWEEPS_MAX; sweep++) {
        changed = 0;
        for (int64_t p = 0; p + 1 < r; p++)
            for (int64_t q = p + 1; q < r; q++) changed |= rotate(f, p, q);
    }
    for (int32_t j = 0; j < f->rank; j++) {
        double value = sqrt(dot(f->core + j * r, f->core + j * r, r));
        int32_t at = j;
        for (; at > 0 && f->singular[at - 1] < value; at--) {
            f->singular[at] = f->singular[at - 1];
            f->order[at] = f->order[at - 1];
        }
        f->singular[at] = value;
        f->order[at] = j;
    }
}

/* ---- one projection ---- */

static int factors_create(int64_t rows, int64_t cols, int32_t rank, factors *f, weft_error *err) {
    size_t r = (size_t)rank, tall = (size_t)(rows + cols) * r;
    *f = (factors){.rows = rows, .cols = cols, .rank = rank};
    f->block = os_alloc((tall + 4 * r * r + r) * sizeof *f->block);
    f->order = calloc(r, sizeof *f->order);
    if (!f->block || !f->order)
        return err_set(err, WEFT_ERR_MEMORY, "no memory to blend adapters of rank %d", rank);
    f->b = f->block;
    f->a = f->b + (size_t)rows * r;
    f->rb = f->block + tall;
    f->ra = f->rb + r * r;
    f->core = f->ra + r * r;
    f->v = f->core + r * r;
    f->singular = f->v + r * r;
    return WEFT_OK;
}

static void factors_destroy(factors *f) {
    os_free(f->block);
    free(f->order);
}

/* Put one adapter's pair, B times scale, at column `at`. */
static void put_pair(factors *f, int32_t at, const lora_pair *pair, double scale,
                     const float *params) {
    const float *a = params + pair->a_offset, *b = params + pair->b_offset;
    for (int32_t k = 0; k < pair->rank; k++) {
        for (int64_t i = 0; i < f->cols; i++) f->a[(at + k) * f->cols + i] = a[k * f->cols + i];
        for (int64_t i = 0; i < f->rows; i++)
            f->b[(at + k) * f->rows + i] = scale * b[i * pair->rank + k];
    }
}

/* The columns as they are; a square root of the scale on either side would change nothing. */
static void write_all(const factors *f, const lora_pair *pair, float *params) {
    float *a = params + pair->a_offset, *b = params + pair->b_offset;
    for (int32_t k = 0; k < pair->rank; k++) {
        for (int64_t i = 0; i < f->cols; i++) a[k * f->cols + i] = (float)f->a[k * f->cols + i];
        for (int64_t i = 0; i < f->rows; i++) b[i * pair->rank + k] = (float)f->b[k * f->rows + i];
    }
}

/* B = Qb U sqrt(S), A = sqrt(S) V^T Qa^T of the largest singular values. */
static void write_largest(const factors *f, const lora_pair *pair, double *column, float *params) {
    int64_t r = f->rank;
    float *a = params + pair->a_offset, *b = params + pair->b_offset;
    for (int32_t k = 0; k < pair->rank; k++) {
        const double *u = f->core + f->order[k] * r, *v = f->v + f->order[k] * r;
        double value = f->singular[k], root = sqrt(value);
        memset(column, 0, (size_t)f->rows * sizeof *column);
        for (int64_t j = 0; value > 0 && j < r; j++)
            add_scaled(column, u[j] / root, f->b + j * f->rows, f->rows);
        for (int64_t i = 0; i < f->rows; i++) b[i * pair->rank + k] = (float)column[i];
        memset(column, 0, (size_t)f->cols * sizeof *column);
        for (int64_t j = 0; value > 0 && j < r; j++)
            add_scaled(column, v[j] * root, f->a + j * f->cols, f->cols);
        for (int64_t i = 0; i < f->cols; i++) a[k * f->cols + i] = (float)column[i];
    }
}

/* ---- all of them ---- */

typedef struct blend {
    const config *c;
    const adapter *const *adapters;
    const float *weights;
    size_t count;
    float *in[ADAPTER_BLEND_MAX]; /* parameters of the adapters */
    float *params;                /* of the result */
    double kept, lost;            /* squares of singular values */
} blend;

static int32_t rank_sum(const blend *m, size_t pair) {
    int32_t sum = 0;
    for (size_t j = 0; j < m->count; j++) sum += m->adapters[j]->pairs[pair].rank;
    return sum;
}

static int blend_pair(blend *m, size_t index, const lora_pair *pair, bool reduce, weft_error *err) {
    int64_t rows, cols;
    factors f;
    config_target_shape(m->c, (target)(index % TARGET_COUNT), &rows, &cols);
    int rc = factors_create(rows, cols, rank_sum(m, index), &f, err);
    double *column = malloc((size_t)(rows > cols ? rows : cols) * sizeof *column);
    if (!rc && !column) rc = err_set(err, WEFT_ERR_MEMORY, "no memory to blend adapters");
    if (!rc) {
        int32_t at = 0;
        for (size_t j = 0; j < m->count; j++) {
            const lora_pair *from = &m->adapters[j]->pairs[index];
            put_pair(&f, at, from, (double)m->weights[j] * (double)from->scale, m->in[j]);
            at += from->rank;
        }
        if (!reduce) write_all(&f, pair, m->params);
    }
    if (!rc && reduce) {
        factor_columns(f.b, rows, f.rank, f.rb);
        factor_columns(f.a, cols, f.rank, f.ra);
        multiply_small(&f);
        decompose(&f);
        write_largest(&f, pair, column, m->params);
        for (int32_t k = 0; k < f.rank; k++)
            *(k < pair->rank ? &m->kept : &m->lost) += f.singular[k] * f.singular[k];
    }
    free(column);
    factors_destroy(&f);
    return rc;
}

/* The ranks of the result, from those of its parts. */
static int choose_ranks(const blend *m, int32_t rank, adapter *a, weft_error *err) {
    for (size_t i = 0; i < (size_t)a->layer_count * TARGET_COUNT; i++) {
        int32_t sum = rank_sum(m, i);
        if (rank && sum > rank) sum = rank;
        if (sum > ADAPTER_RANK_MAX)
            return err_set(err, WEFT_ERR_RANGE,
                           "together the adapters have the rank %d, and weft's limit is %d: give a "
                           "rank to reduce them to",
                           sum, ADAPTER_RANK_MAX);
        a->pairs[i].rank = sum;
        a->pairs[i].scale = 1;
        if (a->rank < sum) a->rank = sum;
    }
    a->alpha = (float)a->rank;
    adapter_place_pairs(a, m->c);
    return WEFT_OK;
}

static int read_params(blend *m, weft_error *err) {
    for (size_t j = 0; j < m->count; j++) {
        size_t size = m->adapters[j]->param_count;
        m->in[j] = os_alloc(size * sizeof(float));
        if (!m->in[j])
            return err_set(err, WEFT_ERR_MEMORY, "no memory for %zu adapter parameters", size);
        TRY(adapter_get_params(m->adapters[j], m->in[j], err));
    }
    return WEFT_OK;
}

static int blend_all(blend *m, int32_t rank, adapter *a, weft_error *err) {
    TRY(choose_ranks(m, rank, a, err));
    TRY(read_params(m, err));
    m->params = os_alloc(a->param_count * sizeof(float));
    if (!m->params)
        return err_set(err, WEFT_ERR_MEMORY, "no memory for %zu adapter parameters",
                       a->param_count);
    /* Where a rank is given every pair is decomposed, so that the loss is one of the whole. */
    for (size_t i = 0; i < (size_t)a->layer_count * TARGET_COUNT; i++)
        if (a->pairs[i].rank) TRY(blend_pair(m, i, &a->pairs[i], rank > 0, err));
    return adapter_finish(a, m->params, err);
}

static int check(const config *c, const adapter *const *adapters, const float *weights,
                 size_t count, int32_t rank, weft_error *err) {
    if (count < 1 || count > ADAPTER_BLEND_MAX)
        return err_set(err, WEFT_ERR_ARGUMENT, "%zu adapters to blend; 1 to %d can be", count,
                       ADAPTER_BLEND_MAX);
    if (rank < 0 || rank > ADAPTER_RANK_MAX)
        return err_set(err, WEFT_ERR_ARGUMENT, "the rank %d is out of range: 1 .. %d", rank,
                       ADAPTER_RANK_MAX);
    for (size_t j = 0; j < count; j++) {
        if (!isfinite(weights[j]))
            return err_set(err, WEFT_ERR_ARGUMENT, "the weight of adapter %zu is %g", j + 1,
                           (double)weights[j]);
        if (adapters[j]->layer_count != c->layer_count || adapters[j]->be != adapters[0]->be)
            return err_set(err, WEFT_ERR_ARGUMENT, "adapter %zu is loaded for another model",
                           j + 1);
    }
    return WEFT_OK;
}

int adapter_blend(const config *c, const adapter *const *adapters, const float *weights,
                  size_t count, int32_t rank, adapter **out, double *error, weft_error *err) {
    *out = NULL;
    TRY(check(c, adapters, weights, count, rank, err));
    blend m = {.c = c, .adapters = adapters, .weights = weights, .count = count};
    adapter *a;
    TRY(adapter_begin(c, adapters[0]->be, &a, err));
    int rc = blend_all(&m, rank, a, err);
    for (size_t j = 0; j < count; j++) os_free(m.in[j]);
    os_free(m.params);
    if (rc) {
        adapter_free(&a);
        return rc;
    }
    *error = m.kept + m.lost > 0 ? sqrt(m.lost / (m.kept + m.lost)) : 0;
    *out = a;
    return WEFT_OK;
}
