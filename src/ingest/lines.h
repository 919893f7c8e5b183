/* Lines of a file of any size, each up to a limit; bytes are passed on as they are. */
#ifndef WEFT_INGEST_LINES_H
#define WEFT_INGEST_LINES_H

#include "base/bytes.h"

#include <stdbool.h>
#include <stdio.h>

typedef struct line_reader {
    FILE *file; /* borrowed */
    size_t limit_bytes;
    bytes line;      /* the current line, without its LF or CRLF; data is never NULL after a line */
    uint64_t number; /* of the current line, from 1 */
    bool too_long;   /* the current line is over the limit: it was passed over, line is empty */
    bool done;       /* no line was left */
    size_t at, end;  /* of what is unread in buffer */
    char buffer[1 << 14];
} line_reader;

void lines_begin(line_reader *r, FILE *file, size_t limit_bytes);

/* Read the next line; a UTF-8 byte order mark before the first is dropped. Fails with WEFT_ERR_IO
 * or WEFT_ERR_MEMORY. */
int lines_next(line_reader *r, weft_error *err);

void lines_end(line_reader *r);

#endif
