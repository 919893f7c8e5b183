/* The arena: a list of chunks, the newest first; a piece that does not fit starts a new chunk. */
#include "base/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ALIGNMENT   16
#define CHUNK_BYTES ((size_t)1 << 16)

struct arena_chunk {
    arena_chunk *next;
    size_t used, size;
    _Alignas(ALIGNMENT) unsigned char data[];
};

void arena_init(arena *a, size_t limit_bytes) {
    *a = (arena){.limit_bytes = limit_bytes};
}

/* Chunks come from calloc and pieces are never reused, so that every piece is zero already. */
static arena_chunk *add_chunk(arena *a, size_t size) {
    size_t bytes = size > CHUNK_BYTES / 4 ? size : CHUNK_BYTES;
    arena_chunk *chunk = calloc(1, sizeof *chunk + bytes);
    if (!chunk) return NULL;
    chunk->size = bytes;
    if (a->chunks && bytes != CHUNK_BYTES) { /* keep filling the chunk in front */
        chunk->next = a->chunks->next;
        a->chunks->next = chunk;
    } else {
        chunk->next = a->chunks;
        a->chunks = chunk;
    }
    return chunk;
}

void *arena_alloc(arena *a, size_t count, size_t size, weft_error *err) {
    size_t left = a->limit_bytes - a->used_bytes;
    size_t bytes = 0;
    if (!size || count <= left / size)
        bytes = count * size;
    else
        bytes = SIZE_MAX;
    if (bytes > left || left - bytes < ALIGNMENT) {
        err_set(err, WEFT_ERR_RANGE, "more than %zu bytes of memory would be needed",
                a->limit_bytes);
        return NULL;
    }
    bytes = (bytes ? bytes + ALIGNMENT - 1 : ALIGNMENT) / ALIGNMENT * ALIGNMENT;
    arena_chunk *chunk = a->chunks;
    if (!chunk || chunk->size - chunk->used < bytes) chunk = add_chunk(a, bytes);
    if (!chunk) {
        err_set(err, WEFT_ERR_MEMORY, "out of memory (%zu bytes)", bytes);
        return NULL;
    }
    void *piece = chunk->data + chunk->used;
    chunk->used += bytes;
    a->used_bytes += bytes;
    return piece;
}

char *arena_copy(arena *a, const char *data, size_t size, weft_error *err) {
    char *copy = arena_alloc(a, size + 1, 1, err);
    if (copy && size) memcpy(copy, data, size);
    return copy;
}

void arena_free(arena *a) {
    while (a->chunks) {
        arena_chunk *next = a->chunks->next;
        free(a->chunks);
        a->chunks = next;
    }
    a->used_bytes = 0;
}
