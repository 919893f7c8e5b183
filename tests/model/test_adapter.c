/* Adapters: how they start, both file forms there and back, what patterns and rsLoRA mean, the
 * order of rows, and one clear error for each kind of file that is not one of ours. */
#include "hf_fixture.h"

#include "model/adapter.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct bench {
    backend *be;
    char dir[64], gguf[96];
} bench;

static int set_up(void **state) {
    bench *b = calloc(1, sizeof *b);
    const backend_options options = {.thread_count = 1};
    snprintf(b->dir, sizeof b->dir, "/tmp/weft-adapter-XXXXXX");
    if (!mkdtemp(b->dir) || backend_create_cpu(&options, &b->be, NULL)) return 1;
    snprintf(b->gguf, sizeof b->gguf, "%s/a.gguf", b->dir);
    *state = b;
    return 0;
}

static int tear_down(void **state) {
    bench *b = *state;
    os_remove_tree(b->dir, NULL);
    backend_free(&b->be);
    free(b);
    return 0;
}

static float *params_of(const adapter *a) {
    float *params = calloc(a->param_count, sizeof *params);
    assert_int_equal(adapter_get_params(a, params, NULL), WEFT_OK);
    return params;
}

/* An adapter whose every parameter, B too, has a value of its own. */
static adapter *make_full(bench *b, const config *c, const adapter_settings *settings) {
    adapter *a;
    weft_error err;
    if (adapter_create(c, b->be, settings, &a, &err)) fail_msg("%s", err.message);
    float *params = malloc(a->param_count * sizeof *params);
    for (size_t i = 0; i < a->param_count; i++) params[i] = rng_uniform(5, i) - 0.5f;
    assert_int_equal(adapter_set_params(a, params, &err), WEFT_OK);
    free(params);
    return a;
}

static adapter *load(bench *b, const char *path, const config *c) {
    adapter *a;
    weft_error err = {0};
    if (adapter_load(path, c, b->be, &a, &err)) fail_msg("%s", err.message);
    return a;
}

static void assert_same_params(const adapter *a, const adapter *b) {
    assert_int_equal(a->param_count, b->param_count);
    assert_int_equal(a->targets, b->targets);
    float *p = params_of(a), *q = params_of(b);
    assert_memory_equal(p, q, a->param_count * sizeof *p);
    for (int64_t i = 0; i < a->layer_count * TARGET_COUNT; i++)
        assert_true(a->pairs[i].rank == b->pairs[i].rank && a->pairs[i].scale == b->pairs[i].scale);
    free(p);
    free(q);
}

/* scale * B A is what counts: A as it is, scale * B within rounding. */
static void assert_same_effect(const config *c, const adapter *a, const adapter *b) {
    float *p = params_of(a), *q = params_of(b);
    assert_int_equal(a->param_count, b->param_count);
    for (int64_t i = 0; i < a->layer_count * TARGET_COUNT; i++) {
        const lora_pair *x = &a->pairs[i], *y = &b->pairs[i];
        int64_t rows, cols;
        config_target_shape(c, (target)(i % TARGET_COUNT), &rows, &cols);
        assert_int_equal(x->rank, y->rank);
        assert_memory_equal(p + x->a_offset, q + y->a_offset, (size_t)(x->rank * cols) * sizeof *p);
        for (int64_t j = 0; j < rows * x->rank; j++) {
            float one = x->scale * p[x->b_offset + (size_t)j];
            float two = y->scale * q[y->b_offset + (size_t)j];
            assert_true(fabsf(one - two) <= 4 * 0x1p-23f * fabsf(one));
        }
    }
    free(p);
    free(q);
}

static const adapter_settings some = {.rank = 4, .alpha = 8, .targets = 0x7f, .seed = 3};

static void a_fresh_adapter_changes_nothing(void **state) {
    bench *b = *state;
    config c = fixture_shape(false);
    adapter_settings settings = some;
    settings.targets = 1u << TARGET_Q | 1u << TARGET_DOWN;
    adapter *a, *again;
    assert_int_equal(adapter_create(&c, b->be, &settings, &a, NULL), WEFT_OK);
    assert_int_equal(adapter_create(&c, b->be, &settings, &again, NULL), WEFT_OK);
    assert_same_params(a, again);
    assert_int_equal(a->param_count, 2 * (4 * (128 + 128) + 4 * (256 + 128)));
    assert_int_equal(adapter_pair(a, 0, TARGET_K)->rank, 0);
    assert_true(adapter_pair(a, 1, TARGET_Q)->scale == 2);
    float *params = params_of(a);
    for (int64_t layer = 0; layer < 2; layer++) {
        const lora_pair *pair = adapter_pair(a, layer, TARGET_DOWN);
        double square = 0, bound = 1 / sqrt(256);
        for (int i = 0; i < 4 * 256; i++) {
            double x = params[pair->a_offset + (size_t)i];
            assert_true(fabs(x) <= bound);
            square += x * x;
        }
        assert_true(fabs(square / 1024 / (bound * bound) - 1.0 / 3) < 0.05); /* uniform */
        for (int i = 0; i < 4 * 128; i++) assert_true(params[pair->b_offset + (size_t)i] == 0);
    }
    assert_memory_not_equal(params + adapter_pair(a, 0, TARGET_Q)->a_offset,
                            params + adapter_pair(a, 1, TARGET_Q)->a_offset, 4 * 128 * 4);
    free(params);
    adapter_free(&again);
    settings.seed++;
    assert_int_equal(adapter_create(&c, b->be, &settings, &again, NULL), WEFT_OK);
    float *p = params_of(a), *q = params_of(again);
    assert_memory_not_equal(p, q, 64);
    free(p);
    free(q);
    adapter_free(&again);
    adapter_free(&a);
    assert_null(a);
}

static void settings_out_of_range_are_named(void **state) {
    bench *b = *state;
    config c = fixture_shape(false);
    static const struct {
        adapter_settings settings;
        const char *message;
    } cases[] = {
        {{.rank = 0, .alpha = 8, .targets = 1}, "rank 0"},
        {{.rank = ADAPTER_RANK_MAX + 1, .alpha = 8, .targets = 1}, "rank 1025"},
        {{.rank = 4, .alpha = 0, .targets = 1}, "alpha is 0"},
        {{.rank = 4, .alpha = 1e-30f, .targets = 1}, "alpha is 1e-30: it lies in 1e-09 .. 1000000"},
        {{.rank = 4, .alpha = 2e6f, .targets = 1}, "alpha is 2e+06"},
        {{.rank = 4, .alpha = NAN, .targets = 1}, "alpha is"},
        {{.rank = 4, .alpha = 8, .targets = 0}, "projections 0x0"},
        {{.rank = 4, .alpha = 8, .targets = 0x80}, "projections 0x80"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        adapter *a;
        weft_error err;
        assert_int_equal(adapter_create(&c, b->be, &cases[i].settings, &a, &err),
                         WEFT_ERR_ARGUMENT);
        assert_non_null(strstr(err.message, cases[i].message));
        assert_null(a);
    }
}

static void parameters_must_be_numbers(void **state) {
    bench *b = *state;
    config c = fixture_shape(false);
    weft_error err;
    adapter *a = make_full(b, &c, &some);
    float *params = params_of(a);
    params[77] = NAN;
    assert_int_equal(adapter_set_params(a, params, &err), WEFT_ERR_NUMERIC);
    assert_non_null(strstr(err.message, "parameter 77"));
    free(params);
    adapter_free(&a);
}

static void peft_there_and_back(void **state) {
    bench *b = *state;
    for (int i = 0; i < 4; i++) {
        config c = fixture_shape(i & 1);
        adapter_settings settings = some;
        settings.rslora = i & 2;
        settings.targets = i ? 0x7f : 1u << TARGET_V;
        adapter *a = make_full(b, &c, &settings);
        assert_int_equal(adapter_save_peft(a, &c, b->dir, "base", NULL), WEFT_OK);
        adapter *back = load(b, b->dir, &c);
        assert_same_params(a, back);
        assert_true(back->rank == 4 && back->alpha == 8 && back->rslora == settings.rslora);
        assert_true(back->pairs[TARGET_V].scale == (settings.rslora ? 4 : 2));
        adapter_free(&back);
        adapter_free(&a);
    }
}

/* Row `row` of the file's B of q is the row of the model's order that shows it. */
static void peft_rows_are_hugging_faces(void **state) {
    bench *b = *state;
    config c = fixture_shape(true);
    adapter *a = make_full(b, &c, &some);
    char path[96];
    safetensors_file *file;
    assert_int_equal(adapter_save_peft(a, &c, b->dir, NULL, NULL), WEFT_OK);
    snprintf(path, sizeof path, "%s/adapter_model.safetensors", b->dir);
    assert_int_equal(safetensors_open(path, &file, NULL), WEFT_OK);
    assert_int_equal(safetensors_count(file), 2 * 2 * TARGET_COUNT);
    static const target which[] = {TARGET_Q, TARGET_K, TARGET_V};
    float *params = params_of(a);
    for (int i = 0; i < 3; i++) {
        char name[128];
        snprintf(name, sizeof name, "base_model.model.model.layers.1.%s.lora_B.weight",
                 target_module(which[i]));
        const tensor_view *t = safetensors_find(file, name);
        assert_non_null(t);
        assert_true(t->type == TENSOR_F32 && t->shape[1] == 4);
        const float *own = params + adapter_pair(a, 1, which[i])->b_offset;
        for (int64_t row = 0; row < t->shape[0]; row++) {
            int64_t in = row % 32, hf = row - in + in % 2 * 16 + in / 2;
            assert_memory_equal(t->data + 16 * (which[i] == TARGET_V ? row : hf), own + 4 * row,
                                16);
        }
    }
    free(params);
    safetensors_close(&file);
    adapter_free(&a);
}

static void gguf_there_and_back(void **state) {
    bench *b = *state;
    for (int llama = 0; llama < 2; llama++) {
        config c = fixture_shape(llama);
        snprintf(c.architecture, sizeof c.architecture, llama ? "llama" : "bitnet-b1.58");
        adapter *a = make_full(b, &c, &some);
        assert_int_equal(adapter_save_gguf(a, &c, b->gguf, NULL, NULL), WEFT_OK);
        adapter *back = load(b, b->gguf, &c);
        assert_same_params(a, back);
        assert_true(back->alpha == 8 && back->rank == 4 && !back->rslora);
        adapter_free(&back);
        adapter_free(&a);
    }
}

static void gguf_has_llama_cpps_keys(void **state) {
    bench *b = *state;
    config c = fixture_shape(false);
    snprintf(c.architecture, sizeof c.architecture, "bitnet-b1.58");
    adapter *a = make_full(b, &c, &some);
    gguf_file *file;
    double alpha;
    assert_int_equal(adapter_save_gguf(a, &c, b->gguf, "me", NULL), WEFT_OK);
    assert_int_equal(gguf_open(b->gguf, &file, NULL), WEFT_OK);
    static const char *const keys[][2] = {{"general.architecture", "bitnet-b1.58"},
                                          {"general.type", "adapter"},
                                          {"general.name", "me"},
                                          {"adapter.type", "lora"}};
    for (size_t i = 0; i < 4; i++) {
        gguf_text text;
        assert_true(gguf_get_text(file, keys[i][0], &text));
        assert_true(text.size == strlen(keys[i][1]) && !memcmp(text.data, keys[i][1], text.size));
    }
    gguf_type type;
    assert_int_equal(gguf_key_count(file), 5);
    assert_string_equal(gguf_key_at(file, 4, &type), "adapter.lora.alpha");
    assert_int_equal(type, GGUF_F32);
    assert_true(gguf_get_f64(file, "adapter.lora.alpha", &alpha) && alpha == 8);
    const tensor_view *t = gguf_tensor(file, "blk.1.ffn_down.weight.lora_a");
    assert_true(t && t->type == TENSOR_F32 && t->shape[0] == 4 && t->shape[1] == 256);
    t = gguf_tensor(file, "blk.1.ffn_down.weight.lora_b");
    assert_true(t && t->shape[0] == 128 && t->shape[1] == 4);
    assert_int_equal(gguf_tensor_count(file), 2 * 2 * TARGET_COUNT);
    gguf_close(&file);
    adapter_free(&a);
}

static void gguf_folds_rslora_into_alpha(void **state) {
    bench *b = *state;
    config c = fixture_shape(false);
    snprintf(c.architecture, sizeof c.architecture, "bitnet");
    adapter_settings settings = some;
    settings.rslora = true;
    adapter *a = make_full(b, &c, &settings);
    gguf_file *file;
    double alpha;
    assert_int_equal(adapter_save_gguf(a, &c, b->gguf, NULL, NULL), WEFT_OK);
    assert_int_equal(gguf_open(b->gguf, &file, NULL), WEFT_OK);
    assert_true(gguf_get_f64(file, "adapter.lora.alpha", &alpha) && alpha == 16); /* 8 sqrt(4) */
    gguf_close(&file);
    snprintf(c.architecture, sizeof c.architecture, "bitnet-25"); /* the same tensors */
    adapter *back = load(b, b->gguf, &c);
    assert_same_params(a, back);
    adapter_free(&back);
    adapter_free(&a);
}

/* Matrices written by hand: q of layer 0 with rank 2, q of layer 1 and down of layer 0 with rank 4.
 */
static void write_peft(const bench *b, const char *json) {
    static const struct {
        const char *name;
        int64_t rows, cols;
    } list[] = {{"0.self_attn.q_proj.lora_A", 2, 128}, {"0.self_attn.q_proj.lora_B", 128, 2},
                {"1.self_attn.q_proj.lora_A", 4, 128}, {"1.self_attn.q_proj.lora_B", 128, 4},
                {"0.mlp.down_proj.lora_A", 4, 256},    {"0.mlp.down_proj.lora_B", 128, 4}};
    tensor_view views[6];
    char names[6][96], path[128];
    for (int i = 0; i < 6; i++) {
        size_t count = (size_t)(list[i].rows * list[i].cols);
        float *values = malloc(count * sizeof *values);
        for (size_t j = 0; j < count; j++) values[j] = rng_uniform((uint64_t)i, j) - 0.5f;
        snprintf(names[i], sizeof names[i], "base_model.model.model.layers.%s.weight",
                 list[i].name);
        views[i] = (tensor_view){names[i],
                                 TENSOR_F32,
                                 2,
                                 {list[i].rows, list[i].cols},
                                 (uint8_t *)values,
                                 count * sizeof *values};
    }
    snprintf(path, sizeof path, "%s/adapter_model.safetensors", b->dir);
    assert_int_equal(safetensors_save(path, views, 6, NULL, 0, NULL), WEFT_OK);
    snprintf(path, sizeof path, "%s/adapter_config.json", b->dir);
    assert_int_equal(os_write_file(path, json, strlen(json), NULL), WEFT_OK);
    for (int i = 0; i < 6; i++) free((void *)views[i].data);
}

static void patterns_are_obeyed_and_folded(void **state) {
    bench *b = *state;
    config c = fixture_shape(true);
    snprintf(c.architecture, sizeof c.architecture, "llama");
    static const char *const configs[] = {
        "{\"peft_type\": \"LORA\", \"r\": 4, \"lora_alpha\": 6, \"rank_pattern\": "
        "{\"layers.0.self_attn.q_proj\": 2}, \"alpha_pattern\": {\"down_proj\": 3.5, "
        "\"^model\\\\.layers\\\\.1\\\\.self_attn\\\\.q_proj$\": 1}}",
        "{\"peft_type\": \"LORA\", \"r\": 2, \"lora_alpha\": 6, \"use_rslora\": true, "
        "\"rank_pattern\": {\"down_proj\": 4, \"1.self_attn.q_proj\": 4}, \"alpha_pattern\": "
        "{\"own_proj\": 9}}"};
    const float scales[2][3] = {{3, 0.25f, 0.875f}, {(float)(6 / sqrt(2)), 3, 3}};
    for (int i = 0; i < 2; i++) {
        write_peft(b, configs[i]);
        adapter *a = load(b, b->dir, &c);
        assert_true(adapter_pair(a, 0, TARGET_Q)->scale == scales[i][0]);
        assert_true(adapter_pair(a, 1, TARGET_Q)->scale == scales[i][1]);
        assert_true(adapter_pair(a, 0, TARGET_DOWN)->scale == scales[i][2]);
        assert_true(adapter_pair(a, 0, TARGET_Q)->rank == 2 && a->alpha == 6);
        assert_int_equal(adapter_pair(a, 1, TARGET_DOWN)->rank, 0);
        assert_int_equal(adapter_save_gguf(a, &c, b->gguf, NULL, NULL), WEFT_OK);
        adapter *folded = load(b, b->gguf, &c);
        assert_same_effect(&c, a, folded);
        assert_int_equal(adapter_save_peft(a, &c, b->dir, NULL, NULL), WEFT_OK);
        adapter *back = load(b, b->dir, &c);
        assert_same_params(a, back);
        assert_int_equal(adapter_save_peft(folded, &c, b->dir, NULL, NULL), WEFT_OK);
        adapter *round = load(b, b->dir, &c);
        assert_same_effect(&c, a, round);
        adapter_free(&round);
        adapter_free(&back);
        adapter_free(&folded);
        adapter_free(&a);
    }
}

static void refuse(const bench *b, const char *path, const config *c, const char *message) {
    adapter *a = NULL;
    weft_error err = {0};
    int rc = adapter_load(path, c, b->be, &a, &err);
    if (!rc || a || !strstr(err.message, message) || !strstr(err.message, b->dir))
        fail_msg("wanted '%s', got %d '%s'", message, rc, err.message);
}

#define GOOD                                                                                       \
    "\"peft_type\": \"LORA\", \"r\": 4, \"lora_alpha\": 6, \"rank_pattern\": "                     \
    "{\"0.self_attn.q_proj\": 2}"

static void other_peft_variants_are_named(void **state) {
    bench *b = *state;
    config c = fixture_shape(false);
    static const char *const cases[][2] = {
        {"{\"peft_type\": \"IA3\"}", "peft_type is 'IA3'"},
        {"{" GOOD ", \"use_dora\": true}", "use_dora is set: DoRA"},
        {"{" GOOD ", \"bias\": \"all\"}", "bias is 'all'"},
        {"{" GOOD ", \"lora_bias\": true}", "lora_bias is set"},
        {"{" GOOD ", \"modules_to_save\": [\"lm_head\"]}", "modules_to_save is set"},
        {"{" GOOD ", \"fan_in_fan_out\": true}", "fan_in_fan_out is set"},
        {"{" GOOD ", \"init_lora_weights\": \"pissa\"}", "init_lora_weights is 'pissa'"},
        {"{" GOOD ", \"alpha_pattern\": {\".*q_proj\": 2}}", "the key '.*q_proj'"},
        {"{" GOOD ", \"alpha_pattern\": {\"q_proj\": 0}}", "q_proj is not an alpha"},
        {"{\"peft_type\": \"LORA\", \"lora_alpha\": 6}", "r is not an integer"},
        {"{\"peft_type\": \"LORA\", \"r\": 9999, \"lora_alpha\": 6}", "r is the rank 9999"},
        {"{\"peft_type\": \"LORA\", \"r\": 4, \"lora_alpha\": -6}", "lora_alpha is not an alpha"},
        /* It would be 0 in 32 bits, and so would the scale. */
        {"{\"peft_type\": \"LORA\", \"r\": 4, \"lora_alpha\": 1e-60}",
         "an alpha from 1e-09 to 1000000"},
        {"{\"peft_type\": \"LORA\", \"r\": 4, \"lora_alpha\": 6}", "does not have the rank 4"},
        {"{" GOOD, "adapter_config.json"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_peft(b, cases[i][0]);
        refuse(b, b->dir, &c, cases[i][1]);
    }
    write_peft(b, "{" GOOD "}");
    adapter *a = load(b, b->dir, &c);
    adapter_free(&a);
    c.layer_count = 1;
    refuse(b, b->dir, &c, "layers.1.self_attn.q_proj.lora_A.weight is not a LoRA matrix");
    c.layer_count = 2;
    c.hidden = 64;
    refuse(b, b->dir, &c, "has 128 columns, the model's projection has 64 inputs");
    c.hidden = 128;
    c.heads = 2;
    refuse(b, b->dir, &c, "lora_B.weight is not of the shape (64, 2)");
}

/* One tensor of the saved PEFT file under another name, or with another first value. */
static void alter_tensor(const bench *b, const char *name, const char *new_name,
                         const float *first) {
    char path[128];
    safetensors_file *file;
    tensor_view views[8];
    float copy[2 * 128];
    snprintf(path, sizeof path, "%s/adapter_model.safetensors", b->dir);
    assert_int_equal(safetensors_open(path, &file, NULL), WEFT_OK);
    size_t count = 0;
    for (size_t i = 0; i < safetensors_count(file); i++) {
        tensor_view t = *safetensors_at(file, i);
        if (strstr(t.name, name)) {
            if (!new_name) continue;
            assert_true(t.size_bytes <= sizeof copy);
            memcpy(copy, t.data, t.size_bytes);
            if (first) copy[0] = *first;
            t.name = *new_name ? new_name : t.name;
            t.data = (const uint8_t *)copy;
        }
        views[count++] = t;
    }
    assert_int_equal(safetensors_save(path, views, count, NULL, 0, NULL), WEFT_OK);
    safetensors_close(&file);
}

static void odd_tensors_are_named(void **state) {
    bench *b = *state;
    config c = fixture_shape(false);
    static const char q[] = "0.self_attn.q_proj.lora_A";
    static const char *const cases[][2] = {
        {"base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector", "DoRA"},
        {"base_model.model.model.embed_tokens.lora_embedding_A", "LoRA on embeddings"},
        {"base_model.model.model.layers.0.self_attn.q_proj.lora_B.bias", "biases"},
        {"base_model.model.lm_head.lora_A.weight", "lm_head.lora_A.weight is not a LoRA matrix"},
        {"base_model.model.model.layers.99999999999.self_attn.q_proj.lora_A.weight", "not a LoRA"},
        {NULL, "q_proj.lora_B.weight has no partner"},
    };
    const float nan = NAN;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_peft(b, "{" GOOD "}");
        alter_tensor(b, q, cases[i][0], NULL);
        refuse(b, b->dir, &c, cases[i][1]);
    }
    write_peft(b, "{" GOOD "}");
    alter_tensor(b, q, "", &nan);
    refuse(b, b->dir, &c, "q_proj.lora_A.weight: element 0 is NaN");
}

/* Write another alpha into the GGUF adapter: the value stands behind its key and its type. */
static void put_gguf_alpha(const bench *b, float alpha) {
    static const char key[] = "adapter.lora.alpha";
    char *data;
    size_t size;
    assert_int_equal(os_read_file(b->gguf, 1 << 24, &data, &size, NULL), WEFT_OK);
    char *at = memmem(data, size, key, sizeof key - 1);
    assert_non_null(at);
    memcpy(at + sizeof key - 1 + 4, &alpha, 4);
    assert_int_equal(os_write_file(b->gguf, data, size, NULL), WEFT_OK);
    free(data);
}

static void files_that_are_no_adapter_are_named(void **state) {
    bench *b = *state;
    config c = fixture_shape(false), other = c;
    char path[128];
    weft_error err;
    adapter *a;
    snprintf(c.architecture, sizeof c.architecture, "bitnet");
    snprintf(other.architecture, sizeof other.architecture, "llama");
    a = make_full(b, &c, &some);
    assert_int_equal(adapter_save_gguf(a, &c, b->gguf, NULL, NULL), WEFT_OK);
    adapter_free(&a);
    refuse(b, b->gguf, &other, "general.architecture is 'bitnet' instead of 'llama'");
    other = c;
    other.layer_count = 1;
    refuse(b, b->gguf, &other, "blk.1.attn_q.weight.lora_a is not a LoRA matrix");
    put_gguf_alpha(b, 1e-30f);
    refuse(b, b->gguf, &c, "adapter.lora.alpha is 1e-30: it is 0 or in 1e-09 .. 1000000");
    put_gguf_alpha(b, NAN);
    refuse(b, b->gguf, &c, "adapter.lora.alpha is");
    snprintf(path, sizeof path, "%s/missing.gguf", b->dir);
    refuse(b, path, &c, "missing.gguf");
    snprintf(path, sizeof path, "%s/adapter_config.json", b->dir);
    remove(path);
    refuse(b, b->dir, &c, "adapter_config.json is missing");
    assert_int_equal(adapter_load(WEFT_ROOT "/models/weft-42m.gguf", &c, b->be, &a, &err),
                     WEFT_ERR_FORMAT);
    assert_non_null(strstr(err.message, "general.type is missing: this is no adapter"));
}

static void a_place_that_cannot_be_written_is_named(void **state) {
    bench *b = *state;
    config c = fixture_shape(false);
    weft_error err;
    adapter *a = make_full(b, &c, &some);
    char path[128];
    snprintf(path, sizeof path, "%s/file", b->dir);
    assert_int_equal(os_write_file(path, "x", 1, NULL), WEFT_OK);
    assert_int_equal(adapter_save_peft(a, &c, path, NULL, &err), WEFT_ERR_IO); /* not a folder */
    assert_non_null(strstr(err.message, path));
    snprintf(path, sizeof path, "%s/none/a.gguf", b->dir);
    assert_int_equal(adapter_save_gguf(a, &c, path, NULL, &err), WEFT_ERR_IO);
    adapter_free(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_fresh_adapter_changes_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(settings_out_of_range_are_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(parameters_must_be_numbers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(peft_there_and_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(peft_rows_are_hugging_faces, set_up, tear_down),
        cmocka_unit_test_setup_teardown(gguf_there_and_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(gguf_has_llama_cpps_keys, set_up, tear_down),
        cmocka_unit_test_setup_teardown(gguf_folds_rslora_into_alpha, set_up, tear_down),
        cmocka_unit_test_setup_teardown(patterns_are_obeyed_and_folded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_peft_variants_are_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(odd_tensors_are_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(files_that_are_no_adapter_are_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_place_that_cannot_be_written_is_named, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
