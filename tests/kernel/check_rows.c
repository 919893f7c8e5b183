/* Checks of the row and element operations and of attention. The bounds are a few roundings of the
 * magnitudes that each formula adds. */
#include "check.h"

#include <math.h>

/* Roundings along the longest path of a formula, with room for the sums inside. */
static const double FEW = 8;

static const int64_t lengths[] = {1, 2, 7, 8, 9, 64, 255, 1000};
enum { LENGTHS = sizeof lengths / sizeof *lengths };

static void rmsnorm_row(check *c) {
    for (int i = 0; i < LENGTHS; i++) {
        int64_t n = lengths[i];
        float *x = check_floats(c, n), *gamma = check_floats(c, n);
        float *expected = check_output(n), *got = check_output(n), *in_place = check_copy(x, n);
        c->ref->rmsnorm_row(x, gamma, n, 1e-5f, expected);
        c->tested->rmsnorm_row(x, gamma, n, 1e-5f, got);
        c->tested->rmsnorm_row(in_place, gamma, n, 1e-5f, in_place);
        check_compare(c, "y", expected, got, check_magnitudes(expected, n), FEW, n);
        check_compare(c, "in place", got, in_place, NULL, 0, n);
        check_free_all();
    }
}

/* The magnitudes in dx = r * (u - x * r^2 * mean(u * x)). */
static float *rmsnorm_backward_bound(const float *x, const float *gamma, const float *dy,
                                     const float *start, int64_t n, float eps) {
    float *bound = check_alloc((size_t)n * sizeof(float));
    double squares = 0, dot = 0;
    for (int64_t i = 0; i < n; i++) {
        squares += (double)x[i] * x[i];
        dot += fabs((double)dy[i] * gamma[i] * x[i]);
    }
    double r = 1 / sqrt(squares / (double)n + eps);
    for (int64_t i = 0; i < n; i++) {
        double u = fabs((double)dy[i] * gamma[i]), pull = fabs(x[i]) * r * r * dot / (double)n;
        bound[i] = (float)(fabs(start[i]) + r * (u + pull));
    }
    return bound;
}

static void rmsnorm_backward_row(check *c) {
    for (int i = 0; i < 2 * LENGTHS; i++) {
        int64_t n = lengths[i / 2];
        bool add = i % 2;
        float *x = check_floats(c, n), *gamma = check_floats(c, n), *dy = check_floats(c, n);
        float *start = check_floats(c, n), *expected = check_copy(start, n);
        float *got = check_copy(start, n), *in_place = check_copy(dy, n);
        float *bound = rmsnorm_backward_bound(x, gamma, dy, start, n, 1e-5f);
        c->ref->rmsnorm_backward_row(x, gamma, dy, n, 1e-5f, expected, add);
        c->tested->rmsnorm_backward_row(x, gamma, dy, n, 1e-5f, got, add);
        check_compare(c, "dx", expected, got, bound, FEW, n);
        if (!add) {
            c->tested->rmsnorm_backward_row(x, gamma, in_place, n, 1e-5f, in_place, false);
            check_compare(c, "in place", got, in_place, NULL, 0, n);
        }
        check_free_all();
    }
}

static void rope_row(check *c) {
    static const int64_t shapes[][2] = {{1, 2}, {3, 6}, {2, 16}, {5, 64}, {1, 128}, {2, 40}};
    for (int i = 0; i < 24; i++) {
        int64_t heads = shapes[i / 4][0], d = shapes[i / 4][1], n = heads * d;
        float *start = check_floats(c, n), *expected = check_copy(start, n);
        float *got = check_copy(start, n), *table = check_alloc((size_t)d * sizeof(float));
        float *bound = check_alloc((size_t)n * sizeof(float));
        for (int64_t j = 0; j < d / 2; j++) {
            double angle = (double)check_random(c, 1000) / 100;
            table[j] = (float)cos(angle);
            table[d / 2 + j] = (float)sin(angle);
        }
        for (int64_t j = 0; j < n; j++) { /* a rotation adds two values of its head */
            bound[j] = 0;
            for (int64_t m = j / d * d; m < (j / d + 1) * d; m++)
                bound[j] = fmaxf(bound[j], 2 * fabsf(start[m]));
        }
        c->ref->rope_row(expected, heads, d, table, i & 1, i & 2);
        c->tested->rope_row(got, heads, d, table, i & 1, i & 2);
        check_compare(c, "x", expected, got, bound, 2, n);
        check_free_all();
    }
}

/* q, k, v and their documents: `documents` causal runs of tokens/documents tokens, the last longer;
 * windowed: at most 5 keys each. */
typedef struct attention_case {
    attention_shape shape;
    int64_t tokens, q_count, kv_count;
    float *q, *k, *v, *dout, *scratch;
    float score_bound; /* the most that scale * sum |q||k| can be */
} attention_case;

static const struct {
    int64_t tokens, heads, kv_heads, head_dim, documents;
    bool windowed;
} attention_shapes[] = {{1, 1, 1, 4, 1, false},   {9, 2, 1, 16, 1, false},
                        {37, 4, 2, 64, 3, false}, {21, 6, 2, 20, 2, false},
                        {30, 2, 2, 128, 1, true}, {70, 3, 1, 33, 4, false}};
enum { ATTENTION_SHAPES = sizeof attention_shapes / sizeof *attention_shapes };

static float largest(const float *x, int64_t n) {
    float most = 0;
    for (int64_t i = 0; i < n; i++) most = fmaxf(most, fabsf(x[i]));
    return most;
}

static attention_case attention_make(check *c, int index) {
    int64_t tokens = attention_shapes[index].tokens, d = attention_shapes[index].head_dim;
    int64_t documents = attention_shapes[index].documents, length = tokens / documents;
    attention_case a = {.tokens = tokens};
    int32_t *first = check_alloc((size_t)tokens * 4), *last = check_alloc((size_t)tokens * 4);
    for (int64_t t = 0; t < tokens; t++) {
        int64_t document = t / length < documents ? t / length : documents - 1;
        int64_t start = document * length, window = attention_shapes[index].windowed ? t - 4 : 0;
        first[t] = (int32_t)(start > window ? start : window);
        last[t] = (int32_t)t;
    }
    a.shape = (attention_shape){.heads = attention_shapes[index].heads,
                                .kv_heads = attention_shapes[index].kv_heads,
                                .head_dim = d,
                                .scale = 1 / sqrtf((float)d),
                                .first = first,
                                .last = last};
    a.shape.ldq = a.shape.heads * d + 3;
    a.shape.ldkv = a.shape.kv_heads * d + 1;
    a.q_count = tokens * a.shape.ldq;
    a.kv_count = tokens * a.shape.ldkv;
    a.q = check_floats(c, a.q_count);
    a.k = check_floats(c, a.kv_count);
    a.v = check_floats(c, a.kv_count);
    a.dout = check_floats(c, a.q_count);
    a.scratch = check_alloc((size_t)attention_backward_scratch_floats(tokens) * sizeof(float));
    a.score_bound = a.shape.scale * (float)d * largest(a.q, a.q_count) * largest(a.k, a.kv_count);
    return a;
}

static float *constant(float value, int64_t n) {
    float *x = check_alloc((size_t)n * sizeof(float));
    for (int64_t i = 0; i < n; i++) x[i] = value;
    return x;
}

/* An error of the score moves a weight by as much, relatively: out may be off by that share of the
 * largest value. */
static void attention(check *c) {
    for (int i = 0; i < ATTENTION_SHAPES; i++) {
        attention_case a = attention_make(c, i);
        float *expected = check_output(a.q_count), *got = check_output(a.q_count);
        float *parts = check_output(a.q_count);
        float *bound = constant((1 + 2 * a.score_bound) * largest(a.v, a.kv_count), a.q_count);
        int64_t cut = a.tokens / 3;
        for (int64_t h = 0; h < a.shape.heads; h++) {
            c->ref->attention(&a.shape, h, 0, a.tokens, a.q, a.k, a.v, expected, a.scratch);
            c->tested->attention(&a.shape, h, 0, a.tokens, a.q, a.k, a.v, got, a.scratch);
            c->tested->attention(&a.shape, h, 0, cut, a.q, a.k, a.v, parts, a.scratch);
            c->tested->attention(&a.shape, h, cut, a.tokens, a.q, a.k, a.v, parts, a.scratch);
        }
        if (c->fill != FILL_HUGE) check_compare(c, "out", expected, got, bound, FEW, a.q_count);
        check_compare(c, "parts", got, parts, NULL, 0, a.q_count);
        check_free_all();
    }
}

static void run_backward(const kernels *k, const attention_case *a, int64_t begin, int64_t end,
                         float *dq, float *dk, float *dv) {
    for (int64_t h = 0; h < a->shape.kv_heads; h++)
        k->attention_backward(&a->shape, h, begin, end, a->q, a->k, a->v, a->dout, dq, dk, dv,
                              a->scratch);
}

static void attention_backward(check *c) {
    for (int i = 0; i < ATTENTION_SHAPES; i++) {
        attention_case a = attention_make(c, i);
        float *expected[3], *got[3], *parts[3];
        int64_t counts[3] = {a.q_count, a.kv_count, a.kv_count};
        for (int j = 0; j < 3; j++) {
            expected[j] = check_output(counts[j]);
            got[j] = check_output(counts[j]);
            parts[j] = check_output(counts[j]);
        }
        int64_t cut = a.tokens / attention_shapes[i].documents; /* where the first document ends */
        run_backward(c->ref, &a, 0, a.tokens, expected[0], expected[1], expected[2]);
        run_backward(c->tested, &a, 0, a.tokens, got[0], got[1], got[2]);
        run_backward(c->tested, &a, 0, cut, parts[0], parts[1], parts[2]);
        if (cut < a.tokens)
            run_backward(c->tested, &a, cut, a.tokens, parts[0], parts[1], parts[2]);
        /* |dp - mean| <= 2 d |dout| |v|; weights of a key add up to at most the queries that see
         * it. */
        float dp =
            2 * (float)a.shape.head_dim * largest(a.dout, a.q_count) * largest(a.v, a.kv_count);
        float loose = 1 + 2 * a.score_bound, ds = loose * dp * a.shape.scale;
        float queries = (float)(a.tokens * a.shape.heads / a.shape.kv_heads);
        float bounds[3] = {ds * largest(a.k, a.kv_count), queries * ds * largest(a.q, a.q_count),
                           queries * loose * largest(a.dout, a.q_count)};
        for (int j = 0; j < 3; j++) {
            float *bound = constant(bounds[j], counts[j]);
            if (c->fill != FILL_HUGE)
                check_compare(c, "gradient", expected[j], got[j], bound, FEW, counts[j]);
            check_compare(c, "parts", got[j], parts[j], NULL, 0, counts[j]);
        }
        check_free_all();
    }
}

static const float probes[] = {0.0f,   -0.0f, 1.0f,   -1.2784645f, 30.0f,
                               -30.0f, 87.0f, -87.0f, 150.0f,      -150.0f};

/* Gates that reach the ends of exp among the random ones. */
static float *gates(check *c, int64_t n) {
    float *gate = check_floats(c, n);
    for (int64_t i = 0; i < n && i < 10 && c->fill == FILL_RANDOM; i++) gate[i] = probes[i];
    return gate;
}

static void glu(check *c) {
    for (int i = 0; i < 2 * LENGTHS; i++) {
        int64_t n = lengths[i / 2];
        activation act = i % 2 ? ACTIVATION_SILU : ACTIVATION_RELU2;
        float *gate = gates(c, n), *up = check_floats(c, n);
        float *expected = check_output(n), *got = check_output(n);
        c->ref->glu(act, gate, up, n, expected);
        c->tested->glu(act, gate, up, n, got);
        float *bound = check_magnitudes(expected, n);
        for (int64_t j = 0; j < n && act == ACTIVATION_SILU; j++) /* exp stops at 88 */
            bound[j] += 0x1p-90f * fabsf(gate[j] * up[j]);
        check_compare(c, "out", expected, got, bound, FEW, n);
        check_free_all();
    }
}

static void glu_backward(check *c) {
    for (int i = 0; i < 2 * LENGTHS; i++) {
        int64_t n = lengths[i / 2];
        activation act = i % 2 ? ACTIVATION_SILU : ACTIVATION_RELU2;
        float *gate = gates(c, n), *up = check_floats(c, n), *dout = check_floats(c, n);
        float *expected[2] = {check_output(n), check_output(n)}, *bound[2];
        float *got[2] = {check_copy(gate, n), check_copy(up, n)}; /* in place, as is allowed */
        c->ref->glu_backward(act, gate, up, dout, n, expected[0], expected[1]);
        c->tested->glu_backward(act, got[0], got[1], dout, n, got[0], got[1]);
        for (int j = 0; j < 2; j++) bound[j] = check_magnitudes(expected[j], n);
        for (int64_t j = 0; j < n && act == ACTIVATION_SILU; j++) {
            double z = gate[j], s = 1 / (1 + exp(-z)), cut = 0x1p-90 * (1 + fabs(z));
            bound[0][j] =
                (float)(fabs((double)dout[j] * up[j]) * (s + s * fabs(z) * (2 - s) + cut));
            bound[1][j] += (float)(fabs(dout[j]) * cut);
        }
        check_compare(c, "dgate", expected[0], got[0], bound[0], FEW, n);
        check_compare(c, "dup", expected[1], got[1], bound[1], FEW, n);
        check_free_all();
    }
}

static void softmax_loss_row(check *c) {
    for (int i = 0; i < 2 * LENGTHS; i++) {
        int64_t n = lengths[i / 2], target = (int64_t)check_random(c, (uint64_t)n);
        float spread = i % 2 ? 60.0f : 1.0f, grad_scale = 0.25f;
        float *logits = check_floats(c, n), highest = -INFINITY;
        for (int64_t j = 0; j < n; j++) highest = fmaxf(highest, logits[j] *= spread);
        float *expected = check_copy(logits, n), *got = check_copy(logits, n);
        float *kept = check_copy(logits, n), loss[3];
        loss[0] = c->ref->softmax_loss_row(expected, n, target, grad_scale);
        loss[1] = c->tested->softmax_loss_row(got, n, target, grad_scale);
        loss[2] = c->tested->softmax_loss_row(kept, n, target, 0);
        float *bound = check_magnitudes(expected, n);
        for (int64_t j = 0; j < n; j++) /* highest - logit is rounded before exp */
            bound[j] += bound[j] * fminf(highest - logits[j], 104) + (j == target ? grad_scale : 0);
        float *losses = check_copy(loss, 1), *got_losses = check_copy(loss + 1, 1);
        float most = 2 + fabsf(loss[0]);
        check_compare(c, "loss", losses, got_losses, &most, FEW, 1);
        check_compare(c, "gradient", expected, got, bound, FEW, n);
        check_compare(c, "untouched", logits, kept, NULL, 0, n);
        check_same_bytes(c, "loss without gradient", &loss[1], &loss[2], sizeof(float));
        check_free_all();
    }
}

static void add(check *c) {
    for (int i = 0; i < LENGTHS; i++) {
        int64_t n = lengths[i];
        float *a = check_floats(c, n), *b = check_floats(c, n);
        float *expected = check_output(n), *got = check_output(n), *in_place = check_copy(a, n);
        c->ref->add(a, b, n, expected);
        c->tested->add(a, b, n, got);
        c->tested->add(in_place, b, n, in_place);
        check_compare(c, "out", expected, got, NULL, 0, n);
        check_compare(c, "in place", expected, in_place, NULL, 0, n);
        check_free_all();
    }
}

static void sum_squares(check *c) {
    for (int i = 0; i < LENGTHS; i++) {
        float *x = check_floats(c, lengths[i]);
        float sums[2] = {(float)c->ref->sum_squares(x, lengths[i]),
                         (float)c->tested->sum_squares(x, lengths[i])};
        check_compare(c, "sum", check_copy(sums, 1), check_copy(sums + 1, 1), sums, 2, 1);
        check_free_all();
    }
}

static void adamw(check *c) {
    const adamw_settings s = {1e-3f, 0.9f, 0.999f, 1e-8f, 0.01f, 0.271f, 0.003f, 0.5f};
    for (int i = 0; i < LENGTHS; i++) {
        int64_t n = lengths[i];
        float *g = check_floats(c, n), *start[3], *expected[3], *got[3];
        for (int j = 0; j < 3; j++) {
            start[j] = check_floats(c, n);
            if (j == 2) start[j] = check_magnitudes(start[j], n);
            expected[j] = check_copy(start[j], n);
            got[j] = check_copy(start[j], n);
        }
        c->ref->adamw(&s, n, expected[0], g, expected[1], expected[2]);
        c->tested->adamw(&s, n, got[0], g, got[1], got[2]);
        for (int j = 0; j < 3; j++) check_compare(c, "p, m or v", expected[j], got[j], NULL, 0, n);
        check_free_all();
    }
}

static void dropout(check *c) {
    for (int i = 0; i < 2 * LENGTHS; i++) {
        int64_t n = lengths[i / 2];
        bool keep = i % 2;
        float *x = check_floats(c, n), *start = check_floats(c, n);
        float *expected = check_copy(start, n), *got = check_copy(start, n);
        float *parts = check_copy(start, n);
        c->ref->dropout(x, n, 0.3f, 99, 7, expected, keep);
        c->tested->dropout(x, n, 0.3f, 99, 7, got, keep);
        c->tested->dropout(x, n / 2, 0.3f, 99, 7, parts, keep);
        c->tested->dropout(x + n / 2, n - n / 2, 0.3f, 99, 7 + (uint64_t)(n / 2), parts + n / 2,
                           keep);
        check_compare(c, "y", expected, got, NULL, 0, n);
        check_compare(c, "parts", expected, parts, NULL, 0, n);
        check_free_all();
    }
}

static void assert_nan(check *c, const char *what, float got) {
    float zero = 0, nan = got == got ? 1.0f : 0.0f;
    check_same_bytes(c, what, &zero, &nan, sizeof zero);
}

/* A run that has diverged must be seen in its loss, whichever kernel the bad value passes first. */
static void not_finite(check *c) {
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 3; i++) {
        for (int64_t at = 0; at < 21; at += 5) {
            float *x = check_floats(c, 21), *up = constant(1, 21), *out = check_output(21),
                  scale[2];
            float *expected = check_output(32), *got = check_output(32);
            int32_t sum[2];
            x[at] = bad[i];
            c->ref->quantise_row(x, 21, (int8_t *)expected, &scale[0], &sum[0]);
            c->tested->quantise_row(x, 21, (int8_t *)got, &scale[1], &sum[1]);
            assert_nan(c, "scalar scale", scale[0]);
            assert_nan(c, "scale", scale[1]);
            check_compare(c, "values", expected, got, NULL, 0, 32);
            check_same_bytes(c, "sum", &sum[0], &sum[1], sizeof(int32_t));
            x[at] = NAN;
            c->tested->glu(ACTIVATION_RELU2, x, up, 21, out);
            assert_nan(c, "relu2", out[at]);
            c->tested->glu(ACTIVATION_SILU, x, up, 21, out);
            assert_nan(c, "silu", out[at]);
            assert_nan(c, "loss", c->tested->softmax_loss_row(x, 21, 3, 0));
            check_free_all();
        }
    }
}

const check_case row_cases[] = {
    {"not_finite", not_finite},
    {"rmsnorm_row", rmsnorm_row},
    {"rmsnorm_backward_row", rmsnorm_backward_row},
    {"rope_row", rope_row},
    {"attention", attention},
    {"attention_backward", attention_backward},
    {"glu", glu},
    {"glu_backward", glu_backward},
    {"softmax_loss_row", softmax_loss_row},
    {"add", add},
    {"sum_squares", sum_squares},
    {"adamw", adamw},
    {"dropout", dropout},
    {NULL, NULL},
};
