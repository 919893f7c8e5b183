/* weft import and weft export: files of other programs to weft's, and adapters back. */
#include "commands.h"
#include "common.h"
#include "report.h"

#include "base/os.h"

#include <stdlib.h>
#include <string.h>

/* ---- import ---- */

typedef struct import_settings {
    const char *out, *type, *name;
    bool force, json;
} import_settings;

#define PLACE(member) offsetof(import_settings, member)

static const option_spec import_table[] = {
    {"out", 'o', OPTION_TEXT, PLACE(out), "FILE", 0, 0,
     "where to write; without it FOLDER.gguf in the current folder", false},
    {"type", 0, OPTION_TEXT, PLACE(type), "TYPE", 0, 0,
     "encoding of the ternary weights: i2_s, tq1_0, tq2_0, f16, bf16 or f32", false},
    {"name", 0, OPTION_TEXT, PLACE(name), "NAME", 0, 0, "the model's name in the file", false},
    {"force", 0, OPTION_FLAG, PLACE(force), NULL, 0, 0, "replace an existing file", false},
    {"json", 0, OPTION_FLAG, PLACE(json), NULL, 0, 0, "one JSON object", false},
};

static const command_spec import_command = {
    .name = "import",
    .arguments = "DIR [options]",
    .summary = "Make one GGUF file of a Hugging Face folder that holds a BitNet model.",
    .options = import_table,
    .option_count = sizeof import_table / sizeof *import_table,
    .argument_max = 1};

/* "models/bitnet/" -> "bitnet.gguf" */
static int default_out(const char *dir, char out[PATH_BYTES], weft_error *err) {
    char *full = realpath(dir, NULL);
    if (!full) return err_set(err, WEFT_ERR_IO, "there is no folder %s", dir);
    const char *slash = strrchr(full, '/');
    snprintf(out, PATH_BYTES, "%.*s.gguf", PATH_BYTES - 6, slash ? slash + 1 : full);
    free(full);
    return WEFT_OK;
}

static int import(const char *dir, import_settings *s, weft_error *err) {
    char out[PATH_BYTES], note[256], size_text[REPORT_TEXT];
    TRY(default_out(dir, out, err));
    if (s->out) snprintf(out, sizeof out, "%s", s->out);
    if (os_is_file(out) && !s->force)
        return err_set(err, WEFT_ERR_ARGUMENT, "%s exists: choose another --out, or --force", out);
    TRY(weft_import(dir, out, s->type, s->name, note, err));
    os_map map;
    TRY(os_map_open(out, &map, err));
    uint64_t size = map.size;
    os_map_close(&map);
    if (s->json) {
        report_json(
            json_pack("{s:s, s:I, s:s}", "out", out, "size_bytes", (json_int_t)size, "note", note),
            false);
    } else {
        printf("wrote %s (%s)\n", out, report_size(size, size_text));
        if (*note) printf("note: %s\n", note);
    }
    return WEFT_OK;
}

int cmd_import(int argc, char **argv) {
    import_settings s = {0};
    const char *dir;
    weft_error err;
    option_outcome outcome = options_parse(&import_command, argc, argv, &s, &dir);
    if (outcome != OPTIONS_GO) return outcome == OPTIONS_HELP ? report_finish(EXIT_OK) : EXIT_USAGE;
    if (!dir) {
        report_error("import: DIR is missing: a Hugging Face folder\nusage: weft import %s",
                     import_command.arguments);
        return EXIT_USAGE;
    }
    int rc = import(dir, &s, &err);
    return rc ? fail("import", rc, &err) : report_finish(EXIT_OK);
}

/* ---- export ---- */

typedef struct export_settings {
    model_settings model;
    const char *out;
    int format;
    bool force;
} export_settings;

static const option_spec export_table[] = {
    {"out", 'o', OPTION_TEXT, offsetof(export_settings, out), "PATH", 0, 0, "where to write",
     false},
    {"format", 0, OPTION_CHOICE, offsetof(export_settings, format), "gguf|peft", 0, 0,
     "one GGUF file, or a PEFT folder", false},
    {"force", 0, OPTION_FLAG, offsetof(export_settings, force), NULL, 0, 0, "replace what is there",
     false},
    MODEL_OPTIONS(export_settings, model),
};

static const command_spec export_command = {
    .name = "export",
    .arguments = "NAME|PATH --out PATH [options]",
    .summary = "Write an adapter (a stored one, a GGUF file or a PEFT folder) for other programs.",
    .options = export_table,
    .option_count = sizeof export_table / sizeof *export_table,
    .argument_max = 1};

static int export(const char *adapter, const export_settings *s, weft_error *err) {
    char path[PATH_BYTES];
    weft_model *model;
    weft_model_info info;
    adapter_set set = {0};
    if ((os_is_file(s->out) || os_is_dir(s->out)) && !s->force)
        return err_set(err, WEFT_ERR_ARGUMENT, "%s exists: choose another --out, or --force",
                       s->out);
    TRY(model_open(&s->model, &model, path, err));
    weft_model_get_info(model, &info);
    int rc = adapters_add(&set, model, adapter, err);
    if (!rc)
        rc = weft_adapter_save(set.items[0], model,
                               s->format ? WEFT_ADAPTER_PEFT : WEFT_ADAPTER_GGUF, s->out, info.name,
                               err);
    adapters_close(&set);
    weft_model_free(&model);
    if (!rc) printf("wrote %s\n", s->out);
    return rc;
}

int cmd_export(int argc, char **argv) {
    model_settings model = MODEL_SETTINGS_DEFAULT;
    export_settings s = {.model = model};
    const char *adapter;
    weft_error err;
    option_outcome outcome = options_parse(&export_command, argc, argv, &s, &adapter);
    if (outcome != OPTIONS_GO) return outcome == OPTIONS_HELP ? report_finish(EXIT_OK) : EXIT_USAGE;
    if (!adapter || !s.out) {
        report_error("export: %s is missing\nusage: weft export %s", adapter ? "--out" : "NAME",
                     export_command.arguments);
        return EXIT_USAGE;
    }
    int rc = export(adapter, &s, &err);
    return rc ? fail("export", rc, &err) : report_finish(EXIT_OK);
}
