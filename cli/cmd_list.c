/* weft list: the adapters in the store, finished and unfinished. */
#include "commands.h"
#include "common.h"
#include "report.h"

#include "base/os.h"

#include <string.h>

#define RECORD_BYTES_MAX (1u << 20)

typedef struct list_settings {
    bool json;
} list_settings;

static const option_spec list_table[] = {
    {"json", 0, OPTION_FLAG, offsetof(list_settings, json), NULL, 0, 0, "one JSON object", false},
};

static const command_spec list_command = {
    .name = "list",
    .arguments = "[options]",
    .summary = "Show the adapters that were learnt, what from, and what they gained.",
    .options = list_table,
    .option_count = 1,
    .argument_max = 0};

/* What the history knows about an adapter; without one the row stays as it is. */
static void add_record(weft_store *store, const char *name, json_t *row) {
    weft_adapter_record r;
    weft_error err;
    if (!store || weft_store_get_adapter(store, name, &r, &err)) return;
    json_t *more =
        json_pack("{s:s*, s:s*, s:i, s:f, s:s, s:I, s:I}", "description", r.description, "parents",
                  r.parents, "rank", (int)r.rank, "alpha", (double)r.alpha, "targets", r.targets,
                  "run", (json_int_t)r.run, "created", (json_int_t)r.created);
    json_object_update(row, more);
    json_decref(more);
    const char *model = json_string_value(json_object_get(row, "model"));
    if (model && !*model && *r.base_model)
        json_object_set_new(row, "model", json_string(r.base_model));
}

/* {"name", "state", "path", "model", "eval_change_percent", and what the history adds}; NULL for a
 * folder that is no run. */
static json_t *describe(weft_store *store, const char *name) {
    weft_adapter_paths p;
    weft_error err;
    char *text = NULL;
    size_t size = 0;
    if (weft_store_adapter(name, false, &p, &err)) return NULL;
    if (!os_is_file(p.run) && !os_is_file(p.gguf)) return NULL;
    json_t *record = NULL;
    if (!os_read_file(p.run, RECORD_BYTES_MAX, &text, &size, &err))
        record = json_loadb(text, size, 0, NULL);
    weft_free(text);
    const char *state = json_string_value(json_object_get(record, "state"));
    const char *path = json_string_value(json_object_get(record, "path"));
    const char *model = json_string_value(json_object_get(record, "model"));
    const json_t *gain = json_object_get(json_object_get(record, "result"), "eval_change_percent");
    bool done = state ? !strcmp(state, "done") : os_is_file(p.gguf);
    json_t *row = json_pack(
        "{s:s, s:s, s:s, s:s, s:o, s:s}", "name", name, "state", done ? "done" : "unfinished",
        "path", path ? path : "", "model", model ? model : "", "eval_change_percent",
        json_is_number(gain) ? json_real(json_number_value(gain)) : json_null(), "gguf", p.gguf);
    json_decref(record);
    add_record(store, name, row);
    return row;
}

static const char *text_of(const json_t *row, const char *key) {
    const char *text = json_string_value(json_object_get(row, key));
    return text ? text : "";
}

static void show(const json_t *rows) {
    const json_t *row;
    size_t i;
    if (!json_array_size(rows)) printf("nothing is learnt yet: weft learn PATH --name NAME\n");
    json_array_foreach(rows, i, row) {
        const json_t *gain = json_object_get(row, "eval_change_percent");
        char change[REPORT_TEXT] = "";
        if (json_is_number(gain))
            snprintf(change, sizeof change, "%+.1f%%", json_number_value(gain));
        const char *path = text_of(row, "path"), *parents = text_of(row, "parents");
        printf("%-20s %-10s %8s  %s%s\n", text_of(row, "name"), text_of(row, "state"), change, path,
               *path ? "" : parents);
        if (*text_of(row, "description"))
            printf("%s    %s%s\n", report_dim(stdout), text_of(row, "description"),
                   report_plain(stdout));
    }
}

int cmd_list(int argc, char **argv) {
    list_settings s = {0};
    weft_error err;
    char *names;
    option_outcome outcome = options_parse(&list_command, argc, argv, &s, NULL);
    if (outcome != OPTIONS_GO) return outcome == OPTIONS_HELP ? report_finish(EXIT_OK) : EXIT_USAGE;
    int rc = weft_store_list(&names, &err);
    if (rc) return fail("list", rc, &err);
    weft_store *store = NULL;
    if (*names && weft_store_open(&store, &err)) report_error("list: %s", err.message);
    json_t *rows = json_array();
    char *next = names;
    for (char *name; (name = strsep(&next, "\n"));)
        if (*name) {
            json_t *row = describe(store, name);
            if (row) json_array_append_new(rows, row);
        }
    weft_free(names);
    weft_store_close(&store);
    if (s.json) return report_json(json_pack("{s:o}", "adapters", rows), false);
    show(rows);
    json_decref(rows);
    return report_finish(EXIT_OK);
}
