/* Archives as trees: every member is read once, through libarchive, into a temporary file without a
 * name. Refuses what unpacks to far more than it can honestly hold. */
#include "base/bytes.h"
#include "base/os.h"
#include "ingest/sources.h"
#include "ingest/tree_impl.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

typedef struct unpacking {
    ingest_tree *tree;
    struct archive *archive;
    uint64_t packed_bytes, unpacked_bytes;
    weft_error *err;
} unpacking;

static bool is_media(const char *name) {
    static const char *const endings[] = {
        ".jpg", ".jpeg", ".png",  ".gif", ".webp", ".heic", ".tiff", ".bmp", ".ico",
        ".mp4", ".mov",  ".m4v",  ".avi", ".webm", ".mkv",  ".3gp",  ".mp3", ".m4a",
        ".ogg", ".oga",  ".opus", ".aac", ".wav",  ".amr",  ".flac", ".ttf", ".woff2"};
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && i < sizeof endings / sizeof *endings; i++)
        if (!strcasecmp(dot, endings[i])) return true;
    return false;
}

/* Names are only labels here; they are made fit to be shown and to be told apart by parts. */
static bool member_name(const char *raw, size_t number, bytes *out) {
    bytes clean = {0};
    bool ok = text_clean(&clean, raw ? raw : "", raw ? strlen(raw) : 0);
    if (ok && clean.size > ARCHIVE_NAME_MAX) clean.data[clean.size = ARCHIVE_NAME_MAX] = 0;
    const char *from = ok ? clean.data : "";
    while (!strncmp(from, "./", 2) || *from == '/') from += *from == '/' ? 1 : 2;
    ok = ok &&
         (*from ? text_clean(out, from, strlen(from)) : bytes_printf(out, "member %zu", number));
    for (size_t i = 0; ok && i < out->size; i++)
        if ((unsigned char)out->data[i] < 32 || out->data[i] == 127) out->data[i] = '?';
    bytes_free(&clean);
    return ok;
}

static int name_depth(const char *name) {
    int depth = 0;
    for (; *name; name++) depth += *name == '/';
    return depth;
}

static int count_bytes(unpacking *u, size_t size) {
    u->unpacked_bytes += size;
    if (u->unpacked_bytes > ARCHIVE_FREE_BYTES + ARCHIVE_RATIO_MAX * u->packed_bytes)
        return err_set(u->err, WEFT_ERR_RANGE,
                       "%s: unpacks to over %d times its size, as only a trap does; if you trust "
                       "it, unpack it yourself and give the folder",
                       u->tree->path, ARCHIVE_RATIO_MAX);
    if (u->unpacked_bytes > ARCHIVE_BYTES_MAX)
        return err_set(u->err, WEFT_ERR_RANGE,
                       "%s: unpacks to over 64 GiB; unpack it yourself and give the folder",
                       u->tree->path);
    return WEFT_OK;
}

static int read_content(unpacking *u, tree_entry *e) {
    const void *block;
    size_t size;
    la_int64_t offset;
    for (;;) {
        int got = archive_read_data_block(u->archive, &block, &size, &offset);
        if (got == ARCHIVE_EOF) return WEFT_OK;
        if (got == ARCHIVE_FATAL || got == ARCHIVE_FAILED || offset < 0) {
            e->closed = "damaged or encrypted in the archive";
            return WEFT_OK;
        }
        if (got == ARCHIVE_RETRY) continue;
        TRY(count_bytes(u, size));
        if (fwrite(block, 1, size, u->tree->spool) != size)
            return err_set(u->err, WEFT_ERR_IO,
                           "%s: no room to unpack it for reading; unpack it where there is, and "
                           "give the folder",
                           u->tree->path);
        e->bytes += size;
    }
}

static int read_member(unpacking *u, struct archive_entry *entry) {
    if (archive_entry_filetype(entry) == AE_IFDIR) return WEFT_OK;
    if (u->tree->count == ARCHIVE_MEMBERS_MAX)
        return err_set(u->err, WEFT_ERR_RANGE, "%s: more than %d files in one archive",
                       u->tree->path, ARCHIVE_MEMBERS_MAX);
    const char *raw = archive_entry_pathname_utf8(entry);
    bytes name = {0};
    if (!raw) raw = archive_entry_pathname(entry);
    bool ok = member_name(raw, u->tree->count + 1, &name);
    tree_entry *e = ok ? tree_add(u->tree, name.data) : NULL;
    bytes_free(&name);
    if (!e)
        return err_set(u->err, WEFT_ERR_MEMORY, "out of memory while reading %s", u->tree->path);
    e->offset = (uint64_t)ftello(u->tree->spool);
    if (archive_entry_filetype(entry) != AE_IFREG || archive_entry_hardlink(entry))
        e->closed = "a link or device in the archive";
    else if (name_depth(e->name) > INGEST_DEPTH_MAX)
        e->closed = "folders nested too deep in the archive";
    else if (is_media(e->name))
        e->closed = "picture, sound, film or font";
    return e->closed ? WEFT_OK : read_content(u, e);
}

static int read_members(unpacking *u, FILE *file) {
    struct archive_entry *entry;
    archive_read_support_format_zip(u->archive);
    archive_read_support_format_tar(u->archive);
    archive_read_support_filter_gzip(u->archive);
    int got = archive_read_open_FILE(u->archive, file);
    while (got != ARCHIVE_FATAL) {
        got = archive_read_next_header(u->archive, &entry);
        if (got == ARCHIVE_EOF) return WEFT_OK;
        if (got == ARCHIVE_RETRY) continue;
        if (got != ARCHIVE_FATAL) TRY(read_member(u, entry));
    }
    const char *why = archive_error_string(u->archive);
    return err_set(u->err, WEFT_ERR_FORMAT, "%s: damaged archive: %s", u->tree->path,
                   why ? why : "it cannot be read");
}

static int unpack(unpacking *u, FILE *file) {
    if (fseeko(file, 0, SEEK_END) || ftello(file) < 0)
        return err_set(u->err, WEFT_ERR_IO, "%s: its size cannot be found", u->tree->path);
    u->packed_bytes = (uint64_t)ftello(file);
    rewind(file);
    TRY(read_members(u, file));
    if (fflush(u->tree->spool))
        return err_set(u->err, WEFT_ERR_IO, "%s: no room to unpack it for reading", u->tree->path);
    tree_sort(u->tree);
    return WEFT_OK;
}

int tree_open_archive(const char *path, FILE *file, ingest_tree **out, weft_error *err) {
    *out = NULL;
    ingest_tree *t = calloc(1, sizeof *t);
    unpacking u = {.tree = t, .archive = archive_read_new(), .err = err};
    if (t) t->path = strdup(path);
    if (t) t->spool = os_open_temporary();
    int rc;
    if (!t || !t->path || !u.archive)
        rc = err_set(err, WEFT_ERR_MEMORY, "out of memory while reading %s", path);
    else if (!t->spool)
        rc = err_set(err, WEFT_ERR_IO, "%s: no temporary file can be made to read it", path);
    else
        rc = unpack(&u, file);
    archive_read_free(u.archive);
    if (rc) tree_close(&t);
    *out = t;
    return rc;
}
