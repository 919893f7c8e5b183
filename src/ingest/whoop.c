/* The tables of a Whoop export as sentences. */
#include "ingest/whoop.h"

#include <string.h>

static const struct {
    const char *kind, *column; /* a column that only this table has */
    const char *template;
} tables[] = {
    {"whoop (workouts)", "Workout start time",
     "On {Workout start time} I did a workout: {Activity name}[, {Duration (min)} minutes][, a "
     "strain "
     "of {Activity Strain}][, {Energy burned (cal)} kcal][, a heart rate of {Average HR (bpm)} on "
     "average and {Max HR (bpm)} at most]."},
    {"whoop (journal)", "Question text",
     "On {Cycle start time} I answered \"{Question text}\" with {Answered yes}[: {Notes}]."},
    {"whoop (cycles)", "Recovery score %",
     "On {Cycle start time} my recovery was {Recovery score %}%[, with a resting heart rate of "
     "{Resting heart rate (bpm)}][ and a heart rate variability of {Heart rate variability (ms)} "
     "ms][. The day's strain was {Day Strain}][, and I burned {Energy burned (cal)} kcal][. I "
     "slept "
     "{Asleep duration (min)} minutes][, {Deep (SWS) duration (min)} of them deep and {REM "
     "duration "
     "(min)} in REM]."},
    {"whoop (sleeps)", "Sleep onset",
     "From {Sleep onset} to {Wake onset} I slept[ {Asleep duration (min)} minutes][, {Deep (SWS) "
     "duration (min)} of them deep and {REM duration (min)} in REM][, with a sleep performance of "
     "{Sleep performance %}%]."},
};

static int has(const bytes *names, size_t count, const char *name, size_t length) {
    for (size_t i = 0; i < count; i++)
        if (names[i].size == length && !memcmp(names[i].data, name, length)) return 1;
    return 0;
}

/* An older or newer export may lack columns: then the table is read like any other. */
static int has_all(const bytes *names, size_t count, const char *template) {
    for (const char *p = strchr(template, '{'); p; p = strchr(p + 1, '{'))
        if (!has(names, count, p + 1, strcspn(p + 1, "}"))) return 0;
    return 1;
}

const char *whoop_template(const bytes *names, size_t count, const char **kind) {
    if (!has(names, count, "Cycle start time", 16)) return NULL;
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        if (!has(names, count, tables[i].column, strlen(tables[i].column))) continue;
        if (!has_all(names, count, tables[i].template)) continue;
        *kind = tables[i].kind;
        return tables[i].template;
    }
    return NULL;
}
