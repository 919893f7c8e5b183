/* Finding and loading models and adapters; signals. */
#include "common.h"

#include "commands.h"
#include "report.h"

#include "base/os.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_MODEL "weft-42m.gguf"

/* ---- models ---- */

/* The folder of the running program, where the system tells it; else ".". */
static void program_folder(char folder[PATH_BYTES]) {
    ssize_t n = readlink("/proc/self/exe", folder, PATH_BYTES - 1);
    folder[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(folder, '/');
    if (slash)
        *slash = '\0';
    else
        strcpy(folder, ".");
}

int model_find(const char *given, char path[PATH_BYTES], weft_error *err) {
    const char *variable = getenv("WEFT_MODEL");
    char program[PATH_BYTES];
    if (!given && variable && *variable) given = variable;
    if (given) {
        if (os_is_dir(given))
            return err_set(err, WEFT_ERR_IO,
                           "%s is a folder; `weft import %s` makes a model file of it", given,
                           given);
        if (snprintf(path, PATH_BYTES, "%s", given) >= PATH_BYTES)
            return err_set(err, WEFT_ERR_RANGE, "the model's path is too long");
        return WEFT_OK;
    }
    program_folder(program);
    const char *const places[][2] = {{"models", ""},
                                     {WEFT_SOURCE_DIR, "/models"},
                                     {WEFT_DATA_DIR, "/models"},
                                     {program, ""},
                                     {program, "/../share/weft/models"}};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        int n = snprintf(path, PATH_BYTES, "%s%s/" DEFAULT_MODEL, places[i][0], places[i][1]);
        if (n < PATH_BYTES && os_is_file(path)) return WEFT_OK;
    }
    return err_set(err, WEFT_ERR_IO,
                   "no model found: give --model FILE or set WEFT_MODEL (looked for " DEFAULT_MODEL
                   " in ./models, " WEFT_SOURCE_DIR "/models, " WEFT_DATA_DIR "/models and %s)",
                   program);
}

/* $XDG_CACHE_HOME/weft or ~/.cache/weft; "" where neither is set: nothing is kept then. */
static void cache_folder(char folder[PATH_BYTES]) {
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int n = 0;
    folder[0] = '\0';
    if (cache && *cache)
        n = snprintf(folder, PATH_BYTES, "%s/weft", cache);
    else if (home && *home)
        n = snprintf(folder, PATH_BYTES, "%s/.cache/weft", home);
    if (n >= PATH_BYTES) folder[0] = '\0';
}

weft_model_options model_options(const model_settings *s, char cache_dir[PATH_BYTES]) {
    cache_folder(cache_dir);
    return (weft_model_options){.thread_count = (int)s->threads,
                                .cpu_mask = (uint32_t)s->cpu_mask,
                                .smooth = s->activations == 1,
                                .packing = (weft_packing)s->packing,
                                .device = s->device,
                                .gpu = {.max_buffer_bytes = s->max_buffer,
                                        .tier_max = s->gpu_tier,
                                        .validate = s->vulkan_validation,
                                        .profile = s->gpu_profile,
                                        .cache_dir = cache_dir[0] ? cache_dir : NULL}};
}

int model_open(const model_settings *s, weft_model **model, char path[PATH_BYTES],
               weft_error *err) {
    char cache_dir[PATH_BYTES];
    *model = NULL;
    TRY(model_find(s->path, path, err));
    weft_model_options options = model_options(s, cache_dir);
    return weft_model_load(path, &options, model, err);
}

/* ---- data ---- */

weft_dataset_options reading_options(const reading_settings *s) {
    weft_dataset_options options = WEFT_DATASET_OPTIONS_DEFAULT;
    options.as = s->as;
    options.owner = s->owner;
    options.sentence = s->sentence;
    options.learn = (weft_learn)s->learn;
    options.redact = s->redact;
    options.keep_duplicates = s->keep_duplicates;
    return options;
}

/* ---- adapters ---- */

int adapter_find(const char *text, char path[PATH_BYTES], weft_error *err) {
    weft_adapter_paths paths;
    if (os_is_file(text) || os_is_dir(text)) {
        if (snprintf(path, PATH_BYTES, "%s", text) >= PATH_BYTES)
            return err_set(err, WEFT_ERR_RANGE, "the adapter's path is too long");
        return WEFT_OK;
    }
    if (strchr(text, '/')) return err_set(err, WEFT_ERR_IO, "there is no adapter at %s", text);
    TRY(weft_store_adapter(text, false, &paths, err));
    const char *found = os_is_file(paths.gguf)  ? paths.gguf
                        : os_is_dir(paths.peft) ? paths.peft
                                                : NULL;
    if (!found)
        return err_set(
            err, WEFT_ERR_IO,
            os_is_file(paths.run)
                ? "adapter '%s' is not finished; `weft learn --name %s --resume` goes on"
                : "there is no adapter '%s' (file, folder or name); `weft list` shows the "
                  "stored ones, `weft learn PATH --name %s` makes one",
            text, text);
    snprintf(path, PATH_BYTES, "%s", found);
    return WEFT_OK;
}

float adapter_split_scale(char *text) {
    char *colon = strrchr(text, ':'), *end;
    if (!colon || !colon[1] || os_is_file(text) || os_is_dir(text)) return 1.0f;
    double scale = strtod(colon + 1, &end);
    if (*end || !isfinite(scale)) return 1.0f;
    *colon = '\0';
    return (float)scale;
}

int adapters_add(adapter_set *set, const weft_model *model, const char *text, weft_error *err) {
    char name[PATH_BYTES], path[PATH_BYTES];
    if (set->count == OPTION_LIST_MAX)
        return err_set(err, WEFT_ERR_RANGE, "at most %d adapters at once", OPTION_LIST_MAX);
    if (snprintf(name, sizeof name, "%s", text) >= PATH_BYTES)
        return err_set(err, WEFT_ERR_RANGE, "the adapter's path is too long");
    set->scales[set->count] = adapter_split_scale(name);
    snprintf(set->names[set->count], sizeof set->names[0], "%.255s", name);
    TRY(adapter_find(name, path, err));
    TRY(weft_adapter_load(model, path, &set->items[set->count], err));
    set->count++;
    return WEFT_OK;
}

int adapters_open(adapter_set *set, const weft_model *model, const option_list *list,
                  weft_error *err) {
    for (size_t i = 0; i < list->count; i++) TRY(adapters_add(set, model, list->items[i], err));
    return WEFT_OK;
}

void adapters_close(adapter_set *set) {
    for (size_t i = 0; i < set->count; i++) weft_adapter_free(&set->items[i]);
    set->count = 0;
}

/* ---- stopping ---- */

static volatile sig_atomic_t stopped;

static void on_signal(int signal_number) {
    stopped = signal_number;
}

void stop_arm(void) {
    /* The second signal meets the default action, so that a stuck program can be ended. System
     * calls are not restarted: waiting for input ends. */
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    sigemptyset(&action.sa_mask);
    stopped = 0;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

int stop_requested(void) {
    return stopped;
}

int fail(const char *command, int status, const weft_error *err) {
    report_error("%s: %s", command, err->message);
    return status == WEFT_ERR_INTERRUPTED ? EXIT_INTERRUPTED : EXIT_FAILED;
}
