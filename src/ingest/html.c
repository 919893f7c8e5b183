/* HTML bodies of mail reduced to text: tags cut, entities resolved, blocks on lines of their own.
 * It serves mail without a plain part; it renders no tables and follows nothing. */
#include "ingest/mail.h"
#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define QUOTES_MAX 8

typedef struct html_walk {
    bytes *out;
    int quotes;        /* depth of blockquote */
    bool space;        /* white space waits before the next word */
    bool line_empty;   /* nothing on the current line yet */
    const char *until; /* "</style" where content is dropped up to that tag, or NULL */
} html_walk;

static bool new_line(html_walk *w) {
    w->space = false;
    w->line_empty = true;
    return bytes_add_char(w->out, '\n');
}

static bool add_text(html_walk *w, const char *text, size_t size) {
    if (w->line_empty)
        for (int i = 0; i < w->quotes; i++)
            if (!bytes_add_text(w->out, i + 1 < w->quotes ? ">" : "> ")) return false;
    if (w->space && !w->line_empty && !bytes_add_char(w->out, ' ')) return false;
    w->space = w->line_empty = false;
    return bytes_add(w->out, text, size);
}

static bool name_is(const char *name, size_t size, const char *want) {
    return size == strlen(want) && !strncasecmp(name, want, size);
}

static bool name_in(const char *name, size_t size, const char *const *list) {
    for (; *list; list++)
        if (name_is(name, size, *list)) return true;
    return false;
}

/* What follows the tag that begins at p, quotes respected; the end of the text if it never ends. */
static const char *tag_end(const char *p) {
    char quote = 0;
    for (; *p; p++) {
        if (quote) {
            if (*p == quote) quote = 0;
        } else if (*p == '"' || *p == '\'') {
            quote = *p;
        } else if (*p == '>') {
            return p + 1;
        }
    }
    return p;
}

/* A paragraph is parted from what stands before it by an empty line; a line break is one '\n'. */
static bool do_tag(html_walk *w, const char *name, size_t size, bool closing) {
    static const char *const dropped[] = {"</style", "</script", "</head", "</title", NULL};
    static const char *const lines[] = {"div", "li", "tr", "ul", "ol", "table", NULL};
    static const char *const paragraphs[] = {"p",  "h1", "h2", "h3",         "h4",
                                             "h5", "h6", "hr", "blockquote", NULL};
    if (!closing)
        for (size_t i = 0; dropped[i]; i++)
            if (name_is(name, size, dropped[i] + 2)) w->until = dropped[i];
    if (name_is(name, size, "br")) return new_line(w);
    bool paragraph = name_in(name, size, paragraphs);
    if (paragraph || name_in(name, size, lines)) {
        if (!w->line_empty && !new_line(w)) return false;
        size_t n = w->out->size;
        bool gap = n < 2 || !memcmp(w->out->data + n - 2, "\n\n", 2);
        if (paragraph && !gap && !new_line(w)) return false;
    }
    if (name_is(name, size, "blockquote")) {
        if (!closing && w->quotes < QUOTES_MAX) w->quotes++;
        if (closing && w->quotes) w->quotes--;
    }
    return true;
}

/* p stands at '<'. Returns what follows the tag or comment, NULL when memory is short. */
static const char *take_tag(html_walk *w, const char *p) {
    if (!strncmp(p, "<!--", 4)) {
        const char *end = strstr(p + 4, "-->");
        return end ? end + 3 : p + strlen(p);
    }
    const char *name = p + 1;
    bool closing = *name == '/';
    name += closing;
    size_t size = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789");
    if (!size && *name != '!' && *name != '?') /* a bare '<' */
        return add_text(w, "<", 1) ? p + 1 : NULL;
    return do_tag(w, name, size, closing) ? tag_end(p) : NULL;
}

/* p stands at "&#". Reads the number to *c and returns what follows it; NULL where there is none.
 */
static const char *take_number(const char *p, uint32_t *c) {
    bool hex = p[2] == 'x' || p[2] == 'X';
    const char *digits = p + (hex ? 3 : 2);
    size_t length = strspn(digits, hex ? "0123456789abcdefABCDEF" : "0123456789");
    if (!length) return NULL;
    unsigned long value = strtoul(digits, NULL, hex ? 16 : 10); /* ULONG_MAX where it is over */
    bool surrogate = value >= 0xd800 && value < 0xe000;
    *c = value == 0 || value > 0x10ffff || surrogate ? 0xfffd : (uint32_t)value;
    return digits + length + (digits[length] == ';');
}

/* A tab or line end that is written as a number is white space as well: it must not bring in what
 * text_clean took out of the source. */
static bool add_character(html_walk *w, uint32_t c) {
    char text[4];
    if (c == '\t' || c == '\n' || c == '\r' || c == ' ') {
        w->space = true;
        return true;
    }
    if (c == 0xa0) c = ' ';
    return add_text(w, text, (size_t)utf8_write(c, text));
}

/* p stands at '&'. Returns what follows the entity, NULL when memory is short. An unknown one stays
 * as it is written. */
static const char *take_entity(html_walk *w, const char *p) {
    static const struct {
        const char *name, *text;
    } named[] = {{"amp", "&"},        {"lt", "<"},         {"gt", ">"},
                 {"quot", "\""},      {"apos", "'"},       {"nbsp", " "},
                 {"ndash", "\u2013"}, {"mdash", "\u2014"}, {"hellip", "\u2026"},
                 {"rsquo", "\u2019"}, {"lsquo", "\u2018"}, {"rdquo", "\u201d"},
                 {"ldquo", "\u201c"}, {"euro", "\u20ac"}};
    uint32_t c;
    const char *end = p[1] == '#' ? take_number(p, &c) : NULL;
    if (end) return add_character(w, c) ? end : NULL;
    size_t length = strcspn(p + 1, "; <&\n");
    for (size_t i = 0; i < sizeof named / sizeof *named; i++) {
        if (!name_is(p + 1, length, named[i].name)) continue;
        if (!add_text(w, named[i].text, strlen(named[i].text))) return NULL;
        return p + 1 + length + (p[1 + length] == ';');
    }
    return add_text(w, "&", 1) ? p + 1 : NULL;
}

bool mail_from_html(const char *html, bytes *out) {
    html_walk w = {.out = out, .line_empty = true};
    while (*html) {
        if (w.until) {
            html = strcasestr(html, w.until);
            w.until = NULL;
            if (!html) break;
        } else if (*html == '<') {
            html = take_tag(&w, html);
            if (!html) return false;
        } else if (strchr(" \t\n", *html)) {
            w.space = true;
            html++;
        } else if (*html == '&') {
            html = take_entity(&w, html);
            if (!html) return false;
        } else {
            size_t run = strcspn(html, "<& \t\n");
            if (!add_text(&w, html, run)) return false;
            html += run;
        }
    }
    return bytes_add(out, "", 0);
}
