/* weft learn: read, plan, train, save. A run that is stopped or killed at any moment leaves either
 * its checkpoint and record, from which --resume goes on, or the finished adapter. */
#include "commands.h"
#include "learn.h"
#include "report.h"

#include "base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* One run a name: the folder's lock ends with the process, however that ends. */
static int take_lock(learn_run *r, weft_error *err) {
    r->lock = open(r->paths.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (r->lock < 0)
        return err_set(err, WEFT_ERR_IO, "cannot open %s: %s", r->paths.dir, strerror(errno));
    if (flock(r->lock, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK)
        return err_set(err, WEFT_ERR_STATE, "another weft is learning '%s' right now", r->s.name);
    return WEFT_OK;
}

/* Delete a file that is not needed any more; one that is not there is as good. */
static int remove_file(const char *path, weft_error *err) {
    if (!unlink(path) || errno == ENOENT) return WEFT_OK;
    return err_set(err, WEFT_ERR_IO, "cannot remove %s: %s", path, strerror(errno));
}

/* Make the run findable before the first step: the folder, the lock, the record. */
static int open_run(learn_run *r, weft_error *err) {
    TRY(weft_store_adapter(r->s.name, true, &r->paths, err));
    TRY(take_lock(r, err));
    if (!r->s.resume) TRY(remove_file(r->paths.checkpoint, err));
    /* A run that was killed before its first checkpoint resumes from the beginning. */
    if (r->s.resume && os_is_file(r->paths.checkpoint)) TRY(weft_trainer_resume(r->trainer, err));
    TRY(learn_history_open(r, err));
    TRY(learn_record_write(r, "running", NULL, err));
    snprintf(r->resume_with, sizeof r->resume_with, "weft learn --name %s --resume", r->s.name);
    return WEFT_OK;
}

static int save(learn_run *r, weft_error *err) {
    const weft_adapter *adapter = weft_trainer_adapter(r->trainer);
    weft_model_info info;
    weft_model_get_info(r->model, &info);
    TRY(weft_adapter_save(adapter, r->model, WEFT_ADAPTER_PEFT, r->paths.peft, info.name, err));
    TRY(weft_adapter_save(adapter, r->model, WEFT_ADAPTER_GGUF, r->paths.gguf, info.name, err));
    learn_history_finish(r);
    learn_show_learnt(r);
    learn_measure(r);
    json_t *result = learn_result_json(r);
    int rc = learn_record_write(r, "done", result, err);
    json_decref(result);
    TRY(rc);
    return remove_file(r->paths.checkpoint, err);
}

static int train_and_save(learn_run *r, weft_error *err) {
    stop_arm();
    TRY(open_run(r, err));
    TRY(learn_estimate(r, err));
    learn_show_plan(r);
    r->start_ns = os_clock_ns();
    TRY(weft_trainer_run(r->trainer, learn_show_event, r, err));
    return save(r, err);
}

static int say_failure(const learn_run *r, int status, const weft_error *err) {
    int code = fail("learn", status, err);
    if (status == WEFT_ERR_NUMERIC)
        fprintf(stderr, "a lower --rate may help; --force starts anew with it\n");
    else if (r->resume_with[0])
        fprintf(stderr, "to go on: %s\n", r->resume_with);
    else if (r->s.resume && status == WEFT_ERR_FORMAT)
        fprintf(stderr, "if it cannot be repaired, --force starts anew\n");
    if (status == WEFT_ERR_INTERRUPTED && (r->s.json || r->s.json_lines))
        report_json(learn_json(r, "interrupted"), r->s.json_lines);
    return code;
}

/* The options of the record first, then those of the command line over them. */
static int parse_again(learn_run *r, int argc, char **argv, const char *argument, weft_error *err) {
    const char *unused;
    if (!r->s.resume) {
        r->path = argument;
        return WEFT_OK;
    }
    learn_settings s = learn_settings_default();
    TRY(learn_record_apply(r->record, &s, err));
    options_parse(&learn_command, argc, argv, &s, &unused);
    r->s = s;
    r->path = argument ? argument : json_string_value(json_object_get(r->record, "path"));
    if (!r->path) return err_set(err, WEFT_ERR_FORMAT, "%s names no data: give PATH", r->paths.run);
    return WEFT_OK;
}

static int run_learn(learn_run *r, int argc, char **argv, const char *argument) {
    weft_error err;
    int rc = r->s.name ? learn_record_read(r, &err) : WEFT_OK;
    if (!rc) rc = parse_again(r, argc, argv, argument, &err);
    if (!rc && r->s.resume && learn_record_is_done(r->record)) {
        fprintf(stderr, "'%s' is finished already; --force learns it anew\n", r->s.name);
        rc = remove_file(r->paths.checkpoint, &err);
        return rc ? fail("learn", rc, &err) : EXIT_OK;
    }
    r->out = r->s.quiet ? NULL : r->s.json || r->s.json_lines ? stderr : stdout;
    if (!rc) rc = learn_prepare(r, &err);
    if (!rc && r->s.dry_run) return learn_plan(r);
    if (!rc) rc = train_and_save(r, &err);
    if (rc) learn_history_fail(r, rc, &err);
    if (rc) return say_failure(r, rc, &err);
    learn_show_result(r);
    if (r->s.json || r->s.json_lines) return report_json(learn_json(r, "done"), r->s.json_lines);
    return report_finish(EXIT_OK);
}

int cmd_learn(int argc, char **argv) {
    learn_run r = {.s = learn_settings_default(),
                   .lock = -1,
                   .shown_percent = -1,
                   .replay_before = NAN,
                   .replay_after = NAN};
    const char *argument, *missing = NULL;
    option_outcome outcome = options_parse(&learn_command, argc, argv, &r.s, &argument);
    if (outcome != OPTIONS_GO) return outcome == OPTIONS_HELP ? report_finish(EXIT_OK) : EXIT_USAGE;
    if (r.s.resume && (r.s.force || r.s.dry_run || !r.s.name))
        missing = "--resume needs --name, and neither --force nor --dry-run";
    else if (!argument && !r.s.resume)
        missing = "PATH is missing: a file or folder to learn from";
    else if (!r.s.name && !r.s.dry_run && !learn_name_of(argument, r.own_name))
        missing = "--name is missing: what to call what is learnt";
    if (missing) {
        report_error("learn: %s\nusage: weft learn %s", missing, learn_command.arguments);
        return EXIT_USAGE;
    }
    if (!r.s.name && !r.s.dry_run) r.s.name = r.own_name;
    int code = run_learn(&r, argc, argv, argument);
    learn_close(&r);
    return code;
}
