/* Plain double-precision forward pass. */
#include "oracle/reference.h"

#include "format/repack.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct reference {
    const gguf_file *file;
    const config *c;
    const adapter *a;
    const float *params;
    int64_t tokens;
    float *weights; /* the matrix in hand */
    double *x, *h, *q, *k, *v, *att, *gate, *up, *out;
    bool ok;
} reference;

static const float *weights_of(reference *r, const char *name, int64_t count) {
    const tensor_view *t = gguf_tensor(r->file, name);
    if (!t || tensor_count(t) != count || repack_to_f32(t, 0, count, r->weights, NULL)) {
        fprintf(stderr, "oracle_check: the reference cannot read %s\n", name);
        r->ok = false;
    }
    return r->weights;
}

static void norm(reference *r, const char *name, const double *x, int64_t n, double *y) {
    const float *gamma = weights_of(r, name, n);
    for (int64_t t = 0; t < r->tokens; t++) {
        double sum = 0;
        for (int64_t i = 0; i < n; i++) sum += x[t * n + i] * x[t * n + i];
        double scale = 1 / sqrt(sum / (double)n + (double)r->c->norm_epsilon);
        for (int64_t i = 0; i < n; i++) y[t * n + i] = x[t * n + i] * scale * (double)gamma[i];
    }
}

static void add_adapter(reference *r, int64_t layer, target which, int64_t rows, int64_t cols,
                        const double *x, double *y) {
    const lora_pair *p = adapter_pair(r->a, layer, which);
    const float *a = r->params + p->a_offset, *b = r->params + p->b_offset;
    for (int64_t t = 0; t < r->tokens; t++) {
        for (int64_t k = 0; k < p->rank; k++) {
            double down = 0;
            for (int64_t i = 0; i < cols; i++) down += (double)a[k * cols + i] * x[t * cols + i];
            for (int64_t j = 0; j < rows; j++)
                y[t * rows + j] += (double)p->scale * down * (double)b[j * p->rank + k];
        }
    }
}

static void project(reference *r, int64_t layer, target which, const double *x, double *y) {
    char name[128];
    int64_t rows, cols;
    config_target_shape(r->c, which, &rows, &cols);
    snprintf(name, sizeof name, "blk.%lld.%s.weight", (long long)layer, target_tensor(which));
    const float *w = weights_of(r, name, rows * cols);
    for (int64_t t = 0; t < r->tokens; t++)
        for (int64_t j = 0; j < rows; j++) {
            double sum = 0;
            for (int64_t i = 0; i < cols; i++) sum += (double)w[j * cols + i] * x[t * cols + i];
            y[t * rows + j] = sum;
        }
    if (r->a) add_adapter(r, layer, which, rows, cols, x, y);
}

static void rotate(const reference *r, double *x, int64_t heads) {
    int64_t d = r->c->head_dim, half = d / 2;
    for (int64_t t = 0; t < r->tokens; t++)
        for (int64_t h = 0; h < heads; h++)
            for (int64_t j = 0; j < half; j++) {
                double frequency = pow(r->c->rope_base, -2.0 * (double)j / (double)d);
                double angle = (double)t * frequency / (double)r->c->rope_factors[j];
                double *row = x + (t * heads + h) * d;
                double *a = row + (r->c->rope_interleaved ? 2 * j : j);
                double *b = r->c->rope_interleaved ? a + 1 : a + half;
                double old = *a;
                *a = old * cos(angle) - *b * sin(angle);
                *b = *b * cos(angle) + old * sin(angle);
            }
}

static void attend(reference *r) {
    const config *c = r->c;
    int64_t d = c->head_dim, width = c->heads * d, kv_width = c->kv_heads * d;
    double *p = malloc((size_t)r->tokens * sizeof *p);
    for (int64_t t = 0; p && t < r->tokens; t++)
        for (int64_t h = 0; h < c->heads; h++) {
            int64_t at = h / (c->heads / c->kv_heads) * d;
            double top = -INFINITY, sum = 0, *out = r->att + t * width + h * d;
            for (int64_t s = 0; s <= t; s++) {
                p[s] = 0;
                for (int64_t i = 0; i < d; i++)
                    p[s] += r->q[t * width + h * d + i] * r->k[s * kv_width + at + i];
                p[s] /= sqrt((double)d);
                if (p[s] > top) top = p[s];
            }
            for (int64_t s = 0; s <= t; s++) sum += p[s] = exp(p[s] - top);
            for (int64_t i = 0; i < d; i++) {
                out[i] = 0;
                for (int64_t s = 0; s <= t; s++) out[i] += p[s] / sum * r->v[s * kv_width + at + i];
            }
        }
    r->ok = r->ok && p;
    free(p);
}

static void accumulate(double *x, const double *y, int64_t n) {
    for (int64_t i = 0; i < n; i++) x[i] += y[i];
}

static const char *name_of(int64_t layer, const char *part) {
    static char name[96];
    snprintf(name, sizeof name, "blk.%lld.%s.weight", (long long)layer, part);
    return name;
}

static void run_layer(reference *r, int64_t i) {
    const config *c = r->c;
    norm(r, name_of(i, "attn_norm"), r->x, c->hidden, r->h);
    project(r, i, TARGET_Q, r->h, r->q);
    project(r, i, TARGET_K, r->h, r->k);
    project(r, i, TARGET_V, r->h, r->v);
    rotate(r, r->q, c->heads);
    rotate(r, r->k, c->kv_heads);
    attend(r);
    if (c->sub_norms) norm(r, name_of(i, "attn_sub_norm"), r->att, c->heads * c->head_dim, r->att);
    project(r, i, TARGET_O, r->att, r->out);
    accumulate(r->x, r->out, r->tokens * c->hidden);
    norm(r, name_of(i, "ffn_norm"), r->x, c->hidden, r->h);
    project(r, i, TARGET_GATE, r->h, r->gate);
    project(r, i, TARGET_UP, r->h, r->up);
    for (int64_t k = 0; k < r->tokens * c->ffn; k++) {
        double z = r->gate[k];
        r->up[k] *= c->act == ACTIVATION_RELU2 ? (z > 0 ? z * z : 0) : z / (1 + exp(-z));
    }
    if (c->sub_norms) norm(r, name_of(i, "ffn_sub_norm"), r->up, c->ffn, r->up);
    project(r, i, TARGET_DOWN, r->up, r->out);
    accumulate(r->x, r->out, r->tokens * c->hidden);
}

static void run(reference *r, const int32_t *ids, double *logits) {
    const config *c = r->c;
    const float *e = weights_of(r, "token_embd.weight", c->vocab * c->hidden);
    for (int64_t t = 0; t < r->tokens; t++)
        for (int64_t i = 0; i < c->hidden; i++)
            r->x[t * c->hidden + i] = (double)e[(int64_t)ids[t] * c->hidden + i];
    for (int64_t i = 0; i < c->layer_count; i++) run_layer(r, i);
    norm(r, "output_norm.weight", r->x, c->hidden, r->h);
    const double *last = r->h + (r->tokens - 1) * c->hidden;
    e = weights_of(r, c->tied_head ? "token_embd.weight" : "output.weight", c->vocab * c->hidden);
    for (int64_t j = 0; j < c->vocab; j++) {
        logits[j] = 0;
        for (int64_t i = 0; i < c->hidden; i++) logits[j] += (double)e[j * c->hidden + i] * last[i];
    }
}

bool reference_logits(const gguf_file *file, const config *c, const adapter *a, const float *params,
                      const int32_t *ids, int64_t count, double *logits) {
    reference r = {.file = file, .c = c, .a = a, .params = params, .tokens = count, .ok = true};
    int64_t width = c->heads * c->head_dim, kv_width = c->kv_heads * c->head_dim;
    int64_t largest = c->vocab > c->ffn ? c->vocab * c->hidden : c->ffn * c->hidden;
    int64_t sizes[9] = {c->hidden, c->hidden, width,  kv_width, kv_width,
                        width,     c->ffn,    c->ffn, c->hidden};
    double **arrays[9] = {&r.x, &r.h, &r.q, &r.k, &r.v, &r.att, &r.gate, &r.up, &r.out};
    r.weights = malloc((size_t)largest * sizeof(float));
    for (int i = 0; i < 9; i++) {
        *arrays[i] = calloc((size_t)(count * sizes[i]), sizeof(double));
        r.ok = r.ok && *arrays[i];
    }
    r.ok = r.ok && r.weights;
    if (r.ok) run(&r, ids, logits);
    for (int i = 0; i < 9; i++) free(*arrays[i]);
    free(r.weights);
    return r.ok;
}
