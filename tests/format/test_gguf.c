/* GGUF: round trips of every kind of value, and each way in which a file can be wrong. */
#include "base/bytes.h"
#include "base/layout.h"
#include "base/os.h"
#include "format/gguf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char path[64];

static int set_up(void **state) {
    (void)state;
    snprintf(path, sizeof path, "/tmp/weft-test-gguf-%d", (int)getpid());
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    return os_remove_tree(path, NULL);
}

/* Building blocks of hand-made files. */
static void u32(bytes *b, uint32_t value) {
    assert_true(bytes_add(b, &value, 4));
}
static void u64(bytes *b, uint64_t value) {
    assert_true(bytes_add(b, &value, 8));
}
static void text(bytes *b, const char *s) {
    u64(b, strlen(s));
    assert_true(bytes_add_text(b, s));
}

static bytes head(uint32_t version, uint64_t tensors, uint64_t keys) {
    bytes b = {0};
    assert_true(bytes_add_text(&b, "GGUF"));
    u32(&b, version);
    u64(&b, tensors);
    u64(&b, keys);
    return b;
}

static void info(bytes *b, const char *name, uint64_t cols, uint64_t rows, uint32_t type,
                 uint64_t offset) {
    text(b, name);
    u32(b, 2);
    u64(b, cols);
    u64(b, rows);
    u32(b, type);
    u64(b, offset);
}

static void pad(bytes *b, size_t unit) {
    while (b->size % unit) assert_true(bytes_add_char(b, 0));
}

static void zeros(bytes *b, size_t count) {
    while (count--) assert_true(bytes_add_char(b, 0));
}

/* Parse an exact copy, so that a sanitizer sees every byte read past the end. */
static int parse_copy(const bytes *b, weft_error *err) {
    void *copy = malloc(b->size ? b->size : 1);
    if (b->size) memcpy(copy, b->data, b->size);
    gguf_file *f;
    memset(err, 0, sizeof *err);
    int rc = gguf_parse(copy, b->size, &f, err);
    if (rc) {
        assert_null(f);
        assert_int_equal(err->code, rc);
    }
    gguf_close(&f);
    free(copy);
    return rc;
}

/* The file is refused with this code, in these words; it is freed. */
static void refused(bytes *b, int code, const char *words) {
    weft_error err;
    int rc = parse_copy(b, &err);
    if (rc != code || !strstr(err.message, words))
        fail_msg("got %d '%s', wanted %d '%s'", rc, err.message, code, words);
    bytes_free(b);
}

static void put_everything(gguf_writer *w) {
    const gguf_text texts[] = {{"one", 3}, {"", 0}, {"a\0b", 3}};
    const float floats[] = {0.5f, -1e30f};
    const int32_t ints[] = {-1, INT32_MAX};
    const uint32_t counts[] = {0, UINT32_MAX};
    gguf_put_cstr(w, "general.architecture", "bitnet");
    gguf_put_u32(w, "u32", UINT32_MAX);
    gguf_put_u64(w, "u64", UINT64_MAX);
    gguf_put_f32(w, "f32", -0.25f);
    gguf_put_bool(w, "yes", true);
    gguf_put_bool(w, "no", false);
    gguf_put_text(w, "text", "x\ny\0z", 5);
    gguf_put_texts(w, "texts", texts, 3);
    gguf_put_f32s(w, "f32s", floats, 2);
    gguf_put_i32s(w, "i32s", ints, 2);
    gguf_put_u32s(w, "u32s", counts, 2);
    gguf_put_u32s(w, "empty", NULL, 0);
}

static const float numbers[6] = {1, 2, 3, 4, 5, 6};
static const uint8_t byte_data[5] = {9, 8, 7, 6, 5};

static void put_tensors(gguf_writer *w) {
    tensor_view f = {"a.weight", TENSOR_F32, 2, {2, 3}, (const uint8_t *)numbers, 24};
    tensor_view i = {"b", TENSOR_I8, 1, {5}, byte_data, 5};
    tensor_view s = {"scalar", TENSOR_F32, 0, {0}, (const uint8_t *)numbers, 4};
    gguf_put_tensor(w, &f);
    gguf_put_tensor(w, &i);
    gguf_put_tensor(w, &s);
}

static gguf_file *save_and_open(gguf_writer *w) {
    weft_error err = {0};
    gguf_file *f;
    if (gguf_writer_save(w, path, &err)) fail_msg("%s", err.message);
    if (gguf_open(path, &f, &err)) fail_msg("%s", err.message);
    gguf_writer_free(&w);
    return f;
}

static gguf_writer *new_writer(void) {
    gguf_writer *w;
    assert_int_equal(gguf_writer_create(&w, NULL), WEFT_OK);
    return w;
}

static gguf_file *full_file(void) {
    gguf_writer *w = new_writer();
    put_everything(w);
    put_tensors(w);
    return save_and_open(w);
}

static void check_scalars(const gguf_file *f) {
    uint64_t u;
    int64_t i = 42;
    double d;
    bool truth;
    gguf_text t;
    assert_true(gguf_get_u64(f, "u32", &u) && u == UINT32_MAX);
    assert_true(gguf_get_i64(f, "u32", &i) && i == UINT32_MAX);
    assert_true(gguf_get_u64(f, "u64", &u) && u == UINT64_MAX);
    assert_false(gguf_get_i64(f, "u64", &i));
    assert_int_equal(i, UINT32_MAX);
    assert_true(gguf_get_f64(f, "f32", &d) && d == -0.25);
    assert_false(gguf_get_f64(f, "u32", &d));
    assert_true(gguf_get_bool(f, "yes", &truth) && truth);
    assert_true(gguf_get_bool(f, "no", &truth) && !truth);
    assert_false(gguf_get_bool(f, "u32", &truth));
    assert_false(gguf_get_u64(f, "yes", &u));
    assert_true(gguf_get_text(f, "text", &t) && t.size == 5);
    assert_memory_equal(t.data, "x\ny\0z", 5);
    assert_false(gguf_get_text(f, "texts", &t));
    assert_false(gguf_get_text(f, "none", &t));
    assert_true(gguf_has(f, "no") && !gguf_has(f, "none"));
}

static void check_arrays(const gguf_file *f) {
    gguf_type element;
    uint64_t count;
    gguf_cursor c;
    gguf_text t;
    int64_t i;
    double d;
    assert_true(gguf_get_array(f, "texts", &element, &count));
    assert_true(element == GGUF_STRING && count == 3);
    assert_false(gguf_get_array(f, "text", &element, &count));
    assert_true(gguf_array_begin(f, "texts", &c));
    assert_false(gguf_next_i64(&c, &i));
    assert_false(gguf_next_f64(&c, &d));
    assert_true(gguf_next_text(&c, &t) && t.size == 3 && !memcmp(t.data, "one", 3));
    assert_true(gguf_next_text(&c, &t) && t.size == 0);
    assert_true(gguf_next_text(&c, &t) && t.size == 3 && !memcmp(t.data, "a\0b", 3));
    assert_false(gguf_next_text(&c, &t));
    assert_true(gguf_array_begin(f, "f32s", &c));
    assert_false(gguf_next_text(&c, &t));
    assert_true(gguf_next_f64(&c, &d) && d == 0.5);
    assert_true(gguf_next_f64(&c, &d) && d == (double)-1e30f);
    assert_false(gguf_next_f64(&c, &d));
    assert_true(gguf_array_begin(f, "i32s", &c));
    assert_true(gguf_next_i64(&c, &i) && i == -1);
    assert_true(gguf_next_f64(&c, &d) && d == INT32_MAX);
    assert_true(gguf_array_begin(f, "empty", &c));
    assert_false(gguf_next_i64(&c, &i));
    assert_false(gguf_array_begin(f, "none", &c));
}

static void test_round_trip(void **state) {
    (void)state;
    gguf_file *f = full_file();
    assert_int_equal(gguf_version(f), 3);
    assert_int_equal(gguf_key_count(f), 12);
    gguf_type type;
    assert_string_equal(gguf_key_at(f, 0, &type), "general.architecture");
    assert_int_equal(type, GGUF_STRING);
    check_scalars(f);
    check_arrays(f);
    assert_int_equal(gguf_tensor_count(f), 3);
    const tensor_view *t = gguf_tensor(f, "a.weight");
    assert_ptr_equal(t, gguf_tensor_at(f, 0));
    assert_true(t->dim_count == 2 && t->shape[0] == 2 && t->shape[1] == 3);
    assert_memory_equal(t->data, numbers, 24);
    t = gguf_tensor(f, "b");
    assert_true(t->dim_count == 1 && t->shape[0] == 5 && t->type == TENSOR_I8);
    assert_memory_equal(t->data, byte_data, 5);
    t = gguf_tensor(f, "scalar");
    assert_true(t->dim_count == 0 && tensor_count(t) == 1 && t->size_bytes == 4);
    assert_null(gguf_tensor(f, "c"));
    assert_int_equal(gguf_size_bytes(f) % 32, 0);
    gguf_close(&f);
    assert_null(f);
    gguf_close(&f);
}

static void test_copy_of_every_key(void **state) {
    (void)state;
    gguf_file *from = full_file();
    gguf_writer *w = new_writer();
    for (size_t i = 0; i < gguf_key_count(from); i++)
        gguf_put_copy(w, from, gguf_key_at(from, i, NULL));
    gguf_put_copy(w, from, "no such key");
    gguf_file *to = save_and_open(w);
    assert_int_equal(gguf_key_count(to), gguf_key_count(from));
    for (size_t i = 0; i < gguf_key_count(from); i++) {
        gguf_type type[2];
        const uint8_t *data[2];
        size_t size[2];
        const char *key = gguf_key_at(from, i, NULL);
        assert_true(gguf_get_raw(from, key, &type[0], &data[0], &size[0]));
        assert_true(gguf_get_raw(to, key, &type[1], &data[1], &size[1]));
        assert_true(type[0] == type[1] && size[0] == size[1]);
        assert_memory_equal(data[0], data[1], size[0]);
    }
    check_scalars(to);
    check_arrays(to);
    gguf_close(&to);
    gguf_close(&from);
}

static void describes(const gguf_file *f, const char *key, const char *expected) {
    for (size_t i = 0; i < gguf_key_count(f); i++) {
        if (strcmp(gguf_key_at(f, i, NULL), key)) continue;
        bytes b = {0};
        assert_int_equal(gguf_describe(f, i, &b, NULL), WEFT_OK);
        assert_string_equal(b.data, expected);
        bytes_free(&b);
        return;
    }
    fail_msg("no key %s", key);
}

static void test_describe(void **state) {
    (void)state;
    gguf_writer *w = new_writer();
    const uint32_t many[] = {1, 2, 3, 4, 5};
    const int32_t few[] = {-7};
    const gguf_text texts[] = {{"\"q\"", 3}, {"\x1b[31m\xc2\x9b", 7}};
    char longer[200];
    memset(longer, 'l', sizeof longer);
    memcpy(longer + 71, "\xc3\xa4", 2); /* the cut must not split this character */
    gguf_put_cstr(w, "s", "bitnet\n\xc3\xa4");
    gguf_put_text(w, "long", longer, sizeof longer);
    gguf_put_u64(w, "u", UINT64_MAX);
    gguf_put_f32(w, "f", 1e-5f);
    gguf_put_bool(w, "b", true);
    gguf_put_u32s(w, "many", many, 5);
    gguf_put_i32s(w, "few", few, 1);
    gguf_put_texts(w, "texts", texts, 2);
    gguf_file *f = save_and_open(w);
    describes(f, "s", "\"bitnet\\n\xc3\xa4\"");
    describes(f, "u", "18446744073709551615");
    describes(f, "f", "1e-05");
    describes(f, "b", "true");
    describes(f, "many", "[5 u32] 1, 2, 3, 4, ...");
    describes(f, "few", "[1 i32] -7");
    describes(f, "texts", "[2 string] \"\\\"q\\\"\", \"\\x1b[31m\\xc2\\x9b\"");
    char expected[128];
    snprintf(expected, sizeof expected, "\"%.71s\"... (200 bytes)", longer);
    describes(f, "long", expected);
    gguf_close(&f);
}

/* One key of each integer and float type, as no writer call makes them. */
static void test_every_scalar_type(void **state) {
    (void)state;
    static const struct {
        uint32_t type;
        int size;
        uint64_t bits;
        int64_t value;
    } rows[] = {
        {GGUF_U8, 1, 0xff, 255},
        {GGUF_I8, 1, 0xff, -1},
        {GGUF_U16, 2, 0xfffe, 65534},
        {GGUF_I16, 2, 0xfffe, -2},
        {GGUF_U32, 4, 0x80000000, 1u << 31},
        {GGUF_I32, 4, 0xfffffffd, -3},
        {GGUF_U64, 8, 5, 5},
        {GGUF_I64, 8, UINT64_MAX, -1},
    };
    enum { ROWS = sizeof rows / sizeof *rows };
    bytes b = head(2, 0, ROWS + 1);
    for (int i = 0; i < ROWS; i++) {
        text(&b, (char[]){(char)('a' + i), 0});
        u32(&b, rows[i].type);
        assert_true(bytes_add(&b, &rows[i].bits, (size_t)rows[i].size));
    }
    text(&b, "double");
    u32(&b, GGUF_F64);
    double pi = 3.25, read;
    assert_true(bytes_add(&b, &pi, 8));
    gguf_file *f;
    assert_int_equal(gguf_parse(b.data, b.size, &f, NULL), WEFT_OK);
    assert_int_equal(gguf_version(f), 2);
    for (int i = 0; i < ROWS; i++) {
        int64_t value;
        uint64_t whole;
        const char key[] = {(char)('a' + i), 0};
        assert_true(gguf_get_i64(f, key, &value) && value == rows[i].value);
        assert_int_equal(gguf_get_u64(f, key, &whole), rows[i].value >= 0);
        assert_false(gguf_get_f64(f, key, &read));
    }
    assert_true(gguf_get_f64(f, "double", &read) && read == pi);
    gguf_close(&f);
    bytes_free(&b);
}

static void nest(bytes *b, int depth) {
    text(b, "nested");
    u32(b, GGUF_ARRAY);
    for (int i = 1; i < depth; i++) {
        u32(b, GGUF_ARRAY);
        u64(b, 1);
    }
    u32(b, GGUF_STRING);
    u64(b, 2);
    text(b, "p");
    text(b, "q");
}

static void test_nested_arrays(void **state) {
    (void)state;
    gguf_file *f;
    gguf_cursor c;
    int64_t i;
    bytes b = head(3, 0, 1);
    nest(&b, GGUF_ARRAY_DEPTH);
    assert_int_equal(gguf_parse(b.data, b.size, &f, NULL), WEFT_OK);
    describes(f, "nested", "[1 array] ...");
    assert_true(gguf_array_begin(f, "nested", &c));
    assert_false(gguf_next_i64(&c, &i));
    gguf_close(&f);
    bytes_free(&b);
    b = head(3, 0, 1);
    nest(&b, GGUF_ARRAY_DEPTH + 1);
    refused(&b, WEFT_ERR_RANGE, "arrays nested too deeply in the key 'nested' at byte");
}

static void test_truncation_at_every_byte(void **state) {
    (void)state;
    gguf_file *f = full_file();
    gguf_close(&f);
    char *data;
    size_t size;
    weft_error err;
    assert_int_equal(os_read_file(path, 1 << 20, &data, &size, NULL), WEFT_OK);
    size_t end = size - 28; /* the scalar ends here, then comes padding */
    for (size_t cut = 0; cut < size; cut++) {
        bytes b = {data, cut, cut};
        int rc = parse_copy(&b, &err);
        if (cut >= end) {
            assert_int_equal(rc, WEFT_OK);
        } else {
            assert_int_equal(rc, WEFT_ERR_FORMAT);
            assert_true(strlen(err.message) > 20);
        }
    }
    free(data);
}

/* Whatever a byte is changed to, the file is read or refused. */
static void test_every_byte_changed(void **state) {
    (void)state;
    gguf_file *f = full_file();
    gguf_close(&f);
    char *data;
    size_t size;
    weft_error err;
    assert_int_equal(os_read_file(path, 1 << 20, &data, &size, NULL), WEFT_OK);
    const unsigned char changes[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
    for (size_t i = 0; i < size; i++) {
        char kept = data[i];
        for (size_t c = 0; c < sizeof changes; c++) {
            data[i] = (char)changes[c];
            bytes b = {data, size, size};
            int rc = parse_copy(&b, &err);
            assert_true(rc == WEFT_OK || err.message[0]);
        }
        data[i] = kept;
    }
    free(data);
}

static void test_wrong_magic_and_version(void **state) {
    (void)state;
    bytes b = {0};
    refused(&b, WEFT_ERR_FORMAT,
            "the file ends too early: the start of the file at byte 0 needs 8");
    assert_true(bytes_add_text(&b, "GGML0000"));
    refused(&b, WEFT_ERR_FORMAT, "this is not a GGUF file: it does not start with 'GGUF'");
    u64(&b, 2);
    assert_true(bytes_add_text(&b, "{} "));
    refused(&b, WEFT_ERR_FORMAT, "this is a safetensors file, not GGUF");
    b = head(1, 0, 0);
    refused(&b, WEFT_ERR_UNSUPPORTED, "GGUF version 1 is not read, only 2 and 3");
    b = head(4, 0, 0);
    refused(&b, WEFT_ERR_UNSUPPORTED, "GGUF version 4 is not read");
    b = head(0x03000000, 0, 0);
    refused(&b, WEFT_ERR_UNSUPPORTED, "big-endian GGUF files are not read");
}

static void test_huge_counts(void **state) {
    (void)state;
    bytes b = head(3, UINT64_MAX, 0);
    refused(&b, WEFT_ERR_RANGE, "claims 18446744073709551615 tensors; at most 65536 are read");
    b = head(3, 0, GGUF_KEYS_MAX + 1);
    refused(&b, WEFT_ERR_RANGE, "claims 65537 keys; at most 65536 are read");
    b = head(3, 1000, 0);
    refused(&b, WEFT_ERR_FORMAT, "claims 1000 tensors, more than its 24 bytes can hold");
    b = head(3, 0, 1);
    u64(&b, GGUF_KEY_BYTES_MAX + 1);
    zeros(&b, 100);
    refused(&b, WEFT_ERR_RANGE, "the name of a key at byte 24 has 65536 bytes; at most 65535");
    b = head(3, 1, 0);
    u64(&b, GGUF_NAME_BYTES_MAX + 1);
    zeros(&b, 100);
    refused(&b, WEFT_ERR_RANGE, "the name of a tensor at byte 24 has 256 bytes; at most 255");
    b = head(3, 0, 1);
    text(&b, "k");
    u32(&b, GGUF_ARRAY);
    u32(&b, GGUF_U8);
    u64(&b, GGUF_ARRAY_MAX + 1);
    refused(&b, WEFT_ERR_RANGE, "an array with too many elements in the key 'k' at byte");
    b = head(3, 0, 1);
    text(&b, "k");
    u32(&b, GGUF_STRING);
    u64(&b, UINT64_MAX - 8);
    refused(&b, WEFT_ERR_FORMAT, "the file ends too early: the key 'k' at byte");
}

static void test_bad_values(void **state) {
    (void)state;
    bytes b = head(3, 0, 1);
    text(&b, "k");
    u32(&b, 13);
    refused(&b, WEFT_ERR_FORMAT, "an unknown value type in the key 'k'");
    b = head(3, 0, 1);
    text(&b, "k");
    u32(&b, GGUF_ARRAY);
    u32(&b, 99);
    u64(&b, 0);
    refused(&b, WEFT_ERR_FORMAT, "an unknown array element type in the key 'k'");
    b = head(3, 0, 1);
    text(&b, "k");
    u32(&b, GGUF_BOOL);
    assert_true(bytes_add_char(&b, 2));
    refused(&b, WEFT_ERR_FORMAT, "a truth value other than 0 and 1 in the key 'k'");
    b = head(3, 0, 1);
    u64(&b, 3);
    assert_true(bytes_add(&b, "a\0b\4\0\0\0\0\0\0\0", 11));
    refused(&b, WEFT_ERR_FORMAT, "a name with a zero byte inside in a key at byte 24");
}

static void test_duplicates(void **state) {
    (void)state;
    bytes b = head(3, 0, 3);
    for (int i = 0; i < 3; i++) {
        text(&b, i == 1 ? "other" : "same");
        u32(&b, GGUF_U32);
        u32(&b, 1);
    }
    refused(&b, WEFT_ERR_FORMAT, "the key 'same' is there twice");
    b = head(3, 2, 0);
    info(&b, "t", 1, 1, TENSOR_F32, 0);
    info(&b, "t", 1, 1, TENSOR_F32, 32);
    pad(&b, 32);
    zeros(&b, 64);
    refused(&b, WEFT_ERR_FORMAT, "the tensor 't' is there twice");
}

/* A file with one tensor, of which the given thing is wrong. */
static bytes one_tensor(uint64_t cols, uint64_t rows, uint32_t type, uint64_t offset) {
    bytes b = head(3, 1, 0);
    info(&b, "w", cols, rows, type, offset);
    pad(&b, 32);
    zeros(&b, 64);
    return b;
}

static void test_bad_tensors(void **state) {
    (void)state;
    bytes b = one_tensor(4, 4, TENSOR_F32, 0);
    weft_error err;
    assert_int_equal(parse_copy(&b, &err), WEFT_OK);
    bytes_free(&b);
    b = one_tensor(4, 5, TENSOR_F32, 0);
    refused(&b, WEFT_ERR_FORMAT, "the tensor 'w' (80 bytes at offset 0) reaches beyond the end");
    b = one_tensor(4, 4, TENSOR_F32, 32);
    refused(&b, WEFT_ERR_FORMAT, "reaches beyond the end of the file (64 bytes of data)");
    b = one_tensor(1, 1, TENSOR_F32, UINT64_MAX - 31);
    refused(&b, WEFT_ERR_FORMAT, "reaches beyond the end");
    b = one_tensor(1, 1, TENSOR_F32, 8);
    refused(&b, WEFT_ERR_FORMAT, "the tensor 'w' lies at offset 8, no multiple of 32");
    b = one_tensor(256, 1, 12, 0);
    refused(&b, WEFT_ERR_UNSUPPORTED, "the tensor 'w' is stored as Q4_K, which is not read");
    b = one_tensor(256, 1, 39, 0);
    refused(&b, WEFT_ERR_UNSUPPORTED, "the tensor 'w' is stored as type 39");
    b = one_tensor(4, 1, TENSOR_U8, 0);
    refused(&b, WEFT_ERR_UNSUPPORTED, "the tensor 'w' is stored as an unknown type");
    b = one_tensor(0, 1, TENSOR_F32, 0);
    refused(&b, WEFT_ERR_RANGE, "an impossible dimension in the tensor 'w'");
    b = one_tensor(UINT64_C(1) << 40, UINT64_C(1) << 40, TENSOR_F32, 0);
    refused(&b, WEFT_ERR_RANGE, "an impossible dimension in the tensor 'w'");
    b = one_tensor(100, 1, TENSOR_TQ2_0, 0);
    refused(&b, WEFT_ERR_FORMAT, "100 values in rows of 100 do not fit the blocks of TQ2_0");
    b = head(3, 1, 0);
    text(&b, "w");
    u32(&b, 5);
    zeros(&b, 60);
    refused(&b, WEFT_ERR_RANGE, "more than 4 dimensions in the tensor 'w'");
}

static void test_overlap(void **state) {
    (void)state;
    bytes b = head(3, 2, 0);
    info(&b, "first", 9, 1, TENSOR_F32, 0); /* 36 bytes */
    info(&b, "second", 1, 1, TENSOR_F32, 32);
    pad(&b, 32);
    zeros(&b, 64);
    refused(&b, WEFT_ERR_FORMAT, "the tensors 'first' and 'second' overlap");
}

static bytes aligned_file(uint32_t alignment, uint64_t offset) {
    bytes b = head(2, 1, 1);
    text(&b, "general.alignment");
    u32(&b, GGUF_U32);
    u32(&b, alignment);
    info(&b, "w", 1, 1, TENSOR_F32, offset);
    if (alignment == 8) pad(&b, 8);
    zeros(&b, offset);
    assert_true(bytes_add(&b, "\0\0\x80\x3f", 4));
    return b;
}

static void test_alignment(void **state) {
    (void)state;
    bytes b = aligned_file(8, 8);
    gguf_file *f;
    assert_int_equal(gguf_parse(b.data, b.size, &f, NULL), WEFT_OK);
    assert_memory_equal(gguf_tensor(f, "w")->data, "\0\0\x80\x3f", 4);
    gguf_writer *w = new_writer();
    gguf_put_copy(w, f, "general.alignment");
    gguf_file *copy = save_and_open(w);
    assert_int_equal(gguf_key_count(copy), 0);
    gguf_close(&copy);
    gguf_close(&f);
    bytes_free(&b);
    const uint32_t bad[] = {0, 3, 1 << 17};
    for (int i = 0; i < 3; i++) {
        b = aligned_file(bad[i], 0);
        refused(&b, WEFT_ERR_FORMAT, "general.alignment is not a power of two up to 65536");
    }
}

static void save_fails(gguf_writer *w, int code, const char *words) {
    weft_error err;
    assert_int_equal(gguf_writer_save(w, path, &err), code);
    assert_non_null(strstr(err.message, words));
    assert_int_equal(gguf_writer_save(w, path, NULL), code);
    gguf_writer_free(&w);
    assert_null(w);
    assert_false(os_is_file(path));
}

static void test_writer_refusals(void **state) {
    (void)state;
    os_remove_tree(path, NULL);
    gguf_writer *w = new_writer();
    gguf_put_u32(w, "k", 1);
    gguf_put_u32(w, "k", 2);
    save_fails(w, WEFT_ERR_ARGUMENT, "the key 'k' was added twice");
    w = new_writer();
    put_tensors(w);
    put_tensors(w);
    save_fails(w, WEFT_ERR_ARGUMENT, "the tensor 'a.weight' was added twice");
    w = new_writer();
    tensor_view bad = {"bad", TENSOR_F32, 1, {2}, byte_data, 5};
    gguf_put_tensor(w, &bad);
    gguf_put_u32(w, "k", 1);
    save_fails(w, WEFT_ERR_ARGUMENT, "the tensor 'bad' cannot be written: type F32 with 5 bytes");
    w = new_writer();
    gguf_put_u32s(w, "k", NULL, GGUF_ARRAY_MAX + 1);
    save_fails(w, WEFT_ERR_RANGE, "the array 'k' has 16777217 elements; at most 16777216");
    w = new_writer();
    char name[300];
    memset(name, 'n', sizeof name);
    name[299] = 0;
    tensor_view named = {name, TENSOR_I8, 1, {5}, byte_data, 5};
    gguf_put_tensor(w, &named);
    save_fails(w, WEFT_ERR_RANGE, "has too long a name");
    w = new_writer();
    weft_error err;
    assert_int_equal(gguf_writer_save(w, "/no/such/folder/x", &err), WEFT_ERR_IO);
    gguf_writer_free(&w);
}

static void test_open_errors(void **state) {
    (void)state;
    weft_error err;
    gguf_file *f;
    assert_int_equal(gguf_open("/no/such/file.gguf", &f, &err), WEFT_ERR_IO);
    assert_string_equal(err.message, "cannot open /no/such/file.gguf: No such file or directory");
    assert_int_equal(os_write_file(path, "GGUF", 4, &err), WEFT_OK);
    assert_int_equal(gguf_open(path, &f, &err), WEFT_ERR_FORMAT);
    assert_int_equal(strncmp(err.message, path, strlen(path)), 0);
    assert_int_equal(os_write_file(path, "", 0, &err), WEFT_OK);
    assert_int_equal(gguf_open(path, &f, &err), WEFT_ERR_FORMAT);
}

static void test_sizes(void **state) {
    (void)state;
    assert_int_equal(tensor_bytes(TENSOR_F16, 3, 6), 12);
    assert_int_equal(tensor_bytes(TENSOR_Q4_0, 64, 64), 36);
    assert_int_equal(tensor_bytes(TENSOR_Q8_0, 32, 64), 68);
    assert_int_equal(tensor_bytes(TENSOR_Q6_K, 256, 512), 420);
    assert_int_equal(tensor_bytes(TENSOR_TQ1_0, 256, 256), 54);
    assert_int_equal(tensor_bytes(TENSOR_TQ2_0, 512, 512), 132);
    assert_int_equal(tensor_bytes(TENSOR_I2_S, 64, 128), 64);
    assert_int_equal(tensor_bytes(TENSOR_I2_S, 64, 64), 0);
    assert_int_equal(tensor_bytes(TENSOR_Q8_0, 16, 32), 0);
    assert_int_equal(tensor_bytes(TENSOR_F32, 3, 7), 0);
    assert_int_equal(tensor_bytes(TENSOR_F32, 0, 0), 0);
    assert_int_equal(tensor_bytes(TENSOR_F64, 1, INT64_MAX), 0);
    assert_int_equal(tensor_bytes((tensor_type)12, 256, 256), 0);
    assert_string_equal(tensor_type_name(TENSOR_I2_S), "I2_S");
    assert_string_equal(tensor_type_name((tensor_type)77), "type 77");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_copy_of_every_key),
        cmocka_unit_test(test_describe),
        cmocka_unit_test(test_every_scalar_type),
        cmocka_unit_test(test_nested_arrays),
        cmocka_unit_test(test_truncation_at_every_byte),
        cmocka_unit_test(test_every_byte_changed),
        cmocka_unit_test(test_wrong_magic_and_version),
        cmocka_unit_test(test_huge_counts),
        cmocka_unit_test(test_bad_values),
        cmocka_unit_test(test_duplicates),
        cmocka_unit_test(test_bad_tensors),
        cmocka_unit_test(test_overlap),
        cmocka_unit_test(test_alignment),
        cmocka_unit_test(test_writer_refusals),
        cmocka_unit_test(test_open_errors),
        cmocka_unit_test(test_sizes),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
