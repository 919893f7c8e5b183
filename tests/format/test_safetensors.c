/* safetensors files and Hugging Face folders: round trips, shards, and each way of being wrong. */
#include "base/bytes.h"
#include "base/os.h"
#include "format/hf.h"
#include "format/safetensors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64];

static const char *in_folder(const char *name) {
    static char path[4][256];
    static int turn;
    char *p = path[turn++ & 3];
    snprintf(p, sizeof path[0], "%s/%s", folder, name);
    return p;
}

static int set_up(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/weft-test-safetensors-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    return os_remove_tree(folder, NULL);
}

static void write_text(const char *name, const char *text) {
    assert_int_equal(os_write_file(in_folder(name), text, strlen(text), NULL), WEFT_OK);
}

/* The length, a header and some data, as a file has them. */
static bytes file_of(const char *header, const char *data, size_t data_size) {
    bytes b = {0};
    uint64_t length = strlen(header);
    assert_true(bytes_add(&b, &length, 8) && bytes_add_text(&b, header));
    assert_true(bytes_add(&b, data, data_size));
    return b;
}

static int parse_copy(const char *data, size_t size, weft_error *err) {
    void *copy = malloc(size ? size : 1);
    if (size) memcpy(copy, data, size);
    safetensors_file *f;
    memset(err, 0, sizeof *err);
    int rc = safetensors_parse(copy, size, &f, err);
    if (rc) assert_null(f);
    safetensors_close(&f);
    free(copy);
    return rc;
}

static void refused(const char *header, size_t data_size, int code, const char *words) {
    weft_error err;
    static const char zeros[64];
    bytes b = file_of(header, zeros, data_size);
    int rc = parse_copy(b.data, b.size, &err);
    if (rc != code || !strstr(err.message, words))
        fail_msg("got %d '%s', wanted %d '%s'", rc, err.message, code, words);
    bytes_free(&b);
}

static uint8_t content[64];

enum { TYPE_COUNT = 8 };

static void every_type(tensor_view *t) {
    static const tensor_type types[TYPE_COUNT] = {TENSOR_F32, TENSOR_F16, TENSOR_BF16, TENSOR_F64,
                                                  TENSOR_I8,  TENSOR_U8,  TENSOR_I32,  TENSOR_I64};
    for (int i = 0; i < 64; i++) content[i] = (uint8_t)(i * 7);
    for (int i = 0; i < TYPE_COUNT; i++)
        t[i] = (tensor_view){tensor_type_name(types[i]),      types[i], 3, {1, 2, 3}, content,
                             6 * tensor_bytes(types[i], 1, 1)};
}

static void test_round_trip(void **state) {
    (void)state;
    tensor_view in[TYPE_COUNT + 1];
    every_type(in);
    in[TYPE_COUNT] = (tensor_view){"sc\"al\xc3\xa4r", TENSOR_F32, 0, {0}, content, 4};
    const char *const metadata[] = {"format", "pt", "empty", ""};
    weft_error err;
    const char *path = in_folder("round");
    assert_int_equal(safetensors_save(path, in, TYPE_COUNT + 1, metadata, 2, &err), WEFT_OK);
    safetensors_file *f;
    if (safetensors_open(path, &f, &err)) fail_msg("%s", err.message);
    assert_int_equal(safetensors_count(f), TYPE_COUNT + 1);
    for (size_t i = 0; i <= TYPE_COUNT; i++) {
        const tensor_view *t = safetensors_at(f, i);
        assert_ptr_equal(t, safetensors_find(f, in[i].name));
        assert_string_equal(t->name, in[i].name);
        assert_true(t->type == in[i].type && t->dim_count == in[i].dim_count);
        assert_true(t->size_bytes == in[i].size_bytes && tensor_count(t) == tensor_count(&in[i]));
        assert_memory_equal(t->data, content, t->size_bytes);
    }
    assert_int_equal((uintptr_t)safetensors_at(f, 0)->data % 8, 0);
    assert_string_equal(safetensors_metadata(f, "format"), "pt");
    assert_string_equal(safetensors_metadata(f, "empty"), "");
    assert_null(safetensors_metadata(f, "none"));
    assert_null(safetensors_find(f, "none"));
    safetensors_close(&f);
    assert_null(f);
    safetensors_close(&f);
}

static void test_nothing_to_write(void **state) {
    (void)state;
    safetensors_file *f;
    assert_int_equal(safetensors_save(in_folder("none"), NULL, 0, NULL, 0, NULL), WEFT_OK);
    assert_int_equal(safetensors_open(in_folder("none"), &f, NULL), WEFT_OK);
    assert_int_equal(safetensors_count(f), 0);
    assert_null(safetensors_metadata(f, "format"));
    safetensors_close(&f);
}

static void save_fails(const tensor_view *t, size_t count, int code, const char *words) {
    weft_error err;
    const char *path = in_folder("unsaved");
    assert_int_equal(safetensors_save(path, t, count, NULL, 0, &err), code);
    assert_non_null(strstr(err.message, words));
    assert_false(os_is_file(path));
}

static void test_save_refusals(void **state) {
    (void)state;
    tensor_view t[2] = {{"a", TENSOR_F32, 1, {2}, content, 8},
                        {"a", TENSOR_F32, 1, {2}, content, 8}};
    save_fails(t, 2, WEFT_ERR_ARGUMENT, "the tensor 'a' was added twice");
    t[1] = (tensor_view){"b", TENSOR_F32, 1, {2}, content, 7};
    save_fails(t, 2, WEFT_ERR_ARGUMENT, "the tensor 'b' cannot be written: type F32 with 7 bytes");
    t[1] = (tensor_view){"b", TENSOR_TQ2_0, 2, {1, 256}, content, 66};
    save_fails(t, 2, WEFT_ERR_ARGUMENT, "the tensor 'b' cannot be written: type TQ2_0");
    t[1] = (tensor_view){"b\xff", TENSOR_I8, 1, {1}, content, 1};
    save_fails(t, 2, WEFT_ERR_ARGUMENT, "its name is not UTF-8");
    weft_error err;
    const char *const metadata[] = {"k", "\xff"};
    assert_int_equal(safetensors_save(in_folder("unsaved"), t, 1, metadata, 1, &err),
                     WEFT_ERR_ARGUMENT);
    assert_non_null(strstr(err.message, "cannot write the metadata"));
    assert_int_equal(safetensors_save("/no/such/folder/x", t, 1, NULL, 0, &err), WEFT_ERR_IO);
}

static void test_truncation_at_every_byte(void **state) {
    (void)state;
    tensor_view in[TYPE_COUNT];
    every_type(in);
    char *data;
    size_t size;
    weft_error err;
    const char *path = in_folder("cut");
    assert_int_equal(safetensors_save(path, in, TYPE_COUNT, NULL, 0, &err), WEFT_OK);
    assert_int_equal(os_read_file(path, 1 << 20, &data, &size, NULL), WEFT_OK);
    assert_int_equal(parse_copy(data, size, &err), WEFT_OK);
    for (size_t cut = 0; cut < size; cut++) {
        assert_int_equal(parse_copy(data, cut, &err), WEFT_ERR_FORMAT);
        assert_true(strlen(err.message) > 20);
    }
    free(data);
}

static void test_headers(void **state) {
    (void)state;
    weft_error err;
    assert_int_equal(parse_copy("\0\0\0", 3, &err), WEFT_ERR_FORMAT);
    assert_string_equal(err.message, "the file ends too early: 3 bytes are no safetensors file");
    assert_int_equal(parse_copy("GGUF\3\0\0\0", 8, &err), WEFT_ERR_FORMAT);
    assert_string_equal(err.message, "this is a GGUF file, not safetensors");
    assert_int_equal(parse_copy("\1\0\0\0\0\0\0\1{}", 10, &err), WEFT_ERR_RANGE);
    assert_non_null(strstr(err.message, "at most 104857600 are read"));
    assert_int_equal(parse_copy("\11\0\0\0\0\0\0\0{}", 10, &err), WEFT_ERR_FORMAT);
    assert_non_null(strstr(err.message, "the header claims 9 bytes, 2 are left"));
    refused("{\"a\":}", 0, WEFT_ERR_FORMAT, "the header: not valid JSON: ");
    refused("[]", 0, WEFT_ERR_FORMAT, "the header: not a JSON object");
    refused("{} x", 0, WEFT_ERR_FORMAT, "not valid JSON");
    refused("{\"a\":{},\"a\":{}}", 0, WEFT_ERR_FORMAT, "duplicate object key");
    refused("{\"__metadata__\":[]}", 0, WEFT_ERR_FORMAT, "__metadata__ is not a JSON object");
    refused("{\"__metadata__\":{\"k\":1}}", 0, WEFT_ERR_FORMAT, "__metadata__ 'k' is not a string");
}

#define ENTRY(dtype, shape, offsets)                                                               \
    "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static void test_bad_tensors(void **state) {
    (void)state;
    refused("{\"a\":1}", 0, WEFT_ERR_FORMAT, "the tensor 'a' is not described by an object");
    refused("{\"a\":{}}", 0, WEFT_ERR_FORMAT, "the tensor 'a' has no dtype");
    refused("{\"a\":{\"dtype\":\"I8\"}}", 0, WEFT_ERR_FORMAT, "the tensor 'a' has no shape");
    refused("{\"a\":{\"dtype\":\"I8\",\"shape\":[]}}", 0, WEFT_ERR_FORMAT, "has no data_offsets");
    refused("{\"a" ENTRY("F8_E4M3", "[1]", "[0,1]") "}", 1, WEFT_ERR_UNSUPPORTED,
            "the tensor 'a' has dtype F8_E4M3, which is not read");
    refused("{\"a" ENTRY("I8", "[1,1,1,1,1]", "[0,1]") "}", 1, WEFT_ERR_RANGE,
            "the tensor 'a' has 5 dimensions; at most 4 are read");
    const char *shape = "has an impossible shape";
    refused("{\"a" ENTRY("I8", "[-1]", "[0,1]") "}", 1, WEFT_ERR_FORMAT, shape);
    refused("{\"a" ENTRY("I8", "[1.0]", "[0,1]") "}", 1, WEFT_ERR_FORMAT, shape);
    refused("{\"a" ENTRY("I8", "[4294967296,4294967296]", "[0,1]") "}", 1, WEFT_ERR_FORMAT, shape);
    const char *match = "the tensor 'a' has a shape that does not match its data_offsets";
    refused("{\"a" ENTRY("F32", "[2]", "[0,4]") "}", 4, WEFT_ERR_FORMAT, match);
    refused("{\"a" ENTRY("F64", "[4611686018427387904]", "[0,0]") "}", 4, WEFT_ERR_FORMAT, match);
    refused("{\"a" ENTRY("F32", "[2]", "[0,8]") "}", 7, WEFT_ERR_FORMAT,
            "the tensor 'a' ends at byte 8 of the data, which has 7");
    const char *backwards = "has data_offsets that run backwards";
    refused("{\"a" ENTRY("F32", "[2]", "[8,0]") "}", 8, WEFT_ERR_FORMAT, backwards);
    refused("{\"a" ENTRY("F32", "[2]", "[-8,0]") "}", 8, WEFT_ERR_FORMAT, backwards);
    refused("{\"a" ENTRY("F32", "[2]", "[0]") "}", 8, WEFT_ERR_FORMAT, "has no data_offsets");
    refused("{\"a" ENTRY("F32", "[2]", "[0,8]") ",\"b" ENTRY("I8", "[2]", "[7,9]") "}", 9,
            WEFT_ERR_FORMAT, "the tensors 'a' and 'b' overlap");
}

static void test_empty_tensor(void **state) {
    (void)state;
    safetensors_file *f;
    bytes b = file_of("{\"a" ENTRY("F32", "[0,7]", "[0,0]") "}", "", 0);
    assert_int_equal(safetensors_parse(b.data, b.size, &f, NULL), WEFT_OK);
    assert_int_equal(tensor_count(safetensors_at(f, 0)), 0);
    safetensors_close(&f);
    bytes_free(&b);
}

static void write_shard(const char *name, const char *tensor) {
    tensor_view t = {tensor, TENSOR_F32, 1, {2}, content, 8};
    assert_int_equal(safetensors_save(in_folder(name), &t, 1, NULL, 0, NULL), WEFT_OK);
}

static void shards_refused(const char *index, int code, const char *words) {
    weft_error err;
    safetensors_file *f;
    write_text("shards/model.safetensors.index.json", index);
    int rc = safetensors_open(in_folder("shards"), &f, &err);
    if (rc != code || !strstr(err.message, words))
        fail_msg("got %d '%s', wanted %d '%s'", rc, err.message, code, words);
    assert_null(f);
}

static void test_shards(void **state) {
    (void)state;
    weft_error err;
    safetensors_file *f;
    assert_int_equal(os_make_dirs(in_folder("shards"), &err), WEFT_OK);
    assert_int_equal(safetensors_open(in_folder("shards"), &f, &err), WEFT_ERR_IO);
    assert_non_null(
        strstr(err.message, "has neither model.safetensors nor model.safetensors.index"));
    write_shard("shards/1.safetensors", "x");
    write_shard("shards/2.safetensors", "y");
    write_shard("shards/3.safetensors", "x");
    write_text(
        "shards/model.safetensors.index.json",
        "{\"metadata\":{},\"weight_map\":{\"y\":\"2.safetensors\",\"x\":\"1.safetensors\"}}");
    if (safetensors_open(in_folder("shards"), &f, &err)) fail_msg("%s", err.message);
    assert_int_equal(safetensors_count(f), 2);
    assert_string_equal(safetensors_at(f, 0)->name, "y");
    assert_non_null(safetensors_find(f, "x"));
    safetensors_close(&f);
    shards_refused("{\"weight_map\":{\"x\":\"1.safetensors\",\"z\":\"2.safetensors\"}}",
                   WEFT_ERR_FORMAT, "the tensor 'z' is not in 2.safetensors");
    shards_refused("{\"weight_map\":{\"x\":\"1.safetensors\",\"y\":\"3.safetensors\"}}",
                   WEFT_ERR_FORMAT, "the tensor 'x' is there twice");
    shards_refused("{\"weight_map\":{\"x\":\"4.safetensors\"}}", WEFT_ERR_IO,
                   "4.safetensors: No such file");
    shards_refused("{\"weight_map\":{\"x\":\"../1.safetensors\"}}", WEFT_ERR_FORMAT,
                   "'../1.safetensors' is not a file name");
    shards_refused("{\"weight_map\":{\"x\":\"..\"}}", WEFT_ERR_FORMAT, "'..' is not a file name");
    shards_refused("{\"weight_map\":{\"x\":7}}", WEFT_ERR_FORMAT, "no file name for 'x'");
    shards_refused("{}", WEFT_ERR_FORMAT, "there is no weight_map");
    shards_refused("{", WEFT_ERR_FORMAT, "index.json: not valid JSON");
    write_shard("shards/model.safetensors", "whole");
    assert_int_equal(safetensors_open(in_folder("shards"), &f, &err), WEFT_OK);
    assert_non_null(safetensors_find(f, "whole"));
    safetensors_close(&f);
}

static void hf_refused(const char *name, int code, const char *words) {
    weft_error err;
    hf_dir *dir;
    int rc = hf_dir_open(in_folder(name), &dir, &err);
    if (rc != code || !strstr(err.message, words))
        fail_msg("got %d '%s', wanted %d '%s'", rc, err.message, code, words);
    assert_null(dir);
}

static void test_hf_folder_errors(void **state) {
    (void)state;
    hf_refused("hf", WEFT_ERR_IO, "/hf is not a folder");
    assert_int_equal(os_make_dirs(in_folder("hf"), NULL), WEFT_OK);
    hf_refused("hf", WEFT_ERR_IO, "/hf has no config.json: is it a Hugging Face model folder?");
    write_text("hf/config.json", "{\"a\":1,\"a\":2}");
    hf_refused("hf", WEFT_ERR_FORMAT, "/hf/config.json: not valid JSON: duplicate object key");
    write_text("hf/config.json", "{}");
    hf_refused("hf", WEFT_ERR_IO, "/hf has neither model.safetensors nor");
    write_shard("hf/model.safetensors", "w");
    write_text("hf/generation_config.json", "[]");
    hf_refused("hf", WEFT_ERR_FORMAT, "/hf/generation_config.json: not a JSON object");
}

static void check_config_errors(const hf_dir *dir) {
    weft_error err;
    int64_t whole = 5;
    double real;
    bool truth;
    const char *text;
    assert_int_equal(hf_config_i64(dir, "none", &whole, &err), WEFT_ERR_FORMAT);
    assert_non_null(strstr(err.message, "/hf2/config.json has no 'none'"));
    assert_int_equal(hf_config_i64(dir, "eps", &whole, &err), WEFT_ERR_FORMAT);
    assert_non_null(strstr(err.message, "/hf2/config.json: 'eps' is not an integer"));
    assert_int_equal(whole, 5);
    assert_int_equal(hf_config_f64(dir, "q.class", &real, &err), WEFT_ERR_FORMAT);
    assert_non_null(strstr(err.message, "'q.class' is not a number"));
    assert_int_equal(hf_config_bool(dir, "size", &truth, &err), WEFT_ERR_FORMAT);
    assert_non_null(strstr(err.message, "'size' is not true or false"));
    assert_int_equal(hf_config_text(dir, "q", &text, &err), WEFT_ERR_FORMAT);
    assert_non_null(strstr(err.message, "'q' is not a text"));
    assert_int_equal(hf_config_text(dir, "size.inner", &text, &err), WEFT_ERR_FORMAT);
    assert_non_null(strstr(err.message, "has no 'size.inner'"));
}

static void test_hf_config(void **state) {
    (void)state;
    weft_error err;
    hf_dir *dir;
    assert_int_equal(os_make_dirs(in_folder("hf2"), NULL), WEFT_OK);
    write_shard("hf2/model.safetensors", "w");
    write_text("hf2/config.json", "{\"size\":12,\"eps\":1e-5,\"tie\":true,\"none\":null,"
                                  "\"q\":{\"class\":\"autobitlinear\"}}");
    if (hf_dir_open(in_folder("hf2"), &dir, &err)) fail_msg("%s", err.message);
    int64_t whole;
    double real;
    bool truth;
    const char *text;
    assert_true(!hf_config_i64(dir, "size", &whole, &err) && whole == 12);
    assert_true(!hf_config_f64(dir, "size", &real, &err) && real == 12);
    assert_true(!hf_config_f64(dir, "eps", &real, &err) && real == 1e-5);
    assert_true(!hf_config_bool(dir, "tie", &truth, &err) && truth);
    assert_int_equal(hf_config_text(dir, "q.class", &text, &err), WEFT_OK);
    assert_string_equal(text, "autobitlinear");
    assert_true(hf_config_has(dir, "q") && !hf_config_has(dir, "none"));
    assert_true(!hf_config_has(dir, "q.none") && !hf_config_has(dir, ""));
    check_config_errors(dir);
    assert_non_null(hf_config(dir));
    assert_null(hf_generation_config(dir));
    assert_non_null(safetensors_find(hf_tensors(dir), "w"));
    hf_dir_close(&dir);
    assert_null(dir);
    hf_dir_close(&dir);
}

/* A real model, where one is at hand. */
static void test_real_model(void **state) {
    (void)state;
    const char *path = getenv("WEFT_TEST_HF_MODEL");
    if (!path) {
        print_message("skipped: WEFT_TEST_HF_MODEL names no Hugging Face model folder\n");
        skip();
    }
    weft_error err;
    hf_dir *dir;
    if (hf_dir_open(path, &dir, &err)) fail_msg("%s", err.message);
    int64_t layers;
    assert_int_equal(hf_config_i64(dir, "num_hidden_layers", &layers, &err), WEFT_OK);
    assert_true(safetensors_count(hf_tensors(dir)) > (size_t)layers);
    assert_non_null(safetensors_find(hf_tensors(dir), "model.embed_tokens.weight"));
    hf_dir_close(&dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),       cmocka_unit_test(test_nothing_to_write),
        cmocka_unit_test(test_save_refusals),    cmocka_unit_test(test_truncation_at_every_byte),
        cmocka_unit_test(test_headers),          cmocka_unit_test(test_bad_tensors),
        cmocka_unit_test(test_empty_tensor),     cmocka_unit_test(test_shards),
        cmocka_unit_test(test_hf_folder_errors), cmocka_unit_test(test_hf_config),
        cmocka_unit_test(test_real_model),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
