/* The history of runs: what is written comes back, processes that are gone, several processes
 * at once, and files that are damaged, foreign or newer. Adapters outlive all of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/os.h"
#include "store/store.h"

#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char home[] = "/tmp/weft-store-XXXXXX", database[64];

static void ok(int rc, const weft_error *err) {
    if (rc) fail_msg("status %d: %s", rc, err->message);
}

static void refused(int rc, int status, const weft_error *err, const char *word) {
    if (rc != status || !strstr(err->message, word))
        fail_msg("status %d (%d expected, '%s'): %s", rc, status, word, err->message);
}

static int empty_store(void **state) {
    (void)state;
    weft_error err;
    ok(os_remove_tree(home, &err), &err);
    return 0;
}

static weft_store *open_store(void) {
    weft_store *s;
    weft_error err;
    ok(weft_store_open(&s, &err), &err);
    return s;
}

static int64_t begin(weft_store *s, const char *adapter, int64_t parent) {
    weft_run run = {.parent = parent, .step_count = 40};
    weft_error err;
    int64_t id;
    snprintf(run.adapter, sizeof run.adapter, "%s", adapter);
    snprintf(run.kind, sizeof run.kind, "mbox");
    snprintf(run.data_path, sizeof run.data_path, "/mail/\xc3\xa4.mbox");
    snprintf(run.device, sizeof run.device, "cpu avx2");
    ok(weft_run_begin(s, &run, "{\"rate\": \"0.001\"}", &id, &err), &err);
    return id;
}

static weft_run get(weft_store *s, int64_t id) {
    weft_run run;
    weft_error err;
    ok(weft_run_get(s, id, &run, &err), &err);
    return run;
}

static void step(weft_store *s, int64_t id, int64_t at, double loss, double eval) {
    weft_error err;
    weft_run_point p = {.step = at,
                        .loss = loss,
                        .eval_loss = eval,
                        .replay_loss = NAN,
                        .replay_eval_loss = NAN,
                        .rate = .001,
                        .grad_norm = 2,
                        .tokens_per_s = 100};
    ok(weft_run_append(s, id, &p, at * 10, (double)at, &err), &err);
}

static void test_a_run(void **state) {
    (void)state;
    weft_store *s = open_store();
    weft_error err;
    weft_run_point *points;
    size_t count;
    char *options;
    int64_t id = begin(s, "bruno", 0);
    step(s, id, 0, NAN, 5);
    for (int i = 1; i <= 4; i++) step(s, id, i, 6 - i, NAN);
    step(s, id, 2, NAN, 3);
    step(s, id, 4, NAN, 4);
    weft_run r = get(s, id);
    assert_int_equal(r.state, WEFT_RUN_RUNNING);
    assert_string_equal(r.adapter, "bruno");
    assert_string_equal(r.kind, "mbox");
    assert_string_equal(r.data_path, "/mail/\xc3\xa4.mbox");
    assert_string_equal(r.device, "cpu avx2");
    assert_int_equal(r.step, 4);
    assert_int_equal(r.step_count, 40);
    assert_int_equal(r.tokens, 40);
    assert_int_equal(r.best_step, 2);
    assert_true(r.first_eval == 5 && r.best_eval == 3 && r.last_loss == 2);
    ok(weft_run_points(s, id, &points, &count, &err), &err);
    assert_int_equal(count, 5);
    assert_true(isnan(points[0].loss) && points[0].eval_loss == 5);
    assert_true(points[2].loss == 4 && points[2].eval_loss == 3 && points[2].grad_norm == 2);
    assert_true(isnan(points[3].eval_loss) && isnan(points[3].replay_loss));
    free(points);
    ok(weft_run_options(s, id, &options, &err), &err);
    assert_string_equal(options, "{\"rate\": \"0.001\"}");
    free(options);
    ok(weft_run_end(s, id, WEFT_RUN_STOPPED_EARLY, NULL, &err), &err);
    r = get(s, id);
    assert_string_equal(weft_run_state_name(r.state), "stopped early");
    assert_true(r.ended >= r.started && r.started > 1600000000);
    weft_store_close(&s);
    assert_null(s);
}

/* Steps that were lost with their process are forgotten when the run goes on. */
static void test_resume_is_the_same_run(void **state) {
    (void)state;
    weft_store *s = open_store();
    weft_error err;
    weft_run_point *points;
    weft_run *runs;
    size_t count;
    int64_t id = begin(s, "bruno", 0);
    for (int i = 1; i <= 9; i++) step(s, id, i, 9 - i, i == 9 ? 1 : i == 5 ? 2 : NAN);
    ok(weft_run_end(s, id, WEFT_RUN_FAILED, "the disk is full", &err), &err);
    assert_string_equal(get(s, id).reason, "the disk is full");
    ok(weft_run_resume(s, id, 6, &err), &err);
    weft_run r = get(s, id);
    assert_int_equal(r.state, WEFT_RUN_RUNNING);
    assert_int_equal(r.resume_count, 1);
    assert_int_equal(r.step, 6);
    assert_int_equal(r.best_step, 5);
    assert_true(r.best_eval == 2 && r.last_loss == 3);
    assert_string_equal(r.reason, "");
    ok(weft_run_points(s, id, &points, &count, &err), &err);
    assert_int_equal(count, 6);
    free(points);
    ok(weft_run_end(s, id, WEFT_RUN_FINISHED, NULL, &err), &err);
    int64_t next = begin(s, "bruno2", id);
    ok(weft_run_list(s, NULL, &runs, &count, &err), &err);
    assert_int_equal(count, 2);
    assert_int_equal(runs[1].parent, id);
    free(runs);
    ok(weft_run_list(s, "bruno2", &runs, &count, &err), &err);
    assert_int_equal(count, 1);
    assert_int_equal(runs[0].id, next);
    free(runs);
    weft_store_close(&s);
}

static void test_killed_process(void **state) {
    (void)state;
    weft_store *s = open_store();
    weft_error err;
    int status;
    weft_store_close(&s);
    pid_t child = fork();
    if (!child) {
        s = open_store();
        step(s, begin(s, "bruno", 0), 1, 3, NAN);
        _exit(0); /* without a word */
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    s = open_store();
    weft_run r = get(s, 1);
    assert_int_equal(r.state, WEFT_RUN_INTERRUPTED);
    assert_non_null(strstr(r.reason, "without a word"));
    assert_true(r.ended >= r.started);
    ok(weft_run_resume(s, 1, 1, &err), &err);
    assert_int_equal(get(s, 1).state, WEFT_RUN_RUNNING);
    weft_store_close(&s);
}

static void test_process_identity(void **state) {
    (void)state;
    char id[OS_PROCESS_BYTES], other[OS_PROCESS_BYTES];
    os_process_id(id);
    assert_true(os_process_runs(id));
    snprintf(other, sizeof other, "%ld:1:another-boot", (long)getpid());
    assert_false(os_process_runs(other));
    assert_false(os_process_runs(""));
    assert_false(os_process_runs("-1:0:"));
}

static void test_deleting(void **state) {
    (void)state;
    weft_store *s = open_store();
    weft_error err;
    weft_run_point *points;
    weft_run_value *values, v = {.value = .75, .adapter = "bruno", .name = "accuracy"};
    size_t count;
    weft_adapter_paths p;
    ok(store_adapter("bruno", true, &p, &err), &err);
    int64_t id = begin(s, "bruno", 0), child = begin(s, "b2", id);
    step(s, id, 1, 2, NAN);
    v.run = id;
    ok(weft_store_add_value(s, &v, &err), &err);
    ok(weft_store_values(s, id, NULL, &values, &count, &err), &err);
    assert_int_equal(count, 1);
    assert_true(values[0].value == .75 && values[0].when > 1600000000);
    assert_string_equal(values[0].name, "accuracy");
    free(values);
    refused(weft_run_delete(s, id, &err), WEFT_ERR_STATE, &err, "stop it first");
    ok(weft_run_end(s, id, WEFT_RUN_FINISHED, NULL, &err), &err);
    ok(weft_run_delete(s, id, &err), &err);
    refused(weft_run_delete(s, id, &err), WEFT_ERR_ARGUMENT, &err, "no run 1");
    refused(weft_run_resume(s, id, 1, &err), WEFT_ERR_ARGUMENT, &err, "no run 1");
    ok(weft_run_points(s, id, &points, &count, &err), &err);
    assert_int_equal(count, 0);
    free(points);
    ok(weft_store_values(s, 0, "bruno", &values, &count, &err), &err);
    assert_int_equal(count, 0);
    free(values);
    assert_int_equal(get(s, child).parent, 0);
    assert_true(os_is_dir(p.dir));
    assert_true(begin(s, "x", 0) > child); /* numbers are not used again */
    weft_store_close(&s);
}

/* ---------------------------------------------------------------- adapters */

static void make_adapter(const char *name, weft_adapter_paths *p) {
    weft_error err;
    ok(store_adapter(name, true, p, &err), &err);
    ok(os_write_file(p->gguf, "x", 1, &err), &err);
}

static void test_adapter_records(void **state) {
    (void)state;
    weft_store *s = open_store();
    weft_error err;
    weft_adapter_record r = {.name = "bruno",
                             .rank = 8,
                             .alpha = 16,
                             .base_model = "weft",
                             .base_fingerprint = UINT64_MAX - 1,
                             .targets = "q_proj"};
    ok(weft_store_describe(s, "bruno", "the captain's mail", &err), &err);
    ok(weft_store_put_adapter(s, &r, &err), &err);
    ok(weft_store_get_adapter(s, "bruno", &r, &err), &err);
    assert_string_equal(r.description, "the captain's mail");
    assert_true(r.base_fingerprint == UINT64_MAX - 1 && r.rank == 8 && r.alpha == 16);
    assert_true(r.created > 1600000000);
    ok(weft_store_get_adapter(s, "nobody", &r, &err), &err);
    assert_string_equal(r.name, "nobody");
    assert_int_equal(r.created, 0);
    refused(weft_store_describe(s, "../x", "", &err), WEFT_ERR_ARGUMENT, &err, "no adapter name");
    char longer[600];
    memset(longer, 'x', sizeof longer);
    longer[599] = '\0';
    refused(weft_store_describe(s, "bruno", longer, &err), WEFT_ERR_RANGE, &err, "511 bytes");
    weft_store_close(&s);
}

static void test_rename_and_remove(void **state) {
    (void)state;
    weft_error err;
    weft_adapter_paths a, b;
    weft_adapter_record r;
    weft_store *s = open_store();
    int lock;
    make_adapter("a", &a);
    make_adapter("b", &b);
    ok(weft_store_describe(s, "a", "first", &err), &err);
    begin(s, "a", 0);
    refused(weft_store_rename("a", "b", &err), WEFT_ERR_STATE, &err, "'b' already");
    refused(weft_store_rename("no", "c", &err), WEFT_ERR_STATE, &err, "no adapter 'no'");
    refused(weft_store_rename("a", "c/d", &err), WEFT_ERR_ARGUMENT, &err, "no adapter name");
    ok(os_lock_dir(a.dir, &lock, &err), &err);
    refused(weft_store_rename("a", "c", &err), WEFT_ERR_STATE, &err, "at work on 'a'");
    refused(weft_store_remove("a", &err), WEFT_ERR_STATE, &err, "at work on 'a'");
    os_unlock_dir(&lock);
    ok(weft_store_rename("a", "c", &err), &err);
    assert_false(os_is_dir(a.dir));
    ok(store_adapter("c", false, &a, &err), &err);
    assert_true(os_is_file(a.gguf));
    ok(weft_store_get_adapter(s, "c", &r, &err), &err);
    assert_string_equal(r.description, "first");
    assert_string_equal(get(s, 1).adapter, "c");
    ok(weft_store_remove("c", &err), &err);
    assert_false(os_is_dir(a.dir));
    ok(weft_store_get_adapter(s, "c", &r, &err), &err);
    assert_string_equal(r.description, "");
    assert_string_equal(get(s, 1).adapter, "c"); /* history stays */
    assert_true(os_is_file(b.gguf));
    weft_store_close(&s);
}

/* ---------------------------------------------------------------- the file */

static void sql(const char *text) {
    sqlite3 *db;
    assert_int_equal(sqlite3_open(database, &db), SQLITE_OK);
    if (sqlite3_exec(db, text, NULL, NULL, NULL)) fail_msg("%s", sqlite3_errmsg(db));
    sqlite3_close(db);
}

static void test_private_file(void **state) {
    (void)state;
    weft_store *s = open_store();
    struct stat file;
    begin(s, "a", 0);
    assert_int_equal(stat(database, &file), 0);
    assert_int_equal(file.st_mode & 0777, 0600);
    char log[80];
    snprintf(log, sizeof log, "%s-wal", database);
    assert_int_equal(stat(log, &file), 0);
    assert_int_equal(file.st_mode & 0777, 0600);
    weft_store_close(&s);
}

/* Whatever the file holds, nothing is lost: it stays as it is, and so do adapters. */
static void test_broken_files(void **state) {
    (void)state;
    weft_store *s;
    weft_error err;
    weft_adapter_paths p;
    os_list list;
    char *text;
    size_t size;
    make_adapter("a", &p);
    ok(os_write_file(database, "this is no database, but it is long enough to be one", 52, &err),
       &err);
    refused(weft_store_open(&s, &err), WEFT_ERR_FORMAT, &err, "move it away");
    assert_null(s);
    ok(os_read_file(database, 100, &text, &size, &err), &err);
    assert_int_equal(size, 52);
    free(text);
    ok(store_list(&list, &err), &err);
    assert_int_equal(list.count, 1);
    os_list_free(&list);
    assert_true(os_is_file(p.gguf));
    unlink(database);
    sql("CREATE TABLE cats(name)");
    refused(weft_store_open(&s, &err), WEFT_ERR_FORMAT, &err, "another program's");
    unlink(database);
    s = open_store();
    weft_store_close(&s);
    sql("PRAGMA user_version = 99");
    refused(weft_store_open(&s, &err), WEFT_ERR_UNSUPPORTED, &err, "newer weft");
    sql("PRAGMA user_version = 1; DROP TABLE runs");
    s = open_store();
    weft_run *runs;
    refused(weft_run_list(s, NULL, &runs, &size, &err), WEFT_ERR_FORMAT, &err, "no such table");
    assert_null(runs);
    weft_store_close(&s);
    unlink(database);
    assert_int_equal(mkdir(database, 0700), 0);
    refused(weft_store_open(&s, &err), WEFT_ERR_IO, &err, "weft.db");
}

/* Damage in the middle of a file that was good. */
static void test_damaged_pages(void **state) {
    (void)state;
    weft_store *s = open_store();
    weft_error err;
    weft_run_point *points;
    size_t count;
    int64_t id = begin(s, "a", 0);
    for (int i = 1; i < 400; i++) step(s, id, i, i, NAN);
    weft_store_close(&s);
    FILE *f = fopen(database, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    long end = ftell(f);
    assert_true(end > 3 * 4096);
    assert_int_equal(fseek(f, 4096, SEEK_SET), 0);
    for (long i = 4096; i < end; i++) fputc(0x5a, f);
    fclose(f);
    int rc = weft_store_open(&s, &err);
    if (!rc) rc = weft_run_points(s, id, &points, &count, &err);
    refused(rc, WEFT_ERR_FORMAT, &err, "damaged");
    weft_store_close(&s);
}

/* A process of its own, from the moment that the pipe's other end is closed. */
static void write_runs(int start, int count) {
    weft_store *s = NULL;
    weft_error err;
    char byte;
    int64_t id;
    int rc = read(start, &byte, 1) == 0 ? weft_store_open(&s, &err)
                                        : err_set(&err, WEFT_ERR_IO, "no start");
    for (int i = 0; !rc && i < count; i++) {
        weft_run run = {.adapter = "a"};
        rc = weft_run_begin(s, &run, NULL, &id, &err);
    }
    if (rc) fprintf(stderr, "a writer %s: %s\n", s ? "at work" : "opening", err.message);
    weft_store_close(&s);
    _exit(rc ? 1 : 0);
}

/* Several processes may make the file at once, and write at once. */
static void write_at_once(void) {
    enum { PROCESSES = 4, RUNS = 25 };
    weft_run *runs;
    weft_error err;
    size_t count;
    int start[2], failed = 0;
    assert_int_equal(pipe(start), 0);
    for (int k = 0; k < PROCESSES; k++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child) continue;
        close(start[1]);
        write_runs(start[0], RUNS);
    }
    close(start[0]);
    close(start[1]);
    for (int k = 0, status; k < PROCESSES; k++) {
        assert_true(wait(&status) > 0);
        failed += status != 0;
    }
    assert_int_equal(failed, 0);
    weft_store *s = open_store();
    ok(weft_run_list(s, "a", &runs, &count, &err), &err);
    assert_int_equal(count, PROCESSES * RUNS);
    free(runs);
    weft_store_close(&s);
}

/* One try seldom meets the moments at which they could get in each other's way. */
static void test_many_writers(void **state) {
    for (int round = 0; round < 10; round++) {
        write_at_once();
        empty_store(state);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_a_run, empty_store),
        cmocka_unit_test_setup(test_resume_is_the_same_run, empty_store),
        cmocka_unit_test_setup(test_killed_process, empty_store),
        cmocka_unit_test(test_process_identity),
        cmocka_unit_test_setup(test_deleting, empty_store),
        cmocka_unit_test_setup(test_adapter_records, empty_store),
        cmocka_unit_test_setup(test_rename_and_remove, empty_store),
        cmocka_unit_test_setup(test_private_file, empty_store),
        cmocka_unit_test_setup(test_broken_files, empty_store),
        cmocka_unit_test_setup(test_damaged_pages, empty_store),
        cmocka_unit_test_setup(test_many_writers, empty_store),
    };
    if (!mkdtemp(home)) return 1;
    setenv("WEFT_HOME", home, 1);
    snprintf(database, sizeof database, "%s/weft.db", home);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    os_remove_tree(home, NULL);
    return failed;
}
