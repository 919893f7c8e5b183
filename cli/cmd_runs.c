/* weft runs: the history of what was learnt: list, show, compare, go on with, delete. */
#include "commands.h"
#include "common.h"
#include "report.h"
#include "runs.h"

#include "base/os.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define RECORD_BYTES_MAX (1u << 20)

#define PLACE(member) offsetof(runs_settings, member)

static const option_spec runs_table[] = {
    {"adapter", 'a', OPTION_TEXT, PLACE(adapter), "NAME", 0, 0, "list only the runs of one adapter",
     false},
    {"last", 'n', OPTION_WHOLE, PLACE(last), "N", 0, 1e9, "list that many; 0 = all", false},
    {"plot", 0, OPTION_TEXT, PLACE(plot), "FILE", 0, 0,
     "show, compare: write the curves to FILE.svg or FILE.png", false},
    {"ascii", 0, OPTION_FLAG, PLACE(ascii), NULL, 0, 0, "draw with plain characters", false},
    {"yes", 'y', OPTION_FLAG, PLACE(yes), NULL, 0, 0, "delete without asking", false},
    {"json", 0, OPTION_FLAG, PLACE(json), NULL, 0, 0, "one JSON object", false},
};

enum { ARGUMENTS = 3 }; /* the word and two numbers */

static const command_spec runs_command = {
    .name = "runs",
    .arguments = "[options]\n"
                 "       weft runs show N [--plot FILE]\n"
                 "       weft runs compare A B [--plot FILE]\n"
                 "       weft runs resume N\n"
                 "       weft runs delete N",
    .summary = "The history of learning: each run with its losses. A run that was interrupted and\n"
               "resumed stays one. Deleting a run leaves its adapter as it is.",
    .options = runs_table,
    .option_count = sizeof runs_table / sizeof *runs_table,
    .argument_max = ARGUMENTS};

static int parse_number(const char *text, int64_t *id, weft_error *err) {
    char *end = NULL;
    errno = 0;
    *id = text ? strtoll(text, &end, 10) : 0;
    if (text && *text && !*end && !errno && *id > 0) return WEFT_OK;
    return err_set(err, WEFT_ERR_ARGUMENT, "'%.40s' is no number of a run; `weft runs` lists them",
                   text ? text : "");
}

/* The run that the adapter's folder can go on with; 0 = none. */
static int64_t unfinished_run(const char *adapter) {
    weft_adapter_paths paths;
    weft_error err;
    char *text = NULL;
    size_t size = 0;
    if (weft_store_adapter(adapter, false, &paths, &err) || !os_is_file(paths.run) ||
        os_read_file(paths.run, RECORD_BYTES_MAX, &text, &size, &err))
        return 0;
    json_t *record = json_loadb(text, size, 0, NULL);
    weft_free(text);
    const char *state = json_string_value(json_object_get(record, "state"));
    bool done = state && !strcmp(state, "done");
    int64_t id = done ? 0 : json_integer_value(json_object_get(record, "run"));
    json_decref(record);
    return id;
}

static int resume(weft_store **store, int64_t id, const runs_settings *s, int *code,
                  weft_error *err) {
    weft_run run;
    TRY(weft_run_get(*store, id, &run, err));
    if (run.state == WEFT_RUN_RUNNING)
        return err_set(err, WEFT_ERR_STATE, "run %lld is at work right now", (long long)id);
    if (run.state == WEFT_RUN_FINISHED || run.state == WEFT_RUN_STOPPED_EARLY)
        return err_set(err, WEFT_ERR_STATE,
                       "run %lld has ended; `weft learn PATH --name NEW --from %s` learns on",
                       (long long)id, run.adapter);
    if (unfinished_run(run.adapter) != id)
        return err_set(err, WEFT_ERR_STATE,
                       "run %lld cannot go on: '%s' was removed or learnt anew since",
                       (long long)id, run.adapter);
    weft_store_close(store);
    char *words[] = {"--name", run.adapter, "--resume", "--json"};
    *code = cmd_learn(s->json ? 4 : 3, words);
    return WEFT_OK;
}

static bool agreed(const weft_run *run, const runs_settings *s) {
    char line[16];
    if (s->yes) return true;
    printf("delete run %lld of '%s' from the history? The adapter stays. [y/N] ",
           (long long)run->id, run->adapter);
    fflush(stdout);
    return fgets(line, sizeof line, stdin) && (line[0] == 'y' || line[0] == 'Y');
}

static int delete_run(weft_store *store, int64_t id, const runs_settings *s, int *code,
                      weft_error *err) {
    weft_run run;
    TRY(weft_run_get(store, id, &run, err));
    if (!s->yes && !report_is_terminal(stdin))
        return err_set(err, WEFT_ERR_ARGUMENT, "deleting asks, and nobody is there: give --yes");
    *code = EXIT_FAILED;
    if (!agreed(&run, s)) return WEFT_OK;
    TRY(weft_run_delete(store, id, err));
    if (s->json)
        *code = report_json(json_pack("{s:I}", "deleted", (json_int_t)id), false);
    else
        *code = report_finish(EXIT_OK);
    return WEFT_OK;
}

static int act(const char *const *words, const runs_settings *s, int *code, weft_error *err) {
    static const char *const known[] = {"list", "show", "compare", "resume", "delete"};
    const char *word = words[0] ? words[0] : "list";
    int64_t one = 0, other = 0;
    size_t which = 0;
    while (which < 5 && strcmp(word, known[which]) != 0) which++;
    if (which == 5) {
        const char *near = options_nearest(word, known, 5);
        return err_set(err, WEFT_ERR_ARGUMENT,
                       "there is no `weft runs %.40s`%s%s: use list, show, compare, resume or "
                       "delete",
                       word, near ? "; perhaps you mean " : "", near ? near : "");
    }
    if (which) TRY(parse_number(words[1], &one, err));
    if (which == 2) TRY(parse_number(words[2], &other, err));
    if (words[which == 2 ? 3 : which ? 2 : 1])
        return err_set(err, WEFT_ERR_ARGUMENT, "one argument too many for `weft runs %s`", word);
    weft_store *store;
    TRY(weft_store_open(&store, err));
    int rc = which == 0   ? runs_list(store, s, code, err)
             : which == 1 ? runs_show(store, one, s, code, err)
             : which == 2 ? runs_compare(store, one, other, s, code, err)
             : which == 3 ? resume(&store, one, s, code, err)
                          : delete_run(store, one, s, code, err);
    weft_store_close(&store);
    return rc;
}

int cmd_runs(int argc, char **argv) {
    runs_settings s = {.last = 20};
    const char *words[ARGUMENTS + 1] = {NULL};
    weft_error err;
    int code = EXIT_OK;
    option_outcome outcome = options_parse(&runs_command, argc, argv, &s, words);
    if (outcome != OPTIONS_GO) return outcome == OPTIONS_HELP ? report_finish(EXIT_OK) : EXIT_USAGE;
    int rc = act(words, &s, &code, &err);
    return rc ? fail("runs", rc, &err) : code;
}
