/* The backward pass of forward.c: the same names in reverse order. With g = d(loss)/dy of a
 * projection dx = m T^T g + s A^T (B^T g),  dB += s g (A x)^T,  dA += s (B^T g) x^T and the
 * rounding of activations passes gradients straight through (docs/FORMATS.md, 8.3). */
#include "train/backward.h"

#include <math.h>

/* Carve the scratch views; with base NULL only the size is wanted. */
static size_t place_scratch(const config *c, int64_t tokens, int32_t rank, bool dropout,
                            backward *b, buffer *base) {
    int64_t attention_width = c->heads * c->head_dim, kv_width = c->kv_heads * c->head_dim;
    int64_t dropped = dropout ? config_widest_input(c) : 0;
    struct {
        view *at;
        int64_t width;
    } pieces[] = {{&b->d_norm, c->hidden}, {&b->d_att, attention_width}, {&b->dq, attention_width},
                  {&b->dk, kv_width},      {&b->dv, kv_width},           {&b->d_glu, c->ffn},
                  {&b->low, rank},         {&b->d_input, dropped},       {&b->dropped, dropped}};
    size_t at = 0;
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        *pieces[i].at = (view){base, at};
        at += round_up((size_t)(tokens * pieces[i].width) * sizeof(float), 64);
    }
    return at;
}

size_t backward_scratch_bytes(const config *c, int64_t tokens, int32_t rank, bool dropout) {
    backward unused;
    return place_scratch(c, tokens, rank, dropout, &unused, NULL);
}

int backward_create(forward *f, view gradients, int32_t rank, backward *out, weft_error *err) {
    const config *c = &f->m->cfg;
    bool dropout = f->dropout > 0;
    *out = (backward){.f = f, .gradients = gradients};
    size_t size = backward_scratch_bytes(c, f->tokens_max, rank, dropout);
    TRY(buffer_create(f->be, size, &out->scratch, err));
    place_scratch(c, f->tokens_max, rank, dropout, out, out->scratch);
    return WEFT_OK;
}

void backward_destroy(backward *b) {
    if (b->f) buffer_free(b->f->be, &b->scratch);
    *b = (backward){0};
}

/* Gradients of the trained pair of one projection; dx receives (or is added) its input gradient,
 * that of the frozen product w (or NULL) included. */
static void backward_adapter(backward *b, int64_t layer, target t, int64_t tokens, view x, view dy,
                             view down, view dx, bool add, const ternary_weight *w) {
    forward *f = b->f;
    const lora_pair *p = adapter_pair(f->trained, layer, t);
    int64_t rows, cols;
    config_target_shape(&f->m->cfg, t, &rows, &cols);
    view params = view_of(f->trained->params);
    lora_backward_args args = {.x = x,
                               .h = down,
                               .dy = dy,
                               .a = view_floats(params, (int64_t)p->a_offset),
                               .b = view_floats(params, (int64_t)p->b_offset),
                               .g = b->low,
                               .da = view_floats(b->gradients, (int64_t)p->a_offset),
                               .db = view_floats(b->gradients, (int64_t)p->b_offset),
                               .dx = dx,
                               .tokens = tokens,
                               .k = cols,
                               .n = rows,
                               .r = p->rank,
                               .scale = p->scale,
                               .add = add,
                               .grade = forward_precision(f)};
    if (f->dropout > 0) { /* the pair saw dropout(x); its input gradient passes the same mask */
        uint64_t seed = dropout_seed_of(f, layer, t);
        if (w) op_ternary_matmul_t(f->be, w, dy, tokens, args.grade, dx, add);
        op_dropout(f->be, x, tokens * cols, f->dropout, seed, b->dropped, false);
        args.x = b->dropped;
        args.dx = b->d_input;
        args.add = false;
        op_lora_backward(f->be, &args);
        op_dropout(f->be, b->d_input, tokens * cols, f->dropout, seed, dx, add || w);
    } else {
        args.w = w;
        op_lora_backward(f->be, &args);
    }
}

/* dx (+)= gradient of one projection's input. base false leaves the frozen product out: at the
 * lowest layer nobody needs dx, and only the pair's own gradients matter. */
static void backward_project(backward *b, int64_t layer, target t, int64_t tokens, view x, view dy,
                             const layer_acts *acts, view dx, bool add, bool base) {
    forward *f = b->f;
    const ternary_weight *w = f->m->layers[layer].proj[t];
    if (adapter_pair(f->trained, layer, t)->rank)
        backward_adapter(b, layer, t, tokens, x, dy, acts->down[t], dx, add, base ? w : NULL);
    else if (base)
        op_ternary_matmul_t(f->be, w, dy, tokens, forward_precision(f), dx, add);
}

static void backward_ffn(backward *b, int64_t layer, int64_t tokens, const layer_acts *acts,
                         view dx) {
    forward *f = b->f;
    const config *c = &f->m->cfg;
    const layer_weights *w = &f->m->layers[layer];
    backward_project(b, layer, TARGET_DOWN, tokens, acts->glu_norm, dx, acts, b->d_glu, false,
                     true);
    if (c->sub_norms)
        op_rmsnorm_backward(f->be, acts->glu, w->ffn_sub_norm, b->d_glu, tokens, c->ffn,
                            c->norm_epsilon, b->d_glu, false);
    op_glu_backward(f->be, c->act, acts->gate, acts->up, b->d_glu, tokens * c->ffn, acts->gate,
                    acts->up);
    backward_project(b, layer, TARGET_UP, tokens, acts->norm2, acts->up, acts, b->d_norm, false,
                     true);
    backward_project(b, layer, TARGET_GATE, tokens, acts->norm2, acts->gate, acts, b->d_norm, true,
                     true);
    op_rmsnorm_backward(f->be, acts->mid, w->ffn_norm, b->d_norm, tokens, c->hidden,
                        c->norm_epsilon, dx, true);
}

static void backward_attention(backward *b, int64_t layer, const token_batch *batch,
                               const layer_acts *acts) {
    forward *f = b->f;
    const config *c = &f->m->cfg;
    int64_t tokens = batch->tokens;
    if (c->sub_norms)
        op_rmsnorm_backward(f->be, acts->att, f->m->layers[layer].attn_sub_norm, b->d_att, tokens,
                            c->heads * c->head_dim, c->norm_epsilon, b->d_att, false);
    attention_args args = {.q = acts->q,
                           .k = acts->k,
                           .v = acts->v,
                           .first = batch->first,
                           .last = batch->last,
                           .out = acts->att,
                           .tokens = tokens,
                           .keys = tokens,
                           .heads = c->heads,
                           .kv_heads = c->kv_heads,
                           .head_dim = c->head_dim,
                           .scale = 1.0f / sqrtf((float)c->head_dim),
                           .grade = forward_precision(f)};
    op_attention_backward(f->be, &args, b->d_att, b->dq, b->dk, b->dv);
    op_rope(f->be, b->dq, batch->positions, f->rope, tokens, c->heads, c->head_dim,
            c->rope_interleaved, true);
    op_rope(f->be, b->dk, batch->positions, f->rope, tokens, c->kv_heads, c->head_dim,
            c->rope_interleaved, true);
}

void backward_layer(backward *b, int64_t layer, const token_batch *batch, const layer_acts *acts,
                    view dx, bool lowest) {
    forward *f = b->f;
    const config *c = &f->m->cfg;
    int64_t tokens = batch->tokens;
    backward_ffn(b, layer, tokens, acts, dx);

    backward_project(b, layer, TARGET_O, tokens, acts->att_norm, dx, acts, b->d_att, false, true);
    backward_attention(b, layer, batch, acts);
    backward_project(b, layer, TARGET_V, tokens, acts->norm1, b->dv, acts, b->d_norm, false,
                     !lowest);
    backward_project(b, layer, TARGET_K, tokens, acts->norm1, b->dk, acts, b->d_norm, true,
                     !lowest);
    backward_project(b, layer, TARGET_Q, tokens, acts->norm1, b->dq, acts, b->d_norm, true,
                     !lowest);
    if (!lowest)
        op_rmsnorm_backward(f->be, acts->in, f->m->layers[layer].attn_norm, b->d_norm, tokens,
                            c->hidden, c->norm_epsilon, dx, true);
}
