/* JSON files cut into records, for the sources whose files are JSON. Malformed ones are counted as
 * skipped here. */
#ifndef WEFT_INGEST_JSON_RECORDS_H
#define WEFT_INGEST_JSON_RECORDS_H

#include "ingest/sources.h"

#include <jansson.h>

/* Takes one record, of any JSON type; borrowed. */
typedef int (*json_visit)(void *context, ingest_reader *r, json_t *record, uint64_t line);

/* Every record of a file: the elements of the array that it is, or the values of its lines. */
int json_each(ingest_reader *r, FILE *file, json_visit visit, void *context);

/* A whole file as one value, the caller's; NULL in *out where it was counted as skipped: malformed,
 * or over limit_bytes. */
int json_load(ingest_reader *r, FILE *file, size_t limit_bytes, json_t **out);

#define JSON_FILE_BYTES_MAX (256u << 20) /* of a file that is loaded at once */

/* The string under key, or "" where there is none. Belongs to object. */
const char *json_text(json_t *object, const char *key);

#endif
