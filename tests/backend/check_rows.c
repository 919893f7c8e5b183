/* check_backends: operations on rows and values, bit for bit where kernel.h says exact, else within
 * a few roundings. */
#include "backend/check_pair.h"

#ifdef WEFT_VULKAN
#include "backend/vk.h"
#endif

/* Sizes come in lists. The last of each is larger than 1 MiB; with such bindings, it is all that is
 * run. */
#define EACH(s, list)                                                                              \
    for (size_t s = p->windowed ? sizeof(list) / sizeof *(list)-1 : 0;                             \
         s < sizeof(list) / sizeof *(list); s++)

static const struct {
    int64_t tokens, n;
} shapes[] = {{1, 1},   {3, 2},    {2, 3},    {5, 4},    {300, 7},  {7, 64},   {1, 100},
              {3, 127}, {40, 128}, {2, 1000}, {1, 2560}, {5, 4099}, {9, 32768}};

/* ---- norms ---- */

static void rmsnorm_case(pair *p) {
    EACH(s, shapes) {
        int64_t tokens = shapes[s].tokens, n = shapes[s].n;
        operand x = pair_random(p, tokens * n, 3), gamma = pair_random(p, n, 2);
        operand y = pair_words(p, NULL, tokens * n);
        PAIR_RUN(p, op_rmsnorm(be, x.at[i], gamma.at[i], tokens, n, 1e-5f, y.at[i]));
        pair_close(p, "rmsnorm", &y, 1, 16);
        PAIR_RUN(p, op_rmsnorm(be, x.at[i], gamma.at[i], tokens, n, 1e-5f, x.at[i]));
        pair_close(p, "rmsnorm in place", &x, 1, 16);
        pair_clear(p);
    }
}

static void rmsnorm_backward_case(pair *p) {
    EACH(s, shapes) {
        int64_t tokens = shapes[s].tokens, n = shapes[s].n;
        operand x = pair_random(p, tokens * n, 3), gamma = pair_random(p, n, 2);
        operand dy = pair_random(p, tokens * n, 1), dx = pair_random(p, tokens * n, 1);
        PAIR_RUN(p, op_rmsnorm_backward(be, x.at[i], gamma.at[i], dy.at[i], tokens, n, 1e-5f,
                                        dx.at[i], true));
        pair_close(p, "rmsnorm_backward, added", &dx, n, n == 1 ? 4096 : 64);
        PAIR_RUN(p, op_rmsnorm_backward(be, x.at[i], gamma.at[i], dy.at[i], tokens, n, 1e-1f,
                                        dy.at[i], false));
        pair_close(p, "rmsnorm_backward in place", &dy, n, n == 1 ? 4096 : 64);
        pair_clear(p);
    }
}

static void not_finite_case(pair *p) {
    enum { N = 300, ROWS = 4 };
    float values[ROWS * N];
    for (int i = 0; i < ROWS * N; i++) values[i] = (float)(i % 7) - 3;
    values[N + 5] = NAN;
    values[2 * N + 299] = -INFINITY;
    values[3 * N] = INFINITY;
    operand x = pair_words(p, values, ROWS * N), gamma = pair_random(p, N, 1);
    operand y = pair_words(p, NULL, ROWS * N), dx = pair_words(p, NULL, ROWS * N);
    PAIR_RUN(p, (op_rmsnorm(be, x.at[i], gamma.at[i], ROWS, N, 1e-5f, y.at[i]),
                 op_rmsnorm_backward(be, x.at[i], gamma.at[i], x.at[i], ROWS, N, 1e-5f, dx.at[i],
                                     false)));
    pair_close(p, "rmsnorm", &y, 1, 16);
    pair_close(p, "rmsnorm_backward", &dx, N, 64);
    operand up = pair_random(p, ROWS * N, 1);
    for (int act = ACTIVATION_RELU2; act <= ACTIVATION_SILU; act++) {
        PAIR_RUN(p, op_glu(be, (activation)act, x.at[i], up.at[i], ROWS * N, y.at[i]));
        pair_close(p, "glu", &y, 1, 16);
    }
    operand sum = pair_words(p, NULL, 2);
    PAIR_RUN(p, op_sum_squares(be, x.at[i], ROWS * N, sum.at[i]));
    pair_same(p, "sum of squares with a NaN", &sum);
    PAIR_RUN(p, op_sum_squares(be, view_floats(x.at[i], 2 * N), N, sum.at[i]));
    pair_same(p, "sum of squares with an infinity", &sum);
}

/* ---- rounding ---- */

/* The parts of q8 as operands of their own. */
static void quantised_same(pair *p, const operand *q8, int64_t tokens, int64_t n) {
    int64_t words = tokens * ternary_padded(n) / 4;
    operand q = *q8, scales = *q8;
    q.count = words;
    scales.count = 2 * tokens; /* and sums */
    for (int i = 0; i < 2; i++) scales.at[i] = view_floats(q8->at[i], words);
    pair_same(p, "scales and sums", &scales);
    pair_same(p, "rounded values", &q);
}

static void quantise_case(pair *p) {
    EACH(s, shapes) {
        int64_t tokens = shapes[s].tokens, n = shapes[s].n;
        operand x = pair_random(p, tokens * n, s % 2 ? 30.0f : 1e-6f);
        operand q8 = pair_random(p, (int64_t)quantised_bytes(tokens, n) / 4, 1);
        PAIR_RUN(p, op_quantise(be, x.at[i], tokens, n, q8.at[i]));
        quantised_same(p, &q8, tokens, n);
        pair_clear(p);
    }
}

/* Magnitudes from subnormal to the largest, and ties at every half. */
static void quantise_edges_case(pair *p) {
    enum { N = 256, ROWS = 6 };
    static const float most[ROWS] = {0, 1e-40f, 1e-5f, 127, 3.4e38f, 1.1754944e-38f};
    float *x = calloc(ROWS * N, sizeof *x);
    for (int row = 0; row < ROWS; row++)
        for (int i = 0; i < N; i++)
            x[row * N + i] = row == 3 ? (float)i - 128.5f + (i < 2 ? 1.5f : 0)
                                      : most[row] * (2 * rng_uniform(9, (uint64_t)i) - 1);
    operand values = pair_words(p, x, ROWS * N);
    operand q8 = pair_words(p, NULL, (int64_t)quantised_bytes(ROWS, N) / 4);
    PAIR_RUN(p, op_quantise(be, values.at[i], ROWS, N, q8.at[i]));
    quantised_same(p, &q8, ROWS, N);
    x[5] = NAN;
    x[N + 255] = INFINITY;
    x[2 * N] = -INFINITY;
    values = pair_words(p, x, ROWS * N);
    PAIR_RUN(p, op_quantise(be, values.at[i], ROWS, N, q8.at[i]));
    operand scales = {.count = ROWS};
    for (int i = 0; i < 2; i++) scales.at[i] = view_floats(q8.at[i], ROWS * N / 4);
    pair_same(p, "scales of rows that are not finite", &scales);
    free(x);
}

#ifdef WEFT_VULKAN

static void planes_row(const kernels *k, const float *x, int64_t n, const int8_t *high,
                       const int8_t *low, float scale) {
    int16_t *q = calloc((size_t)ternary_padded(n), sizeof *q); /* zeros past n */
    assert_non_null(q);
    float want;
    k->gradient_row(x, n, q, &want);
    if (isnan(want))
        assert_true(isnan(scale));
    else
        assert_memory_equal(&scale, &want, sizeof want);
    for (int64_t i = 0; i < ternary_padded(n); i++)
        assert_int_equal(256 * high[i] + low[i], isnan(want) ? 0 : q[i]);
    free(q);
}

/* Gradients as two planes of int8 are gradient_row's, bit for bit. */
static void planes_case(pair *p) {
    kernels k;
    kernels_init_ref(&k);
    EACH(s, shapes) {
        int64_t tokens = shapes[s].tokens, n = shapes[s].n, plane = tokens * ternary_padded(n);
        operand x = pair_random(p, tokens * n, s % 2 ? 3.0f : 1e-33f);
        backend_write(p->be[0], view_floats(x.at[0], tokens * n - 1),
                      s % 3 ? "abc" : "\0\0\x80\x7f",
                      4); /* now and then a last value that is infinite */
        float *values = pair_read(p, &x, 0);
        backend_write(p->be[1], x.at[1], values, (size_t)(tokens * n) * 4);
        operand planes = pair_random(p, (int64_t)vk_gradient_planes_bytes(tokens, n) / 4, 1);
        PAIR_RUN(p,
                 if (i) vk_gradient_planes(vk_of(be), "op_test", x.at[1], tokens, n, planes.at[1]));
        int8_t *got = pair_read(p, &planes, 1);
        const float *scales = (const float *)(const void *)(got + 2 * plane);
        for (int64_t t = 0; t < tokens; t++) {
            const int8_t *high = got + t * ternary_padded(n);
            planes_row(&k, values + t * n, n, high, high + plane, scales[t]);
        }
        free(got);
        free(values);
        pair_clear(p);
    }
}

static void same_words(pair *p, const operand *a, const operand *b, int64_t words) {
    char *one = pair_read(p, a, 1), *two = pair_read(p, b, 1);
    assert_memory_equal(one, two, (size_t)words * 4);
    free(one);
    free(two);
}

/* The norm and its rounding in one dispatch give what two give. */
static void fused_case(pair *p) {
    EACH(s, shapes) {
        int64_t tokens = shapes[s].tokens, n = shapes[s].n;
        int64_t words = (int64_t)quantised_bytes(tokens, n) / 4;
        operand x = pair_random(p, tokens * n, 3), gamma = pair_random(p, n, 2);
        operand y[2] = {pair_words(p, NULL, tokens * n), pair_words(p, NULL, tokens * n)};
        operand q8[2] = {pair_words(p, NULL, words), pair_words(p, NULL, words)};
        backend *be = p->be[1];
        pair_begin(p);
        vk_rmsnorm(be, x.at[1], gamma.at[1], tokens, n, 1e-5f, y[0].at[1]);
        vk_quantise(be, y[0].at[1], tokens, n, q8[0].at[1]);
        vk_rmsnorm_quantise(be, x.at[1], gamma.at[1], tokens, n, 1e-5f, y[1].at[1], q8[1].at[1]);
        pair_submit(p);
        same_words(p, &q8[0], &q8[1], words);
        pair_clear(p);
    }
}

/* So do the gated unit, its norm and the rounding. */
static void fused_glu_case(pair *p) {
    EACH(s, shapes) {
        int64_t tokens = shapes[s].tokens, n = shapes[s].n, count = tokens * n;
        int64_t words = (int64_t)quantised_bytes(tokens, n) / 4;
        operand gate = pair_random(p, count, 3), up = pair_random(p, count, 2);
        operand gamma = pair_random(p, n, 2), unit[2], y[2], q8[2];
        backend *be = p->be[1];
        for (int i = 0; i < 2; i++) {
            unit[i] = pair_words(p, NULL, count);
            y[i] = pair_words(p, NULL, count);
            q8[i] = pair_words(p, NULL, words);
        }
        activation act = s % 2 ? ACTIVATION_SILU : ACTIVATION_RELU2;
        pair_begin(p);
        vk_glu(be, act, gate.at[1], up.at[1], count, unit[0].at[1]);
        vk_rmsnorm_quantise(be, unit[0].at[1], gamma.at[1], tokens, n, 1e-5f, y[0].at[1],
                            q8[0].at[1]);
        vk_glu_rmsnorm_quantise(be, act, gate.at[1], up.at[1], gamma.at[1], tokens, n, 1e-5f,
                                unit[1].at[1], y[1].at[1], q8[1].at[1]);
        pair_submit(p);
        same_words(p, &unit[0], &unit[1], count);
        same_words(p, &y[0], &y[1], count);
        same_words(p, &q8[0], &q8[1], words);
        pair_clear(p);
    }
}

#endif

/* ---- rows by index ---- */

static dense_matrix random_dense(dense_type type, int64_t rows, int64_t cols, uint8_t **bytes) {
    static const size_t unit[] = {4, 2, 2, 34, 210}, values[] = {1, 1, 1, 32, 256};
    size_t row_bytes = (size_t)cols / values[type] * unit[type], size = (size_t)rows * row_bytes;
    *bytes = malloc(size);
    assert_non_null(*bytes);
    for (size_t i = 0; i < size; i++) (*bytes)[i] = (uint8_t)rng_below(type, i, 256);
    return (dense_matrix){*bytes, type, rows, cols, row_bytes};
}

static void embed_case(pair *p) {
    static const struct {
        dense_type type;
        int64_t rows, cols;
    } weights[] = {{DENSE_F32, 40, 7},   {DENSE_F16, 3, 65},      {DENSE_BF16, 900, 1000},
                   {DENSE_Q8_0, 9, 160}, {DENSE_Q6_K, 2500, 768}, {DENSE_F16, 2000, 512}};
    EACH(k, weights) {
        enum { TOKENS = 600 };
        uint8_t *bytes;
        dense_matrix m = random_dense(weights[k].type, weights[k].rows, weights[k].cols, &bytes);
        dense_weight *w[2];
        int32_t ids[TOKENS];
        for (int t = 0; t < TOKENS; t++)
            ids[t] = (int32_t)rng_below(3, (uint64_t)t, (uint64_t)m.rows);
        ids[0] = 0;
        ids[1] = (int32_t)m.rows - 1;
        operand id = pair_words(p, ids, TOKENS), out = pair_words(p, NULL, TOKENS * m.cols);
        for (int i = 0; i < 2; i++)
            assert_int_equal(dense_weight_create(p->be[i], &m, &w[i], NULL), WEFT_OK);
        PAIR_RUN(p, op_embed(be, w[i], id.at[i], TOKENS, out.at[i]));
        pair_same(p, "embedding", &out);
        for (int i = 0; i < 2; i++) dense_weight_free(p->be[i], &w[i]);
        pair_clear(p);
        free(bytes);
    }
}

static void move_case(pair *p) {
    EACH(s, shapes) {
        int64_t count = shapes[s].tokens, n = shapes[s].n, all = count + 3;
        int32_t *rows = malloc((size_t)count * sizeof *rows);
        for (int64_t i = 0; i < count; i++) rows[i] = (int32_t)(all - 1 - i);
        operand index = pair_words(p, rows, count), table = pair_random(p, all * n, 1);
        operand y = pair_words(p, NULL, count * n), back = pair_random(p, all * n, 1);
        PAIR_RUN(p, (op_gather(be, table.at[i], all, index.at[i], count, n, y.at[i]),
                     op_scatter(be, y.at[i], index.at[i], count, n, back.at[i], all)));
        pair_same(p, "gather", &y);
        pair_same(p, "scatter", &back);
        pair_clear(p);
        free(rows);
    }
}

/* More work groups than one dimension of a grid takes. */
static void many_case(pair *p) {
    int64_t count = 65536 * 128 + 77;
    int32_t *rows = malloc((size_t)count * sizeof *rows);
    assert_non_null(rows);
    for (int64_t i = 0; i < count; i++) rows[i] = (int32_t)(i % 1000);
    operand index = pair_words(p, rows, count), table = pair_random(p, 1000, 1);
    operand y = pair_words(p, NULL, count);
    PAIR_RUN(p, op_gather(be, table.at[i], 1000, index.at[i], count, 1, y.at[i]));
    pair_same(p, "gather of many", &y);
    free(rows);
}

static void rope_case(pair *p) {
    static const int64_t sizes[][4] = {/* tokens, heads, head_dim, positions */
                                       {1, 1, 2, 1},
                                       {5, 3, 6, 40},
                                       {70, 4, 64, 100},
                                       {33, 5, 128, 300},
                                       {100, 40, 80, 5000}};
    EACH(k, sizes) {
        int64_t tokens = sizes[k][0], heads = sizes[k][1], d = sizes[k][2], all = sizes[k][3];
        int32_t positions[100], to[100];
        for (int t = 0; t < tokens; t++) to[t] = (int32_t)(2 * (tokens - 1 - t) + 1);
        for (int t = 0; t < tokens; t++)
            positions[t] = (int32_t)rng_below(5, (uint64_t)t, (uint64_t)all);
        positions[0] = (int32_t)all - 1;
        operand position = pair_words(p, positions, tokens), table = pair_random(p, all * d, 1);
        for (int mode = 0; mode < 4; mode++) {
            operand x = pair_random(p, tokens * heads * d, 2);
            PAIR_RUN(p, op_rope(be, x.at[i], position.at[i], table.at[i], tokens, heads, d,
                                mode % 2 != 0, mode / 2 != 0));
            pair_close(p, "rope", &x, tokens * heads * d, 4);
            if (mode / 2) continue;
            operand y = pair_random(p, 2 * tokens * heads * d, 2), from = pair_words(p, to, tokens);
            PAIR_RUN(p, op_rope_scatter(be, x.at[i], position.at[i], table.at[i], tokens, heads, d,
                                        mode != 0, from.at[i], y.at[i], 2 * tokens));
            pair_close(p, "rope_scatter", &y, 2 * tokens * heads * d, 8);
        }
        pair_clear(p);
    }
}

/* The Vulkan backend reports bad data at submit, with the operation and the first bad place. */
static void refused(pair *p, const char *op, const char *place) {
    weft_error err;
    assert_int_equal(backend_submit(p->be[1], &err), WEFT_ERR_RANGE);
    if (!strstr(err.message, op) || !strstr(err.message, place)) fail_msg("%s", err.message);
    backend_begin(p->be[1]); /* and is as good as new */
    assert_int_equal(backend_submit(p->be[1], &err), WEFT_OK);
}

static void fault_case(pair *p) {
    int32_t indices[] = {0, 2, 3, -1, 1, INT32_MIN};
    float table[3 * 4] = {0};
    dense_matrix m = {(const uint8_t *)table, DENSE_F32, 3, 4, 16};
    dense_weight *w;
    assert_int_equal(dense_weight_create(p->be[1], &m, &w, NULL), WEFT_OK);
    operand index = pair_words(p, indices, 6), x = pair_random(p, 6 * 4, 1);
    operand rows = pair_words(p, table, 3 * 4);
    backend *be = p->be[1];
    backend_begin(be);
    op_embed(be, w, index.at[1], 6, x.at[1]);
    refused(p, "op_embed", "2");
    backend_begin(be);
    op_gather(be, rows.at[1], 3, index.at[1], 6, 4, x.at[1]);
    refused(p, "op_gather", "2");
    backend_begin(be);
    op_scatter(be, x.at[1], view_floats(index.at[1], 3), 2, 4, rows.at[1], 3);
    refused(p, "op_", "0");
    backend_begin(be);
    op_rope(be, x.at[1], index.at[1], rows.at[1], 6, 1, 4, false, false);
    refused(p, "op_rope", "2");
    dense_weight_free(be, &w);
}

/* ---- values ---- */

static const int64_t counts[] = {1, 2, 5, 511, 4096, 300007};

static void add_of(pair *p, int64_t n) {
    operand a = pair_random(p, n, 1), b = pair_random(p, n, 1), out = pair_words(p, NULL, n);
    PAIR_RUN(p, (op_add(be, a.at[i], b.at[i], n, out.at[i]),
                 op_add(be, a.at[i], out.at[i], n, out.at[i])));
    pair_same(p, "add", &out);
    pair_clear(p);
}

static void add_case(pair *p) {
    EACH(s, counts) add_of(p, counts[s]);
    if (!p->windowed) add_of(p, (1 << 20) + 3); /* from here on an invocation does more */
}

static void dropout_case(pair *p) {
    static const float chances[] = {0, 0.1f, 0.5f, 0x1p-25f, 0.9999999f};
    EACH(s, counts) {
        int64_t n = counts[s];
        operand x = pair_random(p, n, 1), y = pair_random(p, n, 1);
        for (size_t k = 0; k < sizeof chances / sizeof *chances; k++) {
            uint64_t seed = rng_at(k, s);
            PAIR_RUN(p, op_dropout(be, x.at[i], n, chances[k], seed, y.at[i], k % 2 == 0));
            pair_same(p, "dropout", &y);
        }
        PAIR_RUN(p, op_dropout(be, x.at[i], n, 0.3f, 77, x.at[i], false));
        pair_same(p, "dropout in place", &x);
        pair_clear(p);
    }
}

static void glu_case(pair *p) {
    EACH(s, counts) {
        for (int k = ACTIVATION_RELU2; k <= ACTIVATION_SILU; k++) {
            activation act = (activation)k;
            int64_t n = counts[s];
            operand gate = pair_random(p, n, 20), up = pair_random(p, n, 2);
            operand dout = pair_random(p, n, 1), out = pair_words(p, NULL, n);
            operand dgate = pair_words(p, NULL, n), dup = pair_words(p, NULL, n);
            PAIR_RUN(p, op_glu(be, act, gate.at[i], up.at[i], n, out.at[i]));
            PAIR_RUN(p, op_glu_backward(be, act, gate.at[i], up.at[i], dout.at[i], n, dgate.at[i],
                                        dup.at[i]));
            PAIR_RUN(p, op_glu_backward(be, act, gate.at[i], up.at[i], dout.at[i], n, gate.at[i],
                                        up.at[i]));
            pair_close(p, "glu", &out, 1, 16);
            pair_close(p, "dgate", &dgate, n, 32);
            pair_close(p, "dup", &dup, 1, 16);
            pair_close(p, "dgate in place", &gate, n, 32);
            pair_close(p, "dup in place", &up, 1, 16);
            pair_clear(p);
        }
    }
}

/* Beyond where e^z is a float. */
static void silu_edges_case(pair *p) {
    static const float z[] = {0, -0.0f, 90, -80, 1e30f, -1e30f, 88.7f, 1e-30f, 87, -87};
    enum { N = sizeof z / sizeof *z };
    operand gate = pair_words(p, z, N), up = pair_random(p, N, 1), out = pair_words(p, NULL, N);
    operand dgate = pair_words(p, NULL, N), dup = pair_words(p, NULL, N);
    PAIR_RUN(p, (op_glu(be, ACTIVATION_SILU, gate.at[i], up.at[i], N, out.at[i]),
                 op_glu_backward(be, ACTIVATION_SILU, gate.at[i], up.at[i], up.at[i], N,
                                 dgate.at[i], dup.at[i])));
    pair_close(p, "glu", &out, 1, 16);
    pair_close(p, "dup", &dup, 1, 16);
    pair_close(p, "dgate", &dgate, N, 32);
}

static void sum_squares_case(pair *p) {
    EACH(s, counts) {
        int64_t n = counts[s];
        operand x = pair_random(p, n, 1e-3f), out = pair_words(p, NULL, 2);
        PAIR_RUN(p, op_sum_squares(be, x.at[i], n, out.at[i]));
        float *want = pair_read(p, &out, 0), *got = pair_read(p, &out, 1);
        double exact = (double)want[0] + (double)want[1], sum = (double)got[0] + (double)got[1];
        if (!(fabs(sum - exact) <= 0x1p-40 * exact)) fail_msg("got %.17g, want %.17g", sum, exact);
        assert_true(fabsf(got[1]) <= 0x1p-23f * got[0]);
        free(want);
        free(got);
        pair_clear(p);
    }
}

static void adamw_case(pair *p) {
    EACH(s, counts) {
        int64_t n = counts[s];
        operand w = pair_random(p, n, 1), g = pair_random(p, n, 5), v = pair_words(p, NULL, n);
        operand m = pair_words(p, NULL, n);
        for (int step = 1; step <= 3; step++) {
            adamw_settings set = {.rate = 1e-3f,
                                  .beta1 = 0.9f,
                                  .beta2 = 0.999f,
                                  .epsilon = 1e-8f,
                                  .weight_decay = 0.1f,
                                  .correction1 = (float)(1 - pow(0.9, step)),
                                  .correction2 = (float)(1 - pow(0.999, step)),
                                  .grad_scale = 0.25f};
            PAIR_RUN(p, op_adamw(be, &set, n, w.at[i], g.at[i], m.at[i], v.at[i]));
        }
        pair_close(p, "weights", &w, n, 4);
        pair_same(p, "first moment", &m);
        pair_same(p, "second moment", &v);
        pair_clear(p);
    }
}

const pair_check rows_checks[] = {
    {"rmsnorm", rmsnorm_case, CHECK_WHOLE | CHECK_WINDOWS},
    {"rmsnorm_backward", rmsnorm_backward_case, CHECK_WHOLE | CHECK_WINDOWS},
    {"not_finite", not_finite_case, CHECK_WHOLE},
    {"quantise", quantise_case, CHECK_WHOLE | CHECK_WINDOWS},
    {"quantise_edges", quantise_edges_case, CHECK_WHOLE},
#ifdef WEFT_VULKAN
    {"planes", planes_case, CHECK_WHOLE | CHECK_WINDOWS},
    {"fused", fused_case, CHECK_WHOLE | CHECK_WINDOWS},
    {"fused_glu", fused_glu_case, CHECK_WHOLE | CHECK_WINDOWS},
#endif
    {"embed", embed_case, CHECK_WHOLE | CHECK_WINDOWS},
    {"move", move_case, CHECK_WHOLE | CHECK_WINDOWS},
    {"many", many_case, CHECK_WHOLE | CHECK_ONCE | CHECK_FULL},
    {"rope", rope_case, CHECK_WHOLE | CHECK_WINDOWS},
    {"fault", fault_case, CHECK_WHOLE},
    {"add", add_case, CHECK_WHOLE | CHECK_WINDOWS},
    {"dropout", dropout_case, CHECK_WHOLE | CHECK_WINDOWS},
    {"glu", glu_case, CHECK_WHOLE | CHECK_WINDOWS},
    {"silu_edges", silu_edges_case, CHECK_WHOLE},
    {"sum_squares", sum_squares_case, CHECK_WHOLE | CHECK_WINDOWS},
    {"adamw", adamw_case, CHECK_WHOLE | CHECK_WINDOWS},
    {NULL, NULL, 0},
};
