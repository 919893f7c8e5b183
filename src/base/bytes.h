/* A growable byte string, NUL-terminated for convenience (the NUL is not counted). */
#ifndef WEFT_BASE_BYTES_H
#define WEFT_BASE_BYTES_H

#include "base/status.h"

#include <stddef.h>

typedef struct bytes {
    char *data; /* NULL while empty and never grown */
    size_t size, capacity;
} bytes;

/* Append; each returns false when memory is short, leaving the string as it was. */
_Bool bytes_add(bytes *b, const void *data, size_t size);
_Bool bytes_add_text(bytes *b, const char *text);
_Bool bytes_add_char(bytes *b, char c);
_Bool bytes_printf(bytes *b, const char *format, ...) WEFT_PRINTF(2, 3);
void bytes_clear(bytes *b); /* keeps the memory */
void bytes_free(bytes *b);

#endif
