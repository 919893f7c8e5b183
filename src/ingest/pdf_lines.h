/* The lines of printed pages put together to paragraphs. Knows nothing of PDF files. */
#ifndef WEFT_INGEST_PDF_LINES_H
#define WEFT_INGEST_PDF_LINES_H

#include "base/bytes.h"

#include <stdbool.h>

/* Where a line stands on its page: points from the left and from the top. */
typedef struct pdf_line {
    char *text; /* UTF-8, no line end; owned by the list */
    int page;
    double left, right, top, bottom;
    bool margin; /* a repeated header or footer, or a page number: left out */
} pdf_line;

typedef struct pdf_lines {
    pdf_line *list; /* in reading order, page by page */
    size_t count, capacity;
    int page_count;
} pdf_lines;

/* Append a line with a copy of text (size bytes). False: out of memory. */
bool pdf_lines_add(pdf_lines *l, const char *text, size_t size, pdf_line place);
void pdf_lines_free(pdf_lines *l);

/* Join lines to paragraphs, separated by empty lines: words cut at line ends are joined, lines of
 * headers and footers that come again on other pages and page numbers are dropped. List items begin
 * lines of their own. False: out of memory. */
bool pdf_lines_join(pdf_lines *l, bytes *out);

#endif
