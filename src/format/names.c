/* An index of names. */
#include "format/names.h"

#include <stdlib.h>
#include <string.h>

static int compare_names(const void *a, const void *b) {
    return strcmp(((const name_index *)a)->name, ((const name_index *)b)->name);
}

const char *names_sort(name_index *names, size_t count) {
    if (count) qsort(names, count, sizeof *names, compare_names);
    for (size_t i = 1; i < count; i++)
        if (!strcmp(names[i - 1].name, names[i].name)) return names[i].name;
    return NULL;
}

const name_index *names_find(const name_index *names, size_t count, const char *name) {
    const name_index wanted = {name, 0};
    return count ? bsearch(&wanted, names, count, sizeof *names, compare_names) : NULL;
}
