/* Files below a folder: listing, order, lookup. */
#include "ingest/tree.h"
#include "base/bytes.h"
#include "base/os.h"
#include "ingest/tree_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int no_memory(const char *path, weft_error *err) {
    return err_set(err, WEFT_ERR_MEMORY, "out of memory while listing %s", path);
}

void tree_close(ingest_tree **tree) {
    ingest_tree *t = *tree;
    if (!t) return;
    for (size_t i = 0; i < t->count; i++) free(t->entries[i].name);
    free(t->entries);
    free(t->path);
    if (t->spool) fclose(t->spool);
    free(t);
    *tree = NULL;
}

tree_entry *tree_add(ingest_tree *t, const char *name) {
    if (t->count == t->capacity) {
        size_t capacity = t->capacity ? t->capacity * 2 : 64;
        tree_entry *entries = realloc(t->entries, capacity * sizeof *entries);
        if (!entries) return NULL;
        t->entries = entries;
        t->capacity = capacity;
    }
    tree_entry *e = &t->entries[t->count];
    *e = (tree_entry){.name = strdup(name)};
    if (!e->name) return NULL;
    t->count++;
    return e;
}

int tree_compare(const char *a, const char *b) {
    while (*a && *a == *b) a++, b++;
    int x = *a == '/' ? 1 : (unsigned char)*a * 2, y = *b == '/' ? 1 : (unsigned char)*b * 2;
    return x < y ? -1 : x > y;
}

static int compare_entries(const void *a, const void *b) {
    const tree_entry *x = a, *y = b;
    int order = tree_compare(x->name, y->name);
    if (order) return order;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

void tree_sort(ingest_tree *t) {
    if (t->count) qsort(t->entries, t->count, sizeof *t->entries, compare_entries);
}

/* ---- listing ---- */

static int list_folder(ingest_tree *t, const char *folder, int depth, uint64_t *visited,
                       weft_error *err);

/* Whether a hidden folder is one of a Maildir: ".Sent" with "cur" in it. */
static bool is_mail_folder(const char *path) {
    bytes inner = {0};
    bool found = bytes_printf(&inner, "%s/cur", path) && os_is_dir(inner.data);
    bytes_free(&inner);
    return found;
}

static int list_entry(ingest_tree *t, const char *folder, const char *name, int depth,
                      uint64_t *visited, weft_error *err) {
    if (++*visited > INGEST_FILES_MAX)
        return err_set(err, WEFT_ERR_RANGE,
                       "%s: more than %d files, or folders linked in a circle; give a smaller "
                       "folder",
                       t->path, INGEST_FILES_MAX);
    bytes path = {0}, below = {0};
    bool slash = t->path[0] && t->path[strlen(t->path) - 1] == '/';
    int rc = WEFT_OK;
    bool ok = bytes_printf(&below, "%s%s", folder, name) &&
              bytes_printf(&path, "%s%s%s", t->path, slash ? "" : "/", below.data);
    bool is_dir = ok && os_is_dir(path.data);
    bool enter = is_dir && (name[0] != '.' || is_mail_folder(path.data));
    if (ok && is_dir) ok = bytes_add_char(&below, '/');
    if (ok && enter)
        rc = list_folder(t, below.data, depth + 1, visited, err);
    else if (ok)
        ok = tree_add(t, below.data) != NULL;
    if (!ok) rc = no_memory(t->path, err);
    bytes_free(&path);
    bytes_free(&below);
    return rc;
}

static int list_folder(ingest_tree *t, const char *folder, int depth, uint64_t *visited,
                       weft_error *err) {
    if (depth > INGEST_DEPTH_MAX)
        return err_set(err, WEFT_ERR_RANGE,
                       "%s/%s: folders nested over %d deep, or linked in a circle", t->path, folder,
                       INGEST_DEPTH_MAX);
    bytes path = {0};
    if (!bytes_printf(&path, "%s/%s", t->path, folder)) return no_memory(t->path, err);
    os_list list;
    int rc = os_list_dir(depth ? path.data : t->path, &list, err);
    bytes_free(&path);
    if (rc) return rc;
    for (size_t i = 0; i < list.count && !rc; i++)
        rc = list_entry(t, folder, list.names[i], depth, visited, err);
    os_list_free(&list);
    return rc;
}

int tree_open_folder(const char *path, ingest_tree **out, weft_error *err) {
    uint64_t visited = 0;
    *out = NULL;
    ingest_tree *t = calloc(1, sizeof *t);
    if (!t) return no_memory(path, err);
    t->path = strdup(path);
    int rc = t->path ? list_folder(t, "", 0, &visited, err) : no_memory(path, err);
    if (rc) {
        tree_close(&t);
        return rc;
    }
    tree_sort(t);
    *out = t;
    return WEFT_OK;
}

/* ---- looking ---- */

bool tree_is_archive(const ingest_tree *t) {
    return t->spool != NULL;
}

const char *tree_path(const ingest_tree *t) {
    return t->path;
}

ingest_folder tree_top(const ingest_tree *t) {
    return (ingest_folder){.tree = t, .end = t->count};
}

size_t folder_count(const ingest_folder *f) {
    return f->end - f->begin;
}

const char *folder_name(const ingest_folder *f, size_t i) {
    return f->tree->entries[f->begin + i].name + f->prefix_bytes;
}

/* The first file whose name is not before this one. */
static size_t lower_bound(const ingest_folder *f, const char *name) {
    size_t low = 0, high = folder_count(f);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (tree_compare(folder_name(f, middle), name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

size_t folder_find(const ingest_folder *f, const char *name) {
    size_t at = lower_bound(f, name), size = strlen(name);
    if (at == folder_count(f)) return SIZE_MAX;
    bool inside = size && name[size - 1] == '/';
    const char *found = folder_name(f, at);
    return (inside ? strncmp(found, name, size) : strcmp(found, name)) ? SIZE_MAX : at;
}

bool folder_has(const ingest_folder *f, const char *name) {
    return folder_find(f, name) != SIZE_MAX;
}

bool folder_sub(const ingest_folder *f, size_t i, ingest_folder *sub) {
    const char *name = folder_name(f, i), *slash = strchr(name, '/');
    if (!slash || !slash[1]) return false;
    size_t size = (size_t)(slash - name) + 1, first = i, last = i + 1;
    while (first && !strncmp(folder_name(f, first - 1), name, size)) first--;
    while (last < folder_count(f) && !strncmp(folder_name(f, last), name, size)) last++;
    *sub = (ingest_folder){f->tree, f->begin + first, f->begin + last, f->prefix_bytes + size};
    return true;
}

/* ---- opening ---- */

static FILE *open_member(const ingest_tree *t, const tree_entry *e, char why[96]) {
    if (e->closed) return snprintf(why, 96, "%s", e->closed), NULL;
    FILE *file = os_open_range(t->spool, e->offset, e->bytes);
    if (!file) snprintf(why, 96, "out of memory or open files");
    return file;
}

FILE *folder_open(const ingest_folder *f, size_t i, char why[96]) {
    const tree_entry *e = &f->tree->entries[f->begin + i];
    if (f->tree->spool) return open_member(f->tree, e, why);
    bytes path = {0};
    FILE *file = NULL;
    if (!bytes_printf(&path, "%s/%s", f->tree->path, e->name)) {
        snprintf(why, 96, "out of memory");
    } else if (!os_is_file(path.data)) {
        snprintf(why, 96, "not a file or folder");
    } else {
        file = fopen(path.data, "rb");
        if (!file) snprintf(why, 96, "cannot be read: %s", strerror(errno));
    }
    bytes_free(&path);
    return file;
}
