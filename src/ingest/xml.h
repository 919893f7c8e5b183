/* Marked-up documents through libxml2, closed off: no network, no external files, no expansion of
 * entities, nothing printed. */
#ifndef WEFT_INGEST_XML_H
#define WEFT_INGEST_XML_H

#include "ingest/prose.h"

#include <libxml/tree.h>

#define XML_BYTES_MAX (32u << 20) /* of one document; a tree takes several times as much */
#define XML_NEST_MAX  256         /* elements within elements */

/* NULL where the document is malformed, over XML_BYTES_MAX, or memory is short. Free with
 * xmlFreeDoc. */
xmlDoc *xml_parse(const char *data, size_t size);
/* HTML as it is found: mends what it can. Its encoding is UTF-8 where the bytes are, else what the
 * document declares. */
xmlDoc *xml_parse_html(const char *data, size_t size);

/* An element of this name, whatever its namespace's prefix. */
bool xml_is(const xmlNode *node, const char *name);
bool xml_is_any(const xmlNode *node, const char *const *names); /* ends with NULL */
/* The node after this one in document order, within root, or NULL; over passes its children by. A
 * walk by this needs no stack. */
const xmlNode *xml_next(const xmlNode *node, const xmlNode *root, bool over);
/* The first element of this name below node (in document order), or NULL. */
const xmlNode *xml_find(const xmlNode *node, const char *name);
const xmlNode *xml_child(const xmlNode *node, const char *name);
/* The value of the attribute of this local name; NULL where there is none. Belongs to the tree. */
const char *xml_attribute(const xmlNode *node, const char *name);
/* All text below node, as prose. */
void xml_text(const xmlNode *node, prose *p);

/* The readable text of an HTML tree: no scripts, styles, navigation; of a page with one <main> or
 * <article> only that. */
void html_prose(const xmlDoc *doc, prose *p);

#endif
