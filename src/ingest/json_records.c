/* JSON files cut into records: one value a line, or the elements of one array, so that memory does
 * not depend on the file's size. */
#include "ingest/json_records.h"
#include "ingest/lines.h"

#include <string.h>

/* Who takes the records. */
typedef struct taker {
    ingest_reader *reader;
    json_visit visit;
    void *context;
} taker;

static void skip(const taker *t, uint64_t line, const char *reason, const char *detail) {
    reader_skip(t->reader, "line", line, reason, detail);
}

/* One record's bytes. Ill-formed UTF-8 is repaired first, so that one bad byte does not cost the
 * record. */
static int read_record(const taker *t, const char *data, size_t size, uint64_t line) {
    bytes clean = {0};
    if (!text_clean(&clean, data, size)) return reader_no_memory(t->reader);
    if (text_is_blank(clean.data)) return bytes_free(&clean), WEFT_OK;
    json_error_t error;
    json_t *object = json_loadb(clean.data, clean.size, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    bytes_free(&clean);
    if (!object) {
        if (json_error_code(&error) == json_error_out_of_memory) return reader_no_memory(t->reader);
        skip(t, line, "malformed JSON", error.text);
        return WEFT_OK;
    }
    int rc = t->visit(t->context, t->reader, object, line);
    json_decref(object);
    return rc;
}

/* ---- a file that is one array ---- */

typedef struct array_walk {
    bytes element;
    uint64_t line; /* where the element begins, 0 before that */
    int depth;     /* 1: between the elements of the array */
    bool in_string, escaped, too_long, closed;
} array_walk;

static int element_end(const taker *t, array_walk *w) {
    int rc = WEFT_OK;
    if (w->too_long)
        skip(t, w->line, "record over 64 MiB", "");
    else if (w->element.size)
        rc = read_record(t, w->element.data, w->element.size, w->line);
    bytes_clear(&w->element);
    w->line = 0;
    w->too_long = false;
    return rc;
}

static void follow_string(array_walk *w, char c) {
    if (w->escaped)
        w->escaped = false;
    else if (c == '\\')
        w->escaped = true;
    else if (c == '"')
        w->in_string = false;
}

static int array_char(const taker *t, array_walk *w, char c, uint64_t line) {
    bool space = c == ' ' || c == '\t' || c == '\n' || c == '\r';
    if (w->closed) {
        if (!space && !w->line) skip(t, w->line = line, "text after the end of the array", "");
        return WEFT_OK;
    }
    if (w->in_string) {
        follow_string(w, c);
    } else if (c == '"') {
        w->in_string = true;
    } else if (c == '[' || c == '{') {
        if (++w->depth == 1) return WEFT_OK;
    } else if (c == ']' || c == '}') {
        w->closed = --w->depth == 0;
        if (w->closed) return element_end(t, w);
    } else if (c == ',' && w->depth == 1) {
        return element_end(t, w);
    }
    if (!w->line && space) return WEFT_OK;
    if (!w->line) w->line = line;
    if (w->element.size >= INGEST_LINE_BYTES_MAX) w->too_long = true;
    if (!w->too_long && !bytes_add_char(&w->element, c)) return reader_no_memory(t->reader);
    return WEFT_OK;
}

static int read_array(const taker *t, line_reader *lines, array_walk *w) {
    while (!lines->done) {
        if (lines->too_long) w->too_long = true;
        for (size_t i = 0; i < lines->line.size; i++)
            TRY(array_char(t, w, lines->line.data[i], lines->number));
        TRY(array_char(t, w, '\n', lines->number));
        TRY(lines_next(lines, t->reader->err));
    }
    if (w->closed) return WEFT_OK;
    skip(t, w->line, "malformed JSON", "the array is not closed");
    return WEFT_OK;
}

static int read_lines(const taker *t, line_reader *lines) {
    for (bool first = true;; first = false) {
        TRY(lines_next(lines, t->reader->err));
        while (first && !lines->done && !lines->too_long && text_is_blank(lines->line.data))
            TRY(lines_next(lines, t->reader->err));
        if (lines->done) return WEFT_OK;
        const char *line = lines->line.data;
        if (first && line[strspn(line, " \t")] == '[') {
            array_walk w = {0};
            int rc = read_array(t, lines, &w);
            bytes_free(&w.element);
            return rc;
        }
        if (lines->too_long)
            skip(t, lines->number, "line over 64 MiB", "");
        else
            TRY(read_record(t, line, lines->line.size, lines->number));
    }
}

int json_each(ingest_reader *r, FILE *file, json_visit visit, void *context) {
    taker t = {r, visit, context};
    line_reader lines;
    lines_begin(&lines, file, INGEST_LINE_BYTES_MAX - 1);
    int rc = read_lines(&t, &lines);
    lines_end(&lines);
    return rc;
}

int json_load(ingest_reader *r, FILE *file, size_t limit_bytes, json_t **out) {
    bytes raw = {0}, clean = {0};
    char buffer[1 << 14];
    size_t got;
    json_error_t error;
    *out = NULL;
    bool ok = true;
    while (ok && raw.size <= limit_bytes && (got = fread(buffer, 1, sizeof buffer, file)))
        ok = bytes_add(&raw, buffer, got);
    if (ok && ferror(file)) {
        reader_skip(r, "line", 0, "cannot be read", "");
    } else if (ok && raw.size > limit_bytes) {
        reader_skip(r, "line", 0, "JSON file too large to be read at once", "");
    } else if (ok && (ok = text_clean(&clean, raw.data ? raw.data : "", raw.size))) {
        *out = json_loadb(clean.data, clean.size, JSON_ALLOW_NUL, &error);
        if (!*out && json_error_code(&error) == json_error_out_of_memory)
            ok = false;
        else if (!*out)
            reader_skip(r, "line", (uint64_t)error.line, "malformed JSON", error.text);
    }
    bytes_free(&raw);
    bytes_free(&clean);
    return ok ? WEFT_OK : reader_no_memory(r);
}

const char *json_text(json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}
