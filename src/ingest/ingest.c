/* The table of sources, how a file's source is found, the walk through folders, and the report. */
#include "ingest/ingest.h"
#include "base/os.h"
#include "ingest/sources.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define HEAD_BYTES 4096 /* what detection looks at */

static const struct source {
    const char *name;
    int (*read)(ingest_reader *r, FILE *file);
    const char *endings[8]; /* of file names that belong to it; "" is a name without one */
} sources[] = {
    {"mbox", source_mbox, {".mbox", ".mbx"}},
    {"text", source_text, {".txt", ".text", ".md", ".markdown", ".rst", ".org", ""}},
    {"jsonl", source_jsonl, {".jsonl", ".ndjson", ".json"}},
};

enum { SOURCE_MBOX, SOURCE_TEXT, SOURCE_JSONL, SOURCE_COUNT };

const char *ingest_source_names(void) {
    return "mbox, text, jsonl";
}

#define FORMS_READ                                                                                 \
    "weft reads mailboxes (mbox), text and Markdown (.txt, .md) and JSON records (.jsonl)"

static const struct source *source_named(const char *name) {
    for (size_t i = 0; i < SOURCE_COUNT; i++)
        if (!strcmp(sources[i].name, name)) return &sources[i];
    return NULL;
}

/* ---- detection ---- */

static const char *name_ending(const char *path) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const char *dot = strrchr(name, '.');
    return dot && dot != name ? dot : "";
}

static const struct source *source_by_name(const char *path) {
    const char *ending = name_ending(path);
    for (size_t i = 0; i < SOURCE_COUNT; i++)
        for (size_t k = 0; k < 8 && sources[i].endings[k]; k++)
            if (!strcasecmp(sources[i].endings[k], ending)) return &sources[i];
    return NULL;
}

/* "From x ... 12:34" and a header line below it. */
static bool looks_like_mbox(const char *head) {
    if (strncmp(head, "From ", 5)) return false;
    const char *next = strchr(head, '\n');
    if (!next) return false;
    size_t name = strcspn(++next, ": \t\r\n");
    return name > 0 && next[name] == ':';
}

static bool looks_like_json(const char *head) {
    head += strspn(head, " \t\r\n");
    if (*head == '[') {
        head += 1 + strspn(head + 1, " \t\r\n");
        return *head == '{';
    }
    if (*head++ != '{') return false;
    head += strspn(head, " \t");
    return *head == '"';
}

/* Control characters other than white space, form feed and escape never stand in text. */
static bool looks_binary(const char *head, size_t size) {
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)head[i];
        if (c < 32 && !strchr("\t\n\v\f\r\033\b", c)) return true;
        if (!c) return true;
    }
    return false;
}

/* What head (size bytes, NUL after them) of path is; NULL with the reason why it is nothing known.
 */
static const struct source *detect(const char *path, const char *head, size_t size,
                                   const char **why) {
    if (size >= 3 && !memcmp(head, "\xef\xbb\xbf", 3)) head += 3, size -= 3;
    if (!size) return *why = "empty file", NULL;
    if (size >= 2 && (!memcmp(head, "\xff\xfe", 2) || !memcmp(head, "\xfe\xff", 2)))
        return *why = "UTF-16 text (save it as UTF-8)", NULL;
    const struct source *named = source_by_name(path);
    bool mail = looks_like_mbox(head);
    if (mail || named == &sources[SOURCE_MBOX]) return &sources[SOURCE_MBOX];
    if (looks_like_json(head)) return &sources[SOURCE_JSONL];
    if (looks_binary(head, size)) return *why = "binary file", NULL;
    if (!named) *why = "no known form";
    return named;
}

/* ---- one file ---- */

/* A walk through a path; it is made once to count senders (senders set), and once to read. */
typedef struct walk {
    const ingest_options *options;
    ingest_reader reader;
    mail_senders *senders;
    uint64_t visited_count;
    bool alone; /* the path is a file: what is wrong with it is an error, not a skip */
} walk;

static int refuse(walk *w, const char *path, weft_status code, const char *why) {
    if (w->alone) return err_set(w->reader.err, code, "%s: %s; " FORMS_READ, path, why);
    if (!w->senders) reader_skip(&w->reader, "line", 0, why, "");
    return WEFT_OK;
}

static const struct source *choose(walk *w, const char *path, FILE *file, const char **why) {
    char head[HEAD_BYTES + 1];
    size_t size = fread(head, 1, HEAD_BYTES, file);
    head[size] = 0;
    rewind(file);
    if (!size) return *why = "empty file", NULL;
    return w->options->as ? source_named(w->options->as) : detect(path, head, size, why);
}

static int read_open(walk *w, const char *path, FILE *file) {
    const char *why = "";
    ingest_reader *r = &w->reader;
    const struct source *source = choose(w, path, file, &why);
    if (!source && !strcmp(why, "empty file")) return refuse(w, path, WEFT_ERR_FORMAT, why);
    if (!source) return refuse(w, path, WEFT_ERR_UNSUPPORTED, why);
    if (w->senders)
        return source->read == source_mbox ? mail_senders_count(w->senders, r, file) : WEFT_OK;
    r->kind[0] = 0;
    TRY(source->read(r, file));
    r->report->file_count++;
    return WEFT_OK;
}

static int read_file(walk *w, const char *path) {
    w->reader.path = path;
    if (!os_is_file(path)) return refuse(w, path, WEFT_ERR_IO, "not a file or folder");
    FILE *file = fopen(path, "rb");
    if (!file) {
        char why[96];
        snprintf(why, sizeof why, "cannot be read: %s", strerror(errno));
        return refuse(w, path, WEFT_ERR_IO, why);
    }
    int rc = read_open(w, path, file);
    fclose(file);
    return rc;
}

/* ---- folders ---- */

static int read_folder(walk *w, const char *path, int depth);

static int read_entry(walk *w, const char *folder, const char *name, int depth) {
    bytes path = {0};
    bool slash = folder[0] && folder[strlen(folder) - 1] == '/';
    if (!bytes_printf(&path, "%s%s%s", folder, slash ? "" : "/", name))
        return reader_no_memory(&w->reader);
    w->reader.path = path.data;
    int rc = WEFT_OK;
    if (++w->visited_count > INGEST_FILES_MAX)
        rc = err_set(w->reader.err, WEFT_ERR_RANGE,
                     "%s: more than %d files, or folders linked in "
                     "a circle; give a smaller folder",
                     folder, INGEST_FILES_MAX);
    else if (name[0] == '.')
        refuse(w, path.data, WEFT_ERR_UNSUPPORTED, "hidden file");
    else if (os_is_dir(path.data))
        rc = read_folder(w, path.data, depth + 1);
    else
        rc = read_file(w, path.data);
    w->reader.path = folder;
    bytes_free(&path);
    return rc;
}

static int read_folder(walk *w, const char *path, int depth) {
    if (depth > INGEST_DEPTH_MAX)
        return err_set(w->reader.err, WEFT_ERR_RANGE,
                       "%s: folders nested over %d deep, or linked "
                       "in a circle",
                       path, INGEST_DEPTH_MAX);
    os_list list;
    TRY(os_list_dir(path, &list, w->reader.err));
    int rc = WEFT_OK;
    for (size_t i = 0; i < list.count && !rc; i++) rc = read_entry(w, path, list.names[i], depth);
    os_list_free(&list);
    return rc;
}

/* ---- the whole path ---- */

static int walk_path(walk *w, const char *path) {
    w->visited_count = 0;
    w->alone = !os_is_dir(path);
    w->reader.path = path;
    return w->alone ? read_file(w, path) : read_folder(w, path, 0);
}

/* The first pass: whose mail is this? Its result is copied to the report. */
static int find_owner(walk *w, const char *path) {
    ingest_report *report = w->reader.report;
    const char *given = w->options->owner, *found = NULL;
    w->senders = given ? NULL : mail_senders_create();
    if (!given && !w->senders) return reader_no_memory(&w->reader);
    int rc = given ? WEFT_OK : walk_path(w, path);
    if (!given && !rc) found = mail_senders_owner(w->senders);
    if (given || found) snprintf(report->owner, sizeof report->owner, "%s", given ? given : found);
    mail_senders_free(w->senders);
    w->senders = NULL;
    /* Text before the first message was met here, and will be met again. */
    memset(report->skips, 0, sizeof report->skips);
    report->skip_count = 0;
    if (report->owner[0]) w->reader.owner = report->owner;
    return rc;
}

/* No document at all: say what there was. */
static int explain_nothing(const walk *w, const char *path) {
    const ingest_report *report = w->reader.report;
    uint64_t skipped = 0;
    for (size_t i = 0; i < report->skip_count; i++) skipped += report->skips[i].count;
    if (!skipped)
        return err_set(w->reader.err, WEFT_ERR_FORMAT,
                       "%s: nothing to learn from in it; " FORMS_READ, path);
    const ingest_skip *first = &report->skips[0];
    return err_set(
        w->reader.err, WEFT_ERR_FORMAT,
        "%s: nothing to learn from in it; %llu left out, the first because: %s (%s); " FORMS_READ,
        path, (unsigned long long)skipped, first->reason, first->first);
}

static int read_all(walk *w, const char *path) {
    ingest_report *report = w->reader.report;
    TRY(find_owner(w, path));
    TRY(walk_path(w, path));
    snprintf(report->kind, sizeof report->kind, "%s", w->alone ? w->reader.kind : "folder");
    return report->document_count ? WEFT_OK : explain_nothing(w, path);
}

int ingest_path(const char *path, const ingest_options *options, ingest_sink sink, void *context,
                ingest_report *report, weft_error *err) {
    static const ingest_options defaults = {0};
    if (!options) options = &defaults;
    ingest_report *own = report ? NULL : malloc(sizeof *own);
    if (!report && !own) return err_set(err, WEFT_ERR_MEMORY, "out of memory");
    if (!report) report = own;
    *report = (ingest_report){0};
    int rc = WEFT_OK;
    if (options->as && !source_named(options->as)) {
        rc = err_set(err, WEFT_ERR_ARGUMENT, "there is no source called \"%s\"; choose one of %s",
                     options->as, ingest_source_names());
    } else if (!os_is_file(path) && !os_is_dir(path)) {
        os_map map; /* opened only to be told why not */
        rc = os_map_open(path, &map, err);
        os_map_close(&map);
    }
    walk w = {.options = options,
              .reader = {.sink = sink, .context = context, .report = report, .err = err}};
    if (!rc) rc = read_all(&w, path);
    free(own);
    return rc;
}
