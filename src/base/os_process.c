/* Which process is which, and folders that one process at a time may change. */
#include "base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define STAT_START_FIELD 22 /* in /proc/PID/stat, counted from 1 */

/* The first line of a small file of /proc; "" where there is none. */
static void read_line(const char *path, char *text, size_t size) {
    text[0] = '\0';
    FILE *f = fopen(path, "re");
    if (!f) return;
    if (!fgets(text, (int)size, f)) text[0] = '\0';
    fclose(f);
    text[strcspn(text, "\n")] = '\0';
}

/* When a process began, in ticks since the machine did; 0 where the system does not tell. The
 * program's name, in brackets before it, may hold blanks and brackets. */
static unsigned long long start_of(long process) {
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%ld/stat", process);
    read_line(path, text, sizeof text);
    const char *at = strrchr(text, ')');
    for (int field = 2; at && field < STAT_START_FIELD; field++) {
        at = strchr(at, ' ');
        if (at) at++;
    }
    return at ? strtoull(at, NULL, 10) : 0;
}

static void identify(long process, char id[OS_PROCESS_BYTES]) {
    char boot[48];
    read_line("/proc/sys/kernel/random/boot_id", boot, sizeof boot);
    snprintf(id, OS_PROCESS_BYTES, "%ld:%llu:%.40s", process, start_of(process), boot);
}

void os_process_id(char id[OS_PROCESS_BYTES]) {
    identify((long)getpid(), id);
}

bool os_process_runs(const char *id) {
    char now[OS_PROCESS_BYTES];
    long process = strtol(id, NULL, 10);
    if (process < 1 || (kill((pid_t)process, 0) && errno == ESRCH)) return false;
    identify(process, now);
    return !strcmp(now, id);
}

int os_lock_dir(const char *path, int *lock, weft_error *err) {
    *lock = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*lock < 0) return err_set(err, WEFT_ERR_IO, "cannot open %s: %s", path, strerror(errno));
    if (!flock(*lock, LOCK_EX | LOCK_NB) || errno != EWOULDBLOCK) return WEFT_OK;
    os_unlock_dir(lock);
    return err_set(err, WEFT_ERR_STATE, "another process is at work in %s", path);
}

void os_unlock_dir(int *lock) {
    if (*lock >= 0) close(*lock);
    *lock = -1;
}

int os_rename(const char *from, const char *to, weft_error *err) {
    if (!rename(from, to)) return WEFT_OK;
    return err_set(err, WEFT_ERR_IO, "cannot rename %s to %s: %s", from, to, strerror(errno));
}
