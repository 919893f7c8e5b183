/* Marks of Obsidian brought to plain Markdown. */
#include "ingest/note.h"

#include <ctype.h>
#include <string.h>

#define FRONT_BYTES_MAX (64u << 10)

/* A line of YAML: a key, an item, a comment, something indented, or nothing. */
static bool is_yaml(const char *line, size_t size) {
    return !size || strchr(" \t-#", line[0]) || memchr(line, ':', size);
}

size_t note_front_matter(const char *text) {
    if (strncmp(text, "---\n", 4)) return 0;
    for (const char *line = text + 4; *line && line - text < (long)FRONT_BYTES_MAX;) {
        size_t size = strcspn(line, "\n");
        bool end = size == 3 && (!memcmp(line, "---", 3) || !memcmp(line, "...", 3));
        if (end) return (size_t)(line - text) + size + (line[size] == '\n');
        if (!is_yaml(line, size)) return 0;
        line += size + (line[size] == '\n');
    }
    return 0;
}

/* Bytes of a fence's mark ("```", "~~~~") that begins this line, 0 where it is none. */
static size_t fence(const char *line) {
    line += strspn(line, " ");
    size_t n = strspn(line, "`");
    if (!n) n = strspn(line, "~");
    return n >= 3 ? n : 0;
}

/* "[[folder/Note#Part|text]]" at p: append its text. Returns what follows; p where it is no link.
 */
static const char *take_link(const char *p, bytes *out, bool *ok) {
    const char *end = strstr(p + 2, "]]");
    if (!end || memchr(p, '\n', (size_t)(end - p))) return p;
    const char *text = p + 2, *bar = memchr(text, '|', (size_t)(end - text));
    const char *stop = end;
    if (bar) {
        text = bar + 1;
    } else {
        const char *part = memchr(text, '#', (size_t)(end - text));
        if (part == text)
            text += 1 + (text[1] == '^');
        else if (part)
            stop = part;
        for (const char *c = text; c < stop; c++)
            if (*c == '/') text = c + 1;
    }
    *ok = bytes_add(out, text, (size_t)(stop - text));
    return end + 2;
}

/* A tag is a word that is not a number alone. */
static bool is_tag(const char *p) {
    size_t n = 0, letters = 0;
    for (p++; isalnum((unsigned char)p[n]) || (p[n] && strchr("_-/", p[n])) || (p[n] & 0x80); n++)
        letters += !isdigit((unsigned char)p[n]);
    return letters > 0;
}

/* " ^a1b2c3" up to the end of the line. */
static bool is_block_mark(const char *p) {
    size_t n = 0;
    while (isalnum((unsigned char)p[1 + n]) || p[1 + n] == '-') n++;
    return n && (p[1 + n] == '\n' || !p[1 + n]);
}

static bool at_word(const char *text, const char *p) {
    return p == text || strchr(" \t\n(>", p[-1]);
}

/* One mark or character at p. Returns what follows; NULL when memory is short. */
static const char *take(const char *text, const char *p, bytes *out) {
    const char *next = p;
    bool ok = true;
    if (!strncmp(p, "![[", 3)) {
        const char *end = strstr(p, "]]");
        if (end && !memchr(p, '\n', (size_t)(end - p))) return end + 2;
    } else if (!strncmp(p, "[[", 2)) {
        next = take_link(p, out, &ok);
    } else if (!strncmp(p, "%%", 2)) {
        const char *end = strstr(p + 2, "%%");
        if (end) return end + 2;
    } else if (*p == '`') {
        const char *end = strpbrk(p + 1, "`\n");
        next = end && *end == '`' ? end + 1 : p;
        ok = bytes_add(out, p, (size_t)(next - p));
    } else if (*p == '#' && at_word(text, p) && is_tag(p)) {
        return p + 1;
    } else if (*p == '^' && at_word(text, p) && is_block_mark(p)) {
        while (out->size && out->data[out->size - 1] == ' ') out->data[--out->size] = 0;
        return p + strcspn(p, "\n");
    }
    if (!ok || (next == p && !bytes_add_char(out, *p))) return NULL;
    return next == p ? p + 1 : next;
}

/* "> [!note]- Title" as "> Title". Returns what the line goes on with, or line. */
static const char *take_callout(const char *line, bytes *out, bool *ok) {
    size_t quote = strspn(line, "> ");
    const char *end = !strncmp(line + quote, "[!", 2) ? strpbrk(line + quote, "]\n") : NULL;
    if (!quote || !end || *end != ']') return line;
    end++;
    end += *end == '-' || *end == '+';
    end += strspn(end, " ");
    if (*end == '\n') return end + 1;
    *ok = bytes_add(out, line, quote);
    return end;
}

bool note_plain(const char *text, bytes *out) {
    size_t fenced = 0; /* the length of the mark that opened the code around p */
    bool ok = true, begin = true;
    char kind = 0;
    for (const char *p = text; ok && *p;) {
        size_t mark = begin ? fence(p) : 0;
        char of = p[strspn(p, " ")];
        if (mark && fenced && (mark < fenced || of != kind)) mark = 0;
        if (mark) fenced = fenced ? 0 : mark, kind = of;
        if (begin && (fenced || mark)) { /* a line of code, or its fence */
            size_t size = strcspn(p, "\n");
            size += p[size] == '\n';
            ok = bytes_add(out, p, size);
            p += size;
            continue;
        }
        const char *line = begin ? take_callout(p, out, &ok) : p;
        begin = line != p && line[-1] == '\n';
        p = line;
        if (begin || !ok) continue;
        begin = *p == '\n';
        if (*p) p = take(text, p, out);
        if (!p) return false;
    }
    return ok && bytes_add(out, "", 0);
}
