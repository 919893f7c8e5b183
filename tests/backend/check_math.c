/* check_backends: the float products. LoRA, dense matrices, the loss through the head, attention
 * and its backward: any sizes, packed documents, values that are no numbers, data that must be
 * refused.
 */
#include "backend/check_pair.h"

#include "base/layout.h"

enum {
    NEAR = 64,          /* slack of sums of up to about a thousand terms */
    NEAR_WEIGHTS = 512, /* of what goes through exponentials on a device, and is multiplied again */
    NEAR_HALF = 1 << 14, /* of products of halves */
    NEAR_HALF_WEIGHTS = 1 << 16
};

static void poison(pair *p, const operand *o, int64_t at, float value) {
    for (int i = 0; i < 2; i++)
        backend_write(p->be[i], view_floats(o->at[i], at), &value, sizeof value);
}

/* ---- LoRA ---- */

typedef struct lora_shape {
    int64_t tokens, k, n, r;
} lora_shape;

static void lora_forward(pair *p, const lora_shape *s, const operand *x, const operand *a,
                         const operand *b) {
    operand h = pair_words(p, NULL, s->tokens * s->r), y = pair_random(p, s->tokens * s->n, 1);
    PAIR_RUN(p, op_lora_down(be, x->at[i], a->at[i], s->tokens, s->k, s->r, h.at[i]));
    pair_close(p, "h", &h, s->r, NEAR);
    PAIR_RUN(p, op_lora_up(be, h.at[i], b->at[i], s->tokens, s->n, s->r, 0.5f, y.at[i]));
    pair_close(p, "y", &y, s->n, NEAR);
}

static void lora_run(pair *p, const lora_shape *s, bool add, bool bad) {
    operand x = pair_random(p, s->tokens * s->k, 1), h = pair_random(p, s->tokens * s->r, 1);
    operand dy = pair_random(p, s->tokens * s->n, 1), a = pair_random(p, s->r * s->k, 1);
    operand b = pair_random(p, s->n * s->r, 1), g = pair_words(p, NULL, s->tokens * s->r);
    operand da = pair_random(p, s->r * s->k, 1), db = pair_random(p, s->n * s->r, 1);
    operand dx = pair_random(p, s->tokens * s->k, 1);
    if (bad) poison(p, &x, (s->tokens - 1) * s->k + s->k / 2, NAN);
    lora_forward(p, s, &x, &a, &b);
    PAIR_RUN(p, (op_lora_backward(be, &(lora_backward_args){.x = x.at[i],
                                                            .h = h.at[i],
                                                            .dy = dy.at[i],
                                                            .a = a.at[i],
                                                            .b = b.at[i],
                                                            .g = g.at[i],
                                                            .da = da.at[i],
                                                            .db = db.at[i],
                                                            .dx = dx.at[i],
                                                            .tokens = s->tokens,
                                                            .k = s->k,
                                                            .n = s->n,
                                                            .r = s->r,
                                                            .scale = 0.25f,
                                                            .add = add})));
    pair_close(p, "g", &g, s->r, NEAR);
    pair_close(p, "dA", &da, s->k, NEAR);
    pair_close(p, "dB", &db, s->n * s->r, NEAR);
    pair_close(p, "dx", &dx, s->k, NEAR);
    pair_clear(p);
}

static void lora_case(pair *p) {
    static const lora_shape shapes[] = {{1, 640, 256, 8},   {3, 130, 65, 1},    {9, 129, 300, 5},
                                        {70, 260, 131, 16}, {600, 33, 70, 33},  {130, 64, 40, 130},
                                        {4100, 68, 40, 8},  {8193, 36, 264, 12}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        lora_run(p, &shapes[i], i % 2, i == 2);
}

static void lora_windows_case(pair *p) {
    lora_run(p, &(lora_shape){300, 1100, 700, 20}, true, false);
}

/* ---- dense matrices ---- */

typedef struct dense_pair {
    dense_weight *w[2];
    uint8_t *data;
    dense_matrix matrix;
} dense_pair;

/* Bytes of any kind, but scales that are small, some of them subnormal. */
static void fill_blocks(pair *p, uint8_t *data, size_t bytes, size_t block, size_t scale_at) {
    uint64_t seed = ++p->seed;
    for (size_t i = 0; i < bytes; i++) data[i] = (uint8_t)rng_below(seed, i, 256);
    for (size_t i = 0; i < bytes; i += block) {
        uint16_t scale = (uint16_t)(rng_below(seed, bytes + i, 0x1000) | (i % 3 ? 0x8000 : 0));
        memcpy(data + i + scale_at, &scale, 2);
    }
}

static void fill_values(pair *p, const dense_matrix *m, uint8_t *data) {
    uint64_t seed = ++p->seed;
    for (int64_t i = 0; i < m->rows * m->cols; i++) {
        float x = 2 * rng_uniform(seed, (uint64_t)i) - 1;
        if (i % 5 == 0) x *= 0x1p-17f; /* subnormal as a half */
        uint16_t half = m->type == DENSE_F16 ? f16_from_f32(x) : bf16_from_f32(x);
        if (m->type == DENSE_F32)
            memcpy(data + 4 * i, &x, 4);
        else
            memcpy(data + 2 * i, &half, 2);
    }
}

static dense_pair dense_open(pair *p, dense_type type, int64_t rows, int64_t cols) {
    size_t n = (size_t)cols;
    size_t row_bytes[] = {n * 4, n * 2, n * 2, n / 32 * 34, n / 256 * 210};
    dense_pair w = {.matrix = {NULL, type, rows, cols, row_bytes[type]}};
    size_t bytes = (size_t)rows * row_bytes[type];
    w.data = malloc(bytes);
    assert_non_null(w.data);
    w.matrix.data = w.data;
    if (type == DENSE_Q8_0)
        fill_blocks(p, w.data, bytes, 34, 0);
    else if (type == DENSE_Q6_K)
        fill_blocks(p, w.data, bytes, 210, 208);
    else
        fill_values(p, &w.matrix, w.data);
    for (int i = 0; i < 2; i++) {
        weft_error err;
        if (dense_weight_create(p->be[i], &w.matrix, &w.w[i], &err)) fail_msg("%s", err.message);
    }
    return w;
}

static void dense_close(pair *p, dense_pair *w) {
    for (int i = 0; i < 2; i++) dense_weight_free(p->be[i], &w->w[i]);
    free(w->data);
}

static void dense_run(pair *p, dense_type type, int64_t tokens, int64_t rows, int64_t cols,
                      bool bad) {
    char name[100];
    snprintf(name, sizeof name, "type %d, %d tokens, %d x %d", (int)type, (int)tokens, (int)rows,
             (int)cols);
    dense_pair w = dense_open(p, type, rows, cols);
    operand x = pair_random(p, tokens * cols, 1), y = pair_words(p, NULL, tokens * rows);
    if (bad) poison(p, &x, (tokens - 1) * cols + cols / 2, NAN);
    PAIR_RUN(p, op_dense_matmul(be, w.w[i], x.at[i], tokens, PRECISION_FULL, y.at[i]));
    pair_close(p, name, &y, rows, NEAR);
    PAIR_RUN(p, op_dense_matmul(be, w.w[i], x.at[i], tokens, PRECISION_ROUNDED, y.at[i]));
    pair_close(p, name, &y, rows, NEAR_HALF);
    dense_close(p, &w);
    pair_clear(p);
}

static void dense_case(pair *p) {
    static const int64_t tokens[] = {1, 3, 8, 9, 16, 17, 70, 130};
    for (int type = DENSE_F32; type <= DENSE_Q6_K; type++)
        for (int t = 0; t < 8; t += p->brief ? 3 : 1) {
            dense_run(p, (dense_type)type, tokens[t], 7 + 43 * t, 512, t == 2);
            if (type <= DENSE_BF16) dense_run(p, (dense_type)type, tokens[t], 66, 37 + t, t == 6);
        }
}

static void dense_windows_case(pair *p) {
    dense_run(p, DENSE_F16, 2, 3000, 512, false);
    dense_run(p, DENSE_F32, 40, 2500, 130, false);
}

/* ---- the loss ---- */

typedef struct loss_run {
    dense_type type;
    int64_t tokens, rows, cols;
    float grad_scale;
    bool bad;
} loss_run;

static void head_loss_run(pair *p, const loss_run *s) {
    dense_pair w = dense_open(p, s->type, s->rows, s->cols);
    operand x = pair_random(p, s->tokens * s->cols, 0.3f);
    if (s->bad) poison(p, &x, s->cols / 2, NAN);
    int32_t *ids = malloc((size_t)s->tokens * sizeof *ids);
    assert_non_null(ids);
    for (int64_t t = 0; t < s->tokens; t++)
        ids[t] = (int32_t)rng_below(7, (uint64_t)t, (uint32_t)s->rows);
    ids[s->tokens - 1] = (int32_t)s->rows - 1;
    operand targets = pair_words(p, ids, s->tokens), losses = pair_words(p, NULL, s->tokens);
    operand dx = pair_random(p, s->tokens * s->cols, 1);
    operand scratch[2];
    for (int i = 0; i < 2; i++)
        scratch[i] = pair_words(p, NULL, (int64_t)head_loss_scratch_bytes(p->be[i], w.w[i]) / 4);
    for (int grade = PRECISION_ROUNDED; grade >= PRECISION_FULL; grade--) {
        bool full = grade == PRECISION_FULL;
        PAIR_RUN(p, op_head_loss(be, w.w[i], x.at[i], targets.at[i], s->tokens, s->grad_scale,
                                 (precision)grade, losses.at[i], dx.at[i], scratch[i].at[i]));
        pair_close(p, full ? "loss" : "loss, rounded", &losses, 1, full ? NEAR : NEAR_HALF);
        pair_close(p, full ? "dx" : "dx, rounded", &dx, s->cols,
                   full ? NEAR_WEIGHTS : NEAR_HALF_WEIGHTS);
    }
    dense_close(p, &w);
    pair_clear(p);
    free(ids);
}

static void head_loss_case(pair *p) {
    static const loss_run runs[] = {{DENSE_F32, 1, 300, 37, 0.5f, false},
                                    {DENSE_F16, 5, 1000, 130, 0.25f, true},
                                    {DENSE_BF16, 70, 517, 64, 0, false},
                                    {DENSE_Q8_0, 66, 4100, 96, 1, false},
                                    {DENSE_Q6_K, 20, 2052, 256, 1, true}};
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) head_loss_run(p, &runs[i]);
}

static void head_loss_windows_case(pair *p) {
    head_loss_run(p, &(loss_run){DENSE_F32, 40, 8000, 40, 1, false});
    head_loss_run(p, &(loss_run){DENSE_F16, 70, 700, 1024, 1, false});
}

static void head_loss_fault_case(pair *p) {
    static const int32_t ids[] = {3, 5, 10, -1};
    dense_pair w = dense_open(p, DENSE_F32, 10, 16);
    operand x = pair_random(p, 4 * 16, 1), targets = pair_words(p, ids, 4);
    operand losses = pair_words(p, NULL, 4), dx = pair_words(p, NULL, 4 * 16);
    backend *be = p->be[1];
    operand scratch = pair_words(p, NULL, (int64_t)head_loss_scratch_bytes(be, w.w[1]) / 4);
    weft_error err = {0};
    backend_begin(be);
    op_head_loss(be, w.w[1], x.at[1], targets.at[1], 4, 1, PRECISION_FULL, losses.at[1], dx.at[1],
                 scratch.at[1]);
    assert_int_equal(backend_submit(be, &err), WEFT_ERR_RANGE);
    assert_string_equal(err.message, "op_head_loss: a target is outside the vocabulary (place 2)");
    dense_close(p, &w);
    pair_clear(p);
}

/* ---- attention ---- */

/* Where one is no number, so is the other. Nearby values may be none either: what a token does not
 * see is multiplied by 0. */
static void check_nan(pair *p, const char *what, const operand *o) {
    float *want = pair_read(p, o, 0), *got = pair_read(p, o, 1);
    int64_t count = 0;
    for (int64_t i = 0; i < o->count; i++) {
        count += isnan(want[i]);
        if (isnan(want[i]) && !isnan(got[i]))
            fail_msg("%s[%lld]: got %.9g, want no number", what, (long long)i, (double)got[i]);
    }
    assert_true(count > 0);
    free(want);
    free(got);
}

typedef struct attention_run {
    int64_t tokens, keys, heads, kv_heads, d;
    int document; /* keys of each, if tokens == keys; 0: tokens are the last ones of the keys */
    int window;   /* most keys that a token sees; 0: all */
    bool bad;
} attention_run;

typedef struct attention_data {
    operand q, k, v, first, last, out;
} attention_data;

static attention_data attention_open(pair *p, const attention_run *s) {
    int32_t *first = calloc((size_t)s->tokens * 2, sizeof *first), *last = first + s->tokens;
    assert_non_null(first);
    for (int64_t t = 0; t < s->tokens; t++) {
        int64_t at = s->document ? t : s->keys - s->tokens + t;
        int64_t from = s->document ? t / s->document * s->document : 3;
        if (s->window && at - from >= s->window) from = at - s->window + 1;
        if (from > at) from = at;
        first[t] = (int32_t)from;
        last[t] = (int32_t)at;
    }
    int64_t row = s->heads * s->d, kv_row = s->kv_heads * s->d;
    attention_data a = {.q = pair_random(p, s->tokens * row, 1),
                        .k = pair_random(p, s->keys * kv_row, 1),
                        .v = pair_random(p, s->keys * kv_row, 1),
                        .first = pair_words(p, first, s->tokens),
                        .last = pair_words(p, last, s->tokens),
                        .out = pair_words(p, NULL, s->tokens * row)};
    if (s->bad) poison(p, &a.q, s->tokens / 2 * row + s->d / 2, NAN);
    free(first);
    return a;
}

static attention_args args_of(const attention_run *s, const attention_data *a, int i,
                              precision grade) {
    return (attention_args){.q = a->q.at[i],
                            .k = a->k.at[i],
                            .v = a->v.at[i],
                            .first = a->first.at[i],
                            .last = a->last.at[i],
                            .out = a->out.at[i],
                            .tokens = s->tokens,
                            .keys = s->keys,
                            .heads = s->heads,
                            .kv_heads = s->kv_heads,
                            .head_dim = s->d,
                            .scale = 1 / sqrtf((float)s->d),
                            .grade = grade};
}

static void attention_run_forward(pair *p, const attention_run *s) {
    char name[100];
    snprintf(name, sizeof name, "attention, %d tokens, %d keys, %d / %d heads of %d",
             (int)s->tokens, (int)s->keys, (int)s->heads, (int)s->kv_heads, (int)s->d);
    attention_data a = attention_open(p, s);
    for (int grade = PRECISION_ROUNDED; grade >= PRECISION_FULL; grade--) {
        PAIR_RUN(p, {
            attention_args args = args_of(s, &a, i, (precision)grade);
            op_attention(be, &args);
        });
        if (grade == PRECISION_ROUNDED && s->bad)
            check_nan(p, name, &a.out);
        else
            pair_close(p, name, &a.out, s->d, grade == PRECISION_FULL ? NEAR : NEAR_HALF);
    }
    pair_clear(p);
}

static void attention_case(pair *p) {
    static const attention_run runs[] = {
        {1, 1, 1, 1, 18, 0, 0, false},        {1, 300, 4, 1, 64, 0, 0, false},
        {3, 200, 10, 2, 64, 0, 50, true},     {8, 70, 3, 3, 18, 0, 0, false},
        {2, 130, 5, 1, 256, 0, 0, false},     {9, 100, 4, 2, 18, 0, 0, false},
        {70, 200, 6, 2, 64, 0, 0, true},      {150, 150, 2, 1, 64, 37, 0, false},
        {300, 300, 2, 1, 128, 170, 0, false}, {200, 330, 4, 2, 64, 0, 90, true},
        {130, 130, 2, 2, 18, 130, 20, false}, {65, 65, 4, 2, 200, 65, 0, true},
        {200, 200, 1, 1, 18, 64, 0, false}};
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) attention_run_forward(p, &runs[i]);
}

/* 1 MiB: 2048 keys of 128 floats. */
static void attention_windows_case(pair *p) {
    attention_run_forward(p, &(attention_run){3, 3000, 4, 2, 64, 0, 0, false});
    attention_run_forward(p, &(attention_run){20, 2500, 4, 2, 64, 0, 100, false});
    attention_run_forward(p, &(attention_run){1100, 1100, 4, 1, 64, 90, 0, false});
}

static void attention_fault_case(pair *p) {
    static const int32_t ranges[][2] = {{-1, 5}, {4, 3}, {0, 140}};
    for (int r = 0; r < 9; r++) {
        int64_t tokens = r < 3 ? 4 : r < 6 ? 20 : 130; /* by splitting, tiles, matrices */
        attention_run s = {tokens, 140, 2, 1, 32, 0, 0, false};
        attention_data a = attention_open(p, &s);
        backend *be = p->be[1];
        backend_write(be, view_floats(a.first.at[1], 2), &ranges[r % 3][0], 4);
        backend_write(be, view_floats(a.last.at[1], 2), &ranges[r % 3][1], 4);
        attention_args args = args_of(&s, &a, 1, PRECISION_ROUNDED);
        weft_error err = {0};
        backend_begin(be);
        op_attention(be, &args);
        assert_int_equal(backend_submit(be, &err), WEFT_ERR_RANGE);
        assert_string_equal(err.message,
                            "op_attention: a token's keys are not within 0 .. keys - 1 (place 2)");
        pair_clear(p);
    }
}

static void check_gradient(pair *p, const char *what, const operand *o, bool bad, bool full) {
    if (bad)
        check_nan(p, what, o);
    else
        pair_close(p, what, o, o->count, full ? NEAR_WEIGHTS : NEAR_HALF_WEIGHTS);
}

static void backward_run(pair *p, const attention_run *s) {
    attention_data a = attention_open(p, s);
    int64_t row = s->heads * s->d, kv_row = s->kv_heads * s->d;
    operand dout = pair_random(p, s->tokens * row, 1e-4f), dq = pair_random(p, s->tokens * row, 1);
    operand dk = pair_random(p, s->tokens * kv_row, 1), dv = pair_random(p, s->tokens * kv_row, 1);
    for (int grade = PRECISION_ROUNDED; grade >= PRECISION_FULL; grade--) {
        bool full = grade == PRECISION_FULL;
        PAIR_RUN(p, {
            attention_args args = args_of(s, &a, i, (precision)grade);
            op_attention_backward(be, &args, dout.at[i], dq.at[i], dk.at[i], dv.at[i]);
        });
        check_gradient(p, full ? "dq" : "dq, rounded", &dq, s->bad, full);
        check_gradient(p, full ? "dk" : "dk, rounded", &dk, s->bad, full);
        check_gradient(p, full ? "dv" : "dv, rounded", &dv, s->bad, full);
    }
    pair_clear(p);
}

static void attention_backward_case(pair *p) {
    static const attention_run runs[] = {
        {3, 3, 1, 1, 18, 2, 0, false},       {5, 5, 4, 2, 18, 5, 0, false},
        {200, 200, 2, 2, 18, 64, 20, false}, {150, 150, 4, 2, 64, 37, 0, false},
        {300, 300, 4, 2, 64, 170, 0, false},

        {70, 70, 3, 1, 200, 65, 0, false}};
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) backward_run(p, &runs[i]);
}

static void backward_windows_case(pair *p) {
    backward_run(p, &(attention_run){1100, 1100, 4, 1, 64, 90, 0, false});
}

static void backward_nan_case(pair *p) {
    backward_run(p, &(attention_run){128, 128, 2, 1, 18, 64, 0, true});
}

static void backward_fault_case(pair *p) {
    static const int32_t wrong[][3] = {{50, 39, 50}, {50, 40, 49}, {50, 51, 50}, {50, -1, 50}};
    for (int r = 0; r < 8; r++) {
        int64_t d = r < 4 ? 18 : 32; /* the last ones are for matrices, where there are any */
        attention_run s = {140, 140, 2, 1, d, 40, 0, false};
        attention_data a = attention_open(p, &s);
        operand dout = pair_random(p, 140 * 2 * d, 1), dq = pair_random(p, 140 * 2 * d, 1);
        operand dk = pair_random(p, 140 * d, 1), dv = pair_random(p, 140 * d, 1);
        backend *be = p->be[1];
        backend_write(be, view_floats(a.first.at[1], wrong[r % 4][0]), &wrong[r % 4][1], 4);
        backend_write(be, view_floats(a.last.at[1], wrong[r % 4][0]), &wrong[r % 4][2], 4);
        attention_args args = args_of(&s, &a, 1, PRECISION_ROUNDED);
        weft_error err = {0};
        backend_begin(be);
        op_attention_backward(be, &args, dout.at[1], dq.at[1], dk.at[1], dv.at[1]);
        assert_int_equal(backend_submit(be, &err), WEFT_ERR_RANGE);
        assert_string_equal(err.message, "op_attention_backward: first and last do not describe "
                                         "documents (place 50)");
        pair_clear(p);
    }
}

const pair_check math_checks[] = {
    {"lora", lora_case, CHECK_WHOLE},
    {"lora_windows", lora_windows_case, CHECK_WINDOWS | CHECK_ONCE},
    {"dense", dense_case, CHECK_WHOLE},
    {"dense_windows", dense_windows_case, CHECK_WINDOWS | CHECK_ONCE},
    {"head_loss", head_loss_case, CHECK_WHOLE},
    {"head_loss_windows", head_loss_windows_case, CHECK_WINDOWS | CHECK_ONCE},
    {"head_loss_fault", head_loss_fault_case, CHECK_WHOLE},
    {"attention", attention_case, CHECK_WHOLE},
    {"attention_windows", attention_windows_case, CHECK_WINDOWS | CHECK_ONCE},
    {"attention_fault", attention_fault_case, CHECK_WHOLE},
    {"attention_backward", attention_backward_case, CHECK_WHOLE},
    {"backward_windows", backward_windows_case, CHECK_WINDOWS | CHECK_ONCE},
    {"backward_nan", backward_nan_case, CHECK_WHOLE},
    {"backward_fault", backward_fault_case, CHECK_WHOLE},
    {NULL, NULL, 0},
};
