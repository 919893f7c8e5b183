/* Merging, which both kinds share, and byte-level BPE (the GPT-2 family). Pairs wait in a heap
 * ordered by rank and place, so that a piece of n symbols takes O(n log n) whatever it holds. */
#include "text/tokenizer_impl.h"
#include "text/utf8.h"

#include "base/layout.h"

#include <stdlib.h>
#include <string.h>

#define NO_SYMBOL UINT32_MAX

static int no_memory(encoder *e) {
    return err_set(e->err, WEFT_ERR_MEMORY, "out of memory for encoding text");
}

int encoder_add_symbol(encoder *e, size_t begin, size_t size, int32_t id) {
    if (e->symbol_count == e->symbol_capacity) {
        size_t capacity = e->symbol_capacity ? 2 * e->symbol_capacity : 64;
        merge_symbol *grown = realloc(e->symbols, capacity * sizeof *grown);
        if (!grown) return no_memory(e);
        e->symbols = grown;
        e->symbol_capacity = capacity;
    }
    uint32_t index = (uint32_t)e->symbol_count++;
    e->symbols[index] = (merge_symbol){.begin = (uint32_t)begin,
                                       .size = (uint32_t)size,
                                       .id = id,
                                       .previous = index ? index - 1 : NO_SYMBOL,
                                       .next = NO_SYMBOL};
    if (index) e->symbols[index - 1].next = index;
    return WEFT_OK;
}

/* --- a binary heap, least order on top --- */

static int heap_push(encoder *e, merge_candidate c) {
    if (e->heap_count == e->heap_capacity) {
        size_t capacity = e->heap_capacity ? 2 * e->heap_capacity : 64;
        merge_candidate *grown = realloc(e->heap, capacity * sizeof *grown);
        if (!grown) return no_memory(e);
        e->heap = grown;
        e->heap_capacity = capacity;
    }
    size_t at = e->heap_count++;
    for (; at > 0 && e->heap[(at - 1) / 2].order > c.order; at = (at - 1) / 2)
        e->heap[at] = e->heap[(at - 1) / 2];
    e->heap[at] = c;
    return WEFT_OK;
}

static merge_candidate heap_pop(encoder *e) {
    merge_candidate top = e->heap[0], last = e->heap[--e->heap_count];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < e->heap_count; at = child) {
        if (child + 1 < e->heap_count && e->heap[child + 1].order < e->heap[child].order) child++;
        if (e->heap[child].order >= last.order) break;
        e->heap[at] = e->heap[child];
    }
    e->heap[at] = last;
    return top;
}

/* --- merging --- */

/* Scores as ranks: the higher the score, the lower the number. */
static uint32_t rank_of_score(float score) {
    uint32_t bits = f32_to_bits(score + 0.0f); /* -0 counts as 0 */
    uint32_t rising = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
    return ~rising;
}

/* Can the two symbols merge? With a list of merges, if the pair is in it; else, if their joined
 * text is a token of text, which then counts by its score. */
static bool find_pair(const encoder *e, const char *piece, const merge_symbol *left,
                      const merge_symbol *right, uint32_t *rank, int32_t *result) {
    const tokenizer *t = e->t;
    if (t->merge_count > 0) {
        if (left->id < 0 || right->id < 0) return false;
        int32_t found = tokenizer_merge_rank(t, left->id, right->id, result);
        *rank = (uint32_t)found;
        return found >= 0;
    }
    if (t->kind == TOKENIZER_BPE) return false;
    *result = tokenizer_lookup(t, piece + left->begin, left->size + right->size);
    if (*result < 0 || (t->types[*result] != TOKEN_NORMAL && t->types[*result] != TOKEN_USER))
        return false;
    *rank = rank_of_score(t->scores[*result]);
    return true;
}

static int push_pair(encoder *e, const char *piece, uint32_t left, uint32_t right) {
    if (left == NO_SYMBOL || right == NO_SYMBOL) return WEFT_OK;
    const merge_symbol *l = &e->symbols[left], *r = &e->symbols[right];
    uint32_t rank;
    int32_t result;
    if (!find_pair(e, piece, l, r, &rank, &result)) return WEFT_OK;
    return heap_push(
        e, (merge_candidate){(uint64_t)rank << 32 | left, left, right, l->size + r->size, result});
}

int encoder_merge(encoder *e, const char *piece) {
    e->heap_count = 0;
    for (uint32_t i = 1; i < e->symbol_count; i++) TRY(push_pair(e, piece, i - 1, i));
    while (e->heap_count > 0) {
        merge_candidate c = heap_pop(e);
        merge_symbol *left = &e->symbols[c.left], *right = &e->symbols[c.right];
        /* Out of date if either has been merged away or has grown since. */
        if (!left->size || !right->size || left->size + right->size != c.size) continue;
        left->size = c.size;
        left->id = c.result;
        right->size = 0;
        left->next = right->next;
        if (right->next != NO_SYMBOL) e->symbols[right->next].previous = c.left;
        TRY(push_pair(e, piece, left->previous, c.left));
        TRY(push_pair(e, piece, c.left, left->next));
    }
    return WEFT_OK;
}

/* --- byte-level BPE --- */

/* The token that spells the whole piece, or -1. */
static int32_t whole_piece(const tokenizer *t, const char *piece, size_t size) {
    char spelled[TOKENIZER_TOKEN_MAX + 4];
    size_t n = 0;
    for (size_t i = 0; i < size; i++) {
        if (n + 2 > t->longest_bytes + 1) return -1;
        n += (size_t)utf8_write(byte_to_char((uint8_t)piece[i]), spelled + n);
    }
    int32_t id = tokenizer_lookup(t, spelled, n);
    return id >= 0 && t->types[id] == TOKEN_NORMAL ? id : -1;
}

int bpe_encode_piece(encoder *e, size_t begin, size_t end) {
    const tokenizer *t = e->t;
    const char *piece = e->text + begin;
    if (t->ignore_merges) {
        int32_t id = whole_piece(t, piece, end - begin);
        if (id >= 0) return encoder_emit_piece(e, id, begin, end);
    }
    e->symbol_count = 0;
    for (size_t i = 0; i < end - begin; i++) {
        int32_t id = t->byte_ids[(uint8_t)piece[i]];
        if (id < 0) id = t->unk; /* -1 still: a byte the vocabulary cannot say is left out */
        if (id >= 0) TRY(encoder_add_symbol(e, i, 1, id));
    }
    TRY(encoder_merge(e, piece));
    for (size_t i = 0; i < e->symbol_count; i++) {
        const merge_symbol *s = &e->symbols[i];
        if (!s->size) continue;
        TRY(encoder_emit_piece(e, s->id, begin + s->begin, begin + s->begin + s->size));
    }
    return WEFT_OK;
}

/* A space in front of the section, at the section's own place. */
int bpe_prepare(encoder *e, size_t begin, size_t end, bool first) {
    const char *input = e->input;
    bool wanted = e->t->prefix != SPACE_FIRST_UNLESS_THERE || first;
    if (e->t->prefix != SPACE_ALWAYS && input[begin] == ' ') wanted = false;
    if (wanted && !bytes_add_char(&e->prepared, ' ')) return no_memory(e);
    if (!bytes_add(&e->prepared, input + begin, end - begin)) return no_memory(e);
    e->origins = malloc((e->prepared.size + 1) * sizeof *e->origins);
    if (!e->origins) return no_memory(e);
    e->origins[0] = (uint32_t)begin;
    for (size_t i = 0; i < e->prepared.size; i++)
        e->origins[i + 1] = (uint32_t)(begin + i + 1 - wanted);
    return WEFT_OK;
}
