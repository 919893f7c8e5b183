/* Files of other forms than lines of UTF-8, brought to memory or to UTF-8. */
#ifndef WEFT_INGEST_FILE_H
#define WEFT_INGEST_FILE_H

#include "ingest/prose.h"
#include "ingest/sources.h"

#define UTF16_BYTES_MAX (256u << 20) /* of a file that is converted in memory */

/* All that is left of file. *fits is false, and data empty, where that is over limit_bytes. Fails
 * with WEFT_ERR_IO or WEFT_ERR_MEMORY. */
int file_read(ingest_reader *r, FILE *file, size_t limit_bytes, bytes *data, bool *fits);

/* A byte order mark of UTF-16, little- or big-endian, in front of data. */
bool text_is_utf16(const char *data, size_t size);
/* Append UTF-16 with a byte order mark as UTF-8; what is ill-formed becomes U+FFFD. False: out of
 * memory. */
bool text_from_utf16(bytes *out, const char *data, size_t size);

/* Hand prose over as one document, its bytes cleaned. */
int reader_prose(ingest_reader *r, prose *p, uint64_t number);

#endif
