/* Text from outside made fit for learning: well-formed UTF-8 without NUL, one kind of line end. */
#include "ingest/sources.h"
#include "text/utf8.h"

#include <string.h>

static const char REPLACEMENT[] = "\xef\xbf\xbd"; /* U+FFFD */

static size_t skip_mark(const char *data, size_t size) {
    return size >= 3 && !memcmp(data, "\xef\xbb\xbf", 3) ? 3 : 0;
}

/* Bytes of the run from data on that can be copied as they are. */
static size_t clean_run(const char *data, size_t size) {
    size_t at = 0;
    while (at < size && data[at] && data[at] != '\r') {
        int n = utf8_check(data + at, size - at);
        if (n <= 0) break;
        at += (size_t)n;
    }
    return at;
}

bool text_clean(bytes *out, const char *data, size_t size) {
    for (size_t at = skip_mark(data, size); at < size;) {
        size_t run = clean_run(data + at, size - at);
        if (!bytes_add(out, data + at, run)) return false;
        at += run;
        if (at == size) break;
        if (data[at] == '\r') {
            at += at + 1 < size && data[at + 1] == '\n' ? 2 : 1;
            if (!bytes_add_char(out, '\n')) return false;
            continue;
        }
        int n = data[at] ? utf8_check(data + at, size - at) : -1;
        at = n ? at + (size_t)-n : size; /* 0: the text ends inside a character */
        if (!bytes_add_text(out, REPLACEMENT)) return false;
    }
    return bytes_add(out, "", 0); /* so that data is a string, even when empty */
}

bool text_is_utf8(const char *data, size_t size) {
    for (size_t at = 0; at < size;) {
        int n = utf8_check(data + at, size - at);
        if (n <= 0) return false;
        at += (size_t)n;
    }
    return true;
}

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

bool text_is_blank(const char *text) {
    while (is_space(*text)) text++;
    return !*text;
}

void text_trim(bytes *text) {
    size_t begin = 0;
    while (text->size && is_space(text->data[text->size - 1])) text->size--;
    for (size_t i = 0; i < text->size && is_space(text->data[i]); i++)
        if (text->data[i] == '\n') begin = i + 1;
    text->size -= begin;
    if (!text->data) return;
    memmove(text->data, text->data + begin, text->size);
    text->data[text->size] = 0;
}
