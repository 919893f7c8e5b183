/* Attention for any vector ISA (vec.h): up to ATTENTION_QUERIES neighbouring tokens that see the
 * same first key go through the keys together, as two small products. A key that a token does not
 * see gets weight zero, which changes no bit of the sums, so a token's result does not depend on
 * its neighbours. */
#ifndef WEFT_KERNEL_VEC_ATTENTION_H
#define WEFT_KERNEL_VEC_ATTENTION_H

#include "kernel/vec_products.h"

/* Tokens [begin, begin + count) share `first`; together they see `keys` keys. */
typedef struct query_block {
    int64_t begin, count, first, keys;
} query_block;

static inline query_block next_block(const attention_shape *shape, int64_t begin, int64_t end) {
    query_block b = {.begin = begin, .first = shape->first[begin]};
    while (b.count < ATTENTION_QUERIES && begin + b.count < end &&
           shape->first[begin + b.count] == b.first) {
        b.keys = max_i64(b.keys, shape->last[begin + b.count] - b.first + 1);
        b.count++;
    }
    return b;
}

static inline void softmax(float *row, int64_t n) {
    const vec highest = vec_set(row_max(row, n));
    vec total = vec_zero();
    for (int64_t i = 0; i < n; i += LANES) {
        vec e = vec_exp(load_lanes(row + i, n - i) - highest);
        if (n - i < LANES) e = vec_keep_some(e, n - i);
        store_lanes(row + i, n - i, e);
        total = total + e;
    }
    const vec gain = vec_set(1.0f / vec_sum(total));
    for (int64_t i = 0; i < n; i += LANES)
        store_lanes(row + i, n - i, load_lanes(row + i, n - i) * gain);
}

/* products (b.count, b.keys) = alpha * x k^T; x points at the block's first query, k at its first
 * key. */
static inline void block_dots(const attention_shape *shape, const query_block *b, float alpha,
                              const float *x, const float *k, float *products) {
    dot_product p = {.x = x,
                     .ldx = shape->ldq,
                     .tokens = b->count,
                     .w = k,
                     .ldw = shape->ldkv,
                     .rows = b->keys,
                     .k = shape->head_dim,
                     .alpha = alpha,
                     .y = products,
                     .ldy = b->keys};
    dot_multiply(&p);
}

/* weights (b.count, b.keys): the softmax of each query's scores, zero for the keys it does not see.
 */
static inline void block_weights(const attention_shape *shape, const query_block *b, const float *q,
                                 const float *k, float *weights) {
    block_dots(shape, b, shape->scale, q, k, weights);
    for (int64_t i = 0; i < b->count; i++) {
        int64_t seen = shape->last[b->begin + i] - b->first + 1;
        float *row = weights + i * b->keys;
        softmax(row, seen);
        memset(row + seen, 0, (size_t)(b->keys - seen) * sizeof(float));
    }
}

/* Runs p over the columns of a head, strip by strip. */
static inline void head_strips(strip_product p, int64_t head_dim) {
    for (int64_t i = 0; i < head_dim; i += STRIP, p.b += STRIP, p.c += STRIP) {
        p.width = min_i64(STRIP, head_dim - i);
        strip_multiply(&p);
    }
}

/* out (b.count, d) = weights (b.count, b.keys) times the rows of v. */
static inline void block_sum(const attention_shape *shape, const query_block *b,
                             const float *weights, const float *v, float *out) {
    strip_product p = {.a = weights,
                       .a_row = b->keys,
                       .a_step = 1,
                       .rows = b->count,
                       .depth = b->keys,
                       .b = v,
                       .ldb = shape->ldkv,
                       .alpha = 1,
                       .c = out,
                       .ldc = shape->ldq};
    head_strips(p, shape->head_dim);
}

/* dkv (b.keys, d) += weights^T times the block's rows of q or dout. */
static inline void block_scatter(const attention_shape *shape, const query_block *b,
                                 const float *weights, const float *rows, float *dkv) {
    strip_product p = {.a = weights,
                       .a_row = 1,
                       .a_step = b->keys,
                       .rows = b->keys,
                       .depth = b->count,
                       .b = rows,
                       .ldb = shape->ldq,
                       .alpha = 1,
                       .c = dkv,
                       .ldc = shape->ldkv,
                       .keep = true};
    head_strips(p, shape->head_dim);
}

static inline void attention(const attention_shape *shape, int64_t head, int64_t token_begin,
                             int64_t token_end, const float *q, const float *k, const float *v,
                             float *out, float *scratch) {
    int64_t d = shape->head_dim, kv_head = head / (shape->heads / shape->kv_heads);
    for (int64_t t = token_begin; t < token_end;) {
        query_block b = next_block(shape, t, token_end);
        int64_t query = t * shape->ldq + head * d, key = b.first * shape->ldkv + kv_head * d;
        block_weights(shape, &b, q + query, k + key, scratch);
        block_sum(shape, &b, scratch, v + key, out + query);
        t += b.count;
    }
}

/* ds[j] = scale * p[j] * (dp[j] - sum_i p[i] dp[i]), in place of dp. */
static inline void score_gradients(float scale, const float *p, float *dp, int64_t n) {
    vec dot = vec_zero();
    for (int64_t i = 0; i < n; i += LANES)
        dot = vec_fma(load_lanes(p + i, n - i), load_lanes(dp + i, n - i), dot);
    const vec mean = vec_set(vec_sum(dot)), gain = vec_set(scale);
    for (int64_t i = 0; i < n; i += LANES) {
        vec weight = gain * load_lanes(p + i, n - i);
        store_lanes(dp + i, n - i, weight * (load_lanes(dp + i, n - i) - mean));
    }
}

static inline void attention_backward(const attention_shape *shape, int64_t kv_head,
                                      int64_t token_begin, int64_t token_end, const float *q,
                                      const float *k, const float *v, const float *dout, float *dq,
                                      float *dk, float *dv, float *scratch) {
    int64_t d = shape->head_dim, group = shape->heads / shape->kv_heads;
    for (int64_t t = token_begin; t < token_end; t++) {
        memset(dk + t * shape->ldkv + kv_head * d, 0, (size_t)d * sizeof(float));
        memset(dv + t * shape->ldkv + kv_head * d, 0, (size_t)d * sizeof(float));
    }
    for (int64_t t = token_begin; t < token_end;) {
        query_block b = next_block(shape, t, token_end);
        int64_t key = b.first * shape->ldkv + kv_head * d;
        float *p = scratch, *ds = scratch + b.count * b.keys;
        for (int64_t head = kv_head * group; head < (kv_head + 1) * group; head++) {
            int64_t query = t * shape->ldq + head * d;
            block_weights(shape, &b, q + query, k + key, p);
            block_dots(shape, &b, 1, dout + query, v + key, ds);
            for (int64_t i = 0; i < b.count; i++)
                score_gradients(shape->scale, p + i * b.keys, ds + i * b.keys, b.keys);
            block_sum(shape, &b, ds, k + key, dq + query);
            block_scatter(shape, &b, ds, q + query, dk + key);
            block_scatter(shape, &b, p, dout + query, dv + key);
        }
        t += b.count;
    }
}

#endif
