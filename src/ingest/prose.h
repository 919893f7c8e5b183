/* Running text built out of marked-up documents: white space runs become one space, blocks lines
 * and paragraphs, list items "- ", the cells of a table row "a | b". */
#ifndef WEFT_INGEST_PROSE_H
#define WEFT_INGEST_PROSE_H

#include "base/bytes.h"

#include <stdbool.h>

#define PROSE_LISTS_MAX 8 /* deeper list items are not indented further */

/* Zero but for out. Once memory is short nothing more is written and failed stays set. */
typedef struct prose {
    bytes *out;
    int lists;   /* lists within lists around what comes */
    int flat;    /* above 0: block ends are spaces (inside table cells) */
    int gap;     /* line ends that are owed before the next word: 0, 1, or 2 for a paragraph */
    int cells;   /* cell borders that are owed */
    bool space;  /* a space is owed */
    bool item;   /* a list item's mark is owed */
    bool failed; /* out of memory */
    int ordinal; /* of the item; 0 = "-" */
} prose;

/* UTF-8; runs of white space, no-break spaces too, become one space. */
void prose_text(prose *p, const char *text, size_t size);
/* The same, but line ends are kept. */
void prose_verbatim(prose *p, const char *text, size_t size);

void prose_break(prose *p);     /* a line end, or a paragraph's after another one */
void prose_line(prose *p);      /* what follows begins a line */
void prose_paragraph(prose *p); /* what follows stands after an empty line (in a list: on a line) */
void prose_item(prose *p, int ordinal); /* what follows is a list item, "- " where ordinal is 0 */
void prose_cell(prose *p);              /* what follows is the next cell of the row */

#endif
