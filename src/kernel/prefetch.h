/* Weights that one token reads once come from memory, in short rows, in an order that the
 * processor's own prefetcher does not follow: from there decoding ran at a quarter of the reading
 * limit. */
#ifndef WEFT_KERNEL_PREFETCH_H
#define WEFT_KERNEL_PREFETCH_H

#include <stddef.h>
#include <stdint.h>

enum { CACHE_LINE = 64, PREFETCH_AHEAD = 4096 };

/* Ask for the lines of [p, p + bytes); addresses past the end of the memory do no harm. */
static inline void prefetch(const uint8_t *p, size_t bytes) {
    for (size_t i = 0; i < bytes; i += CACHE_LINE)
        __builtin_prefetch((const void *)((uintptr_t)p + i));
}

#endif
