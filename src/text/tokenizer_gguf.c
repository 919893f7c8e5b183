/* The tokenizer as GGUF metadata, in llama.cpp's terms. What those cannot say goes into keys of
 * weft's own: tokenizer.weft.pattern        text, or array of texts: split patterns that have no
 * `pre` name tokenizer.weft.ignore_merges  bool, where it differs from what the `pre` name implies
 *   tokenizer.weft.space_prefix   text, "unless-there" or "first-unless-there" (else
 * add_space_prefix) tokenizer.weft.fuse_unk       bool tokenizer.weft.end_token_ids  i32 array:
 * every token that ends a reply tokenizer.weft.token_flags    i32 array of pairs (id, flags): how
 * added tokens are found in text A model of kind llama may hold tokenizer.ggml.merges too; they
 * then rank before scores. */
#include "text/tokenizer_impl.h"

#include <stdlib.h>
#include <string.h>

#define KEY(name)  "tokenizer.ggml." name
#define WEFT(name) "tokenizer.weft." name

#define LLAMA3_VOCAB_COUNT 128256
#define FLAGS_STORED       (TOKEN_LSTRIP | TOKEN_RSTRIP | TOKEN_SINGLE_WORD | TOKEN_LATE)

static bool text_is(gguf_text text, const char *expected) {
    return text.size == strlen(expected) && memcmp(text.data, expected, text.size) == 0;
}

/* An array that must have one element a token. */
static int token_array(const gguf_file *f, const char *key, int64_t count, gguf_cursor *cursor,
                       bool *there, weft_error *err) {
    gguf_type element;
    uint64_t n;
    *there = gguf_get_array(f, key, &element, &n);
    if (!*there) return WEFT_OK;
    if (n != (uint64_t)count)
        return err_set(err, WEFT_ERR_FORMAT, "%s has %llu elements for %lld tokens", key,
                       (unsigned long long)n, (long long)count);
    if (!gguf_array_begin(f, key, cursor))
        return err_set(err, WEFT_ERR_FORMAT, "%s cannot be read", key);
    return WEFT_OK;
}

static int count_tokens(const gguf_file *f, int64_t *count, size_t *pool_bytes, weft_error *err) {
    gguf_type element;
    uint64_t n;
    gguf_cursor cursor;
    gguf_text text;
    if (!gguf_get_array(f, KEY("tokens"), &element, &n) || element != GGUF_STRING)
        return err_set(err, WEFT_ERR_FORMAT, "no array of texts %s: the file has no tokenizer",
                       KEY("tokens"));
    if (n > TOKENIZER_VOCAB_MAX)
        return err_set(err, WEFT_ERR_RANGE, "%s has %llu tokens; at most %d are allowed",
                       KEY("tokens"), (unsigned long long)n, TOKENIZER_VOCAB_MAX);
    *count = (int64_t)n;
    *pool_bytes = 0;
    if (!gguf_array_begin(f, KEY("tokens"), &cursor)) return WEFT_OK;
    while (gguf_next_text(&cursor, &text)) *pool_bytes += text.size;
    return WEFT_OK;
}

static int read_tokens(const gguf_file *f, tokenizer *t, weft_error *err) {
    gguf_cursor texts, types, scores;
    bool have_texts, have_types, have_scores;
    TRY(token_array(f, KEY("tokens"), t->count, &texts, &have_texts, err));
    TRY(token_array(f, KEY("token_type"), t->count, &types, &have_types, err));
    TRY(token_array(f, KEY("scores"), t->count, &scores, &have_scores, err));
    size_t pool_used = 0;
    for (int32_t id = 0; id < t->count; id++) {
        gguf_text text;
        int64_t type = TOKEN_NORMAL;
        double score = 0;
        if (!gguf_next_text(&texts, &text) || (have_types && !gguf_next_i64(&types, &type)) ||
            (have_scores && !gguf_next_f64(&scores, &score)))
            return err_set(err, WEFT_ERR_FORMAT, "token %d cannot be read", id);
        if (type < 0 || type > TOKEN_BYTE) type = 0; /* not a type: refused below */
        TRY(tokenizer_put_token(t, id, text, (int)type, 0, &pool_used, err));
        t->scores[id] = (float)score;
    }
    if (t->kind == TOKENIZER_SPM && !have_scores && !gguf_has(f, KEY("merges")))
        return err_set(err, WEFT_ERR_FORMAT, "a llama tokenizer needs %s", KEY("scores"));
    return tokenizer_index(t, err);
}

static int read_flags(const gguf_file *f, tokenizer *t, weft_error *err) {
    gguf_cursor cursor;
    int64_t id, flags;
    if (!gguf_array_begin(f, WEFT("token_flags"), &cursor)) return WEFT_OK;
    while (gguf_next_i64(&cursor, &id)) {
        TRY(tokenizer_check_id(t, id, WEFT("token_flags"), err));
        if (!gguf_next_i64(&cursor, &flags) || (flags & ~FLAGS_STORED))
            return err_set(err, WEFT_ERR_FORMAT, "%s is no list of pairs of id and flags",
                           WEFT("token_flags"));
        t->flags[id] = (uint8_t)flags;
    }
    return WEFT_OK;
}

static int read_merges(const gguf_file *f, tokenizer *t, weft_error *err) {
    gguf_type element;
    uint64_t n;
    gguf_cursor cursor;
    gguf_text line;
    if (!gguf_get_array(f, KEY("merges"), &element, &n)) {
        if (t->kind == TOKENIZER_SPM) return WEFT_OK;
        return err_set(err, WEFT_ERR_FORMAT, "a gpt2 tokenizer needs %s", KEY("merges"));
    }
    if (n > TOKENIZER_MERGES_MAX) n = TOKENIZER_MERGES_MAX + 1;
    TRY(tokenizer_reserve_merges(t, (int64_t)n, err));
    if (n == 0 || !gguf_array_begin(f, KEY("merges"), &cursor)) return WEFT_OK;
    while (gguf_next_text(&cursor, &line)) TRY(tokenizer_put_merge_line(t, line, err));
    if ((uint64_t)t->merge_count != n)
        return err_set(err, WEFT_ERR_FORMAT, "%s is not an array of texts", KEY("merges"));
    return WEFT_OK;
}

static int add_stages(tokenizer *t, const pretokenizer *known, weft_error *err) {
    for (int i = 0; i < SPLIT_STAGES_MAX && known->stages[i]; i++)
        TRY(splitter_add(&t->splitter, known->stages[i], strlen(known->stages[i]), err));
    t->ignore_merges = known->ignore_merges;
    t->adds_bos = known->adds_bos;
    return WEFT_OK;
}

/* weft's own pattern if there is one, else what `pre` stands for. */
static int read_patterns(const gguf_file *f, tokenizer *t, weft_error *err) {
    gguf_text text, pre;
    gguf_cursor cursor;
    if (gguf_get_text(f, WEFT("pattern"), &text))
        return splitter_add(&t->splitter, text.data, text.size, err);
    if (gguf_array_begin(f, WEFT("pattern"), &cursor)) {
        while (gguf_next_text(&cursor, &text))
            TRY(splitter_add(&t->splitter, text.data, text.size, err));
        return WEFT_OK;
    }
    if (t->kind == TOKENIZER_SPM) return WEFT_OK;
    if (!gguf_get_text(f, KEY("pre"), &pre)) {
        if (t->count == LLAMA3_VOCAB_COUNT)
            return add_stages(t, pretokenizer_named("llama-bpe", 9), err);
        return err_set(err, WEFT_ERR_UNSUPPORTED,
                       "no %s: it is not known how this model splits text; import the model again "
                       "from its Hugging Face directory",
                       KEY("pre"));
    }
    const pretokenizer *known = pretokenizer_named(pre.data, pre.size);
    if (!known)
        return err_set(err, WEFT_ERR_UNSUPPORTED,
                       "%s is '%.*s', a way to split text that is not known; import the model from "
                       "its Hugging Face directory, whose tokenizer.json holds the pattern",
                       KEY("pre"), (int)(pre.size < 100 ? pre.size : 100), pre.data);
    return add_stages(t, known, err);
}

/* An id key; a missing one leaves -1. */
static int read_id(const gguf_file *f, const tokenizer *t, const char *key, int32_t *id,
                   weft_error *err) {
    int64_t value;
    *id = -1;
    if (!gguf_get_i64(f, key, &value)) return WEFT_OK;
    TRY(tokenizer_check_id(t, value, key, err));
    *id = (int32_t)value;
    return WEFT_OK;
}

static int read_ids(const gguf_file *f, tokenizer *t, weft_error *err) {
    TRY(read_id(f, t, KEY("bos_token_id"), &t->bos, err));
    TRY(read_id(f, t, KEY("eos_token_id"), &t->eos, err));
    TRY(read_id(f, t, KEY("unknown_token_id"), &t->unk, err));
    int32_t end;
    TRY(read_id(f, t, KEY("eot_token_id"), &end, err));
    if (end >= 0) TRY(tokenizer_put_end(t, end, KEY("eot_token_id"), err));
    TRY(read_id(f, t, KEY("eom_token_id"), &end, err));
    if (end >= 0) TRY(tokenizer_put_end(t, end, KEY("eom_token_id"), err));
    gguf_cursor cursor;
    int64_t id;
    if (!gguf_array_begin(f, WEFT("end_token_ids"), &cursor)) return WEFT_OK;
    while (gguf_next_i64(&cursor, &id)) TRY(tokenizer_put_end(t, id, WEFT("end_token_ids"), err));
    return WEFT_OK;
}

static int read_behaviour(const gguf_file *f, tokenizer *t, weft_error *err) {
    bool flag = t->kind == TOKENIZER_SPM;
    if (t->kind == TOKENIZER_SPM) t->adds_bos = true;
    gguf_get_bool(f, KEY("add_bos_token"), &t->adds_bos);
    gguf_get_bool(f, WEFT("ignore_merges"), &t->ignore_merges);
    gguf_get_bool(f, WEFT("fuse_unk"), &t->fuse_unk);
    gguf_get_bool(f, KEY("add_space_prefix"), &flag);
    t->prefix = !flag ? SPACE_NONE : t->kind == TOKENIZER_SPM ? SPACE_ALWAYS : SPACE_UNLESS_THERE;
    gguf_text text;
    if (gguf_get_text(f, WEFT("space_prefix"), &text)) {
        if (text_is(text, "unless-there"))
            t->prefix = SPACE_UNLESS_THERE;
        else if (text_is(text, "first-unless-there"))
            t->prefix = SPACE_FIRST_UNLESS_THERE;
        else
            return err_set(err, WEFT_ERR_UNSUPPORTED, "%s is not known", WEFT("space_prefix"));
    }
    flag = false;
    if (gguf_get_bool(f, KEY("remove_extra_whitespaces"), &flag) && flag)
        return err_set(err, WEFT_ERR_UNSUPPORTED, "%s is not supported",
                       KEY("remove_extra_whitespaces"));
    return WEFT_OK;
}

static int read_all(const gguf_file *f, tokenizer *t, weft_error *err) {
    TRY(read_tokens(f, t, err));
    TRY(read_flags(f, t, err));
    TRY(read_merges(f, t, err));
    TRY(read_patterns(f, t, err));
    TRY(read_ids(f, t, err));
    TRY(read_behaviour(f, t, err));
    return tokenizer_finish(t, err);
}

int tokenizer_from_gguf(const gguf_file *file, tokenizer **out, weft_error *err) {
    gguf_text model;
    int64_t count = 0;
    size_t pool_bytes = 0;
    *out = NULL;
    if (!gguf_get_text(file, KEY("model"), &model))
        return err_set(err, WEFT_ERR_FORMAT, "no %s: the file has no tokenizer", KEY("model"));
    if (!text_is(model, "gpt2") && !text_is(model, "llama"))
        return err_set(err, WEFT_ERR_UNSUPPORTED,
                       "%s is '%.*s'; only gpt2 (byte-level BPE) and llama (SentencePiece BPE) are "
                       "supported",
                       KEY("model"), (int)(model.size < 100 ? model.size : 100), model.data);
    tokenizer_kind kind = text_is(model, "gpt2") ? TOKENIZER_BPE : TOKENIZER_SPM;
    TRY(count_tokens(file, &count, &pool_bytes, err));
    tokenizer *t;
    TRY(tokenizer_create(kind, count, pool_bytes, &t, err));
    int rc = read_all(file, t, err);
    if (rc) tokenizer_free(&t);
    *out = t;
    return rc;
}

/* --- writing --- */

/* The writer keeps errors of its own and has no call to hand it one; a count over its limit makes
 * it refuse to save, which is what must happen when memory for a key is short. */
static void refuse(gguf_writer *w, const char *key) {
    gguf_put_texts(w, key, NULL, (size_t)GGUF_ARRAY_MAX + 1);
}

static void write_merges(const tokenizer *t, gguf_writer *w) {
    size_t total = 0, n = (size_t)t->merge_count;
    for (size_t i = 0; i < n; i++)
        total += t->texts[t->merges[i].left].size + 1 + t->texts[t->merges[i].right].size;
    char *pool = malloc(total + 1), *at = pool;
    gguf_text *lines = malloc((n + 1) * sizeof *lines);
    if (!pool || !lines) {
        refuse(w, KEY("merges"));
    } else {
        for (size_t i = 0; i < n; i++) {
            gguf_text left = t->texts[t->merges[i].left], right = t->texts[t->merges[i].right];
            lines[i] = (gguf_text){at, left.size + 1 + right.size};
            memcpy(at, left.data, left.size);
            at[left.size] = ' ';
            memcpy(at + left.size + 1, right.data, right.size);
            at += lines[i].size;
        }
        gguf_put_texts(w, KEY("merges"), lines, n);
    }
    free(lines);
    free(pool);
}

static void write_patterns(const tokenizer *t, gguf_writer *w) {
    const char *stages[SPLIT_STAGES_MAX];
    gguf_text texts[SPLIT_STAGES_MAX];
    int n = t->splitter.count;
    for (int i = 0; i < n; i++) {
        stages[i] = t->splitter.stages[i].pattern;
        texts[i] = (gguf_text){stages[i], strlen(stages[i])};
    }
    const pretokenizer *known =
        t->kind == TOKENIZER_BPE ? pretokenizer_matching(stages, n, t->ignore_merges) : NULL;
    if (t->kind == TOKENIZER_BPE)
        gguf_put_cstr(w, KEY("pre"), known ? known->name : "weft");
    else
        gguf_put_cstr(w, KEY("pre"), "default");
    if (!known && n == 1)
        gguf_put_text(w, WEFT("pattern"), texts[0].data, texts[0].size);
    else if (!known && (n > 1 || t->kind == TOKENIZER_BPE))
        gguf_put_texts(w, WEFT("pattern"), texts, (size_t)n);
    if (t->ignore_merges != (known && known->ignore_merges))
        gguf_put_bool(w, WEFT("ignore_merges"), t->ignore_merges);
}

static void write_flags(const tokenizer *t, gguf_writer *w) {
    size_t n = 0;
    for (int32_t id = 0; id < t->count; id++) n += (t->flags[id] & FLAGS_STORED) != 0;
    if (n == 0) return;
    int32_t *pairs = malloc(2 * n * sizeof *pairs);
    if (!pairs) {
        refuse(w, WEFT("token_flags"));
        return;
    }
    n = 0;
    for (int32_t id = 0; id < t->count; id++) {
        if (!(t->flags[id] & FLAGS_STORED)) continue;
        pairs[n++] = id;
        pairs[n++] = t->flags[id] & FLAGS_STORED;
    }
    gguf_put_i32s(w, WEFT("token_flags"), pairs, n);
    free(pairs);
}

static void write_ids(const tokenizer *t, gguf_writer *w) {
    if (t->bos >= 0) gguf_put_u32(w, KEY("bos_token_id"), (uint32_t)t->bos);
    if (t->eos >= 0) gguf_put_u32(w, KEY("eos_token_id"), (uint32_t)t->eos);
    if (t->unk >= 0) gguf_put_u32(w, KEY("unknown_token_id"), (uint32_t)t->unk);
    int32_t eot = -1;
    for (int i = 0; i < t->end_count && eot < 0; i++)
        if (t->ends[i] != t->eos) eot = t->ends[i];
    if (eot >= 0) gguf_put_u32(w, KEY("eot_token_id"), (uint32_t)eot);
    if (t->end_count > 0) gguf_put_i32s(w, WEFT("end_token_ids"), t->ends, (size_t)t->end_count);
}

void tokenizer_to_gguf(const tokenizer *t, gguf_writer *w) {
    bool spm = t->kind == TOKENIZER_SPM;
    gguf_put_cstr(w, KEY("model"), spm ? "llama" : "gpt2");
    write_patterns(t, w);
    gguf_put_texts(w, KEY("tokens"), t->texts, (size_t)t->count);
    if (spm) gguf_put_f32s(w, KEY("scores"), t->scores, (size_t)t->count);
    gguf_put_i32s(w, KEY("token_type"), t->types, (size_t)t->count);
    if (!spm || t->merge_count > 0) write_merges(t, w);
    write_ids(t, w);
    write_flags(t, w);
    gguf_put_bool(w, KEY("add_bos_token"), t->adds_bos);
    gguf_put_bool(w, KEY("add_space_prefix"), t->prefix != SPACE_NONE);
    if (t->prefix == SPACE_FIRST_UNLESS_THERE)
        gguf_put_cstr(w, WEFT("space_prefix"), "first-unless-there");
    else if (spm && t->prefix == SPACE_UNLESS_THERE)
        gguf_put_cstr(w, WEFT("space_prefix"), "unless-there");
    if (t->fuse_unk) gguf_put_bool(w, WEFT("fuse_unk"), true);
}
