/* Source of OpenDocument texts (ODT): paragraphs, headings, lists, tables, and footnotes below the
 * text. Left out: tracked deletions, comments, pictures, indexes made by the program. */
#include "ingest/file.h"
#include "ingest/package.h"

#include <stdlib.h>
#include <string.h>

#define NOTES_MAX 10000

typedef struct open_walk {
    prose p;
    const xmlNode **notes; /* bodies of the notes met so far */
    int note_count;
} open_walk;

static bool wanted(const char *name) {
    return !strcmp(name, "content.xml") || !strcmp(name, "META-INF/manifest.xml");
}

static void walk(open_walk *w, const xmlNode *node, int depth);

static void walk_children(open_walk *w, const xmlNode *node, int depth) {
    for (const xmlNode *at = node->children; at; at = at->next) walk(w, at, depth + 1);
}

static void walk_paragraph(open_walk *w, const xmlNode *node, int depth) {
    prose_paragraph(&w->p);
    walk_children(w, node, depth);
    prose_paragraph(&w->p);
}

static void walk_list(open_walk *w, const xmlNode *node, int depth) {
    if (!w->p.lists) prose_paragraph(&w->p);
    w->p.lists++;
    walk_children(w, node, depth);
    w->p.lists--;
    if (!w->p.lists) prose_paragraph(&w->p);
}

static void walk_item(open_walk *w, const xmlNode *node, int depth) {
    prose_item(&w->p, 0);
    walk_children(w, node, depth);
    w->p.item = false;
    prose_line(&w->p);
}

static void walk_row(open_walk *w, const xmlNode *node, int depth) {
    prose_line(&w->p);
    w->p.flat++;
    for (const xmlNode *at = node->children; at; at = at->next) {
        walk(w, at, depth + 1);
        if (xml_is(at, "table-cell")) prose_cell(&w->p);
    }
    w->p.flat--;
    prose_line(&w->p);
}

/* A mark in the text; the note itself follows at the end. */
static void mark_note(open_walk *w, const xmlNode *node) {
    const xmlNode *body = xml_child(node, "note-body");
    if (!body || w->note_count == NOTES_MAX) return;
    w->notes[w->note_count++] = body;
    char mark[24];
    int size = snprintf(mark, sizeof mark, "[%d]", w->note_count);
    prose_text(&w->p, mark, (size_t)size);
}

static void walk(open_walk *w, const xmlNode *node, int depth) {
    static const char *const dropped[] = {
        "tracked-changes",  "annotation", "annotation-end", "frame",
        "table-of-content", "forms",      "sequence-decls", NULL};
    if (node->type == XML_TEXT_NODE && node->content)
        prose_text(&w->p, (const char *)node->content, strlen((const char *)node->content));
    if (node->type != XML_ELEMENT_NODE || depth > XML_NEST_MAX || xml_is_any(node, dropped)) return;
    if (xml_is(node, "p") || xml_is(node, "h"))
        walk_paragraph(w, node, depth);
    else if (xml_is(node, "list"))
        walk_list(w, node, depth);
    else if (xml_is(node, "list-item") || xml_is(node, "list-header"))
        walk_item(w, node, depth);
    else if (xml_is(node, "table-row"))
        walk_row(w, node, depth);
    else if (xml_is(node, "s") || xml_is(node, "tab"))
        prose_text(&w->p, " ", 1);
    else if (xml_is(node, "line-break"))
        prose_break(&w->p);
    else if (xml_is(node, "note"))
        mark_note(w, node);
    else
        walk_children(w, node, depth);
}

static void add_notes(open_walk *w) {
    int count = w->note_count; /* notes within notes are marked, but stay without a text */
    for (int i = 0; i < count; i++) {
        char mark[24];
        int size = snprintf(mark, sizeof mark, "[%d] ", i + 1);
        prose_paragraph(&w->p);
        w->p.flat++;
        prose_text(&w->p, mark, (size_t)size);
        walk_children(w, w->notes[i], 0);
        w->p.flat--;
    }
}

static int read_content(ingest_reader *r, const package *p) {
    const bytes *manifest = package_find(p, "META-INF/manifest.xml");
    if (manifest && strstr(manifest->data, "encryption-data"))
        return reader_skip(r, "part", 0, "protected with a password", ""), WEFT_OK;
    xmlDoc *doc = package_xml(p, "content.xml");
    const xmlNode *root = doc ? xml_find(xmlDocGetRootElement(doc), "body") : NULL;
    bytes text = {0};
    open_walk w = {.p = {.out = &text}, .notes = malloc(NOTES_MAX * sizeof(xmlNode *))};
    int rc = w.notes ? WEFT_OK : reader_no_memory(r);
    if (!rc && !root) {
        reader_skip(r, "part", 0, "damaged OpenDocument text", "content.xml");
    } else if (!rc) {
        walk(&w, root, 0);
        add_notes(&w);
        rc = reader_prose(r, &w.p, 1);
    }
    free(w.notes);
    bytes_free(&text);
    if (doc) xmlFreeDoc(doc);
    return rc;
}

static int read_odt(ingest_reader *r, FILE *file) {
    package p;
    reader_kind(r, "odt");
    if (!package_read(&p, file, wanted)) return reader_no_memory(r);
    int rc = WEFT_OK;
    if (p.refused)
        reader_skip(r, "part", 0, p.refused, "");
    else
        rc = read_content(r, &p);
    package_free(&p);
    return rc;
}

static bool detects(const ingest_head *head) {
    return package_declares(head, ".odt", "application/vnd.oasis.opendocument.text");
}

const ingest_source source_odt = {.name = "odt",
                                  .title = "OpenDocument text",
                                  .unit = "part",
                                  .endings = {".odt"},
                                  .detects = detects,
                                  .read = read_odt};
