/* The store's database: opening, its tables, and statements with their values. Private to store/.
 */
#ifndef WEFT_STORE_DB_H
#define WEFT_STORE_DB_H

#include "base/status.h"

#include <sqlite3.h>
#include <stdbool.h>

struct weft_store {
    sqlite3 *db;
    char path[1100];
};

/* What went wrong in the last call, as an error. */
int db_fail(const weft_store *s, weft_error *err);

/* Prepare a statement and bind values by format: i int64_t, t text (NULL = none), d double (NaN =
 * none). The caller finalises *out, which is NULL on failure. */
int db_query(weft_store *s, sqlite3_stmt **out, weft_error *err, const char *sql,
             const char *format, ...);

/* Go to the next row; *more is false past the last. */
int db_next(weft_store *s, sqlite3_stmt *statement, bool *more, weft_error *err);

/* Run a statement that gives no rows. */
int db_run(weft_store *s, weft_error *err, const char *sql, const char *format, ...);

/* Several statements as one: all of them or, on failure, none. */
int db_begin(weft_store *s, weft_error *err);
int db_end(weft_store *s, int rc, weft_error *err); /* gives rc, or why it could not be kept */

/* A column's text in a buffer, cut between characters; "" where there is none. */
void db_text(sqlite3_stmt *statement, int column, char *text, size_t size);
double db_number(sqlite3_stmt *statement, int column); /* NaN where there is none */

/* All rows as one block of items of item_bytes, made by read; the caller frees *items. Takes the
 * statement over. */
int db_collect(weft_store *s, sqlite3_stmt *statement, size_t item_bytes,
               void (*read)(sqlite3_stmt *statement, void *item), void **items, size_t *count,
               weft_error *err);

#endif
