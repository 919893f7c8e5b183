/* The forward pass as backend operations: no element loops, no device code. A layer is
 *   h = norm(x); q, k, v = W h (+ LoRA); rotate q, k; a = attention; x += W_o subnorm(a)
 *   h = norm(x); f = act(W_gate h) * W_up h; x += W_down subnorm(f)
 * with W ternary on int8 activations, LoRA on the unrounded ones (docs/FORMATS.md, 8). */
#include "model/forward.h"

#include "base/os.h"
#include "base/rng.h"

#include <math.h>
#include <stdlib.h>

/* Cosines and sines of every position: angle(p, j) = p / (factor[j] * base^(2j/d)), in double, so
 * that long contexts keep their float32 accuracy. */
static int upload_rope(forward *f, weft_error *err) {
    const config *c = &f->m->cfg;
    int64_t half = c->head_dim / 2;
    float *row = os_alloc((size_t)c->head_dim * sizeof(float));
    if (!row) return err_set(err, WEFT_ERR_MEMORY, "out of memory for the rotary table");
    for (int64_t p = 0; p < f->positions_max; p++) {
        for (int64_t j = 0; j < half; j++) {
            double frequency = pow(c->rope_base, -2.0 * (double)j / (double)c->head_dim);
            double angle = (double)p * frequency / (double)c->rope_factors[j];
            row[j] = (float)cos(angle);
            row[half + j] = (float)sin(angle);
        }
        backend_write(f->be, view_floats(f->rope, p * c->head_dim), row,
                      (size_t)c->head_dim * sizeof(float));
    }
    os_free(row);
    return WEFT_OK;
}

/* Carve the scratch views out of one buffer; with base NULL only the size is wanted. */
static size_t place_scratch(const config *c, const forward_options *o, forward *f, buffer *base) {
    size_t at = 0, tokens = (size_t)o->tokens_max;
    int64_t widest = config_widest_input(c);
    size_t sizes[5] = {(size_t)o->positions_max * (size_t)c->head_dim * sizeof(float),
                       quantised_bytes(o->tokens_max, widest),
                       o->smooth ? tokens * (size_t)c->hidden * sizeof(float) : 0,
                       o->dropout ? tokens * (size_t)widest * sizeof(float) : 0,
                       tokens * (size_t)o->rank_max * sizeof(float)};
    view *views[5] = {&f->rope, &f->q8, &f->proj, &f->dropped, &f->low};
    for (int i = 0; i < 5; i++) {
        *views[i] = (view){base, at};
        at += round_up(sizes[i], 64);
    }
    return at;
}

size_t forward_scratch_bytes(const config *c, const forward_options *options) {
    forward unused;
    return place_scratch(c, options, &unused, NULL);
}

int forward_create(const model *m, const forward_options *options, forward *f, weft_error *err) {
    *f = (forward){.m = m,
                   .be = m->be,
                   .tokens_max = options->tokens_max,
                   .positions_max = options->positions_max,
                   .layer_count = m->cfg.layer_count,
                   .smooth = options->smooth};
    TRY(buffer_create(m->be, forward_scratch_bytes(&m->cfg, options), &f->scratch, err));
    place_scratch(&m->cfg, options, f, f->scratch);
    int rc = upload_rope(f, err);
    if (rc) forward_destroy(f);
    return rc;
}

void forward_destroy(forward *f) {
    if (f->be) buffer_free(f->be, &f->scratch);
    *f = (forward){0};
}

size_t acts_place(const config *c, int64_t tokens, int32_t rank, bool shared, buffer *buf,
                  size_t offset, layer_acts *acts) {
    size_t start = offset;
    int64_t attention_width = c->heads * c->head_dim, kv_width = c->kv_heads * c->head_dim;
    struct {
        view *at;
        int64_t width;
    } pieces[] = {{&acts->norm1, c->hidden}, {&acts->q, attention_width},   {&acts->k, kv_width},
                  {&acts->v, kv_width},      {&acts->att, attention_width}, {&acts->mid, c->hidden},
                  {&acts->norm2, c->hidden}, {&acts->gate, c->ffn},         {&acts->up, c->ffn},
                  {&acts->glu, c->ffn}};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        *pieces[i].at = (view){buf, offset};
        offset += round_up((size_t)(tokens * pieces[i].width) * sizeof(float), 64);
    }
    acts->att_norm = acts->att;
    acts->glu_norm = acts->glu;
    if (c->sub_norms && !shared) { /* the backward needs a norm's input and its output */
        acts->att_norm = (view){buf, offset};
        offset += round_up((size_t)(tokens * attention_width) * sizeof(float), 64);
        acts->glu_norm = (view){buf, offset};
        offset += round_up((size_t)(tokens * c->ffn) * sizeof(float), 64);
    }
    for (int t = 0; t < TARGET_COUNT; t++) {
        acts->down[t] = (view){buf, offset};
        offset += round_up((size_t)(tokens * rank) * sizeof(float), 64);
    }
    return offset - start;
}

uint64_t dropout_seed_of(const forward *f, int64_t layer, target t) {
    return rng_split(f->dropout_seed, (uint64_t)(layer * TARGET_COUNT + t));
}

/* h = A x of the adapter in training, kept for the backward; false if it leaves the product out. */
static bool trained_term(forward *f, int64_t layer, target t, int64_t tokens, view x, view down,
                         lora_term *term) {
    const lora_pair *p = f->trained ? adapter_pair(f->trained, layer, t) : NULL;
    int64_t rows, cols;
    if (!p || !p->rank) return false;
    config_target_shape(&f->m->cfg, t, &rows, &cols);
    view input = x, params = view_of(f->trained->params);
    if (f->dropout > 0) {
        input = f->dropped;
        op_dropout(f->be, x, tokens * cols, f->dropout, dropout_seed_of(f, layer, t), input, false);
    }
    op_lora_down(f->be, input, view_floats(params, (int64_t)p->a_offset), tokens, cols, p->rank,
                 down);
    *term = (lora_term){down, view_floats(params, (int64_t)p->b_offset), p->rank, p->scale};
    return true;
}

/* y += scale * B (A x) of every adapter in use, then of the one in training, whose A x is kept. */
static void add_adapters(forward *f, int64_t layer, target t, int64_t tokens, view x, view y,
                         view down) {
    int64_t rows, cols;
    config_target_shape(&f->m->cfg, t, &rows, &cols);
    for (size_t i = 0; i < f->use_count; i++) {
        const adapter *a = f->uses[i].adapter;
        const lora_pair *p = adapter_pair(a, layer, t);
        if (!p->rank || f->uses[i].scale == 0) continue;
        op_lora_down(f->be, x, view_floats(view_of(a->params), (int64_t)p->a_offset), tokens, cols,
                     p->rank, f->low);
        op_lora_up(f->be, f->low, view_floats(view_of(a->params), (int64_t)p->b_offset), tokens,
                   rows, p->rank, f->uses[i].scale * p->scale, y);
    }
    lora_term term;
    if (trained_term(f, layer, t, tokens, x, down, &term))
        op_lora_up(f->be, term.h, term.b, tokens, rows, term.r, term.scale, y);
}

/* y = W x + adapters from the rounded x, to which base is added if there is one. Where the adapter
 * in training is alone, it goes with the product. */
static void rounded_product(forward *f, int64_t layer, target t, int64_t tokens, view x,
                            const view *base, view y, view down) {
    const ternary_weight *w = f->m->layers[layer].proj[t];
    lora_term term;
    if (!f->use_count && trained_term(f, layer, t, tokens, x, down, &term)) {
        op_ternary_matmul_lora(f->be, w, f->q8, tokens, base, &term, y);
        return;
    }
    if (base)
        op_ternary_matmul_add(f->be, w, f->q8, tokens, *base, y);
    else
        op_ternary_matmul(f->be, w, f->q8, tokens, y);
    add_adapters(f, layer, t, tokens, x, y, down);
}

/* y = norm(x), and its rounded form in f->q8 for all the projections that read it. */
static void norm_input(forward *f, view x, view gamma, int64_t tokens, int64_t n, view y) {
    float eps = f->m->cfg.norm_epsilon;
    if (f->smooth)
        op_rmsnorm(f->be, x, gamma, tokens, n, eps, y);
    else
        op_rmsnorm_quantise(f->be, x, gamma, tokens, n, eps, y, f->q8);
}

/* The same of the input of the second projection of a block, which only some models norm. */
static void sub_norm_input(forward *f, view x, view gamma, int64_t tokens, int64_t n, view y) {
    if (f->m->cfg.sub_norms)
        norm_input(f, x, gamma, tokens, n, y);
    else if (!f->smooth)
        op_quantise(f->be, x, tokens, n, f->q8);
}

/* The gated unit as the input of the projection back. */
static void glu_input(forward *f, int64_t layer, int64_t tokens, const layer_acts *acts) {
    const config *c = &f->m->cfg;
    view gamma = f->m->layers[layer].ffn_sub_norm;
    if (c->sub_norms && !f->smooth) {
        op_glu_rmsnorm_quantise(f->be, c->act, acts->gate, acts->up, gamma, tokens, c->ffn,
                                c->norm_epsilon, acts->glu, acts->glu_norm, f->q8);
        return;
    }
    op_glu(f->be, c->act, acts->gate, acts->up, tokens * c->ffn, acts->glu);
    sub_norm_input(f, acts->glu, gamma, tokens, c->ffn, acts->glu_norm);
}

/* y = W x + adapters; x's rounded form is in f->q8. */
static void project(forward *f, int64_t layer, target t, int64_t tokens, view x, view y,
                    const layer_acts *acts) {
    if (!f->smooth) {
        rounded_product(f, layer, t, tokens, x, NULL, y, acts->down[t]);
        return;
    }
    op_ternary_matmul_f32(f->be, f->m->layers[layer].proj[t], x, tokens, y);
    add_adapters(f, layer, t, tokens, x, y, acts->down[t]);
}

/* y = base + W x + adapters: back into the residual stream. y may be base. */
static void project_add(forward *f, int64_t layer, target t, int64_t tokens, view x, view base,
                        view y, const layer_acts *acts) {
    if (!f->smooth) {
        rounded_product(f, layer, t, tokens, x, &base, y, acts->down[t]);
        return;
    }
    op_ternary_matmul_f32(f->be, f->m->layers[layer].proj[t], x, tokens, f->proj);
    op_add(f->be, base, f->proj, tokens * f->m->cfg.hidden, y);
    add_adapters(f, layer, t, tokens, x, y, acts->down[t]);
}

static void forward_attention(forward *f, const token_batch *b, const layer_acts *acts,
                              const layer_cache *cache) {
    const config *c = &f->m->cfg;
    int64_t tokens = b->tokens, kv_width = c->kv_heads * c->head_dim;
    op_rope(f->be, acts->q, b->positions, f->rope, tokens, c->heads, c->head_dim,
            c->rope_interleaved, false);
    attention_args args = {.q = acts->q,
                           .k = acts->k,
                           .v = acts->v,
                           .first = b->first,
                           .last = b->last,
                           .out = acts->att,
                           .tokens = tokens,
                           .keys = tokens,
                           .heads = c->heads,
                           .kv_heads = c->kv_heads,
                           .head_dim = c->head_dim,
                           .scale = 1.0f / sqrtf((float)c->head_dim),
                           .grade = forward_precision(f)};
    if (cache) {
        op_rope_scatter(f->be, acts->k, b->positions, f->rope, tokens, c->kv_heads, c->head_dim,
                        c->rope_interleaved, b->last, cache->k, cache->keys);
        op_scatter(f->be, acts->v, b->last, tokens, kv_width, cache->v, cache->keys);
        args.k = cache->k;
        args.v = cache->v;
        args.keys = cache->keys;
    } else {
        op_rope(f->be, acts->k, b->positions, f->rope, tokens, c->kv_heads, c->head_dim,
                c->rope_interleaved, false);
    }
    op_attention(f->be, &args);
}

void forward_embed(forward *f, const token_batch *b, view x) {
    op_embed(f->be, f->m->embed, b->ids, b->tokens, x);
}

void forward_layer(forward *f, int64_t layer, const token_batch *b, const layer_acts *acts,
                   const layer_cache *cache, view out) {
    const config *c = &f->m->cfg;
    const layer_weights *w = &f->m->layers[layer];
    int64_t tokens = b->tokens, attention_width = c->heads * c->head_dim;

    norm_input(f, acts->in, w->attn_norm, tokens, c->hidden, acts->norm1);
    project(f, layer, TARGET_Q, tokens, acts->norm1, acts->q, acts);
    project(f, layer, TARGET_K, tokens, acts->norm1, acts->k, acts);
    project(f, layer, TARGET_V, tokens, acts->norm1, acts->v, acts);
    forward_attention(f, b, acts, cache);
    sub_norm_input(f, acts->att, w->attn_sub_norm, tokens, attention_width, acts->att_norm);
    project_add(f, layer, TARGET_O, tokens, acts->att_norm, acts->in, acts->mid, acts);

    norm_input(f, acts->mid, w->ffn_norm, tokens, c->hidden, acts->norm2);
    project(f, layer, TARGET_GATE, tokens, acts->norm2, acts->gate, acts);
    project(f, layer, TARGET_UP, tokens, acts->norm2, acts->up, acts);
    glu_input(f, layer, tokens, acts);
    project_add(f, layer, TARGET_DOWN, tokens, acts->glu_norm, acts->mid, out, acts);
}

void forward_final_norm(forward *f, view x, int64_t tokens, view y) {
    const config *c = &f->m->cfg;
    op_rmsnorm(f->be, x, f->m->output_norm, tokens, c->hidden, c->norm_epsilon, y);
}

void forward_logits(forward *f, view y, int64_t tokens, view logits) {
    op_dense_matmul(f->be, f->m->head, y, tokens, forward_precision(f), logits);
}
