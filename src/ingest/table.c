/* Source of tables in text: CSV and TSV, with or without a header; the exports of Whoop among them.
 * What becomes of the rows is the matter of records.c. */
#include "ingest/csv.h"
#include "ingest/whoop.h"

#include <string.h>
#include <strings.h>

static size_t trimmed_count(const csv_reader *c) {
    size_t count = c->count;
    while (count > 1 && text_is_blank(c->cells[count - 1].data)) count--;
    return count;
}

static void skip(ingest_reader *r, const csv_reader *c, const char *reason) {
    reader_skip(r, "line", c->line, reason, "");
}

/* The first record as wide as most: what stands above it is a title. "sep=;" is not a record. */
static int find_first(ingest_reader *r, csv_reader *c, size_t width) {
    for (;;) {
        if (!csv_next(c)) return reader_no_memory(r);
        if (c->done) return WEFT_OK;
        if (!c->bad && c->line == 1 && !strncmp(c->cells[0].data, "sep=", 4)) continue;
        if (c->bad)
            skip(r, c, c->bad);
        else if (c->count != width)
            skip(r, c, "line above the table");
        else
            return WEFT_OK;
    }
}

/* Empty cells at the end are often left away, or added. */
static int read_row(ingest_reader *r, records *t, csv_reader *c) {
    if (c->bad) return skip(r, c, c->bad), WEFT_OK;
    if (trimmed_count(c) == 1 && text_is_blank(c->cells[0].data))
        return skip(r, c, "empty row"), WEFT_OK;
    if (c->count < t->column_count || trimmed_count(c) > t->column_count)
        return skip(r, c, "row with another number of cells than the header"), WEFT_OK;
    return records_row(t, c->cells, c->line);
}

static int read_rows(ingest_reader *r, csv_reader *c, records *t) {
    for (uint64_t count = 0;; count++) {
        if (!csv_next(c)) return reader_no_memory(r);
        if (c->done && !count && t->named) skip(r, c, "table without rows");
        if (c->done) return WEFT_OK;
        TRY(read_row(r, t, c));
    }
}

static int read_table(ingest_reader *r, csv_reader *c, size_t width) {
    TRY(find_first(r, c, width));
    if (c->done) return reader_kind(r, "csv"), WEFT_OK;
    records t;
    size_t count = trimmed_count(c);
    bool header = records_is_header(c->cells, count);
    const char *kind = "csv";
    const char *template = whoop_template(c->cells, header ? count : 0, &kind);
    reader_kind(r, kind);
    int rc = records_begin(&t, r, c->cells, header ? count : c->count, header, template);
    if (!rc && !header) rc = read_row(r, &t, c);
    if (!rc) rc = read_rows(r, c, &t);
    return records_end(&t, rc);
}

static int read_csv(ingest_reader *r, FILE *file) {
    csv_reader c;
    char separator;
    size_t width;
    if (!csv_find_separator(file, &separator, &width)) return reader_no_memory(r);
    csv_begin(&c, file, separator);
    int rc = read_table(r, &c, width);
    csv_end(&c);
    return rc;
}

static bool is_whoop(const ingest_head *head) {
    return head->text && !strncmp(head->data, "Cycle start time,", 17);
}

const ingest_source source_whoop = {
    .name = "whoop", .title = "Whoop export", .detects = is_whoop, .read = read_csv};

const ingest_source source_csv = {
    .name = "csv", .title = "table (CSV)", .endings = {".csv", ".tsv", ".tab"}, .read = read_csv};
