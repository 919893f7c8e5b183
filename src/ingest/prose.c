/* Running text built out of marked-up documents. */
#include "ingest/prose.h"

#include <string.h>

static void put(prose *p, const char *text, size_t size) {
    if (!p->failed && !bytes_add(p->out, text, size)) p->failed = true;
}

static void put_item(prose *p) {
    int indent = p->lists > 1 ? p->lists - 1 : 0;
    if (indent > PROSE_LISTS_MAX) indent = PROSE_LISTS_MAX;
    for (int i = 0; i < indent; i++) put(p, "  ", 2);
    if (!p->ordinal)
        put(p, "- ", 2);
    else if (!p->failed && !bytes_printf(p->out, "%d. ", p->ordinal))
        p->failed = true;
}

/* What is owed before a word. Borders before the first cell that holds something are dropped. */
static void settle(prose *p) {
    bool first = !p->out->size;
    if (first || p->gap) {
        for (int i = 0; i < p->gap && !first; i++) put(p, "\n", 1);
    } else if (p->cells) {
        for (int i = 0; i < p->cells; i++) put(p, " |", 2);
        put(p, " ", 1);
    } else if (p->space) {
        put(p, " ", 1);
    }
    if (p->item) put_item(p);
    p->gap = p->cells = 0;
    p->space = p->item = false;
}

/* Bytes of white space at text: ASCII's, or a no-break space. */
static size_t space_at(const char *text, size_t size) {
    if (strchr(" \t\n\r\f\v", text[0]) && text[0]) return 1;
    return size >= 2 && !memcmp(text, "\xc2\xa0", 2) ? 2 : 0;
}

void prose_text(prose *p, const char *text, size_t size) {
    for (size_t at = 0; at < size;) {
        size_t space = space_at(text + at, size - at), end = at;
        if (space) {
            p->space = true;
            at += space;
            continue;
        }
        while (end < size && !space_at(text + end, size - end)) end++;
        settle(p);
        put(p, text + at, end - at);
        at = end;
    }
}

void prose_verbatim(prose *p, const char *text, size_t size) {
    while (size) {
        const char *end = memchr(text, '\n', size);
        size_t line = end ? (size_t)(end - text) : size;
        if (line) {
            settle(p);
            put(p, text, line);
        }
        if (!end) break;
        prose_break(p);
        text += line + 1;
        size -= line + 1;
    }
}

void prose_break(prose *p) {
    if (p->flat)
        p->space = true;
    else if (p->gap < 2)
        p->gap++;
}

void prose_line(prose *p) {
    if (p->flat)
        p->space = true;
    else if (p->gap < 1)
        p->gap = 1;
}

void prose_paragraph(prose *p) {
    if (p->lists || p->flat)
        prose_line(p);
    else
        p->gap = 2;
}

void prose_item(prose *p, int ordinal) {
    prose_line(p);
    p->item = !p->flat;
    p->ordinal = ordinal;
}

void prose_cell(prose *p) {
    if (p->cells < 64) p->cells++;
}
