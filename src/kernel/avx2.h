/* What the AVX2 files share: vector helpers and the two float products that everything else is cut
 * into. Only files compiled with -mavx2 -mfma -mf16c include it. */
#ifndef WEFT_KERNEL_AVX2_H
#define WEFT_KERNEL_AVX2_H

#include "kernel/kernel.h"

#include <immintrin.h>

#define ALWAYS_INLINE static inline __attribute__((always_inline))

enum {
    STRIP = 16, /* columns of the outer product's tile: two vectors */
    DOT_COLUMNS =
        512 /* columns of one call of the inner product, so that its operands stay in L1 */
};

static inline int64_t min_i64(int64_t a, int64_t b) {
    return a < b ? a : b;
}
static inline int64_t max_i64(int64_t a, int64_t b) {
    return a > b ? a : b;
}

/* The first `count` lanes (all from 8 on, none up to 0), for maskload and maskstore. */
static inline __m256i lane_mask(int64_t count) {
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)max_i64(min_i64(count, 8), 0)), lanes);
}

/* The eight floats from p, or the first `count` of them and zeros. */
ALWAYS_INLINE __m256 load_lanes(const float *p, int64_t count) {
    return count >= 8 ? _mm256_loadu_ps(p) : _mm256_maskload_ps(p, lane_mask(count));
}

ALWAYS_INLINE void store_lanes(float *p, int64_t count, __m256 value) {
    if (count >= 8)
        _mm256_storeu_ps(p, value);
    else
        _mm256_maskstore_ps(p, lane_mask(count), value);
}

/* Sums of the lanes of four vectors, each ((0+1)+(2+3)) + ((4+5)+(6+7)). */
static inline __m128 sum_lanes4(__m256 a, __m256 b, __m256 c, __m256 d) {
    __m256 s = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
    return _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
}

static inline float sum_lanes(__m256 a) {
    return _mm_cvtss_f32(sum_lanes4(a, a, a, a));
}

static inline double sum_lanes_pd(__m256d a) {
    __m128d s = _mm_add_pd(_mm256_castpd256_pd128(a), _mm256_extractf128_pd(a, 1));
    return _mm_cvtsd_f64(_mm_add_sd(s, _mm_unpackhi_pd(s, s)));
}

static inline float max_lanes(__m256 a) {
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

static inline float row_max(const float *row, int64_t n) {
    __m256 highest = _mm256_set1_ps(row[0]);
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) highest = _mm256_max_ps(highest, _mm256_loadu_ps(row + i));
    for (; i < n; i++) highest = _mm256_max_ps(highest, _mm256_set1_ps(row[i]));
    return max_lanes(highest);
}

/* exp(x) within 2e-7 relative; 0 where the result would be subnormal, at most exp(88); NaN stays
 * NaN (min and max return their second operand then). With x = n ln2 + r, |r| <= ln2 / 2: the
 * Taylor polynomial of degree 7 is off by less than 6e-9. */
static inline __m256 exp_ps(__m256 x) {
    const __m256 ln2_high = _mm256_set1_ps(0x1.62e4p-1f); /* few bits: n * ln2_high is exact */
    const __m256 ln2_low = _mm256_set1_ps(0x1.7f7d1cp-20f);
    static const float inverse_factorials[] = {1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6,
                                               0.5f,       1.0f,       1.0f};
    __m256 zero = _mm256_cmp_ps(x, _mm256_set1_ps(-87.3f), _CMP_LT_OQ);
    x = _mm256_min_ps(_mm256_set1_ps(88.0f), _mm256_max_ps(_mm256_set1_ps(-87.3f), x));
    __m256 n = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(0x1.715476p+0f)),
                               _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256 r = _mm256_fnmadd_ps(n, ln2_low, _mm256_fnmadd_ps(n, ln2_high, x));
    __m256 p = _mm256_set1_ps(1.0f / 5040);
    for (int i = 0; i < 7; i++) p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(inverse_factorials[i]));
    __m256i exponent = _mm256_slli_epi32(_mm256_cvtps_epi32(n), 23);
    __m256 result = _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), exponent));
    return _mm256_andnot_ps(zero, result);
}

/* Outer product: C (rows, width <= STRIP) = alpha * A B + (C if keep), where A's element (i, j) is
 * a[i * a_row + j * a_step] and B (depth, width) has rows ldb apart. Each element is one chain of
 * FMAs over j, so it does not depend on the tile that it fell in, and a zero in A changes nothing.
 */
typedef struct strip_product {
    const float *a;
    int64_t a_row, a_step;
    int64_t rows, depth;
    const float *b;
    int64_t ldb, width;
    float alpha;
    float *c;
    int64_t ldc;
    bool keep;
} strip_product;
void avx2_strip_product(const strip_product *args);

/* The same over the columns of a panel: C (rows, width) = alpha * A B + (C if keep), A (rows,
 * depth), depth at most PANEL_DEPTH; column col of B is in the strip at panel + col / STRIP *
 * strip_step. */
enum { PANEL_DEPTH = 64 };
typedef struct panel_product {
    const float *a;
    int64_t lda, rows, depth;
    const float *panel;
    int64_t strip_step, width;
    float alpha;
    float *c;
    int64_t ldc;
    bool keep;
} panel_product;
void avx2_panel_product(const panel_product *args);

/* Inner product: y (tokens, rows) = alpha * x w^T + (y if keep), x (tokens, k), w (rows, k). */
typedef struct dot_product {
    const float *x;
    int64_t ldx, tokens;
    const float *w;
    int64_t ldw, rows;
    int64_t k;
    float alpha;
    float *y;
    int64_t ldy;
    bool keep;
} dot_product;
void avx2_dot_product(const dot_product *args);

void avx2_quantise_row(const float *x, int64_t n, int8_t *q, float *scale, int32_t *sum);
void avx2_ternary_matmul(const ternary_matrix *w, int64_t row_begin, int64_t row_end,
                         const int8_t *q, const float *scale, const int32_t *sum, int64_t tokens,
                         float *y, int64_t ldy);
void avx2_ternary_matmul_f32(const ternary_matrix *w, int64_t row_begin, int64_t row_end,
                             const float *x, int64_t ldx, int64_t tokens, float *y, int64_t ldy);
void avx2_ternary_matmul_t(const ternary_matrix *w, int64_t col_begin, int64_t col_end,
                           const float *dy, int64_t lddy, int64_t tokens, float *dx, int64_t lddx,
                           bool add);

void avx2_ternary_unpack_rows(const ternary_matrix *w, int64_t row_begin, int64_t row_end,
                              int64_t col_begin, int64_t col_end, uint8_t *out);

void avx2_gradient_row(const float *x, int64_t n, int16_t *q, float *scale);
void avx2_ternary_matmul_t_i16(const ternary_matrix *w, int64_t col_begin, int64_t col_end,
                               const int16_t *q, const float *scale, int64_t tokens, float *dx,
                               int64_t lddx, bool add);

void avx2_dense_row(const dense_matrix *w, int64_t row, float *out);
void avx2_dense_matmul(const dense_matrix *w, int64_t row_begin, int64_t row_end, const float *x,
                       int64_t ldx, int64_t tokens, float *y, int64_t ldy);
void avx2_dense_matmul_t(const dense_matrix *w, int64_t token_begin, int64_t token_end,
                         const float *dy, int64_t lddy, float *dx, int64_t lddx);
void avx2_gemm_nt(int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
                  const float *b, int64_t ldb, float *c, int64_t ldc, bool add);
void avx2_gemm_nn(int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
                  const float *b, int64_t ldb, float *c, int64_t ldc, bool add);
void avx2_gemm_tn(int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
                  const float *b, int64_t ldb, float *c, int64_t ldc, bool add);

void avx2_attention(const attention_shape *shape, int64_t head, int64_t token_begin,
                    int64_t token_end, const float *q, const float *k, const float *v, float *out,
                    float *scratch);
void avx2_attention_backward(const attention_shape *shape, int64_t kv_head, int64_t token_begin,
                             int64_t token_end, const float *q, const float *k, const float *v,
                             const float *dout, float *dq, float *dk, float *dv, float *scratch);

#endif
