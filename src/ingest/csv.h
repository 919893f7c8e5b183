/* Records of comma-separated values as RFC 4180 has them and as they are met: any of four
 * separators, any line end, quotes in the middle of a cell taken as they stand. */
#ifndef WEFT_INGEST_CSV_H
#define WEFT_INGEST_CSV_H

#include "ingest/records.h"

#define CSV_RECORD_BYTES_MAX (4u << 20)
#define CSV_RECOVERIES_MAX                                                                         \
    64 /* quotes that are not closed, after each of which the next line is tried */

typedef struct csv_reader {
    FILE *file; /* borrowed; must be able to seek */
    char separator;
    bytes *cells; /* of the record, clean text; data is never NULL */
    size_t count, capacity;
    uint64_t line;   /* where the record begins, from 1 */
    const char *bad; /* why the record is not to be used (static), or NULL */
    bool done;       /* no record was left */
    uint64_t next_line;
    size_t record_bytes;
    int recoveries;
    int64_t resume; /* offset of the record's second line, -1 where it has none */
    bytes raw;      /* the cell being read */
} csv_reader;

void csv_begin(csv_reader *c, FILE *file, char separator);
/* The next record; empty lines are passed over. False: out of memory. */
bool csv_next(csv_reader *c);
void csv_end(csv_reader *c);

/* What separates the cells of the file, by its first records, and how many cells most of them have.
 * The file is read from where it stands, and put back. False: out of memory. */
bool csv_find_separator(FILE *file, char *separator, size_t *width);

#endif
