/* What tree.c and archive.c share. */
#ifndef WEFT_INGEST_TREE_IMPL_H
#define WEFT_INGEST_TREE_IMPL_H

#include "ingest/tree.h"

typedef struct tree_entry {
    char *name;             /* below the tree's path, parts joined by '/' */
    uint64_t offset, bytes; /* archive: where its content lies in the spool */
    const char *closed;     /* archive: why it cannot be opened; static, or NULL */
} tree_entry;

struct ingest_tree {
    char *path;
    tree_entry *entries;
    size_t count, capacity;
    FILE *spool; /* archive: all contents, one after the other; NULL for a folder */
};

/* Add an entry with a copy of name; NULL: out of memory. */
tree_entry *tree_add(ingest_tree *tree, const char *name);

/* Order of names: as a walk from folder to folder, each in byte order, meets them. */
int tree_compare(const char *a, const char *b);
void tree_sort(ingest_tree *tree);

#endif
