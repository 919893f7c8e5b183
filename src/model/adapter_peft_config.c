/* adapter_config.json of a PEFT folder: what the tensors of a LoRA adapter mean. Refuses every
 * variant whose arithmetic is not y += scale * B (A x) on an unchanged base (DoRA, biases, PiSSA
 * ...), by key. */
#include "model/adapter_parts.h"

#include "format/json_file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PATTERN_KEY_MAX 256

struct peft_config {
    json_t *root;
    int32_t rank;
    double alpha;
    bool rslora;
    json_t *rank_pattern, *alpha_pattern; /* borrowed from root; NULL = none */
};

static bool is_unset(const json_t *value) {
    return !value || json_is_null(value) || json_is_false(value) ||
           (json_is_array(value) && json_array_size(value) == 0) ||
           (json_is_object(value) && json_object_size(value) == 0);
}

static int refuse_variants(const json_t *root, weft_error *err) {
    static const struct {
        const char *key, *what;
    } variants[] = {
        {"use_dora", "DoRA"},
        {"use_qalora", "QALoRA"},
        {"use_bdlora", "block-diagonal LoRA"},
        {"lora_bias", "a bias in the adapter"},
        {"fan_in_fan_out", "transposed layers"},
        {"modules_to_save", "fully trained modules"},
        {"trainable_token_indices", "trained tokens"},
        {"target_parameters", "LoRA on bare parameters"},
        {"layer_replication", "repeated layers"},
        {"alora_invocation_tokens", "activated LoRA"},
    };
    const json_t *type = json_object_get(root, "peft_type");
    if (!json_is_string(type) || strcmp(json_string_value(type), "LORA"))
        return err_set(err, WEFT_ERR_UNSUPPORTED, "peft_type is '%.64s': weft reads LORA adapters",
                       json_is_string(type) ? json_string_value(type) : "missing");
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++)
        if (!is_unset(json_object_get(root, variants[i].key)))
            return err_set(err, WEFT_ERR_UNSUPPORTED, "%s is set: %s is not supported",
                           variants[i].key, variants[i].what);
    const json_t *bias = json_object_get(root, "bias");
    if (json_is_string(bias) && strcmp(json_string_value(bias), "none"))
        return err_set(err, WEFT_ERR_UNSUPPORTED,
                       "bias is '%.64s': trained biases are not supported",
                       json_string_value(bias));
    return WEFT_OK;
}

/* Some initialisations change the base weights as well, so their adapters fit no other base. */
static int check_initialisation(const json_t *root, weft_error *err) {
    static const char *const harmless[] = {"gaussian", "eva", "orthogonal"};
    const json_t *init = json_object_get(root, "init_lora_weights");
    if (!json_is_string(init)) return WEFT_OK;
    for (size_t i = 0; i < sizeof harmless / sizeof *harmless; i++)
        if (!strcmp(json_string_value(init), harmless[i])) return WEFT_OK;
    return err_set(
        err, WEFT_ERR_UNSUPPORTED,
        "init_lora_weights is '%.64s', which changes the base model: convert the adapter to "
        "plain LoRA first",
        json_string_value(init));
}

static int check_rank(const char *key, const json_t *value, int32_t *rank, weft_error *err) {
    if (!json_is_integer(value))
        return err_set(err, WEFT_ERR_FORMAT, "%.128s is not an integer", key);
    json_int_t r = json_integer_value(value);
    if (r < 1 || r > ADAPTER_RANK_MAX)
        return err_set(err, WEFT_ERR_RANGE, "%.128s is the rank %lld: weft takes 1 .. %d", key,
                       (long long)r, ADAPTER_RANK_MAX);
    *rank = (int32_t)r;
    return WEFT_OK;
}

static int check_alpha(const char *key, const json_t *value, double *alpha, weft_error *err) {
    double number = json_is_number(value) ? json_number_value(value) : NAN;
    if (!((float)number >= ADAPTER_ALPHA_MIN && number <= ADAPTER_ALPHA_MAX))
        return err_set(err, WEFT_ERR_FORMAT, "%.128s is not an alpha from %g to %.0f", key,
                       (double)ADAPTER_ALPHA_MIN, (double)ADAPTER_ALPHA_MAX);
    *alpha = number;
    return WEFT_OK;
}

/* PEFT matches "(.*\.)?(KEY)$". Literal names, their dots escaped or not, and the two anchors are
 * understood; *size bytes of literal text are left in name. */
static bool literal_of(const char *key, char name[PATTERN_KEY_MAX], size_t *size, bool *whole) {
    size_t used = 0;
    *whole = *key == '^';
    for (const char *at = key + *whole; *at && !(*at == '$' && !at[1]); at++) {
        if (*at == '\\' && at[1] == '.')
            at++;
        else if (strchr("\\^$*+?()[]{}|", *at))
            return false;
        if (used == PATTERN_KEY_MAX) return false;
        name[used++] = *at;
    }
    *size = used;
    return used > 0;
}

static bool key_matches(const char *key, const char *module) {
    char name[PATTERN_KEY_MAX];
    size_t size, module_size = strlen(module);
    bool whole;
    if (!literal_of(key, name, &size, &whole) || size > module_size) return false;
    const char *tail = module + (module_size - size);
    if (memcmp(tail, name, size)) return false;
    return tail == module || (!whole && tail[-1] == '.');
}

/* The first entry that matches, as PEFT takes it; NULL = none. */
static const json_t *pattern_find(json_t *pattern, const char *module) {
    const char *key;
    json_t *value;
    json_object_foreach(pattern, key, value) {
        if (key_matches(key, module)) return value;
    }
    return NULL;
}

static int check_pattern(const char *what, json_t *pattern, bool ranks, weft_error *err) {
    const char *key;
    json_t *value;
    if (is_unset(pattern)) return WEFT_OK;
    if (!json_is_object(pattern)) return err_set(err, WEFT_ERR_FORMAT, "%s is not an object", what);
    json_object_foreach(pattern, key, value) {
        char name[PATTERN_KEY_MAX];
        size_t size;
        bool whole;
        int32_t rank;
        double alpha;
        if (!literal_of(key, name, &size, &whole))
            return err_set(err, WEFT_ERR_UNSUPPORTED,
                           "%s has the key '%.128s': only plain module names are understood", what,
                           key);
        if (ranks)
            TRY(check_rank(key, value, &rank, err));
        else
            TRY(check_alpha(key, value, &alpha, err));
    }
    return WEFT_OK;
}

static int read_config(peft_config *p, weft_error *err) {
    const json_t *rslora = json_object_get(p->root, "use_rslora");
    TRY(refuse_variants(p->root, err));
    TRY(check_initialisation(p->root, err));
    TRY(check_rank("r", json_object_get(p->root, "r"), &p->rank, err));
    TRY(check_alpha("lora_alpha", json_object_get(p->root, "lora_alpha"), &p->alpha, err));
    p->rslora = json_is_true(rslora);
    p->rank_pattern = json_object_get(p->root, "rank_pattern");
    p->alpha_pattern = json_object_get(p->root, "alpha_pattern");
    TRY(check_pattern("rank_pattern", p->rank_pattern, true, err));
    return check_pattern("alpha_pattern", p->alpha_pattern, false, err);
}

int peft_config_parse(const char *text, size_t size, peft_config **out, weft_error *err) {
    *out = NULL;
    peft_config *p = calloc(1, sizeof *p);
    if (!p) return err_set(err, WEFT_ERR_MEMORY, "no memory to read an adapter's configuration");
    int rc = json_file_parse(text, size, &p->root, err);
    if (!rc) rc = read_config(p, err);
    if (rc)
        peft_config_free(&p);
    else
        *out = p;
    return rc;
}

void peft_config_free(peft_config **pp) {
    peft_config *p = *pp;
    *pp = NULL;
    if (!p) return;
    json_decref(p->root);
    free(p);
}

int peft_config_pair(const peft_config *p, const char *module, int32_t *rank, float *scale,
                     weft_error *err) {
    const json_t *own_rank = pattern_find(p->rank_pattern, module);
    const json_t *own_alpha = pattern_find(p->alpha_pattern, module);
    double alpha = p->alpha;
    *rank = p->rank;
    if (own_rank) TRY(check_rank(module, own_rank, rank, err));
    if (own_alpha) TRY(check_alpha(module, own_alpha, &alpha, err));
    *scale = adapter_scale(alpha, *rank, p->rslora);
    return WEFT_OK;
}

void peft_config_base(const peft_config *p, int32_t *rank, float *alpha, bool *rslora) {
    *rank = p->rank;
    *alpha = (float)p->alpha;
    *rslora = p->rslora;
}
