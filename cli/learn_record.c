/* run.json beside an adapter: what was asked, so that a run can be resumed without repeating it,
 * and in the end what came of it. It is written whole or not at all. */
#include "learn.h"

#include "base/os.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RECORD_BYTES_MAX (1u << 20)

bool learn_record_is_done(const json_t *record) {
    const char *state = json_string_value(json_object_get(record, "state"));
    return state && !strcmp(state, "done");
}

static int load(const char *path, json_t **record, weft_error *err) {
    char *text;
    size_t size;
    json_error_t where;
    *record = NULL;
    if (!os_is_file(path)) return WEFT_OK;
    TRY(os_read_file(path, RECORD_BYTES_MAX, &text, &size, err));
    *record = json_loadb(text, size, 0, &where);
    free(text);
    if (json_is_object(*record)) return WEFT_OK;
    json_decref(*record);
    *record = NULL;
    return err_set(err, WEFT_ERR_FORMAT, "%s is damaged (line %d); --force starts anew", path,
                   where.line);
}

static int refuse_overwriting(const learn_run *r, weft_error *err) {
    const char *name = r->s.name;
    if (r->record && !learn_record_is_done(r->record))
        return err_set(err, WEFT_ERR_STATE,
                       "a run named '%s' is not finished: `weft learn --name %s --resume` goes on, "
                       "--force starts anew",
                       name, name);
    if (r->record || os_is_file(r->paths.gguf))
        return err_set(
            err, WEFT_ERR_STATE,
            "there is an adapter named '%s': choose another name, or --force to learn it "
            "anew",
            name);
    return WEFT_OK;
}

int learn_record_read(learn_run *r, weft_error *err) {
    TRY(weft_store_adapter(r->s.name, false, &r->paths, err));
    int rc = load(r->paths.run, &r->record, err);
    if (rc) return r->s.force ? WEFT_OK : rc;
    if (r->s.resume) {
        if (r->record) return WEFT_OK;
        return err_set(
            err, WEFT_ERR_STATE,
            "there is no unfinished run named '%s': `weft learn PATH --name %s` starts one",
            r->s.name, r->s.name);
    }
    return r->s.force || r->s.dry_run ? WEFT_OK : refuse_overwriting(r, err);
}

int learn_record_apply(const json_t *record, learn_settings *s, weft_error *err) {
    const json_t *options = json_object_get(record, "options");
    for (size_t i = 0; i < learn_command.option_count; i++) {
        const option_spec *o = &learn_command.options[i];
        const char *text = o->name ? json_string_value(json_object_get(options, o->name)) : NULL;
        char why[256] = "";
        if (!text || o->transient || option_set(o, text, s, why)) continue;
        return err_set(err, WEFT_ERR_FORMAT, "the saved option --%s %.200s", o->name, why);
    }
    return WEFT_OK;
}

json_t *learn_options_json(const learn_run *r) {
    json_t *options = json_object();
    char text[PATH_BYTES];
    for (size_t i = 0; i < learn_command.option_count; i++) {
        const option_spec *o = &learn_command.options[i];
        if (o->name && !o->transient && option_text(o, &r->s, text, sizeof text))
            json_object_set_new(options, o->name, json_string(text));
    }
    json_object_set_new(options, "model", json_string(r->model_path));
    return options;
}

static json_t *time_json(void) {
    char text[32];
    time_t now = time(NULL);
    struct tm parts;
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &parts));
    return json_string(text);
}

static json_t *canaries_json(const learn_run *r) {
    json_t *list = json_array();
    for (int64_t i = 0; i < r->s.canaries; i++) {
        char *text = weft_canary((uint64_t)r->s.seed, i);
        if (text) json_array_append_new(list, json_string(text));
        weft_free(text);
    }
    return list;
}

int learn_record_write(learn_run *r, const char *state, json_t *result, weft_error *err) {
    weft_model_info info;
    weft_model_get_info(r->model, &info);
    json_t *old_start = json_object_get(r->record, "started");
    bool go_on = r->s.resume && old_start;
    json_t *record =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:o}", "weft", weft_version(), "name", r->s.name,
                  "state", state, "path", r->full_path, "model", info.name, "started",
                  go_on ? json_incref(old_start) : time_json(), "options", learn_options_json(r));
    if (record && r->run_id) json_object_set_new(record, "run", json_integer(r->run_id));
    if (record && r->s.canaries) json_object_set_new(record, "canaries", canaries_json(r));
    if (record && result) json_object_set(record, "result", result);
    char *text = record ? json_dumps(record, JSON_INDENT(2)) : NULL;
    int rc = text ? os_write_file(r->paths.run, text, strlen(text), err)
                  : err_set(err, WEFT_ERR_ARGUMENT,
                            "%s is not UTF-8 or memory is short; the run "
                            "cannot be recorded",
                            r->full_path);
    free(text);
    json_decref(record);
    return rc;
}
