/* The text of a mail taken apart line by line. */
#include "ingest/mail.h"
#include "ingest/sources.h"

#include <string.h>
#include <strings.h>

typedef struct line {
    const char *data;
    size_t size;
} line;

/* Take the next line off *text; false at the end. */
static bool line_take(const char **text, line *out) {
    if (!**text) return false;
    const char *end = strchr(*text, '\n');
    size_t size = end ? (size_t)(end - *text) : strlen(*text);
    *out = (line){*text, size};
    *text += size + (end != NULL);
    return true;
}

static bool line_is(line l, const char *text) {
    return l.size == strlen(text) && !memcmp(l.data, text, l.size);
}

static bool line_starts(line l, const char *text) {
    return l.size >= strlen(text) && !memcmp(l.data, text, strlen(text));
}

static line line_trim(line l) {
    while (l.size && (l.data[0] == ' ' || l.data[0] == '\t')) l.data++, l.size--;
    while (l.size && (l.data[l.size - 1] == ' ' || l.data[l.size - 1] == '\t')) l.size--;
    return l;
}

static bool line_ends(line l, const char *text) {
    size_t size = strlen(text);
    return l.size >= size && !memcmp(l.data + l.size - size, text, size);
}

/* How many '>' stand in front; *rest is what follows them. */
static int quote_depth(line l, line *rest) {
    int depth = 0;
    while (l.size) {
        size_t skip = l.data[0] == ' ' && l.size > 1 && l.data[1] == '>' && depth ? 1 : 0;
        if (l.data[skip] != '>') break;
        l.data += skip + 1, l.size -= skip + 1;
        depth++;
    }
    if (depth && l.size && l.data[0] == ' ') l.data++, l.size--;
    *rest = l;
    return depth;
}

/* Whether the next words are a quote, or there are none. */
static bool quote_follows(const char *text) {
    text += strspn(text, " \t\n");
    return !*text || *text == '>';
}

/* Lines of the attribution that begins here ("On Friday Anna wrote:", with a quote below it): 0, 1
 * or
 * 2. after is the text from the next line on. */
static int attribution_lines(line l, const char *after) {
    line next;
    l = line_trim(l);
    if (!line_starts(l, "On ") || l.size > 200) return 0;
    if (line_ends(l, "wrote:")) return quote_follows(after) ? 1 : 0;
    if (!line_take(&after, &next)) return 0;
    next = line_trim(next);
    if (next.size > 100 || !line_ends(next, "wrote:")) return 0;
    return quote_follows(after) ? 2 : 0;
}

static bool is_divider(line l) {
    static const char *const titles[] = {"Original Message", "Forwarded message",
                                         "Original message", "Forwarded Message"};
    l = line_trim(l);
    if (!line_starts(l, "---") || !line_ends(l, "---")) return false;
    while (l.size && (l.data[0] == '-' || l.data[0] == ' ')) l.data++, l.size--;
    while (l.size && (l.data[l.size - 1] == '-' || l.data[l.size - 1] == ' ')) l.size--;
    for (size_t i = 0; i < sizeof titles / sizeof *titles; i++)
        if (line_is(l, titles[i])) return true;
    return false;
}

static bool is_header(line l) {
    static const char *const names[] = {"From:", "Sent:", "To:", "Cc:", "Subject:", "Date:"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (line_starts(l, names[i])) return true;
    return false;
}

static bool add_line(bytes *to, line l) {
    bool blank = !line_trim(l).size;
    bool gap = !to->size || (to->size > 1 && !memcmp(to->data + to->size - 2, "\n\n", 2));
    if (blank && gap) return true; /* one empty line is enough */
    return bytes_add(to, l.data, blank ? 0 : l.size) && bytes_add_char(to, '\n');
}

/* Where the walk through the text stands. */
enum place { IN_OWN, IN_SIGNATURE, IN_TAIL_HEADERS, IN_TAIL };

static bool add_quoted(mail_text *out, line rest, int depth) {
    if (depth > 1) return true;
    if (attribution_lines(rest, "")) return true;
    return add_line(&out->quoted, rest);
}

static bool split_line(mail_text *out, enum place *place, line l) {
    line rest;
    int depth = quote_depth(l, &rest);
    if (*place == IN_TAIL_HEADERS) {
        if (is_header(line_trim(l)) || (!line_trim(l).size && !out->quoted.size)) return true;
        *place = IN_TAIL;
    }
    if (*place == IN_TAIL) return depth ? true : add_line(&out->quoted, l);
    if (depth) {
        *place = IN_OWN;
        return add_quoted(out, rest, depth);
    }
    if (line_is(l, "-- ") || line_is(l, "--")) *place = IN_SIGNATURE;
    return *place == IN_SIGNATURE ? true : add_line(&out->own, l);
}

bool mail_split(const char *text, mail_text *out) {
    enum place place = IN_OWN;
    line l;
    *out = (mail_text){0};
    bool ok = true;
    while (ok && line_take(&text, &l)) {
        int skip = place < IN_TAIL_HEADERS ? attribution_lines(l, text) : 0;
        if (skip == 2) line_take(&text, &l);
        if (skip) {
            /* What follows own words that were left open is parted from them by an empty line. */
            ok = add_line(&out->own, (line){"", 0}) && add_line(&out->quoted, (line){"", 0});
        } else if (place < IN_TAIL_HEADERS && is_divider(l)) {
            place = IN_TAIL_HEADERS;
        } else {
            ok = split_line(out, &place, l);
        }
    }
    ok = ok && bytes_add(&out->own, "", 0) && bytes_add(&out->quoted, "", 0);
    text_trim(&out->own);
    text_trim(&out->quoted);
    return ok;
}

void mail_text_free(mail_text *m) {
    bytes_free(&m->own);
    bytes_free(&m->quoted);
}

bool mail_unflow(const char *text, bool delsp, bytes *out) {
    int open_depth = -1; /* quote depth of a paragraph that goes on, or -1 */
    line l, rest;
    while (line_take(&text, &l)) {
        int depth = quote_depth(l, &rest);
        bool signature = line_is(l, "-- ");
        if (!depth && l.size && l.data[0] == ' ') rest = (line){l.data + 1, l.size - 1};
        bool joined = open_depth == depth && !signature;
        if (open_depth >= 0 && !joined && !bytes_add_char(out, '\n')) return false;
        if (!joined)
            for (int i = 0; i < depth; i++)
                if (!bytes_add_text(out, i + 1 < depth ? ">" : "> ")) return false;
        bool open = rest.size && rest.data[rest.size - 1] == ' ' && !signature;
        if (!bytes_add(out, rest.data, rest.size - (open && delsp))) return false;
        if (!open && !bytes_add_char(out, '\n')) return false;
        open_depth = open ? depth : -1;
    }
    return bytes_add(out, "", 0);
}

/* Bytes of a reply or forward mark at the beginning: "Re:", "Re[2]:", "AW:" ...; 0 if there is
 * none. */
static size_t mark_bytes(const char *s) {
    static const char *const marks[] = {"re", "fwd", "fw", "aw", "wg", "sv", "vs", "tr", "antw"};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        size_t at = strlen(marks[i]);
        if (strncasecmp(s, marks[i], at)) continue;
        if (s[at] == '[') {
            size_t digits = strspn(s + at + 1, "0123456789");
            if (digits && s[at + 1 + digits] == ']') at += digits + 2;
        }
        if (s[at] == ':') return at + 1;
    }
    return 0;
}

bool mail_request(const char *subject, bytes *out) {
    static const char space[] = " \t\n";
    for (size_t n = 1; n;) {
        subject += strspn(subject, space);
        n = mark_bytes(subject);
        subject += n;
    }
    if (!*subject) return bytes_add_text(out, "Write an email");
    if (!bytes_add_text(out, "Write an email about:")) return false;
    while (*subject) { /* runs of white space, folded headers among them, become one space */
        size_t word = strcspn(subject, space);
        if (!bytes_add_char(out, ' ') || !bytes_add(out, subject, word)) return false;
        subject += word;
        subject += strspn(subject, space);
    }
    return true;
}
