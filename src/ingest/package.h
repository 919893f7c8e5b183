/* Documents that are zip files of parts (DOCX, ODT, EPUB, spreadsheets): the parts that are asked
 * for, unpacked into memory under limits, so that no bomb goes off. */
#ifndef WEFT_INGEST_PACKAGE_H
#define WEFT_INGEST_PACKAGE_H

#include "ingest/sources.h"
#include "ingest/xml.h"

#define PACKAGE_PARTS_MAX 20000        /* in the file */
#define PACKAGE_BYTES_MAX (128u << 20) /* of the parts asked for; each up to XML_BYTES_MAX */

typedef struct package_part {
    bytes name, data;
} package_part;

typedef struct package {
    package_part *parts; /* in the order of the file */
    size_t count, capacity, size_bytes;
    const char *refused; /* why nothing can be had of it (static), or NULL */
} package;

/* Detection. Formats of Microsoft: a zip file with a table of content types, whose parts lie in
 * this folder ("word/"). The others declare their type in their first part. Of both a zip file
 * whose name ends so. */
bool package_detects(const ingest_head *head, const char *ending, const char *folder);
bool package_declares(const ingest_head *head, const char *ending, const char *type);

/* Unpack the parts whose names wanted accepts, from a file that can seek. False: out of memory.
 * What is wrong with the file is said in refused, and then there are no parts. */
bool package_read(package *p, FILE *file, bool (*wanted)(const char *name));
void package_free(package *p);

/* The part of this name, or NULL. */
const bytes *package_find(const package *p, const char *name);
/* The same, parsed; NULL where it is missing or malformed. Free with xmlFreeDoc. */
xmlDoc *package_xml(const package *p, const char *name);

#endif
