/* The lines of printed pages put together to paragraphs. */
#include "ingest/pdf_lines.h"

#include <stdlib.h>
#include <string.h>

#define EDGE_LINES    2    /* of a page, at either end, that may be a header or footer */
#define GAP_SHARE     0.65 /* of the line height: a larger gap parts paragraphs */
#define INDENT_SHARE  0.9  /* of the line height: a deeper indent begins a paragraph */
#define HEIGHT_RATIO  1.2  /* of two lines: another size of letters */
#define SHORT_SHARE   0.12 /* of the width: a line that ends so much earlier ends a paragraph */
#define CHAPTER_BYTES 8    /* shorter lines may come again by chance */
#define REPEATS_MIN   3
#define EDGES_MAX     40000 /* compared with each other by sorting */

bool pdf_lines_add(pdf_lines *l, const char *text, size_t size, pdf_line place) {
    if (l->count == l->capacity) {
        size_t capacity = l->capacity ? l->capacity * 2 : 256;
        pdf_line *list = realloc(l->list, capacity * sizeof *list);
        if (!list) return false;
        l->list = list;
        l->capacity = capacity;
    }
    place.text = strndup(text, size);
    if (!place.text) return false;
    l->list[l->count++] = place;
    return true;
}

void pdf_lines_free(pdf_lines *l) {
    for (size_t i = 0; i < l->count; i++) free(l->list[i].text);
    free(l->list);
    *l = (pdf_lines){0};
}

/* ---- headers and footers ---- */

typedef struct edge {
    char key[48]; /* the line with runs of digits as '#', small letters, no white space */
    pdf_line *line;
    bool outermost; /* nothing stands above it, or nothing below */
} edge;

static void make_key(const char *text, char key[48]) {
    size_t n = 0;
    for (; *text && n + 1 < 48; text++) {
        char c = *text;
        if (c == ' ' || c == '\t') continue;
        if (c >= 'A' && c <= 'Z') c = (char)(c + 32);
        if (c >= '0' && c <= '9') c = '#';
        if (c == '#' && n && key[n - 1] == '#') continue;
        key[n++] = c;
    }
    key[n] = 0;
}

/* "12", "- 12 -", "Page 3 of 9", "3/9". */
static bool is_page_number(const char *key) {
    static const char *const forms[] = {
        "#",   "-#-",    "[#]",        "page#", "page#of#", "#/#",
        "p.#", "seite#", "seite#von#", "#of#",  "page#/#",  "\xe2\x80\x93#\xe2\x80\x93"};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (!strcmp(key, forms[i])) return true;
    return false;
}

static int compare_edges(const void *a, const void *b) {
    const edge *x = a, *y = b;
    int order = strcmp(x->key, y->key);
    return order ? order : (x->line->page > y->line->page) - (x->line->page < y->line->page);
}

/* Mark every line of the run that comes again on enough pages, a number anyway. */
static void mark_run(edge *run, size_t count, int page_count) {
    int pages = 0, last = -1;
    bool outermost = strlen(run[0].key) >= CHAPTER_BYTES;
    for (size_t i = 0; i < count; i++) {
        pages += run[i].line->page != last;
        last = run[i].line->page;
        outermost = outermost && run[i].outermost;
    }
    /* A chapter's header comes again on that chapter's pages only. */
    bool repeated = pages >= REPEATS_MIN && (outermost || pages * 3 >= page_count);
    if (!repeated && !(page_count > 1 && is_page_number(run[0].key))) return;
    for (size_t i = 0; i < count; i++) run[i].line->margin = true;
}

/* The first and last lines of each page, by their height on it. */
static size_t collect_edges(pdf_lines *l, edge *edges) {
    size_t count = 0;
    for (size_t begin = 0, end; begin < l->count; begin = end) {
        for (end = begin; end < l->count && l->list[end].page == l->list[begin].page;) end++;
        for (size_t i = begin; i < end && count < EDGES_MAX; i++) {
            size_t above = 0, below = 0;
            for (size_t k = begin; k < end && (above < EDGE_LINES || below < EDGE_LINES); k++) {
                above += l->list[k].top < l->list[i].top;
                below += l->list[k].top > l->list[i].top;
            }
            if (above >= EDGE_LINES && below >= EDGE_LINES) continue;
            make_key(l->list[i].text, edges[count].key);
            edges[count].outermost = !above || !below;
            edges[count++].line = &l->list[i];
        }
    }
    return count;
}

static bool mark_margins(pdf_lines *l) {
    edge *edges = malloc(EDGES_MAX * sizeof *edges);
    if (!edges) return false;
    size_t count = collect_edges(l, edges);
    qsort(edges, count, sizeof *edges, compare_edges);
    for (size_t begin = 0, end; begin < count; begin = end) {
        for (end = begin; end < count && !strcmp(edges[begin].key, edges[end].key);) end++;
        mark_run(edges + begin, end - begin, l->page_count);
    }
    free(edges);
    return true;
}

/* ---- paragraphs ---- */

static bool begins_small(const char *text) {
    return (text[0] >= 'a' && text[0] <= 'z') || (unsigned char)text[0] >= 0xc3;
}

static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (unsigned char)c >= 0x80;
}

static bool ends_with(const char *text, const char *end) {
    size_t size = strlen(text), n = strlen(end);
    return size >= n && !strcmp(text + size - n, end);
}

static bool ends_sentence(const char *text) {
    static const char *const ends[] = {".",           "!", "?", ":", ".\"", ".)", "\xe2\x80\x9d",
                                       "\xe2\x80\xa6"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (ends_with(text, ends[i])) return true;
    return false;
}

/* Bytes of a list item's mark: a bullet, a dash, "3.", "b)", and the space after it. */
static size_t item_mark(const char *text) {
    static const char *const bullets[] = {
        "\xe2\x80\xa2", "\xe2\x97\xa6", "\xe2\x96\xaa", "\xe2\x80\x93", "\xef\x82\xb7", "-", "*"};
    size_t n = 0;
    for (size_t i = 0; i < sizeof bullets / sizeof *bullets && !n; i++)
        if (!strncmp(text, bullets[i], strlen(bullets[i]))) n = strlen(bullets[i]);
    bool bullet = n > 0;
    if (!n && (n = strspn(text, "0123456789")) == 0 && is_letter(text[0]) && text[1] == ')')
        n = 1;
    else if (n > 3)
        n = 0;
    else if (n && text[0] >= '0' && text[0] <= '9' && text[n] != '.' && text[n] != ')')
        n = 0;
    if (n && (text[n] == '.' || text[n] == ')')) n++;
    if (bullet && !text[n]) return n; /* its text is the next line */
    return n && text[n] == ' ' ? n + 1 : 0;
}

enum { SAME, LINE, PARAGRAPH };

/* Whether line b goes on where a ended; widest is the right end of the lines of a's paragraph, item
 * says that it is a list item. */
static int joint(const pdf_line *a, const pdf_line *b, double widest, bool item) {
    double height = a->bottom - a->top, other = b->bottom - b->top;
    if (item_mark(b->text)) return item ? LINE : PARAGRAPH;
    size_t mark = item_mark(a->text);
    if (mark && !a->text[mark] && b->page == a->page) return SAME; /* a bullet alone */
    bool cut = ends_with(a->text, "-") || !ends_sentence(a->text);
    /* Another page, or another column. */
    if (b->page != a->page || b->top < a->top - height)
        return cut && begins_small(b->text) ? SAME : PARAGRAPH;
    if (height > other * HEIGHT_RATIO || other > height * HEIGHT_RATIO) return PARAGRAPH;
    if (b->top - a->bottom > GAP_SHARE * height) return PARAGRAPH;
    if (b->left - a->left > INDENT_SHARE * height && !item) return PARAGRAPH;
    if (widest < b->right) widest = b->right;
    bool is_short = a->right < widest - SHORT_SHARE * (widest - a->left);
    return is_short && ends_sentence(a->text) ? PARAGRAPH : SAME;
}

/* A soft hyphen goes; a hyphen between letters goes where a small letter follows. */
static bool add_joined(bytes *out, const char *text) {
    size_t n = out->size;
    bool soft = n >= 2 && !memcmp(out->data + n - 2, "\xc2\xad", 2);
    bool hard = n >= 2 && out->data[n - 1] == '-' && is_letter(out->data[n - 2]);
    if (soft)
        out->size -= 2;
    else if (hard && begins_small(text))
        out->size--;
    else if (!hard && n && out->data[n - 1] != ' ' && !bytes_add_char(out, ' '))
        return false;
    return bytes_add_text(out, text);
}

static bool add_line(bytes *out, const pdf_line *b, int how) {
    if (how == SAME) return add_joined(out, b->text);
    if (out->size && !bytes_add_text(out, how == LINE ? "\n" : "\n\n")) return false;
    size_t mark = item_mark(b->text);
    bool bullet = mark && !(b->text[0] >= '0' && b->text[0] <= '9') && b->text[1] != ')';
    if (bullet && !bytes_add_text(out, "- ")) return false;
    return bytes_add_text(out, bullet ? b->text + mark : b->text);
}

bool pdf_lines_join(pdf_lines *l, bytes *out) {
    if (!mark_margins(l)) return false;
    const pdf_line *last = NULL;
    double widest = 0;
    bool item = false;
    for (size_t i = 0; i < l->count; i++) {
        const pdf_line *line = &l->list[i];
        if (line->margin || !line->text[0]) continue;
        int how = last ? joint(last, line, widest, item) : PARAGRAPH;
        if (how != SAME) widest = 0, item = item_mark(line->text) > 0;
        if (widest < line->right) widest = line->right;
        if (!add_line(out, line, how)) return false;
        last = line;
    }
    return bytes_add(out, "", 0);
}
