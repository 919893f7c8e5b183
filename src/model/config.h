/* The shape of a model, and the few switches in which the supported families differ. */
#ifndef WEFT_MODEL_CONFIG_H
#define WEFT_MODEL_CONFIG_H

#include "base/status.h"
#include "format/gguf.h"
#include "format/hf.h"
#include "kernel/kernel.h"

#include <stdbool.h>

#define CONFIG_LAYERS_MAX   1024
#define CONFIG_HIDDEN_MAX   65536
#define CONFIG_FFN_MAX      262144
#define CONFIG_HEADS_MAX    1024
#define CONFIG_HEAD_DIM_MAX 1024
#define CONFIG_CONTEXT_MAX  (1 << 24)

/* The seven projections of a layer: what LoRA may sit on. */
typedef enum target {
    TARGET_Q,
    TARGET_K,
    TARGET_V,
    TARGET_O,
    TARGET_GATE,
    TARGET_UP,
    TARGET_DOWN,
    TARGET_COUNT
} target;

typedef struct config {
    char architecture[32]; /* GGUF's: bitnet, bitnet-25, bitnet-b1.58, llama */
    char name[128];        /* general.name, or "" */
    int64_t layer_count, hidden, ffn, heads, kv_heads, head_dim, vocab, context;
    float norm_epsilon;
    double rope_base;
    bool rope_interleaved; /* pairs (2j, 2j+1): GGUF llama, whose q and k rows are permuted */
    activation act;
    bool sub_norms; /* attn_sub_norm and ffn_sub_norm */
    bool tied_head; /* the head is token_embd */
    /* Divisors of the head_dim/2 rotary frequencies: 1, or linear and llama3 scaling. */
    float rope_factors[CONFIG_HEAD_DIM_MAX / 2];
    char note[256]; /* a guess that was made (activation of an old file), to be shown; or "" */
} config;

/* Read and check. Another architecture, a missing or senseless key (zero heads, hidden % heads
 * ...), and what is not supported (biases, experts, soft caps, sliding windows, other rope
 * scaling) are one error each, naming the key and its value. The activation follows
 * docs/FORMATS.md, 3. */
int config_from_gguf(const gguf_file *file, config *out, weft_error *err);
/* From config.json: BitNetForCausalLM, LlamaForCausalLM with quant_method bitnet or ternary
 * weights. The GGUF architecture chosen: bitnet-b1.58 for relu2 with sub-norms, bitnet for silu
 * with sub-norms (with the key hidden_activation), llama without sub-norms. */
int config_from_hf(const hf_dir *dir, config *out, weft_error *err);
/* c must outlive the writer: llama3 rope divisors become a tensor that borrows from it. */
void config_to_gguf(const config *c, gguf_writer *w);
/* Do the numbers fit together and keep their limits? Both readers end with it; for shapes made by
 * hand. */
int config_check(const config *c, weft_error *err);

/* Input and output features of a projection. */
void config_target_shape(const config *c, target t, int64_t *rows, int64_t *cols);
/* The row of the Hugging Face weight that row `row` of the GGUF one holds: another one only for q
 * and k with rope_interleaved, whose halves of a head are interleaved. */
int64_t config_hf_row(const config *c, target t, int64_t row);
int64_t config_widest_input(const config *c);  /* largest input width of the seven */
int64_t config_ternary_count(const config *c); /* weights in the seven projections of all layers */

/* "q_proj" (Hugging Face), "self_attn.q_proj", and GGUF's "attn_q". */
const char *target_name(target t);
const char *target_module(target t);
const char *target_tensor(target t);
/* Parse "all" or a comma list of names ("q_proj,v_proj", "q,v", "attn", "mlp") into a bit mask. */
int target_parse(const char *text, uint32_t *mask, weft_error *err);

#endif
