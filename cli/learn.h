/* The parts of `weft learn`: what was asked (learn_options.c), the record of a run that makes it
 * resumable (learn_record.c), the plan (learn_prepare.c), what it shows (learn_show.c), and the run
 * itself (cmd_learn.c). */
#ifndef WEFT_CLI_LEARN_H
#define WEFT_CLI_LEARN_H

#include "common.h"
#include "evaluate.h"
#include "options.h"

#include <jansson.h>
#include <stdio.h>

typedef struct learn_settings {
    model_settings model;
    reading_settings reading;
    const char *name, *targets, *from, *replay;
    int64_t steps, rank, warmup_steps, batch_tokens, accumulate, context, eval_every, patience,
        checkpoint_every, seed, samples, canaries;
    double epochs, rate, alpha, dropout, final_rate, eval_share, clip, weight_decay, beta1, beta2,
        epsilon, replay_share;
    uint64_t memory_bytes;
    int schedule, recompute;
    bool rslora, all_turns, dry_run, resume, force, json, json_lines;
    bool quiet;
} learn_settings;

extern const command_spec learn_command, plan_command; /* with the same options */

learn_settings learn_settings_default(void);
weft_train_options learn_train_options(const learn_settings *s);
weft_dataset_options learn_replay_options(const learn_settings *s);
weft_dataset_options learn_dataset_options(const learn_settings *s);

/* All that a run holds; learn_close frees it. */
typedef struct learn_run {
    learn_settings s;
    const char *path; /* what is learnt from */
    char full_path[PATH_BYTES], model_path[PATH_BYTES];
    char from_path[PATH_BYTES], replay_path[PATH_BYTES]; /* what the settings name, absolute */
    char resume_with[256]; /* the command that goes on with this run */
    weft_adapter_paths paths;
    char own_name[65];             /* made of the path, where no --name was given */
    json_t *record;                /* run.json; NULL where there is none */
    json_t *answers, *sample_rows; /* measured at the end; NULL = not */
    weft_model *model;
    weft_dataset *data, *replay;
    weft_adapter *from;
    weft_trainer *trainer;
    weft_dataset_report report;
    weft_plan plan;
    char choices[256]; /* what was chosen to fit the memory; "" = nothing had to be */
    double tokens_per_s, estimate_s; /* measured before the run; NaN = not */
    uint64_t start_ns;
    int64_t shown_percent;
    weft_store *store; /* the history; NULL = none is kept */
    int64_t run_id;
    double seconds_before; /* at work, before this process */
    bool stopped_early;
    double replay_before, replay_after; /* held-out loss of the replayed text; NaN = none */
    FILE *out; /* for people; NULL = say nothing */
    int lock;
} learn_run;

/* A name for what is learnt from path: "Notes 2026.txt" gives "Notes-2026". False where nothing of
 * the path can be one. */
bool learn_name_of(const char *path, char name[65]);

/* ---- before the run ---- */

/* Read model and data, choose what fits the memory (which may read them again), make the trainer.
 * The settings then hold what was chosen, so that a resumed run does the same. */
int learn_prepare(learn_run *r, weft_error *err);
int learn_estimate(learn_run *r, weft_error *err); /* measure the speed, count the time */
int learn_plan(learn_run *r); /* estimate and show the plan of a prepared run; the exit code */
void learn_close(learn_run *r);

/* ---- the record of a run ---- */

/* Read run.json, if there is one, and refuse what would overwrite or mix up runs. */
int learn_record_read(learn_run *r, weft_error *err);

/* Put the options of the record into settings; texts are borrowed from the record. */
int learn_record_apply(const json_t *record, learn_settings *s, weft_error *err);

bool learn_record_is_done(const json_t *record);

/* Write run.json: state is "running" or "done"; result (borrowed) may be NULL. */
int learn_record_write(learn_run *r, const char *state, json_t *result, weft_error *err);

/* What was asked, by the options' names. */
json_t *learn_options_json(const learn_run *r);

/* ---- the history of runs ---- */

/* Open it and begin a run there, or go on with the one that run.json names. */
int learn_history_open(learn_run *r, weft_error *err);
void learn_history_event(learn_run *r, const weft_train_event *event);
void learn_history_finish(learn_run *r); /* the adapter is saved */
void learn_history_fail(learn_run *r, int status, const weft_error *why);

/* Measure and show what was learnt: right answers, loss, samples, before and after. What cannot be
 * measured is said and left out: the adapter is saved already. */
void learn_measure(learn_run *r);

/* ---- what is shown ---- */

void learn_show_data(const learn_run *r);
void learn_show_replay(const learn_run *r, const weft_dataset_report *report);
void learn_show_plan(const learn_run *r);
int learn_show_event(void *run, const weft_train_event *event); /* a weft_train_callback */
void learn_show_learnt(const learn_run *r);
void learn_show_gain(const learn_run *r);
void learn_show_result(const learn_run *r);
json_t *learn_result_json(const learn_run *r);              /* of a run that ended */
json_t *learn_json(const learn_run *r, const char *state);  /* the whole report */
json_t *learn_data_json(const weft_dataset_report *report); /* also of `weft eval` */

/* The reasons why records were left out, one a line. */
void learn_show_skips(FILE *out, const weft_dataset_report *report);

#endif
