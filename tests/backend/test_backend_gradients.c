/* Backward operations against finite differences of their forwards, composed as a layer composes
 * them, with unrounded activations. */
#include "backend_fixture.h"

enum { T = 9, K = 140, N = 52, R = 4 };

typedef struct chain {
    rig *r;
    ternary_weight *w;
    dense_weight *head;
    view x, gamma, a, b, h, y, norm, up, out, c; /* c: weights of the scalar loss */
    attention_args attention;
    view targets, losses, scratch;
    activation act;
    float dropout;
} chain;

typedef double (*loss_fn)(chain *c);

/* sum c . out in double */
static double weighted(chain *c, view out, int64_t count) {
    const float *values = rig_read(c->r, out, count), *weights = rig_read(c->r, c->c, count);
    double loss = 0;
    for (int64_t i = 0; i < count; i++) loss += (double)values[i] * weights[i];
    return loss;
}

/* Along random directions of +1 and -1, the slope of loss must be that of the gradient. */
static void check_slope(chain *c, const char *what, loss_fn loss, view place, int64_t count,
                        view gradient) {
    const double step = 2e-3;
    const float *at = rig_read(c->r, place, count), *grad = rig_read(c->r, gradient, count);
    double norm = 0;
    for (int64_t i = 0; i < count; i++) norm += (double)grad[i] * grad[i];
    assert_true(norm > 0);
    for (uint64_t trial = 0; trial < 4; trial++) {
        float *moved = rig_host(c->r, (size_t)count * sizeof *moved);
        double want = 0, value[2];
        for (int side = 0; side < 2; side++) {
            want = 0;
            for (int64_t i = 0; i < count; i++) {
                double direction = rng_below(trial, (uint64_t)i, 2) ? 1 : -1;
                want += direction * grad[i];
                moved[i] = (float)(at[i] + (side ? -step : step) * direction);
            }
            backend_write(c->r->be, place, moved, (size_t)count * sizeof *moved);
            value[side] = loss(c);
        }
        backend_write(c->r->be, place, at, (size_t)count * sizeof *at);
        double got = (value[0] - value[1]) / (2 * step);
        if (!(fabs(got - want) <= 4e-3 * sqrt(norm)))
            fail_msg("%s: slope %.7g, gradient says %.7g (norm %.3g)", what, got, want, sqrt(norm));
    }
}

/* out = glu(W n + lora(n), up), n = rmsnorm(x): what a layer does between two residual adds. */
static double layer_loss(chain *c) {
    backend *be = c->r->be;
    view input = c->norm;
    op_rmsnorm(be, c->x, c->gamma, T, K, 1e-5f, c->norm);
    op_ternary_matmul_f32(be, c->w, c->norm, T, c->y);
    if (c->dropout > 0) {
        input = c->scratch;
        op_dropout(be, c->norm, T * K, c->dropout, 5, input, false);
    }
    op_lora_down(be, input, c->a, T, K, R, c->h);
    op_lora_up(be, c->h, c->b, T, N, R, 0.5f, c->y);
    op_glu(be, c->act, c->y, c->up, T * N, c->out);
    return weighted(c, c->out, T * N);
}

static void layer_run(rig *r, activation act, float dropout) {
    ternary_matrix m = rig_ternary(r, N, K, 0.1f);
    chain c = {.r = r, .act = act, .dropout = dropout};
    assert_int_equal(ternary_weight_create(r->be, &m, &c.w, NULL), WEFT_OK);
    c.x = rig_floats(r, rig_random(r, T * K, 1), T * K);
    c.gamma = rig_floats(r, rig_random(r, K, 1), K);
    c.a = rig_floats(r, rig_random(r, R * K, 0.3f), R * K);
    c.b = rig_floats(r, rig_random(r, N * R, 0.3f), N * R);
    c.up = rig_floats(r, rig_random(r, T * N, 1), T * N);
    c.c = rig_floats(r, rig_random(r, T * N, 1), T * N);
    view *made[] = {&c.h, &c.y, &c.norm, &c.out, &c.scratch};
    for (int i = 0; i < 5; i++) made[i][0] = rig_floats(r, NULL, T * K);

    layer_loss(&c);
    view dy = rig_floats(r, NULL, T * N), dup = rig_floats(r, NULL, T * N);
    view dn = rig_floats(r, NULL, T * K), da = rig_floats(r, NULL, R * K);
    view db = rig_floats(r, NULL, N * R), dx = rig_floats(r, NULL, T * K);
    lora_backward_args args = {.x = dropout > 0 ? c.scratch : c.norm,
                               .h = c.h,
                               .dy = dy,
                               .a = c.a,
                               .b = c.b,
                               .g = rig_floats(r, NULL, T * R),
                               .da = da,
                               .db = db,
                               .dx = dx,
                               .tokens = T,
                               .k = K,
                               .n = N,
                               .r = R,
                               .scale = 0.5f};
    op_glu_backward(r->be, act, c.y, c.up, c.c, T * N, dy, dup);
    if (dropout > 0) {
        op_ternary_matmul_t(r->be, c.w, dy, T, PRECISION_FULL, dn, false);
        op_lora_backward(r->be, &args);
        op_dropout(r->be, dx, T * K, dropout, 5, dn, true);
    } else {
        args.w = c.w;
        args.dx = dn;
        op_lora_backward(r->be, &args);
    }
    op_rmsnorm_backward(r->be, c.x, c.gamma, dn, T, K, 1e-5f, dx, false);
    rig_log(r, rig_read(r, dx, T * K), T * K);
    check_slope(&c, "x", layer_loss, c.x, T * K, dx);
    check_slope(&c, "A", layer_loss, c.a, R * K, da);
    check_slope(&c, "B", layer_loss, c.b, N * R, db);
    check_slope(&c, "up", layer_loss, c.up, T * N, dup);
    ternary_weight_free(r->be, &c.w);
}

static void layer_case(rig *r) {
    layer_run(r, ACTIVATION_RELU2, 0);
    layer_run(r, ACTIVATION_SILU, 0.25f);
}

/* Rotated queries and keys of packed documents. */
enum { TOKENS = 37, HEADS = 6, KV = 2, D = 8 };

static double attention_loss(chain *c) {
    op_attention(c->r->be, &c->attention);
    return weighted(c, c->attention.out, TOKENS * HEADS * D);
}

static void attention_run(rig *r, const int32_t *starts, int32_t window) {
    chain c = {.r = r};
    int32_t first[TOKENS], last[TOKENS], start = 0;
    for (int32_t t = 0; t < TOKENS; t++) {
        if (t == *starts) start = *starts++;
        first[t] = t - start < window ? start : t - window + 1;
        last[t] = t;
    }
    enum { WIDTH = HEADS * D, KV_WIDTH = KV * D };
    c.c = rig_floats(r, rig_random(r, TOKENS * WIDTH, 1), TOKENS * WIDTH);
    c.attention =
        (attention_args){.q = rig_floats(r, rig_random(r, TOKENS * WIDTH, 1), TOKENS * WIDTH),
                         .k = rig_floats(r, rig_random(r, TOKENS * KV_WIDTH, 1), TOKENS * KV_WIDTH),
                         .v = rig_floats(r, rig_random(r, TOKENS * KV_WIDTH, 1), TOKENS * KV_WIDTH),
                         .first = rig_ints(r, first, TOKENS),
                         .last = rig_ints(r, last, TOKENS),
                         .out = rig_floats(r, NULL, TOKENS * WIDTH),
                         .tokens = TOKENS,
                         .keys = TOKENS,
                         .heads = HEADS,
                         .kv_heads = KV,
                         .head_dim = D,
                         .scale = 0.6f};
    /* Filled with ones, to see that they are overwritten. */
    float *ones = rig_host(r, TOKENS * WIDTH * sizeof *ones);
    for (int i = 0; i < TOKENS * WIDTH; i++) ones[i] = 1;
    view dq = rig_floats(r, ones, TOKENS * WIDTH), dk = rig_floats(r, ones, TOKENS * KV_WIDTH);
    view dv = rig_floats(r, ones, TOKENS * KV_WIDTH);
    op_attention_backward(r->be, &c.attention, c.c, dq, dk, dv);
    rig_log(r, rig_read(r, dq, TOKENS * WIDTH), TOKENS * WIDTH);
    rig_log(r, rig_read(r, dk, TOKENS * KV_WIDTH), TOKENS * KV_WIDTH);
    rig_log(r, rig_read(r, dv, TOKENS * KV_WIDTH), TOKENS * KV_WIDTH);
    check_slope(&c, "q", attention_loss, c.attention.q, TOKENS * WIDTH, dq);
    check_slope(&c, "k", attention_loss, c.attention.k, TOKENS * KV_WIDTH, dk);
    check_slope(&c, "v", attention_loss, c.attention.v, TOKENS * KV_WIDTH, dv);
}

static void attention_case(rig *r) {
    attention_run(r, (const int32_t[]){0, TOKENS}, TOKENS);
    attention_run(r, (const int32_t[]){0, 1, 2, 14, 36, TOKENS}, TOKENS);
    attention_run(r, (const int32_t[]){0, 20, TOKENS}, 6);
}

static double head_loss(chain *c) {
    op_head_loss(c->r->be, c->head, c->x, c->targets, TOKENS, 0, PRECISION_FULL, c->losses,
                 (view){NULL, 0}, c->scratch);
    return weighted(c, c->losses, TOKENS);
}

static void head_loss_case(rig *r) {
    enum { V = 301 };
    dense_matrix m = rig_dense(r, V, K);
    chain c = {.r = r};
    int32_t targets[TOKENS];
    float scales[TOKENS];
    for (int t = 0; t < TOKENS; t++) targets[t] = (t * 41 + V - 1) % V;
    for (int t = 0; t < TOKENS; t++) scales[t] = 0.25f;
    assert_int_equal(dense_weight_create(r->be, &m, &c.head, NULL), WEFT_OK);
    c.x = rig_floats(r, rig_random(r, TOKENS * K, 0.3f), TOKENS * K);
    c.c = rig_floats(r, scales, TOKENS);
    c.targets = rig_ints(r, targets, TOKENS);
    c.losses = rig_floats(r, NULL, TOKENS);
    c.scratch = rig_bytes(r, NULL, head_loss_scratch_bytes(r->be, c.head));
    view dx = rig_floats(r, NULL, TOKENS * K);
    op_head_loss(r->be, c.head, c.x, c.targets, TOKENS, 0.25f, PRECISION_FULL, c.losses, dx,
                 c.scratch);
    rig_log(r, rig_read(r, dx, TOKENS * K), TOKENS * K);
    check_slope(&c, "x", head_loss, c.x, TOKENS * K, dx);
    dense_weight_free(r->be, &c.head);
}

static void rope_case(rig *r) {
    enum { POSITIONS = 5 };
    float *x = rig_random(r, TOKENS * HEADS * D, 1), *table = rig_random(r, POSITIONS * D, 1);
    int32_t positions[TOKENS];
    for (int t = 0; t < TOKENS; t++) positions[t] = t % POSITIONS;
    for (int i = 0; i < POSITIONS * D / 2; i++) {
        float *row = table + i / (D / 2) * D + i % (D / 2), angle = row[0] * 3;
        row[0] = cosf(angle);
        row[D / 2] = sinf(angle);
    }
    view vx = rig_floats(r, x, TOKENS * HEADS * D), vt = rig_floats(r, table, POSITIONS * D);
    view vp = rig_ints(r, positions, TOKENS);
    for (int i = 0; i < 2; i++) {
        op_rope(r->be, vx, vp, vt, TOKENS, HEADS, D, i, false);
        op_rope(r->be, vx, vp, vt, TOKENS, HEADS, D, i, true);
    }
    expected *want = rig_expected(r, TOKENS * HEADS * D);
    for (int i = 0; i < TOKENS * HEADS * D; i++) want[i] = (expected){x[i], 2};
    expect(r, "turned and turned back", vx, want, TOKENS * HEADS * D, 16);
}

static void test_layer(void **state) {
    (void)state;
    run_case(layer_case);
}

static void test_attention(void **state) {
    (void)state;
    run_case(attention_case);
}

static void test_head_loss(void **state) {
    (void)state;
    run_case(head_loss_case);
}

static void test_rope(void **state) {
    (void)state;
    run_case(rope_case);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layer),
        cmocka_unit_test(test_attention),
        cmocka_unit_test(test_head_loss),
        cmocka_unit_test(test_rope),
    };
    return rig_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
