/* The only operating-system code of the library: files, mappings, aligned memory, clock, cores. */
#ifndef WEFT_BASE_OS_H
#define WEFT_BASE_OS_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* A whole file mapped read-only and shared. Empty files map to data == NULL, size == 0. */
typedef struct os_map {
    const uint8_t *data;
    size_t size;
} os_map;

/* Map path. Fails with WEFT_ERR_IO (missing, not a regular file, unreadable), naming path. */
int os_map_open(const char *path, os_map *map, weft_error *err);
void os_map_close(os_map *map); /* NULL data is allowed; clears *map */

/* Let the memory go that holds [data, data + size) of the mapping, but for pages that it shares
 * with what lies beside it. The contents stay: they are read from the file again when used. */
void os_map_release(const os_map *map, const uint8_t *data, size_t size);

/* Read a whole regular file into a fresh buffer with a NUL after it (*size excludes it); refuses
 * files over limit bytes with WEFT_ERR_RANGE. The caller frees *data. */
int os_read_file(const char *path, size_t limit, char **data, size_t *size, weft_error *err);

/* A file that appears whole or not at all: written beside its final name as "PATH.partial", flushed
 * to the disk, then renamed over it. Every failure (a full disk too) is WEFT_ERR_IO naming the
 * path; the partial file is removed and the old file, if any, stays as it was. A second writer of
 * the same path at the same time is refused. After a failed write only os_writer_abort is left
 * (commit aborts too). */
typedef struct os_writer os_writer;
int os_writer_open(const char *path, os_writer **writer, weft_error *err);
int os_writer_write(os_writer *writer, const void *data, size_t size, weft_error *err);
uint64_t os_writer_offset(const os_writer *writer);        /* bytes written so far */
int os_writer_commit(os_writer **writer, weft_error *err); /* frees *writer either way */
void os_writer_abort(os_writer **writer);                  /* NULL allowed */

/* Convenience over os_writer: the whole content at once. */
int os_write_file(const char *path, const void *data, size_t size, weft_error *err);

int os_make_dirs(const char *path, weft_error *err); /* like mkdir -p, mode 0700 */
bool os_is_dir(const char *path);
bool os_is_file(const char *path);
int os_remove_tree(const char *path, weft_error *err); /* missing is not an error */

/* An empty file for writing and reading that has no name and goes when it is closed; NULL when
 * there is none to be had. */
FILE *os_open_temporary(void);

/* The bytes [begin, begin + size) of whole as a file of their own, for reading only. What was
 * written to whole must be flushed; whole may be closed first, but its position is not touched.
 * NULL: out of memory or of open files. */
FILE *os_open_range(FILE *whole, uint64_t begin, uint64_t size);

#define OS_LIST_MAX (1 << 20) /* names in one folder; more is WEFT_ERR_RANGE */

/* Names in a folder, without "." and "..", sorted by byte value. Free with os_list_free. */
typedef struct os_list {
    char **names;
    size_t count;
} os_list;
int os_list_dir(const char *path, os_list *list, weft_error *err);
void os_list_free(os_list *list);

/* Rename a file or folder; what `to` names is replaced, if it is a file or an empty folder. */
int os_rename(const char *from, const char *to, weft_error *err);

/* Have a folder to oneself, until unlocked or the process ends, however it does. WEFT_ERR_STATE if
 * another has it. On file systems without locks everyone gets it. */
int os_lock_dir(const char *path, int *lock, weft_error *err);
void os_unlock_dir(int *lock); /* -1 is allowed; clears *lock */

#define OS_PROCESS_BYTES 112

/* A text that names this process among all that ever ran here: number, start time, boot. */
void os_process_id(char id[OS_PROCESS_BYTES]);
/* Does the process still run that was named so? Where the system tells no start times a new process
 * of that number counts too. */
bool os_process_runs(const char *id);

/* Zeroed memory aligned to 64 bytes, rounded up to it; NULL when there is none. */
void *os_alloc(size_t size);
void os_free(void *p);

uint64_t os_clock_ns(void);       /* monotonic */
int os_core_count(void);          /* cores this process may use, at least 1 */
uint64_t os_thread_ns(void);  /* processor time of the calling thread */
uint64_t os_process_ns(void); /* processor time of all threads of the process */
void os_sleep_ns(uint64_t ns);
uint64_t os_peak_rss_bytes(void); /* highest resident size so far; 0 where unknown */
/* Let the peak begin again from what is resident now. False where the system cannot: then the peak
 * goes on from the whole life of the process. */
bool os_peak_rss_reset(void);
uint64_t os_rss_bytes(void);      /* resident size now; 0 where unknown */
void os_trim(void);               /* give memory that was freed back to the system, where it can */
uint64_t os_memory_bytes(void);   /* physical memory; 0 where unknown */
/* Memory that a program may take without others being put aside, a container's limit included;
 * pages of files count as free. 0 where unknown. */
uint64_t os_free_memory_bytes(void);

#endif
