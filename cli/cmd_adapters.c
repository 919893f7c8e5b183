/* weft rename, describe, remove and blend: what is done with adapters once they are learnt. */
#include "commands.h"
#include "common.h"
#include "report.h"

#include "base/os.h"

#include <math.h>
#include <string.h>

/* ---- rename ---- */

static const command_spec rename_command = {
    .name = "rename",
    .arguments = "OLD NEW",
    .summary = "Give an adapter another name. Its history follows it.",
    .options = NULL,
    .option_count = 0,
    .argument_max = 2};

/* Parse a command; false with the exit code in *code if there is nothing more to do. */
static bool parse(const command_spec *command, int argc, char **argv, void *settings,
                  const char **arguments, size_t wanted, int *code) {
    option_outcome outcome = options_parse(command, argc, argv, settings, arguments);
    *code = outcome == OPTIONS_HELP ? report_finish(EXIT_OK) : EXIT_USAGE;
    if (outcome != OPTIONS_GO) return false;
    if (arguments[wanted - 1]) return true;
    report_error("%s: not enough arguments\nusage: weft %s %s", command->name, command->name,
                 command->arguments);
    return false;
}

int cmd_rename(int argc, char **argv) {
    const char *names[2];
    weft_error err;
    int code;
    if (!parse(&rename_command, argc, argv, NULL, names, 2, &code)) return code;
    int rc = weft_store_rename(names[0], names[1], &err);
    if (rc) return fail("rename", rc, &err);
    printf("'%s' is called '%s' now\n", names[0], names[1]);
    return report_finish(EXIT_OK);
}

/* ---- describe ---- */

static const command_spec describe_command = {
    .name = "describe",
    .arguments = "NAME TEXT",
    .summary = "Say what an adapter is for; `weft list` shows it. An empty TEXT takes it away.",
    .options = NULL,
    .option_count = 0,
    .argument_max = 2};

static int describe(const char *name, const char *text, weft_error *err) {
    weft_adapter_paths paths;
    weft_store *store;
    TRY(weft_store_adapter(name, false, &paths, err));
    if (!os_is_dir(paths.dir))
        return err_set(err, WEFT_ERR_STATE,
                       "there is no adapter '%s'; `weft list` shows the stored ones", name);
    TRY(weft_store_open(&store, err));
    int rc = weft_store_describe(store, name, text, err);
    weft_store_close(&store);
    return rc;
}

int cmd_describe(int argc, char **argv) {
    const char *words[2];
    weft_error err;
    int code;
    if (!parse(&describe_command, argc, argv, NULL, words, 2, &code)) return code;
    int rc = describe(words[0], words[1], &err);
    return rc ? fail("describe", rc, &err) : EXIT_OK;
}

/* ---- remove ---- */

typedef struct remove_settings {
    bool yes;
} remove_settings;

static const option_spec remove_table[] = {
    {"yes", 'y', OPTION_FLAG, offsetof(remove_settings, yes), NULL, 0, 0, "without asking", false},
};

static const command_spec remove_command = {
    .name = "remove",
    .arguments = "NAME [--yes]",
    .summary = "Delete an adapter for good. The history of its runs stays (weft runs delete).",
    .options = remove_table,
    .option_count = 1,
    .argument_max = 1};

static bool agreed(const char *name) {
    char line[16];
    printf("delete the adapter '%s' for good? [y/N] ", name);
    fflush(stdout);
    return fgets(line, sizeof line, stdin) && (line[0] == 'y' || line[0] == 'Y');
}

int cmd_remove(int argc, char **argv) {
    remove_settings s = {0};
    const char *name;
    weft_error err;
    int code;
    if (!parse(&remove_command, argc, argv, &s, &name, 1, &code)) return code;
    if (!s.yes && !report_is_terminal(stdin)) {
        report_error("remove: it asks, and nobody is there: give --yes");
        return EXIT_USAGE;
    }
    if (!s.yes && !agreed(name)) return EXIT_FAILED;
    int rc = weft_store_remove(name, &err);
    return rc ? fail("remove", rc, &err) : report_finish(EXIT_OK);
}

/* ---- blend ---- */

typedef struct blend_settings {
    model_settings model;
    const char *name;
    int64_t rank;
    bool json;
} blend_settings;

static const option_spec blend_table[] = {
    {"name", 'n', OPTION_TEXT, offsetof(blend_settings, name), "NAME", 0, 0,
     "what the result is called", false},
    {"rank", 0, OPTION_WHOLE, offsetof(blend_settings, rank), "N", 0, 1024,
     "reduce it to this rank, with the least loss there can be; 0 = exact, the ranks add up",
     false},
    {"json", 0, OPTION_FLAG, offsetof(blend_settings, json), NULL, 0, 0, "one JSON object", false},
    MODEL_OPTIONS(blend_settings, model),
};

static const command_spec blend_command = {
    .name = "blend",
    .arguments = "NAME[:S] NAME[:S] ... --name NEW [--rank N]",
    .summary =
        "Make one adapter of several, each with a strength S (1 = as trained). It answers as\n"
        "they do together, and is faster than they are.",
    .options = blend_table,
    .option_count = sizeof blend_table / sizeof *blend_table,
    .argument_max = OPTION_LIST_MAX};

typedef struct blend_run {
    blend_settings s;
    weft_model *model;
    adapter_set parts;
    weft_adapter *blended;
    weft_adapter_paths paths;
    double error;
} blend_run;

static int keep_record(const blend_run *r, weft_error *err) {
    weft_adapter_info adapter;
    weft_model_info model;
    weft_store *store;
    weft_adapter_get_info(r->blended, &adapter);
    weft_model_get_info(r->model, &model);
    weft_adapter_record record = {.base_fingerprint = weft_model_fingerprint(r->model),
                                  .rank = adapter.rank,
                                  .alpha = adapter.alpha};
    snprintf(record.name, sizeof record.name, "%s", r->s.name);
    snprintf(record.base_model, sizeof record.base_model, "%s", model.name);
    snprintf(record.targets, sizeof record.targets, "%s", adapter.targets);
    for (size_t i = 0; i < r->parts.count; i++) {
        size_t n = strlen(record.parents);
        snprintf(record.parents + n, sizeof record.parents - n, "%s%.60s:%g", i ? ", " : "",
                 r->parts.names[i], (double)r->parts.scales[i]);
    }
    TRY(weft_store_open(&store, err));
    int rc = weft_store_put_adapter(store, &record, err);
    weft_store_close(&store);
    return rc;
}

static int save(blend_run *r, weft_error *err) {
    weft_model_info model;
    weft_model_get_info(r->model, &model);
    TRY(weft_store_adapter(r->s.name, true, &r->paths, err));
    TRY(weft_adapter_save(r->blended, r->model, WEFT_ADAPTER_PEFT, r->paths.peft, model.name, err));
    TRY(weft_adapter_save(r->blended, r->model, WEFT_ADAPTER_GGUF, r->paths.gguf, model.name, err));
    return keep_record(r, err);
}

static int blend(blend_run *r, const char *const *words, weft_error *err) {
    char path[PATH_BYTES];
    TRY(weft_store_adapter(r->s.name, false, &r->paths, err));
    if (os_is_dir(r->paths.dir))
        return err_set(err, WEFT_ERR_STATE,
                       "there is an adapter named '%s': choose another name, or `weft remove` it",
                       r->s.name);
    TRY(model_open(&r->s.model, &r->model, path, err));
    for (size_t i = 0; i < OPTION_LIST_MAX && words[i]; i++)
        TRY(adapters_add(&r->parts, r->model, words[i], err));
    TRY(weft_adapter_blend(r->model, (const weft_adapter *const *)r->parts.items, r->parts.scales,
                           r->parts.count, (int32_t)r->s.rank, &r->blended, &r->error, err));
    return save(r, err);
}

static int show(const blend_run *r) {
    weft_adapter_info info;
    weft_adapter_get_info(r->blended, &info);
    if (r->s.json)
        return report_json(json_pack("{s:s, s:i, s:f, s:s, s:s}", "name", r->s.name, "rank",
                                     (int)info.rank, "relative_error", r->error, "gguf",
                                     r->paths.gguf, "peft", r->paths.peft),
                           false);
    printf("'%s' has the rank %d, ", r->s.name, (int)info.rank);
    if (r->error > 0)
        printf("and differs from the exact blend by %.3g%% (%.2f%% of its energy is kept)\n",
               100 * r->error, 100 * (1 - r->error * r->error));
    else
        printf("exactly the blend\n");
    printf("try it:  weft chat --adapter %s\n", r->s.name);
    return report_finish(EXIT_OK);
}

int cmd_blend(int argc, char **argv) {
    model_settings model = MODEL_SETTINGS_DEFAULT;
    blend_run r = {.s = {.model = model}};
    const char *words[OPTION_LIST_MAX];
    weft_error err;
    int code;
    if (!parse(&blend_command, argc, argv, &r.s, words, 1, &code)) return code;
    if (!r.s.name) {
        report_error("blend: --name is missing: what to call the result");
        return EXIT_USAGE;
    }
    int rc = blend(&r, words, &err);
    code = rc ? fail("blend", rc, &err) : show(&r);
    weft_adapter_free(&r.blended);
    adapters_close(&r.parts);
    weft_model_free(&r.model);
    return code;
}
