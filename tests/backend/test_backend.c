/* Every operation of the CPU backend against plain loops in double, at every kernel level, with 1,
 * 2 and 3 threads, whose results must be the same bits. */
#include "backend_fixture.h"

enum { T = 70, K = 300, N = 201, R = 5 };

static void embed_case(rig *r) {
    enum { V = 301 };
    dense_matrix m = rig_dense(r, V, K);
    uint16_t *halves = rig_host(r, V * K * sizeof *halves);
    for (int i = 0; i < V * K; i++) halves[i] = bf16_from_f32(((const float *)m.data)[i]);
    dense_matrix half = {(const uint8_t *)halves, DENSE_BF16, V, K, K * sizeof *halves};
    int32_t ids[T];
    for (int t = 0; t < T; t++) ids[t] = (int32_t)rng_below(7, (uint64_t)t, V);
    ids[0] = V - 1;
    ids[1] = 0;
    const dense_matrix *both[] = {&m, &half};
    for (int i = 0; i < 2; i++) {
        dense_weight *w;
        assert_int_equal(dense_weight_create(r->be, both[i], &w, NULL), WEFT_OK);
        view out = rig_floats(r, NULL, T * K);
        op_embed(r->be, w, rig_ints(r, ids, T), T, out);
        expected *want = rig_expected(r, T * K);
        for (int j = 0; j < T * K; j++) {
            int64_t at = (int64_t)ids[j / K] * K + j % K;
            want[j].value = (double)(i ? bf16_to_f32(halves[at]) : ((const float *)m.data)[at]);
        }
        expect(r, "embed", out, want, T * K, 0);
        dense_weight_free(r->be, &w);
    }
}

static void norm_case(rig *r) {
    const double eps = (double)1e-5f;
    float *x = rig_random(r, T * K, 2), *gamma = rig_random(r, K, 1), *dy = rig_random(r, T * K, 1);
    view vx = rig_floats(r, x, T * K), vg = rig_floats(r, gamma, K), vdy = rig_floats(r, dy, T * K);
    view y = rig_floats(r, NULL, T * K), sum = rig_floats(r, x, T * K);
    expected *want = rig_expected(r, T * K), *back = rig_expected(r, T * K);
    expected *added = rig_expected(r, T * K);
    for (int t = 0; t < T; t++) {
        double square = 0, dot = 0;
        for (int i = t * K; i < t * K + K; i++) {
            square += (double)x[i] * x[i] / K;
            dot += (double)dy[i] * gamma[i - t * K] * x[i] / K;
        }
        double inverse = 1 / sqrt(square + eps);
        for (int i = t * K; i < t * K + K; i++) {
            double g = gamma[i - t * K];
            term(&want[i], g * x[i] * inverse);
            term(&back[i], inverse * dy[i] * g);
            term(&back[i], -inverse * x[i] * inverse * inverse * dot);
            back[i].magnitude += inverse; /* the mean's own error */
            added[i] = back[i];
            term(&added[i], x[i]);
        }
    }
    op_rmsnorm_backward(r->be, vx, vg, vdy, T, K, 1e-5f, sum, true);
    expect(r, "rmsnorm_backward, added", sum, added, T * K, SUM_SLACK);
    op_rmsnorm_backward(r->be, vx, vg, vdy, T, K, 1e-5f, vdy, false);
    expect(r, "rmsnorm_backward in place", vdy, back, T * K, SUM_SLACK);
    op_rmsnorm(r->be, vx, vg, T, K, 1e-5f, y);
    expect(r, "rmsnorm", y, want, T * K, SUM_SLACK);
    op_rmsnorm(r->be, vx, vg, T, K, 1e-5f, vx);
    expect(r, "rmsnorm in place", vx, want, T * K, SUM_SLACK);
}

/* The rounded product is defined to the bit. */
static void ternary_rounded(rig *r, int tokens, int rows, int cols) {
    ternary_matrix m = rig_ternary(r, rows, cols, 0.731f);
    float *x = rig_random(r, tokens * cols, 3);
    view q8 = rig_bytes(r, NULL, quantised_bytes(tokens, cols));
    view y = rig_floats(r, NULL, tokens * rows);
    ternary_weight *w;
    assert_int_equal(ternary_weight_create(r->be, &m, &w, NULL), WEFT_OK);
    op_quantise(r->be, rig_floats(r, x, tokens * cols), tokens, cols, q8);
    op_ternary_matmul(r->be, w, q8, tokens, y);
    expected *want = rig_expected(r, tokens * rows);
    for (int t = 0; t < tokens; t++) {
        float most = 1e-5f;
        for (int k = 0; k < cols; k++) most = fmaxf(most, fabsf(x[t * cols + k]));
        float s = 127 / most;
        for (int j = 0; j < rows; j++) {
            int32_t sum = 0;
            for (int k = 0; k < cols; k++)
                sum += (int32_t)rintf(x[t * cols + k] * s) * ternary_get(&m, j, k);
            want[t * rows + j].value = (double)((float)sum * (m.scale / s));
        }
    }
    expect(r, "ternary_matmul", y, want, tokens * rows, 0);
    ternary_weight_free(r->be, &w);
}

static void ternary_rounded_case(rig *r) {
    ternary_rounded(r, T, N, K);
    ternary_rounded(r, 1, 1031, 512);
    ternary_rounded(r, 3, 2, 127);
}

static void ternary_smooth_case(rig *r) {
    ternary_matrix m = rig_ternary(r, N, K, 0.37f);
    float *x = rig_random(r, T * K, 1), *dy = rig_random(r, T * N, 1);
    view vx = rig_floats(r, x, T * K), vdy = rig_floats(r, dy, T * N);
    view y = rig_floats(r, NULL, T * N), dx = rig_floats(r, NULL, T * K);
    ternary_weight *w;
    assert_int_equal(ternary_weight_create(r->be, &m, &w, NULL), WEFT_OK);
    expected *want = rig_expected(r, T * N), *back = rig_expected(r, T * K);
    for (int t = 0; t < T; t++)
        for (int j = 0; j < N; j++)
            for (int k = 0; k < K; k++) {
                double weight = (double)m.scale * ternary_get(&m, j, k);
                term(&want[t * N + j], weight * x[t * K + k]);
                term(&back[t * K + k], weight * dy[t * N + j]);
            }
    op_ternary_matmul_f32(r->be, w, vx, T, y);
    expect(r, "ternary_matmul_f32", y, want, T * N, SUM_SLACK);
    op_ternary_matmul_t(r->be, w, vdy, T, PRECISION_FULL, dx, false);
    expect(r, "ternary_matmul_t", dx, back, T * K, SUM_SLACK);
    op_ternary_matmul_t(r->be, w, vdy, T, PRECISION_FULL, vx, true);
    for (int i = 0; i < T * K; i++) term(&back[i], x[i]);
    expect(r, "ternary_matmul_t, added", vx, back, T * K, SUM_SLACK);
    ternary_weight_free(r->be, &w);
}

/* The rounded backward product, by the definition of its rounding, and its distance from the
 * unrounded one. */
static void ternary_rounded_backward_case(rig *r) {
    ternary_matrix m = rig_ternary(r, N, K, 0.37f);
    float *dy = rig_random(r, T * N, 1), scale[T];
    view vdy = rig_floats(r, dy, T * N), dx = rig_floats(r, NULL, T * K);
    ternary_weight *w;
    assert_int_equal(ternary_weight_create(r->be, &m, &w, NULL), WEFT_OK);
    expected *exact = rig_expected(r, T * K), *near = rig_expected(r, T * K);
    for (int t = 0; t < T; t++) {
        float highest = 0;
        for (int j = 0; j < N; j++) highest = fmaxf(highest, fabsf(dy[t * N + j]));
        scale[t] = (float)GRADIENT_MOST / highest;
        for (int k = 0; k < K; k++) {
            int32_t sum = 0;
            expected *e = &near[t * K + k];
            for (int j = 0; j < N; j++) {
                int weight = ternary_get(&m, j, k);
                sum += (int32_t)rintf(dy[t * N + j] * scale[t]) * weight;
                e->value += (double)m.scale * weight * dy[t * N + j];
                e->magnitude += abs(weight) * 0.51 * (double)(m.scale / scale[t]) * 0x1p24;
            }
            exact[t * K + k].value = (double)((float)sum * (m.scale / scale[t]));
        }
    }
    op_ternary_matmul_t(r->be, w, vdy, T, PRECISION_ROUNDED, dx, false);
    expect(r, "ternary_matmul_t, rounded", dx, exact, T * K, 0);
    expect(r, "ternary_matmul_t, rounded, bound", dx, near, T * K, 1);
    ternary_weight_free(r->be, &w);
}

static void dense_case(rig *r) {
    dense_matrix m = rig_dense(r, N, K);
    const float *weights = (const float *)m.data;
    float *x = rig_random(r, T * K, 1);
    view y = rig_floats(r, NULL, T * N), vx = rig_floats(r, x, T * K);
    dense_weight *w;
    assert_int_equal(dense_weight_create(r->be, &m, &w, NULL), WEFT_OK);
    expected *want = rig_expected(r, T * N);
    for (int i = 0; i < T * N; i++)
        for (int k = 0; k < K; k++)
            term(&want[i], (double)x[i / N * K + k] * weights[i % N * K + k]);
    op_dense_matmul(r->be, w, vx, T, PRECISION_FULL, y);
    expect(r, "dense_matmul", y, want, T * N, SUM_SLACK);
    op_dense_matmul(r->be, w, vx, 1, PRECISION_FULL, y);
    expect(r, "dense_matmul of one token", y, want, N, SUM_SLACK);
    dense_weight_free(r->be, &w);
}

static void lora_forward_case(rig *r) {
    float *x = rig_random(r, T * K, 1), *a = rig_random(r, R * K, 1), *b = rig_random(r, N * R, 1);
    float *h = rig_random(r, T * R, 1), *y = rig_random(r, T * N, 1);
    view down = rig_floats(r, NULL, T * R), vy = rig_floats(r, y, T * N);
    expected *want = rig_expected(r, T * R), *up = rig_expected(r, T * N);
    for (int i = 0; i < T * R; i++)
        for (int k = 0; k < K; k++) term(&want[i], (double)x[i / R * K + k] * a[i % R * K + k]);
    for (int i = 0; i < T * N; i++) {
        term(&up[i], y[i]);
        for (int j = 0; j < R; j++) term(&up[i], 1.5 * h[i / N * R + j] * b[i % N * R + j]);
    }
    op_lora_down(r->be, rig_floats(r, x, T * K), rig_floats(r, a, R * K), T, K, R, down);
    expect(r, "lora_down", down, want, T * R, SUM_SLACK);
    op_lora_up(r->be, rig_floats(r, h, T * R), rig_floats(r, b, N * R), T, N, R, 1.5f, vy);
    expect(r, "lora_up", vy, up, T * N, SUM_SLACK);
}

static void lora_backward_run(rig *r, bool add) {
    float *x = rig_random(r, T * K, 1), *h = rig_random(r, T * R, 1), *dy = rig_random(r, T * N, 1);
    float *a = rig_random(r, R * K, 1), *b = rig_random(r, N * R, 1);
    float *old = rig_random(r, T * K, 1);
    expected *g = rig_expected(r, T * R), *da = rig_expected(r, R * K),
             *db = rig_expected(r, N * R), *dx = rig_expected(r, T * K);
    for (int i = 0; i < R * K; i++) term(&da[i], old[i]);
    for (int i = 0; i < N * R; i++) term(&db[i], old[i]);
    for (int i = 0; add && i < T * K; i++) term(&dx[i], old[i]);
    for (int t = 0; t < T; t++)
        for (int i = 0; i < R; i++) {
            for (int j = 0; j < N; j++) {
                term(&g[t * R + i], 0.75 * dy[t * N + j] * b[j * R + i]);
                term(&db[j * R + i], 0.75 * dy[t * N + j] * h[t * R + i]);
            }
            const expected *gi = &g[t * R + i];
            for (int k = 0; k < K; k++) {
                term(&da[i * K + k], gi->value * x[t * K + k]);
                da[i * K + k].magnitude += gi->magnitude;
                term(&dx[t * K + k], gi->value * a[i * K + k]);
                dx[t * K + k].magnitude += gi->magnitude;
            }
        }
    lora_backward_args args = {rig_floats(r, x, T * K),
                               rig_floats(r, h, T * R),
                               rig_floats(r, dy, T * N),
                               rig_floats(r, a, R * K),
                               rig_floats(r, b, N * R),
                               rig_floats(r, NULL, T * R),
                               rig_floats(r, old, R * K),
                               rig_floats(r, old, N * R),
                               rig_floats(r, old, T * K),
                               .tokens = T,
                               .k = K,
                               .n = N,
                               .r = R,
                               .scale = 0.75f,
                               .add = add};
    op_lora_backward(r->be, &args);
    expect(r, "g", args.g, g, T * R, SUM_SLACK);
    expect(r, "dA", args.da, da, R * K, SUM_SLACK);
    expect(r, "dB", args.db, db, N * R, SUM_SLACK);
    expect(r, "dx", args.dx, dx, T * K, SUM_SLACK);
}

static void lora_backward_case(rig *r) {
    lora_backward_run(r, false);
    lora_backward_run(r, true);
}

static void dropout_case(rig *r) {
    enum { COUNT = 100003 };
    float *x = rig_random(r, COUNT, 1), *grad = rig_random(r, COUNT, 1);
    for (int i = 0; i < COUNT; i++) x[i] += 2; /* no zero of its own */
    view vx = rig_floats(r, x, COUNT), y = rig_floats(r, NULL, COUNT);
    view dx = rig_floats(r, x, COUNT);
    op_dropout(r->be, vx, COUNT, 0.3f, 99, y, false);
    op_dropout(r->be, rig_floats(r, grad, COUNT), COUNT, 0.3f, 99, dx, true);
    const float *got = rig_read(r, y, COUNT), *back = rig_read(r, dx, COUNT);
    double kept = 0, mean = 0, own = 0;
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(got[i] != 0, rng_uniform(99, (uint64_t)i) >= 0.3f);
        kept += got[i] != 0;
        mean += (double)got[i] / COUNT;
        own += (double)x[i] / COUNT;
        if (got[i] == 0)
            assert_true(back[i] == x[i]);
        else
            assert_true(fabs(back[i] - x[i] - grad[i] / 0.7) < 1e-5);
    }
    assert_true(fabs(kept / COUNT - 0.7) < 0.01);
    assert_true(fabs(mean / own - 1) < 0.02);
    rig_log(r, got, COUNT);
    rig_log(r, back, COUNT);
    op_dropout(r->be, vx, COUNT, 0.3f, 99, vx, false);
    assert_memory_equal(rig_read(r, vx, COUNT), got, COUNT * sizeof *got);
}

static void rope_run(rig *r, bool interleaved, bool inverse) {
    enum { HEADS = 3, D = 8, POSITIONS = 40 };
    float *x = rig_random(r, T * HEADS * D, 1), *table = rig_host(r, POSITIONS * D * sizeof *table);
    for (int i = 0; i < POSITIONS * D / 2; i++) {
        int p = i / (D / 2), j = i % (D / 2);
        table[p * D + j] = cosf((float)p / (float)(1 << j));
        table[p * D + D / 2 + j] = sinf((float)p / (float)(1 << j));
    }
    int32_t positions[T];
    for (int t = 0; t < T; t++) positions[t] = POSITIONS - 1 - t % POSITIONS;
    expected *want = rig_expected(r, T * HEADS * D);
    for (int i = 0; i < T * HEADS * D / 2; i++) {
        int row = i / (D / 2), j = i % (D / 2), p = positions[row / HEADS];
        int first = row * D + (interleaved ? 2 * j : j), second = first + (interleaved ? 1 : D / 2);
        double c = table[p * D + j], s = (double)table[p * D + D / 2 + j] * (inverse ? -1 : 1);
        term(&want[first], x[first] * c);
        term(&want[first], -x[second] * s);
        term(&want[second], x[second] * c);
        term(&want[second], x[first] * s);
    }
    view vx = rig_floats(r, x, T * HEADS * D);
    op_rope(r->be, vx, rig_ints(r, positions, T), rig_floats(r, table, POSITIONS * D), T, HEADS, D,
            interleaved, inverse);
    expect(r, "rope", vx, want, T * HEADS * D, 4);
}

static void rope_case(rig *r) {
    for (int i = 0; i < 4; i++) rope_run(r, i & 1, i & 2);
}

/* probs of token t, head h; their weighted values */
static void attend(const float *q, const float *k, const float *v, int first, int last,
                   int kv_heads, int d, double scale, expected *out) {
    double most = -INFINITY, total = 0;
    double *score = calloc((size_t)(last - first + 1), sizeof *score);
    assert_non_null(score);
    for (int s = first; s <= last; s++) {
        for (int i = 0; i < d; i++) score[s - first] += scale * q[i] * k[s * kv_heads * d + i];
        most = fmax(most, score[s - first]);
    }
    for (int s = first; s <= last; s++) total += exp(score[s - first] - most);
    for (int s = first; s <= last; s++)
        for (int i = 0; i < d; i++)
            term(&out[i], exp(score[s - first] - most) / total * v[s * kv_heads * d + i]);
    free(score);
}

/* T tokens over `keys` keys, of which token t sees first .. keys - T + t. */
static void attention_run(rig *r, int tokens, int keys, int documents) {
    enum { HEADS = 6, KV = 2, D = 24 };
    float *q = rig_random(r, tokens * HEADS * D, 2), *k = rig_random(r, keys * KV * D, 2);
    float *v = rig_random(r, keys * KV * D, 2);
    int32_t *first = rig_host(r, (size_t)tokens * 4), *last = rig_host(r, (size_t)tokens * 4);
    for (int t = 0; t < tokens; t++) {
        last[t] = keys - tokens + t;
        first[t] = last[t] * documents / keys * keys / documents;
        if (first[t] > last[t]) first[t] = last[t];
    }
    view out = rig_floats(r, NULL, tokens * HEADS * D);
    expected *want = rig_expected(r, tokens * HEADS * D);
    for (int i = 0; i < tokens * HEADS; i++) {
        int t = i / HEADS, group = i % HEADS / (HEADS / KV) * D;
        attend(q + i * D, k + group, v + group, first[t], last[t], KV, D, (double)0.2f,
               want + i * D);
    }
    attention_args args = {.q = rig_floats(r, q, tokens * HEADS * D),
                           .k = rig_floats(r, k, keys * KV * D),
                           .v = rig_floats(r, v, keys * KV * D),
                           .first = rig_ints(r, first, tokens),
                           .last = rig_ints(r, last, tokens),
                           .out = out,
                           .tokens = tokens,
                           .keys = keys,
                           .heads = HEADS,
                           .kv_heads = KV,
                           .head_dim = D,
                           .scale = 0.2f};
    op_attention(r->be, &args);
    expect(r, "attention", out, want, tokens * HEADS * D, 4 * SUM_SLACK);
}

static void attention_case(rig *r) {
    attention_run(r, T, T, 1);
    attention_run(r, T, T, 3);
    attention_run(r, 1, 1, 1);
    attention_run(r, 1, 400, 1);
    attention_run(r, 7, 150, 1);
}

static double act_of(activation act, double z) {
    if (act == ACTIVATION_RELU2) return z > 0 ? z * z : 0;
    return z / (1 + exp(-z));
}

static double act_slope(activation act, double z) {
    if (act == ACTIVATION_RELU2) return z > 0 ? 2 * z : 0;
    double s = 1 / (1 + exp(-z));
    return s + z * s * (1 - s);
}

static void glu_run(rig *r, activation act) {
    enum { COUNT = 50001 };
    float *gate = rig_random(r, COUNT, 6), *up = rig_random(r, COUNT, 1);
    float *dout = rig_random(r, COUNT, 1);
    view vg = rig_floats(r, gate, COUNT), vu = rig_floats(r, up, COUNT);
    view out = rig_floats(r, NULL, COUNT);
    expected *want = rig_expected(r, COUNT), *dg = rig_expected(r, COUNT);
    expected *du = rig_expected(r, COUNT);
    for (int i = 0; i < COUNT; i++) {
        double a = act_of(act, gate[i]), slope = act_slope(act, gate[i]);
        want[i] = (expected){a * up[i], fabs(a * up[i]) + 1e-3};
        dg[i] = (expected){dout[i] * up[i] * slope, fabs(dout[i] * up[i]) * (1 + fabs(slope))};
        du[i] = (expected){dout[i] * a, fabs(dout[i] * a) + 1e-3};
    }
    op_glu(r->be, act, vg, vu, COUNT, out);
    expect(r, "glu", out, want, COUNT, SUM_SLACK);
    op_glu_backward(r->be, act, vg, vu, rig_floats(r, dout, COUNT), COUNT, vg, vu);
    expect(r, "dgate", vg, dg, COUNT, SUM_SLACK);
    expect(r, "dup", vu, du, COUNT, SUM_SLACK);
}

static void glu_case(rig *r) {
    glu_run(r, ACTIVATION_RELU2);
    glu_run(r, ACTIVATION_SILU);
}

static void head_loss_run(rig *r, int tokens, int vocab, int cols) {
    dense_matrix m = rig_dense(r, vocab, cols);
    const float *w = (const float *)m.data;
    float *x = rig_random(r, tokens * cols, 0.5f);
    int32_t *targets = rig_host(r, (size_t)tokens * sizeof *targets);
    expected *losses = rig_expected(r, tokens), *dx = rig_expected(r, tokens * cols);
    double *logits = rig_host(r, (size_t)vocab * sizeof *logits);
    for (int t = 0; t < tokens; t++) {
        double total = 0;
        targets[t] = (int32_t)(t * 37 % vocab);
        for (int j = 0; j < vocab; j++) {
            logits[j] = 0;
            for (int k = 0; k < cols; k++) logits[j] += (double)x[t * cols + k] * w[j * cols + k];
            total += exp(logits[j]);
        }
        losses[t] = (expected){log(total) - logits[targets[t]], log(total) + 8};
        for (int j = 0; j < vocab; j++)
            for (int k = 0; k < cols; k++)
                term(&dx[t * cols + k],
                     0.125 * (exp(logits[j]) / total - (j == targets[t])) * w[j * cols + k]);
    }
    dense_weight *head;
    assert_int_equal(dense_weight_create(r->be, &m, &head, NULL), WEFT_OK);
    view vx = rig_floats(r, x, tokens * cols), vt = rig_ints(r, targets, tokens);
    view loss = rig_floats(r, NULL, tokens), alone = rig_floats(r, NULL, tokens);
    view vdx = rig_floats(r, NULL, tokens * cols);
    view scratch = rig_bytes(r, NULL, head_loss_scratch_bytes(r->be, head));
    op_head_loss(r->be, head, vx, vt, tokens, 0, PRECISION_FULL, alone, (view){NULL, 0}, scratch);
    op_head_loss(r->be, head, vx, vt, tokens, 0.125f, PRECISION_FULL, loss, vdx, scratch);
    expect(r, "losses", loss, losses, tokens, SUM_SLACK);
    expect(r, "losses alone", alone, losses, tokens, SUM_SLACK);
    expect(r, "dx", vdx, dx, tokens * cols, 4 * SUM_SLACK);
    dense_weight_free(r->be, &head);
}

static void head_loss_case(rig *r) {
    head_loss_run(r, T, 307, 50);
    head_loss_run(r, 1, 1031, 96);
    head_loss_run(r, 32, 33, 7);
    head_loss_run(r, 259, 33, 300);
}

/* A head in an encoding of blocks gives the bits that its values as float32 give. */
static void head_blocks(rig *r, dense_type type, size_t row_bytes) {
    enum { VOCAB = 41, COLS = 768, COUNT = 20 };
    kernels k;
    kernels_init_ref(&k);
    uint8_t *bytes = rig_host(r, VOCAB * row_bytes);
    for (size_t i = 0; i < VOCAB * row_bytes; i++) /* no byte makes a scale infinite */
        bytes[i] = (uint8_t)(rng_at(5, i) & 0x3b);
    dense_matrix m[2] = {{bytes, type, VOCAB, COLS, row_bytes}, rig_dense(r, VOCAB, COLS)};
    float *values = rig_host(r, VOCAB * COLS * sizeof *values);
    for (int i = 0; i < VOCAB; i++) k.dense_row(&m[0], i, values + i * COLS);
    m[1].data = (const uint8_t *)values;
    int32_t targets[COUNT];
    for (int t = 0; t < COUNT; t++) targets[t] = t;
    view x = rig_floats(r, rig_random(r, COUNT * COLS, 0.01f), COUNT * COLS), dx[2];
    view at = rig_ints(r, targets, COUNT), losses = rig_floats(r, NULL, COUNT);
    for (int i = 0; i < 2; i++) {
        dense_weight *head;
        assert_int_equal(dense_weight_create(r->be, &m[i], &head, NULL), WEFT_OK);
        view scratch = rig_bytes(r, NULL, head_loss_scratch_bytes(r->be, head));
        dx[i] = rig_floats(r, NULL, COUNT * COLS);
        op_head_loss(r->be, head, x, at, COUNT, 1, PRECISION_FULL, losses, dx[i], scratch);
        dense_weight_free(r->be, &head);
    }
    const float *blocks = rig_read(r, dx[0], COUNT * COLS);
    const float *plain = rig_read(r, dx[1], COUNT * COLS);
    assert_memory_equal(blocks, plain, COUNT * COLS * sizeof(float));
    assert_true(isfinite(plain[0]) && plain[0] != 0);
    rig_log(r, blocks, COUNT * COLS);
}

static void head_blocks_case(rig *r) {
    head_blocks(r, DENSE_BF16, 768 * 2);
    head_blocks(r, DENSE_Q8_0, 768 / 32 * 34);
    head_blocks(r, DENSE_Q6_K, 768 / 256 * 210);
}

static void moves_case(rig *r) {
    enum { ROWS = 400, WIDTH = 130, PICKED = 250 };
    float *x = rig_random(r, ROWS * WIDTH, 1);
    int32_t rows[PICKED];
    for (int i = 0; i < PICKED; i++) rows[i] = (int32_t)(ROWS - 1 - i * 3 % ROWS);
    view vx = rig_floats(r, x, ROWS * WIDTH), picked = rig_floats(r, NULL, PICKED * WIDTH);
    view back = rig_floats(r, NULL, ROWS * WIDTH), vr = rig_ints(r, rows, PICKED);
    view sum = rig_floats(r, NULL, ROWS * WIDTH);
    op_gather(r->be, vx, ROWS, vr, PICKED, WIDTH, picked);
    op_scatter(r->be, picked, vr, PICKED, WIDTH, back, ROWS);
    op_add(r->be, vx, back, ROWS * WIDTH, sum);
    op_add(r->be, sum, vx, ROWS * WIDTH, sum);
    op_add(r->be, vx, sum, ROWS * WIDTH, sum);
    op_copy(r->be, view_floats(vx, WIDTH), picked, 2 * WIDTH * sizeof(float));
    op_fill_zero(r->be, view_floats(picked, WIDTH), 4);
    expected *want = rig_expected(r, ROWS * WIDTH), *copied = rig_expected(r, 2 * WIDTH);
    for (int i = 0; i < ROWS * WIDTH; i++) want[i].value = (double)(x[i] + (x[i] + x[i]));
    for (int i = 0; i < PICKED; i++)
        for (int j = rows[i] * WIDTH; j < (rows[i] + 1) * WIDTH; j++)
            want[j].value = (double)(x[j] + (x[j] + x[j] + x[j]));
    for (int i = 0; i < 2 * WIDTH; i++) copied[i].value = i == WIDTH ? 0 : (double)x[WIDTH + i];
    for (int i = 0; i < ROWS * WIDTH; i++) {
        bool moved = false;
        for (int j = 0; j < PICKED; j++) moved |= rows[j] == i / WIDTH;
        if (!moved) want[i].value = (double)(x[i] + (x[i] + 0 + x[i]));
    }
    expect(r, "sum", sum, want, ROWS * WIDTH, 0);
    expect(r, "copied", picked, copied, 2 * WIDTH, 0);
}

static void sum_squares_run(rig *r, int64_t count) {
    float *x = rig_random(r, count, 3);
    view out = rig_floats(r, NULL, 2);
    op_sum_squares(r->be, rig_floats(r, x, count), count, out);
    double want = 0;
    float halves[2];
    for (int64_t i = 0; i < count; i++) want += (double)x[i] * x[i];
    assert_int_equal(backend_read(r->be, out, halves, sizeof halves, NULL), WEFT_OK);
    assert_true(fabs((double)halves[0] + (double)halves[1] - want) <= 1e-6 * want);
    rig_log(r, halves, 2);
}

static void sum_squares_case(rig *r) {
    sum_squares_run(r, 200001);
    sum_squares_run(r, 4096);
    sum_squares_run(r, 1);
}

static void adamw_case(rig *r) {
    enum { COUNT = 30001 };
    float *p = rig_random(r, COUNT, 1), *g = rig_random(r, COUNT, 1), *m = rig_random(r, COUNT, 1);
    float *v = rig_random(r, COUNT, 1);
    for (int i = 0; i < COUNT; i++) v[i] = fabsf(v[i]);
    adamw_settings s = {.rate = 0.01f,
                        .beta1 = 0.9f,
                        .beta2 = 0.99f,
                        .epsilon = 1e-6f,
                        .weight_decay = 0.1f,
                        .correction1 = 0.5f,
                        .correction2 = 0.25f,
                        .grad_scale = 0.5f};
    view vp = rig_floats(r, p, COUNT), vm = rig_floats(r, m, COUNT), vv = rig_floats(r, v, COUNT);
    op_adamw(r->be, &s, COUNT, vp, rig_floats(r, g, COUNT), vm, vv);
    expected *want = rig_expected(r, COUNT), *moment = rig_expected(r, COUNT);
    for (int i = 0; i < COUNT; i++) {
        double grad = 0.5 * g[i], m1 = 0.9 * m[i] + 0.1 * grad;
        double m2 = 0.99 * v[i] + 0.01 * grad * grad;
        double step = 0.01 * (m1 / 0.5) / (sqrt(m2 / 0.25) + 1e-6);
        moment[i] = (expected){m1, fabs(m1) + 1};
        want[i] = (expected){p[i] * (1 - 0.01 * 0.1) - step, 1 + fabs(step)};
    }
    expect(r, "m", vm, moment, COUNT, SUM_SLACK);
    expect(r, "p", vp, want, COUNT, SUM_SLACK);
}

#define CASE(name)                                                                                 \
    static void test_##name(void **state) {                                                        \
        (void)state;                                                                               \
        run_case(name##_case);                                                                     \
    }
CASE(embed)
CASE(norm)
CASE(ternary_rounded)
CASE(ternary_smooth)
CASE(ternary_rounded_backward)
CASE(dense)
CASE(lora_forward)
CASE(lora_backward)
CASE(dropout)
CASE(rope)
CASE(attention)
CASE(glu)
CASE(head_loss)
CASE(head_blocks)
CASE(moves)
CASE(sum_squares)
CASE(adamw)

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_embed),
        cmocka_unit_test(test_norm),
        cmocka_unit_test(test_ternary_rounded),
        cmocka_unit_test(test_ternary_smooth),
        cmocka_unit_test(test_ternary_rounded_backward),
        cmocka_unit_test(test_dense),
        cmocka_unit_test(test_lora_forward),
        cmocka_unit_test(test_lora_backward),
        cmocka_unit_test(test_dropout),
        cmocka_unit_test(test_rope),
        cmocka_unit_test(test_attention),
        cmocka_unit_test(test_glu),
        cmocka_unit_test(test_head_loss),
        cmocka_unit_test(test_head_blocks),
        cmocka_unit_test(test_moves),
        cmocka_unit_test(test_sum_squares),
        cmocka_unit_test(test_adamw),
    };
    return rig_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
