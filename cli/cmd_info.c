/* weft info: what is in a model or adapter file, and whether weft can run it. */
#include "commands.h"
#include "common.h"
#include "describe.h"
#include "report.h"

#include "base/os.h"

#include <stdlib.h>
#include <string.h>

typedef struct info_settings {
    const char *model;
    int packing;
    bool tensors, keys, json;
} info_settings;

#define PLACE(member) offsetof(info_settings, member)

static const option_spec info_table[] = {
    {"model", 'm', OPTION_TEXT, PLACE(model), "FILE", 0, 0, "the same as FILE", false},
    {"packing", 0, OPTION_CHOICE, PLACE(packing), "auto|fast|tight", 0, 0,
     "how weights would lie in memory", false},
    {"tensors", 0, OPTION_FLAG, PLACE(tensors), NULL, 0, 0, "list every tensor", false},
    {"keys", 0, OPTION_FLAG, PLACE(keys), NULL, 0, 0, "list every metadata key", false},
    {"json", 0, OPTION_FLAG, PLACE(json), NULL, 0, 0, "one JSON object", false},
};

static const command_spec info_command = {
    .name = "info",
    .arguments = "[FILE|NAME] [options]",
    .summary =
        "Show what is in a GGUF or safetensors file or folder, or in the adapter NAME; without\n"
        "FILE, in the default model.",
    .options = info_table,
    .option_count = sizeof info_table / sizeof *info_table,
    .argument_max = 1};

/* ---- models ---- */

/* Load it as weft would, so that what cannot run is said here; root gains "model" or "problem". */
static void try_model(json_t *root, const char *path, int packing) {
    weft_model_options options = WEFT_MODEL_OPTIONS_DEFAULT;
    weft_model *model;
    weft_model_info i;
    weft_error err;
    options.packing = (weft_packing)packing;
    if (weft_model_load(path, &options, &model, &err)) {
        json_object_set_new(root, "problem", json_string(err.message));
        return;
    }
    weft_model_get_info(model, &i);
    weft_model_free(&model);
    json_object_set_new(
        root, "model",
        json_pack(
            "{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, "
            "s:I, s:s, s:b, s:b, s:b}",
            "name", i.name, "architecture", i.architecture, "activation", i.activation, "note",
            i.note, "layers", (json_int_t)i.layer_count, "hidden", (json_int_t)i.hidden, "ffn",
            (json_int_t)i.ffn, "heads", (json_int_t)i.heads, "kv_heads", (json_int_t)i.kv_heads,
            "head_dim", (json_int_t)i.head_dim, "vocab", (json_int_t)i.vocab, "context",
            (json_int_t)i.context, "ternary_weights", (json_int_t)i.ternary_count, "dense_weights",
            (json_int_t)i.dense_count, "mapped_bytes", (json_int_t)i.mapped_bytes, "resident_bytes",
            (json_int_t)i.resident_bytes, "ternary_bytes", (json_int_t)i.ternary_bytes, "packing",
            i.packing == WEFT_PACKING_TIGHT ? "tight" : "fast", "tied_head", i.tied_head,
            "tokenizer", i.has_tokenizer, "chat_template", i.has_chat_template));
}

static void show_model(const json_t *root) {
    const json_t *m = json_object_get(root, "model");
    const char *problem = json_string_value(json_object_get(root, "problem"));
    char a[REPORT_TEXT], b[REPORT_TEXT], value[256];
    if (problem) {
        printf("  problem       weft cannot run it: %s\n", problem);
        return;
    }
    long long n[13];
    static const char *const names[] = {
        "layers",       "hidden",         "ffn",          "heads",           "kv_heads",
        "head_dim",     "vocab",          "context",      "ternary_weights", "dense_weights",
        "mapped_bytes", "resident_bytes", "ternary_bytes"};
    for (size_t i = 0; i < 13; i++) n[i] = json_integer_value(json_object_get(m, names[i]));
    printf("  architecture  %s, %s\n", json_string_value(json_object_get(m, "architecture")),
           json_string_value(json_object_get(m, "activation")));
    printf("  shape         %lld layers, width %lld, feed-forward %lld, %lld heads of %lld (%lld "
           "key/value)\n",
           n[0], n[1], n[2], n[3], n[5], n[4]);
    printf("  weights       %s ternary, %s dense (embedding%s)\n", report_count(n[8], a),
           report_count(n[9], b),
           json_is_true(json_object_get(m, "tied_head")) ? ", also the head" : " and head");
    printf("  context       %s tokens\n", report_count(n[7], a));
    printf("  tokenizer     %s", json_is_true(json_object_get(m, "tokenizer")) ? "" : "none");
    if (json_is_true(json_object_get(m, "tokenizer")))
        printf("%s, %s tokens",
               describe_value(root, "tokenizer.ggml.pre", value, sizeof value) ? value : "default",
               report_count(n[6], a));
    printf("\n  chat template %s\n",
           json_is_true(json_object_get(m, "chat_template")) ? "yes" : "no");
    printf("  in memory     %s mapped from the file, %s allocated\n",
           report_size((uint64_t)n[10], a), report_size((uint64_t)n[11], b));
    printf("  packing       %s, %s of ternary weights\n",
           json_string_value(json_object_get(m, "packing")), report_size((uint64_t)n[12], a));
    const char *note = json_string_value(json_object_get(m, "note"));
    if (note && *note) printf("  note          %s\n", note);
}

/* ---- all kinds ---- */

static void show_types(const json_t *root) {
    const json_t *types = json_object_get(root, "types"), *t;
    size_t i;
    char a[REPORT_TEXT], b[REPORT_TEXT];
    json_array_foreach(types, i, t)
        printf("  %-13s %-8s %3lld tensors, %s values, %s, %.3g bits a value\n", i ? "" : "tensors",
               json_string_value(json_object_get(t, "type")),
               (long long)json_integer_value(json_object_get(t, "tensors")),
               report_count(json_integer_value(json_object_get(t, "values")), a),
               report_size((uint64_t)json_integer_value(json_object_get(t, "size_bytes")), b),
               json_real_value(json_object_get(t, "bits_per_value")));
}

static void show_adapter(const json_t *root) {
    const json_t *a = json_object_get(root, "adapter");
    char n[REPORT_TEXT];
    printf("  adapter       LoRA of rank %lld, alpha %g%s\n",
           (long long)json_integer_value(json_object_get(a, "rank")),
           json_number_value(json_object_get(a, "alpha")),
           json_is_true(json_object_get(a, "rslora")) ? ", rsLoRA" : "");
    printf("  targets       %s\n", json_string_value(json_object_get(a, "targets")));
    printf("  parameters    %s\n",
           report_count(json_integer_value(json_object_get(a, "parameters")), n));
}

static void show_lists(const json_t *root, const info_settings *s) {
    const json_t *item;
    size_t i, k;
    char size[REPORT_TEXT];
    if (s->keys) printf("\n");
    json_array_foreach(json_object_get(root, "keys"), i, item) if (s->keys)
        printf("%-44s %-7s %s\n", json_string_value(json_object_get(item, "name")),
               json_string_value(json_object_get(item, "type")),
               json_string_value(json_object_get(item, "value")));
    if (s->tensors) printf("\n");
    json_array_foreach(json_object_get(root, "tensors"), i, item) {
        if (!s->tensors) break;
        const json_t *shape = json_object_get(item, "shape"), *dim;
        printf(
            "%-44s %-7s %10s  [", json_string_value(json_object_get(item, "name")),
            json_string_value(json_object_get(item, "type")),
            report_size((uint64_t)json_integer_value(json_object_get(item, "size_bytes")), size));
        json_array_foreach(shape, k, dim)
            printf("%s%lld", k ? ", " : "", (long long)json_integer_value(dim));
        printf("]\n");
    }
}

static int show(const json_t *root, const char *path, const info_settings *s) {
    char value[256], size[REPORT_TEXT];
    printf("%s%s%s\n", report_bold(stdout), path, report_plain(stdout));
    if (describe_value(root, "general.name", value, sizeof value))
        printf("  name          %s\n", value);
    const char *kind = json_string_value(json_object_get(root, "kind"));
    printf("  file          %s", kind);
    if (!strcmp(kind, "gguf"))
        printf(" version %lld", (long long)json_integer_value(json_object_get(root, "version")));
    printf(", %s\n",
           report_size((uint64_t)json_integer_value(json_object_get(root, "size_bytes")), size));
    if (json_object_get(root, "adapter"))
        show_adapter(root);
    else if (!strcmp(kind, "gguf"))
        show_model(root);
    else if (os_is_dir(path))
        printf("  model         `weft import %s` makes a file of it that weft runs\n", path);
    show_types(root);
    if (describe_value(root, "general.license", value, sizeof value))
        printf("  licence       %s\n", value);
    show_lists(root, s);
    return report_finish(EXIT_OK);
}

static int find(const info_settings *s, const char *given, char path[PATH_BYTES], weft_error *err) {
    if (!given) return model_find(s->model, path, err);
    if (!strchr(given, '/') && !os_is_file(given) && !os_is_dir(given))
        return adapter_find(given, path, err);
    snprintf(path, PATH_BYTES, "%.*s", PATH_BYTES - 1, given);
    return WEFT_OK;
}

int cmd_info(int argc, char **argv) {
    info_settings s = {0};
    char path[PATH_BYTES];
    const char *given;
    weft_error err;
    json_t *root;
    option_outcome outcome = options_parse(&info_command, argc, argv, &s, &given);
    if (outcome != OPTIONS_GO) return outcome == OPTIONS_HELP ? report_finish(EXIT_OK) : EXIT_USAGE;
    int rc = find(&s, given, path, &err);
    if (!rc) rc = describe_file(path, &root, &err);
    if (rc) return fail("info", rc, &err);
    if (!strcmp(json_string_value(json_object_get(root, "kind")), "gguf") &&
        !json_object_get(root, "adapter"))
        try_model(root, path, s.packing);
    if (!s.json) {
        int code = show(root, path, &s);
        json_decref(root);
        return code;
    }
    json_object_set_new(root, "path", json_string(path));
    if (!s.tensors) json_object_del(root, "tensors");
    return report_json(root, false);
}
