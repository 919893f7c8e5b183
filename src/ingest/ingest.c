/* The walk through a path: which source reads what, the two passes, and the report. */
#include "ingest/ingest.h"
#include "base/os.h"
#include "ingest/file.h"
#include "ingest/dedupe.h"
#include "ingest/sources.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A walk through a path; it is made once to count senders (reader.senders set), where nobody has
 * said who the owner is, and once to read. */
typedef struct walk {
    const ingest_options *options;
    ingest_reader reader;
    const ingest_source *forced; /* by options.as, or NULL */
    ingest_senders *senders;     /* of the first pass; NULL where the owner is given */
    bool alone;      /* the path is a file: what is wrong with it is an error, not a skip */
    bool in_archive; /* members of an archive are being read */
} walk;

static int read_tree(walk *w, const ingest_tree *tree);

/* ---- the account of each kind ---- */

typedef struct account {
    uint64_t file_count, document_count, text_bytes, skipped_count;
} account;

static account account_now(const ingest_report *report) {
    account a = {report->file_count, report->document_count, report->text_bytes, 0};
    for (size_t i = 0; i < report->skip_count; i++) a.skipped_count += report->skips[i].count;
    return a;
}

static ingest_kind *kind_row(ingest_report *report, const char *kind, const char *title) {
    for (size_t i = 0; i < report->kind_count; i++)
        if (!strcmp(report->kinds[i].kind, kind)) return &report->kinds[i];
    if (report->kind_count == INGEST_KINDS_MAX) return &report->kinds[INGEST_KINDS_MAX - 1];
    ingest_kind *row = &report->kinds[report->kind_count++];
    bool last = report->kind_count == INGEST_KINDS_MAX;
    *row = (ingest_kind){.title = last ? "other kinds" : title};
    snprintf(row->kind, sizeof row->kind, "%s", last ? "other kinds" : kind);
    return row;
}

/* Add what came since `before` to the row of the reader's kind. */
static void settle(walk *w, const ingest_source *source, account before) {
    ingest_reader *r = &w->reader;
    if (r->senders) return;
    account now = account_now(r->report);
    ingest_kind *row = kind_row(r->report, r->kind[0] ? r->kind : source->name, source->title);
    row->file_count += now.file_count - before.file_count;
    row->document_count += now.document_count - before.document_count;
    row->text_bytes += now.text_bytes - before.text_bytes;
    row->skipped_count += now.skipped_count - before.skipped_count;
    if (!r->owner) return;
    snprintf(row->owner, sizeof row->owner, "%s", r->owner);
    if (!r->report->owner[0]) snprintf(r->report->owner, sizeof r->report->owner, "%s", r->owner);
}

/* Make the reader ready for a source; false where this pass has nothing to do with it. */
static bool begin(walk *w, const ingest_source *source) {
    ingest_reader *r = &w->reader;
    r->kind[0] = 0;
    r->unit = source->unit;
    r->owner = NULL;
    if (!source->family) return !r->senders;
    if (r->senders) return true;
    r->owner = w->options->owner ? w->options->owner : senders_owner(w->senders, source->family);
    return true;
}

/* ---- one file ---- */

static int refuse(walk *w, weft_status code, const char *why) {
    if (w->alone)
        return err_set(w->reader.err, code, "%s: %s; weft reads %s", w->reader.path, why,
                       ingest_source_names());
    reader_skip(&w->reader, "line", 0, why, "");
    return WEFT_OK;
}

static int read_archive(walk *w, FILE *file) {
    ingest_tree *tree;
    ingest_reader *r = &w->reader;
    if (w->in_archive) return refuse(w, WEFT_ERR_UNSUPPORTED, "archive inside an archive");
    int rc = tree_open_archive(r->path, file, &tree, r->err);
    if (rc && !w->alone && rc != WEFT_ERR_MEMORY && rc != WEFT_ERR_IO) {
        reader_skip(r, "line", 0, rc == WEFT_ERR_RANGE ? "archive over a limit" : "damaged archive",
                    "");
        return WEFT_OK;
    }
    if (rc) return rc;
    const char *path = r->path;
    bool alone = w->alone;
    w->alone = false;
    w->in_archive = true;
    rc = read_tree(w, tree);
    w->in_archive = false;
    w->alone = alone;
    r->path = path;
    snprintf(r->kind, sizeof r->kind, "archive");
    tree_close(&tree);
    return rc;
}

/* The source of a file; NULL with the reason why there is none. */
static const ingest_source *choose(walk *w, FILE *file, const char **why) {
    char head[INGEST_HEAD_BYTES + 1];
    size_t size = fread(head, 1, INGEST_HEAD_BYTES, file);
    head[size] = 0;
    rewind(file);
    if (!size) return *why = "empty file", NULL;
    const ingest_source *found = source_of_file(w->reader.path, head, size, why);
    if (!w->forced || (!found && !strcmp(*why, "archive"))) return found;
    if (!w->forced->read) return *why = "not a folder or archive of this form", NULL;
    return w->forced;
}

static int read_open(walk *w, FILE *file);

/* UTF-16 is brought to UTF-8 in memory, and read as any other text. */
static int read_utf16(walk *w, FILE *file) {
    bytes data = {0}, text = {0};
    bool fits;
    int rc = file_read(&w->reader, file, UTF16_BYTES_MAX, &data, &fits);
    if (!rc && fits && !text_from_utf16(&text, data.data, data.size))
        rc = reader_no_memory(&w->reader);
    bytes_free(&data);
    FILE *converted = !rc && text.size ? fmemopen(text.data, text.size, "rb") : NULL;
    if (!rc && !fits)
        rc = refuse(w, WEFT_ERR_UNSUPPORTED, "UTF-16 text over 256 MiB (save it as UTF-8)");
    else if (!rc && !text.size)
        rc = refuse(w, WEFT_ERR_FORMAT, "empty file");
    else if (!rc)
        rc = converted ? read_open(w, converted) : reader_no_memory(&w->reader);
    if (converted) fclose(converted);
    bytes_free(&text);
    return rc;
}

static bool is_utf16(FILE *file) {
    char mark[2];
    size_t size = fread(mark, 1, sizeof mark, file);
    rewind(file);
    return text_is_utf16(mark, size);
}

static int read_open(walk *w, FILE *file) {
    const char *why = "";
    if (is_utf16(file)) return read_utf16(w, file);
    const ingest_source *source = choose(w, file, &why);
    if (!source && !strcmp(why, "archive")) return read_archive(w, file);
    if (!source)
        return refuse(w, strcmp(why, "empty file") ? WEFT_ERR_UNSUPPORTED : WEFT_ERR_FORMAT, why);
    account before = account_now(w->reader.report);
    if (!begin(w, source)) return WEFT_OK;
    TRY(source->read(&w->reader, file));
    if (!w->reader.senders) w->reader.report->file_count++;
    settle(w, source, before);
    return WEFT_OK;
}

static int read_file(walk *w, const char *path) {
    w->reader.path = path;
    FILE *file = fopen(path, "rb");
    if (!file) {
        char why[96];
        snprintf(why, sizeof why, "cannot be read: %s", strerror(errno));
        return refuse(w, WEFT_ERR_IO, why);
    }
    int rc = read_open(w, file);
    fclose(file);
    return rc;
}

/* ---- folders ---- */

static bool is_hidden(const char *name) {
    return name[0] == '.' || !strncmp(name, "__MACOSX/", 9);
}

/* A file of the folder itself. Its path is made here, for messages. */
static int read_entry(walk *w, const ingest_folder *folder, size_t i) {
    ingest_reader *r = &w->reader;
    const char *top = tree_path(folder->tree), *name = folder_name(folder, i);
    bool slash = top[0] && top[strlen(top) - 1] == '/';
    char why[96];
    bytes path = {0};
    if (!bytes_printf(&path, "%s%s%s", top, slash ? "" : "/", name - folder->prefix_bytes))
        return reader_no_memory(r);
    r->path = path.data;
    FILE *file = is_hidden(name) ? NULL : folder_open(folder, i, why);
    int rc = WEFT_OK;
    if (file)
        rc = read_open(w, file);
    else
        rc = refuse(w, WEFT_ERR_IO, is_hidden(name) ? "hidden file" : why);
    if (file) fclose(file);
    r->path = top;
    bytes_free(&path);
    return rc;
}

static const ingest_source *folder_source(const walk *w, const ingest_folder *folder) {
    const ingest_source *s = w->forced;
    if (!s) return source_of_folder(folder);
    if (!s->read_folder || folder->prefix_bytes) return NULL;
    return !s->read || (s->detects_folder && s->detects_folder(folder)) ? s : NULL;
}

static int read_folder(walk *w, const ingest_folder *folder, int depth) {
    const ingest_source *source = folder_source(w, folder);
    if (source) {
        account before = account_now(w->reader.report);
        if (!begin(w, source)) return WEFT_OK;
        TRY(source->read_folder(&w->reader, folder));
        settle(w, source, before);
        return WEFT_OK;
    }
    for (size_t i = 0; i < folder_count(folder);) {
        ingest_folder sub;
        if (depth < INGEST_DEPTH_MAX && folder_sub(folder, i, &sub)) {
            TRY(read_folder(w, &sub, depth + 1));
            i += folder_count(&sub);
        } else {
            TRY(read_entry(w, folder, i++));
        }
    }
    return WEFT_OK;
}

static int read_tree(walk *w, const ingest_tree *tree) {
    ingest_folder top = tree_top(tree);
    w->reader.path = tree_path(tree);
    return read_folder(w, &top, 0);
}

/* ---- the whole path ---- */

static int walk_path(walk *w, const char *path, const ingest_tree *tree) {
    w->alone = tree == NULL;
    return tree ? read_tree(w, tree) : read_file(w, path);
}

/* The first pass: whose messages are these? */
static int find_owners(walk *w, const char *path, const ingest_tree *tree) {
    if (w->options->owner) return WEFT_OK;
    w->senders = senders_create();
    if (!w->senders) return reader_no_memory(&w->reader);
    w->reader.senders = w->senders;
    int rc = walk_path(w, path, tree);
    w->reader.senders = NULL;
    return rc;
}

/* No document at all: say what there was. */
static int explain_nothing(const walk *w, const char *path) {
    const ingest_report *report = w->reader.report;
    uint64_t skipped = account_now(report).skipped_count;
    if (!skipped)
        return err_set(w->reader.err, WEFT_ERR_FORMAT,
                       "%s: nothing to learn from in it; weft reads %s", path,
                       ingest_source_names());
    const ingest_skip *first = &report->skips[0];
    return err_set(w->reader.err, WEFT_ERR_FORMAT,
                   "%s: nothing to learn from in it; %llu left out, the first because: %s (%s); "
                   "weft reads %s",
                   path, (unsigned long long)skipped, first->reason, first->first,
                   ingest_source_names());
}

static int read_all(walk *w, const char *path, const ingest_tree *tree) {
    ingest_report *report = w->reader.report;
    w->reader.path = path;
    TRY(find_owners(w, path, tree));
    TRY(walk_path(w, path, tree));
    snprintf(report->kind, sizeof report->kind, "%s", tree ? "folder" : w->reader.kind);
    if (w->options->template && !w->reader.template_count)
        return err_set(w->reader.err, WEFT_ERR_ARGUMENT,
                       "%s: there is no table in it whose columns the template could name", path);
    return report->document_count ? WEFT_OK : explain_nothing(w, path);
}

static int check_path(const char *path, weft_error *err) {
    if (os_is_file(path) || os_is_dir(path)) return WEFT_OK;
    os_map map; /* opened only to be told why not */
    int rc = os_map_open(path, &map, err);
    if (!rc) os_map_close(&map);
    return rc;
}

int ingest_path(const char *path, const ingest_options *options, ingest_sink sink, void *context,
                ingest_report *report, weft_error *err) {
    static const ingest_options defaults = {0};
    if (!options) options = &defaults;
    ingest_report *own = report ? NULL : malloc(sizeof *own);
    if (!report && !own) return err_set(err, WEFT_ERR_MEMORY, "out of memory");
    if (!report) report = own;
    *report = (ingest_report){0};
    seen_set *seen = options->keep_duplicates ? NULL : seen_create();
    walk w = {.options = options,
              .forced = options->as ? source_named(options->as) : NULL,
              .reader = {.sink = sink,
                         .context = context,
                         .report = report,
                         .template = options->template,
                         .redact = options->redact,
                         .seen = seen,
                         .err = err}};
    ingest_tree *tree = NULL;
    int rc = check_path(path, err);
    if (!rc && !seen && !options->keep_duplicates)
        rc = err_set(err, WEFT_ERR_MEMORY, "out of memory");
    if (options->as && !w.forced)
        rc = err_set(err, WEFT_ERR_ARGUMENT, "there is no source called \"%s\"; choose one of %s",
                     options->as, ingest_source_names());
    if (!rc && os_is_dir(path)) rc = tree_open_folder(path, &tree, err);
    if (!rc) rc = read_all(&w, path, tree);
    tree_close(&tree);
    senders_free(w.senders);
    seen_free(seen);
    free(own);
    return rc;
}
