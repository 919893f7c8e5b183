/* Bounded line reader over stdio. */
#include "ingest/lines.h"

#include <errno.h>
#include <string.h>

void lines_begin(line_reader *r, FILE *file, size_t limit_bytes) {
    r->file = file;
    r->limit_bytes = limit_bytes;
    r->line = (bytes){0};
    r->number = 0;
    r->too_long = r->done = false;
    r->at = r->end = 0;
}

void lines_end(line_reader *r) {
    bytes_free(&r->line);
}

/* Fill the buffer if it is used up; at the end of the file it stays empty. */
static int refill(line_reader *r, weft_error *err) {
    if (r->at < r->end) return WEFT_OK;
    r->at = 0;
    r->end = fread(r->buffer, 1, sizeof r->buffer, r->file);
    if (!r->end && ferror(r->file))
        return err_set(err, WEFT_ERR_IO, "cannot read: %s", strerror(errno));
    return WEFT_OK;
}

static bool keep(line_reader *r, const char *data, size_t size) {
    if (r->too_long) return true;
    if (size > r->limit_bytes - r->line.size) {
        r->too_long = true;
        bytes_clear(&r->line);
        return true;
    }
    return bytes_add(&r->line, data, size);
}

static void tidy(line_reader *r) {
    bytes *line = &r->line;
    if (line->size && line->data[line->size - 1] == '\r') line->data[--line->size] = 0;
    if (r->number == 1 && line->size >= 3 && !memcmp(line->data, "\xef\xbb\xbf", 3)) {
        line->size -= 3;
        memmove(line->data, line->data + 3, line->size + 1);
    }
}

int lines_next(line_reader *r, weft_error *err) {
    bytes_clear(&r->line);
    r->too_long = false;
    TRY(refill(r, err));
    if (r->at == r->end) {
        r->done = true;
        return WEFT_OK;
    }
    r->number++;
    for (;;) {
        char *from = r->buffer + r->at, *newline = memchr(from, '\n', r->end - r->at);
        size_t size = newline ? (size_t)(newline - from) : r->end - r->at;
        if (!keep(r, from, size))
            return err_set(err, WEFT_ERR_MEMORY, "out of memory for a line of text");
        r->at += size + (newline != NULL);
        if (newline) break;
        TRY(refill(r, err));
        if (r->at == r->end) break;
    }
    tidy(r);
    return WEFT_OK;
}
