/* Hugging Face folders turned into GGUF: every form of weights, both meanings of weight_scale, the
 * order of rows, the keys, and one clear error for each kind of damage. */
#include "hf_fixture.h"

#include "format/repack.h"
#include "model/import.h"
#include "text/tokenizer.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const fixture_spec packed_auto = {
    .class = "BitNetForCausalLM",
    .act = "relu2",
    .quantisation = "{\"quant_method\": \"bitnet\", \"linear_class\": \"autobitlinear\"}",
    .scale = 1.5f};
static const fixture_spec packed_llama = {.class = "LlamaForCausalLM",
                                          .act = "silu",
                                          .quantisation = "{\"quant_method\": \"bitnet\"}",
                                          .llama = true,
                                          .head = true,
                                          .scale = 4};

static gguf_file *import_and_open(fixture *f, const fixture_spec *spec, tensor_type type,
                                  char note[256]) {
    weft_error err = {0};
    gguf_file *file;
    fixture_make(f, spec);
    const import_options options = {.ternary_type = type, .name = "tiny"};
    if (import_hf(f->dir, f->out, &options, note, &err)) fail_msg("%s", err.message);
    if (gguf_open(f->out, &file, &err)) fail_msg("%s", err.message);
    return file;
}

static const tensor_view *tensor_of(const gguf_file *file, int64_t layer, const char *name) {
    char full[64];
    snprintf(full, sizeof full, "blk.%lld.%s.weight", (long long)layer, name);
    const tensor_view *t = gguf_tensor(file, full);
    if (!t) fail_msg("%s is missing", full);
    return t;
}

/* Every projection holds the fixture's ternary values, its rows in GGUF's order, times scale. */
static void check_projections(const gguf_file *file, bool llama, tensor_type type, float scale) {
    config c = fixture_shape(llama);
    for (int64_t i = 0; i < FIX_LAYERS * TARGET_COUNT; i++) {
        target which = (target)(i % TARGET_COUNT);
        int64_t layer = i / TARGET_COUNT;
        const tensor_view *t = tensor_of(file, layer, target_tensor(which));
        ternary_matrix m = {0};
        config_target_shape(&c, which, &m.rows, &m.cols);
        assert_int_equal(t->type, type);
        assert_true(t->dim_count == 2 && t->shape[0] == m.rows && t->shape[1] == m.cols);
        uint8_t *codes = malloc((size_t)m.rows * ternary_row_bytes(m.cols));
        assert_int_equal(repack_ternary(t, codes, &m.scale, NULL), WEFT_OK);
        m.codes = codes;
        assert_true(m.scale == scale);
        for (int64_t row = 0; row < m.rows; row++)
            for (int64_t col = 0; col < m.cols; col++) {
                int64_t head = row / FIX_DIM * FIX_DIM, in = row % FIX_DIM;
                bool moved = llama && (which == TARGET_Q || which == TARGET_K);
                int64_t hf = moved ? head + in % 2 * (FIX_DIM / 2) + in / 2 : row;
                assert_int_equal(ternary_get(&m, row, col),
                                 fixture_ternary(layer, which, hf, col, m.cols));
            }
        free(codes);
    }
}

static void packed_autobitlinear_multiplies(void **state) {
    (void)state;
    fixture f;
    char note[256] = "x";
    gguf_file *file = import_and_open(&f, &packed_auto, TENSOR_I2_S, note);
    assert_string_equal(note, "");
    check_projections(file, false, TENSOR_I2_S, 1.5f);
    const tensor_view *embed = gguf_tensor(file, "token_embd.weight");
    assert_int_equal(embed->type, TENSOR_BF16);
    assert_memory_equal(embed->data, f.list[0].data, f.list[0].size_bytes);
    static const char *const norms[] = {"attn_norm", "ffn_norm", "attn_sub_norm", "ffn_sub_norm"};
    for (int n = 0; n < 4; n++) {
        const tensor_view *norm = tensor_of(file, 1, norms[n]);
        assert_int_equal(norm->type, TENSOR_F32);
        assert_int_equal(norm->shape[0], n == 3 ? FIX_FFN : FIX_HIDDEN);
        for (size_t i = 0; i < (size_t)norm->shape[0]; i++)
            assert_true(((const float *)(const void *)norm->data)[i] == fixture_norm(i));
    }
    assert_int_equal(gguf_tensor_count(file), 2 + FIX_LAYERS * 11);
    gguf_close(&file);
    fixture_free(&f);
}

static bool text_is(const gguf_file *file, const char *key, const char *wanted) {
    gguf_text text;
    return gguf_get_text(file, key, &text) && text.size == strlen(wanted) &&
           !memcmp(text.data, wanted, text.size);
}

static void keys_say_what_the_model_is(void **state) {
    (void)state;
    fixture f;
    uint64_t number;
    gguf_file *file = import_and_open(&f, &packed_auto, TENSOR_I2_S, NULL);
    assert_true(text_is(file, "general.architecture", "bitnet-b1.58"));
    assert_true(text_is(file, "general.name", "tiny"));
    assert_true(text_is(file, "bitnet-b1.58.hidden_activation", "relu2"));
    assert_true(text_is(file, "tokenizer.chat_template", "{{ messages }}"));
    assert_true(text_is(file, "tokenizer.ggml.model", "gpt2"));
    assert_true(gguf_get_u64(file, "general.file_type", &number) && number == 40);
    assert_true(gguf_get_u64(file, "bitnet-b1.58.rope.dimension_count", &number) && number == 32);
    assert_false(gguf_has(file, "general.license"));
    config c;
    weft_error err;
    assert_int_equal(config_from_gguf(file, &c, &err), WEFT_OK);
    assert_true(c.layer_count == 2 && c.hidden == 128 && c.ffn == 256 && c.heads == 4);
    assert_true(c.kv_heads == 2 && c.head_dim == 32 && c.vocab == 8 && c.context == 64);
    assert_true(c.sub_norms && c.tied_head && !c.rope_interleaved && c.act == ACTIVATION_RELU2);
    assert_string_equal(c.note, "");
    tokenizer *tok;
    assert_int_equal(tokenizer_from_gguf(file, &tok, &err), WEFT_OK);
    assert_int_equal(tokenizer_find(tok, "ab"), 3);
    assert_int_equal(tokenizer_eos(tok), 7);
    tokenizer_free(&tok);
    gguf_close(&file);
    fixture_free(&f);
}

static void packed_bitlinear_divides_and_llama_permutes(void **state) {
    (void)state;
    fixture f;
    gguf_file *file = import_and_open(&f, &packed_llama, TENSOR_I2_S, NULL);
    check_projections(file, true, TENSOR_I2_S, 0.25f);
    assert_true(text_is(file, "general.architecture", "llama"));
    assert_non_null(gguf_tensor(file, "output.weight"));
    assert_null(gguf_tensor(file, "blk.0.attn_sub_norm.weight"));
    gguf_close(&file);
    fixture_free(&f);
}

static void ternary_floats_keep_their_scale(void **state) {
    (void)state;
    fixture_spec spec = packed_llama;
    spec.form = FORM_TERNARY_F32;
    spec.scale = 0.375f;
    fixture f;
    gguf_file *file = import_and_open(&f, &spec, TENSOR_F16, NULL);
    check_projections(file, true, TENSOR_F16, 0.375f);
    gguf_close(&file);
    fixture_free(&f);
}

/* transformers' rule, written out: scale max(mean |W|, 1e-5), round half to even, clamp. */
static void check_quantised(const gguf_file *file, int64_t layer, target which) {
    config c = fixture_shape(false);
    int64_t rows, cols;
    float scale;
    config_target_shape(&c, which, &rows, &cols);
    double sum = 0;
    for (int64_t i = 0; i < rows * cols; i++)
        sum += fabs(fixture_master(layer, which, i / cols, i % cols, cols));
    float inverse = 1 / (float)(sum / (double)(rows * cols));
    uint8_t *codes = malloc((size_t)rows * ternary_row_bytes(cols));
    const tensor_view *t = tensor_of(file, layer, target_tensor(which));
    assert_int_equal(repack_ternary(t, codes, &scale, NULL), WEFT_OK);
    ternary_matrix m = {codes, rows, cols, scale, TERNARY_FAST};
    assert_true(fabsf(scale * inverse - 1) < 1e-6f);
    for (int64_t i = 0; i < rows * cols; i++) {
        float x = rintf(fixture_master(layer, which, i / cols, i % cols, cols) * inverse);
        assert_int_equal(ternary_get(&m, i / cols, i % cols), x > 1 ? 1 : x < -1 ? -1 : (int)x);
    }
    free(codes);
}

static void master_weights_are_quantised(void **state) {
    (void)state;
    fixture_spec spec = {.class = "BitnetForCausalLM",
                         .act = "silu",
                         .form = FORM_MASTER_BF16,
                         .old_names = true,
                         .more = "\"rope_theta\": 10000.0,"};
    fixture f;
    gguf_file *file = import_and_open(&f, &spec, TENSOR_I2_S, NULL);
    assert_true(text_is(file, "general.architecture", "bitnet"));
    assert_true(text_is(file, "bitnet.hidden_activation", "silu"));
    assert_non_null(gguf_tensor(file, "blk.1.attn_sub_norm.weight"));
    assert_non_null(gguf_tensor(file, "blk.1.ffn_sub_norm.weight"));
    for (int t = 0; t < TARGET_COUNT; t++) check_quantised(file, 1, (target)t);
    gguf_close(&file);
    fixture_free(&f);
}

static void a_type_that_does_not_fit_falls_back(void **state) {
    (void)state;
    fixture f;
    char note[256];
    gguf_file *file = import_and_open(&f, &packed_auto, TENSOR_TQ2_0, note);
    assert_non_null(strstr(note,
                           "12 tensors do not fit TQ2_0: blk.0.attn_q.weight (128 columns) is "
                           "stored as I2_S"));
    assert_int_equal(tensor_of(file, 0, "attn_q")->type, TENSOR_I2_S);
    assert_int_equal(tensor_of(file, 0, "ffn_down")->type, TENSOR_TQ2_0); /* 256 columns */
    gguf_close(&file);
    fixture_free(&f);
}

/* The folder is refused with this code and message, and no file is left behind. */
static void refuse(const fixture_spec *spec, int code, const char *message) {
    fixture f;
    weft_error err = {0};
    fixture_make(&f, spec);
    int rc = import_hf(f.dir, f.out, NULL, NULL, &err);
    if (rc != code || !strstr(err.message, message))
        fail_msg("got %d '%s' instead of %d '%s'", rc, err.message, code, message);
    assert_non_null(strstr(err.message, f.dir));
    assert_false(os_is_file(f.out));
    fixture_free(&f);
}

static void damage_is_named(void **state) {
    (void)state;
    static const char q[] = "model.layers.1.self_attn.q_proj.weight";
    fixture_spec spec = packed_auto;
    spec.drop = q;
    refuse(&spec, WEFT_ERR_FORMAT, "tensor model.layers.1.self_attn.q_proj.weight is missing");
    spec.drop = "model.layers.1.self_attn.q_proj.weight_scale";
    refuse(&spec, WEFT_ERR_FORMAT, "q_proj.weight_scale is missing");
    spec.drop = "model.layers.0.mlp.ffn_sub_norm.weight";
    refuse(&spec, WEFT_ERR_FORMAT, "tensor model.layers.0.mlp.ffn_sub_norm.weight is missing");
    spec.drop = NULL;
    spec.wrong = q;
    refuse(&spec, WEFT_ERR_FORMAT, "is not of shape (32, 128)");
    spec.wrong = "model.norm.weight";
    refuse(&spec, WEFT_ERR_FORMAT, "does not have 128 elements");
    spec.wrong = NULL;
    spec.spoil = q;
    refuse(&spec, WEFT_ERR_FORMAT, q); /* code 3 */
    spec.spoil = "model.norm.weight";
    refuse(&spec, WEFT_ERR_NUMERIC, "tensor model.norm.weight: element 0 is NaN");
    spec.spoil = "model.embed_tokens.weight";
    refuse(&spec, WEFT_ERR_NUMERIC, "tensor model.embed_tokens.weight: element 0 is NaN");
    spec.spoil = "model.layers.0.mlp.up_proj.weight_scale";
    refuse(&spec, WEFT_ERR_NUMERIC, "up_proj.weight_scale: element 0 is NaN");
    spec.spoil = NULL;
    spec.extra = "model.layers.0.self_attn.q_norm.weight";
    refuse(&spec, WEFT_ERR_UNSUPPORTED, "q_norm.weight has no place in this kind of model");
    spec.extra = NULL;
    spec.scale = 0;
    refuse(&spec, WEFT_ERR_NUMERIC, "a scale is above 0");
    spec.form = FORM_MASTER_BF16;
    spec.spoil = q;
    refuse(&spec, WEFT_ERR_NUMERIC, q);
}

static void other_models_are_named(void **state) {
    (void)state;
    fixture_spec spec = packed_auto;
    spec.class = "Qwen3MoeForCausalLM";
    refuse(&spec, WEFT_ERR_UNSUPPORTED, "architectures is 'Qwen3MoeForCausalLM'");
    spec = packed_auto;
    spec.quantisation = "{\"quant_method\": \"gptq\"}";
    refuse(&spec, WEFT_ERR_UNSUPPORTED, "quant_method is 'gptq'");
    spec.quantisation = "{\"quant_method\": \"bitnet\", \"linear_class\": \"other\"}";
    refuse(&spec, WEFT_ERR_UNSUPPORTED, "linear_class is 'other'");
    spec = packed_auto;
    spec.act = "gelu";
    refuse(&spec, WEFT_ERR_UNSUPPORTED, "hidden_act is 'gelu'");
}

static void redundant_tensors_are_left_out(void **state) {
    (void)state;
    fixture_spec spec = packed_auto;
    spec.extra = "model.layers.0.self_attn.rotary_emb.inv_freq";
    fixture f;
    gguf_file *file = import_and_open(&f, &spec, TENSOR_I2_S, NULL);
    assert_int_equal(gguf_tensor_count(file), 2 + FIX_LAYERS * 11);
    gguf_close(&file);
    fixture_free(&f);
}

static void the_model_card_names_the_licence(void **state) {
    (void)state;
    fixture f;
    weft_error err;
    gguf_file *file;
    fixture_make(&f, &packed_auto);
    fixture_write(&f, "README.md", "---\ntags:\n- x\nlicense: mit\n---\n# A model\n");
    fixture_write(&f, "chat_template.jinja", "own file");
    assert_int_equal(import_hf(f.dir, f.out, NULL, NULL, &err), WEFT_OK);
    assert_int_equal(gguf_open(f.out, &file, &err), WEFT_OK);
    assert_true(text_is(file, "general.license", "mit"));
    assert_true(text_is(file, "tokenizer.chat_template", "own file"));
    assert_true(text_is(file, "general.name", strrchr(f.dir, '/') + 1));
    gguf_close(&file);
    fixture_free(&f);
}

static void every_type_can_be_written(void **state) {
    (void)state;
    static const tensor_type types[] = {TENSOR_F32, TENSOR_F16, TENSOR_BF16, TENSOR_I2_S};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        fixture f;
        gguf_file *file = import_and_open(&f, &packed_auto, types[i], NULL);
        check_projections(file, false, types[i], 1.5f);
        gguf_close(&file);
        fixture_free(&f);
    }
}

static void folders_and_types_are_checked(void **state) {
    (void)state;
    weft_error err;
    const import_options options = {.ternary_type = TENSOR_Q6_K};
    assert_int_equal(import_hf("/nowhere", "/tmp/x.gguf", NULL, NULL, &err), WEFT_ERR_IO);
    assert_non_null(strstr(err.message, "/nowhere is not a folder"));
    assert_int_equal(import_hf("/nowhere", "/tmp/x.gguf", &options, NULL, &err), WEFT_ERR_ARGUMENT);
    assert_non_null(strstr(err.message, "cannot hold ternary weights"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packed_autobitlinear_multiplies),
        cmocka_unit_test(every_type_can_be_written),
        cmocka_unit_test(keys_say_what_the_model_is),
        cmocka_unit_test(packed_bitlinear_divides_and_llama_permutes),
        cmocka_unit_test(ternary_floats_keep_their_scale),
        cmocka_unit_test(master_weights_are_quantised),
        cmocka_unit_test(a_type_that_does_not_fit_falls_back),
        cmocka_unit_test(damage_is_named),
        cmocka_unit_test(other_models_are_named),
        cmocka_unit_test(redundant_tensors_are_left_out),
        cmocka_unit_test(the_model_card_names_the_licence),
        cmocka_unit_test(folders_and_types_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
