/* Parts of zip files through libarchive. */
#include "ingest/package.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool is_zip(const ingest_head *head) {
    return head->size > 38 && !memcmp(head->data, "PK\3\4", 4);
}

static bool holds(const ingest_head *head, const char *text) {
    return memmem(head->data, head->size, text, strlen(text));
}

static bool is_named(const ingest_head *head, const char *ending) {
    size_t size = strlen(head->path), n = strlen(ending);
    return size > n && !strcasecmp(head->path + size - n, ending);
}

bool package_detects(const ingest_head *head, const char *ending, const char *folder) {
    if (!is_zip(head)) return false;
    return is_named(head, ending) || (holds(head, "[Content_Types].xml") && holds(head, folder));
}

/* The part "mimetype" comes first, is not packed, and has no extra field. */
bool package_declares(const ingest_head *head, const char *ending, const char *type) {
    size_t n = strlen(type);
    if (!is_zip(head)) return false;
    if (is_named(head, ending)) return true;
    return head->size > 38 + n && !memcmp(head->data + 30, "mimetype", 8) &&
           !memcmp(head->data + 38, type, n) && head->data[38 + n] == 'P';
}

typedef struct input {
    FILE *file;
    char buffer[1 << 15];
} input;

static la_ssize_t input_read(struct archive *a, void *context, const void **data) {
    input *in = context;
    (void)a;
    *data = in->buffer;
    size_t size = fread(in->buffer, 1, sizeof in->buffer, in->file);
    return ferror(in->file) ? -1 : (la_ssize_t)size;
}

static la_int64_t input_seek(struct archive *a, void *context, la_int64_t offset, int whence) {
    input *in = context;
    (void)a;
    if (fseeko(in->file, offset, whence)) return ARCHIVE_FATAL;
    return ftello(in->file);
}

static bool add_part(package *p, const char *name) {
    if (p->count == p->capacity) {
        size_t capacity = p->capacity ? p->capacity * 2 : 16;
        package_part *parts = realloc(p->parts, capacity * sizeof *parts);
        if (!parts) return false;
        p->parts = parts;
        p->capacity = capacity;
    }
    package_part part = {0};
    if (!bytes_add_text(&part.name, name)) return false;
    p->parts[p->count++] = part;
    return true;
}

/* The sizes in the archive's own directory are claims: what is unpacked is counted. */
static bool unpack(package *p, struct archive *a, const char *name) {
    if (!add_part(p, name)) return false;
    bytes *data = &p->parts[p->count - 1].data;
    if (!bytes_add(data, "", 0)) return false;
    for (;;) {
        char buffer[1 << 14];
        la_ssize_t n = archive_read_data(a, buffer, sizeof buffer);
        if (n < 0) p->refused = "damaged zip file";
        if (n <= 0) return true;
        p->size_bytes += (size_t)n;
        if (data->size + (size_t)n > XML_BYTES_MAX || p->size_bytes > PACKAGE_BYTES_MAX) {
            p->refused = "over 32 MiB in a part of it, or 128 MiB in all, once unpacked";
            return true;
        }
        if (!bytes_add(data, buffer, (size_t)n)) return false;
    }
}

static bool read_parts(package *p, struct archive *a, bool (*wanted)(const char *name)) {
    struct archive_entry *entry;
    int rc = ARCHIVE_OK;
    for (int i = 0; !p->refused; i++) {
        rc = archive_read_next_header(a, &entry);
        if (rc != ARCHIVE_OK && rc != ARCHIVE_WARN) break;
        const char *name = archive_entry_pathname_utf8(entry);
        if (!name) name = archive_entry_pathname(entry);
        if (i == PACKAGE_PARTS_MAX)
            p->refused = "over 20000 parts in it";
        else if (!name || !wanted(name))
            continue;
        else if (archive_entry_is_encrypted(entry))
            p->refused = "protected with a password";
        else if (!unpack(p, a, name))
            return false;
    }
    if (!p->refused && rc != ARCHIVE_EOF) p->refused = "damaged zip file";
    return true;
}

bool package_read(package *p, FILE *file, bool (*wanted)(const char *name)) {
    *p = (package){0};
    struct archive *a = archive_read_new();
    input *in = malloc(sizeof *in);
    bool ok = a && in;
    if (ok) {
        in->file = file;
        archive_read_support_format_zip_seekable(a);
        archive_read_set_read_callback(a, input_read);
        archive_read_set_seek_callback(a, input_seek);
        archive_read_set_callback_data(a, in);
        if (archive_read_open1(a) == ARCHIVE_OK)
            ok = read_parts(p, a, wanted);
        else
            p->refused = "damaged zip file";
    }
    if (a) archive_read_free(a);
    free(in);
    if (ok && !p->refused) return true;
    const char *refused = p->refused;
    package_free(p);
    p->refused = refused;
    return ok;
}

void package_free(package *p) {
    for (size_t i = 0; i < p->count; i++) {
        bytes_free(&p->parts[i].name);
        bytes_free(&p->parts[i].data);
    }
    free(p->parts);
    *p = (package){0};
}

const bytes *package_find(const package *p, const char *name) {
    for (size_t i = 0; i < p->count; i++)
        if (!strcmp(p->parts[i].name.data, name)) return &p->parts[i].data;
    return NULL;
}

xmlDoc *package_xml(const package *p, const char *name) {
    const bytes *data = package_find(p, name);
    return data ? xml_parse(data->data, data->size) : NULL;
}
