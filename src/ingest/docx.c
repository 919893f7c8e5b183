/* Source of Word documents (DOCX): paragraphs, headings, lists, tables, and footnotes below the
 * text. Left out: what is marked as deleted, comments, headers and footers, formulas, pictures. */
#include "ingest/file.h"
#include "ingest/package.h"

#include <stdlib.h>
#include <string.h>

#define DOCUMENT_PART "word/document.xml"

static const char *const NOTE_PARTS[] = {"word/footnotes.xml", "word/endnotes.xml"};
static const char *const NOTES[] = {"footnote", "endnote"};
static const char *const REFERENCES[] = {"footnoteReference", "endnoteReference"};

typedef struct word_walk {
    prose p;
    int note_count;
    char (*notes)[16]; /* ids of the notes met so far, 'f' or 'e' in front */
} word_walk;

#define NOTES_MAX 10000

static bool wanted(const char *name) {
    return !strcmp(name, DOCUMENT_PART) || !strcmp(name, NOTE_PARTS[0]) ||
           !strcmp(name, NOTE_PARTS[1]);
}

static void walk(word_walk *w, const xmlNode *node, int depth);

static void walk_children(word_walk *w, const xmlNode *node, int depth) {
    for (const xmlNode *at = node->children; at; at = at->next) walk(w, at, depth + 1);
}

/* Numbers and bullets are counted by Word from another part; an item is a bullet here. */
static void walk_paragraph(word_walk *w, const xmlNode *node, int depth) {
    prose *p = &w->p;
    const xmlNode *list = xml_child(xml_child(node, "pPr"), "numPr");
    const xmlNode *level = xml_child(list, "ilvl"), *id = xml_child(list, "numId");
    const char *value = level ? xml_attribute(level, "val") : NULL;
    const char *number = id ? xml_attribute(id, "val") : NULL;
    const xmlNode *style = xml_child(xml_child(node, "pPr"), "pStyle");
    const char *styled = style ? xml_attribute(style, "val") : NULL;
    bool listed =
        list ? !(number && !strcmp(number, "0")) /* 0 takes a paragraph off its list */
             : styled && (!strncmp(styled, "ListBullet", 10) || !strncmp(styled, "ListNumber", 10));
    int outer = p->lists;
    if (!listed) prose_paragraph(p);
    if (listed && !p->lists && p->gap < 1) p->gap = 1;
    if (listed) {
        long depth_of_list = value ? strtol(value, NULL, 10) : 0;
        if (depth_of_list < 0 || depth_of_list > PROSE_LISTS_MAX) depth_of_list = PROSE_LISTS_MAX;
        p->lists = outer + 1 + (int)depth_of_list;
        prose_item(p, 0);
    }
    walk_children(w, node, depth);
    p->item = false;
    p->lists = outer;
    if (listed)
        prose_line(p);
    else
        prose_paragraph(p);
}

static void walk_row(word_walk *w, const xmlNode *node, int depth) {
    prose_line(&w->p);
    w->p.flat++;
    for (const xmlNode *at = node->children; at; at = at->next) {
        walk(w, at, depth + 1);
        if (xml_is(at, "tc")) prose_cell(&w->p);
    }
    w->p.flat--;
    prose_line(&w->p);
}

/* A mark in the text; the note itself follows at the end. */
static void mark_note(word_walk *w, const xmlNode *node, bool end) {
    const char *id = xml_attribute(node, "id");
    if (!id || w->note_count == NOTES_MAX) return;
    snprintf(w->notes[w->note_count++], sizeof *w->notes, "%c%s", end ? 'e' : 'f', id);
    char mark[24];
    int size = snprintf(mark, sizeof mark, "[%d]", w->note_count);
    prose_text(&w->p, mark, (size_t)size);
}

static void walk(word_walk *w, const xmlNode *node, int depth) {
    static const char *const dropped[] = {"pPr",      "rPr",    "del",       "moveFrom",
                                          "Fallback", "sdtPr",  "instrText", "delText",
                                          "tblPr",    "sectPr", NULL};
    if (node->type != XML_ELEMENT_NODE || depth > XML_NEST_MAX || xml_is_any(node, dropped)) return;
    if (xml_is(node, "t"))
        xml_text(node, &w->p);
    else if (xml_is(node, "p"))
        walk_paragraph(w, node, depth);
    else if (xml_is(node, "tr"))
        walk_row(w, node, depth);
    else if (xml_is(node, "tab"))
        prose_text(&w->p, " ", 1);
    else if (xml_is(node, "br") || xml_is(node, "cr"))
        prose_break(&w->p);
    else if (xml_is(node, "noBreakHyphen"))
        prose_text(&w->p, "-", 1);
    else if (xml_is(node, REFERENCES[0]))
        mark_note(w, node, false);
    else if (xml_is(node, REFERENCES[1]))
        mark_note(w, node, true);
    else
        walk_children(w, node, depth);
}

static const xmlNode *note_of(const xmlDoc *const docs[2], const char *id) {
    int kind = id[0] == 'e';
    const xmlNode *root = docs[kind] ? xmlDocGetRootElement((xmlDoc *)(uintptr_t)docs[kind]) : NULL;
    for (const xmlNode *at = root ? root->children : NULL; at; at = at->next) {
        const char *found = xml_is(at, NOTES[kind]) ? xml_attribute(at, "id") : NULL;
        if (found && !strcmp(found, id + 1)) return at;
    }
    return NULL;
}

static void add_notes(word_walk *w, const package *p) {
    xmlDoc *docs[2] = {package_xml(p, NOTE_PARTS[0]), package_xml(p, NOTE_PARTS[1])};
    int count = w->note_count; /* notes within notes are marked, but stay without a text */
    for (int i = 0; i < count; i++) {
        const xmlNode *note = note_of((const xmlDoc *const *)docs, w->notes[i]);
        if (!note) continue;
        char mark[24];
        int size = snprintf(mark, sizeof mark, "[%d] ", i + 1);
        prose_paragraph(&w->p);
        w->p.flat++;
        prose_text(&w->p, mark, (size_t)size);
        walk_children(w, note, 0);
        w->p.flat--;
    }
    xmlFreeDoc(docs[0]);
    xmlFreeDoc(docs[1]);
}

static int read_document(ingest_reader *r, const package *p) {
    xmlDoc *doc = package_xml(p, DOCUMENT_PART);
    if (!doc) return reader_skip(r, "part", 0, "damaged Word document", DOCUMENT_PART), WEFT_OK;
    bytes text = {0};
    word_walk w = {.p = {.out = &text}, .notes = calloc(NOTES_MAX, sizeof *w.notes)};
    const xmlNode *root = xmlDocGetRootElement(doc);
    if (w.notes && root) walk(&w, root, 0);
    if (w.notes) add_notes(&w, p);
    int rc = w.notes ? reader_prose(r, &w.p, 1) : reader_no_memory(r);
    free(w.notes);
    bytes_free(&text);
    xmlFreeDoc(doc);
    return rc;
}

static int read_docx(ingest_reader *r, FILE *file) {
    package p;
    reader_kind(r, "docx");
    if (!package_read(&p, file, wanted)) return reader_no_memory(r);
    int rc = WEFT_OK;
    if (p.refused)
        reader_skip(r, "part", 0, p.refused, "");
    else
        rc = read_document(r, &p);
    package_free(&p);
    return rc;
}

static bool detects(const ingest_head *head) {
    return package_detects(head, ".docx", "word/");
}

const ingest_source source_docx = {.name = "docx",
                                   .title = "Word document",
                                   .unit = "part",
                                   .endings = {".docx"},
                                   .detects = detects,
                                   .read = read_docx};
