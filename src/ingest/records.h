/* Rows of tables turned into what can be learnt: sentences by a template, or by a form of their own
 * where none is given; questions with answers, and texts with labels, where the columns say so. */
#ifndef WEFT_INGEST_RECORDS_H
#define WEFT_INGEST_RECORDS_H

#include "ingest/sources.h"

#define RECORDS_COLUMNS_MAX 1024
#define RECORDS_CELL_BYTES  (1u << 20)
#define RECORDS_GROUP_BYTES 1500 /* sentences are gathered to documents of about this size */

/* What is done with each row. */
typedef enum records_form {
    RECORDS_TEMPLATE,
    RECORDS_AUTOMATIC, /* "On 2024-03-01, steps: 10432; mood: good." */
    RECORDS_EXCHANGE,  /* a question and its answer: a conversation */
    RECORDS_LABEL,     /* a text and its label: a conversation with a label */
    RECORDS_TEXT       /* a text: a document */
} records_form;

typedef struct records {
    ingest_reader *r;
    records_form form;
    bytes *columns; /* names, clean */
    size_t column_count;
    bool named;           /* the table has a header */
    const char *template; /* with clauses in square brackets where clauses is set */
    bool clauses;
    size_t pair[3]; /* columns of question, answer and further input (SIZE_MAX: none), or of text
                     * and label */
    size_t date;    /* column that begins the sentence, or SIZE_MAX */
    bytes group;
    uint64_t group_line; /* of its first sentence */
} records;

/* Whether these cells, the first row, name columns. */
bool records_is_header(const bytes *cells, size_t count);
bool records_is_number(const char *text);
bool records_is_date(const char *text); /* begins with 2024-03-01, 1.3.2024, 03/01/2024 ... */

/* Begin a table; names are copied. header is false where names are missing: columns are called
 * "column 1" and so on, for templates. template is the reader's unless this one is given (known
 * forms of records; square brackets hold clauses that are left out where a cell of theirs is
 * empty). WEFT_ERR_ARGUMENT where the template names a column that is not there, and the message
 * says which are. records_end must follow in any case. */
int records_begin(records *t, ingest_reader *r, const bytes *names, size_t count, bool header,
                  const char *template);
/* One row of as many cells as there are columns; number is its line or row. */
int records_row(records *t, const bytes *cells, uint64_t number);
/* A sentence made elsewhere, gathered like those of rows. */
int records_sentence(records *t, const char *text, uint64_t number);
/* Hand over what is gathered, and free. rc is what the reading gave so far; returns it, or what
 * goes wrong here. */
int records_end(records *t, int rc);

#endif
