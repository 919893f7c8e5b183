/* Arbitrary bytes as a checkpoint file, as they are and with their checksum made right. */
#include "train/checkpoint.h"

#include "format/safetensors.h"
#include "train/hash.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define KEYS 5
static const char *const keys[KEYS] = {"format", "step", "tokens seen", "evaluations", "rank"};
static const char *const pieces[] = {"params", "moment1",    "moment2",    "best_params",
                                     "losses", "eval_steps", "eval_losses"};

/* Where the checksum stands, with the right one in text; 0 where there is none. */
static size_t seal(const uint8_t *data, size_t size, char text[17]) {
    static const char mark[] = "\"checksum\":\"";
    safetensors_file *f;
    weft_error err;
    uint64_t hash = HASH_START;
    const uint8_t *at = memmem(data, size, mark, sizeof mark - 1);
    if (!at || size - (size_t)(at - data) < 64 || safetensors_parse(data, size, &f, &err)) return 0;
    for (int i = 0; i < KEYS; i++) {
        const char *value = safetensors_metadata(f, keys[i]);
        hash = hash_text(hash_text(hash, keys[i]), value ? value : "");
    }
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        const tensor_view *t = safetensors_find(f, pieces[i]);
        if (t) hash = hash_bytes(hash_text(hash, t->name), t->data, t->size_bytes);
    }
    safetensors_close(&f);
    snprintf(text, 17, "%016" PRIx64, hash);
    return (size_t)(at - data) + sizeof mark - 1;
}

static int load(const char *path) {
    static const checkpoint_setting settings[] = {{"rank", "8"}};
    checkpoint c = {.param_count = 6};
    weft_error err;
    int rc = checkpoint_load(path, settings, 1, &c, &err);
    for (size_t i = 0; !rc && i < c.param_count; i++)
        if (!isfinite(c.params[i]) || !isfinite(c.moment1[i]) || !isfinite(c.moment2[i])) abort();
    checkpoint_free(&c);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char path[32], text[17];
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size) abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int rc = load(path);
    size_t at = rc ? seal(data, size, text) : 0;
    if (at && pwrite(fd, text, 16, (off_t)at) == 16) load(path);
    close(fd);
    return 0;
}
