/* Source of EPUB books: the chapters in reading order, a document each. Left out: the table of
 * contents and what stands outside the reading order. Refuses books whose text is encrypted. */
#include "ingest/file.h"
#include "ingest/package.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define CHAPTERS_MAX 10000

static bool wanted(const char *name) {
    static const char *const endings[] = {".xhtml", ".html", ".htm", ".xml", ".opf"};
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && i < sizeof endings / sizeof *endings; i++)
        if (!strcasecmp(dot, endings[i])) return true;
    return false;
}

/* Fonts may be scrambled; a text must not be. */
static bool is_encrypted(const package *p) {
    xmlDoc *doc = package_xml(p, "META-INF/encryption.xml");
    const xmlNode *root = doc ? xmlDocGetRootElement(doc) : NULL;
    bool found = false;
    for (const xmlNode *at = root; at && !found; at = xml_next(at, root, false)) {
        const char *name = xml_is(at, "CipherReference") ? xml_attribute(at, "URI") : NULL;
        found = name && package_find(p, name);
    }
    if (doc) xmlFreeDoc(doc);
    return found;
}

static int hex_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The part's name of a link that stands in the part `from`: "%20" undone, "#place" cut off. */
static bool resolve(const char *from, const char *link, bytes *out) {
    const char *slash = strrchr(from, '/');
    if (slash && !bytes_add(out, from, (size_t)(slash - from) + 1)) return false;
    for (; *link && *link != '#'; link++) {
        char c = *link;
        if (c == '%' && hex_value(link[1]) >= 0 && hex_value(link[2]) >= 0) {
            c = (char)(hex_value(link[1]) * 16 + hex_value(link[2]));
            link += 2;
        }
        if (!strncmp(link, "../", 3) && out->size) {
            for (out->size--; out->size && out->data[out->size - 1] != '/';) out->size--;
            link += 2;
        } else if (c && !bytes_add_char(out, c)) {
            return false;
        }
    }
    return bytes_add(out, "", 0);
}

static const xmlNode *item_of(const xmlNode *manifest, const char *id) {
    for (const xmlNode *at = manifest->children; at; at = at->next) {
        const char *found = xml_is(at, "item") ? xml_attribute(at, "id") : NULL;
        if (found && !strcmp(found, id)) return at;
    }
    return NULL;
}

static int read_chapter(ingest_reader *r, const bytes *data, uint64_t number) {
    xmlDoc *doc = xml_parse_html(data->data, data->size);
    if (!doc) return reader_skip(r, "chapter", number, "chapter without content", ""), WEFT_OK;
    bytes text = {0};
    prose p = {.out = &text};
    html_prose(doc, &p);
    int rc = reader_prose(r, &p, number);
    bytes_free(&text);
    xmlFreeDoc(doc);
    return rc;
}

/* One entry of the reading order. */
static int read_entry(ingest_reader *r, const package *p, const char *opf, const xmlNode *item,
                      uint64_t number) {
    const char *link = item ? xml_attribute(item, "href") : NULL;
    const char *type = item ? xml_attribute(item, "media-type") : NULL;
    const char *properties = item ? xml_attribute(item, "properties") : NULL;
    if (properties && strstr(properties, "nav"))
        return reader_skip(r, "chapter", number, "table of contents", ""), WEFT_OK;
    if (type && !strncmp(type, "image/", 6))
        return reader_skip(r, "chapter", number, "chapter that is a picture", ""), WEFT_OK;
    bytes name = {0};
    if (link && !resolve(opf, link, &name)) return bytes_free(&name), reader_no_memory(r);
    const bytes *data = link ? package_find(p, name.data) : NULL;
    int rc = WEFT_OK;
    if (data)
        rc = read_chapter(r, data, number);
    else
        reader_skip(r, "chapter", number, "chapter that is not in the book", link ? link : "");
    bytes_free(&name);
    return rc;
}

static int read_spine(ingest_reader *r, const package *p, const char *opf, const xmlNode *root) {
    const xmlNode *manifest = xml_child(root, "manifest"), *spine = xml_child(root, "spine");
    uint64_t number = 0;
    if (!manifest || !spine)
        return reader_skip(r, "chapter", 0, "damaged EPUB book", "no reading order"), WEFT_OK;
    for (const xmlNode *at = spine->children; at; at = at->next) {
        const char *id = xml_is(at, "itemref") ? xml_attribute(at, "idref") : NULL;
        if (!id) continue;
        if (++number > CHAPTERS_MAX)
            return reader_skip(r, "chapter", number, "over 10000 chapters", ""), WEFT_OK;
        TRY(read_entry(r, p, opf, item_of(manifest, id), number));
    }
    return WEFT_OK;
}

static int read_book(ingest_reader *r, const package *p) {
    if (is_encrypted(p)) return reader_skip(r, "chapter", 0, "encrypted book (DRM)", ""), WEFT_OK;
    xmlDoc *container = package_xml(p, "META-INF/container.xml"), *doc = NULL;
    const xmlNode *file = container ? xml_find(xmlDocGetRootElement(container), "rootfile") : NULL;
    const char *opf = file ? xml_attribute(file, "full-path") : NULL;
    if (opf) doc = package_xml(p, opf);
    const xmlNode *root = doc ? xmlDocGetRootElement(doc) : NULL;
    int rc = WEFT_OK;
    if (root)
        rc = read_spine(r, p, opf, root);
    else
        reader_skip(r, "chapter", 0, "damaged EPUB book", opf ? opf : "META-INF/container.xml");
    if (doc) xmlFreeDoc(doc);
    if (container) xmlFreeDoc(container);
    return rc;
}

static int read_epub(ingest_reader *r, FILE *file) {
    package p;
    reader_kind(r, "epub");
    if (!package_read(&p, file, wanted)) return reader_no_memory(r);
    int rc = WEFT_OK;
    if (p.refused)
        reader_skip(r, "chapter", 0, p.refused, "");
    else
        rc = read_book(r, &p);
    package_free(&p);
    return rc;
}

static bool detects(const ingest_head *head) {
    return package_declares(head, ".epub", "application/epub+zip");
}

const ingest_source source_epub = {.name = "epub",
                                   .title = "EPUB book",
                                   .unit = "chapter",
                                   .endings = {".epub"},
                                   .detects = detects,
                                   .read = read_epub};
