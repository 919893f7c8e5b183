/* The database file. It may be opened by several processes (a write-ahead log; waiting up to 5 s),
 * and is made and moved to the present tables in one transaction. A file that is damaged, foreign
 * or newer than this program is refused and left as it is. */
#include "store/db.h"

#include "base/os.h"
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUSY_MS        5000
#define APPLICATION_ID 0x57454654 /* "WEFT" */

/* What brings the tables from version i to i + 1. Never changed once released: only added to. */
static const char *const migrations[] = {
    "PRAGMA application_id = 1464157780;"
    "CREATE TABLE adapters ("
    " name TEXT PRIMARY KEY, description TEXT NOT NULL DEFAULT '', created INTEGER NOT NULL,"
    " base_model TEXT NOT NULL DEFAULT '', base_fingerprint INTEGER NOT NULL DEFAULT 0,"
    " rank INTEGER NOT NULL DEFAULT 0, alpha REAL NOT NULL DEFAULT 0,"
    " targets TEXT NOT NULL DEFAULT '', parents TEXT NOT NULL DEFAULT '',"
    " run INTEGER NOT NULL DEFAULT 0);"
    "CREATE TABLE runs ("
    " id INTEGER PRIMARY KEY AUTOINCREMENT, parent INTEGER NOT NULL, state INTEGER NOT NULL,"
    " adapter TEXT NOT NULL, kind TEXT NOT NULL, data_path TEXT NOT NULL, device TEXT NOT NULL,"
    " reason TEXT, started INTEGER NOT NULL, ended INTEGER NOT NULL, step INTEGER NOT NULL,"
    " step_count INTEGER NOT NULL, tokens INTEGER NOT NULL, best_step INTEGER,"
    " resume_count INTEGER NOT NULL, seconds REAL NOT NULL, last_loss REAL, first_eval REAL,"
    " best_eval REAL, options TEXT NOT NULL, process TEXT NOT NULL, touched INTEGER NOT NULL);"
    "CREATE TABLE metrics ("
    " run INTEGER NOT NULL REFERENCES runs(id) ON DELETE CASCADE, step INTEGER NOT NULL,"
    " loss REAL, eval_loss REAL, replay_loss REAL, replay_eval_loss REAL, rate REAL,"
    " grad_norm REAL, tokens_per_s REAL, PRIMARY KEY (run, step)) WITHOUT ROWID;"
    "CREATE INDEX evaluated ON metrics(run, step, eval_loss) WHERE eval_loss IS NOT NULL;"
    "CREATE TABLE evaluations ("
    " id INTEGER PRIMARY KEY, run INTEGER REFERENCES runs(id) ON DELETE CASCADE,"
    " adapter TEXT NOT NULL, name TEXT NOT NULL, value REAL, at INTEGER NOT NULL);",
};
enum { VERSION = sizeof migrations / sizeof *migrations };

int db_fail(const weft_store *s, weft_error *err) {
    const char *why = sqlite3_errmsg(s->db);
    switch (sqlite3_errcode(s->db) & 0xff) {
    case SQLITE_NOMEM:
        return err_set(err, WEFT_ERR_MEMORY, "out of memory for %s", s->path);
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
    case SQLITE_ERROR: /* a table is missing or not ours */
        return err_set(err, WEFT_ERR_FORMAT,
                       "the history %s is damaged (%s): move it away and weft begins a new one; "
                       "adapters lie in folders beside it and are not touched",
                       s->path, why);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return err_set(err, WEFT_ERR_STATE, "the history %s is held by another program", s->path);
    case SQLITE_FULL:
    case SQLITE_IOERR:
    case SQLITE_READONLY:
        return err_set(err, WEFT_ERR_IO, "cannot write the history %s: %s", s->path, why);
    default:
        return err_set(err, WEFT_ERR_IO, "cannot use the history %s: %s", s->path, why);
    }
}

/* ---- statements ---- */

static int bind(sqlite3_stmt *statement, const char *format, va_list args) {
    int rc = SQLITE_OK;
    for (int i = 1; !rc && *format; i++, format++) {
        if (*format == 'i') {
            rc = sqlite3_bind_int64(statement, i, va_arg(args, int64_t));
        } else if (*format == 't') {
            rc = sqlite3_bind_text(statement, i, va_arg(args, const char *), -1, SQLITE_TRANSIENT);
        } else {
            double value = va_arg(args, double);
            if (!isnan(value)) rc = sqlite3_bind_double(statement, i, value);
        }
    }
    return rc;
}

static int query(weft_store *s, sqlite3_stmt **out, weft_error *err, const char *sql,
                 const char *format, va_list args) {
    *out = NULL;
    if (sqlite3_prepare_v2(s->db, sql, -1, out, NULL) || bind(*out, format, args)) {
        int rc = db_fail(s, err);
        sqlite3_finalize(*out);
        *out = NULL;
        return rc;
    }
    return WEFT_OK;
}

int db_query(weft_store *s, sqlite3_stmt **out, weft_error *err, const char *sql,
             const char *format, ...) {
    va_list args;
    va_start(args, format);
    int rc = query(s, out, err, sql, format, args);
    va_end(args);
    return rc;
}

int db_next(weft_store *s, sqlite3_stmt *statement, bool *more, weft_error *err) {
    int rc = sqlite3_step(statement);
    *more = rc == SQLITE_ROW;
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? WEFT_OK : db_fail(s, err);
}

int db_run(weft_store *s, weft_error *err, const char *sql, const char *format, ...) {
    sqlite3_stmt *statement;
    bool more;
    va_list args;
    va_start(args, format);
    int rc = query(s, &statement, err, sql, format, args);
    va_end(args);
    if (!rc) rc = db_next(s, statement, &more, err);
    sqlite3_finalize(statement);
    return rc;
}

static int execute(weft_store *s, const char *sql, weft_error *err) {
    return sqlite3_exec(s->db, sql, NULL, NULL, NULL) ? db_fail(s, err) : WEFT_OK;
}

int db_begin(weft_store *s, weft_error *err) {
    return execute(s, "BEGIN IMMEDIATE", err);
}

int db_end(weft_store *s, int rc, weft_error *err) {
    if (!rc) rc = execute(s, "COMMIT", err);
    if (rc) sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    return rc;
}

void db_text(sqlite3_stmt *statement, int column, char *text, size_t size) {
    const char *value = (const char *)sqlite3_column_text(statement, column);
    size_t n = value ? strlen(value) : 0;
    if (n >= size) {
        n = size - 1;
        while (n && ((unsigned char)value[n] & 0xc0) == 0x80) n--;
    }
    if (n) memcpy(text, value, n);
    text[n] = '\0';
}

double db_number(sqlite3_stmt *statement, int column) {
    if (sqlite3_column_type(statement, column) == SQLITE_NULL) return NAN;
    return sqlite3_column_double(statement, column);
}

int db_collect(weft_store *s, sqlite3_stmt *statement, size_t item_bytes,
               void (*read)(sqlite3_stmt *statement, void *item), void **items, size_t *count,
               weft_error *err) {
    size_t used = 0, capacity = 16;
    char *block = malloc(capacity * item_bytes);
    int rc = block ? WEFT_OK : err_set(err, WEFT_ERR_MEMORY, "out of memory");
    for (bool more = true; !rc;) {
        rc = db_next(s, statement, &more, err);
        if (rc || !more) break;
        if (used == capacity) {
            char *grown = realloc(block, 2 * capacity * item_bytes);
            if (!grown) rc = err_set(err, WEFT_ERR_MEMORY, "out of memory");
            if (rc) break;
            block = grown;
            capacity *= 2;
        }
        read(statement, block + used++ * item_bytes);
    }
    sqlite3_finalize(statement);
    if (rc) free(block);
    *items = rc ? NULL : block;
    *count = rc ? 0 : used;
    return rc;
}

/* ---- opening ---- */

static int read_whole(weft_store *s, const char *sql, int64_t *value, weft_error *err) {
    sqlite3_stmt *statement;
    bool more;
    TRY(db_query(s, &statement, err, sql, ""));
    int rc = db_next(s, statement, &more, err);
    *value = !rc && more ? sqlite3_column_int64(statement, 0) : 0;
    sqlite3_finalize(statement);
    return rc;
}

static int check_version(weft_store *s, int64_t *version, weft_error *err) {
    int64_t application, tables;
    TRY(read_whole(s, "PRAGMA user_version", version, err));
    TRY(read_whole(s, "PRAGMA application_id", &application, err));
    TRY(read_whole(s, "SELECT count(*) FROM sqlite_schema", &tables, err));
    if (tables && application != APPLICATION_ID)
        return err_set(err, WEFT_ERR_FORMAT,
                       "%s is another program's database: move it away and weft begins its own",
                       s->path);
    if (*version >= 0 && *version <= VERSION) return WEFT_OK;
    return err_set(err, WEFT_ERR_UNSUPPORTED,
                   "the history %s was written by a newer weft (tables of version %lld; this one "
                   "knows %d)",
                   s->path, (long long)*version, VERSION);
}

/* In one transaction: between two reads of its own another process could make the tables, and the
 * file would look like neither an empty nor a weft one. */
static int read_version(weft_store *s, int64_t *version, weft_error *err) {
    TRY(execute(s, "BEGIN", err));
    return db_end(s, check_version(s, version, err), err);
}

/* Another process may have moved the tables on while this one waited for its turn. */
static int migrate(weft_store *s, weft_error *err) {
    int64_t version;
    char set[48];
    TRY(read_version(s, &version, err));
    if (version == VERSION) return WEFT_OK;
    TRY(db_begin(s, err));
    int rc = check_version(s, &version, err);
    for (int64_t i = version; !rc && i < VERSION; i++) rc = execute(s, migrations[i], err);
    snprintf(set, sizeof set, "PRAGMA user_version = %d", VERSION);
    if (!rc) rc = execute(s, set, err);
    return db_end(s, rc, err);
}

/* The file is made for its owner alone before anything is in it; its companions follow it. */
static int make_file(const weft_store *s, weft_error *err) {
    int file = open(s->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0)
        return err_set(err, WEFT_ERR_IO, "cannot open the history %s: %s", s->path,
                       strerror(errno));
    close(file);
    return WEFT_OK;
}

/* The switch reads the file and then asks to write it: SQLite does not wait where two processes do
 * so at once, but refuses one of them, since each would wait for the other. That one lets go of the
 * file and asks again; it then waits, or finds the switch done. */
static int use_log(weft_store *s, weft_error *err) {
    const char *sql = "PRAGMA journal_mode = WAL";
    uint64_t end_ns = os_clock_ns() + BUSY_MS * UINT64_C(1000000);
    int rc = sqlite3_exec(s->db, sql, NULL, NULL, NULL);
    while ((rc & 0xff) == SQLITE_BUSY && os_clock_ns() < end_ns) {
        os_sleep_ns(5000000);
        rc = sqlite3_exec(s->db, sql, NULL, NULL, NULL);
    }
    return rc ? db_fail(s, err) : WEFT_OK;
}

static int open_db(weft_store *s, weft_error *err) {
    char root[1024];
    TRY(store_root(root, sizeof root, err));
    TRY(os_make_dirs(root, err));
    snprintf(s->path, sizeof s->path, "%s/weft.db", root);
    TRY(make_file(s, err));
    if (sqlite3_open_v2(s->path, &s->db, SQLITE_OPEN_READWRITE, NULL)) return db_fail(s, err);
    sqlite3_busy_timeout(s->db, BUSY_MS);
    sqlite3_extended_result_codes(s->db, 1);
    TRY(use_log(s, err));
    TRY(execute(s,
                "PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;"
                "PRAGMA trusted_schema = OFF",
                err));
    return migrate(s, err);
}

int weft_store_open(weft_store **out, weft_error *err) {
    *out = NULL;
    weft_store *s = calloc(1, sizeof *s);
    if (!s) return err_set(err, WEFT_ERR_MEMORY, "out of memory");
    int rc = open_db(s, err);
    if (rc)
        weft_store_close(&s);
    else
        *out = s;
    return rc;
}

void weft_store_close(weft_store **handle) {
    weft_store *s = *handle;
    if (!s) return;
    sqlite3_close(s->db);
    free(s);
    *handle = NULL;
}
