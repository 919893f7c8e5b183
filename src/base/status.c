/* Error records: formatted messages with a code and a place. */
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void err_write(weft_error *err, weft_status code, uint64_t offset, const char *format, ...) {
    if (!err) return;
    va_list args;
    err->code = code;
    err->offset = offset;
    va_start(args, format);
    vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
}

void err_prefix(weft_error *err, const char *format, ...) {
    if (!err) return;
    char text[sizeof err->message];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof text - 2) return;
    char tail[sizeof err->message];
    memcpy(tail, err->message, sizeof tail);
    snprintf(err->message, sizeof err->message, "%.*s: %.*s", n, text,
             (int)(sizeof err->message - (size_t)n - 3), tail);
}
