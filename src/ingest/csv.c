/* Reading comma-separated values. */
#include "ingest/csv.h"

#include <stdlib.h>
#include <string.h>

#define SAMPLE_BYTES   (64u << 10)
#define SAMPLE_RECORDS 50

void csv_begin(csv_reader *c, FILE *file, char separator) {
    *c = (csv_reader){.file = file, .separator = separator, .next_line = 1};
    int first = getc(file);
    if (first == 0xef && getc(file) == 0xbb && getc(file) == 0xbf) return; /* a byte order mark */
    if (first != EOF) rewind(file);
}

void csv_end(csv_reader *c) {
    for (size_t i = 0; i < c->capacity; i++) bytes_free(&c->cells[i]);
    free(c->cells);
    bytes_free(&c->raw);
    *c = (csv_reader){0};
}

static bool end_cell(csv_reader *c) {
    if (c->count == RECORDS_COLUMNS_MAX) c->bad = "row of over 1024 cells";
    if (c->bad) return bytes_clear(&c->raw), true;
    if (c->count == c->capacity) {
        size_t capacity = c->capacity ? c->capacity * 2 : 16;
        bytes *cells = realloc(c->cells, capacity * sizeof *cells);
        if (!cells) return false;
        memset(cells + c->capacity, 0, (capacity - c->capacity) * sizeof *cells);
        c->cells = cells;
        c->capacity = capacity;
    }
    bytes *cell = &c->cells[c->count++];
    bytes_clear(cell);
    bool ok = text_clean(cell, c->raw.size ? c->raw.data : "", c->raw.size);
    bytes_clear(&c->raw);
    return ok;
}

static bool add_char(csv_reader *c, int byte) {
    c->record_bytes++;
    if (c->raw.size >= RECORDS_CELL_BYTES) c->bad = "cell over 1 MiB";
    return c->bad || bytes_add_char(&c->raw, (char)byte);
}

static int next_byte(csv_reader *c) {
    int byte = getc(c->file);
    if (byte != '\r') return byte;
    byte = getc(c->file); /* CR and CRLF are line ends as well */
    if (byte != '\n' && byte != EOF) ungetc(byte, c->file);
    return '\n';
}

static void count_line(csv_reader *c) {
    c->next_line++;
    if (c->resume < 0) c->resume = ftello(c->file);
}

/* A quote that is not closed takes the whole file in: the line it stands in is left out, and the
 * reading goes on with the next. */
static void recover(csv_reader *c) {
    c->bad = "a quote that is not closed";
    if (c->resume < 0 || ++c->recoveries > CSV_RECOVERIES_MAX) return;
    fseeko(c->file, c->resume, SEEK_SET);
    c->next_line = c->line + 1;
}

/* The inside of a quoted cell, up to its closing quote; *open stays set where there is none. */
static bool read_quoted(csv_reader *c, bool *open) {
    *open = true;
    while (c->record_bytes < CSV_RECORD_BYTES_MAX) {
        int byte = next_byte(c);
        if (byte == EOF) return true;
        if (byte == '\n') count_line(c);
        if (byte == '"') {
            byte = getc(c->file);
            if (byte != '"') {
                if (byte != EOF) ungetc(byte, c->file);
                *open = false;
                return true;
            }
        }
        if (!add_char(c, byte)) return false;
    }
    return true;
}

static bool only_spaces(const bytes *cell) {
    return !cell->size || strspn(cell->data, " ") == cell->size;
}

/* One record, from its first byte. */
static bool read_record(csv_reader *c) {
    bool quoted = false;
    for (;;) {
        int byte = next_byte(c);
        if (byte == '\n') c->next_line++;
        if (byte == EOF || byte == '\n') return end_cell(c);
        bool ok = true;
        if (byte == c->separator) {
            quoted = false;
            ok = end_cell(c);
        } else if (byte == '"' && !quoted && only_spaces(&c->raw)) {
            bool open;
            quoted = true;
            bytes_clear(&c->raw);
            ok = read_quoted(c, &open);
            if (ok && open) return bytes_clear(&c->raw), recover(c), true;
        } else if (!(quoted && byte == ' ')) {
            ok = add_char(c, byte);
        }
        if (!ok) return false;
    }
}

bool csv_next(csv_reader *c) {
    int byte = next_byte(c);
    for (; byte == '\n'; byte = next_byte(c)) c->next_line++;
    c->count = 0;
    c->record_bytes = 0;
    c->bad = NULL;
    c->resume = -1;
    c->line = c->next_line;
    c->done = byte == EOF;
    if (c->done) return true;
    ungetc(byte, c->file);
    return read_record(c);
}

/* ---- which separator ---- */

typedef struct shape {
    size_t width;   /* cells of most records */
    size_t records; /* how many are so wide, of a thousand */
} shape;

static bool find_shape(char *sample, size_t size, bool whole, char separator, shape *s) {
    size_t widths[SAMPLE_RECORDS], count = 0;
    FILE *file = fmemopen(sample, size, "rb");
    if (!file) return false;
    csv_reader c;
    csv_begin(&c, file, separator);
    bool ok = true;
    while (count < SAMPLE_RECORDS && (ok = csv_next(&c)) && !c.done)
        if (!c.bad) widths[count++] = c.count;
    if (!whole && c.done && count > 1) count--; /* cut by the end of the sample */
    csv_end(&c);
    fclose(file);
    *s = (shape){1, 0};
    for (size_t i = 0; i < count; i++) {
        size_t same = 0;
        for (size_t k = 0; k < count; k++) same += widths[k] == widths[i];
        if (same * 1000 / count > s->records) *s = (shape){widths[i], same * 1000 / count};
    }
    return ok;
}

bool csv_find_separator(FILE *file, char *separator, size_t *width) {
    static const char candidates[] = ",;\t|";
    int64_t begin = ftello(file);
    char *sample = malloc(SAMPLE_BYTES);
    if (!sample) return false;
    size_t size = fread(sample, 1, SAMPLE_BYTES, file), best = 0;
    bool ok = true;
    *separator = ',';
    *width = 1;
    for (size_t i = 0; ok && candidates[i] && size; i++) {
        shape s;
        ok = find_shape(sample, size, size < SAMPLE_BYTES, candidates[i], &s);
        /* One cell a record says nothing; of the others the most regular is right. */
        if (!ok || s.width < 2 || s.records <= best) continue;
        best = s.records;
        *separator = candidates[i];
        *width = s.width;
    }
    free(sample);
    fseeko(file, begin, SEEK_SET);
    return ok;
}
