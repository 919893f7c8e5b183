/* An index of names: sorted once, searched often. */
#ifndef WEFT_FORMAT_NAMES_H
#define WEFT_FORMAT_NAMES_H

#include <stddef.h>

typedef struct name_index {
    const char *name; /* borrowed */
    size_t index;     /* of the thing named, in its own list */
} name_index;

/* Sort by name; returns a name that is there twice, or NULL. */
const char *names_sort(name_index *names, size_t count);

/* The entry of that name in a sorted index, or NULL. */
const name_index *names_find(const name_index *names, size_t count, const char *name);

#endif
