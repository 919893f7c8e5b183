/* The atomic file writer: everything goes to "PATH.partial", which commit renames over PATH once it
 * is on the disk. A process that is killed leaves at most that one file, which the next writer of
 * the same path takes over; a lock on it refuses two writers at once. */
#include "base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUFFER_BYTES ((size_t)1 << 18)

struct os_writer {
    int fd;
    int failed_errno; /* the first failure; commit refuses after it */
    char *path, *partial;
    uint64_t offset;
    size_t buffered;
    char buffer[BUFFER_BYTES];
};

static int fail_write(const os_writer *w, int code, weft_error *err) {
    return err_set(err, WEFT_ERR_IO, "cannot write %s: %s", w->path, strerror(code));
}

static void writer_free(os_writer **writer) {
    os_writer *w = *writer;
    *writer = NULL;
    free(w->path);
    free(w->partial);
    free(w);
}

/* Take the lock, and make sure that the locked file still goes by its name: another writer may have
 * renamed it between our open and our lock. Returns 0, an errno, or -1 to open again. */
static int lock_partial(const os_writer *w) {
    struct stat here, named;
    if (flock(w->fd, LOCK_EX | LOCK_NB)) {
        /* File systems without locks are used without them. */
        if (errno != ENOLCK && errno != ENOTSUP && errno != ENOSYS && errno != EINVAL) return errno;
    }
    if (fstat(w->fd, &here)) return errno;
    if (stat(w->partial, &named)) return errno == ENOENT ? -1 : errno;
    if (here.st_ino != named.st_ino || here.st_dev != named.st_dev) return -1;
    return ftruncate(w->fd, 0) ? errno : 0;
}

static int open_partial(os_writer *w, weft_error *err) {
    for (int attempt = 0; attempt < 100; attempt++) {
        w->fd = open(w->partial, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
        if (w->fd < 0) return fail_write(w, errno, err);
        int code = lock_partial(w);
        if (code == 0) return WEFT_OK;
        close(w->fd);
        if (code == EWOULDBLOCK) break;
        if (code > 0) return fail_write(w, code, err);
    }
    return err_set(err, WEFT_ERR_IO, "cannot write %s: another process is writing it", w->path);
}

int os_writer_open(const char *path, os_writer **writer, weft_error *err) {
    *writer = NULL;
    if (os_is_dir(path))
        return err_set(err, WEFT_ERR_IO, "cannot write %s: a folder of that name is there", path);
    size_t length = strlen(path), partial_bytes = length + sizeof ".partial";
    os_writer *w = malloc(sizeof *w);
    if (!w) return err_set(err, WEFT_ERR_MEMORY, "out of memory writing %s", path);
    w->failed_errno = 0;
    w->offset = 0;
    w->buffered = 0;
    w->path = strdup(path);
    w->partial = malloc(partial_bytes);
    int rc = WEFT_OK;
    if (!w->path || !w->partial) {
        rc = err_set(err, WEFT_ERR_MEMORY, "out of memory writing %s", path);
    } else {
        snprintf(w->partial, partial_bytes, "%s.partial", path);
        rc = open_partial(w, err);
    }
    if (rc)
        writer_free(&w);
    else
        *writer = w;
    return rc;
}

static int write_all(os_writer *w, const char *data, size_t size, weft_error *err) {
    while (size) {
        ssize_t n = write(w->fd, data, size);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            w->failed_errno = errno;
            return fail_write(w, errno, err);
        }
        data += n;
        size -= (size_t)n;
    }
    return WEFT_OK;
}

static int flush_buffer(os_writer *w, weft_error *err) {
    size_t size = w->buffered;
    w->buffered = 0;
    return write_all(w, w->buffer, size, err);
}

int os_writer_write(os_writer *w, const void *data, size_t size, weft_error *err) {
    if (w->failed_errno) return fail_write(w, w->failed_errno, err);
    if (size > BUFFER_BYTES - w->buffered) TRY(flush_buffer(w, err));
    if (size > BUFFER_BYTES) {
        TRY(write_all(w, data, size, err));
    } else if (size) {
        memcpy(w->buffer + w->buffered, data, size);
        w->buffered += size;
    }
    w->offset += size;
    return WEFT_OK;
}

uint64_t os_writer_offset(const os_writer *w) {
    return w->offset;
}

/* Flush the folder's own entry, so that the rename outlives a power cut. Some file systems refuse;
 * the file itself is safe by then. */
static void sync_folder(const char *path) {
    const char *slash = strrchr(path, '/');
    size_t length = slash ? (size_t)(slash - path) : 0;
    char *folder = slash ? strndup(path, length ? length : 1) : strdup(".");
    if (!folder) return;
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    free(folder);
}

static int finish_file(os_writer *w, weft_error *err) {
    if (w->failed_errno) return fail_write(w, w->failed_errno, err);
    TRY(flush_buffer(w, err));
    if (fsync(w->fd)) return fail_write(w, errno, err);
    if (rename(w->partial, w->path)) return fail_write(w, errno, err);
    return WEFT_OK;
}

int os_writer_commit(os_writer **writer, weft_error *err) {
    int rc = finish_file(*writer, err);
    if (rc) {
        os_writer_abort(writer);
        return rc;
    }
    sync_folder((*writer)->path);
    close((*writer)->fd);
    writer_free(writer);
    return WEFT_OK;
}

void os_writer_abort(os_writer **writer) {
    if (!*writer) return;
    unlink((*writer)->partial); /* before the lock goes with the descriptor */
    close((*writer)->fd);
    writer_free(writer);
}

int os_write_file(const char *path, const void *data, size_t size, weft_error *err) {
    os_writer *w;
    TRY(os_writer_open(path, &w, err));
    int rc = os_writer_write(w, data, size, err);
    if (rc) {
        os_writer_abort(&w);
        return rc;
    }
    return os_writer_commit(&w, err);
}
