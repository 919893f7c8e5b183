/* The library as a stranger uses it: <weft.h> and the default model, nothing from inside. */
#include <weft.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define MODEL WEFT_ROOT "/models/weft-42m.gguf"
#define LONG  48

static weft_model *model;
static char folder[64];
static int32_t text[LONG];
static float *one, *other;
static int64_t vocab;

static void ok(int rc, const weft_error *err) {
    if (rc) fail_msg("status %d: %s", rc, err->message);
}

/* rc is `status` and the message holds both words. */
static void refused(int rc, int status, const weft_error *err, const char *word,
                    const char *second) {
    if (rc != status || (int)err->code != status || !strstr(err->message, word) ||
        !strstr(err->message, second))
        fail_msg("status %d (%d expected, '%s', '%s'): %s", rc, status, word, second, err->message);
}

static const char *in_folder(const char *name) {
    static char paths[4][160];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static void write_file(const char *path, const void *data, size_t size) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

/* ---------------------------------------------------------------- models */

static void test_info(void **state) {
    (void)state;
    weft_model_info info;
    weft_model_get_info(model, &info);
    assert_string_equal(info.architecture, "bitnet-b1.58");
    assert_string_equal(info.activation, "relu2");
    assert_string_equal(info.name, "weft-42m");
    assert_string_equal(info.note, "");
    assert_non_null(strstr(info.device, "cpu"));
    assert_true(info.layer_count == 12 && info.hidden == 512 && info.ffn == 1536);
    assert_true(info.heads == 8 && info.kv_heads == 4 && info.head_dim == 64);
    assert_true(info.vocab == 8192 && info.context == 1024);
    assert_int_equal(info.ternary_count, 12 * (512 * (512 + 256 + 256 + 512) + 3 * 512 * 1536));
    assert_int_equal(info.dense_count, 8192 * 512);
    /* Two bits a weight and a BF16 embedding from the mapping; only the norms are copied. */
    assert_true(info.mapped_bytes >= (uint64_t)info.ternary_count / 4 + 8192 * 512 * 2);
    assert_true(info.resident_bytes < 200000);
    assert_int_equal(info.packing, WEFT_PACKING_FAST);
    assert_int_equal(info.ternary_bytes, info.ternary_count / 4);
    assert_true(info.tied_head && info.has_tokenizer && info.has_chat_template);
    assert_string_equal(weft_version(), WEFT_VERSION);
}

static void cannot_load(const char *path, int status, const char *word) {
    weft_error err;
    weft_model *none = model;
    char *json = folder;
    refused(weft_model_load(path, NULL, &none, &err), status, &err, path, word);
    assert_null(none);
    assert_int_equal(weft_model_load(path, NULL, &none, NULL), status);
    refused(weft_file_describe(path, &json, &err), status, &err, path, word);
    assert_null(json);
}

static void test_no_models(void **state) {
    (void)state;
    cannot_load(in_folder("none.gguf"), WEFT_ERR_IO, "");
    cannot_load(folder, WEFT_ERR_IO, "");
    write_file(in_folder("empty.gguf"), "", 0);
    cannot_load(in_folder("empty.gguf"), WEFT_ERR_FORMAT, "");
    write_file(in_folder("note.txt"), "these are words, not weights\n", 29);
    cannot_load(in_folder("note.txt"), WEFT_ERR_FORMAT, "GGUF");
    static const uint8_t tensors[] = "\x30\0\0\0\0\0\0\0"
                                     "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],"
                                     "\"data_offsets\":[0,4]}}  \0\0\0\0";
    write_file(in_folder("weights.bin"), tensors, sizeof tensors - 1);
    cannot_load(in_folder("weights.bin"), WEFT_ERR_FORMAT, "safetensors");
}

/* Copies cut short: in the magic, the keys, the tensor list and the data. */
static void test_truncated_models(void **state) {
    (void)state;
    static const long lengths[] = {1, 3, 4, 11, 23, 24, 100, 5000, 150000, 400000, 9000000, -1};
    FILE *f = fopen(MODEL, "rb");
    assert_non_null(f);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    long size = ftell(f);
    rewind(f);
    char *data = malloc((size_t)size);
    assert_non_null(data);
    assert_int_equal(fread(data, 1, (size_t)size, f), (size_t)size);
    fclose(f);
    const char *path = in_folder("short.gguf");
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        write_file(path, data, (size_t)(lengths[i] < 0 ? size + lengths[i] : lengths[i]));
        cannot_load(path, WEFT_ERR_FORMAT, "");
    }
    data[8] = (char)0xff; /* more tensors claimed than there are */
    write_file(path, data, 9000000);
    cannot_load(path, WEFT_ERR_RANGE, "the name of a tensor");
    remove(path);
    free(data);
}

static void test_describe(void **state) {
    (void)state;
    weft_error err;
    char *json;
    ok(weft_file_describe(MODEL, &json, &err), &err);
    assert_non_null(strstr(json, "\"kind\": \"gguf\""));
    assert_non_null(strstr(json, "general.architecture"));
    assert_non_null(strstr(json, "blk.11.ffn_down.weight"));
    assert_non_null(strstr(json, "I2_S"));
    weft_free(json);
    weft_free(NULL);
}

static void test_import_refuses(void **state) {
    (void)state;
    weft_error err;
    char note[256];
    refused(weft_import(folder, in_folder("x.gguf"), "q4_0", NULL, note, &err), WEFT_ERR_ARGUMENT,
            &err, "'q4_0'", "tq2_0");
    refused(weft_import(in_folder("nothing"), in_folder("x.gguf"), NULL, NULL, NULL, &err),
            WEFT_ERR_IO, &err, "nothing", "");
    assert_int_equal(access(in_folder("x.gguf"), F_OK), -1);
}

/* ---------------------------------------------------------------- text */

static void test_tokens_go_round(void **state) {
    (void)state;
    static const char *const texts[] = {"",
                                        "Ahoy!",
                                        " two  spaces and\n\ttabs ",
                                        "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\x90 na\xc3\xafve",
                                        "<|user|> is only text",
                                        "don't 12345 DON'T"};
    weft_error err;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        int32_t *tokens, *with_bos;
        size_t count, more;
        char *back;
        size_t size = strlen(texts[i]);
        ok(weft_tokenize(model, texts[i], size, false, false, &tokens, &count, &err), &err);
        ok(weft_detokenize(model, tokens, count, false, &back, &err), &err);
        assert_string_equal(back, texts[i]);
        ok(weft_tokenize(model, texts[i], size, true, false, &with_bos, &more, &err), &err);
        assert_int_equal(more, count + 1);
        assert_memory_equal(with_bos + 1, tokens, count * sizeof *tokens);
        weft_free(back);
        ok(weft_detokenize(model, with_bos, more, true, &back, &err), &err);
        assert_non_null(strstr(back, "<|begin_of_text|>"));
        weft_free(tokens);
        weft_free(with_bos);
        weft_free(back);
    }
}

static void test_special_tokens(void **state) {
    (void)state;
    weft_error err;
    int32_t *tokens;
    size_t count;
    char *back;
    ok(weft_tokenize(model, "<|eot_id|>", 10, false, true, &tokens, &count, &err), &err);
    assert_int_equal(count, 1);
    ok(weft_detokenize(model, tokens, 1, false, &back, &err), &err);
    assert_string_equal(back, "");
    weft_free(back);
    weft_free(tokens);
    int32_t bad[2] = {5, 8192};
    refused(weft_detokenize(model, bad, 2, true, &back, &err), WEFT_ERR_RANGE, &err, "8192",
            "outside");
    assert_null(back);
    bad[1] = -1;
    assert_int_equal(weft_detokenize(model, bad, 2, false, &back, NULL), WEFT_ERR_RANGE);
}

static const weft_message talk[] = {
    {"system", "Be short."}, {"user", "Hello"}, {"assistant", "Hi."}, {"user", "Who are you?"}};

static void test_chat_render(void **state) {
    (void)state;
    weft_error err;
    char *rendered, *closed, *back;
    int32_t *tokens;
    size_t count;
    ok(weft_chat_render(model, talk, 4, true, &rendered, &tokens, &count, &err), &err);
    assert_string_equal(rendered, "<|begin_of_text|><|system|>Be short.<|eot_id|><|user|>Hello"
                                  "<|eot_id|><|assistant|>Hi.<|eot_id|><|user|>Who are you?"
                                  "<|eot_id|><|assistant|>");
    ok(weft_detokenize(model, tokens, count, true, &back, &err), &err);
    assert_string_equal(back, rendered);
    ok(weft_chat_render(model, talk, 4, false, &closed, NULL, NULL, &err), &err);
    assert_int_equal(strlen(closed) + strlen("<|assistant|>"), strlen(rendered));
    weft_free(tokens);
    ok(weft_chat_render(model, talk, 4, false, NULL, &tokens, NULL, &err), &err);
    weft_free(tokens);
    weft_free(rendered);
    weft_free(closed);
    weft_free(back);
}

/* ---------------------------------------------------------------- sessions */

static weft_session *make_session(int64_t context, int64_t batch) {
    weft_error err;
    weft_session *s;
    weft_session_options o = {.context = context, .batch = batch};
    ok(weft_session_create(model, &o, &s, &err), &err);
    assert_int_equal(weft_session_context(s), context);
    assert_int_equal(weft_session_position(s), 0);
    return s;
}

/* Logits after the text in a fresh session with these adapters. */
static void logits_with(const weft_adapter *const *adapters, const float *scales, size_t count,
                        float *logits) {
    weft_error err;
    weft_session *s = make_session(LONG, LONG);
    ok(weft_session_set_adapters(s, adapters, scales, count, &err), &err);
    ok(weft_session_eval(s, text, LONG, logits, &err), &err);
    weft_session_free(&s);
}

/* The tight packing: less memory by the computed amount, the same logits bit for bit. */
static void test_packing(void **state) {
    (void)state;
    weft_model_options o = WEFT_MODEL_OPTIONS_DEFAULT;
    weft_model_info fast, tight;
    weft_model *standard = model;
    weft_error err;
    logits_with(NULL, NULL, 0, one);
    weft_model_get_info(model, &fast);
    o.packing = WEFT_PACKING_TIGHT;
    ok(weft_model_load(MODEL, &o, &model, &err), &err);
    logits_with(NULL, NULL, 0, other);
    weft_model_get_info(model, &tight);
    weft_model_free(&model);
    model = standard;
    assert_memory_equal(one, other, (size_t)vocab * sizeof *one);
    assert_int_equal(tight.packing, WEFT_PACKING_TIGHT);
    assert_int_equal(tight.ternary_bytes, (uint64_t)fast.ternary_count / 128 * 26);
    assert_int_equal(tight.resident_bytes, fast.resident_bytes + tight.ternary_bytes);
    assert_int_equal(tight.mapped_bytes, 8192 * 512 * 2); /* the embedding */
    assert_true(tight.resident_bytes + tight.mapped_bytes <
                fast.resident_bytes + fast.mapped_bytes);
}

static void test_eval_in_pieces(void **state) {
    (void)state;
    weft_error err;
    logits_with(NULL, NULL, 0, one);
    weft_session *s = make_session(LONG, 7);
    for (size_t at = 0; at < LONG; at += 12)
        ok(weft_session_eval(s, text + at, 12, at == 36 ? other : NULL, &err), &err);
    assert_memory_equal(one, other, (size_t)vocab * sizeof *one);

    refused(weft_session_eval(s, text, 1, other, &err), WEFT_ERR_RANGE, &err, "do not fit",
            "0 left");
    weft_session_truncate(s, 40);
    int32_t bad[2] = {1, (int32_t)vocab};
    refused(weft_session_eval(s, bad, 2, other, &err), WEFT_ERR_ARGUMENT, &err, "8192",
            "outside the vocabulary");
    bad[1] = -5;
    refused(weft_session_eval(s, bad, 2, other, &err), WEFT_ERR_ARGUMENT, &err, "-5", "");
    refused(weft_session_eval(s, bad, 0, other, &err), WEFT_ERR_ARGUMENT, &err, "no tokens", "");
    assert_int_equal(weft_session_position(s), 40);
    ok(weft_session_eval(s, text + 40, 8, other, &err), &err);
    assert_memory_equal(one, other, (size_t)vocab * sizeof *one);
    weft_session_free(&s);
    assert_null(s);
    weft_session_free(&s);
}

static void test_session_options(void **state) {
    (void)state;
    weft_error err;
    weft_session *s;
    weft_session_options o = {.context = -1};
    refused(weft_session_create(model, &o, &s, &err), WEFT_ERR_ARGUMENT, &err, "negative", "");
    assert_null(s);
    o = (weft_session_options){.context = INT64_C(1) << 40};
    refused(weft_session_create(model, &o, &s, &err), WEFT_ERR_RANGE, &err, "context", "the model's 1024");
    ok(weft_session_create(model, NULL, &s, &err), &err);
    assert_int_equal(weft_session_context(s), 1024);
    weft_session_free(&s);
}

/* ---------------------------------------------------------------- generation */

typedef struct reply {
    char text[4096];
    size_t size;
    int calls, stop_after; /* 0 = never */
} reply;

/* The length of the character that starts with c; 0 = none does. */
static size_t char_size(unsigned char c) {
    return c < 0x80 ? 1 : c >= 0xc2 && c < 0xe0 ? 2 : c >= 0xe0 && c < 0xf0 ? 3 : c >= 0xf0 ? 4 : 0;
}

static int keep(void *context, const char *piece, size_t size) {
    reply *r = context;
    assert_true(size > 0);
    for (size_t at = 0, n; at < size; at += n) { /* whole characters only */
        n = char_size((unsigned char)piece[at]);
        assert_true(n > 0 && at + n <= size);
        for (size_t i = 1; i < n; i++) assert_int_equal((unsigned char)piece[at + i] & 0xc0, 0x80);
    }
    assert_true(r->size + size < sizeof r->text);
    memcpy(r->text + r->size, piece, size);
    r->size += size;
    r->text[r->size] = 0;
    return ++r->calls == r->stop_after;
}

static weft_generate_stats answer(weft_session *s, size_t messages, float temperature,
                                  uint64_t seed, reply *r) {
    weft_error err;
    weft_generate_stats stats;
    weft_generate_options o = WEFT_GENERATE_OPTIONS_DEFAULT;
    o.max_tokens = 24;
    o.temperature = temperature;
    o.seed = seed;
    *r = (reply){.size = 0};
    ok(weft_chat(s, talk, messages, &o, keep, r, &stats, &err), &err);
    assert_true(stats.generated_tokens >= 1 && stats.generated_tokens <= 24);
    assert_true(stats.ended || stats.full || stats.generated_tokens == 24);
    return stats;
}

static void test_same_seed_same_text(void **state) {
    (void)state;
    reply first, second;
    weft_session *s = make_session(128, 64);
    assert_int_equal(answer(s, 2, 0, 1, &first).cached_tokens, 0);
    assert_true(first.size > 0);
    weft_session_truncate(s, 0);
    answer(s, 2, 0, 2, &second); /* without temperature the seed does not matter */
    assert_string_equal(first.text, second.text);
    answer(s, 2, 1.2f, 3, &first);
    answer(s, 2, 1.2f, 3, &second);
    assert_string_equal(first.text, second.text);
    int different = 0;
    for (uint64_t seed = 4; seed < 8; seed++) {
        answer(s, 2, 1.2f, seed, &second);
        different += strcmp(first.text, second.text) != 0;
    }
    assert_true(different > 0);
    weft_session_free(&s);
}

/* A session that has gone through the first turn keeps what the second one shares with it. */
static void test_cache_is_reused(void **state) {
    (void)state;
    reply first, second;
    weft_session *s = make_session(128, 64), *fresh = make_session(128, 5);
    answer(s, 2, 0, 0, &first);
    weft_generate_stats with = answer(s, 4, 0, 0, &first);
    weft_generate_stats without = answer(fresh, 4, 0, 0, &second);
    assert_true(with.cached_tokens > 5);
    assert_int_equal(without.cached_tokens, 0);
    assert_int_equal(with.prompt_tokens, without.prompt_tokens);
    assert_string_equal(first.text, second.text);
    weft_session_free(&s);
    weft_session_free(&fresh);
}

static void test_stopping(void **state) {
    (void)state;
    weft_error err;
    weft_generate_stats stats;
    weft_generate_options o = WEFT_GENERATE_OPTIONS_DEFAULT;
    reply r = {.stop_after = 2};
    weft_session *s = make_session(LONG + 4, 64);
    o.temperature = 0;
    refused(weft_chat(s, talk, 4, &o, keep, &r, &stats, &err), WEFT_ERR_INTERRUPTED, &err,
            "stopped", "");
    assert_int_equal(r.calls, 2);
    assert_true(stats.generated_tokens >= 2);
    o.max_tokens = 1;
    ok(weft_generate(s, text, LONG, &o, NULL, NULL, &stats, &err), &err);
    assert_true(stats.generated_tokens == 1 && stats.prompt_tokens == LONG);
    o.max_tokens = 0; /* until the context is full */
    o.temperature = 2;
    o.top_k = 0;
    o.top_p = 1;
    o.min_p = 0;
    ok(weft_generate(s, text, LONG, &o, NULL, NULL, &stats, &err), &err);
    assert_int_equal(stats.cached_tokens, LONG - 1);
    assert_true(stats.full != stats.ended);
    assert_true(weft_session_position(s) <= LONG + 4);
    weft_session_free(&s);
}

static void test_generate_refuses(void **state) {
    (void)state;
    weft_error err;
    weft_session *s = make_session(LONG / 2, 64);
    weft_generate_options o = WEFT_GENERATE_OPTIONS_DEFAULT;
    assert_int_equal(weft_generate(s, text, 0, NULL, NULL, NULL, NULL, &err), WEFT_ERR_ARGUMENT);
    refused(weft_generate(s, text, LONG, NULL, NULL, NULL, NULL, &err), WEFT_ERR_RANGE, &err,
            "do not fit", "24");
    o.max_tokens = -1;
    refused(weft_generate(s, text, 4, &o, NULL, NULL, NULL, &err), WEFT_ERR_ARGUMENT, &err,
            "max_tokens", "");
    for (int i = 0; i < 8; i++) {
        static const float senseless[] = {NAN, -1};
        o = (weft_generate_options)WEFT_GENERATE_OPTIONS_DEFAULT;
        float *fields[] = {&o.temperature, &o.top_p, &o.min_p, &o.repetition_penalty};
        *fields[i / 2] = senseless[i % 2];
        assert_int_equal(weft_generate(s, text, 4, &o, NULL, NULL, NULL, &err), WEFT_ERR_ARGUMENT);
        assert_int_equal(err.code, WEFT_ERR_ARGUMENT);
    }
    assert_int_equal(weft_session_position(s), 0);
    weft_session_free(&s);
}

/* ---------------------------------------------------------------- the store */

static void test_store(void **state) {
    (void)state;
    static const char long_name[] =
        "12345678901234567890123456789012345678901234567890123456789012345";
    static const char *const bad[] = {"",       ".hidden", "..", "a/b", "a b", "gr\xc3\xbc\xc3\x9f",
                                      long_name};
    weft_error err;
    weft_adapter_paths paths;
    char *names, root[96];
    snprintf(root, sizeof root, "%s/store", folder);
    assert_int_equal(setenv("WEFT_HOME", root, 1), 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        refused(weft_store_adapter(bad[i], true, &paths, &err), WEFT_ERR_ARGUMENT, &err,
                "is no adapter name", "letters, digits");
    ok(weft_store_list(&names, &err), &err);
    assert_string_equal(names, "");
    weft_free(names);
    ok(weft_store_adapter("zoe", false, &paths, &err), &err);
    assert_int_equal(access(paths.dir, F_OK), -1); /* only named, not made */
    ok(weft_store_adapter("zoe", true, &paths, &err), &err);
    assert_int_equal(access(paths.dir, W_OK), 0);
    assert_true(strncmp(paths.dir, root, strlen(root)) == 0);
    assert_non_null(strstr(paths.gguf, "/adapters/zoe/zoe.gguf"));
    assert_non_null(strstr(paths.peft, "/adapters/zoe/peft"));
    assert_non_null(strstr(paths.checkpoint, "/adapters/zoe/checkpoint.safetensors"));
    assert_non_null(strstr(paths.run, "/adapters/zoe/run.json"));
    ok(weft_store_adapter("bruno-2.1_x", true, &paths, &err), &err);
    ok(weft_store_list(&names, &err), &err);
    assert_string_equal(names, "bruno-2.1_x\nzoe\n");
    weft_free(names);
    unsetenv("WEFT_HOME");
}

static int begin(void **state) {
    (void)state;
    weft_error err;
    weft_model_info info;
    snprintf(folder, sizeof folder, "/tmp/weft-api-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    if (weft_model_load(MODEL, NULL, &model, &err)) return -1;
    weft_model_get_info(model, &info);
    vocab = info.vocab;
    for (int i = 0; i < LONG; i++) text[i] = (i * 137 + 59) % 8000;
    one = malloc((size_t)vocab * sizeof *one);
    other = malloc((size_t)vocab * sizeof *other);
    return one && other ? 0 : -1;
}

static int end(void **state) {
    (void)state;
    char command[128];
    weft_model_free(&model);
    assert_null(model);
    weft_model_free(&model);
    free(one);
    free(other);
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    return system(command);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_info),
                                       cmocka_unit_test(test_no_models),
                                       cmocka_unit_test(test_truncated_models),
                                       cmocka_unit_test(test_describe),
                                       cmocka_unit_test(test_import_refuses),
                                       cmocka_unit_test(test_tokens_go_round),
                                       cmocka_unit_test(test_special_tokens),
                                       cmocka_unit_test(test_chat_render),
                                       cmocka_unit_test(test_packing),
                                       cmocka_unit_test(test_eval_in_pieces),
                                       cmocka_unit_test(test_session_options),
                                       cmocka_unit_test(test_same_seed_same_text),
                                       cmocka_unit_test(test_cache_is_reused),
                                       cmocka_unit_test(test_stopping),
                                       cmocka_unit_test(test_generate_refuses),
                                       cmocka_unit_test(test_store)};
    return cmocka_run_group_tests(tests, begin, end);
}
