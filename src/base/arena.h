/* An arena: pieces are allocated one by one and freed all at once, within a hard limit of bytes. */
#ifndef WEFT_BASE_ARENA_H
#define WEFT_BASE_ARENA_H

#include "base/status.h"

#include <stddef.h>

typedef struct arena_chunk arena_chunk;

/* Not thread-safe. Fields are private, but used_bytes may be read. */
typedef struct arena {
    arena_chunk *chunks;
    size_t used_bytes, limit_bytes;
} arena;

/* Start empty; nothing is allocated yet. limit_bytes bounds the sum of all pieces (each rounded up
 * to 16 bytes). */
void arena_init(arena *a, size_t limit_bytes);

/* count * size zeroed bytes, aligned to 16; at least one byte, so that NULL always means failure:
 * WEFT_ERR_RANGE over the limit, WEFT_ERR_MEMORY when the system has no more. Lives until
 * arena_free. */
void *arena_alloc(arena *a, size_t count, size_t size, weft_error *err);

/* A NUL-terminated copy of size bytes; NULL as arena_alloc. */
char *arena_copy(arena *a, const char *data, size_t size, weft_error *err);

/* Free every piece; the arena is empty again, with the same limit. */
void arena_free(arena *a);

#endif
