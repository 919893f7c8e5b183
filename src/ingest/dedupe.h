/* Which documents were there before, told by a fingerprint of their words: white space does not
 * count. */
#ifndef WEFT_INGEST_DEDUPE_H
#define WEFT_INGEST_DEDUPE_H

#include "ingest/ingest.h"

typedef struct seen_set seen_set;

seen_set *seen_create(void); /* NULL: out of memory */
void seen_free(seen_set *s); /* NULL allowed */

/* Note a document; *before says whether the same was noted already. False: out of memory. Of a
 * million different documents one pair is taken for the same once in 37 million runs. */
bool seen_note(seen_set *s, const ingest_document *document, bool *before);

#endif
