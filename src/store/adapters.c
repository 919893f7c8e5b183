/* What is kept about adapters beside their folders, and renaming and removing them. The folder
 * decides whether there is an adapter; the record only describes it. */
#include "base/os.h"
#include "store/db.h"
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- records ---- */

static int64_t now(void) {
    return (int64_t)time(NULL);
}

int weft_store_put_adapter(weft_store *s, const weft_adapter_record *r, weft_error *err) {
    weft_adapter_paths unused;
    TRY(store_adapter(r->name, false, &unused, err));
    return db_run(
        s, err,
        "INSERT INTO adapters(name, description, created, base_model, base_fingerprint, rank,"
        " alpha, targets, parents, run) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT(name) DO UPDATE SET"
        " description = CASE excluded.description WHEN '' THEN description"
        "  ELSE excluded.description END,"
        " created = excluded.created, base_model = excluded.base_model,"
        " base_fingerprint = excluded.base_fingerprint, rank = excluded.rank,"
        " alpha = excluded.alpha, targets = excluded.targets, parents = excluded.parents,"
        " run = excluded.run",
        "ttitiidtti", r->name, r->description, r->created ? r->created : now(), r->base_model,
        (int64_t)r->base_fingerprint, (int64_t)r->rank, (double)r->alpha, r->targets, r->parents,
        r->run);
}

int weft_store_describe(weft_store *s, const char *name, const char *description, weft_error *err) {
    weft_adapter_paths unused;
    TRY(store_adapter(name, false, &unused, err));
    if (strlen(description) >= sizeof((weft_adapter_record *)0)->description)
        return err_set(err, WEFT_ERR_RANGE, "the description is over %zu bytes",
                       sizeof((weft_adapter_record *)0)->description - 1);
    return db_run(s, err,
                  "INSERT INTO adapters(name, description, created) VALUES(?, ?, ?)"
                  " ON CONFLICT(name) DO UPDATE SET description = excluded.description",
                  "tti", name, description, now());
}

static void read_adapter(sqlite3_stmt *q, weft_adapter_record *r) {
    db_text(q, 0, r->description, sizeof r->description);
    r->created = sqlite3_column_int64(q, 1);
    db_text(q, 2, r->base_model, sizeof r->base_model);
    r->base_fingerprint = (uint64_t)sqlite3_column_int64(q, 3);
    r->rank = sqlite3_column_int(q, 4);
    r->alpha = (float)sqlite3_column_double(q, 5);
    db_text(q, 6, r->targets, sizeof r->targets);
    db_text(q, 7, r->parents, sizeof r->parents);
    r->run = sqlite3_column_int64(q, 8);
}

int weft_store_get_adapter(weft_store *s, const char *name, weft_adapter_record *record,
                           weft_error *err) {
    sqlite3_stmt *q;
    bool more = false;
    *record = (weft_adapter_record){0};
    snprintf(record->name, sizeof record->name, "%s", name);
    TRY(db_query(s, &q, err,
                 "SELECT description, created, base_model, base_fingerprint, rank, alpha, targets,"
                 " parents, run FROM adapters WHERE name = ?",
                 "t", name));
    int rc = db_next(s, q, &more, err);
    if (!rc && more) read_adapter(q, record);
    sqlite3_finalize(q);
    return rc;
}

/* ---- folders ---- */

/* The folder of an adapter that exists, held against others. */
static int hold(const char *name, weft_adapter_paths *p, int *lock, weft_error *err) {
    *lock = -1;
    TRY(store_adapter(name, false, p, err));
    if (!os_is_dir(p->dir))
        return err_set(err, WEFT_ERR_STATE,
                       "there is no adapter '%s'; `weft list` shows the stored ones", name);
    int rc = os_lock_dir(p->dir, lock, err);
    if (rc == WEFT_ERR_STATE)
        return err_set(err, rc, "a run is at work on '%s': stop it first", name);
    return rc;
}

static int drop_record(const char *name, weft_error *err) {
    weft_store *s;
    TRY(weft_store_open(&s, err));
    int rc = db_run(s, err, "DELETE FROM adapters WHERE name = ?", "t", name);
    weft_store_close(&s);
    return rc;
}

int weft_store_remove(const char *name, weft_error *err) {
    weft_adapter_paths p;
    int lock;
    TRY(hold(name, &p, &lock, err));
    int rc = os_remove_tree(p.dir, err);
    os_unlock_dir(&lock);
    return rc ? rc : drop_record(name, err);
}

/* The record goes to the new name, and so do unfinished runs, which are resumed by name. */
static int rename_record(const char *name, const char *new_name, weft_error *err) {
    weft_store *s;
    TRY(weft_store_open(&s, err));
    int rc = db_begin(s, err);
    if (!rc) {
        rc = db_run(s, err, "DELETE FROM adapters WHERE name = ?", "t", new_name);
        if (!rc)
            rc =
                db_run(s, err, "UPDATE adapters SET name = ? WHERE name = ?", "tt", new_name, name);
        if (!rc)
            rc = db_run(s, err, "UPDATE runs SET adapter = ? WHERE adapter = ?", "tt", new_name,
                        name);
        if (!rc)
            rc = db_run(s, err, "UPDATE evaluations SET adapter = ? WHERE adapter = ?", "tt",
                        new_name, name);
        rc = db_end(s, rc, err);
    }
    weft_store_close(&s);
    return rc;
}

/* The file takes the new name inside the folder first: an adapter whose folder and file disagree,
 * after a power cut between the two, is still found by its PEFT folder. */
static int rename_folder(const weft_adapter_paths *from, const weft_adapter_paths *to,
                         const char *new_name, weft_error *err) {
    char inside[sizeof from->gguf + 80];
    snprintf(inside, sizeof inside, "%s/%s.gguf", from->dir, new_name);
    if (os_is_file(from->gguf)) TRY(os_rename(from->gguf, inside, err));
    return os_rename(from->dir, to->dir, err);
}

int weft_store_rename(const char *name, const char *new_name, weft_error *err) {
    weft_adapter_paths from, to;
    int lock;
    TRY(store_adapter(new_name, false, &to, err));
    TRY(hold(name, &from, &lock, err));
    int rc = os_is_dir(to.dir)
                 ? err_set(err, WEFT_ERR_STATE, "there is an adapter '%s' already", new_name)
                 : rename_folder(&from, &to, new_name, err);
    os_unlock_dir(&lock);
    return rc ? rc : rename_record(name, new_name, err);
}

/* ---- figures ---- */

int weft_store_add_value(weft_store *s, const weft_run_value *v, weft_error *err) {
    return db_run(s, err,
                  "INSERT INTO evaluations(run, adapter, name, value, at)"
                  " VALUES(nullif(?, 0), ?, ?, ?, ?)",
                  "ittdi", v->run, v->adapter, v->name, v->value, v->when ? v->when : now());
}

static void read_value(sqlite3_stmt *q, void *item) {
    weft_run_value *v = item;
    *v = (weft_run_value){.run = sqlite3_column_int64(q, 0),
                          .value = db_number(q, 3),
                          .when = sqlite3_column_int64(q, 4)};
    db_text(q, 1, v->adapter, sizeof v->adapter);
    db_text(q, 2, v->name, sizeof v->name);
}

int weft_store_values(weft_store *s, int64_t run, const char *adapter, weft_run_value **values,
                      size_t *count, weft_error *err) {
    sqlite3_stmt *q;
    void *items = NULL;
    *values = NULL;
    *count = 0;
    TRY(db_query(s, &q, err,
                 "SELECT run, adapter, name, value, at FROM evaluations"
                 " WHERE CASE ?1 WHEN 0 THEN adapter = ?2 ELSE run = ?1 END ORDER BY at, id",
                 "it", run, adapter ? adapter : ""));
    int rc = db_collect(s, q, sizeof **values, read_value, &items, count, err);
    *values = items;
    return rc;
}
