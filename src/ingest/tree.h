/* The files below a folder, or in an archive, under one roof: names in order, and each to be
 * opened. What an archive holds is read into one temporary file without a name; nothing of it is
 * ever written under a name that the archive gives. Pictures, sound and films in an archive are
 * listed but not unpacked. */
#ifndef WEFT_INGEST_TREE_H
#define WEFT_INGEST_TREE_H

#include "ingest/ingest.h"

#include <stdio.h>

#define ARCHIVE_MEMBERS_MAX 200000
#define ARCHIVE_NAME_MAX    1024                 /* bytes of a member's name */
#define ARCHIVE_BYTES_MAX   (UINT64_C(64) << 30) /* unpacked, all members */
#define ARCHIVE_FREE_BYTES  (UINT64_C(64) << 20) /* unpacked, whatever the archive's size */
#define ARCHIVE_RATIO_MAX   200                  /* beyond that: unpacked to packed bytes */

typedef struct ingest_tree ingest_tree;

/* A folder of the tree: the files [begin, end) in it and below it. */
typedef struct ingest_folder {
    const ingest_tree *tree;
    size_t begin, end;
    size_t prefix_bytes; /* of the names: the folder itself, with its '/'; 0 at the top */
} ingest_folder;

/* List what lies below a folder. A hidden folder is listed as one entry, "NAME/", and not entered,
 * unless it is a mail folder (it holds "cur"). Too many files, or folders too deep or linked in a
 * circle, are WEFT_ERR_RANGE. */
int tree_open_folder(const char *path, ingest_tree **tree, weft_error *err);

/* Read an archive through file (from its beginning; borrowed for the call), whose name is path.
 * WEFT_ERR_FORMAT if it is damaged; WEFT_ERR_RANGE naming it if it is over a limit. */
int tree_open_archive(const char *path, FILE *file, ingest_tree **tree, weft_error *err);
void tree_close(ingest_tree **tree); /* NULL in it is allowed */

bool tree_is_archive(const ingest_tree *tree);
const char *tree_path(const ingest_tree *tree); /* as it was given */
ingest_folder tree_top(const ingest_tree *tree);

size_t folder_count(const ingest_folder *f);
/* Name of file i below the folder: "letter.txt", "2024/01.json". */
const char *folder_name(const ingest_folder *f, size_t i);
/* Whether this file is there. A name that ends with '/': whether anything is in that folder. */
bool folder_has(const ingest_folder *f, const char *name);
/* Its place, or SIZE_MAX. */
size_t folder_find(const ingest_folder *f, const char *name);
/* The folder that file i lies in, if that is a sub-folder: all its files; else false. */
bool folder_sub(const ingest_folder *f, size_t i, ingest_folder *sub);

/* Open file i for reading. NULL with the reason in why (static or in its buffer). */
FILE *folder_open(const ingest_folder *f, size_t i, char why[96]);

#endif
