/* Growable byte string. */
#include "base/bytes.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Bool reserve(bytes *b, size_t extra) {
    if (extra > SIZE_MAX / 4 - b->size) return 0;
    size_t need = b->size + extra + 1;
    if (need <= b->capacity) return 1;
    size_t capacity = b->capacity ? b->capacity * 2 : 64;
    if (capacity < need) capacity = need;
    char *data = realloc(b->data, capacity);
    if (!data) return 0;
    b->data = data;
    b->capacity = capacity;
    return 1;
}

_Bool bytes_add(bytes *b, const void *data, size_t size) {
    if (!reserve(b, size)) return 0;
    if (size) memcpy(b->data + b->size, data, size);
    b->size += size;
    b->data[b->size] = 0;
    return 1;
}

_Bool bytes_add_text(bytes *b, const char *text) {
    return bytes_add(b, text, strlen(text));
}

_Bool bytes_add_char(bytes *b, char c) {
    return bytes_add(b, &c, 1);
}

_Bool bytes_printf(bytes *b, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n < 0 || !reserve(b, (size_t)n)) return 0;
    va_start(args, format);
    vsnprintf(b->data + b->size, (size_t)n + 1, format, args);
    va_end(args);
    b->size += (size_t)n;
    return 1;
}

void bytes_clear(bytes *b) {
    b->size = 0;
    if (b->data) b->data[0] = 0;
}

void bytes_free(bytes *b) {
    free(b->data);
    *b = (bytes){0};
}
