/* Counting bytes and operations. Letters as in forward.h: D hidden, H heads, d head size, V
 * vocabulary, r rank; a projection is (N, K). */
#include "train/cost.h"

double cost_decode_bytes(const config *c, double weight_bytes, double keys) {
    double layers = (double)c->layer_count, kv_width = (double)(c->kv_heads * c->head_dim);
    return weight_bytes + 2 * layers * kv_width * (double)sizeof(float) * keys;
}

/* Pairs of a token and a key that it sees, in a row of `tokens` tokens. */
static double pair_count(int64_t tokens) {
    return (double)tokens * (double)(tokens + 1) / 2;
}

/* Products of one pass of attention: two (scores, weighted sum), or five in the backward (scores
 * again, d(probabilities), dq, dk, dv). */
static double attention_ops(const config *c, int64_t tokens, int products) {
    return products * 2.0 * (double)(c->layer_count * c->heads * c->head_dim) * pair_count(tokens);
}

/* One product with every A and B. */
static double lora_ops(const config *c, int64_t tokens, int32_t rank, uint32_t targets) {
    double sum = 0;
    for (int t = 0; t < TARGET_COUNT; t++) {
        int64_t rows, cols;
        config_target_shape(c, (target)t, &rows, &cols);
        if (targets >> t & 1) sum += (double)(rows + cols);
    }
    return 2 * sum * (double)rank * (double)(c->layer_count * tokens);
}

static double head_ops(const config *c, int64_t tokens) {
    return 2 * (double)c->vocab * (double)c->hidden * (double)tokens;
}

cost_ops cost_prefill(const config *c, int64_t tokens) {
    return (cost_ops){.ternary = 2 * (double)config_ternary_count(c) * (double)tokens,
                      .other = attention_ops(c, tokens, 2) + head_ops(c, 1)};
}

cost_ops cost_train(const config *c, int64_t rows, int64_t tokens, int32_t rank, uint32_t targets,
                    bool recompute) {
    double passes = recompute ? 2 : 1, times = (double)rows;
    double product = 2 * (double)config_ternary_count(c) * (double)tokens;
    /* LoRA backward: B^T dy, dB, dA, A^T g: two products with A and two with B. */
    double lora = lora_ops(c, tokens, rank, targets) * (passes + 2);
    double attention = passes * attention_ops(c, tokens, 2) + attention_ops(c, tokens, 5);
    return (cost_ops){.ternary = times * passes * product,
                      .transposed = times * product,
                      .other = times * (lora + attention + 2 * head_ops(c, tokens))};
}
