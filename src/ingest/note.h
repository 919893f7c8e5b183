/* Notes in Markdown: what stands in front of them, and the marks that Obsidian adds to Markdown. */
#ifndef WEFT_INGEST_NOTE_H
#define WEFT_INGEST_NOTE_H

#include "base/bytes.h"

#include <stdbool.h>

/* Bytes of the front matter (YAML between two lines "---") at the beginning of a clean text, 0
 * where there is none. */
size_t note_front_matter(const char *text);

/* Append a clean text as plain Markdown: links as their text, tags as words, callouts as their
 * titles; embedded files, comments and marks of blocks are dropped. Code stays as it is. False: out
 * of memory. */
bool note_plain(const char *text, bytes *out);

#endif
