/* Measuring and showing what adapters changed, for `weft eval` and the end of `weft learn`: right
 * answers, multiple-choice tasks, samples side by side. Each function shows its part on out (NULL =
 * say nothing) and gives the same as JSON, the caller's; *json is NULL where there was nothing to
 * measure. */
#ifndef WEFT_CLI_EVALUATE_H
#define WEFT_CLI_EVALUATE_H

#include "common.h"

#include <jansson.h>
#include <stdio.h>

#define SUBJECTS_MAX (OPTION_LIST_MAX + 2)

/* One that is measured: the plain model (count 0), which comes first, or adapters. */
typedef struct subject {
    char name[300];
    const weft_adapter *const *adapters;
    const float *scales;
    size_t count;
} subject;

typedef struct subject_list {
    subject items[SUBJECTS_MAX];
    size_t count;
} subject_list;

/* The plain model, each adapter of the set, and all together if they are several. The set is
 * borrowed. */
subject_list subjects_of(const adapter_set *set);

/* Accuracy where the data have labels. */
int evaluate_labels(const weft_model *model, const weft_dataset *data, bool held_out,
                    const subject_list *subjects, FILE *out, json_t **json, weft_error *err);

/* A multiple-choice task: a file, or the name of one that comes with weft. With those the loss on
 * general text is measured too, and a verdict says whether adapters forgot what the model knew. */
int evaluate_task(const weft_model *model, const char *task, const subject_list *subjects,
                  FILE *out, json_t **json, weft_error *err);

/* The answers to count prompts of the data, with the same seed for every subject; those to the
 * first show_count are shown. */
typedef struct sample_settings {
    int64_t count, show_count, max_tokens;
    uint64_t seed;
    bool held_out;
} sample_settings;
int evaluate_samples(const weft_model *model, const weft_dataset *data, const sample_settings *s,
                     const subject_list *subjects, FILE *out, json_t **json, weft_error *err);

/* The distance in manner between what the person wrote and each subject's answers, from the JSON of
 * evaluate_samples. */
int evaluate_style(const json_t *samples, const subject_list *subjects, uint64_t seed, FILE *out,
                   json_t **json, weft_error *err);

/* ---- the history ---- */

/* Keep one figure; a NULL store and values that are not finite are left alone. Failure is said, and
 * nothing more comes of it. */
void evaluate_keep(weft_store *store, int64_t run, const char *adapter, const char *name,
                   double value);

/* The history, and the run that made the adapter, if adapter is the name of a stored one; else
 * NULL.
 */
weft_store *evaluate_store(const char *adapter, int64_t *run);

/* Keep what rows (the plain model's first) have under key, for each stored adapter, beside the
 * plain model's. rows may be NULL. */
void evaluate_keep_rows(const json_t *rows, const char *key, const char *name);

/* Show what was kept of an adapter, in order of time. */
int evaluate_show_kept(const char *adapter, FILE *out, weft_error *err);

#endif
