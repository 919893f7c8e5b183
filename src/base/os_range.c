/* Temporary files without a name, and a part of a file as a file of its own. */
#include "base/os.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

FILE *os_open_temporary(void) {
    return tmpfile();
}

typedef struct range {
    int descriptor; /* a duplicate, so that the whole may be closed first */
    uint64_t begin, size, at;
} range;

static ssize_t range_take(range *r, char *buffer, size_t size) {
    uint64_t left = r->at < r->size ? r->size - r->at : 0;
    ssize_t got =
        pread(r->descriptor, buffer, size < left ? size : (size_t)left, (off_t)(r->begin + r->at));
    if (got > 0) r->at += (uint64_t)got;
    return got;
}

static int64_t range_move(range *r, int64_t offset, int whence) {
    int64_t from = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? (int64_t)r->at : (int64_t)r->size;
    if (offset < -from || offset > INT64_MAX - from) {
        errno = EINVAL;
        return -1;
    }
    r->at = (uint64_t)(from + offset);
    return from + offset;
}

static int range_close(void *cookie) {
    range *r = cookie;
    int rc = close(r->descriptor);
    free(r);
    return rc;
}

#if defined(__linux__)

static ssize_t range_read(void *cookie, char *buffer, size_t size) {
    return range_take(cookie, buffer, size);
}

static int range_seek(void *cookie, off64_t *offset, int whence) {
    int64_t at = range_move(cookie, *offset, whence);
    if (at < 0) return -1;
    *offset = at;
    return 0;
}

static FILE *range_file(range *r) {
    cookie_io_functions_t calls = {.read = range_read, .seek = range_seek, .close = range_close};
    return fopencookie(r, "rb", calls);
}

#else

static int range_read(void *cookie, char *buffer, int size) {
    return (int)range_take(cookie, buffer, (size_t)size);
}

static fpos_t range_seek(void *cookie, fpos_t offset, int whence) {
    return (fpos_t)range_move(cookie, (int64_t)offset, whence);
}

static FILE *range_file(range *r) {
    return funopen(r, range_read, NULL, range_seek, range_close);
}

#endif

FILE *os_open_range(FILE *whole, uint64_t begin, uint64_t size) {
    range *r = malloc(sizeof *r);
    if (!r) return NULL;
    *r = (range){.descriptor = dup(fileno(whole)), .begin = begin, .size = size};
    FILE *file = r->descriptor >= 0 ? range_file(r) : NULL;
    if (file) return file;
    if (r->descriptor >= 0) close(r->descriptor);
    free(r);
    return NULL;
}
