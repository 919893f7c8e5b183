/* Scalar C of attention over packed documents and of its backward, which recomputes the weights
 * from q and k instead of keeping them. */
#include "kernel/ref.h"

#include <math.h>

static double dot(const float *a, const float *b, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)a[i] * b[i];
    return sum;
}

/* weights[j] = softmax_j(scale * q . k[j]) over `count` keys, each ldkv floats apart. */
static void attention_weights(const attention_shape *shape, const float *q, const float *k,
                              int64_t count, float *weights) {
    float highest = -INFINITY;
    for (int64_t j = 0; j < count; j++) {
        weights[j] = (float)(shape->scale * dot(q, k + j * shape->ldkv, shape->head_dim));
        highest = fmaxf(highest, weights[j]);
    }
    double total = 0;
    for (int64_t j = 0; j < count; j++) {
        weights[j] = expf(weights[j] - highest);
        total += weights[j];
    }
    for (int64_t j = 0; j < count; j++) weights[j] = (float)(weights[j] / total);
}

void ref_attention(const attention_shape *shape, int64_t head, int64_t token_begin,
                   int64_t token_end, const float *q, const float *k, const float *v, float *out,
                   float *scratch) {
    int64_t d = shape->head_dim, kv_head = head / (shape->heads / shape->kv_heads);
    for (int64_t t = token_begin; t < token_end; t++) {
        int64_t first = shape->first[t], count = shape->last[t] - first + 1;
        int64_t key_offset = first * shape->ldkv + kv_head * d;
        attention_weights(shape, q + t * shape->ldq + head * d, k + key_offset, count, scratch);
        float *o = out + t * shape->ldq + head * d;
        for (int64_t i = 0; i < d; i++) {
            double sum = 0;
            for (int64_t j = 0; j < count; j++)
                sum += (double)scratch[j] * v[key_offset + j * shape->ldkv + i];
            o[i] = (float)sum;
        }
    }
}

/* One query: with p the weights and dp[j] = dout . v[j], the gradient of the scores is
 * ds[j] = p[j] * (dp[j] - sum_i p[i] dp[i]); dq = scale * sum_j ds[j] k[j], dk[j] += scale * ds[j]
 * q, dv[j] += p[j] dout. k, v, dk, dv point at the first key. */
static void backward_query(const attention_shape *shape, int64_t count, const float *q,
                           const float *k, const float *v, const float *dout, float *dq, float *dk,
                           float *dv, float *p, float *ds) {
    int64_t d = shape->head_dim, ld = shape->ldkv;
    attention_weights(shape, q, k, count, p);
    double mean = 0;
    for (int64_t j = 0; j < count; j++) {
        ds[j] = (float)dot(dout, v + j * ld, d);
        mean += (double)p[j] * ds[j];
    }
    for (int64_t j = 0; j < count; j++) ds[j] = (float)(shape->scale * p[j] * (ds[j] - mean));
    for (int64_t i = 0; i < d; i++) {
        double sum = 0;
        for (int64_t j = 0; j < count; j++) sum += (double)ds[j] * k[j * ld + i];
        dq[i] = (float)sum;
    }
    for (int64_t j = 0; j < count; j++) {
        for (int64_t i = 0; i < d; i++) {
            dk[j * ld + i] += ds[j] * q[i];
            dv[j * ld + i] += p[j] * dout[i];
        }
    }
}

void ref_attention_backward(const attention_shape *shape, int64_t kv_head, int64_t token_begin,
                            int64_t token_end, const float *q, const float *k, const float *v,
                            const float *dout, float *dq, float *dk, float *dv, float *scratch) {
    int64_t d = shape->head_dim, group = shape->heads / shape->kv_heads;
    size_t head_bytes = (size_t)d * sizeof(float);
    for (int64_t t = token_begin; t < token_end; t++) {
        memset(dk + t * shape->ldkv + kv_head * d, 0, head_bytes);
        memset(dv + t * shape->ldkv + kv_head * d, 0, head_bytes);
    }
    for (int64_t t = token_begin; t < token_end; t++) {
        int64_t first = shape->first[t], count = shape->last[t] - first + 1;
        int64_t key = first * shape->ldkv + kv_head * d;
        for (int64_t head = kv_head * group; head < (kv_head + 1) * group; head++) {
            int64_t query = t * shape->ldq + head * d;
            backward_query(shape, count, q + query, k + key, v + key, dout + query, dq + query,
                           dk + key, dv + key, scratch, scratch + (token_end - token_begin));
        }
    }
}
