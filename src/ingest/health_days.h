/* Measurements of a body gathered by day, and each day told in a sentence. */
#ifndef WEFT_INGEST_HEALTH_DAYS_H
#define WEFT_INGEST_HEALTH_DAYS_H

#include "ingest/records.h"

#define HEALTH_SOURCES_MAX        8 /* devices that count the same thing; more count as the last */
#define HEALTH_WORKOUTS_BYTES_MAX 2000 /* of a day's list of them */

typedef struct health_days health_days;

/* Why a measurement was not taken. */
typedef enum health_outcome {
    HEALTH_TAKEN,
    HEALTH_UNKNOWN, /* this type is not summarised */
    HEALTH_BAD_DATE,
    HEALTH_BAD_VALUE,
    HEALTH_BAD_UNIT, /* not the unit that the type had before */
    HEALTH_NO_MEMORY
} health_outcome;

/* One record as it stands in the export; texts that are missing are "". */
typedef struct health_record {
    const char *type; /* "HKQuantityTypeIdentifierStepCount" */
    const char *source, *unit, *value, *begin, *end;
} health_record;

health_days *health_days_create(void); /* NULL: out of memory */
void health_days_free(health_days *d); /* NULL allowed */
health_outcome health_days_add(health_days *d, const health_record *record);
/* A workout ("HKWorkoutActivityTypeRunning", "32.4", "min"). */
health_outcome health_days_add_workout(health_days *d, const char *type, const char *duration,
                                       const char *unit, const char *begin);
/* Tell the days in order: t gathers their sentences. Numbers are those of the days, from 1. */
int health_days_tell(const health_days *d, records *t);

#endif
