/* The parts of `weft runs`: what it does (cmd_runs.c) and what it shows (runs_show.c). */
#ifndef WEFT_CLI_RUNS_H
#define WEFT_CLI_RUNS_H

#include "options.h"

#include "base/status.h"

typedef struct runs_settings {
    const char *adapter, *plot;
    int64_t last;
    bool json, ascii, yes;
} runs_settings;

/* Each prints and returns the exit code in *code, or fails. */
int runs_list(weft_store *store, const runs_settings *s, int *code, weft_error *err);
int runs_show(weft_store *store, int64_t id, const runs_settings *s, int *code, weft_error *err);
int runs_compare(weft_store *store, int64_t one, int64_t other, const runs_settings *s, int *code,
                 weft_error *err);

#endif
