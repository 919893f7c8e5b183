/* HTML pages reduced to what is read on them. Headings, paragraphs, lists and tables become lines;
 * scripts, styles, navigation, forms and hidden parts are left out; nothing is followed. */
#include "ingest/file.h"
#include "ingest/xml.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const DROPPED[] = {
    "script", "style",  "noscript", "template", "head",   "nav",    "footer", "aside",
    "form",   "button", "select",   "textarea", "iframe", "object", "audio",  "video",
    "canvas", "svg",    "math",     "dialog",   "map",    "rt",     "rp",     NULL};
static const char *const LINES[] = {"div",     "dt",     "dd",      "ul", "ol",
                                    "dl",      "figure", "tr",      "li", "section",
                                    "caption", "legend", "address", NULL};
static const char *const PARAGRAPHS[] = {
    "p",    "h1",    "h2",  "h3",         "h4",     "h5",      "h6",         "hr",      "article",
    "main", "table", "pre", "blockquote", "header", "details", "figcaption", "summary", NULL};

static bool attribute_is(const xmlNode *node, const char *name, const char *value) {
    const char *found = xml_attribute(node, name);
    return found && !strcasecmp(found, value);
}

static bool is_hidden(const xmlNode *node) {
    static const char *const roles[] = {"navigation",    "banner", "contentinfo", "search",
                                        "complementary", "menu",   NULL};
    for (size_t i = 0; roles[i]; i++)
        if (attribute_is(node, "role", roles[i])) return true;
    if (xml_attribute(node, "hidden") || attribute_is(node, "aria-hidden", "true")) return true;
    const char *style = xml_attribute(node, "style");
    if (!style || !(style = strcasestr(style, "display"))) return false;
    style += strlen("display");
    style += strspn(style, " :");
    return !strncasecmp(style, "none", 4);
}

/* The header of the page is navigation; that of an article holds its headline. */
static bool is_left_out(const xmlNode *node) {
    bool page_header = xml_is(node, "header") && node->parent && xml_is(node->parent, "body");
    return page_header || xml_is_any(node, DROPPED) || is_hidden(node);
}

/* A table whose cells hold blocks lays a page out; one whose cells hold words shows data. */
static bool is_layout(const xmlNode *table) {
    static const char *const blocks[] = {"table", "p",  "div", "ul",  "ol", "h1",
                                         "h2",    "h3", "h4",  "pre", NULL};
    for (size_t i = 0; blocks[i]; i++)
        if (xml_find(table, blocks[i])) return true;
    return false;
}

typedef struct page_walk {
    prose *p;
    bool layout, pre;
    int ordinals[XML_NEST_MAX + 2]; /* of the next item, by depth of the list; 0 = bullets */
} page_walk;

static void walk(page_walk *w, const xmlNode *node, int depth);

static void walk_children(page_walk *w, const xmlNode *node, int depth) {
    for (const xmlNode *at = node->children; at; at = at->next) walk(w, at, depth);
}

static void walk_list(page_walk *w, const xmlNode *node, int depth) {
    prose *p = w->p;
    if (!p->lists) prose_paragraph(p);
    int lists = ++p->lists;
    w->ordinals[lists] = xml_is(node, "ol");
    walk_children(w, node, depth + 1);
    p->lists--;
    if (!p->lists) prose_paragraph(p);
}

static void walk_item(page_walk *w, const xmlNode *node, int depth) {
    int *ordinal = &w->ordinals[w->p->lists];
    prose_item(w->p, w->p->lists ? *ordinal : 0);
    if (*ordinal) ++*ordinal;
    walk_children(w, node, depth + 1);
    w->p->item = false;
    prose_line(w->p);
}

static void walk_table(page_walk *w, const xmlNode *node, int depth) {
    bool outer = w->layout;
    w->layout = is_layout(node);
    prose_paragraph(w->p);
    walk_children(w, node, depth + 1);
    prose_paragraph(w->p);
    w->layout = outer;
}

static void walk_cell(page_walk *w, const xmlNode *node, int depth) {
    if (w->layout) {
        prose_line(w->p);
    } else {
        if (xmlPreviousElementSibling((xmlNode *)(uintptr_t)node)) prose_cell(w->p);
        w->p->flat++;
    }
    walk_children(w, node, depth + 1);
    if (w->layout)
        prose_line(w->p);
    else
        w->p->flat--;
}

static void walk_block(page_walk *w, const xmlNode *node, int depth) {
    bool paragraph = xml_is_any(node, PARAGRAPHS), line = xml_is_any(node, LINES), outer = w->pre;
    if (xml_is(node, "pre")) w->pre = true;
    if (paragraph) prose_paragraph(w->p);
    if (line) prose_line(w->p);
    walk_children(w, node, depth + 1);
    if (paragraph) prose_paragraph(w->p);
    if (line) prose_line(w->p);
    w->pre = outer;
}

static void walk(page_walk *w, const xmlNode *node, int depth) {
    if (node->type == XML_TEXT_NODE && node->content) {
        const char *text = (const char *)node->content;
        if (w->pre)
            prose_verbatim(w->p, text, strlen(text));
        else
            prose_text(w->p, text, strlen(text));
        return;
    }
    if (node->type != XML_ELEMENT_NODE || depth > XML_NEST_MAX || is_left_out(node)) return;
    if (xml_is(node, "br"))
        prose_break(w->p);
    else if (xml_is(node, "ul") || xml_is(node, "ol"))
        walk_list(w, node, depth);
    else if (xml_is(node, "li"))
        walk_item(w, node, depth);
    else if (xml_is(node, "table"))
        walk_table(w, node, depth);
    else if (xml_is(node, "td") || xml_is(node, "th"))
        walk_cell(w, node, depth);
    else
        walk_block(w, node, depth);
}

/* The part of the page that is its content, where the page says so; several articles are all of it.
 */
static const xmlNode *content_root(const xmlNode *html) {
    const xmlNode *found = xml_find(html, "main"), *article = NULL;
    if (found) return found;
    int count = 0;
    for (const xmlNode *at = html; at; at = xml_next(at, html, xml_is(at, "article"))) {
        if (!xml_is(at, "article")) continue;
        article = at;
        count++;
    }
    return count == 1 ? article : html;
}

void html_prose(const xmlDoc *doc, prose *p) {
    const xmlNode *html = xmlDocGetRootElement((xmlDoc *)(uintptr_t)doc);
    if (!html) return;
    page_walk w = {.p = p};
    walk(&w, content_root(html), 0);
}

/* ---- pages as files ---- */

static int read_page(ingest_reader *r, FILE *file) {
    bytes data = {0}, text = {0};
    bool fits;
    reader_kind(r, "html");
    TRY(file_read(r, file, XML_BYTES_MAX, &data, &fits));
    xmlDoc *doc = fits ? xml_parse_html(data.data, data.size) : NULL;
    prose p = {.out = &text};
    int rc = WEFT_OK;
    if (!doc) {
        reader_skip(r, "line", 0, fits ? "page without content" : "page over 32 MiB", "");
    } else {
        html_prose(doc, &p);
        rc = reader_prose(r, &p, 1);
        xmlFreeDoc(doc);
    }
    bytes_free(&data);
    bytes_free(&text);
    return rc;
}

static bool detects(const ingest_head *head) {
    static const char *const begins[] = {"<!doctype html", "<html"};
    const char *p = head->data + strspn(head->data, " \t\r\n");
    if (!strncmp(p, "<?xml", 5)) { /* XHTML */
        const char *end = strstr(p, "?>");
        p = end ? end + 2 + strspn(end + 2, " \t\r\n") : p;
    }
    for (size_t i = 0; i < sizeof begins / sizeof *begins; i++)
        if (!strncasecmp(p, begins[i], strlen(begins[i]))) return true;
    return false;
}

const ingest_source source_html = {.name = "html",
                                   .title = "HTML page",
                                   .endings = {".html", ".htm", ".xhtml"},
                                   .detects = detects,
                                   .read = read_page};
