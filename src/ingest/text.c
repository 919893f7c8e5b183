/* Source of plain text and Markdown: a file is one document. Only one over the limit is cut, at an
 * empty line where there is one near; how documents are cut to the model's context is the dataset's
 * matter. */
#include "ingest/lines.h"
#include "ingest/note.h"
#include "ingest/sources.h"

#include <string.h>
#include <strings.h>

#define PARAGRAPH_BYTES_MAX (1u << 20) /* a longer paragraph may be cut at any line end */

/* What a Markdown file says about itself (YAML between two lines "---") is not its text. */
static void drop_front_matter(const ingest_reader *r, bytes *text) {
    const char *dot = strrchr(r->path, '.');
    if (!dot || (strcasecmp(dot, ".md") && strcasecmp(dot, ".markdown"))) return;
    size_t front = note_front_matter(text->data);
    text->size -= front;
    memmove(text->data, text->data + front, text->size + 1);
}

static int flush(ingest_reader *r, bytes *text, uint64_t line) {
    bytes clean = {0};
    int rc = text_clean(&clean, text->size ? text->data : "", text->size) ? WEFT_OK
                                                                          : reader_no_memory(r);
    if (!rc && line == 1) drop_front_matter(r, &clean);
    text_trim(&clean);
    bytes_clear(text);
    if (!rc) rc = reader_text(r, clean.data, line);
    bytes_free(&clean);
    return rc;
}

/* U+FFFD takes three bytes for one, so that a document can grow while it is cleaned. */
_Static_assert(INGEST_TEXT_BYTES_MAX * 3ull <= INGEST_DOCUMENT_BYTES_MAX, "a text always fits");

static bool is_full(const bytes *text, size_t next_bytes, bool at_gap) {
    size_t limit = INGEST_TEXT_BYTES_MAX;
    if (at_gap) limit -= PARAGRAPH_BYTES_MAX;
    return text->size + next_bytes + 1 > limit;
}

static int read_lines(ingest_reader *r, line_reader *lines, bytes *text) {
    uint64_t begin = 1;
    for (;;) {
        TRY(lines_next(lines, r->err));
        if (lines->done) break;
        if (lines->too_long) {
            reader_skip(r, "line", lines->number, "line over 4 MiB", "");
            continue;
        }
        if (text->size && is_full(text, lines->line.size, !lines->line.size)) {
            TRY(flush(r, text, begin));
            begin = lines->number;
        }
        if (!bytes_add(text, lines->line.data, lines->line.size) || !bytes_add_char(text, '\n'))
            return reader_no_memory(r);
    }
    return text->size ? flush(r, text, begin) : WEFT_OK;
}

static int read_text(ingest_reader *r, FILE *file) {
    line_reader lines;
    bytes text = {0};
    reader_kind(r, "text");
    lines_begin(&lines, file, INGEST_TEXT_BYTES_MAX - 1);
    int rc = read_lines(r, &lines, &text);
    lines_end(&lines);
    bytes_free(&text);
    return rc;
}

const ingest_source source_text = {
    .name = "text",
    .title = "text",
    .endings = {".txt", ".text", ".md", ".markdown", ".rst", ".org", ""},
    .read = read_text};
