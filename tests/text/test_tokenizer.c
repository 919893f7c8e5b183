/* The tokenizer against what transformers' tokenizers gave (tests/vectors), and its own promises:
 * decode gives the text back, spans cover it, GGUF keeps everything, and broken files are refused
 * by name. */
#include "base/os.h"
#include "text/tokenizer.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define VECTORS WEFT_ROOT "/tests/vectors/"
#define MODEL   WEFT_ROOT "/models/weft-42m.gguf"

static const tokenizer_options special = {.parse_special = true};

static json_t *load_json(const char *path) {
    json_error_t error;
    json_t *root = json_load_file(path, JSON_ALLOW_NUL, &error);
    if (!root) print_error("%s: %s\n", path, error.text);
    assert_non_null(root);
    return root;
}

static tokenizer *from_text(const char *json) {
    tokenizer *t;
    weft_error err = {0};
    if (tokenizer_from_hf_json(json, strlen(json), &t, &err)) print_error("%s\n", err.message);
    assert_non_null(t);
    return t;
}

static token_span *encode(const tokenizer *t, const char *text, size_t size,
                          const tokenizer_options *options, size_t *count) {
    token_span *tokens;
    weft_error err = {0};
    int rc = tokenizer_encode(t, text, size, options, &tokens, count, &err);
    if (rc) print_error("%s\n", err.message);
    assert_int_equal(rc, WEFT_OK);
    return tokens;
}

/* Encode text and compare with ids, ended by -1. */
static void expect(const tokenizer *t, const char *text, const tokenizer_options *options, ...) {
    size_t count;
    token_span *tokens = encode(t, text, strlen(text), options, &count);
    va_list ids;
    va_start(ids, options);
    for (size_t i = 0; i < count; i++) assert_int_equal(tokens[i].id, va_arg(ids, int));
    assert_int_equal(va_arg(ids, int), -1);
    va_end(ids);
    free(tokens);
}

static void decode(const tokenizer *t, const token_span *tokens, size_t count, bytes *out) {
    for (size_t i = 0; i < count; i++)
        assert_int_equal(tokenizer_decode(t, tokens[i].id, true, out, NULL), WEFT_OK);
}

/* One vector: true if the ids are the expected ones; says what differs. */
static bool check_case(const tokenizer *t, const json_t *c, const char *name) {
    const json_t *text = json_object_get(c, "text"), *ids = json_object_get(c, "ids");
    size_t count;
    token_span *tokens =
        encode(t, json_string_value(text), json_string_length(text), &special, &count);
    bool same = count == json_array_size(ids);
    for (size_t i = 0; same && i < count; i++)
        same = tokens[i].id == json_integer_value(json_array_get(ids, i));
    if (!same) {
        char *shown = json_dumps(c, JSON_COMPACT | JSON_ENSURE_ASCII);
        print_error("%s: %s\n  got", name, shown);
        for (size_t i = 0; i < count; i++) print_error(" %d", tokens[i].id);
        print_error("\n");
        free(shown);
    }
    free(tokens);
    return same;
}

static void check_cases(const tokenizer *t, const json_t *cases, const char *name) {
    size_t wrong = 0, i;
    json_t *c;
    json_array_foreach(cases, i, c) wrong += !check_case(t, c, name);
    assert_int_equal(wrong, 0);
}

/* Write t as a GGUF file and read it again. */
static tokenizer *through_gguf(const tokenizer *t, const char *pre) {
    char path[] = "/tmp/weft-test-tokenizer-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    weft_error err = {0};
    gguf_writer *w;
    gguf_file *file;
    tokenizer *copy;
    assert_int_equal(gguf_writer_create(&w, &err), WEFT_OK);
    tokenizer_to_gguf(t, w);
    if (gguf_writer_save(w, path, &err)) print_error("%s\n", err.message);
    gguf_writer_free(&w);
    if (gguf_open(path, &file, &err)) print_error("%s\n", err.message);
    unlink(path);
    assert_non_null(file);
    gguf_text name;
    if (pre) {
        assert_true(gguf_get_text(file, "tokenizer.ggml.pre", &name));
        assert_int_equal(name.size, strlen(pre));
        assert_memory_equal(name.data, pre, name.size);
    }
    if (tokenizer_from_gguf(file, &copy, &err)) print_error("%s\n", err.message);
    assert_non_null(copy);
    gguf_close(&file);
    return copy;
}

static void assert_same_tables(const tokenizer *a, const tokenizer *b) {
    assert_int_equal(tokenizer_vocab_count(a), tokenizer_vocab_count(b));
    assert_int_equal(tokenizer_bos(a), tokenizer_bos(b));
    assert_int_equal(tokenizer_eos(a), tokenizer_eos(b));
    assert_int_equal(tokenizer_adds_bos(a), tokenizer_adds_bos(b));
    for (int32_t id = 0; id < tokenizer_vocab_count(a); id++) {
        gguf_text x = tokenizer_text(a, id), y = tokenizer_text(b, id);
        assert_int_equal(x.size, y.size);
        assert_memory_equal(x.data, y.data, x.size);
        assert_int_equal(tokenizer_is_special(a, id), tokenizer_is_special(b, id));
        assert_int_equal(tokenizer_is_end(a, id), tokenizer_is_end(b, id));
    }
}

static void test_vectors(void **state) {
    (void)state;
    json_t *root = load_json(VECTORS "tokenizers.json"), *model;
    size_t i;
    json_array_foreach(json_object_get(root, "models"), i, model) {
        const char *name = json_string_value(json_object_get(model, "name"));
        const char *pre = json_string_value(json_object_get(model, "pre"));
        char *json = json_dumps(json_object_get(model, "tokenizer"), 0);
        tokenizer *t = from_text(json), *copy = through_gguf(t, pre);
        free(json);
        check_cases(t, json_object_get(model, "cases"), name);
        assert_same_tables(t, copy);
        check_cases(copy, json_object_get(model, "cases"), name);
        tokenizer_free(&copy);
        tokenizer_free(&t);
        assert_null(t);
    }
    assert_int_equal(i, 12);
    json_decref(root);
}

/* Every text comes back, its spans follow one another, and each token says its span. */
static void check_round_trip(const tokenizer *t, const char *text, size_t size) {
    size_t count;
    token_span *tokens = encode(t, text, size, &special, &count);
    bytes all = {0}, one = {0};
    uint32_t at = 0;
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(tokens[i].begin, at);
        at = tokens[i].end;
        bytes_clear(&one);
        assert_int_equal(tokenizer_decode(t, tokens[i].id, true, &one, NULL), WEFT_OK);
        assert_int_equal(one.size, at - tokens[i].begin);
        assert_memory_equal(one.data, text + tokens[i].begin, one.size);
    }
    decode(t, tokens, count, &all);
    assert_int_equal(at, size);
    assert_int_equal(all.size, size);
    if (size) assert_memory_equal(all.data, text, size);
    bytes_free(&all);
    bytes_free(&one);
    free(tokens);
}

static tokenizer *vector_model(const char *name) {
    json_t *root = load_json(VECTORS "tokenizers.json"), *model;
    tokenizer *t = NULL;
    size_t i;
    json_array_foreach(json_object_get(root, "models"), i, model) {
        if (strcmp(json_string_value(json_object_get(model, "name")), name) != 0) continue;
        char *json = json_dumps(json_object_get(model, "tokenizer"), 0);
        t = from_text(json);
        free(json);
    }
    json_decref(root);
    assert_non_null(t);
    return t;
}

static void test_round_trip(void **state) {
    (void)state;
    static const char *const names[] = {"gpt-2", "llama-bpe", "qwen2", "gpt-4o", "deepseek-v3"};
    json_t *root = load_json(VECTORS "tokenizers.json"), *c;
    json_t *model = json_array_get(json_object_get(root, "models"), 0);
    for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
        tokenizer *t = vector_model(names[n]);
        size_t i;
        json_array_foreach(json_object_get(model, "cases"), i, c) {
            const json_t *text = json_object_get(c, "text");
            check_round_trip(t, json_string_value(text), json_string_length(text));
        }
        tokenizer_free(&t);
    }
    json_decref(root);
}

/* Bytes that are no UTF-8 become byte tokens, alone and among good text, and come back. */
static void test_ill_formed(void **state) {
    (void)state;
    static const char *const names[] = {"gpt-2", "llama-bpe", "deepseek-v3"};
    static const char texts[][12] = {"\xff\xfe",
                                     "a\x80z",
                                     "\xc3(",
                                     "\xe6\x9d",
                                     "\xed\xa0\x80",
                                     "x \xf0\x9f y",
                                     "\xc0\xaf",
                                     "\xf8\x88\x80",
                                     " \xe2\x82\n\n ",
                                     "12\xff\x33\x34"};
    for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
        tokenizer *t = vector_model(names[n]);
        for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
            check_round_trip(t, texts[i], strlen(texts[i]));
        char every[256];
        for (int i = 0; i < 256; i++) every[i] = (char)(255 - i);
        check_round_trip(t, every, sizeof every);
        tokenizer_free(&t);
    }
}

/* A run too long for anything but n log n: 100,000 letters, and as many spaces. */
static void test_long_runs(void **state) {
    (void)state;
    size_t size = 100000;
    char *text = malloc(size);
    assert_non_null(text);
    static const char *const names[] = {"gpt-2", "llama-bpe", "gpt-4o", "deepseek-v3"};
    for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
        tokenizer *t = vector_model(names[n]);
        static const char fill[] = "aA 1!\n";
        for (const char *c = fill; *c; c++) {
            memset(text, *c, size);
            check_round_trip(t, text, size);
            text[size - 1] = 'z';
            check_round_trip(t, text, size);
        }
        tokenizer_free(&t);
    }
    tokenizer *t = vector_model("llama spm");
    size_t count;
    memset(text, 'a', size);
    free(encode(t, text, size, NULL, &count));
    assert_true(count > 0 && count <= size + 1);
    tokenizer_free(&t);
    free(text);
}

/* --- a model small enough to read --- */

/* Byte-level, with the given additions to `added_tokens`. Ids: !=0 a=1 b=2 c=3 ab=4 abc=5 (space)=6
 * <=7 |=8 e=9 >=10 */
#define SMALL(added, more)                                                                         \
    "{\"added_tokens\":[" added "],\"pre_tokenizer\":{\"type\":\"ByteLevel\","                     \
    "\"add_prefix_space\":false},\"model\":{\"type\":\"BPE\",\"vocab\":{\"!\":0,\"a\":1,\"b\":2,"  \
    "\"c\":3,\"ab\":4,\"abc\":5,\"\\u0120\":6,\"<\":7,\"|\":8,\"e\":9,\">\":10},"                  \
    "\"merges\":[\"a b\",[\"ab\",\"c\"]]" more "}}"
#define END_TOKEN  "{\"id\":11,\"content\":\"<|e|>\",\"special\":true}"
#define USER_TOKEN "{\"id\":12,\"content\":\"cc\",\"special\":false}"

static void test_special_tokens(void **state) {
    (void)state;
    tokenizer *t = from_text(SMALL(END_TOKEN "," USER_TOKEN, ""));
    static const tokenizer_options plain = {0};
    assert_int_equal(tokenizer_vocab_count(t), 13);
    assert_true(tokenizer_is_special(t, 11));
    assert_false(tokenizer_is_special(t, 12));
    assert_false(tokenizer_is_special(t, -1));
    assert_int_equal(tokenizer_find(t, "<|e|>"), 11);
    assert_int_equal(tokenizer_find(t, "nothing"), -1);
    expect(t, "ab<|e|>c", &special, 4, 11, 3, -1);
    expect(t, "ab<|e|>c", &plain, 4, 7, 8, 9, 8, 10, 3, -1);
    expect(t, "ab<|e|>c", NULL, 4, 7, 8, 9, 8, 10, 3, -1);
    expect(t, "a<|e|", &special, 1, 7, 8, 9, 8, -1);
    expect(t, "abccc", &plain, 4, 12, 3, -1); /* added, not special: always read */
    bytes out = {0};
    assert_int_equal(tokenizer_decode(t, 11, false, &out, NULL), WEFT_OK);
    assert_int_equal(out.size, 0);
    assert_int_equal(tokenizer_decode(t, 11, true, &out, NULL), WEFT_OK);
    assert_string_equal(out.data, "<|e|>");
    bytes_free(&out);
    tokenizer_free(&t);
}

/* Content cannot forge a turn: not whole, not by half, not at a border. */
static void test_literal_ranges(void **state) {
    (void)state;
    tokenizer *t = from_text(SMALL(END_TOKEN ",{\"id\":12,\"content\":\"<e>\"}", ""));
    byte_range ranges[] = {{0, 0}, {3, 8}, {8, 9}, {20, 30}};
    tokenizer_options options = {.parse_special = true, .literal = ranges, .literal_count = 4};
    expect(t, "<e><|e|><|e|>a<|e|>", &options, 12, 7, 8, 9, 8, 10, 7, 8, 9, 8, 10, 1, 11, -1);
    ranges[1] = (byte_range){0, 3}; /* user tokens that look like markup are kept out too */
    ranges[2] = (byte_range){12, 12};
    expect(t, "<e><|e|><|e|>a<|e|>", &options, 7, 9, 10, 11, 11, 1, 11, -1);
    ranges[1] = (byte_range){7, 8}; /* the last byte alone is content */
    expect(t, "<e><|e|><|e|>a", &options, 12, 7, 8, 9, 8, 10, 11, 1, -1);
    tokenizer_free(&t);
}

static void test_bos(void **state) {
    (void)state;
    tokenizer *t = vector_model("llama-bpe");
    assert_true(tokenizer_adds_bos(t));
    int32_t bos = tokenizer_find(t, "<|start|>");
    assert_int_equal(tokenizer_bos(t), bos);
    tokenizer_options options = {.add_bos = true};
    size_t count;
    token_span *tokens = encode(t, "", 0, &options, &count);
    assert_int_equal(count, 1);
    assert_int_equal(tokens[0].id, bos);
    assert_int_equal(tokens[0].end, 0);
    free(tokens);
    assert_true(tokenizer_is_end(t, tokenizer_find(t, "<|end|>")));
    assert_false(tokenizer_is_end(t, bos));
    tokenizer_free(&t);
}

/* Characters come out whole, whatever the tokens cut. */
static void test_stream(void **state) {
    (void)state;
    tokenizer *t = vector_model("gpt-2");
    const char *text = "h\xc3\xa9 \xf0\x9f\x8d\x95 \xe6\x9d\xb1";
    size_t count;
    token_span *tokens = encode(t, text, strlen(text), &special, &count);
    token_stream s = {0};
    bytes out = {0};
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(token_stream_add(&s, t, tokens[i].id, &out, NULL), WEFT_OK);
        json_t *whole = json_stringn(out.data ? out.data : "", out.size); /* NULL unless UTF-8 */
        assert_non_null(whole);
        json_decref(whole);
    }
    assert_int_equal(token_stream_flush(&s, &out, NULL), WEFT_OK);
    assert_string_equal(out.data, text);
    free(tokens);

    bytes_clear(&out);
    const char *broken = "\xf0\x9f"
                         "a\xff\xe6\x9d";
    tokens = encode(t, broken, strlen(broken), &special, &count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(token_stream_add(&s, t, tokens[i].id, &out, NULL), WEFT_OK);
    assert_string_equal(out.data, "\xef\xbf\xbd"
                                  "a\xef\xbf\xbd");
    assert_int_equal(token_stream_flush(&s, &out, NULL), WEFT_OK);
    assert_string_equal(out.data, "\xef\xbf\xbd"
                                  "a\xef\xbf\xbd\xef\xbf\xbd");
    free(tokens);
    bytes_free(&out);
    weft_error err = {0};
    assert_int_equal(token_stream_add(&s, t, 99999, &out, &err), WEFT_ERR_RANGE);
    tokenizer_free(&t);
}

/* SentencePiece's own space is cut once, at the start. */
static void test_stream_space(void **state) {
    (void)state;
    tokenizer *t = vector_model("llama spm");
    const char *text = "the letter \xf0\x9f\x8d\x95 from  the";
    size_t count;
    token_span *tokens = encode(t, text, strlen(text), &special, &count);
    token_stream s = {0};
    bytes out = {0};
    assert_int_equal(tokens[0].begin, 0);
    assert_int_equal(tokens[count - 1].end, strlen(text));
    assert_int_equal(token_stream_add(&s, t, tokenizer_find(t, "<s>"), &out, NULL), WEFT_OK);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(token_stream_add(&s, t, tokens[i].id, &out, NULL), WEFT_OK);
    assert_int_equal(token_stream_flush(&s, &out, NULL), WEFT_OK);
    assert_string_equal(out.data, text);
    free(tokens);
    bytes_free(&out);
    tokenizer_free(&t);
}

/* --- what is refused --- */

static void refuse(const char *json, weft_status code, const char *part) {
    tokenizer *t;
    weft_error err = {0};
    int rc = tokenizer_from_hf_json(json, strlen(json), &t, &err);
    if (rc != (int)code || !strstr(err.message, part))
        print_error("%d '%s' where %d '%s' was expected\n", rc, err.message, code, part);
    assert_int_equal(rc, code);
    assert_int_equal(err.code, code);
    assert_non_null(strstr(err.message, part));
    assert_null(t);
}

#define MODEL_OF(vocab, merges)                                                                    \
    "{\"pre_tokenizer\":{\"type\":\"ByteLevel\"},\"model\":{\"type\":\"BPE\",\"vocab\":" vocab     \
    ",\"merges\":" merges "}}"
#define WITH_PRE(pre)                                                                              \
    "{\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[" pre "]},"                      \
    "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]}}"
#define WITH_NORMALIZER(n)                                                                         \
    "{\"normalizer\":" n ",\"pre_tokenizer\":{\"type\":\"ByteLevel\"},"                            \
    "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]}}"
#define BYTE_LEVEL "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false}"

static void test_broken_json(void **state) {
    (void)state;
    refuse("{", WEFT_ERR_FORMAT, "tokenizer.json");
    refuse("{}", WEFT_ERR_FORMAT, "no model");
    refuse("{\"model\":{\"type\":\"Unigram\"}}", WEFT_ERR_UNSUPPORTED, "Unigram");
    refuse("{\"model\":{\"type\":\"BPE\",\"vocab\":{},\"merges\":[]}}", WEFT_ERR_UNSUPPORTED,
           "byte_fallback");
    refuse(MODEL_OF("{}", "[]"), WEFT_ERR_FORMAT, "empty");
    refuse(MODEL_OF("3", "[]"), WEFT_ERR_FORMAT, "model.vocab");
    refuse(MODEL_OF("{\"a\":-1}", "[]"), WEFT_ERR_RANGE, "'a'");
    refuse(MODEL_OF("{\"a\":2000000}", "[]"), WEFT_ERR_RANGE, "'a'");
    refuse(MODEL_OF("{\"a\":0,\"b\":0}", "[]"), WEFT_ERR_FORMAT, "same id 0");
    refuse(MODEL_OF("{\"a\":0}", "3"), WEFT_ERR_FORMAT, "model.merges");
    refuse(MODEL_OF("{\"a\":0}", "[3]"), WEFT_ERR_FORMAT, "merge 0");
    refuse(MODEL_OF("{\"a\":0}", "[\"aa\"]"), WEFT_ERR_FORMAT, "space between");
    refuse(MODEL_OF("{\"a\":0,\"aa\":1}", "[\"a a\",\"a b\"]"), WEFT_ERR_FORMAT, "merge 1 ('a b')");
    refuse(MODEL_OF("{\"a\":0,\"b\":1}", "[[\"a\",\"b\"]]"), WEFT_ERR_FORMAT, "not in the vocab");
    refuse(SMALL("{\"id\":4,\"content\":\"new\"}", ""), WEFT_ERR_FORMAT, "same id 4");
    refuse(SMALL("{\"id\":11,\"content\":\"ab\"}", ""), WEFT_ERR_FORMAT, "both 'ab'");
    refuse(SMALL("{\"id\":11}", ""), WEFT_ERR_FORMAT, "no content");
    refuse(SMALL("", ",\"end_of_word_suffix\":\"</w>\""), WEFT_ERR_UNSUPPORTED, "end_of_word");
    refuse(WITH_NORMALIZER("{\"type\":\"NFKC\"}"), WEFT_ERR_UNSUPPORTED, "NFKC");
    refuse(WITH_PRE("{\"type\":\"Bert\"}," BYTE_LEVEL), WEFT_ERR_UNSUPPORTED, "Bert");
    refuse(WITH_PRE(BYTE_LEVEL ",{\"type\":\"Digits\"}"), WEFT_ERR_UNSUPPORTED, "after ByteLevel");
    refuse(WITH_PRE("{\"type\":\"Split\",\"behavior\":\"Removed\",\"pattern\":{\"Regex\":\"x\"}}"
                    "," BYTE_LEVEL),
           WEFT_ERR_UNSUPPORTED, "Removed");
    refuse(WITH_PRE("{\"type\":\"Split\",\"behavior\":\"Isolated\",\"pattern\":{\"Regex\":\"a(\"}}"
                    "," BYTE_LEVEL),
           WEFT_ERR_FORMAT, "'a('");
    refuse(WITH_PRE("{\"type\":\"Split\",\"behavior\":\"Isolated\",\"pattern\":"
                    "{\"Regex\":\"[a&&b]\"}}," BYTE_LEVEL),
           WEFT_ERR_UNSUPPORTED, "&&");
}

static void test_missing_folder(void **state) {
    (void)state;
    tokenizer *t;
    weft_error err = {0};
    assert_int_equal(tokenizer_from_hf("/nowhere", &t, &err), WEFT_ERR_IO);
    assert_non_null(strstr(err.message, "/nowhere: no tokenizer.json"));
    assert_null(t);
}

/* A pattern that explodes on a text ends in an error, not in silence or for ever. */
static void test_pattern_limit(void **state) {
    (void)state;
    tokenizer *t = from_text(WITH_PRE("{\"type\":\"Split\",\"behavior\":\"Isolated\",\"pattern\":"
                                      "{\"Regex\":\"(?:a|aa)+(?!b)[cd]\"}}," BYTE_LEVEL));
    char text[200];
    memset(text, 'a', sizeof text);
    token_span *tokens;
    size_t count;
    weft_error err = {0};
    text[199] = 'b';
    assert_int_equal(tokenizer_encode(t, text, sizeof text, NULL, &tokens, &count, &err),
                     WEFT_ERR_RANGE);
    assert_non_null(strstr(err.message, "gives up"));
    assert_null(tokens);
    tokenizer_free(&t);
}

static void test_text_limit(void **state) {
    (void)state;
    tokenizer *t = from_text(SMALL("", ""));
    token_span *tokens;
    size_t count;
    weft_error err = {0};
    assert_int_equal(
        tokenizer_encode(t, "", (size_t)TOKENIZER_TEXT_BYTES_MAX + 1, NULL, &tokens, &count, &err),
        WEFT_ERR_RANGE);
    assert_non_null(strstr(err.message, "1073741825 bytes"));
    assert_int_equal(tokenizer_encode(t, NULL, 0, NULL, &tokens, &count, &err), WEFT_OK);
    assert_int_equal(count, 0);
    tokenizer_free(&t);
}

/* --- a folder --- */

static void put_file(const char *dir, const char *name, const char *text) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    weft_error err = {0};
    assert_int_equal(os_write_file(path, text, strlen(text), &err), WEFT_OK);
}

static void refuse_folder(const char *dir, weft_status code, const char *part) {
    tokenizer *t;
    weft_error err = {0};
    int rc = tokenizer_from_hf(dir, &t, &err);
    if (rc != (int)code || !strstr(err.message, part)) print_error("%d %s\n", rc, err.message);
    assert_int_equal(rc, code);
    assert_non_null(strstr(err.message, part));
    assert_null(t);
}

static void test_folder(void **state) {
    (void)state;
    char dir[] = "/tmp/weft-test-tokenizer-XXXXXX";
    assert_non_null(mkdtemp(dir));
    put_file(dir, "tokenizer.model", "");
    refuse_folder(dir, WEFT_ERR_UNSUPPORTED, "tokenizer.model");
    put_file(dir, "tokenizer.json", SMALL(END_TOKEN "," USER_TOKEN, ""));
    tokenizer *t;
    weft_error err = {0};
    assert_int_equal(tokenizer_from_hf(dir, &t, &err), WEFT_OK);
    assert_int_equal(tokenizer_bos(t), -1);
    assert_int_equal(tokenizer_eos(t), -1);
    assert_false(tokenizer_is_end(t, 11));
    tokenizer_free(&t);

    put_file(dir, "tokenizer_config.json",
             "{\"bos_token\":{\"content\":\"<|e|>\"},\"eos_token\":null,"
             "\"add_bos_token\":true}");
    put_file(dir, "special_tokens_map.json", "{\"eos_token\":\"cc\"}");
    put_file(dir, "generation_config.json", "{\"eos_token_id\":[11,3]}");
    assert_int_equal(tokenizer_from_hf(dir, &t, &err), WEFT_OK);
    assert_int_equal(tokenizer_bos(t), 11);
    assert_int_equal(tokenizer_eos(t), 12);
    assert_true(tokenizer_adds_bos(t));
    assert_true(tokenizer_is_end(t, 11) && tokenizer_is_end(t, 12) && tokenizer_is_end(t, 3));
    assert_false(tokenizer_is_end(t, 4));
    tokenizer *copy = through_gguf(t, "gpt-2");
    assert_same_tables(t, copy);
    tokenizer_free(&copy);
    tokenizer_free(&t);

    put_file(dir, "generation_config.json", "{\"eos_token_id\":13}");
    refuse_folder(dir, WEFT_ERR_FORMAT, "eos_token_id is 13");
    put_file(dir, "special_tokens_map.json", "{\"eos_token\":\"<|none|>\"}");
    refuse_folder(dir, WEFT_ERR_FORMAT, "'<|none|>' is not in the vocabulary");
    put_file(dir, "tokenizer_config.json", "{");
    refuse_folder(dir, WEFT_ERR_FORMAT, "tokenizer_config.json");
    assert_int_equal(os_remove_tree(dir, &err), WEFT_OK);
}

/* --- GGUF metadata --- */

typedef struct metadata {
    const char *model, *pre, *pattern;
    int64_t bos;
    bool merges, scores;
    const char *last; /* text of token 3 */
    int type;         /* of token 3 */
} metadata;

static int from_metadata(metadata m, tokenizer **t, weft_error *err) {
    char path[] = "/tmp/weft-test-tokenizer-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    gguf_writer *w;
    gguf_file *file;
    assert_int_equal(gguf_writer_create(&w, err), WEFT_OK);
    gguf_text tokens[] = {{"a", 1}, {"b", 1}, {"ab", 2}, {m.last, strlen(m.last)}};
    gguf_text merge = {"a b", 3};
    const int32_t types[] = {1, 1, 1, m.type};
    const float scores[] = {0, 0, -1, 0};
    if (m.model) gguf_put_cstr(w, "tokenizer.ggml.model", m.model);
    if (m.pre) gguf_put_cstr(w, "tokenizer.ggml.pre", m.pre);
    if (m.pattern) gguf_put_cstr(w, "tokenizer.weft.pattern", m.pattern);
    gguf_put_texts(w, "tokenizer.ggml.tokens", tokens, 4);
    gguf_put_i32s(w, "tokenizer.ggml.token_type", types, 4);
    if (m.merges) gguf_put_texts(w, "tokenizer.ggml.merges", &merge, 1);
    if (m.scores) gguf_put_f32s(w, "tokenizer.ggml.scores", scores, 4);
    if (m.bos) gguf_put_u32(w, "tokenizer.ggml.bos_token_id", (uint32_t)m.bos);
    assert_int_equal(gguf_writer_save(w, path, err), WEFT_OK);
    gguf_writer_free(&w);
    assert_int_equal(gguf_open(path, &file, err), WEFT_OK);
    unlink(path);
    int rc = tokenizer_from_gguf(file, t, err);
    gguf_close(&file);
    return rc;
}

static void refuse_metadata(metadata m, weft_status code, const char *part) {
    tokenizer *t;
    weft_error err = {0};
    int rc = from_metadata(m, &t, &err);
    if (rc != (int)code || !strstr(err.message, part)) print_error("%s\n", err.message);
    assert_int_equal(rc, code);
    assert_non_null(strstr(err.message, part));
    assert_null(t);
}

static void test_metadata(void **state) {
    (void)state;
    const metadata good = {"gpt2", "gpt-2", NULL, 3, true, false, "<s>", 3};
    tokenizer *t;
    weft_error err = {0};
    assert_int_equal(from_metadata(good, &t, &err), WEFT_OK);
    assert_int_equal(tokenizer_bos(t), 3);
    assert_int_equal(tokenizer_eos(t), -1);
    assert_false(tokenizer_adds_bos(t));
    expect(t, "abb<s>", &special, 2, 1, 3, -1);
    tokenizer_free(&t);

    metadata m = good;
    m.pre = NULL;
    refuse_metadata(m, WEFT_ERR_UNSUPPORTED, "no tokenizer.ggml.pre");
    m.pre = "no-such-split";
    refuse_metadata(m, WEFT_ERR_UNSUPPORTED, "'no-such-split'");
    m.pattern = "b";
    assert_int_equal(from_metadata(m, &t, &err), WEFT_OK);
    expect(t, "abb", &special, 0, 1, 1, -1);
    tokenizer_free(&t);
    m = good;
    m.model = "bert";
    refuse_metadata(m, WEFT_ERR_UNSUPPORTED, "'bert'");
    m.model = NULL;
    refuse_metadata(m, WEFT_ERR_FORMAT, "no tokenizer.ggml.model");
    m = good;
    m.bos = 4;
    refuse_metadata(m, WEFT_ERR_FORMAT, "bos_token_id is 4");
    m = good;
    m.last = "ab";
    refuse_metadata(m, WEFT_ERR_FORMAT, "both 'ab'");
    m = good;
    m.merges = false;
    refuse_metadata(m, WEFT_ERR_FORMAT, "tokenizer.ggml.merges");
    m = good;
    m.type = 9;
    refuse_metadata(m, WEFT_ERR_FORMAT, "token 3");
    m = good;
    m.type = 6;
    refuse_metadata(m, WEFT_ERR_FORMAT, "byte token 3 is '<s>'");
    m = good;
    m.model = "llama";
    m.merges = false;
    refuse_metadata(m, WEFT_ERR_FORMAT, "tokenizer.ggml.scores");
}

/* A file of Llama 3's vocabulary that does not name its split has Llama 3's. */
static void test_missing_pre(void **state) {
    (void)state;
    enum { COUNT = 128256 };
    char(*names)[8] = malloc(COUNT * sizeof *names);
    gguf_text *tokens = malloc(COUNT * sizeof *tokens);
    assert_true(names && tokens);
    for (int i = 0; i < COUNT; i++) {
        int n = snprintf(names[i], sizeof names[i], "t%d", i);
        tokens[i] = (gguf_text){names[i], (size_t)n};
    }
    for (int i = 0; i < 4; i++) names[i][0] = "x12\xc4"[i];
    names[3][1] = (char)0xa0; /* U+0120: the space */
    for (int i = 0; i < 4; i++) tokens[i].size = i < 3 ? 1 : 2;
    char path[] = "/tmp/weft-test-tokenizer-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    gguf_writer *w;
    gguf_file *file;
    tokenizer *t;
    weft_error err = {0};
    gguf_text merge = {"1 2", 3};
    tokens[4] = (gguf_text){"12", 2};
    assert_int_equal(gguf_writer_create(&w, &err), WEFT_OK);
    gguf_put_cstr(w, "tokenizer.ggml.model", "gpt2");
    gguf_put_texts(w, "tokenizer.ggml.tokens", tokens, COUNT);
    gguf_put_texts(w, "tokenizer.ggml.merges", &merge, 1);
    assert_int_equal(gguf_writer_save(w, path, &err), WEFT_OK);
    gguf_writer_free(&w);
    assert_int_equal(gguf_open(path, &file, &err), WEFT_OK);
    unlink(path);
    if (tokenizer_from_gguf(file, &t, &err)) fail_msg("%s", err.message);
    gguf_close(&file);
    expect(t, "1212 12x", NULL, 4, 1, 2, 3, 4, 0, -1); /* 121|2| |12|x: three digits at most */
    tokenizer_free(&t);
    free(tokens);
    free(names);
}

/* Scores alone decide where there are no merges: llama.cpp's llama files. */
static void test_scores(void **state) {
    (void)state;
    tokenizer *spm = vector_model("llama spm"), *t;
    const metadata m = {"llama", "default", NULL, 3, false, true, "\xe2\x96\x81", 1};
    weft_error err = {0};
    assert_int_equal(from_metadata(m, &t, &err), WEFT_OK);
    expect(t, "abab a", &special, 3, 2, 2, 3, 0, -1);
    tokenizer_free(&t);
    tokenizer_free(&spm);
}

/* --- the default model --- */

static void test_default_model(void **state) {
    (void)state;
    tokenizer *t;
    gguf_file *file;
    weft_error err = {0};
    if (gguf_open(MODEL, &file, &err)) fail_msg("%s", err.message);
    if (tokenizer_from_gguf(file, &t, &err)) fail_msg("%s", err.message);
    gguf_close(&file);
    json_t *root = load_json(VECTORS "tokenize.json");
    check_cases(t, json_object_get(root, "tokenize"), "weft-42m");
    assert_true(check_case(t, json_object_get(root, "chat"), "weft-42m chat"));
    assert_int_equal(tokenizer_vocab_count(t), 8192);
    assert_int_equal(tokenizer_bos(t), 8186);
    assert_int_equal(tokenizer_eos(t), 8187);
    assert_true(tokenizer_is_end(t, 8187) && tokenizer_is_end(t, 8188));
    assert_true(tokenizer_adds_bos(t));
    tokenizer *copy = through_gguf(t, "llama-bpe");
    assert_same_tables(t, copy);
    check_cases(copy, json_object_get(root, "tokenize"), "weft-42m as GGUF");
    tokenizer_free(&copy);
    tokenizer_free(&t);
    json_decref(root);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_ill_formed),
        cmocka_unit_test(test_long_runs),
        cmocka_unit_test(test_special_tokens),
        cmocka_unit_test(test_literal_ranges),
        cmocka_unit_test(test_bos),
        cmocka_unit_test(test_stream),
        cmocka_unit_test(test_stream_space),
        cmocka_unit_test(test_broken_json),
        cmocka_unit_test(test_missing_folder),
        cmocka_unit_test(test_pattern_limit),
        cmocka_unit_test(test_metadata),
        cmocka_unit_test(test_scores),
        cmocka_unit_test(test_default_model),
        cmocka_unit_test(test_text_limit),
        cmocka_unit_test(test_folder),
        cmocka_unit_test(test_missing_pre),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
