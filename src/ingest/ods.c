/* Source of OpenDocument spreadsheets (ODS): each sheet is a table. Numbers and dates are taken as
 * they are stored, everything else as it is shown. */
#include "ingest/package.h"
#include "ingest/sheet.h"

#include <libxml/xmlreader.h>
#include <stdlib.h>
#include <string.h>

static bool wanted(const char *name) {
    return !strcmp(name, "content.xml") || !strcmp(name, "META-INF/manifest.xml");
}

/* A number of repetitions; 1 where it is missing. */
static size_t repeats(const xmlNode *node, const char *name) {
    const char *text = xml_attribute(node, name);
    unsigned long n = text ? strtoul(text, NULL, 10) : 1;
    return n > 1 << 20 ? 1 << 20 : n ? n : 1;
}

/* The paragraphs of a cell, a line each; comments are not its content. */
static bool cell_text(const xmlNode *cell, bytes *out) {
    prose p = {.out = out};
    for (const xmlNode *at = cell->children; at; at = at->next) {
        if (!xml_is(at, "p")) continue;
        prose_line(&p);
        xml_text(at, &p);
    }
    return !p.failed && bytes_add(out, "", 0);
}

static bool cell_value(const xmlNode *cell, bytes *out) {
    const char *type = xml_attribute(cell, "value-type"), *value = NULL;
    if (type && !strcmp(type, "date")) value = xml_attribute(cell, "date-value");
    if (type && !strcmp(type, "float")) value = xml_attribute(cell, "value");
    if (!value) return cell_text(cell, out);
    if (!bytes_add_text(out, value)) return false;
    for (size_t i = 0; type[0] == 'd' && i < out->size; i++)
        if (out->data[i] == 'T') out->data[i] = ' '; /* between date and time */
    return true;
}

static int read_row(ingest_reader *r, sheet *s, const xmlNode *row, uint64_t number) {
    bytes text = {0};
    size_t column = 0;
    bool ok = true;
    for (const xmlNode *at = row->children; ok && at; at = at->next) {
        if (!xml_is(at, "table-cell") && !xml_is(at, "covered-table-cell")) continue;
        size_t count = repeats(at, "number-columns-repeated");
        bytes_clear(&text);
        ok = cell_value(at, &text);
        /* Empty cells fill the sheet up to its last column. */
        for (size_t i = 0; ok && text.size && i < count && column + i <= RECORDS_COLUMNS_MAX; i++)
            ok = sheet_cell(s, column + i, text.data, text.size);
        column += count;
    }
    bytes_free(&text);
    return ok ? sheet_end_row(s, number) : reader_no_memory(r);
}

static int read_repeated(ingest_reader *r, sheet *s, const xmlNode *row, uint64_t *number) {
    size_t count = repeats(row, "number-rows-repeated");
    int rc = WEFT_OK;
    for (size_t i = 0; !rc && i < count && i < SHEET_REPEATS_MAX; i++) {
        size_t before = s->row_count;
        rc = read_row(r, s, row, *number + i + 1);
        if (s->row_count == before) break; /* empty: so are the others */
        if (i + 1 == SHEET_REPEATS_MAX && count > i + 1 && !s->counting)
            reader_skip(r, "row", *number + i + 2, "row repeated over 1000 times", "");
    }
    *number += count;
    return rc;
}

/* Sheet `wanted_index` in one pass; *found is false where there is no such sheet. */
static int read_pass(ingest_reader *r, const bytes *data, sheet *s, int wanted_index, bool *found) {
    int options = XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING;
    xmlTextReader *xml = xmlReaderForMemory(data->data, (int)data->size, NULL, NULL, options);
    if (!xml) return reader_no_memory(r);
    int rc = WEFT_OK, index = -1, got = xmlTextReaderRead(xml);
    uint64_t number = 0;
    while (got == 1 && !rc && index <= wanted_index && !sheet_is_counted(s)) {
        const char *name = (const char *)xmlTextReaderConstLocalName(xml);
        bool element = xmlTextReaderNodeType(xml) == XML_READER_TYPE_ELEMENT;
        if (element && !strcmp(name, "table")) index++;
        bool row = element && index == wanted_index && !strcmp(name, "table-row");
        const xmlNode *node = row ? xmlTextReaderExpand(xml) : NULL;
        if (node) rc = read_repeated(r, s, node, &number);
        got = node ? xmlTextReaderNext(xml) : xmlTextReaderRead(xml);
    }
    *found = index >= wanted_index;
    if (got < 0 && !s->counting)
        reader_skip(r, "row", number + 1, "damaged here: the rest is not read", "");
    xmlFreeTextReader(xml);
    return rc;
}

static int read_sheet(ingest_reader *r, const bytes *data, int index, bool *found) {
    sheet s;
    int rc = sheet_begin(&s, r) ? read_pass(r, data, &s, index, found) : reader_no_memory(r);
    sheet_rewind(&s);
    if (!rc && *found) rc = read_pass(r, data, &s, index, found);
    return sheet_end(&s, rc);
}

#define SHEETS_MAX 200

static int read_content(ingest_reader *r, const package *p) {
    const bytes *manifest = package_find(p, "META-INF/manifest.xml");
    const bytes *data = package_find(p, "content.xml");
    bool locked = manifest && strstr(manifest->data, "encryption-data"), found = true;
    if (locked || !data || !data->size) {
        const char *why = locked ? "protected with a password" : "damaged OpenDocument spreadsheet";
        return reader_skip(r, "row", 0, why, ""), WEFT_OK;
    }
    for (int i = 0; found && i < SHEETS_MAX; i++) TRY(read_sheet(r, data, i, &found));
    if (found) reader_skip(r, "row", 0, "sheets after the 200th", "");
    return WEFT_OK;
}

static int read_ods(ingest_reader *r, FILE *file) {
    package p;
    reader_kind(r, "ods");
    if (!package_read(&p, file, wanted)) return reader_no_memory(r);
    int rc = WEFT_OK;
    if (p.refused)
        reader_skip(r, "row", 0, p.refused, "");
    else
        rc = read_content(r, &p);
    package_free(&p);
    return rc;
}

static bool detects(const ingest_head *head) {
    return package_declares(head, ".ods", "application/vnd.oasis.opendocument.spreadsheet");
}

const ingest_source source_ods = {.name = "ods",
                                  .title = "OpenDocument spreadsheet",
                                  .unit = "row",
                                  .endings = {".ods"},
                                  .detects = detects,
                                  .read = read_ods};
