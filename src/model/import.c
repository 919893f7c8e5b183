/* A Hugging Face folder turned into one GGUF file: the keys, the tokenizer and the chat template
 * here, the tensors in import_tensors.c. The file appears whole or not at all. */
#include "model/import_parts.h"

#include "base/bytes.h"
#include "base/os.h"
#include "format/json_file.h"
#include "text/chat.h"
#include "text/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IMPORT_NOTE_BYTES    256
#define QUANTIZATION_VERSION 2 /* of ggml's block formats */
#define README_BYTES_MAX     (1u << 20)
#define LICENCE_MAX          64
#define TOKENIZER_CONFIG_MAX (16u << 20)

/* general.file_type of llama.cpp and, for I2_S, of Microsoft's fork; -1 for types that are not
 * ternary's. */
static int file_type_of(tensor_type type) {
    switch (type) {
    case TENSOR_F32:
        return 0;
    case TENSOR_F16:
        return 1;
    case TENSOR_BF16:
        return 32;
    case TENSOR_TQ1_0:
        return 36;
    case TENSOR_TQ2_0:
        return 37;
    case TENSOR_I2_S:
        return 40;
    default:
        return -1;
    }
}

/* The last part of the folder's path. */
static void folder_name(const char *dir, char *name, size_t size) {
    size_t end = strlen(dir);
    while (end > 1 && dir[end - 1] == '/') end--;
    size_t begin = end;
    while (begin && dir[begin - 1] != '/') begin--;
    snprintf(name, size, "%.*s", (int)(end - begin < size ? end - begin : size - 1), dir + begin);
}

static int join(bytes *path, const char *dir, const char *file, weft_error *err) {
    bytes_clear(path);
    if (bytes_printf(path, "%s/%s", dir, file)) return WEFT_OK;
    return err_set(err, WEFT_ERR_MEMORY, "no memory for a path in %s", dir);
}

/* "license: NAME" in the block between two lines "---" that a model card opens with. */
static bool licence_of(const char *text, char name[LICENCE_MAX]) {
    if (strncmp(text, "---\n", 4)) return false;
    for (const char *line = text + 4; *line && strncmp(line, "---", 3);) {
        size_t size = strcspn(line, "\r\n");
        if (!strncmp(line, "license:", 8)) {
            const char *value = line + 8 + strspn(line + 8, " \"'");
            size_t used = strcspn(value, " \"'\r\n");
            snprintf(name, LICENCE_MAX, "%.*s", used < LICENCE_MAX ? (int)used : LICENCE_MAX - 1,
                     value);
            return used > 0;
        }
        line += size;
        line += strspn(line, "\r\n");
    }
    return false;
}

static int put_licence(const importer *im, const char *given, weft_error *err) {
    char name[LICENCE_MAX], *text = NULL;
    bytes path = {0};
    size_t size;
    if (given) {
        gguf_put_cstr(im->w, "general.license", given);
        return WEFT_OK;
    }
    TRY(join(&path, hf_path(im->hf), "README.md", err));
    if (os_is_file(path.data) && !os_read_file(path.data, README_BYTES_MAX, &text, &size, NULL) &&
        licence_of(text, name))
        gguf_put_cstr(im->w, "general.license", name);
    free(text);
    bytes_free(&path);
    return WEFT_OK;
}

/* chat_template is a text, or a list of named ones of which "default" counts. */
static const json_t *default_template(const json_t *value) {
    size_t i;
    json_t *entry;
    if (json_is_string(value)) return value;
    json_array_foreach(value, i, entry) {
        const json_t *name = json_object_get(entry, "name");
        const json_t *text = json_object_get(entry, "template");
        if (json_is_string(name) && json_is_string(text) &&
            !strcmp(json_string_value(name), "default"))
            return text;
    }
    return NULL;
}

static int put_chat_from_config(const importer *im, bytes *path, weft_error *err) {
    json_t *root = NULL;
    TRY(join(path, hf_path(im->hf), "tokenizer_config.json", err));
    if (!os_is_file(path->data)) return WEFT_OK;
    TRY(json_file_read(path->data, TOKENIZER_CONFIG_MAX, &root, err));
    const json_t *text = default_template(json_object_get(root, "chat_template"));
    if (text)
        gguf_put_text(im->w, "tokenizer.chat_template", json_string_value(text),
                      json_string_length(text));
    json_decref(root);
    return WEFT_OK;
}

/* The file of its own is the newer form and goes first. */
static int put_chat(const importer *im, weft_error *err) {
    bytes path = {0};
    char *text = NULL;
    size_t size;
    int rc = join(&path, hf_path(im->hf), "chat_template.jinja", err);
    if (!rc && os_is_file(path.data)) {
        rc = os_read_file(path.data, CHAT_TEMPLATE_BYTES_MAX, &text, &size, err);
        if (!rc) gguf_put_text(im->w, "tokenizer.chat_template", text, size);
    } else if (!rc) {
        rc = put_chat_from_config(im, &path, err);
    }
    free(text);
    bytes_free(&path);
    return rc;
}

static int put_tokenizer(const importer *im, weft_error *err) {
    tokenizer *t = NULL;
    TRY(tokenizer_from_hf(hf_path(im->hf), &t, err));
    int32_t count = tokenizer_vocab_count(t);
    int rc = WEFT_OK;
    if (count > im->cfg.vocab)
        rc =
            err_set(err, WEFT_ERR_FORMAT, "the tokenizer has %d tokens but the embedding only %lld",
                    count, (long long)im->cfg.vocab);
    else
        tokenizer_to_gguf(t, im->w);
    tokenizer_free(&t);
    return rc;
}

/* What weight_scale means depends on the class of the projections; BitLinear is the default. */
static int read_linear_class(importer *im, weft_error *err) {
    const char *class = "bitlinear";
    if (hf_config_has(im->hf, "quantization_config.linear_class"))
        TRY(hf_config_text(im->hf, "quantization_config.linear_class", &class, err));
    im->scale_multiplies = !strcmp(class, "autobitlinear");
    if (im->scale_multiplies || !strcmp(class, "bitlinear")) return WEFT_OK;
    return err_set(err, WEFT_ERR_UNSUPPORTED,
                   "config.json: linear_class is '%.64s': bitlinear and autobitlinear are known",
                   class);
}

static int put_keys(importer *im, const import_options *options, weft_error *err) {
    config_to_gguf(&im->cfg, im->w);
    gguf_put_u32(im->w, "general.file_type", (uint32_t)file_type_of(im->ternary_type));
    gguf_put_u32(im->w, "general.quantization_version", QUANTIZATION_VERSION);
    TRY(put_licence(im, options->license, err));
    TRY(put_tokenizer(im, err));
    return put_chat(im, err);
}

static int convert(importer *im, const char *dir, const char *out_path,
                   const import_options *options, weft_error *err) {
    TRY(hf_dir_open(dir, &im->hf, err));
    TRY(config_from_hf(im->hf, &im->cfg, err));
    TRY(read_linear_class(im, err));
    if (options->name)
        snprintf(im->cfg.name, sizeof im->cfg.name, "%s", options->name);
    else
        folder_name(dir, im->cfg.name, sizeof im->cfg.name);
    TRY(gguf_writer_create(&im->w, err));
    TRY(import_lists_create(im, err));
    TRY(put_keys(im, options, err));
    TRY(import_tensors(im, err));
    return gguf_writer_save(im->w, out_path, err);
}

static void write_note(const importer *im, char *note) {
    if (!note) return;
    note[0] = 0;
    if (im->fallbacks)
        snprintf(note, IMPORT_NOTE_BYTES, "%zu tensors do not fit %s: %s", im->fallbacks,
                 tensor_type_name(im->ternary_type), im->fallback_text);
}

int import_hf(const char *dir, const char *out_path, const import_options *options, char *note,
              weft_error *err) {
    static const import_options none = {.ternary_type = TENSOR_I2_S};
    importer im = {0};
    if (!options) options = &none;
    im.ternary_type = options->ternary_type;
    if (file_type_of(im.ternary_type) < 0)
        return err_set(err, WEFT_ERR_ARGUMENT,
                       "%s cannot hold ternary weights: use i2_s, tq1_0, tq2_0, f16, bf16 or f32",
                       tensor_type_name(im.ternary_type));
    int rc = convert(&im, dir, out_path, options, err);
    if (rc && err && !strstr(err->message, dir)) err_prefix(err, "%s", dir);
    write_note(&im, note);
    gguf_writer_free(&im.w);
    import_lists_free(&im);
    hf_dir_close(&im.hf);
    return rc;
}
