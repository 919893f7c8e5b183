/* The tables of a Whoop export, known by their columns. */
#ifndef WEFT_INGEST_WHOOP_H
#define WEFT_INGEST_WHOOP_H

#include "base/bytes.h"

/* The template (for records_begin, with clauses) of a table with these columns, and its kind for
 * the report; NULL, and kind untouched, where it is another table. */
const char *whoop_template(const bytes *names, size_t count, const char **kind);

#endif
