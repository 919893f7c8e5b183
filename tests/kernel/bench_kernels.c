/* Times of every kernel at the shapes of the default model (512 wide, 1536 inside, 8192 words) and
 * of 2B-4T (2560, 6912), one thread, beside the limits of this machine measured in the same run:
 * reading memory, float32 FMA, and 8-bit multiply-add (kernel/peak.h). */
#include "check.h"

#include "base/os.h"
#include "kernel/peak.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Processor time of this thread: the kernels run on it alone, and other programs do not count. */
static uint64_t clock_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* What a kernel runs on: tokens and the two dimensions, and buffers that fit any of them. */
typedef struct setting {
    const kernels *k;
    int64_t tokens, rows, cols;
    ternary_matrix w;
    dense_matrix dense;
    float *x, *y, *z, *scale;
    int8_t *q;
    int32_t *sum, *first, *last;
} setting;

static void run_quantise(const setting *s) {
    for (int64_t t = 0; t < s->tokens; t++)
        s->k->quantise_row(s->x + t * s->cols, s->cols, s->q + t * s->cols, &s->scale[t],
                           &s->sum[t]);
}
static void run_ternary(const setting *s) {
    s->k->ternary_matmul(&s->w, 0, s->rows, s->q, s->scale, s->sum, s->tokens, s->y, s->rows);
}
static void run_ternary_f32(const setting *s) {
    s->k->ternary_matmul_f32(&s->w, 0, s->rows, s->x, s->cols, s->tokens, s->y, s->rows);
}
static void run_ternary_t(const setting *s) {
    s->k->ternary_matmul_t(&s->w, 0, s->cols, s->y, s->rows, s->tokens, s->x, s->cols, false);
}
static void run_ternary_t_i16(const setting *s) {
    s->k->ternary_matmul_t_i16(&s->w, 0, s->cols, (const int16_t *)s->q, s->scale, s->tokens, s->x,
                               s->cols, false);
}
static void run_gradient_row(const setting *s) {
    for (int64_t t = 0; t < s->tokens; t++)
        s->k->gradient_row(s->x + t * s->cols, s->cols, (int16_t *)s->q + t * s->cols,
                           &s->scale[t]);
}
static void run_unpack(const setting *s) {
    for (int64_t row = 0; row < s->rows; row += 16) /* into the cache, as the backend does it */
        s->k->ternary_unpack_rows(&s->w, row, row + 16, 0, s->cols, (uint8_t *)s->q);
}
static void run_dense(const setting *s) {
    s->k->dense_matmul(&s->dense, 0, s->rows, s->x, s->cols, s->tokens, s->y, s->rows);
}
static void run_dense_t(const setting *s) {
    s->k->dense_matmul_t(&s->dense, 0, s->tokens, s->y, s->rows, s->x, s->cols);
}
static void run_nt(const setting *s) {
    s->k->gemm_nt(s->tokens, s->rows, s->cols, 1, s->x, s->cols, s->z, s->cols, s->y, s->rows,
                  false);
}
static void run_nn(const setting *s) {
    s->k->gemm_nn(s->tokens, s->cols, s->rows, 1, s->y, s->rows, s->z, s->cols, s->x, s->cols,
                  true);
}
static void run_tn(const setting *s) {
    s->k->gemm_tn(s->rows, s->cols, s->tokens, 1, s->y, s->rows, s->x, s->cols, s->z, s->cols,
                  true);
}
static void run_rmsnorm(const setting *s) {
    for (int64_t t = 0; t < s->tokens; t++)
        s->k->rmsnorm_row(s->x + t * s->cols, s->z, s->cols, 1e-5f, s->y + t * s->cols);
}
static void run_rmsnorm_backward(const setting *s) {
    for (int64_t t = 0; t < s->tokens; t++)
        s->k->rmsnorm_backward_row(s->x + t * s->cols, s->z, s->x, s->cols, 1e-5f,
                                   s->y + t * s->cols, false);
}
static attention_shape shape_of(const setting *s) { /* rows: heads, cols: head size */
    return (attention_shape){s->rows,           s->rows / 2,           s->cols,  0.125f,
                             s->rows * s->cols, s->rows / 2 * s->cols, s->first, s->last};
}
static void run_rope(const setting *s) {
    for (int64_t t = 0; t < s->tokens; t++)
        s->k->rope_row(s->y + t * s->rows * s->cols, s->rows, s->cols, s->x, false, false);
}
static void run_attention(const setting *s) {
    attention_shape shape = shape_of(s);
    for (int64_t h = 0; h < s->rows; h++)
        s->k->attention(&shape, h, 0, s->tokens, s->x, s->x, s->x, s->y, s->z);
}
static void run_attention_backward(const setting *s) {
    attention_shape shape = shape_of(s);
    float *dk = s->y + s->tokens * shape.ldq, *dv = dk + s->tokens * shape.ldkv;
    for (int64_t h = 0; h < shape.kv_heads; h++)
        s->k->attention_backward(&shape, h, 0, s->tokens, s->x, s->x, s->x, s->x, s->y, dk, dv,
                                 s->z);
}
static void run_relu2(const setting *s) {
    s->k->glu(ACTIVATION_RELU2, s->x, s->x, s->tokens * s->cols, s->y);
}
static void run_silu(const setting *s) {
    s->k->glu(ACTIVATION_SILU, s->x, s->x, s->tokens * s->cols, s->y);
}
static void run_silu_backward(const setting *s) {
    s->k->glu_backward(ACTIVATION_SILU, s->x, s->x, s->x, s->tokens * s->cols, s->y, s->z);
}
static void run_loss(const setting *s) {
    for (int64_t t = 0; t < s->tokens; t++)
        s->k->softmax_loss_row(s->y + t * s->cols, s->cols, 3, 1.0f);
}
static void run_add(const setting *s) {
    s->k->add(s->x, s->x, s->tokens * s->cols, s->y);
}
static void run_sum_squares(const setting *s) {
    s->scale[0] = (float)s->k->sum_squares(s->x, s->tokens * s->cols);
}
static void run_adamw(const setting *s) {
    const adamw_settings a = {1e-3f, 0.9f, 0.999f, 1e-8f, 0.01f, 0.5f, 0.5f, 1.0f};
    s->k->adamw(&a, s->tokens * s->cols, s->y, s->x, s->z, s->z + s->tokens * s->cols);
}
static void run_dropout(const setting *s) {
    s->k->dropout(s->x, s->tokens * s->cols, 0.1f, 1, 0, s->y, false);
}

typedef enum limit { LIMIT_READ, LIMIT_FMA, LIMIT_MADDUBS, LIMIT_INT16 } limit;

/* Work a call: ops = 2 * tokens * rows * cols * op_factor; bytes = weight bits and floats a token.
 */
static const struct bench_case {
    const char *name;
    void (*run)(const setting *s);
    limit limit;
    int64_t tokens, rows, cols;
    double ops, bytes;
    dense_type type; /* of the dense matrix, where there is one */
} cases[] = {
#define PRODUCT(name, run, limit, t, n, k, bits)                                                   \
    { name, run, limit, t, n, k, 2.0 * (t) * (n) * (k), (bits) / 8.0 * (n) * (k), DENSE_F16 }
#define DENSE(name, run, limit, t, type, bits)                                                     \
    { name, run, limit, t, 8192, 512, 2.0 * (t)*8192 * 512, (bits) / 8.0 * 8192 * 512, type }
#define ELEMENTS(name, run, t, n, floats)                                                          \
    { name, run, LIMIT_READ, t, 1, n, 1.0 * (t) * (n), 4.0 * (floats) * (t) * (n), DENSE_F16 }
    PRODUCT("ternary_matmul", run_ternary, LIMIT_READ, 1, 512, 512, 2),
    PRODUCT("ternary_matmul", run_ternary, LIMIT_READ, 1, 6912, 2560, 2),
    PRODUCT("ternary_matmul", run_ternary, LIMIT_READ, 1, 2560, 6912, 2),
    PRODUCT("ternary_matmul", run_ternary, LIMIT_MADDUBS, 8, 6912, 2560, 2),
    PRODUCT("ternary_matmul", run_ternary, LIMIT_MADDUBS, 128, 512, 512, 2),
    PRODUCT("ternary_matmul", run_ternary, LIMIT_MADDUBS, 128, 256, 512, 2),
    PRODUCT("ternary_matmul", run_ternary, LIMIT_MADDUBS, 128, 1536, 512, 2),
    PRODUCT("ternary_matmul", run_ternary, LIMIT_MADDUBS, 128, 512, 1536, 2),
    PRODUCT("ternary_matmul", run_ternary, LIMIT_MADDUBS, 1024, 1536, 512, 2),
    PRODUCT("ternary_matmul", run_ternary, LIMIT_MADDUBS, 128, 6912, 2560, 2),
    PRODUCT("ternary_matmul", run_ternary, LIMIT_MADDUBS, 512, 2560, 6912, 2),
    PRODUCT("ternary_matmul_f32", run_ternary_f32, LIMIT_FMA, 1, 1536, 512, 2),
    PRODUCT("ternary_matmul_f32", run_ternary_f32, LIMIT_FMA, 128, 1536, 512, 2),
    PRODUCT("ternary_matmul_f32", run_ternary_f32, LIMIT_FMA, 128, 2560, 6912, 2),
    PRODUCT("ternary_matmul_t", run_ternary_t, LIMIT_FMA, 128, 256, 512, 2),
    PRODUCT("ternary_matmul_t", run_ternary_t, LIMIT_FMA, 128, 1536, 512, 2),
    PRODUCT("ternary_matmul_t", run_ternary_t, LIMIT_FMA, 128, 512, 1536, 2),
    PRODUCT("ternary_matmul_t", run_ternary_t, LIMIT_FMA, 1024, 1536, 512, 2),
    PRODUCT("ternary_matmul_t", run_ternary_t, LIMIT_FMA, 128, 6912, 2560, 2),
    PRODUCT("ternary_matmul_t", run_ternary_t, LIMIT_FMA, 512, 2560, 6912, 2),
    PRODUCT("ternary_unpack_rows", run_unpack, LIMIT_READ, 1, 512, 512, 1.625),
    PRODUCT("ternary_unpack_rows", run_unpack, LIMIT_READ, 1, 6912, 2560, 1.625),
    PRODUCT("ternary_matmul_t_i16", run_ternary_t_i16, LIMIT_INT16, 128, 1536, 512, 2),
    PRODUCT("ternary_matmul_t_i16", run_ternary_t_i16, LIMIT_INT16, 128, 512, 1536, 2),
    PRODUCT("ternary_matmul_t_i16", run_ternary_t_i16, LIMIT_INT16, 512, 6912, 2560, 2),
    PRODUCT("ternary_matmul_t_i16", run_ternary_t_i16, LIMIT_INT16, 512, 2560, 6912, 2),
    DENSE("dense_matmul f32", run_dense, LIMIT_READ, 1, DENSE_F32, 32),
    DENSE("dense_matmul f16", run_dense, LIMIT_READ, 1, DENSE_F16, 16),
    DENSE("dense_matmul bf16", run_dense, LIMIT_READ, 1, DENSE_BF16, 16),
    DENSE("dense_matmul q8_0", run_dense, LIMIT_READ, 1, DENSE_Q8_0, 8.5),
    DENSE("dense_matmul q6_k", run_dense, LIMIT_READ, 1, DENSE_Q6_K, 6.5625),
    DENSE("dense_matmul f32", run_dense, LIMIT_FMA, 64, DENSE_F32, 32),
    DENSE("dense_matmul f16", run_dense, LIMIT_FMA, 64, DENSE_F16, 16),
    DENSE("dense_matmul bf16", run_dense, LIMIT_FMA, 64, DENSE_BF16, 16),
    DENSE("dense_matmul q8_0", run_dense, LIMIT_FMA, 64, DENSE_Q8_0, 8.5),
    DENSE("dense_matmul q6_k", run_dense, LIMIT_FMA, 64, DENSE_Q6_K, 6.5625),
    DENSE("dense_matmul_t f32", run_dense_t, LIMIT_FMA, 64, DENSE_F32, 32),
    DENSE("dense_matmul_t f16", run_dense_t, LIMIT_FMA, 64, DENSE_F16, 16),
    DENSE("dense_matmul_t bf16", run_dense_t, LIMIT_FMA, 64, DENSE_BF16, 16),
    DENSE("dense_matmul_t q8_0", run_dense_t, LIMIT_FMA, 64, DENSE_Q8_0, 8.5),
    DENSE("dense_matmul_t q6_k", run_dense_t, LIMIT_FMA, 64, DENSE_Q6_K, 6.5625),
    PRODUCT("gemm_nt x A^T", run_nt, LIMIT_FMA, 128, 16, 512, 32),
    PRODUCT("gemm_nt h B^T", run_nt, LIMIT_FMA, 128, 1536, 16, 32),
    PRODUCT("gemm_nt x A^T", run_nt, LIMIT_READ, 1, 16, 2560, 32),
    PRODUCT("gemm_nt h B^T", run_nt, LIMIT_READ, 1, 2560, 16, 32),
    PRODUCT("gemm_nn dy B", run_nn, LIMIT_FMA, 128, 1536, 16, 32),
    PRODUCT("gemm_nn g A", run_nn, LIMIT_FMA, 128, 16, 512, 32),
    PRODUCT("gemm_tn dy^T h", run_tn, LIMIT_FMA, 128, 1536, 16, 32),
    PRODUCT("gemm_tn g^T x", run_tn, LIMIT_FMA, 128, 16, 512, 32),
    /* rows are heads, cols the head size: half the keys on average */
    {"attention", run_attention, LIMIT_FMA, 256, 8, 64, 2.0 * 256 * 256 * 8 * 64, 0, DENSE_F16},
    {"attention", run_attention, LIMIT_FMA, 1024, 8, 64, 2.0 * 1024 * 1024 * 8 * 64, 0, DENSE_F16},
    {"attention_backward", run_attention_backward, LIMIT_FMA, 256, 8, 64, 5.0 * 256 * 256 * 8 * 64,
     0, DENSE_F16},
    {"attention_backward", run_attention_backward, LIMIT_FMA, 1024, 8, 64,
     5.0 * 1024 * 1024 * 8 * 64, 0, DENSE_F16},
    {"rope_row", run_rope, LIMIT_READ, 128, 8, 64, 6.0 * 128 * 8 * 32, 8.0 * 128 * 8 * 64,
     DENSE_F16},
    ELEMENTS("quantise_row", run_quantise, 128, 512, 2.25),
    ELEMENTS("gradient_row", run_gradient_row, 128, 512, 2.5),
    ELEMENTS("rmsnorm_row", run_rmsnorm, 128, 512, 3),
    ELEMENTS("rmsnorm_backward", run_rmsnorm_backward, 128, 512, 5),
    ELEMENTS("glu relu2", run_relu2, 128, 1536, 3),
    ELEMENTS("glu silu", run_silu, 128, 1536, 3),
    ELEMENTS("glu_backward silu", run_silu_backward, 128, 1536, 5),
    ELEMENTS("softmax_loss_row", run_loss, 16, 8192, 4),
    ELEMENTS("add", run_add, 128, 512, 3),
    ELEMENTS("sum_squares", run_sum_squares, 128, 1536, 1),
    ELEMENTS("adamw", run_adamw, 128, 1536, 7),
    ELEMENTS("dropout", run_dropout, 128, 512, 2),
};

enum { FLOATS = 1024 * 6912 * 2 };

static bool setting_make(setting *s) {
    size_t code_bytes = 6912 * 2560 / 4 * 2;
    uint8_t *codes = os_alloc(code_bytes), *dense = os_alloc((size_t)8192 * 512 * 4);
    float **floats[] = {&s->x, &s->y, &s->z};
    for (int i = 0; i < 3; i++)
        if (!(*floats[i] = os_alloc((size_t)FLOATS * sizeof(float)))) return false;
    s->q = os_alloc(FLOATS);
    s->scale = os_alloc(1024 * sizeof(float));
    s->sum = os_alloc(1024 * sizeof(int32_t));
    s->first = os_alloc(1024 * sizeof(int32_t));
    s->last = os_alloc(1024 * sizeof(int32_t));
    if (!codes || !dense || !s->q || !s->scale || !s->sum || !s->first || !s->last) return false;
    memset(codes, TERNARY_ZERO_BYTE ^ 0x11, code_bytes);
    memset(dense, 0x11, (size_t)8192 * 512 * 4); /* pages of its own, not one of zeros */
    for (int i = 0; i < 1024; i++) s->scale[i] = 1, s->last[i] = i;
    for (int i = 0; i < FLOATS; i++) s->x[i] = s->y[i] = s->z[i] = (float)(i % 17 - 8) / 64;
    s->w.codes = codes;
    s->w.scale = 1e-3f;
    s->dense.data = dense;
    return true;
}

/* The best of several calls, in seconds. */
static double time_case(const struct bench_case *one, setting *s) {
    s->tokens = one->tokens;
    s->rows = s->w.rows = s->dense.rows = one->rows;
    s->cols = s->w.cols = s->dense.cols = one->cols;
    s->dense.type = one->type;
    s->dense.row_bytes = (size_t)(one->bytes / (double)one->rows);
    uint64_t best = UINT64_MAX, begin = clock_ns();
    for (int i = 0; i < 3 || clock_ns() - begin < 100 * 1000 * 1000; i++) {
        uint64_t start = clock_ns();
        one->run(s);
        uint64_t ns = clock_ns() - start;
        if (ns && ns < best) best = ns; /* 0: the clock did not move */
    }
    return (double)best * 1e-9;
}

int bench_run(const kernels *k, uint32_t flags, const char *filter) {
    setting s = {.k = k};
    if (!setting_make(&s)) {
        fprintf(stderr, "check_kernels: out of memory\n");
        return 1;
    }
    peak_loops loops;
    pool *alone;
    weft_error err;
    if (pool_create(1, &alone, &err)) {
        fprintf(stderr, "check_kernels: %s\n", err.message);
        return 1;
    }
    peak_find(&loops, flags);
    const peak_loop *fma = &loops.of[PEAK_F32], *int8 = &loops.of[PEAK_INT8];
    const peak_loop *int16 = &loops.of[PEAK_INT16];
    double limits[] = {peak_measure_read(alone), peak_measure(fma, alone),
                       peak_measure(int8, alone), peak_measure(int16, alone)};
    const char *const names[] = {"reading", fma->name, int8->name, int16->name};
    pool_free(&alone);
    printf("%s; reading %.1f GB/s", k->name, limits[0] / 1e9);
    for (int i = 1; i < 4; i++) printf(", %s %.1f Gop/s", names[i], limits[i] / 1e9);
    printf("\n");
    printf("%-20s %5s %5s %5s %10s %8s %8s  share of limit\n", "kernel", "T", "N", "K", "us",
           "GB/s", "Gop/s");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct bench_case *one = &cases[i];
        if (!strstr(one->name, filter)) continue;
        double seconds = time_case(one, &s);
        double rate = (one->limit == LIMIT_READ ? one->bytes : one->ops) / seconds;
        printf("%-20s %5d %5d %5d %10.1f %8.2f %8.1f", one->name, (int)one->tokens, (int)one->rows,
               (int)one->cols, seconds * 1e6, one->bytes / seconds / 1e9, one->ops / seconds / 1e9);
        if (limits[one->limit] > 0)
            printf("  %3.0f%% of %s", 100 * rate / limits[one->limit], names[one->limit]);
        printf("\n");
    }
    return 0;
}
