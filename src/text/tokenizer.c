/* The tokenizer's tables, and what is common to both kinds: lookup by text, finding added tokens in
 * text, decoding, and the stream decoder. Splitting and merging lie in tokenizer_bpe.c and
 * tokenizer_spm.c. */
#include "text/tokenizer_impl.h"
#include "text/utf8.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static uint64_t hash_bytes(const char *data, size_t size) {
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a, then mixed so that the low bits are good */
    for (size_t i = 0; i < size; i++) h = (h ^ (unsigned char)data[i]) * 0x100000001b3u;
    return h ^ h >> 29;
}

static uint64_t hash_pair(int32_t left, int32_t right) {
    uint64_t h = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 29;
}

/* A table of at least twice `count` free places, all -1; *mask is its size less one. */
static int32_t *table_create(int64_t count, uint32_t *mask) {
    uint32_t size = 16;
    while ((int64_t)size < 2 * count) size *= 2;
    int32_t *table = malloc(size * sizeof *table);
    if (!table) return NULL;
    memset(table, 0xff, size * sizeof *table);
    *mask = size - 1;
    return table;
}

static int no_memory(weft_error *err) {
    return err_set(err, WEFT_ERR_MEMORY, "out of memory for the tokenizer");
}

int tokenizer_create(tokenizer_kind kind, int64_t count, size_t pool_bytes, tokenizer **out,
                     weft_error *err) {
    *out = NULL;
    if (count <= 0 || count > TOKENIZER_VOCAB_MAX)
        return err_set(err, WEFT_ERR_RANGE, "the vocabulary has %lld tokens; 1 to %d are allowed",
                       (long long)count, TOKENIZER_VOCAB_MAX);
    tokenizer *t = calloc(1, sizeof *t);
    if (!t) return no_memory(err);
    t->kind = kind;
    t->bos = t->eos = t->unk = -1;
    t->count = (int32_t)count;
    t->texts = calloc((size_t)count, sizeof *t->texts);
    t->types = calloc((size_t)count, sizeof *t->types);
    t->scores = calloc((size_t)count, sizeof *t->scores);
    t->flags = calloc((size_t)count, 1);
    t->pool = malloc(pool_bytes + 1);
    if (!t->texts || !t->types || !t->scores || !t->flags || !t->pool) {
        tokenizer_free(&t);
        return no_memory(err);
    }
    *out = t;
    return WEFT_OK;
}

void tokenizer_free(tokenizer **t) {
    tokenizer *p = *t;
    *t = NULL;
    if (!p) return;
    free(p->texts);
    free(p->types);
    free(p->scores);
    free(p->flags);
    free(p->pool);
    free(p->lookup);
    free(p->merges);
    free(p->merge_lookup);
    free(p->added[0]);
    free(p->added[1]);
    split_word_free(p->word);
    splitter_free(&p->splitter);
    free(p);
}

int tokenizer_put_token(tokenizer *t, int32_t id, gguf_text text, int type, int flags,
                        size_t *pool_used, weft_error *err) {
    if (text.size > TOKENIZER_TOKEN_MAX)
        return err_set(err, WEFT_ERR_RANGE, "token %d has %zu bytes; at most %d are allowed", id,
                       text.size, TOKENIZER_TOKEN_MAX);
    if (type < TOKEN_NORMAL || type > TOKEN_BYTE)
        return err_set(err, WEFT_ERR_FORMAT, "token %d has the unknown type %d", id, type);
    char *copy = t->pool + *pool_used;
    if (text.size) memcpy(copy, text.data, text.size);
    *pool_used += text.size;
    t->texts[id] = (gguf_text){copy, text.size};
    t->types[id] = type;
    t->flags[id] = (uint8_t)flags;
    if (text.size > t->longest_bytes) t->longest_bytes = text.size;
    return WEFT_OK;
}

static bool same_text(gguf_text a, const char *data, size_t size) {
    return a.size == size && (size == 0 || memcmp(a.data, data, size) == 0);
}

/* Unused and empty tokens are left out: padding often repeats one text. */
int tokenizer_index(tokenizer *t, weft_error *err) {
    t->lookup = table_create(t->count, &t->lookup_mask);
    if (!t->lookup) return no_memory(err);
    for (int32_t id = 0; id < t->count; id++) {
        gguf_text text = t->texts[id];
        if (t->types[id] == TOKEN_UNUSED || text.size == 0) continue;
        uint32_t at = (uint32_t)hash_bytes(text.data, text.size) & t->lookup_mask;
        for (; t->lookup[at] >= 0; at = (at + 1) & t->lookup_mask) {
            int32_t other = t->lookup[at];
            if (same_text(t->texts[other], text.data, text.size))
                return err_set(err, WEFT_ERR_FORMAT, "tokens %d and %d are both '%.*s'", other, id,
                               (int)(text.size < 100 ? text.size : 100), text.data);
        }
        t->lookup[at] = id;
    }
    return WEFT_OK;
}

int32_t tokenizer_lookup(const tokenizer *t, const char *text, size_t size) {
    if (size > t->longest_bytes) return -1;
    uint32_t at = (uint32_t)hash_bytes(text, size) & t->lookup_mask;
    for (; t->lookup[at] >= 0; at = (at + 1) & t->lookup_mask)
        if (same_text(t->texts[t->lookup[at]], text, size)) return t->lookup[at];
    return -1;
}

int tokenizer_reserve_merges(tokenizer *t, int64_t count, weft_error *err) {
    if (count < 0 || count > TOKENIZER_MERGES_MAX)
        return err_set(err, WEFT_ERR_RANGE, "%lld merges; at most %d are allowed", (long long)count,
                       TOKENIZER_MERGES_MAX);
    t->merges = malloc((size_t)(count ? count : 1) * sizeof *t->merges);
    t->merge_lookup = table_create(count, &t->merge_mask);
    return t->merges && t->merge_lookup ? WEFT_OK : no_memory(err);
}

int32_t tokenizer_merge_rank(const tokenizer *t, int32_t left, int32_t right, int32_t *result) {
    uint32_t at = (uint32_t)hash_pair(left, right) & t->merge_mask;
    for (; t->merge_lookup[at] >= 0; at = (at + 1) & t->merge_mask) {
        const token_merge *m = &t->merges[t->merge_lookup[at]];
        if (m->left != left || m->right != right) continue;
        *result = m->result;
        return t->merge_lookup[at];
    }
    return -1;
}

/* The merge of two tokens whose texts are joined, or a result of -1 if one of the three is no
 * token. */
static token_merge find_merge(const tokenizer *t, gguf_text left, gguf_text right) {
    token_merge none = {-1, -1, -1}, m;
    char joined[2 * TOKENIZER_TOKEN_MAX];
    if (left.size > TOKENIZER_TOKEN_MAX || right.size > TOKENIZER_TOKEN_MAX) return none;
    memcpy(joined, left.data, left.size);
    memcpy(joined + left.size, right.data, right.size);
    m.left = tokenizer_lookup(t, left.data, left.size);
    m.right = tokenizer_lookup(t, right.data, right.size);
    m.result = tokenizer_lookup(t, joined, left.size + right.size);
    return m.left < 0 || m.right < 0 || m.result < 0 ? none : m;
}

/* A pair that is listed twice keeps its last rank, as transformers' tokenizers have it. */
static void add_merge(tokenizer *t, token_merge m) {
    int32_t rank = t->merge_count++;
    t->merges[rank] = m;
    uint32_t at = (uint32_t)hash_pair(m.left, m.right) & t->merge_mask;
    for (; t->merge_lookup[at] >= 0; at = (at + 1) & t->merge_mask) {
        const token_merge *other = &t->merges[t->merge_lookup[at]];
        if (other->left == m.left && other->right == m.right) break;
    }
    t->merge_lookup[at] = rank;
}

int tokenizer_put_merge(tokenizer *t, gguf_text left, gguf_text right, weft_error *err) {
    token_merge m = find_merge(t, left, right);
    if (m.result < 0)
        return err_set_at(
            err, WEFT_ERR_FORMAT, (uint64_t)t->merge_count,
            "merge %d ('%.*s' with '%.*s') names a token that is not in the vocabulary",
            t->merge_count, (int)(left.size < 100 ? left.size : 100), left.data,
            (int)(right.size < 100 ? right.size : 100), right.data);
    add_merge(t, m);
    return WEFT_OK;
}

int tokenizer_put_merge_line(tokenizer *t, gguf_text line, weft_error *err) {
    const char *first = NULL;
    for (size_t i = 1; i + 1 < line.size; i++) {
        if (line.data[i] != ' ') continue;
        if (!first) first = line.data + i;
        token_merge m = find_merge(t, (gguf_text){line.data, i},
                                   (gguf_text){line.data + i + 1, line.size - i - 1});
        if (m.result < 0) continue;
        add_merge(t, m);
        return WEFT_OK;
    }
    return err_set_at(err, WEFT_ERR_FORMAT, (uint64_t)t->merge_count,
                      first ? "merge %d ('%.*s') names a token that is not in the vocabulary"
                            : "merge %d ('%.*s') is not two tokens with a space between them",
                      t->merge_count, (int)(line.size < 200 ? line.size : 200), line.data);
}

int tokenizer_check_id(const tokenizer *t, int64_t id, const char *where, weft_error *err) {
    if (id >= 0 && id < t->count) return WEFT_OK;
    return err_set(err, WEFT_ERR_FORMAT, "%s is %lld, outside the vocabulary of %d tokens", where,
                   (long long)id, t->count);
}

bool tokenizer_is_end(const tokenizer *t, int32_t id) {
    for (int i = 0; i < t->end_count; i++)
        if (t->ends[i] == id) return true;
    return false;
}

int tokenizer_put_end(tokenizer *t, int64_t id, const char *where, weft_error *err) {
    TRY(tokenizer_check_id(t, id, where, err));
    if (tokenizer_is_end(t, (int32_t)id)) return WEFT_OK;
    if (t->end_count == TOKENIZER_ENDS_MAX)
        return err_set(err, WEFT_ERR_RANGE, "more than %d end tokens", TOKENIZER_ENDS_MAX);
    t->ends[t->end_count++] = (int32_t)id;
    return WEFT_OK;
}

/* --- what follows from the tables --- */

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
}

/* "<0x0A>" -> 10, or -1. */
static int byte_token_value(gguf_text text) {
    if (text.size != 6 || memcmp(text.data, "<0x", 3) != 0 || text.data[5] != '>') return -1;
    int high = hex_digit(text.data[3]), low = hex_digit(text.data[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

uint32_t byte_to_char(uint8_t byte) {
    if (byte <= 32) return 256u + byte;
    if (byte >= 127 && byte <= 160) return 289u + byte - 127;
    return byte == 173 ? 323 : byte;
}

int byte_from_char(uint32_t c) {
    if (c >= 256 && c <= 288) return (int)c - 256;
    if (c >= 289 && c <= 322) return (int)c - 289 + 127;
    if (c == 323) return 173;
    return c < 256 && byte_to_char((uint8_t)c) == c ? (int)c : -1;
}

static void find_byte_tokens(tokenizer *t) {
    for (int byte = 0; byte < 256; byte++) {
        char text[8];
        size_t size;
        if (t->kind == TOKENIZER_BPE) {
            size = (size_t)utf8_write(byte_to_char((uint8_t)byte), text);
        } else {
            static const char digits[] = "0123456789ABCDEF";
            memcpy(text, "<0x", 3);
            text[3] = digits[byte >> 4];
            text[4] = digits[byte & 15];
            text[5] = '>';
            size = 6;
        }
        int32_t id = tokenizer_lookup(t, text, size);
        bool usable = id >= 0 && t->types[id] != TOKEN_CONTROL && t->types[id] != TOKEN_UNKNOWN;
        t->byte_ids[byte] = usable ? id : -1;
    }
}

/* Tokens that end a reply in published chat formats, whatever a file says of them. */
static int find_usual_ends(tokenizer *t, weft_error *err) {
    static const char *const texts[] = {"<|eot_id|>",    "<|im_end|>",     "<|end|>",
                                        "<end_of_turn>", "<|endoftext|>",  "<|end_of_text|>",
                                        "<|eom_id|>",    "<|end_of_turn|>"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        int32_t id = tokenizer_lookup(t, texts[i], strlen(texts[i]));
        if (id < 0 || (t->types[id] != TOKEN_CONTROL && t->types[id] != TOKEN_USER)) continue;
        TRY(tokenizer_put_end(t, id, texts[i], err));
    }
    return WEFT_OK;
}

static bool looks_like_markup(gguf_text text) {
    if (text.size < 3) return false;
    char first = text.data[0], last = text.data[text.size - 1];
    return (first == '<' && last == '>') || (first == '[' && last == ']');
}

typedef struct added_key {
    gguf_text text;
    int32_t id;
} added_key;

static int compare_texts(gguf_text a, gguf_text b) {
    size_t common = a.size < b.size ? a.size : b.size;
    int order = memcmp(a.data, b.data, common);
    if (order) return order;
    return (a.size > b.size) - (a.size < b.size);
}

static int compare_added(const void *a, const void *b) {
    return compare_texts(((const added_key *)a)->text, ((const added_key *)b)->text);
}

static int collect_added(tokenizer *t, int late, added_key *keys, weft_error *err) {
    int32_t n = 0;
    for (int32_t id = 0; id < t->count; id++) {
        bool added = t->types[id] == TOKEN_CONTROL || t->types[id] == TOKEN_USER ||
                     t->types[id] == TOKEN_UNKNOWN;
        if (!added || t->texts[id].size == 0 || !(t->flags[id] & TOKEN_LATE) != !late) continue;
        keys[n++] = (added_key){t->texts[id], id};
        t->added_first[late][(unsigned char)t->texts[id].data[0]] = true;
        if (t->types[id] != TOKEN_USER || looks_like_markup(t->texts[id]))
            t->flags[id] |= TOKEN_MARKUP;
        if ((t->flags[id] & TOKEN_SINGLE_WORD) && !t->word) TRY(split_word_pattern(&t->word, err));
    }
    qsort(keys, (size_t)n, sizeof *keys, compare_added);
    t->added[late] = malloc((size_t)(n ? n : 1) * sizeof *t->added[late]);
    if (!t->added[late]) return no_memory(err);
    for (int32_t i = 0; i < n; i++) t->added[late][i] = keys[i].id;
    t->added_count[late] = n;
    return WEFT_OK;
}

/* Llama's places for <unk>, <s> and </s>, where nothing else is said and the types agree. */
static void find_usual_ids(tokenizer *t) {
    if (t->kind != TOKENIZER_SPM || t->count < 3) return;
    if (t->unk < 0 && t->types[0] == TOKEN_UNKNOWN) t->unk = 0;
    if (t->bos < 0 && t->types[1] == TOKEN_CONTROL) t->bos = 1;
    if (t->eos < 0 && t->types[2] == TOKEN_CONTROL) t->eos = 2;
}

int tokenizer_finish(tokenizer *t, weft_error *err) {
    if (!t->merge_lookup) TRY(tokenizer_reserve_merges(t, 0, err));
    find_byte_tokens(t);
    find_usual_ids(t);
    for (int32_t id = 0; id < t->count; id++) {
        if (t->types[id] == TOKEN_BYTE && byte_token_value(t->texts[id]) < 0)
            return err_set(err, WEFT_ERR_FORMAT, "byte token %d is '%.*s', not of the form <0x0A>",
                           id, (int)(t->texts[id].size < 60 ? t->texts[id].size : 60),
                           t->texts[id].data);
        if (!isfinite(t->scores[id]))
            return err_set(err, WEFT_ERR_NUMERIC, "the score of token %d is not a finite number",
                           id);
    }
    if (t->eos >= 0) TRY(tokenizer_put_end(t, t->eos, "the eos token", err));
    TRY(find_usual_ends(t, err));
    if (t->bos < 0) t->adds_bos = false;
    added_key *keys = malloc((size_t)t->count * sizeof *keys);
    if (!keys) return no_memory(err);
    int rc = collect_added(t, 0, keys, err);
    if (!rc) rc = collect_added(t, 1, keys, err);
    free(keys);
    return rc;
}

/* --- questions --- */

int32_t tokenizer_vocab_count(const tokenizer *t) {
    return t->count;
}
int32_t tokenizer_bos(const tokenizer *t) {
    return t->bos;
}
int32_t tokenizer_eos(const tokenizer *t) {
    return t->eos;
}
bool tokenizer_adds_bos(const tokenizer *t) {
    return t->adds_bos;
}

bool tokenizer_is_special(const tokenizer *t, int32_t id) {
    if (id < 0 || id >= t->count) return false;
    return t->types[id] == TOKEN_CONTROL || t->types[id] == TOKEN_UNKNOWN;
}

int32_t tokenizer_find(const tokenizer *t, const char *text) {
    return tokenizer_lookup(t, text, strlen(text));
}

gguf_text tokenizer_text(const tokenizer *t, int32_t id) {
    return id < 0 || id >= t->count ? (gguf_text){"", 0} : t->texts[id];
}

/* --- decoding --- */

/* Characters back to the bytes they stand for; a token with any other character is what it says. */
static bool decode_byte_level(gguf_text text, bytes *out) {
    size_t start = out->size;
    for (size_t at = 0; at < text.size;) {
        int length = utf8_check(text.data + at, text.size - at);
        int byte = length > 0 ? byte_from_char(utf8_read(text.data + at, length)) : -1;
        if (byte < 0) {
            out->size = start;
            return bytes_add(out, text.data, text.size);
        }
        if (!bytes_add_char(out, (char)byte)) return false;
        at += (size_t)length;
    }
    return true;
}

static bool decode_marked(gguf_text text, bytes *out) {
    for (size_t at = 0; at < text.size;) {
        bool mark = text.size - at >= SPACE_MARK_BYTES &&
                    memcmp(text.data + at, SPACE_MARK, SPACE_MARK_BYTES) == 0;
        if (!bytes_add_char(out, mark ? ' ' : text.data[at])) return false;
        at += mark ? SPACE_MARK_BYTES : 1;
    }
    return true;
}

static bool decode_text(const tokenizer *t, int32_t id, bytes *out) {
    gguf_text text = t->texts[id];
    switch (t->types[id]) {
    case TOKEN_NORMAL:
        return t->kind == TOKENIZER_BPE ? decode_byte_level(text, out) : decode_marked(text, out);
    case TOKEN_BYTE:
        return bytes_add_char(out, (char)byte_token_value(text));
    default:
        return bytes_add(out, text.data, text.size);
    }
}

int tokenizer_decode(const tokenizer *t, int32_t id, bool show_special, bytes *out,
                     weft_error *err) {
    if (id < 0 || id >= t->count)
        return err_set(err, WEFT_ERR_RANGE, "token id %d is outside the vocabulary of %d tokens",
                       id, t->count);
    bool hidden = tokenizer_is_special(t, id) || t->types[id] == TOKEN_UNUSED;
    if (hidden && !show_special) return WEFT_OK;
    return decode_text(t, id, out) ? WEFT_OK : no_memory(err);
}

/* Give out the whole characters of s->held followed by size bytes at data; keep an unfinished one.
 */
static bool stream_bytes(token_stream *s, const char *data, size_t size, bytes *out) {
    for (size_t i = 0; i < size; i++) {
        s->held[s->held_count++] = (unsigned char)data[i];
        while (s->held_count > 0) {
            int length = utf8_check((const char *)s->held, (size_t)s->held_count);
            if (length == 0) break;
            bool ok = length > 0 ? bytes_add(out, s->held, (size_t)length)
                                 : bytes_add_text(out, "\xef\xbf\xbd");
            if (!ok) return false;
            int taken = length > 0 ? length : -length;
            s->held_count -= taken;
            memmove(s->held, s->held + taken, (size_t)s->held_count);
        }
    }
    return true;
}

int token_stream_add(token_stream *s, const tokenizer *t, int32_t id, bytes *out, weft_error *err) {
    bytes text = {0};
    int rc = tokenizer_decode(t, id, false, &text, err);
    if (!rc && text.size > 0) {
        bool cut = !s->started && t->kind == TOKENIZER_SPM && t->prefix != SPACE_NONE &&
                   text.data[0] == ' ';
        s->started = true;
        if (!stream_bytes(s, text.data + cut, text.size - cut, out)) rc = no_memory(err);
    }
    bytes_free(&text);
    return rc;
}

int token_stream_flush(token_stream *s, bytes *out, weft_error *err) {
    bool ok = s->held_count == 0 || bytes_add_text(out, "\xef\xbf\xbd");
    *s = (token_stream){0};
    return ok ? WEFT_OK : no_memory(err);
}
