/* The tokenizer from a Hugging Face folder: tokenizer.json and the small files beside it. It
 * accepts what it can do exactly and refuses the rest by name; how tokens are decoded follows from
 * the kind of model, so the file's `decoder` is not read. */
#include "text/tokenizer_impl.h"

#include "base/os.h"
#include "format/json_file.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* The documents at hand; those beside tokenizer.json may be missing (NULL). */
typedef struct hf_files {
    json_t *tokenizer, *config, *generation, *special;
} hf_files;

typedef struct hf_token {
    gguf_text text; /* data NULL: no token has this id */
    int type, flags;
} hf_token;

typedef struct hf_reader {
    hf_files files;
    json_t *model; /* the member of tokenizer.json */
    tokenizer *t;
    hf_token *tokens;
    int64_t count;
    bool byte_level; /* met ByteLevel: nothing may follow it */
    bool marks;      /* spaces become U+2581 */
    weft_error *err;
} hf_reader;

static const char *text_of(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static bool has_type(const json_t *object, const char *type) {
    return strcmp(text_of(object, "type"), type) == 0;
}

static bool flag_of(const json_t *object, const char *key, bool usual) {
    const json_t *value = json_object_get(object, key);
    return json_is_boolean(value) ? json_is_true(value) : usual;
}

static gguf_text string_text(const json_t *value) {
    return (gguf_text){json_string_value(value), json_string_length(value)};
}

static int unsupported(hf_reader *r, const char *what, const char *name) {
    return err_set(r->err, WEFT_ERR_UNSUPPORTED, "tokenizer.json: %s '%.100s' is not supported",
                   what, name);
}

/* --- the vocabulary --- */

static int check_token_id(hf_reader *r, const json_t *id, gguf_text text) {
    json_int_t value = json_integer_value(id);
    if (json_is_integer(id) && value >= 0 && value < TOKENIZER_VOCAB_MAX) {
        if (value >= r->count) r->count = value + 1;
        return WEFT_OK;
    }
    return err_set(r->err, WEFT_ERR_RANGE, "tokenizer.json: the id of '%.*s' is not within 0 .. %d",
                   (int)(text.size < 100 ? text.size : 100), text.data, TOKENIZER_VOCAB_MAX - 1);
}

/* Put a token at its id; the same text may come again (an added token that the model also lists).
 */
static int place_token(hf_reader *r, const json_t *id, gguf_text text, int type, int flags) {
    hf_token *place = &r->tokens[json_integer_value(id)];
    bool same = place->text.data && place->text.size == text.size &&
                memcmp(place->text.data, text.data, text.size) == 0;
    if (place->text.data && !same)
        return err_set(r->err, WEFT_ERR_FORMAT,
                       "tokenizer.json: '%.60s' and '%.60s' have the same id %lld",
                       place->text.data, text.data, (long long)json_integer_value(id));
    *place = (hf_token){text, type, flags};
    return WEFT_OK;
}

static bool is_byte_text(const char *text) {
    return strlen(text) == 6 && strncmp(text, "<0x", 3) == 0 && text[5] == '>';
}

static int place_vocabulary(hf_reader *r, json_t *vocab, tokenizer_kind kind) {
    const char *unknown = text_of(r->model, "unk_token");
    const char *text;
    json_t *id;
    json_object_foreach(vocab, text, id) {
        int type = TOKEN_NORMAL;
        if (*unknown && strcmp(text, unknown) == 0)
            type = TOKEN_UNKNOWN;
        else if (kind == TOKENIZER_SPM && is_byte_text(text))
            type = TOKEN_BYTE;
        TRY(place_token(r, id, (gguf_text){text, strlen(text)}, type, 0));
    }
    return WEFT_OK;
}

static int place_added(hf_reader *r, json_t *added) {
    const char *unknown = text_of(r->model, "unk_token");
    size_t i;
    json_t *token;
    json_array_foreach(added, i, token) {
        gguf_text text = string_text(json_object_get(token, "content"));
        int type = flag_of(token, "special", false) ? TOKEN_CONTROL : TOKEN_USER;
        if (*unknown && strcmp(text.data, unknown) == 0) type = TOKEN_UNKNOWN;
        /* A normaliser makes `normalized` depend on how the token itself is normalised; there, as
         * in the text without one, tokens are looked for as they are written. */
        bool late = flag_of(token, "normalized", false) &&
                    !json_is_object(json_object_get(r->files.tokenizer, "normalizer"));
        int flags = (flag_of(token, "lstrip", false) ? TOKEN_LSTRIP : 0) |
                    (flag_of(token, "rstrip", false) ? TOKEN_RSTRIP : 0) |
                    (flag_of(token, "single_word", false) ? TOKEN_SINGLE_WORD : 0) |
                    (late ? TOKEN_LATE : 0);
        TRY(place_token(r, json_object_get(token, "id"), text, type, flags));
    }
    return WEFT_OK;
}

static int check_vocabulary(hf_reader *r, json_t *vocab, json_t *added) {
    const char *text;
    json_t *id, *token;
    size_t i;
    if (!json_is_object(vocab))
        return err_set(r->err, WEFT_ERR_FORMAT, "tokenizer.json: model.vocab is missing");
    json_object_foreach(vocab, text, id)
        TRY(check_token_id(r, id, (gguf_text){text, strlen(text)}));
    json_array_foreach(added, i, token) {
        gguf_text content = string_text(json_object_get(token, "content"));
        if (!content.data || !content.size)
            return err_set(r->err, WEFT_ERR_FORMAT,
                           "tokenizer.json: added token %zu has no content", i);
        TRY(check_token_id(r, json_object_get(token, "id"), content));
    }
    if (r->count == 0)
        return err_set(r->err, WEFT_ERR_FORMAT, "tokenizer.json: the vocabulary is empty");
    return WEFT_OK;
}

/* Hand the tokens over in order of id; ids that nothing has become unused tokens. */
static int store_tokens(hf_reader *r, tokenizer_kind kind) {
    size_t pool_bytes = 0, pool_used = 0;
    for (int64_t i = 0; i < r->count; i++)
        pool_bytes += r->tokens[i].text.data ? r->tokens[i].text.size : 20;
    TRY(tokenizer_create(kind, r->count, pool_bytes, &r->t, r->err));
    for (int32_t i = 0; i < (int32_t)r->count; i++) {
        hf_token token = r->tokens[i];
        char padding[20];
        if (!token.text.data) {
            int n = snprintf(padding, sizeof padding, "[PAD%d]", i);
            token = (hf_token){{padding, (size_t)n}, TOKEN_UNUSED, 0};
        }
        TRY(tokenizer_put_token(r->t, i, token.text, token.type, token.flags, &pool_used, r->err));
    }
    return tokenizer_index(r->t, r->err);
}

static int read_vocabulary(hf_reader *r, tokenizer_kind kind) {
    json_t *vocab = json_object_get(r->model, "vocab");
    json_t *added = json_object_get(r->files.tokenizer, "added_tokens");
    TRY(check_vocabulary(r, vocab, added));
    r->tokens = calloc((size_t)r->count, sizeof *r->tokens);
    if (!r->tokens) return err_set(r->err, WEFT_ERR_MEMORY, "out of memory for the tokenizer");
    TRY(place_vocabulary(r, vocab, kind));
    TRY(place_added(r, added));
    TRY(store_tokens(r, kind));
    const char *unknown = text_of(r->model, "unk_token");
    if (*unknown) r->t->unk = tokenizer_find(r->t, unknown);
    return WEFT_OK;
}

static int read_merges(hf_reader *r) {
    json_t *merges = json_object_get(r->model, "merges"), *merge;
    if (!json_is_array(merges))
        return err_set(r->err, WEFT_ERR_FORMAT, "tokenizer.json: model.merges is missing");
    TRY(tokenizer_reserve_merges(r->t, (int64_t)json_array_size(merges), r->err));
    size_t i;
    json_array_foreach(merges, i, merge) {
        json_t *left = json_array_get(merge, 0), *right = json_array_get(merge, 1);
        int rc;
        if (json_is_string(merge)) {
            rc = tokenizer_put_merge_line(r->t, string_text(merge), r->err);
        } else if (json_is_string(left) && json_is_string(right) && json_array_size(merge) == 2) {
            rc = tokenizer_put_merge(r->t, string_text(left), string_text(right), r->err);
        } else {
            rc = err_set_at(r->err, WEFT_ERR_FORMAT, i,
                            "merge %zu is neither a text nor a pair of texts", i);
        }
        if (rc) {
            err_prefix(r->err, "tokenizer.json");
            return rc;
        }
    }
    return WEFT_OK;
}

/* For programs that rank by score alone: a token scores by the first merge that makes it. */
static void score_by_merges(tokenizer *t) {
    for (int32_t id = 0; id < t->count; id++)
        if (t->types[id] == TOKEN_NORMAL) t->scores[id] = -(float)t->merge_count;
    for (int32_t rank = t->merge_count - 1; rank >= 0; rank--)
        t->scores[t->merges[rank].result] = -(float)rank;
}

/* --- the normaliser: only SentencePiece's marking of spaces --- */

static int read_normalizer(hf_reader *r, const json_t *n, int depth) {
    if (!json_is_object(n)) return WEFT_OK;
    if (has_type(n, "Sequence") && depth == 0) {
        json_t *list = json_object_get(n, "normalizers"), *part;
        size_t i;
        json_array_foreach(list, i, part) TRY(read_normalizer(r, part, depth + 1));
        return WEFT_OK;
    }
    bool spm = r->t->kind == TOKENIZER_SPM;
    if (spm && has_type(n, "Prepend") && strcmp(text_of(n, "prepend"), SPACE_MARK) == 0) {
        r->t->prefix = SPACE_ALWAYS;
        return WEFT_OK;
    }
    const json_t *pattern = json_object_get(n, "pattern");
    if (spm && has_type(n, "Replace") && strcmp(text_of(pattern, "String"), " ") == 0 &&
        strcmp(text_of(n, "content"), SPACE_MARK) == 0) {
        r->marks = true;
        return WEFT_OK;
    }
    return unsupported(r, "the normalizer", text_of(n, "type"));
}

/* --- the pre-tokenizer --- */

static int add_stage(hf_reader *r, const char *pattern) {
    int rc = splitter_add(&r->t->splitter, pattern, strlen(pattern), r->err);
    if (rc) err_prefix(r->err, "tokenizer.json");
    return rc;
}

static int read_split(hf_reader *r, const json_t *p) {
    const json_t *pattern = json_object_get(p, "pattern");
    const char *regex = text_of(pattern, "Regex"), *literal = text_of(pattern, "String");
    const char *behavior = text_of(p, "behavior");
    if (r->t->kind == TOKENIZER_SPM && r->marks && strcmp(literal, " ") == 0)
        return WEFT_OK; /* all spaces are marks by now: it finds nothing */
    /* Removing what does not match is the same as isolating matches if everything matches; that is
     * known of the patterns that have names. */
    bool removes_nothing = strcmp(behavior, "Removed") == 0 && flag_of(p, "invert", false) &&
                           pretokenizer_matching(&regex, 1, false);
    if (strcmp(behavior, "Isolated") != 0 && !removes_nothing)
        return unsupported(r, "a Split with behavior", behavior);
    if (*regex) return add_stage(r, regex);
    if (!*literal || strstr(literal, "\\E")) return unsupported(r, "a Split on", literal);
    bytes quoted = {0};
    int rc = WEFT_ERR_MEMORY;
    if (bytes_printf(&quoted, "\\Q%s\\E", literal))
        rc = add_stage(r, quoted.data);
    else
        err_set(r->err, WEFT_ERR_MEMORY, "out of memory for the split pattern");
    bytes_free(&quoted);
    return rc;
}

static int read_byte_level(hf_reader *r, const json_t *p) {
    r->byte_level = true;
    if (flag_of(p, "add_prefix_space", true)) {
        if (r->t->splitter.count > 0)
            return unsupported(r, "after a Split,", "ByteLevel with add_prefix_space");
        r->t->prefix = SPACE_UNLESS_THERE;
    }
    return flag_of(p, "use_regex", true) ? add_stage(r, pretokenizer_gpt2_pattern) : WEFT_OK;
}

static int read_metaspace(hf_reader *r, const json_t *p) {
    if (r->t->kind != TOKENIZER_SPM || strcmp(text_of(p, "replacement"), SPACE_MARK) != 0)
        return unsupported(r, "here the pre-tokenizer", "Metaspace");
    const char *scheme = text_of(p, "prepend_scheme");
    if (!*scheme) scheme = flag_of(p, "add_prefix_space", true) ? "always" : "never";
    r->marks = true;
    if (strcmp(scheme, "always") == 0)
        r->t->prefix = SPACE_UNLESS_THERE;
    else if (strcmp(scheme, "first") == 0)
        r->t->prefix = SPACE_FIRST_UNLESS_THERE;
    else if (strcmp(scheme, "never") != 0)
        return unsupported(r, "the prepend_scheme", scheme);
    return flag_of(p, "split", true) ? add_stage(r, "\\x{2581}[^\\x{2581}]*") : WEFT_OK;
}

static int read_punctuation(hf_reader *r, const json_t *p) {
    const char *behavior = text_of(p, "behavior");
    if (strcmp(behavior, "Contiguous") == 0) return add_stage(r, "[\\p{P}!-/:-@\\[-`{-~]+");
    if (*behavior && strcmp(behavior, "Isolated") != 0)
        return unsupported(r, "Punctuation with behavior", behavior);
    return add_stage(r, "[\\p{P}!-/:-@\\[-`{-~]");
}

static int read_pre_tokenizer(hf_reader *r, const json_t *p, int depth) {
    if (!json_is_object(p)) return WEFT_OK;
    if (has_type(p, "Sequence") && depth == 0) {
        json_t *list = json_object_get(p, "pretokenizers"), *part;
        size_t i;
        json_array_foreach(list, i, part) TRY(read_pre_tokenizer(r, part, depth + 1));
        return WEFT_OK;
    }
    if (r->byte_level)
        return unsupported(r, "after ByteLevel, the pre-tokenizer", text_of(p, "type"));
    if (has_type(p, "Split")) return read_split(r, p);
    if (has_type(p, "ByteLevel")) return read_byte_level(r, p);
    if (has_type(p, "Metaspace")) return read_metaspace(r, p);
    if (has_type(p, "Punctuation")) return read_punctuation(r, p);
    if (has_type(p, "Digits"))
        return add_stage(r, flag_of(p, "individual_digits", false) ? "\\p{N}" : "\\p{N}+");
    return unsupported(r, "the pre-tokenizer", text_of(p, "type"));
}

static bool mentions_byte_level(const json_t *p) {
    json_t *list = json_object_get(p, "pretokenizers"), *part;
    size_t i;
    json_array_foreach(list, i, part) if (has_type(part, "ByteLevel")) return true;
    return has_type(p, "ByteLevel");
}

/* --- begin and end tokens --- */

/* What the template puts in front of a text. */
static int read_template(hf_reader *r, const json_t *p, int depth) {
    if (has_type(p, "Sequence") && depth == 0) {
        json_t *list = json_object_get(p, "processors"), *part;
        size_t i;
        json_array_foreach(list, i, part) TRY(read_template(r, part, depth + 1));
        return WEFT_OK;
    }
    if (!has_type(p, "TemplateProcessing")) return WEFT_OK;
    const json_t *first = json_array_get(json_object_get(p, "single"), 0);
    const char *name = text_of(json_object_get(first, "SpecialToken"), "id");
    if (!*name) return WEFT_OK;
    const json_t *special = json_object_get(json_object_get(p, "special_tokens"), name);
    const json_t *id = json_array_get(json_object_get(special, "ids"), 0);
    int64_t value = json_is_integer(id) ? json_integer_value(id) : tokenizer_find(r->t, name);
    TRY(tokenizer_check_id(r->t, value, "tokenizer.json: the token that begins texts", r->err));
    r->t->bos = (int32_t)value;
    r->t->adds_bos = true;
    return WEFT_OK;
}

/* The token that a small file names under key: a text, or an object with its content. -1 if none.
 */
static int named_token(hf_reader *r, const json_t *file, const char *key, int32_t *id) {
    const json_t *value = json_object_get(file, key);
    if (json_is_object(value)) value = json_object_get(value, "content");
    if (!json_is_string(value) || *id >= 0) return WEFT_OK;
    *id = tokenizer_find(r->t, json_string_value(value));
    if (*id >= 0) return WEFT_OK;
    return err_set(r->err, WEFT_ERR_FORMAT, "%s '%.100s' is not in the vocabulary", key,
                   json_string_value(value));
}

static int read_generation(hf_reader *r, const json_t *file) {
    const json_t *bos = json_object_get(file, "bos_token_id");
    json_t *ends = json_object_get(file, "eos_token_id"), *end;
    if (json_is_integer(bos) && r->t->bos < 0) {
        TRY(tokenizer_check_id(r->t, json_integer_value(bos), "bos_token_id", r->err));
        r->t->bos = (int32_t)json_integer_value(bos);
    }
    const json_t *first = json_is_array(ends) ? json_array_get(ends, 0) : ends;
    if (json_is_integer(first) && r->t->eos < 0) {
        TRY(tokenizer_check_id(r->t, json_integer_value(first), "eos_token_id", r->err));
        r->t->eos = (int32_t)json_integer_value(first);
    }
    if (json_is_integer(ends))
        return tokenizer_put_end(r->t, json_integer_value(ends), "eos_token_id", r->err);
    size_t i;
    json_array_foreach(ends, i, end) {
        int64_t id = json_is_integer(end) ? json_integer_value(end) : -1;
        TRY(tokenizer_put_end(r->t, id, "eos_token_id", r->err));
    }
    return WEFT_OK;
}

static int read_ends(hf_reader *r) {
    TRY(read_template(r, json_object_get(r->files.tokenizer, "post_processor"), 0));
    if (!r->t->adds_bos) r->t->adds_bos = flag_of(r->files.config, "add_bos_token", false);
    int32_t bos = -1;
    TRY(named_token(r, r->files.config, "bos_token", &bos));
    TRY(named_token(r, r->files.special, "bos_token", &bos));
    if (bos >= 0 && r->t->bos < 0) r->t->bos = bos;
    TRY(named_token(r, r->files.config, "eos_token", &r->t->eos));
    TRY(named_token(r, r->files.special, "eos_token", &r->t->eos));
    return read_generation(r, r->files.generation);
}

/* --- putting it together --- */

static int check_model(hf_reader *r, tokenizer_kind *kind) {
    r->model = json_object_get(r->files.tokenizer, "model");
    if (!json_is_object(r->model))
        return err_set(r->err, WEFT_ERR_FORMAT, "tokenizer.json: no model: not a tokenizer file");
    /* Files of early versions do not name the type; they have merges then. */
    bool bpe = has_type(r->model, "BPE") ||
               (!*text_of(r->model, "type") && json_object_get(r->model, "merges"));
    if (!bpe) return unsupported(r, "the model", text_of(r->model, "type"));
    if (*text_of(r->model, "continuing_subword_prefix") || *text_of(r->model, "end_of_word_suffix"))
        return unsupported(r, "the model option",
                           "continuing_subword_prefix or end_of_word_suffix");
    *kind = TOKENIZER_BPE;
    if (mentions_byte_level(json_object_get(r->files.tokenizer, "pre_tokenizer"))) return WEFT_OK;
    *kind = TOKENIZER_SPM;
    if (flag_of(r->model, "byte_fallback", false)) return WEFT_OK;
    return err_set(
        r->err, WEFT_ERR_UNSUPPORTED,
        "tokenizer.json: BPE with neither a ByteLevel pre-tokenizer nor byte_fallback is "
        "not supported");
}

static int read_all(hf_reader *r) {
    tokenizer_kind kind = TOKENIZER_BPE;
    TRY(check_model(r, &kind));
    TRY(read_vocabulary(r, kind));
    TRY(read_merges(r));
    TRY(read_normalizer(r, json_object_get(r->files.tokenizer, "normalizer"), 0));
    TRY(read_pre_tokenizer(r, json_object_get(r->files.tokenizer, "pre_tokenizer"), 0));
    if (kind == TOKENIZER_SPM) {
        if (!r->marks) return unsupported(r, "byte_fallback", "without marks for spaces");
        score_by_merges(r->t);
    }
    r->t->ignore_merges = flag_of(r->model, "ignore_merges", false);
    r->t->fuse_unk = flag_of(r->model, "fuse_unk", false);
    TRY(read_ends(r));
    return tokenizer_finish(r->t, r->err);
}

static int build(hf_files files, tokenizer **out, weft_error *err) {
    hf_reader r = {.files = files, .err = err};
    int rc = read_all(&r);
    free(r.tokens);
    if (rc) tokenizer_free(&r.t);
    *out = r.t;
    return rc;
}

int tokenizer_from_hf_json(const char *json, size_t size, tokenizer **out, weft_error *err) {
    hf_files files = {0};
    *out = NULL;
    if (size > TOKENIZER_JSON_BYTES_MAX)
        return err_set(err, WEFT_ERR_RANGE, "tokenizer.json has %zu bytes; at most %u are allowed",
                       size, TOKENIZER_JSON_BYTES_MAX);
    int rc = json_file_parse(json, size, &files.tokenizer, err);
    if (rc) {
        err_prefix(err, "tokenizer.json");
        return rc;
    }
    rc = build(files, out, err);
    json_decref(files.tokenizer);
    return rc;
}

/* Read DIR/name; a missing file is no error, and leaves *out NULL. */
static int load(const char *dir, const char *name, json_t **out, weft_error *err) {
    char path[PATH_MAX];
    *out = NULL;
    int n = snprintf(path, sizeof path, "%s/%s", dir, name);
    if (n < 0 || (size_t)n >= sizeof path)
        return err_set(err, WEFT_ERR_ARGUMENT, "the path of %s is too long", name);
    if (!os_is_file(path)) return WEFT_OK;
    return json_file_read(path, TOKENIZER_JSON_BYTES_MAX, out, err);
}

static int load_all(const char *dir, hf_files *files, weft_error *err) {
    char path[PATH_MAX];
    TRY(load(dir, "tokenizer.json", &files->tokenizer, err));
    if (!files->tokenizer) {
        snprintf(path, sizeof path, "%s/tokenizer.model", dir);
        if (os_is_file(path))
            return err_set(
                err, WEFT_ERR_UNSUPPORTED,
                "%s: there is a tokenizer.model but no tokenizer.json; save the tokenizer "
                "in its fast form (transformers: save_pretrained) first",
                dir);
        return err_set(err, WEFT_ERR_IO, "%s: no tokenizer.json", dir);
    }
    TRY(load(dir, "tokenizer_config.json", &files->config, err));
    TRY(load(dir, "generation_config.json", &files->generation, err));
    return load(dir, "special_tokens_map.json", &files->special, err);
}

int tokenizer_from_hf(const char *dir, tokenizer **out, weft_error *err) {
    hf_files files = {0};
    *out = NULL;
    int rc = load_all(dir, &files, err);
    if (!rc) {
        rc = build(files, out, err);
        if (rc) err_prefix(err, "%s", dir);
    }
    json_decref(files.tokenizer);
    json_decref(files.config);
    json_decref(files.generation);
    json_decref(files.special);
    return rc;
}
