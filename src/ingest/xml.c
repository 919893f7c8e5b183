/* libxml2, closed off, and the few steps through its trees that the sources share. */
#include "ingest/xml.h"
#include "ingest/sources.h"

#include <libxml/HTMLparser.h>
#include <libxml/parser.h>
#include <string.h>

#define PARSE_OPTIONS                                                                              \
    (XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_COMPACT)
#define HTML_OPTIONS                                                                               \
    (HTML_PARSE_RECOVER | HTML_PARSE_NONET | HTML_PARSE_NOERROR | HTML_PARSE_NOWARNING |           \
     HTML_PARSE_COMPACT)

xmlDoc *xml_parse(const char *data, size_t size) {
    if (!size || size > XML_BYTES_MAX) return NULL;
    return xmlReadMemory(data, (int)size, NULL, NULL, PARSE_OPTIONS);
}

xmlDoc *xml_parse_html(const char *data, size_t size) {
    if (!size || size > XML_BYTES_MAX) return NULL;
    const char *encoding = text_is_utf8(data, size) ? "UTF-8" : NULL;
    return htmlReadMemory(data, (int)size, NULL, encoding, HTML_OPTIONS);
}

bool xml_is(const xmlNode *node, const char *name) {
    return node->type == XML_ELEMENT_NODE && !strcmp((const char *)node->name, name);
}

bool xml_is_any(const xmlNode *node, const char *const *names) {
    for (; *names; names++)
        if (xml_is(node, *names)) return true;
    return false;
}

const xmlNode *xml_next(const xmlNode *node, const xmlNode *root, bool over) {
    if (!over && node->type == XML_ELEMENT_NODE && node->children) return node->children;
    while (node != root && !node->next) node = node->parent;
    return node == root ? NULL : node->next;
}

const xmlNode *xml_find(const xmlNode *node, const char *name) {
    const xmlNode *at = node ? xml_next(node, node, false) : NULL;
    while (at && !xml_is(at, name)) at = xml_next(at, node, false);
    return at;
}

const xmlNode *xml_child(const xmlNode *node, const char *name) {
    const xmlNode *at = node ? node->children : NULL;
    while (at && !xml_is(at, name)) at = at->next;
    return at;
}

const char *xml_attribute(const xmlNode *node, const char *name) {
    if (node->type != XML_ELEMENT_NODE) return NULL;
    for (const xmlAttr *a = node->properties; a; a = a->next)
        if (!strcmp((const char *)a->name, name))
            return a->children && a->children->content ? (const char *)a->children->content : "";
    return NULL;
}

void xml_text(const xmlNode *node, prose *p) {
    for (const xmlNode *at = node; at; at = xml_next(at, node, false))
        if ((at->type == XML_TEXT_NODE || at->type == XML_CDATA_SECTION_NODE) && at->content)
            prose_text(p, (const char *)at->content, strlen((const char *)at->content));
}
