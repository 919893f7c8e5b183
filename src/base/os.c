/* Files, folders, memory, clock and machine facts over POSIX (Linux, Android, macOS). The atomic
 * writer is in os_writer.c. Nothing here follows a symbolic link to delete what lies behind it. */
#include "base/os.h"

#include "base/layout.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sched.h>
#endif
#ifdef __APPLE__
#include <mach/mach.h>
#endif

static int fail_errno(weft_error *err, const char *what, const char *path) {
    return err_set(err, WEFT_ERR_IO, "cannot %s %s: %s", what, path, strerror(errno));
}

/* O_NONBLOCK keeps a FIFO without a writer from hanging the open; it has no effect on files. */
static int open_regular(const char *path, int *fd, size_t *size, weft_error *err) {
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0) return fail_errno(err, "open", path);
    struct stat st;
    int rc = WEFT_OK;
    if (fstat(*fd, &st))
        rc = fail_errno(err, "examine", path);
    else if (S_ISDIR(st.st_mode))
        rc = err_set(err, WEFT_ERR_IO, "cannot read %s: it is a folder, not a file", path);
    else if (!S_ISREG(st.st_mode))
        rc = err_set(err, WEFT_ERR_IO, "cannot read %s: it is not a regular file", path);
    else if (st.st_size < 0 || (uint64_t)st.st_size > SIZE_MAX / 2)
        rc = err_set(err, WEFT_ERR_RANGE, "%s is too large for this machine", path);
    else
        *size = (size_t)st.st_size;
    if (rc) close(*fd);
    return rc;
}

int os_map_open(const char *path, os_map *map, weft_error *err) {
    *map = (os_map){0};
    int fd;
    size_t size;
    TRY(open_regular(path, &fd, &size, err));
    int rc = WEFT_OK;
    if (size) {
        void *data = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
        if (data == MAP_FAILED)
            rc = fail_errno(err, "map", path);
        else
            *map = (os_map){data, size};
    }
    close(fd);
    return rc;
}

void os_map_close(os_map *map) {
    if (map->data) munmap((void *)(uintptr_t)map->data, map->size);
    *map = (os_map){0};
}

void os_map_release(const os_map *map, const uint8_t *data, size_t size) {
    long page = sysconf(_SC_PAGESIZE);
    if (!map->data || page <= 0) return;
    size_t unit = (size_t)page, begin = round_up((size_t)(data - map->data), unit);
    size_t end = (size_t)(data - map->data) + size;
    end = end == map->size ? round_up(end, unit) : end / unit * unit;
    if (begin < end) madvise((void *)(uintptr_t)(map->data + begin), end - begin, MADV_DONTNEED);
}

/* Read up to size bytes; *done says how many there were before the end of the file. */
static bool read_all(int fd, char *data, size_t size, size_t *done) {
    *done = 0;
    while (*done < size) {
        ssize_t n = read(fd, data + *done, size - *done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return false;
        if (n == 0) break;
        *done += (size_t)n;
    }
    return true;
}

int os_read_file(const char *path, size_t limit, char **data, size_t *size, weft_error *err) {
    *data = NULL;
    *size = 0;
    int fd;
    size_t file_bytes, done;
    TRY(open_regular(path, &fd, &file_bytes, err));
    int rc = WEFT_OK;
    if (file_bytes > limit) {
        rc = err_set(err, WEFT_ERR_RANGE, "%s has %zu bytes; at most %zu are read", path,
                     file_bytes, limit);
    } else if (!(*data = malloc(file_bytes + 1))) {
        rc =
            err_set(err, WEFT_ERR_MEMORY, "out of memory reading %s (%zu bytes)", path, file_bytes);
    } else if (!read_all(fd, *data, file_bytes, &done)) {
        rc = fail_errno(err, "read", path);
        free(*data);
        *data = NULL;
    } else {
        (*data)[done] = 0;
        *size = done;
    }
    close(fd);
    return rc;
}

int os_make_dirs(const char *path, weft_error *err) {
    char *part = strdup(path);
    if (!part) return err_set(err, WEFT_ERR_MEMORY, "out of memory making the folder %s", path);
    int rc = WEFT_OK;
    for (size_t i = 1, n = strlen(part); i <= n && !rc; i++) {
        if (part[i] != '/' && part[i] != 0) continue;
        char kept = part[i];
        part[i] = 0;
        if (mkdir(part, 0700) && errno != EEXIST && errno != EISDIR) {
            /* A read-only parent answers EROFS or EACCES even for folders that exist. */
            int code = errno;
            if (!os_is_dir(part)) {
                errno = code;
                rc = fail_errno(err, "make the folder", part);
            }
        }
        part[i] = kept;
    }
    free(part);
    if (!rc && !os_is_dir(path))
        rc = err_set(err, WEFT_ERR_IO, "cannot make the folder %s: a file of that name is there",
                     path);
    return rc;
}

bool os_is_dir(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool os_is_file(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw) {
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

int os_remove_tree(const char *path, weft_error *err) {
    struct stat st;
    if (lstat(path, &st)) return errno == ENOENT ? WEFT_OK : fail_errno(err, "remove", path);
    if (nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS)) return fail_errno(err, "remove", path);
    return WEFT_OK;
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool list_add(os_list *list, size_t *capacity, const char *name) {
    if (list->count == *capacity) {
        size_t grown = *capacity ? *capacity * 2 : 32;
        char **names = realloc(list->names, grown * sizeof *names);
        if (!names) return false;
        list->names = names;
        *capacity = grown;
    }
    if (!(list->names[list->count] = strdup(name))) return false;
    list->count++;
    return true;
}

static int list_entries(DIR *dir, const char *path, os_list *list, weft_error *err) {
    size_t capacity = 0;
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (!entry) return errno ? fail_errno(err, "list", path) : WEFT_OK;
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        if (list->count >= OS_LIST_MAX)
            return err_set(err, WEFT_ERR_RANGE, "the folder %s holds more than %d names", path,
                           OS_LIST_MAX);
        if (!list_add(list, &capacity, entry->d_name))
            return err_set(err, WEFT_ERR_MEMORY, "out of memory listing %s", path);
    }
}

int os_list_dir(const char *path, os_list *list, weft_error *err) {
    *list = (os_list){0};
    DIR *dir = opendir(path);
    if (!dir) return fail_errno(err, "list", path);
    int rc = list_entries(dir, path, list, err);
    closedir(dir);
    if (rc) {
        os_list_free(list);
        return rc;
    }
    if (list->count) qsort(list->names, list->count, sizeof *list->names, compare_names);
    return WEFT_OK;
}

void os_list_free(os_list *list) {
    for (size_t i = 0; i < list->count; i++) free(list->names[i]);
    free(list->names);
    *list = (os_list){0};
}

/* calloc instead of aligned_alloc and memset: large blocks then come as untouched zero pages, which
 * cost no memory until they are used. The block's own address is kept in front of the aligned one.
 */
void *os_alloc(size_t size) {
    const size_t align = 64, slack = align + sizeof(void *);
    if (size > SIZE_MAX - slack - align) return NULL;
    char *raw = calloc(1, round_up(size ? size : 1, align) + slack);
    if (!raw) return NULL;
    uintptr_t at = round_up((uintptr_t)raw + sizeof(void *), align);
    void **aligned = (void **)at;
    aligned[-1] = raw;
    return aligned;
}

void os_free(void *p) {
    if (p) free(((void **)p)[-1]);
}

static uint64_t read_clock_ns(clockid_t id) {
    struct timespec ts;
    clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t os_clock_ns(void) {
    return read_clock_ns(CLOCK_MONOTONIC);
}

uint64_t os_thread_ns(void) {
    return read_clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

uint64_t os_process_ns(void) {
    return read_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

/* A container's share of the processor, rounded up; INT_MAX-like when it has none. More threads
 * than that would only take turns. */
static int cgroup_cores(void) {
    long quota, period;
    FILE *f = fopen("/sys/fs/cgroup/cpu.max", "re");
    if (!f) return 1 << 20;
    int fields = fscanf(f, "%ld %ld", &quota, &period);
    fclose(f);
    if (fields != 2 || quota <= 0 || period <= 0) return 1 << 20;
    return (int)((quota + period - 1) / period);
}

int os_core_count(void) {
    long cores = 0;
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) cores = CPU_COUNT(&set);
#endif
    if (cores < 1) cores = sysconf(_SC_NPROCESSORS_ONLN);
    long share = cgroup_cores();
    if (cores > share) cores = share;
    return cores < 1 ? 1 : (int)cores;
}

void os_sleep_ns(uint64_t ns) {
    struct timespec left = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
    while (nanosleep(&left, &left) && errno == EINTR) {
    }
}

/* Linux keeps the peak of this program apart; getrusage there starts from that of its parent. */
static uint64_t peak_from_proc(void) {
    char line[128];
    unsigned long long kib = 0;
    FILE *f = fopen("/proc/self/status", "re");
    if (!f) return 0;
    while (!kib && fgets(line, sizeof line, f))
        if (sscanf(line, "VmHWM: %llu kB", &kib) != 1) kib = 0;
    fclose(f);
    return kib * 1024;
}

uint64_t os_peak_rss_bytes(void) {
    struct rusage usage;
    uint64_t peak = peak_from_proc();
    if (peak) return peak;
    if (getrusage(RUSAGE_SELF, &usage)) return 0;
#ifdef __APPLE__
    return (uint64_t)usage.ru_maxrss;
#else
    return (uint64_t)usage.ru_maxrss * 1024;
#endif
}

bool os_peak_rss_reset(void) {
    int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    if (fd < 0) return false;
    bool done = write(fd, "5", 1) == 1;
    close(fd);
    return done;
}

uint64_t os_rss_bytes(void) {
#ifdef __APPLE__
    struct mach_task_basic_info info;
    mach_msg_type_number_t count = MACH_TASK_BASIC_INFO_COUNT;
    if (task_info(mach_task_self(), MACH_TASK_BASIC_INFO, (task_info_t)&info, &count)) return 0;
    return info.resident_size;
#else
    unsigned long long total, resident;
    FILE *f = fopen("/proc/self/statm", "re");
    if (!f) return 0;
    int fields = fscanf(f, "%llu %llu", &total, &resident);
    fclose(f);
    return fields == 2 ? resident * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
#endif
}

void os_trim(void) {
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

uint64_t os_memory_bytes(void) {
    long pages = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE);
    return pages > 0 && page_bytes > 0 ? (uint64_t)pages * (uint64_t)page_bytes : 0;
}

/* The first number in a file of the system, 0 if there is none ("max"). */
static uint64_t number_in(const char *path) {
    unsigned long long value = 0;
    FILE *f = fopen(path, "re");
    if (!f) return 0;
    int fields = fscanf(f, "%llu", &value);
    fclose(f);
    return fields == 1 ? value : 0;
}

/* What a container's limit leaves, files' pages counted as used: a little too low. UINT64_MAX
 * without a limit. */
static uint64_t cgroup_free_bytes(void) {
    uint64_t limit = number_in("/sys/fs/cgroup/memory.max");
    uint64_t used = number_in("/sys/fs/cgroup/memory.current");
    if (!limit) return UINT64_MAX;
    return limit > used ? limit - used : 1;
}

uint64_t os_free_memory_bytes(void) {
    char line[128];
    unsigned long long kib = 0;
    FILE *f = fopen("/proc/meminfo", "re");
    if (!f) return 0;
    while (!kib && fgets(line, sizeof line, f))
        if (sscanf(line, "MemAvailable: %llu kB", &kib) != 1) kib = 0;
    fclose(f);
    uint64_t bytes = (uint64_t)kib * 1024, share = cgroup_free_bytes();
    return bytes < share ? bytes : share;
}
