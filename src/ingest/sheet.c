/* Sheets as tables: where the table begins, and what its rows hold. */
#include "ingest/sheet.h"

#include <stdlib.h>
#include <string.h>

#define COUNTED_ROWS 50

bool sheet_begin(sheet *s, ingest_reader *r) {
    *s = (sheet){.r = r, .counting = true, .t = {.r = r}};
    s->cells = calloc(RECORDS_COLUMNS_MAX, sizeof *s->cells);
    for (size_t i = 0; s->cells && i < RECORDS_COLUMNS_MAX; i++)
        if (!bytes_add(&s->cells[i], "", 0)) return false;
    return s->cells;
}

bool sheet_is_counted(const sheet *s) {
    return s->counting && s->row_count >= COUNTED_ROWS;
}

void sheet_rewind(sheet *s) {
    s->counting = false;
    s->row_count = 0;
}

bool sheet_cell(sheet *s, size_t column, const char *text, size_t size) {
    if (!size) return true;
    if (column >= RECORDS_COLUMNS_MAX) {
        s->used = RECORDS_COLUMNS_MAX + 1;
        return true;
    }
    if (s->used < column + 1) s->used = column + 1;
    bytes_clear(&s->cells[column]);
    if (!text_clean(&s->cells[column], text, size)) return false;
    s->filled += !text_is_blank(s->cells[column].data);
    return true;
}

/* What stands above the table has few cells: a title, a date. */
static int begin_table(sheet *s, uint64_t number) {
    if (s->filled * 2 <= s->most)
        return reader_skip(s->r, "row", number, "row above the table", ""), WEFT_OK;
    bool header = records_is_header(s->cells, s->used);
    s->begun = true;
    size_t width = header ? s->used : RECORDS_COLUMNS_MAX;
    if (!header && s->most < width) width = s->used > s->most ? s->used : s->most;
    TRY(records_begin(&s->t, s->r, s->cells, width, header, NULL));
    return header ? WEFT_OK : records_row(&s->t, s->cells, number);
}

static int take_row(sheet *s, uint64_t number) {
    if (s->used > RECORDS_COLUMNS_MAX)
        return reader_skip(s->r, "row", number, "row of over 1024 cells", ""), WEFT_OK;
    if (!s->begun) return begin_table(s, number);
    if (s->used > s->t.column_count)
        return reader_skip(s->r, "row", number, "row of more cells than the header", ""), WEFT_OK;
    return records_row(&s->t, s->cells, number);
}

int sheet_end_row(sheet *s, uint64_t number) {
    int rc = WEFT_OK;
    if (s->filled) s->row_count++;
    if (s->counting && s->filled > s->most) s->most = s->filled;
    if (!s->counting && s->filled) rc = take_row(s, number);
    for (size_t i = 0; i < s->used && i < RECORDS_COLUMNS_MAX; i++) bytes_clear(&s->cells[i]);
    s->used = s->filled = 0;
    return rc;
}

int sheet_end(sheet *s, int rc) {
    rc = records_end(&s->t, rc);
    for (size_t i = 0; s->cells && i < RECORDS_COLUMNS_MAX; i++) bytes_free(&s->cells[i]);
    free(s->cells);
    s->cells = NULL;
    return rc;
}
