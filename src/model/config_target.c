/* The seven projections: names in each format, shapes, and the text form of a set of them. */
#include "model/config.h"

#include <string.h>

static const struct {
    const char *name, *module, *tensor;
} names[TARGET_COUNT] = {
    [TARGET_Q] = {"q_proj", "self_attn.q_proj", "attn_q"},
    [TARGET_K] = {"k_proj", "self_attn.k_proj", "attn_k"},
    [TARGET_V] = {"v_proj", "self_attn.v_proj", "attn_v"},
    [TARGET_O] = {"o_proj", "self_attn.o_proj", "attn_output"},
    [TARGET_GATE] = {"gate_proj", "mlp.gate_proj", "ffn_gate"},
    [TARGET_UP] = {"up_proj", "mlp.up_proj", "ffn_up"},
    [TARGET_DOWN] = {"down_proj", "mlp.down_proj", "ffn_down"},
};

const char *target_name(target t) {
    return names[t].name;
}
const char *target_module(target t) {
    return names[t].module;
}
const char *target_tensor(target t) {
    return names[t].tensor;
}

void config_target_shape(const config *c, target t, int64_t *rows, int64_t *cols) {
    int64_t q = c->heads * c->head_dim, kv = c->kv_heads * c->head_dim;
    *rows = t == TARGET_Q                        ? q
            : t == TARGET_K || t == TARGET_V     ? kv
            : t == TARGET_GATE || t == TARGET_UP ? c->ffn
                                                 : c->hidden;
    *cols = t == TARGET_O ? q : t == TARGET_DOWN ? c->ffn : c->hidden;
}

int64_t config_widest_input(const config *c) {
    int64_t widest = 0;
    for (int t = 0; t < TARGET_COUNT; t++) {
        int64_t rows, cols;
        config_target_shape(c, (target)t, &rows, &cols);
        if (widest < cols) widest = cols;
    }
    return widest;
}

int64_t config_ternary_count(const config *c) {
    int64_t layer = 0;
    for (int t = 0; t < TARGET_COUNT; t++) {
        int64_t rows, cols;
        config_target_shape(c, (target)t, &rows, &cols);
        layer += rows * cols;
    }
    return layer * c->layer_count;
}

int64_t config_hf_row(const config *c, target t, int64_t row) {
    if (!c->rope_interleaved || (t != TARGET_Q && t != TARGET_K)) return row;
    int64_t in_head = row % c->head_dim;
    return row - in_head + in_head % 2 * (c->head_dim / 2) + in_head / 2;
}

static bool word_is(const char *word, size_t size, const char *name) {
    return strlen(name) == size && !memcmp(word, name, size);
}

/* Bits of one word of the list; 0 if it is none that we know. */
static uint32_t word_mask(const char *word, size_t size) {
    const uint32_t attention = 1u << TARGET_Q | 1u << TARGET_K | 1u << TARGET_V | 1u << TARGET_O;
    const uint32_t all = (1u << TARGET_COUNT) - 1;
    if (word_is(word, size, "all")) return all;
    if (word_is(word, size, "attn")) return attention;
    if (word_is(word, size, "mlp")) return all & ~attention;
    for (int t = 0; t < TARGET_COUNT; t++) {
        size_t stem = strlen(names[t].name) - strlen("_proj");
        if (word_is(word, size, names[t].name) || word_is(word, size, names[t].tensor) ||
            (size == stem && !memcmp(word, names[t].name, stem)))
            return 1u << t;
    }
    return 0;
}

int target_parse(const char *text, uint32_t *mask, weft_error *err) {
    uint32_t found = 0;
    for (const char *at = text;;) {
        size_t raw = strcspn(at, ","), skip = strspn(at, " ");
        const char *word = at + (skip < raw ? skip : raw);
        size_t size = (size_t)(at + raw - word);
        while (size && word[size - 1] == ' ') size--;
        uint32_t bits = word_mask(word, size);
        if (!bits)
            return err_set(
                err, WEFT_ERR_ARGUMENT,
                "'%.*s' is not a projection: use all, attn, mlp or a comma list of q, k, v, o, "
                "gate, up, down",
                size > 64 ? 64 : (int)size, word);
        found |= bits;
        if (!at[raw]) break;
        at += raw + 1;
    }
    *mask = found;
    return WEFT_OK;
}
