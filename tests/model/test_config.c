/* Shapes read from GGUF keys and from config.json: what is filled in, what is guessed and said, and
 * what is refused by name; the names and sets of projections. */
#include "hf_fixture.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

/* A GGUF file being made: its keys as text lines "name type value". */
typedef struct key_line {
    const char *key;
    char type; /* u32, float, text, bool, array of u32 */
    double number;
    const char *text;
} key_line;

#define ARCH "bitnet-b1.58"
static const key_line basic[] = {
    {"general.architecture", 's', 0, ARCH},
    {ARCH ".block_count", 'u', 30, NULL},
    {ARCH ".embedding_length", 'u', 2560, NULL},
    {ARCH ".feed_forward_length", 'u', 6912, NULL},
    {ARCH ".context_length", 'u', 4096, NULL},
    {ARCH ".attention.head_count", 'u', 20, NULL},
    {ARCH ".attention.head_count_kv", 'u', 5, NULL},
    {ARCH ".attention.layer_norm_rms_epsilon", 'f', 1e-5, NULL},
    {ARCH ".rope.dimension_count", 'u', 128, NULL},
    {ARCH ".rope.freq_base", 'f', 500000, NULL},
    {ARCH ".vocab_size", 'u', 128256, NULL},
};

/* The key with ARCH replaced by arch. */
static void put_line(gguf_writer *w, const char *arch, const key_line *line) {
    char key[128];
    bool own = !strncmp(line->key, ARCH ".", sizeof ARCH);
    snprintf(key, sizeof key, "%s%s", own ? arch : "", line->key + (own ? sizeof ARCH - 1 : 0));
    if (line->type == 'u') gguf_put_u32(w, key, (uint32_t)line->number);
    if (line->type == 'f') gguf_put_f32(w, key, (float)line->number);
    if (line->type == 's')
        gguf_put_cstr(w, key, !strcmp(key, "general.architecture") && own ? arch : line->text);
    if (line->type == 'a') gguf_put_u32s(w, key, (const uint32_t[]){1, 2}, 2);
}

static const char *scratch_file(void) {
    static char path[64];
    snprintf(path, sizeof path, "/tmp/weft-test-config-%ld.gguf", (long)getpid());
    return path;
}

/* The basic keys for an architecture, where `change` replaces its namesake or comes on top, and
 * `drop` is left out; with one more tensor if it is given. */
static int read_gguf(const char *arch, const key_line *change, const char *drop,
                     const tensor_view *tensor, config *c, weft_error *err) {
    const char *path = scratch_file();
    gguf_writer *w;
    gguf_file *file;
    bool changed = false;
    assert_int_equal(gguf_writer_create(&w, err), WEFT_OK);
    for (size_t i = 0; i < sizeof basic / sizeof *basic; i++) {
        key_line line = basic[i];
        if (!i) line.text = arch;
        if (drop && !strcmp(line.key, drop)) continue;
        bool same = change && !strcmp(line.key, change->key);
        changed = changed || same;
        put_line(w, arch, same ? change : &line);
    }
    if (change && !changed) put_line(w, arch, change);
    if (tensor) gguf_put_tensor(w, tensor);
    assert_int_equal(gguf_writer_save(w, path, err), WEFT_OK);
    gguf_writer_free(&w);
    assert_int_equal(gguf_open(path, &file, err), WEFT_OK);
    int rc = config_from_gguf(file, c, err);
    gguf_close(&file);
    remove(path);
    return rc;
}

static void the_2b_model_is_understood(void **state) {
    (void)state;
    config c;
    weft_error err;
    assert_int_equal(read_gguf(ARCH, NULL, NULL, NULL, &c, &err), WEFT_OK);
    assert_true(c.layer_count == 30 && c.hidden == 2560 && c.ffn == 6912 && c.context == 4096);
    assert_true(c.heads == 20 && c.kv_heads == 5 && c.head_dim == 128 && c.vocab == 128256);
    assert_true(c.rope_base == 500000 && c.norm_epsilon == 1e-5f && c.rope_factors[63] == 1);
    assert_true(c.act == ACTIVATION_RELU2 && c.sub_norms && c.tied_head && !c.rope_interleaved);
    assert_string_equal(c.note, "");
    assert_true(config_ternary_count(&c) == 2084044800); /* 2.08e9 */
    assert_int_equal(config_widest_input(&c), 6912);
}

static void left_out_keys_have_their_defaults(void **state) {
    (void)state;
    config c;
    weft_error err;
    float rows[3 * 32] = {0};
    const tensor_view embed = {"token_embd.weight", TENSOR_F32, 2, {3, 32},
                               (uint8_t *)rows,     sizeof rows};
    assert_int_equal(read_gguf("llama", NULL, ARCH ".attention.head_count_kv", NULL, &c, &err),
                     WEFT_OK);
    assert_int_equal(c.kv_heads, 20);
    assert_true(c.rope_interleaved && !c.sub_norms && c.act == ACTIVATION_SILU);
    assert_int_equal(read_gguf(ARCH, NULL, ARCH ".rope.freq_base", NULL, &c, &err), WEFT_OK);
    assert_true(c.rope_base == 10000);
    assert_int_equal(read_gguf(ARCH, NULL, ARCH ".vocab_size", &embed, &c, &err), WEFT_OK);
    assert_int_equal(c.vocab, 3);
    const key_line size = {ARCH ".attention.key_length", 'u', 128, NULL};
    assert_int_equal(read_gguf(ARCH, &size, NULL, NULL, &c, &err), WEFT_OK);
    assert_int_equal(c.head_dim, 128);
}

static void the_activation_follows_key_then_custom(void **state) {
    (void)state;
    config c;
    weft_error err;
    const key_line base = {ARCH ".rope.freq_base", 'f', 10000, NULL};
    const key_line key = {ARCH ".hidden_activation", 's', 0, "relu2"};
    const key_line bad = {ARCH ".hidden_activation", 's', 0, "gelu"};
    const key_line vocab = {ARCH ".vocab_size", 'u', 32002, NULL};
    assert_int_equal(read_gguf("bitnet", &base, NULL, NULL, &c, &err), WEFT_OK);
    assert_true(c.act == ACTIVATION_SILU && !c.note[0]);
    assert_int_equal(read_gguf("bitnet", &key, NULL, NULL, &c, &err), WEFT_OK);
    assert_true(c.act == ACTIVATION_RELU2 && !c.note[0]);
    assert_int_equal(read_gguf("bitnet", NULL, NULL, NULL, &c, &err), WEFT_OK);
    assert_true(c.act == ACTIVATION_RELU2);
    assert_non_null(strstr(c.note, "bitnet.hidden_activation"));
    assert_non_null(strstr(c.note, "relu2 is assumed"));
    assert_int_equal(read_gguf("bitnet", &vocab, NULL, NULL, &c, &err), WEFT_OK);
    assert_true(c.act == ACTIVATION_SILU);
    assert_non_null(strstr(c.note, "silu is assumed"));
    assert_int_equal(read_gguf("bitnet-25", NULL, NULL, NULL, &c, &err), WEFT_OK);
    assert_true(c.act == ACTIVATION_RELU2 && !c.note[0]);
    assert_int_equal(read_gguf(ARCH, &bad, NULL, NULL, &c, &err), WEFT_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "hidden_activation is 'gelu'"));
}

static void rope_scaling_becomes_divisors(void **state) {
    (void)state;
    config c;
    weft_error err;
    float factors[64];
    for (int i = 0; i < 64; i++) factors[i] = 1 + (float)i;
    const tensor_view t = {"rope_freqs.weight", TENSOR_F32,    1, {64},
                           (uint8_t *)factors,  sizeof factors};
    const tensor_view few = {"rope_freqs.weight", TENSOR_F32, 1, {32}, (uint8_t *)factors, 128};
    const key_line linear = {ARCH ".rope.scaling.factor", 'f', 4, NULL};
    const key_line yarn = {ARCH ".rope.scaling.type", 's', 0, "yarn"};
    assert_int_equal(read_gguf(ARCH, &linear, NULL, NULL, &c, &err), WEFT_OK);
    assert_true(c.rope_factors[0] == 4 && c.rope_factors[63] == 4);
    assert_int_equal(read_gguf(ARCH, NULL, NULL, &t, &c, &err), WEFT_OK);
    assert_true(c.rope_factors[0] == 1 && c.rope_factors[63] == 64);
    assert_int_equal(read_gguf(ARCH, NULL, NULL, &few, &c, &err), WEFT_ERR_FORMAT);
    assert_non_null(strstr(err.message, "rope_freqs.weight: 64 float32"));
    factors[5] = -1;
    assert_int_equal(read_gguf(ARCH, NULL, NULL, &t, &c, &err), WEFT_ERR_NUMERIC);
    assert_non_null(strstr(err.message, "element 5 is -1"));
    assert_int_equal(read_gguf(ARCH, &yarn, NULL, NULL, &c, &err), WEFT_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "rope.scaling.type is 'yarn'"));
}

static void each_wrong_key_is_named(void **state) {
    (void)state;
    static const struct {
        key_line line;
        int code;
        const char *message;
    } cases[] = {
        {{ARCH ".block_count", 'u', 0, NULL}, WEFT_ERR_FORMAT, ".block_count is 0"},
        {{ARCH ".block_count", 'u', 99999, NULL}, WEFT_ERR_RANGE, ".block_count is 99999"},
        {{ARCH ".attention.head_count", 'u', 0, NULL}, WEFT_ERR_FORMAT, "head_count is 0"},
        {{ARCH ".attention.head_count", 'a', 0, NULL}, WEFT_ERR_UNSUPPORTED, "not one integer"},
        {{ARCH ".attention.head_count", 'u', 24, NULL},
         WEFT_ERR_FORMAT,
         "not a multiple of the 24"},
        {{ARCH ".attention.head_count_kv", 'u', 6, NULL}, WEFT_ERR_FORMAT, "cannot share 6"},
        {{ARCH ".attention.key_length", 'u', 127, NULL}, WEFT_ERR_UNSUPPORTED, "head size is 127"},
        {{ARCH ".attention.value_length", 'u', 64, NULL}, WEFT_ERR_UNSUPPORTED, "two sizes"},
        {{ARCH ".rope.dimension_count", 'u', 64, NULL}, WEFT_ERR_UNSUPPORTED, "partly rotated"},
        {{ARCH ".rope.freq_base", 'f', -1, NULL}, WEFT_ERR_FORMAT, "rope base is -1"},
        {{ARCH ".rope.freq_base", 's', 0, "x"}, WEFT_ERR_FORMAT, "freq_base is not a number"},
        {{ARCH ".attention.layer_norm_rms_epsilon", 'f', 0, NULL}, WEFT_ERR_FORMAT, "epsilon is 0"},
        {{ARCH ".expert_count", 'u', 8, NULL}, WEFT_ERR_UNSUPPORTED, "expert_count is 8"},
        {{ARCH ".attention.sliding_window", 'u', 512, NULL},
         WEFT_ERR_UNSUPPORTED,
         "sliding_window is 512"},
        {{ARCH ".final_logit_softcapping", 'f', 30, NULL},
         WEFT_ERR_UNSUPPORTED,
         "final_logit_softcapping is 30"},
        {{"general.architecture", 's', 0, "qwen3moe"},
         WEFT_ERR_UNSUPPORTED,
         "general.architecture is 'qwen3moe'"},
        {{"general.type", 's', 0, "adapter"}, WEFT_ERR_FORMAT, "an adapter, not a model"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        config c;
        weft_error err = {0};
        int rc = read_gguf(ARCH, &cases[i].line, NULL, NULL, &c, &err);
        if (rc != cases[i].code || !strstr(err.message, cases[i].message))
            fail_msg("case %zu: %d '%s'", i, rc, err.message);
    }
}

static void missing_keys_and_biases_are_named(void **state) {
    (void)state;
    config c;
    weft_error err;
    float value = 0;
    const tensor_view bias = {"blk.0.attn_q.bias", TENSOR_F32, 1, {1}, (uint8_t *)&value, 4};
    for (size_t i = 0; i < 8; i++) {
        if (i == 6) continue; /* head_count_kv is optional */
        assert_int_equal(read_gguf(ARCH, NULL, basic[i].key, NULL, &c, &err), WEFT_ERR_FORMAT);
        assert_non_null(strstr(err.message, basic[i].key));
        assert_non_null(strstr(err.message, "is missing"));
    }
    assert_int_equal(read_gguf(ARCH, NULL, NULL, &bias, &c, &err), WEFT_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "tensor blk.0.attn_q.bias: models with biases"));
}

static int read_hf(const char *act, const char *more, config *c, weft_error *err) {
    const fixture_spec spec = {.class = more && strstr(more, "llama3") ? "LlamaForCausalLM"
                                                                       : "BitNetForCausalLM",
                               .act = act,
                               .more = more,
                               .scale = 1};
    fixture f;
    hf_dir *dir = NULL;
    fixture_make(&f, &spec);
    assert_int_equal(hf_dir_open(f.dir, &dir, err), WEFT_OK);
    int rc = config_from_hf(dir, c, err);
    hf_dir_close(&dir);
    fixture_free(&f);
    return rc;
}

static void hugging_face_names_are_understood(void **state) {
    (void)state;
    config c;
    weft_error err;
    assert_int_equal(read_hf("relu2",
                             "\"rope_parameters\": {\"rope_type\": \"default\", "
                             "\"rope_theta\": 500000},",
                             &c, &err),
                     WEFT_OK);
    assert_string_equal(c.architecture, "bitnet-b1.58");
    assert_true(c.rope_base == 500000 && c.head_dim == 32 && c.tied_head && c.sub_norms);
    assert_int_equal(read_hf("silu", NULL, &c, &err), WEFT_OK);
    assert_string_equal(c.architecture, "bitnet");
    assert_true(c.act == ACTIVATION_SILU && c.rope_base == 10000);
    assert_int_equal(
        read_hf("silu", "\"rope_scaling\": {\"type\": \"linear\", \"factor\": 2},", &c, &err),
        WEFT_OK);
    assert_true(c.rope_factors[0] == 2 && c.rope_factors[15] == 2);
}

/* The divisors of Llama 3.1: 1 for short wavelengths, the factor for long ones, a ramp between. */
static void llama3_scaling_is_computed(void **state) {
    (void)state;
    config c, back;
    weft_error err;
    assert_int_equal(
        read_hf("silu",
                "\"rope_theta\": 500000.0, \"rope_scaling\": {\"rope_type\": \"llama3\", "
                "\"factor\": 8.0, \"low_freq_factor\": 1.0, \"high_freq_factor\": 4.0, "
                "\"original_max_position_embeddings\": 8192},",
                &c, &err),
        WEFT_OK);
    for (int i = 0; i < 16; i++) {
        double length = 2 * M_PI * pow(500000, i / 16.0), expected = 1;
        if (length > 8192)
            expected = 8;
        else if (length > 8192 / 4.0) {
            double smooth = (8192 / length - 1) / 3;
            expected = 1 / ((1 - smooth) / 8 + smooth);
        }
        assert_true(fabs(c.rope_factors[i] - expected) < 1e-5);
    }
    assert_true(c.rope_factors[0] == 1 && c.rope_factors[15] == 8);
    gguf_writer *w;
    gguf_file *file;
    assert_int_equal(gguf_writer_create(&w, &err), WEFT_OK);
    snprintf(c.name, sizeof c.name, "scaled");
    config_to_gguf(&c, w);
    assert_int_equal(gguf_writer_save(w, scratch_file(), &err), WEFT_OK);
    gguf_writer_free(&w);
    assert_int_equal(gguf_open(scratch_file(), &file, &err), WEFT_OK);
    assert_int_equal(config_from_gguf(file, &back, &err), WEFT_OK);
    assert_memory_equal(c.rope_factors, back.rope_factors, sizeof c.rope_factors);
    assert_string_equal(c.architecture, back.architecture);
    assert_string_equal(c.name, back.name);
    assert_true(c.layer_count == back.layer_count && c.hidden == back.hidden && c.ffn == back.ffn);
    assert_true(c.heads == back.heads && c.kv_heads == back.kv_heads);
    assert_true(c.head_dim == back.head_dim && c.vocab == back.vocab && c.context == back.context);
    assert_true(c.norm_epsilon == back.norm_epsilon && c.rope_base == back.rope_base);
    assert_true(c.act == back.act && c.rope_interleaved && back.rope_interleaved);
    gguf_close(&file);
    remove(scratch_file());
}

static void unsupported_config_json_is_named(void **state) {
    (void)state;
    static const struct {
        const char *more, *message;
    } cases[] = {
        {"\"attention_bias\": true,", "attention_bias is true"},
        {"\"sliding_window\": 128,", "sliding_window is 128"},
        {"\"head_dim\": 64,", "do not make the hidden size 128"},
        {"\"head_dim\": \"64\",", "head_dim is not an integer"},
        {"\"rope_theta\": \"x\",", "rope_theta is not a number"},
        {"\"partial_rotary_factor\": 0.5,", "partial_rotary_factor is 0.5"},
        {"\"rope_scaling\": {\"type\": \"yarn\"},", "rope scaling 'yarn'"},
        {"\"rope_scaling\": {\"type\": \"llama3\"},", "llama3 rope scaling lacks"},
        {"\"rope_scaling\": {\"type\": \"linear\", \"factor\": 0},", "rope scaling is 0"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        config c;
        weft_error err = {0};
        if (!read_hf("relu2", cases[i].more, &c, &err) || !strstr(err.message, cases[i].message))
            fail_msg("case %zu: '%s'", i, err.message);
    }
}

static void projections_have_names_and_shapes(void **state) {
    (void)state;
    config c = fixture_shape(false);
    int64_t rows, cols;
    c.heads = 8; /* heads of 32 that are wider together than the layer */
    config_target_shape(&c, TARGET_Q, &rows, &cols);
    assert_true(rows == 256 && cols == 128);
    config_target_shape(&c, TARGET_V, &rows, &cols);
    assert_true(rows == 64 && cols == 128);
    config_target_shape(&c, TARGET_O, &rows, &cols);
    assert_true(rows == 128 && cols == 256);
    config_target_shape(&c, TARGET_DOWN, &rows, &cols);
    assert_true(rows == 128 && cols == 256);
    assert_string_equal(target_module(TARGET_DOWN), "mlp.down_proj");
    assert_string_equal(target_tensor(TARGET_O), "attn_output");
    c.rope_interleaved = true;
    const int64_t expected[] = {32, 48, 33, 49, 34};
    for (int64_t i = 0; i < 5; i++) {
        assert_int_equal(config_hf_row(&c, TARGET_K, 32 + i), expected[i]);
        assert_int_equal(config_hf_row(&c, TARGET_V, 32 + i), 32 + i);
    }
}

static void sets_of_projections_are_parsed(void **state) {
    (void)state;
    uint32_t mask;
    weft_error err;
    static const struct {
        const char *text;
        uint32_t mask;
    } cases[] = {{"all", 0x7f},          {"attn", 0x0f},      {"mlp", 0x70},   {"q,v", 0x05},
                 {"q_proj, down", 0x41}, {"attn,gate", 0x1f}, {"ffn_up", 0x20}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(target_parse(cases[i].text, &mask, &err), WEFT_OK);
        assert_int_equal(mask, cases[i].mask);
    }
    static const char *const bad[] = {"", "q,", "qq", "q v", ",", "q_pro"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(target_parse(bad[i], &mask, &err), WEFT_ERR_ARGUMENT);
        assert_non_null(strstr(err.message, "is not a projection"));
    }
}

static void the_shipped_model_is_sensible(void **state) {
    (void)state;
    gguf_file *file;
    config c;
    weft_error err = {0};
    if (gguf_open(WEFT_ROOT "/models/weft-42m.gguf", &file, &err)) fail_msg("%s", err.message);
    assert_int_equal(config_from_gguf(file, &c, &err), WEFT_OK);
    assert_string_equal(c.name, "weft-42m");
    assert_true(c.layer_count == 12 && c.hidden == 512 && c.vocab == 8192 && c.context == 1024);
    assert_true(c.act == ACTIVATION_RELU2 && c.tied_head && config_ternary_count(&c) == 37748736);
    gguf_close(&file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_2b_model_is_understood),
        cmocka_unit_test(left_out_keys_have_their_defaults),
        cmocka_unit_test(the_activation_follows_key_then_custom),
        cmocka_unit_test(rope_scaling_becomes_divisors),
        cmocka_unit_test(each_wrong_key_is_named),
        cmocka_unit_test(missing_keys_and_biases_are_named),
        cmocka_unit_test(hugging_face_names_are_understood),
        cmocka_unit_test(llama3_scaling_is_computed),
        cmocka_unit_test(unsupported_config_json_is_named),
        cmocka_unit_test(projections_have_names_and_shapes),
        cmocka_unit_test(sets_of_projections_are_parsed),
        cmocka_unit_test(the_shipped_model_is_sensible),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
