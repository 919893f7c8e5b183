/* Encoding: added tokens are found first, what lies between them (a section) is prepared, split and
 * handed piece by piece to its kind. It owns the encoder's scratch, which lives for one call. */
#include "text/tokenizer_impl.h"
#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>

static int no_memory(encoder *e) {
    return err_set(e->err, WEFT_ERR_MEMORY, "out of memory for encoding text");
}

int encoder_emit(encoder *e, int32_t id, size_t begin, size_t end) {
    if (e->count == e->capacity) {
        size_t capacity = e->capacity ? 2 * e->capacity : 64;
        token_span *grown = realloc(e->tokens, capacity * sizeof *grown);
        if (!grown) return no_memory(e);
        e->tokens = grown;
        e->capacity = capacity;
    }
    e->tokens[e->count++] = (token_span){id, (uint32_t)begin, (uint32_t)end};
    return WEFT_OK;
}

int encoder_emit_piece(encoder *e, int32_t id, size_t begin, size_t end) {
    if (e->origins) return encoder_emit(e, id, e->origins[begin], e->origins[end]);
    return encoder_emit(e, id, e->base + begin, e->base + end);
}

/* --- white space and words around added tokens --- */

static bool is_space(uint32_t c) {
    return (c >= 9 && c <= 13) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
           c == 0x205f || c == 0x3000;
}

/* Bytes of the well-formed character that ends at text[at), or 0. */
static size_t length_before(const char *text, size_t begin, size_t at) {
    for (size_t n = 1; n <= 4 && begin + n <= at; n++)
        if (utf8_check(text + at - n, n) == (int)n) return n;
    return 0;
}

/* Bytes of the well-formed character at text[at), or 0. */
static size_t length_at(const char *text, size_t at, size_t end) {
    int n = at < end ? utf8_check(text + at, end - at) : 0;
    return n > 0 ? (size_t)n : 0;
}

static size_t spaces_before(const char *text, size_t begin, size_t at) {
    for (size_t n; (n = length_before(text, begin, at)) > 0; at -= n)
        if (!is_space(utf8_read(text + at - n, (int)n))) break;
    return at;
}

static size_t spaces_after(const char *text, size_t at, size_t end) {
    for (size_t n; (n = length_at(text, at, end)) > 0; at += n)
        if (!is_space(utf8_read(text + at, (int)n))) break;
    return at;
}

static bool stands_alone(const tokenizer *t, const char *text, size_t begin, size_t end,
                         size_t from, size_t to) {
    size_t before = length_before(text, begin, from), after = length_at(text, to, end);
    return !(before && split_is_word(t->word, text + from - before, before)) &&
           !(after && split_is_word(t->word, text + to, after));
}

/* --- added tokens --- */

/* The first of `ids` in [low, high) whose byte number `depth` is not below (or, if past, above) c.
 */
static int32_t bound(const tokenizer *t, const int32_t *ids, int32_t low, int32_t high,
                     size_t depth, int c, bool past) {
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        gguf_text text = t->texts[ids[middle]];
        int here = depth < text.size ? (unsigned char)text.data[depth] : -1;
        if (here < c || (past && here == c))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* May a token of markup stand at [from, to)? Not where the text is literal: the ranges are sorted,
 * so the first one that ends behind `from` decides. */
static bool markup_allowed(const tokenizer_options *options, size_t from, size_t to) {
    if (!options->parse_special) return false;
    const byte_range *ranges = options->literal;
    size_t low = 0, high = options->literal_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (ranges[middle].end <= from)
            low = middle + 1;
        else
            high = middle;
    }
    while (low < options->literal_count && ranges[low].begin == ranges[low].end) low++;
    return low == options->literal_count || ranges[low].begin >= to;
}

/* The longest allowed added token of a set at text[at, end), or -1: narrows the sorted texts byte
 * by byte, so it takes no longer than the longest that fits. */
static int32_t added_at(const encoder *e, int set, size_t at, size_t end) {
    const tokenizer *t = e->t;
    const int32_t *ids = t->added[set];
    if (!t->added_first[set][(unsigned char)e->input[at]]) return -1;
    int32_t low = 0, high = t->added_count[set], best = -1;
    for (size_t depth = 0; at + depth < end; depth++) {
        int c = (unsigned char)e->input[at + depth];
        low = bound(t, ids, low, high, depth, c, false);
        high = bound(t, ids, low, high, depth, c, true);
        if (low == high) break;
        int32_t id = ids[low]; /* the shortest of those that begin so stands first */
        if (t->texts[id].size != depth + 1) continue;
        if ((t->flags[id] & TOKEN_MARKUP) && !markup_allowed(e->options, at, at + depth + 1))
            continue;
        best = id;
    }
    return best;
}

static int encode_section(encoder *e, size_t begin, size_t end) {
    const tokenizer *t = e->t;
    if (begin == end) return WEFT_OK;
    e->text = e->input + begin;
    e->base = begin;
    size_t size = end - begin;
    free(e->origins);
    e->origins = NULL;
    if (t->kind == TOKENIZER_SPM || t->prefix != SPACE_NONE) {
        bytes_clear(&e->prepared);
        bool first = begin == 0;
        TRY(t->kind == TOKENIZER_SPM ? spm_prepare(e, begin, end, first)
                                     : bpe_prepare(e, begin, end, first));
        e->text = e->prepared.data;
        size = e->prepared.size;
    }
    return split_text(&e->split, e->text, size);
}

static int encode_range(encoder *e, int set, size_t begin, size_t end);

/* The added token id at [from, *to), with the white space that it takes: what stands between *done
 * and it goes on to the next set. *done and *to move to its end. */
static int encode_added(encoder *e, int set, int32_t id, size_t from, size_t end, size_t *done,
                        size_t *to) {
    int flags = e->t->flags[id];
    if (flags & TOKEN_LSTRIP) from = spaces_before(e->input, *done, from);
    if (flags & TOKEN_RSTRIP) *to = spaces_after(e->input, *to, end);
    TRY(encode_range(e, set + 1, *done, from));
    *done = *to;
    return encoder_emit(e, id, from, *to);
}

/* Encode input[begin, end) with the added tokens of this set and the next. */
static int encode_range(encoder *e, int set, size_t begin, size_t end) {
    const tokenizer *t = e->t;
    while (set < 2 && t->added_count[set] == 0) set++;
    if (set == 2) return encode_section(e, begin, end);
    size_t done = begin, at = begin;
    while (at < end) {
        int32_t id = added_at(e, set, at, end);
        if (id < 0) {
            at++;
            continue;
        }
        size_t from = at;
        at += t->texts[id].size;
        bool alone =
            !(t->flags[id] & TOKEN_SINGLE_WORD) || stands_alone(t, e->input, begin, end, from, at);
        if (alone) TRY(encode_added(e, set, id, from, end, &done, &at));
    }
    return encode_range(e, set + 1, done, end);
}

static int on_piece(void *context, size_t begin, size_t end) {
    encoder *e = context;
    return e->t->kind == TOKENIZER_BPE ? bpe_encode_piece(e, begin, end)
                                       : spm_encode_piece(e, begin, end);
}

int tokenizer_encode(const tokenizer *t, const char *text, size_t size,
                     const tokenizer_options *options, token_span **tokens, size_t *count,
                     weft_error *err) {
    static const tokenizer_options plain = {0};
    *tokens = NULL;
    *count = 0;
    if (size > TOKENIZER_TEXT_BYTES_MAX)
        return err_set(err, WEFT_ERR_RANGE, "text of %zu bytes; at most %u can be encoded at once",
                       size, TOKENIZER_TEXT_BYTES_MAX);
    if (!options) options = &plain;
    encoder e = {.t = t, .input = text, .options = options, .err = err};
    int rc = split_run_init(&e.split, &t->splitter, on_piece, &e, err);
    if (!rc && options->add_bos && t->bos >= 0) rc = encoder_emit(&e, t->bos, 0, 0);
    if (!rc && size > 0) rc = encode_range(&e, 0, 0, size);
    split_run_free(&e.split);
    bytes_free(&e.prepared);
    free(e.origins);
    free(e.symbols);
    free(e.heap);
    if (rc) {
        free(e.tokens);
        return rc;
    }
    *tokens = e.tokens;
    *count = e.count;
    return WEFT_OK;
}
