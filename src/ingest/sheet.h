/* A sheet of a spreadsheet, filled cell by cell and row by row, handed on as a table. */
#ifndef WEFT_INGEST_SHEET_H
#define WEFT_INGEST_SHEET_H

#include "ingest/records.h"

#define SHEET_REPEATS_MAX 1000 /* of a row that the file says is there many times */

typedef struct sheet {
    ingest_reader *r;
    bytes *cells;     /* RECORDS_COLUMNS_MAX of them; those from used on are empty */
    size_t used;      /* of the row being filled: one more than the last cell with a content */
    size_t filled;    /* cells with a content */
    bool counting;    /* the first pass: how wide the table is */
    size_t row_count; /* with a content, in this pass */
    size_t most;      /* cells with a content in one of the first rows */
    bool begun;       /* the header was met */
    records t;
} sheet;

/* Every row is given twice: first with counting set, to learn the table's shape; rows are few then.
 * False: out of memory. */
bool sheet_begin(sheet *s, ingest_reader *r);
/* Nothing more is learnt by counting further rows. */
bool sheet_is_counted(const sheet *s);
void sheet_rewind(sheet *s); /* between the passes */

/* Fill cell `column` of the row; what lies beyond the limit of columns is dropped, and its row
 * counted as skipped. False: out of memory. */
bool sheet_cell(sheet *s, size_t column, const char *text, size_t size);
int sheet_end_row(sheet *s, uint64_t number);
int sheet_end(sheet *s, int rc); /* as records_end */

#endif
