/* SentencePiece-style BPE: spaces become U+2581, characters merge by score (or by a list of merges,
 * where the file has one), and what the vocabulary cannot say falls back to byte tokens, then to
 * <unk>. */
#include "text/tokenizer_impl.h"
#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>

static int no_memory(encoder *e) {
    return err_set(e->err, WEFT_ERR_MEMORY, "out of memory for encoding text");
}

static bool wants_prefix(const tokenizer *t, const char *section, size_t size, bool first) {
    if (t->prefix == SPACE_NONE) return false;
    if (t->prefix == SPACE_ALWAYS) return true;
    if (t->prefix == SPACE_FIRST_UNLESS_THERE && !first) return false;
    bool marked = size >= SPACE_MARK_BYTES && memcmp(section, SPACE_MARK, SPACE_MARK_BYTES) == 0;
    return section[0] != ' ' && !marked;
}

/* The marks' bytes come from the space they stand for; those of the prefix from nothing. */
int spm_prepare(encoder *e, size_t begin, size_t end, bool first) {
    const char *input = e->input;
    bool prefix = wants_prefix(e->t, input + begin, end - begin, first);
    size_t spaces = 0;
    for (size_t i = begin; i < end; i++) spaces += input[i] == ' ';
    size_t size = (end - begin) + spaces * (SPACE_MARK_BYTES - 1) + prefix * SPACE_MARK_BYTES;
    e->origins = malloc((size + 1) * sizeof *e->origins);
    if (!e->origins) return no_memory(e);
    size_t n = 0;
    if (prefix) {
        if (!bytes_add_text(&e->prepared, SPACE_MARK)) return no_memory(e);
        for (int k = 0; k < SPACE_MARK_BYTES; k++) e->origins[n++] = (uint32_t)begin;
    }
    for (size_t i = begin; i < end; i++) {
        bool space = input[i] == ' ';
        bool ok = space ? bytes_add_text(&e->prepared, SPACE_MARK)
                        : bytes_add_char(&e->prepared, input[i]);
        if (!ok) return no_memory(e);
        e->origins[n++] = (uint32_t)i;
        for (int k = 1; space && k < SPACE_MARK_BYTES; k++) e->origins[n++] = (uint32_t)i + 1;
    }
    e->origins[n] = (uint32_t)end;
    return WEFT_OK;
}

static int32_t text_token(const tokenizer *t, const char *text, size_t size) {
    int32_t id = tokenizer_lookup(t, text, size);
    return id >= 0 && (t->types[id] == TOKEN_NORMAL || t->types[id] == TOKEN_USER) ? id : -1;
}

/* A symbol that is no token: its bytes, if every one has a token, else one <unk>. Neighbouring
 * unknowns become one if fuse_unk says so; *unknown tells whether the token before was one. */
static int emit_fallback(encoder *e, const char *text, size_t begin, size_t size, bool *unknown) {
    const tokenizer *t = e->t;
    bool all = true;
    for (size_t i = 0; i < size; i++) all = all && t->byte_ids[(uint8_t)text[i]] >= 0;
    if (all) {
        *unknown = false;
        for (size_t i = 0; i < size; i++)
            TRY(encoder_emit_piece(e, t->byte_ids[(uint8_t)text[i]], begin + i, begin + i + 1));
        return WEFT_OK;
    }
    if (t->unk < 0) return WEFT_OK; /* the vocabulary cannot say it: left out */
    if (*unknown && t->fuse_unk) {
        e->tokens[e->count - 1].end = e->origins[begin + size];
        return WEFT_OK;
    }
    *unknown = true;
    return encoder_emit_piece(e, t->unk, begin, begin + size);
}

int spm_encode_piece(encoder *e, size_t begin, size_t end) {
    const tokenizer *t = e->t;
    const char *piece = e->text + begin;
    size_t size = end - begin;
    if (t->ignore_merges) {
        int32_t id = text_token(t, piece, size);
        if (id >= 0) return encoder_emit_piece(e, id, begin, end);
    }
    e->symbol_count = 0;
    for (size_t at = 0; at < size;) {
        int length = utf8_check(piece + at, size - at);
        size_t n = length > 0 ? (size_t)length : 1;
        TRY(encoder_add_symbol(e, at, n, text_token(t, piece + at, n)));
        at += n;
    }
    TRY(encoder_merge(e, piece));
    bool unknown = false;
    for (size_t i = 0; i < e->symbol_count; i++) {
        const merge_symbol *s = &e->symbols[i];
        if (!s->size) continue;
        size_t from = begin + s->begin;
        if (s->id < 0) {
            TRY(emit_fallback(e, piece + s->begin, from, s->size, &unknown));
        } else {
            TRY(encoder_emit_piece(e, s->id, from, from + s->size));
            unknown = false;
        }
    }
    return WEFT_OK;
}
