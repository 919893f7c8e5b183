/* Figures of stored adapters in the history, to be compared over runs. */
#include "evaluate.h"

#include "report.h"

#include "base/os.h"

#include <math.h>
#include <string.h>
#include <time.h>

void evaluate_keep(weft_store *store, int64_t run, const char *adapter, const char *name,
                   double value) {
    weft_run_value v = {.run = run, .value = value};
    weft_error err;
    if (!store || !isfinite(value)) return;
    snprintf(v.adapter, sizeof v.adapter, "%s", adapter);
    snprintf(v.name, sizeof v.name, "%s", name);
    if (weft_store_add_value(store, &v, &err))
        report_error("'%s' is not kept in the history: %s", name, err.message);
}

weft_store *evaluate_store(const char *adapter, int64_t *run) {
    weft_adapter_paths paths;
    weft_adapter_record record;
    weft_store *store;
    weft_error err;
    *run = 0;
    if (strchr(adapter, '/') || os_is_file(adapter) || os_is_dir(adapter)) return NULL;
    if (weft_store_adapter(adapter, false, &paths, &err) || !os_is_dir(paths.dir)) return NULL;
    if (weft_store_open(&store, &err)) {
        report_error("nothing is kept in the history: %s", err.message);
        return NULL;
    }
    if (!weft_store_get_adapter(store, adapter, &record, &err)) *run = record.run;
    return store;
}

static double number_of(const json_t *row, const char *key) {
    const json_t *value = json_object_get(row, key);
    if (json_is_object(value)) value = json_object_get(value, "value");
    return json_is_number(value) ? json_number_value(value) : NAN;
}

void evaluate_keep_rows(const json_t *rows, const char *key, const char *name) {
    const json_t *row;
    size_t i;
    char text[96];
    double plain = number_of(json_array_get(rows, 0), key);
    json_array_foreach(rows, i, row) {
        const char *adapter = json_string_value(json_object_get(row, "name"));
        int64_t run;
        weft_store *store = i && adapter ? evaluate_store(adapter, &run) : NULL;
        if (!store) continue;
        snprintf(text, sizeof text, "%s, plain model", name);
        evaluate_keep(store, run, adapter, text, plain);
        evaluate_keep(store, run, adapter, name, number_of(row, key));
        weft_store_close(&store);
    }
}

int evaluate_show_kept(const char *adapter, FILE *out, weft_error *err) {
    weft_store *store;
    weft_run_value *values = NULL;
    size_t count = 0;
    TRY(weft_store_open(&store, err));
    int rc = weft_store_values(store, 0, adapter, &values, &count, err);
    if (!rc && !count) fprintf(out, "nothing was measured of '%s' yet\n", adapter);
    for (size_t i = 0; !rc && i < count; i++) {
        char date[32];
        time_t when = (time_t)values[i].when;
        struct tm parts;
        strftime(date, sizeof date, "%Y-%m-%d %H:%M", localtime_r(&when, &parts));
        fprintf(out, "%s  %-24.60s run %-4lld %-40s %.4g\n", date, adapter,
                (long long)values[i].run, values[i].name, values[i].value);
    }
    weft_free(values);
    weft_store_close(&store);
    return rc;
}
