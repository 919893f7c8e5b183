/* The history of runs: one row a run, however often it was interrupted, and its curve. A row that
 * says "running" is believed only while its process lives. */
#include "base/os.h"
#include "store/db.h"

#include <math.h>
#include <string.h>
#include <time.h>

#define RUN_COLUMNS                                                                                \
    "SELECT id, parent, state, adapter, kind, data_path, device, reason, started, ended, step,"    \
    " step_count, tokens, best_step, resume_count, seconds, last_loss, first_eval, best_eval,"     \
    " process, touched FROM runs "

const char *weft_run_state_name(weft_run_state state) {
    static const char *const names[] = {"running", "finished", "stopped early", "interrupted",
                                        "failed"};
    return (unsigned)state < sizeof names / sizeof *names ? names[state] : "unknown";
}

/* ---- reading ---- */

static void read_run(sqlite3_stmt *q, void *item) {
    weft_run *r = item;
    char process[OS_PROCESS_BYTES];
    *r = (weft_run){.id = sqlite3_column_int64(q, 0),
                    .parent = sqlite3_column_int64(q, 1),
                    .state = (weft_run_state)sqlite3_column_int(q, 2),
                    .started = sqlite3_column_int64(q, 8),
                    .ended = sqlite3_column_int64(q, 9),
                    .step = sqlite3_column_int64(q, 10),
                    .step_count = sqlite3_column_int64(q, 11),
                    .tokens = sqlite3_column_int64(q, 12),
                    .best_step = sqlite3_column_int64(q, 13),
                    .resume_count = sqlite3_column_int64(q, 14),
                    .seconds = db_number(q, 15),
                    .last_loss = db_number(q, 16),
                    .first_eval = db_number(q, 17),
                    .best_eval = db_number(q, 18)};
    db_text(q, 3, r->adapter, sizeof r->adapter);
    db_text(q, 4, r->kind, sizeof r->kind);
    db_text(q, 5, r->data_path, sizeof r->data_path);
    db_text(q, 6, r->device, sizeof r->device);
    db_text(q, 7, r->reason, sizeof r->reason);
    db_text(q, 19, process, sizeof process);
    if (r->state != WEFT_RUN_RUNNING || os_process_runs(process)) return;
    r->state = WEFT_RUN_INTERRUPTED;
    r->ended = sqlite3_column_int64(q, 20);
    strcpy(r->reason, "its process ended without a word (killed, or the machine stopped)");
}

int weft_run_list(weft_store *s, const char *adapter, weft_run **runs, size_t *count,
                  weft_error *err) {
    sqlite3_stmt *q;
    void *items = NULL;
    *runs = NULL;
    *count = 0;
    TRY(db_query(s, &q, err, RUN_COLUMNS "WHERE ?1 IS NULL OR adapter = ?1 ORDER BY id", "t",
                 adapter));
    int rc = db_collect(s, q, sizeof **runs, read_run, &items, count, err);
    *runs = items;
    return rc;
}

static int no_such_run(int64_t id, weft_error *err) {
    return err_set(err, WEFT_ERR_ARGUMENT, "there is no run %lld; `weft runs` lists them",
                   (long long)id);
}

int weft_run_get(weft_store *s, int64_t id, weft_run *run, weft_error *err) {
    sqlite3_stmt *q;
    bool more = false;
    TRY(db_query(s, &q, err, RUN_COLUMNS "WHERE id = ?", "i", id));
    int rc = db_next(s, q, &more, err);
    if (!rc && more) read_run(q, run);
    if (!rc && !more) rc = no_such_run(id, err);
    sqlite3_finalize(q);
    return rc;
}

int weft_run_options(weft_store *s, int64_t id, char **options, weft_error *err) {
    sqlite3_stmt *q;
    bool more = false;
    *options = NULL;
    TRY(db_query(s, &q, err, "SELECT options FROM runs WHERE id = ?", "i", id));
    int rc = db_next(s, q, &more, err);
    const char *text = !rc && more ? (const char *)sqlite3_column_text(q, 0) : NULL;
    if (text && !(*options = strdup(text))) rc = err_set(err, WEFT_ERR_MEMORY, "out of memory");
    if (!rc && !more) rc = no_such_run(id, err);
    sqlite3_finalize(q);
    return rc;
}

static void read_point(sqlite3_stmt *q, void *item) {
    *(weft_run_point *)item = (weft_run_point){.step = sqlite3_column_int64(q, 0),
                                               .loss = db_number(q, 1),
                                               .eval_loss = db_number(q, 2),
                                               .replay_loss = db_number(q, 3),
                                               .replay_eval_loss = db_number(q, 4),
                                               .rate = db_number(q, 5),
                                               .grad_norm = db_number(q, 6),
                                               .tokens_per_s = db_number(q, 7)};
}

int weft_run_points(weft_store *s, int64_t id, weft_run_point **points, size_t *count,
                    weft_error *err) {
    sqlite3_stmt *q;
    void *items = NULL;
    *points = NULL;
    *count = 0;
    TRY(db_query(s, &q, err,
                 "SELECT step, loss, eval_loss, replay_loss, replay_eval_loss, rate, grad_norm,"
                 " tokens_per_s FROM metrics WHERE run = ? ORDER BY step",
                 "i", id));
    int rc = db_collect(s, q, sizeof **points, read_point, &items, count, err);
    *points = items;
    return rc;
}

/* ---- writing ---- */

static int64_t now(void) {
    return (int64_t)time(NULL);
}

int weft_run_begin(weft_store *s, const weft_run *r, const char *options, int64_t *id,
                   weft_error *err) {
    char process[OS_PROCESS_BYTES];
    os_process_id(process);
    *id = 0;
    TRY(db_run(s, err,
               "INSERT INTO runs(parent, state, adapter, kind, data_path, device, started, ended,"
               " step, step_count, tokens, resume_count, seconds, options, process, touched)"
               " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, 0, ?8, 0, 0, 0, ?9, ?10, ?7)",
               "iittttiitt", r->parent, (int64_t)WEFT_RUN_RUNNING, r->adapter, r->kind,
               r->data_path, r->device, now(), r->step_count, options ? options : "{}", process));
    *id = sqlite3_last_insert_rowid(s->db);
    return WEFT_OK;
}

/* What the row says of the curve follows from the curve. */
static int summarise(weft_store *s, int64_t id, weft_error *err) {
    return db_run(
        s, err,
        "UPDATE runs SET"
        " last_loss = (SELECT loss FROM metrics WHERE run = ?1 AND loss IS NOT NULL"
        "  ORDER BY step DESC LIMIT 1),"
        " first_eval = (SELECT eval_loss FROM metrics WHERE run = ?1 AND eval_loss IS NOT NULL"
        "  ORDER BY step LIMIT 1),"
        " best_eval = (SELECT min(eval_loss) FROM metrics WHERE run = ?1 AND eval_loss IS NOT"
        "  NULL),"
        " best_step = (SELECT step FROM metrics WHERE run = ?1 AND eval_loss IS NOT NULL"
        "  ORDER BY eval_loss, step LIMIT 1)"
        " WHERE id = ?1",
        "i", id);
}

static int check_changed(weft_store *s, int64_t id, weft_error *err) {
    return sqlite3_changes(s->db) ? WEFT_OK : no_such_run(id, err);
}

static int resume(weft_store *s, int64_t id, int64_t step, weft_error *err) {
    char process[OS_PROCESS_BYTES];
    os_process_id(process);
    TRY(db_run(s, err,
               "UPDATE runs SET state = ?, reason = NULL, ended = 0, step = ?, process = ?,"
               " touched = ?, resume_count = resume_count + 1 WHERE id = ?",
               "iitii", (int64_t)WEFT_RUN_RUNNING, step, process, now(), id));
    TRY(check_changed(s, id, err));
    TRY(db_run(s, err, "DELETE FROM metrics WHERE run = ? AND step > ?", "ii", id, step));
    return summarise(s, id, err);
}

int weft_run_resume(weft_store *s, int64_t id, int64_t step, weft_error *err) {
    TRY(db_begin(s, err));
    return db_end(s, resume(s, id, step, err), err);
}

static int append(weft_store *s, int64_t id, const weft_run_point *p, int64_t tokens,
                  double seconds, weft_error *err) {
    TRY(db_run(s, err,
               "UPDATE runs SET step = ?, tokens = ?, seconds = ?, touched = ? WHERE id = ?",
               "iidii", p->step, tokens, seconds, now(), id));
    TRY(check_changed(s, id, err));
    TRY(db_run(s, err,
               "INSERT INTO metrics(run, step, loss, eval_loss, replay_loss, replay_eval_loss,"
               " rate, grad_norm, tokens_per_s) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)"
               " ON CONFLICT(run, step) DO UPDATE SET"
               " loss = coalesce(excluded.loss, loss),"
               " eval_loss = coalesce(excluded.eval_loss, eval_loss),"
               " replay_loss = coalesce(excluded.replay_loss, replay_loss),"
               " replay_eval_loss = coalesce(excluded.replay_eval_loss, replay_eval_loss),"
               " rate = coalesce(excluded.rate, rate),"
               " grad_norm = coalesce(excluded.grad_norm, grad_norm),"
               " tokens_per_s = coalesce(excluded.tokens_per_s, tokens_per_s)",
               "iiddddddd", id, p->step, p->loss, p->eval_loss, p->replay_loss, p->replay_eval_loss,
               p->rate, p->grad_norm, p->tokens_per_s));
    return summarise(s, id, err);
}

int weft_run_append(weft_store *s, int64_t id, const weft_run_point *point, int64_t tokens,
                    double seconds, weft_error *err) {
    TRY(db_begin(s, err));
    return db_end(s, append(s, id, point, tokens, seconds, err), err);
}

int weft_run_end(weft_store *s, int64_t id, weft_run_state state, const char *reason,
                 weft_error *err) {
    TRY(db_run(s, err,
               "UPDATE runs SET state = ?1, reason = ?2, ended = ?3, touched = ?3 WHERE id = ?4",
               "itii", (int64_t)state, reason, now(), id));
    return check_changed(s, id, err);
}

static int delete_run(weft_store *s, int64_t id, weft_error *err) {
    weft_run run;
    TRY(weft_run_get(s, id, &run, err));
    if (run.state == WEFT_RUN_RUNNING)
        return err_set(err, WEFT_ERR_STATE, "run %lld is at work: stop it first", (long long)id);
    /* What was learnt from it forgets its parent, not itself. */
    TRY(db_run(s, err, "UPDATE runs SET parent = 0 WHERE parent = ?", "i", id));
    TRY(db_run(s, err, "UPDATE adapters SET run = 0 WHERE run = ?", "i", id));
    return db_run(s, err, "DELETE FROM runs WHERE id = ?", "i", id);
}

int weft_run_delete(weft_store *s, int64_t id, weft_error *err) {
    TRY(db_begin(s, err));
    return db_end(s, delete_run(s, id, err), err);
}
