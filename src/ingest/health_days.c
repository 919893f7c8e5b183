/* Measurements gathered by day. Counts by several devices of the same steps are not added up: the
 * device that counted most of a day is taken. */
#include "ingest/health_days.h"
#include "ingest/calendar.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_YEAR 1970
#define DAYS_MAX   (366 * 150)
#define UNIT_BYTES 16

/* SUM adds up over the day, RANGE has least, mean and most, MEAN the mean alone; TIME adds up how
 * long records last, in hours, ASLEEP those of sleep that are not spent awake. */
typedef enum way { SUM, RANGE, MEAN, TIME, ASLEEP } way;

static const struct measure {
    const char *type; /* after "HK...TypeIdentifier" */
    way way;
    const char *before, *after; /* of the number and its unit; the unit is left out where after
                                 * begins with '-' */
} measures[] = {
    {"StepCount", SUM, "took", "- steps"},
    {"DistanceWalkingRunning", SUM, "went", " on foot"},
    {"DistanceCycling", SUM, "cycled", ""},
    {"DistanceSwimming", SUM, "swam", ""},
    {"FlightsClimbed", SUM, "climbed", "- floors"},
    {"AppleExerciseTime", SUM, "exercised for", ""},
    {"ActiveEnergyBurned", SUM, "burned", " by moving"},
    {"DietaryEnergyConsumed", SUM, "ate", ""},
    {"DietaryWater", SUM, "drank", " of water"},
    {"DietaryCaffeine", SUM, "had", " of caffeine"},
    {"HeartRate", RANGE, "had a heart rate of", "-"},
    {"RestingHeartRate", MEAN, "had a resting heart rate of", "-"},
    {"HeartRateVariabilitySDNN", MEAN, "had a heart rate variability of", ""},
    {"OxygenSaturation", MEAN, "had a blood oxygen of", ""},
    {"RespiratoryRate", MEAN, "breathed", "- times a minute"},
    {"BloodPressureSystolic", MEAN, "had a systolic blood pressure of", ""},
    {"BloodPressureDiastolic", MEAN, "had a diastolic blood pressure of", ""},
    {"BloodGlucose", MEAN, "had a blood glucose of", ""},
    {"BodyTemperature", MEAN, "had a body temperature of", ""},
    {"BodyMass", MEAN, "weighed", ""},
    {"VO2Max", MEAN, "had a VO2max of", "-"},
    {"MindfulSession", TIME, "was mindful for", ""},
    {"SleepAnalysis", ASLEEP, "slept", ""},
};

enum { MEASURES = sizeof measures / sizeof *measures };

typedef struct tally {
    double sum, least, most;
    uint32_t count;
} tally;

typedef struct day {
    tally tallies[MEASURES][HEALTH_SOURCES_MAX];
    bytes workouts; /* "running (32 min), yoga (20 min)" */
} day;

struct health_days {
    day *days[DAYS_MAX];
    char units[MEASURES][UNIT_BYTES];
    char *sources[HEALTH_SOURCES_MAX];
    int source_count;
};

health_days *health_days_create(void) {
    return calloc(1, sizeof(health_days));
}

void health_days_free(health_days *d) {
    if (!d) return;
    for (int i = 0; i < DAYS_MAX; i++) {
        if (d->days[i]) bytes_free(&d->days[i]->workouts);
        free(d->days[i]);
    }
    for (int i = 0; i < d->source_count; i++) free(d->sources[i]);
    free(d);
}

/* ---- dates ---- */

typedef struct moment {
    int day;        /* from 1 January 1970, where the clock was */
    double seconds; /* from then on, in universal time */
} moment;

/* "2024-03-01 07:12:33 +0100". */
static bool read_moment(const char *text, moment *m) {
    int year, month, day_of_month, hour, minute, second, zone = 0;
    if (sscanf(text, "%4d-%2d-%2d %2d:%2d:%2d %5d", &year, &month, &day_of_month, &hour, &minute,
               &second, &zone) < 6)
        return false;
    bool good = year >= FIRST_YEAR && month >= 1 && month <= 12 && day_of_month >= 1 &&
                day_of_month <= 31 && hour >= 0 && hour < 24 && minute >= 0 && minute < 60 &&
                second >= 0 && second <= 60 && zone > -2400 && zone < 2400;
    if (!good) return false;
    m->day = calendar_day(year, month, day_of_month) - calendar_day(FIRST_YEAR, 1, 1);
    m->seconds = m->day * 86400.0 + hour * 3600 + minute * 60 + second -
                 (zone / 100 * 3600 + zone % 100 * 60);
    return m->day >= 0 && m->day < DAYS_MAX;
}

/* ---- gathering ---- */

static day *day_at(health_days *d, int number) {
    if (!d->days[number]) d->days[number] = calloc(1, sizeof(day));
    return d->days[number];
}

/* The place of a device's name; -1: out of memory. */
static int source_index(health_days *d, const char *name) {
    for (int i = 0; i < d->source_count; i++)
        if (!strcmp(d->sources[i], name)) return i;
    if (d->source_count == HEALTH_SOURCES_MAX) return HEALTH_SOURCES_MAX - 1;
    char *copy = strdup(name);
    if (!copy) return -1;
    d->sources[d->source_count] = copy;
    return d->source_count++;
}

static int measure_of(const char *type) {
    const char *name = strstr(type, "TypeIdentifier");
    if (!name) return -1;
    name += strlen("TypeIdentifier");
    for (int i = 0; i < MEASURES; i++)
        if (!strcmp(measures[i].type, name)) return i;
    return -1;
}

static bool read_number(const char *text, double *value) {
    char *end;
    *value = strtod(text, &end);
    return end != text && !*end && isfinite(*value) && fabs(*value) < 1e12;
}

static void count(tally *t, double value) {
    if (!t->count || value < t->least) t->least = value;
    if (!t->count || value > t->most) t->most = value;
    t->sum += value;
    t->count++;
}

/* A night belongs to the day on which it ends. */
static health_outcome read_value(const health_record *r, way how, moment *when, double *value) {
    moment end;
    if (!read_moment(r->begin, when)) return HEALTH_BAD_DATE;
    if (how != TIME && how != ASLEEP)
        return read_number(r->value, value) ? HEALTH_TAKEN : HEALTH_BAD_VALUE;
    if (!read_moment(r->end, &end)) return HEALTH_BAD_DATE;
    *value = (end.seconds - when->seconds) / 3600;
    if (how == ASLEEP) *when = end;
    return *value >= 0 && *value < 48 ? HEALTH_TAKEN : HEALTH_BAD_VALUE;
}

health_outcome health_days_add(health_days *d, const health_record *r) {
    int i = measure_of(r->type);
    if (i < 0) return HEALTH_UNKNOWN;
    moment when;
    double value;
    way how = measures[i].way;
    if (how == ASLEEP && !strstr(r->value, "Asleep")) return HEALTH_TAKEN; /* in bed, or awake */
    health_outcome outcome = read_value(r, how, &when, &value);
    if (outcome) return outcome;
    if (!d->units[i][0]) snprintf(d->units[i], UNIT_BYTES, "%s", r->unit);
    if (strncmp(d->units[i], r->unit, UNIT_BYTES - 1)) return HEALTH_BAD_UNIT;
    int source = source_index(d, r->source);
    day *at = source < 0 ? NULL : day_at(d, when.day);
    if (!at) return HEALTH_NO_MEMORY;
    count(&at->tallies[i][source], value);
    return HEALTH_TAKEN;
}

/* "HKWorkoutActivityTypeTraditionalStrengthTraining" as "traditional strength training". */
static bool add_activity(bytes *out, const char *type) {
    const char *name = strstr(type, "ActivityType");
    name = name ? name + strlen("ActivityType") : type;
    for (const char *p = name; *p; p++) {
        bool capital = *p >= 'A' && *p <= 'Z';
        if (capital && p > name && !bytes_add_char(out, ' ')) return false;
        if (!bytes_add_char(out, capital ? (char)(*p + 32) : *p)) return false;
    }
    return true;
}

health_outcome health_days_add_workout(health_days *d, const char *type, const char *duration,
                                       const char *unit, const char *begin) {
    moment when;
    double value;
    if (!read_moment(begin, &when)) return HEALTH_BAD_DATE;
    if (!read_number(duration, &value) || strlen(type) > 200) return HEALTH_BAD_VALUE;
    day *at = day_at(d, when.day);
    if (!at) return HEALTH_NO_MEMORY;
    if (at->workouts.size > HEALTH_WORKOUTS_BYTES_MAX) return HEALTH_TAKEN;
    bool ok = (!at->workouts.size || bytes_add_text(&at->workouts, ", ")) &&
              add_activity(&at->workouts, type) &&
              bytes_printf(&at->workouts, " (%.0f %.8s)", value, unit);
    return ok ? HEALTH_TAKEN : HEALTH_NO_MEMORY;
}

/* ---- telling ---- */

/* At most one decimal. */
static bool add_number(bytes *out, double value) {
    double rounded = round(value * 10) / 10;
    return bytes_printf(out, rounded == floor(rounded) ? " %.0f" : " %.1f", rounded);
}

/* Sums: the device that counted most. Others: all devices together. */
static tally total_of(const tally *of_source, way how) {
    tally total = {0};
    for (int s = 0; s < HEALTH_SOURCES_MAX; s++) {
        const tally *t = &of_source[s];
        if (!t->count) continue;
        if (how == RANGE || how == MEAN) {
            if (!total.count || t->least < total.least) total.least = t->least;
            if (!total.count || t->most > total.most) total.most = t->most;
            total.sum += t->sum;
            total.count += t->count;
        } else if (!total.count || t->sum > total.sum) {
            total = *t;
        }
    }
    return total;
}

static bool add_amount(bytes *out, const health_days *d, int i, const tally *t) {
    const struct measure *m = &measures[i];
    const char *unit = d->units[i];
    double mean = t->sum / t->count;
    bool percent = !strcmp(unit, "%");
    if (m->way == RANGE && t->least < t->most)
        return add_number(out, t->least) && bytes_add_text(out, " to") &&
               add_number(out, t->most) && bytes_add_text(out, " (") &&
               bytes_printf(out, "%.0f on average)", mean);
    if (m->way == TIME && t->sum < 1)
        return add_number(out, t->sum * 60) && bytes_add_text(out, " minutes");
    if (m->way == TIME || m->way == ASLEEP)
        return add_number(out, t->sum) && bytes_add_text(out, " hours");
    if (!add_number(out, m->way == SUM ? t->sum : percent ? mean * 100 : mean)) return false;
    if (m->after[0] == '-') return bytes_add_text(out, m->after + 1);
    return bytes_printf(out, "%s%s%s", percent ? "" : " ", !strcmp(unit, "Cal") ? "kcal" : unit,
                        m->after);
}

/* "took 10432 steps"; nothing where the day has no such measurement. */
static bool add_measure(bytes *out, const health_days *d, const day *at, int i) {
    tally t = total_of(at->tallies[i], measures[i].way);
    if (!t.count) return true;
    return bytes_add_text(out, measures[i].before) && add_amount(out, d, i, &t);
}

/* Put the parts together: "a, b and c". */
static bool add_part(bytes *out, bytes *part, bool last) {
    const char *before = out->data[out->size - 1] == 'I' ? " " : last ? " and " : ", ";
    bool ok = !part->size || (bytes_add_text(out, before) && bytes_add_text(out, part->data));
    bytes_clear(part);
    return ok;
}

static bool add_day(bytes *out, const health_days *d, int number) {
    const day *at = d->days[number];
    char date[CALENDAR_DATE_BYTES];
    bytes part = {0}, next = {0};
    calendar_date(number + calendar_day(FIRST_YEAR, 1, 1), date);
    bool ok = bytes_printf(out, "On %s I", date);
    for (int i = 0; ok && i <= MEASURES; i++) {
        if (i < MEASURES)
            ok = add_measure(&next, d, at, i);
        else if (at->workouts.size)
            ok = bytes_printf(&next, "trained: %s", at->workouts.data);
        if (!ok || !next.size) continue;
        ok = add_part(out, &part, false);
        bytes held = part;
        part = next;
        next = held;
    }
    ok = ok && add_part(out, &part, true) && bytes_add_char(out, '.');
    bytes_free(&part);
    bytes_free(&next);
    return ok;
}

int health_days_tell(const health_days *d, records *t) {
    bytes text = {0};
    int rc = WEFT_OK;
    uint64_t number = 0;
    for (int i = 0; !rc && i < DAYS_MAX; i++) {
        if (!d->days[i]) continue;
        bytes_clear(&text);
        rc = add_day(&text, d, i) ? records_sentence(t, text.data, ++number)
                                  : reader_no_memory(t->r);
    }
    bytes_free(&text);
    return rc;
}
