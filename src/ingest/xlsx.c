/* Source of Excel workbooks (XLSX): each visible sheet is a table. Values are taken as they were
 * last computed, dates by the format of their cell; errors count as empty. */
#include "ingest/calendar.h"
#include "ingest/package.h"
#include "ingest/sheet.h"

#include <libxml/xmlreader.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct workbook {
    ingest_reader *r;
    package p;
    bytes *strings; /* shared by the sheets */
    size_t string_count, string_capacity;
    bool *is_date; /* by style of cell */
    size_t style_count;
    bool from_1904; /* days are counted from 1904, as Macintosh did */
} workbook;

static bool wanted(const char *name) {
    size_t size = strlen(name);
    bool xml = size > 4 && (!strcmp(name + size - 4, ".xml") || !strcmp(name + size - 5, ".rels"));
    return xml && (!strncmp(name, "xl/worksheets/sheet", 19) || !strcmp(name, "xl/workbook.xml") ||
                   !strcmp(name, "xl/sharedStrings.xml") || !strcmp(name, "xl/styles.xml") ||
                   !strcmp(name, "xl/_rels/workbook.xml.rels"));
}

static xmlTextReader *open_part(const workbook *w, const char *name) {
    const bytes *data = package_find(&w->p, name);
    if (!data) return NULL;
    return xmlReaderForMemory(data->data, (int)data->size, NULL, NULL,
                              XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
}

/* The next element of this name, as a tree; NULL at the end, or where the part is damaged. */
static const xmlNode *next_element(xmlTextReader *xml, const char *name, bool *inside) {
    int got = *inside ? xmlTextReaderNext(xml) : xmlTextReaderRead(xml);
    *inside = false;
    for (; got == 1; got = xmlTextReaderRead(xml)) {
        if (xmlTextReaderNodeType(xml) != XML_READER_TYPE_ELEMENT) continue;
        if (strcmp((const char *)xmlTextReaderConstLocalName(xml), name)) continue;
        *inside = true;
        return xmlTextReaderExpand(xml);
    }
    return NULL;
}

/* The text of all <t> below node but those that say how it is read aloud (<rPh>). */
static bool add_texts(bytes *out, const xmlNode *node) {
    for (const xmlNode *at = node; at; at = xml_next(at, node, xml_is(at, "rPh"))) {
        bool text = at->type == XML_TEXT_NODE && at->parent && xml_is(at->parent, "t");
        if (text && at->content && !bytes_add_text(out, (const char *)at->content)) return false;
    }
    return true;
}

static bool add_string(workbook *w, const xmlNode *si) {
    if (w->string_count == w->string_capacity) {
        size_t capacity = w->string_capacity ? w->string_capacity * 2 : 256;
        bytes *strings = realloc(w->strings, capacity * sizeof *strings);
        if (!strings) return false;
        w->strings = strings;
        w->string_capacity = capacity;
    }
    w->strings[w->string_count] = (bytes){0};
    return add_texts(&w->strings[w->string_count++], si);
}

static bool read_strings(workbook *w) {
    xmlTextReader *xml = open_part(w, "xl/sharedStrings.xml");
    const xmlNode *si;
    bool inside = false, ok = true;
    while (xml && ok && (si = next_element(xml, "si", &inside))) ok = add_string(w, si);
    if (xml) xmlFreeTextReader(xml);
    return ok;
}

/* ---- dates ---- */

/* A format of day, month, year, hour or second outside quotes and brackets. */
static bool is_date_format(const char *code) {
    for (; *code; code++) {
        if (*code == '\\' && code[1])
            code++;
        else if (*code == '"' || *code == '[') {
            const char *end = strchr(code + 1, *code == '[' ? ']' : '"');
            if (!end) return false;
            code = end;
        } else if (strchr("dmyhsDMYHS", *code)) {
            return true;
        }
    }
    return false;
}

static bool is_date_id(const xmlNode *root, int id) {
    if ((id >= 14 && id <= 22) || (id >= 27 && id <= 36) || (id >= 45 && id <= 58)) return true;
    const xmlNode *formats = id >= 164 ? xml_find(root, "numFmts") : NULL;
    for (const xmlNode *at = formats ? formats->children : NULL; at; at = at->next) {
        const char *found = xml_attribute(at, "numFmtId"), *code = xml_attribute(at, "formatCode");
        if (found && code && atoi(found) == id) return is_date_format(code);
    }
    return false;
}

static bool read_styles(workbook *w) {
    xmlDoc *doc = package_xml(&w->p, "xl/styles.xml");
    const xmlNode *root = doc ? xmlDocGetRootElement(doc) : NULL;
    const xmlNode *formats = root ? xml_find(root, "cellXfs") : NULL;
    bool ok = true;
    for (const xmlNode *at = formats ? formats->children : NULL; ok && at; at = at->next) {
        if (!xml_is(at, "xf")) continue;
        bool *more = realloc(w->is_date, (w->style_count + 1) * sizeof *more);
        ok = more;
        if (!more) break;
        const char *id = xml_attribute(at, "numFmtId");
        w->is_date = more;
        w->is_date[w->style_count++] = id && is_date_id(root, atoi(id));
    }
    if (doc) xmlFreeDoc(doc);
    return ok;
}

/* Day 1 is 1 January 1900, in a calendar that has a 29 February 1900. */
static void write_date(const workbook *w, double value, char out[32]) {
    double day = floor(value);
    int minutes = (int)floor((value - day) * 1440 + 0.5);
    int first = w->from_1904 ? calendar_day(1904, 1, 1) : calendar_day(1899, 12, 30);
    if (minutes == 1440) day++, minutes = 0;
    if (day >= 1)
        calendar_date(first + (int)day, out);
    else
        out[0] = 0;
    size_t size = strlen(out);
    if (minutes || day < 1)
        snprintf(out + size, 32 - size, "%s%02d:%02d", size ? " " : "", minutes / 60, minutes % 60);
}

/* ---- cells ---- */

static bool put_number(const workbook *w, sheet *s, size_t column, const char *text,
                       const char *style) {
    char *end, out[32];
    double value = strtod(text, &end);
    if (end == text || !isfinite(value)) return true;
    size_t index = style ? (size_t)strtoul(style, NULL, 10) : 0;
    if (index < w->style_count && w->is_date[index] && value >= 0 && value < 2950000)
        write_date(w, value, out);
    else
        snprintf(out, sizeof out, "%.15g", value);
    return sheet_cell(s, column, out, strlen(out));
}

static bool put_string(const workbook *w, sheet *s, size_t column, const char *index) {
    size_t i = (size_t)strtoul(index, NULL, 10);
    if (i >= w->string_count || !w->strings[i].data) return true;
    return sheet_cell(s, column, w->strings[i].data, w->strings[i].size);
}

static bool put_inline(sheet *s, size_t column, const xmlNode *cell) {
    bytes text = {0};
    bool ok = add_texts(&text, cell);
    ok = ok && sheet_cell(s, column, text.data, text.size);
    bytes_free(&text);
    return ok;
}

static bool put_cell(const workbook *w, sheet *s, size_t column, const xmlNode *cell) {
    const char *type = xml_attribute(cell, "t"), *style = xml_attribute(cell, "s");
    const xmlNode *v = xml_child(cell, "v");
    const char *value =
        v && v->children && v->children->content ? (const char *)v->children->content : "";
    if (!type || !strcmp(type, "n")) return put_number(w, s, column, value, style);
    if (!strcmp(type, "s")) return put_string(w, s, column, value);
    if (!strcmp(type, "inlineStr")) return put_inline(s, column, cell);
    if (!strcmp(type, "e")) return true;
    if (!strcmp(type, "b")) value = *value == '1' ? "yes" : "no";
    return sheet_cell(s, column, value, strlen(value));
}

/* "BC12" is column 54. */
static size_t column_of(const char *place) {
    size_t column = 0;
    for (; *place >= 'A' && *place <= 'Z' && column < 100000; place++)
        column = column * 26 + (size_t)(*place - 'A') + 1;
    return column;
}

static int read_row(const workbook *w, sheet *s, const xmlNode *row, uint64_t number) {
    size_t column = 0; /* one more than that of the cell before */
    for (const xmlNode *at = row->children; at; at = at->next) {
        if (!xml_is(at, "c")) continue;
        const char *place = xml_attribute(at, "r");
        size_t named = place ? column_of(place) : 0;
        column = named ? named : column + 1;
        if (!put_cell(w, s, column - 1, at)) return reader_no_memory(w->r);
    }
    return sheet_end_row(s, number);
}

static int read_pass(const workbook *w, sheet *s, const char *part) {
    xmlTextReader *xml = open_part(w, part);
    const xmlNode *row;
    bool inside = false;
    uint64_t number = 0;
    int rc = WEFT_OK;
    while (!rc && xml && !sheet_is_counted(s) && (row = next_element(xml, "row", &inside))) {
        const char *place = xml_attribute(row, "r");
        uint64_t named = place ? strtoull(place, NULL, 10) : 0;
        number = named ? named : number + 1;
        rc = read_row(w, s, row, number);
    }
    if (!s->counting && (!xml || xmlTextReaderReadState(xml) == XML_TEXTREADER_MODE_ERROR))
        reader_skip(w->r, "row", number + 1, "damaged here: the rest is not read", "");
    if (xml) xmlFreeTextReader(xml);
    return rc;
}

static int read_sheet(const workbook *w, const char *part) {
    sheet s;
    int rc = sheet_begin(&s, w->r) ? read_pass(w, &s, part) : reader_no_memory(w->r);
    sheet_rewind(&s);
    if (!rc) rc = read_pass(w, &s, part);
    return sheet_end(&s, rc);
}

/* ---- the workbook ---- */

/* The part that a relation names: "worksheets/sheet1.xml", or "/xl/..." from the top. */
static bool part_name(const xmlNode *relations, const char *id, bytes *out) {
    for (const xmlNode *at = relations->children; at; at = at->next) {
        const char *found = xml_attribute(at, "Id"), *target = xml_attribute(at, "Target");
        if (!found || !target || strcmp(found, id)) continue;
        return bytes_printf(out, "%s%s", *target == '/' ? "" : "xl/", target + (*target == '/'));
    }
    return bytes_add(out, "", 0);
}

static int read_sheets(const workbook *w, const xmlNode *book, const xmlNode *relations) {
    const xmlNode *sheets = xml_child(book, "sheets");
    int rc = WEFT_OK;
    for (const xmlNode *at = sheets ? sheets->children : NULL; at && !rc; at = at->next) {
        const char *id = xml_is(at, "sheet") ? xml_attribute(at, "id") : NULL;
        const char *state = xml_attribute(at, "state"), *name = xml_attribute(at, "name");
        if (!id) continue;
        if (state && strcmp(state, "visible")) {
            reader_skip(w->r, "row", 0, "hidden sheet", name ? name : "");
            continue;
        }
        bytes part = {0};
        if (!part_name(relations, id, &part))
            rc = reader_no_memory(w->r);
        else if (package_find(&w->p, part.data))
            rc = read_sheet(w, part.data);
        else
            reader_skip(w->r, "row", 0, "sheet that is not a table", name ? name : "");
        bytes_free(&part);
    }
    return rc;
}

static int read_book(workbook *w) {
    xmlDoc *book = package_xml(&w->p, "xl/workbook.xml");
    xmlDoc *relations = package_xml(&w->p, "xl/_rels/workbook.xml.rels");
    const xmlNode *root = book ? xmlDocGetRootElement(book) : NULL;
    const xmlNode *list = relations ? xmlDocGetRootElement(relations) : NULL;
    int rc = WEFT_OK;
    if (!root || !list) {
        reader_skip(w->r, "row", 0, "damaged Excel workbook", "");
    } else if (!read_strings(w) || !read_styles(w)) {
        rc = reader_no_memory(w->r);
    } else {
        const xmlNode *properties = xml_child(root, "workbookPr");
        const char *mac = properties ? xml_attribute(properties, "date1904") : NULL;
        w->from_1904 = mac && (*mac == '1' || *mac == 't');
        rc = read_sheets(w, root, list);
    }
    if (book) xmlFreeDoc(book);
    if (relations) xmlFreeDoc(relations);
    return rc;
}

static int read_xlsx(ingest_reader *r, FILE *file) {
    workbook w = {.r = r};
    reader_kind(r, "xlsx");
    if (!package_read(&w.p, file, wanted)) return reader_no_memory(r);
    int rc = WEFT_OK;
    if (w.p.refused)
        reader_skip(r, "row", 0, w.p.refused, "");
    else
        rc = read_book(&w);
    for (size_t i = 0; i < w.string_count; i++) bytes_free(&w.strings[i]);
    free(w.strings);
    free(w.is_date);
    package_free(&w.p);
    return rc;
}

static bool detects(const ingest_head *head) {
    return package_detects(head, ".xlsx", "xl/");
}

const ingest_source source_xlsx = {.name = "xlsx",
                                   .title = "Excel workbook",
                                   .unit = "row",
                                   .endings = {".xlsx"},
                                   .detects = detects,
                                   .read = read_xlsx};
