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

/* {"name", "state", "path", "model", "eval_change_percent"}; NULL for a folder that is no run. */
static json_t *describe(const char *name) {
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
    return row;
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
        printf("%-20s %-10s %8s  %s\n", json_string_value(json_object_get(row, "name")),
               json_string_value(json_object_get(row, "state")), change,
               json_string_value(json_object_get(row, "path")));
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
    json_t *rows = json_array();
    char *next = names;
    for (char *name; (name = strsep(&next, "\n"));)
        if (*name) {
            json_t *row = describe(name);
            if (row) json_array_append_new(rows, row);
        }
    weft_free(names);
    if (s.json) return report_json(json_pack("{s:o}", "adapters", rows), false);
    show(rows);
    json_decref(rows);
    return report_finish(EXIT_OK);
}
