/* weft: where adapters are kept, and the history of runs. A part of <weft.h>, which includes it;
 * the rules at its top hold here. */
#ifndef WEFT_STORE_H
#define WEFT_STORE_H

#include <weft.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Where weft keeps things: $WEFT_HOME, else $XDG_DATA_HOME/weft, else ~/.local/share/weft. Paths of
 * an adapter NAME are made from it and created on demand; nothing else is touched.
 */
typedef struct weft_adapter_paths {
    char dir[1024];        /* STORE/adapters/NAME */
    char peft[1100];       /* DIR/peft: adapter_config.json, adapter_model.safetensors */
    char gguf[1100];       /* DIR/NAME.gguf */
    char checkpoint[1100]; /* DIR/checkpoint.safetensors */
    char run[1100];        /* DIR/run.json: what was asked, for resuming */
} weft_adapter_paths;

/** Names are 1..64 of letters, digits, '.', '_' and '-', not starting with '.'; others are
 * WEFT_ERR_ARGUMENT. */
WEFT_API int weft_store_adapter(const char *name, bool create, weft_adapter_paths *paths,
                                weft_error *err);

/** Names of the stored adapters, one a line, sorted (weft_free); "" if none. */
WEFT_API int weft_store_list(char **names, weft_error *err);

/** Rename an adapter: its folder, and its record if there is one. WEFT_ERR_STATE if there is none
 * of that name, the new name is taken, or a run is at work on it. */
WEFT_API int weft_store_rename(const char *name, const char *new_name, weft_error *err);

/** Delete an adapter's folder and record. The history of its runs stays. WEFT_ERR_STATE as above.
 */
WEFT_API int weft_store_remove(const char *name, weft_error *err);

/* The history in STORE/weft.db: runs, their curves, evaluations, what adapters are. The folders
 * stay the truth about adapters: without this file only history and descriptions are missing. */
typedef struct weft_store weft_store;

/**
 * Open the history, made if there is none. Several processes may have it open; calls wait up to 5
 * seconds for each other.
 *
 * @param store  Receives the handle, for one thread at a time; the caller closes it.
 * @return WEFT_OK; WEFT_ERR_FORMAT (damaged: the message says what to do), _UNSUPPORTED (written by
 * a newer weft), _IO, _MEMORY. All functions below return the same on failure.
 */
WEFT_API int weft_store_open(weft_store **store, weft_error *err);

/** Close it; NULL is allowed. */
WEFT_API void weft_store_close(weft_store **store);

#define WEFT_NAME_BYTES 65 /* of an adapter's name, its NUL included */

typedef struct weft_adapter_record {
    char name[WEFT_NAME_BYTES];
    char description[512];
    char base_model[128];
    uint64_t base_fingerprint; /* weft_model_fingerprint; 0 = unknown */
    int32_t rank;
    float alpha;
    char targets[160];
    char parents[512]; /* what it was continued or blended from, "a:0.7, b:0.3"; "" = nothing */
    int64_t run;       /* that made it; 0 = none */
    int64_t created;   /* seconds since 1970; 0 in a record to be written = now */
} weft_adapter_record;

/** Write or replace the record of an adapter; an empty description keeps the one it had. */
WEFT_API int weft_store_put_adapter(weft_store *store, const weft_adapter_record *record,
                                    weft_error *err);

/** Describe an adapter; one that has no record yet gets one. */
WEFT_API int weft_store_describe(weft_store *store, const char *name, const char *description,
                                 weft_error *err);

/** Fill *record; where there is none only the name is set. */
WEFT_API int weft_store_get_adapter(weft_store *store, const char *name,
                                    weft_adapter_record *record, weft_error *err);

typedef enum weft_run_state {
    WEFT_RUN_RUNNING,
    WEFT_RUN_FINISHED,
    WEFT_RUN_STOPPED_EARLY, /* finished: the held-out loss fell no more */
    WEFT_RUN_INTERRUPTED,   /* by the user, or its process ended without a word */
    WEFT_RUN_FAILED
} weft_run_state;

/* A run of training; it stays one however often it is interrupted and resumed. */
typedef struct weft_run {
    int64_t id;
    int64_t parent; /* the run that made what it began with; 0 = none */
    weft_run_state state;
    char adapter[WEFT_NAME_BYTES];
    char kind[32];        /* of the data */
    char data_path[4096]; /* what is learnt from */
    char device[64];
    char reason[256];       /* of an interruption or failure; "" = none */
    int64_t started, ended; /* seconds since 1970; ended 0 = runs */
    int64_t step, step_count, tokens, best_step, resume_count;
    double seconds;                          /* at work */
    double last_loss, first_eval, best_eval; /* NaN = not measured */
} weft_run;

/* A point of a run's curve; NaN = not measured there. */
typedef struct weft_run_point {
    int64_t step;
    double loss, eval_loss; /* of the data; the second on what is held out */
    double replay_loss, replay_eval_loss;
    double rate, grad_norm, tokens_per_s;
} weft_run_point;

/** "running", "finished", "stopped early", "interrupted" or "failed"; static. */
WEFT_API const char *weft_run_state_name(weft_run_state state);

/**
 * Begin a run, which belongs to this process: when that is gone, the run counts as interrupted.
 *
 * @param run      adapter, parent, kind, data_path, device and step_count are kept.
 * @param options  What was asked, a JSON object; NULL = {}.
 * @param id       Receives the run's number.
 */
WEFT_API int weft_run_begin(weft_store *store, const weft_run *run, const char *options,
                            int64_t *id, weft_error *err);

/** A run goes on, in this process, from a step: points after it were lost and are forgotten. */
WEFT_API int weft_run_resume(weft_store *store, int64_t id, int64_t step, weft_error *err);

/** Add a point, or what was not measured before to the point of that step; tokens and seconds are
 * those of the whole run so far. */
WEFT_API int weft_run_append(weft_store *store, int64_t id, const weft_run_point *point,
                             int64_t tokens, double seconds, weft_error *err);

/** Set the state in which a run ended; reason may be NULL. */
WEFT_API int weft_run_end(weft_store *store, int64_t id, weft_run_state state, const char *reason,
                          weft_error *err);

/** One run; WEFT_ERR_ARGUMENT if there is none of that number. */
WEFT_API int weft_run_get(weft_store *store, int64_t id, weft_run *run, weft_error *err);

/** All runs, in order of number; of one adapter if that is not NULL. The list is the caller's
 * (weft_free). */
WEFT_API int weft_run_list(weft_store *store, const char *adapter, weft_run **runs, size_t *count,
                           weft_error *err);

/** What was asked of a run, a JSON object (weft_free). */
WEFT_API int weft_run_options(weft_store *store, int64_t id, char **options, weft_error *err);

/** The points of a run in order of step (weft_free). */
WEFT_API int weft_run_points(weft_store *store, int64_t id, weft_run_point **points, size_t *count,
                             weft_error *err);

/** Delete a run with its points and evaluations; never an adapter. WEFT_ERR_STATE if it runs. */
WEFT_API int weft_run_delete(weft_store *store, int64_t id, weft_error *err);

/* A figure that was measured: "accuracy", "perplexity" ... */
typedef struct weft_run_value {
    int64_t run; /* 0 = of no run */
    char adapter[WEFT_NAME_BYTES];
    char name[96];
    double value;
    int64_t when; /* seconds since 1970 */
} weft_run_value;

/** Keep a figure of a run, an adapter, or both; `when` 0 = now. */
WEFT_API int weft_store_add_value(weft_store *store, const weft_run_value *value, weft_error *err);

/** Figures in order of time (weft_free): of a run, if that is not 0, else of an adapter. */
WEFT_API int weft_store_values(weft_store *store, int64_t run, const char *adapter,
                               weft_run_value **values, size_t *count, weft_error *err);

#ifdef __cplusplus
}
#endif

#endif
