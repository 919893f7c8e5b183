/* The list of sources, and how a file or folder finds its own. */
#include "ingest/sources.h"

#include <pthread.h>
#include <string.h>
#include <strings.h>

/* Order matters: the first that recognises a content or a folder gets it, so that the special come
 * before the general. */
const ingest_source *const ingest_sources[] = {
    &source_mbox,
    &source_maildir,
    &source_eml,
    &source_signal,
    &source_whatsapp,
    &source_telegram,
    &source_slack,
    &source_x,
    &source_chatgpt,
    &source_claude,
    &source_jsonl,
    &source_text,
    &source_pdf,
    &source_docx,
    &source_odt,
    &source_epub,
    &source_xlsx,
    &source_ods,
    &source_html,
    &source_obsidian,
    &source_health,
    &source_whoop,
    &source_csv,
    NULL,
};

static bytes names;

static void join_names(void) {
    for (size_t i = 0; ingest_sources[i]; i++)
        if (!bytes_printf(&names, "%s%s", i ? ", " : "", ingest_sources[i]->name)) return;
}

const char *ingest_source_names(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, join_names);
    return names.data ? names.data : "";
}

const ingest_source *source_named(const char *name) {
    for (size_t i = 0; ingest_sources[i]; i++)
        if (!strcmp(ingest_sources[i]->name, name)) return ingest_sources[i];
    return NULL;
}

static const char *name_ending(const char *path) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const char *dot = strrchr(name, '.');
    return dot && dot != name ? dot : "";
}

const ingest_source *source_by_ending(const char *path) {
    enum { ENDINGS = sizeof ingest_sources[0]->endings / sizeof *ingest_sources[0]->endings };
    const char *ending = name_ending(path);
    for (size_t i = 0; ingest_sources[i]; i++)
        for (size_t k = 0; k < ENDINGS && ingest_sources[i]->endings[k]; k++)
            if (!strcasecmp(ingest_sources[i]->endings[k], ending)) return ingest_sources[i];
    return NULL;
}

const ingest_source *source_of_folder(const ingest_folder *folder) {
    for (size_t i = 0; ingest_sources[i]; i++)
        if (ingest_sources[i]->detects_folder && ingest_sources[i]->detects_folder(folder))
            return ingest_sources[i];
    return NULL;
}

/* Control characters other than white space, form feed and escape never stand in text. */
static bool is_text(const char *data, size_t size) {
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)data[i];
        if (!c || (c < 32 && !strchr("\t\n\v\f\r\033\b", c))) return false;
    }
    return true;
}

static bool is_archive(const char *data, size_t size) {
    if (size >= 4 && !memcmp(data, "PK\3\4", 4)) return true;
    if (size >= 3 && !memcmp(data, "\x1f\x8b\x08", 3)) return true;
    return size >= 512 && !memcmp(data + 257, "ustar", 5);
}

const ingest_source *source_of_file(const char *path, const char *data, size_t size,
                                    const char **why) {
    if (size >= 3 && !memcmp(data, "\xef\xbb\xbf", 3)) data += 3, size -= 3;
    if (!size) return *why = "empty file", NULL;
    if (size >= 5 && !memcmp(data, "{\\rtf", 5))
        return *why = "RTF document (save it as DOCX, ODT or text)", NULL;
    ingest_head head = {data, size, path, is_text(data, size)};
    for (size_t i = 0; ingest_sources[i]; i++)
        if (ingest_sources[i]->detects && ingest_sources[i]->detects(&head))
            return ingest_sources[i];
    if (is_archive(data, size)) return *why = "archive", NULL;
    const ingest_source *named = source_by_ending(path);
    if (!head.text && (!named || named->read == source_text.read))
        return *why = "binary file", NULL;
    if (!named) *why = "no known form";
    return named;
}
