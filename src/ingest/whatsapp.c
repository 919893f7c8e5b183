/* Source of WhatsApp chat exports ("_chat.txt", "WhatsApp Chat with Anna.txt"), of Android and of
 * iOS. Files sent, deleted messages and notices of the app are left out and counted. */
#include "ingest/chat.h"
#include "ingest/lines.h"
#include "ingest/whatsapp_line.h"

#include <string.h>

/* The order of a date's numbers, found from the whole file: months end at 12. */
typedef struct date_order {
    bool day_first, month_first, twelve_hours;
} date_order;

static void learn_order(date_order *o, const whatsapp_line *l) {
    if (l->year_first) return;
    if (l->a > 12) o->day_first = true;
    if (l->b > 12) o->month_first = true;
    if (l->twelve_hours) o->twelve_hours = true;
}

/* Where every day was below 13, twelve hours to a half day speak for the American order. */
static bool month_first(const date_order *o) {
    if (o->day_first != o->month_first) return o->month_first;
    return o->twelve_hours;
}

static int64_t line_time(const whatsapp_line *l, const date_order *o) {
    int year = l->year_first ? l->a : l->c, month = l->b, day = l->year_first ? l->c : l->a;
    if (!l->year_first && month_first(o)) month = l->a, day = l->b;
    if (month > 12) day = month, month = l->year_first ? l->c : l->a;
    return chat_time(year < 100 ? year + 2000 : year, month, day, l->hour, l->minute, l->second);
}

/* ---- what a message says ---- */

static bool starts(const char *text, const char *with) {
    return !strncmp(text, with, strlen(with));
}

static bool ends(const char *text, const char *with) {
    size_t size = strlen(text), tail = strlen(with);
    return size >= tail && !strcmp(text + size - tail, with);
}

static bool is_one_of(const char *text, const char *const *list, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (!strcmp(text, list[i])) return true;
    return false;
}

#define LEFT_TO_RIGHT "\xe2\x80\x8e" /* iOS puts it before everything that the app itself says */

/* Why a message is left out; NULL if it is somebody's words. */
static const char *refuse(const char *text) {
    static const char *const deleted[] = {"This message was deleted",
                                          "This message was deleted.",
                                          "You deleted this message",
                                          "You deleted this message.",
                                          "Diese Nachricht wurde gel\xc3\xb6scht.",
                                          "Du hast diese Nachricht gel\xc3\xb6scht.",
                                          "Se elimin\xc3\xb3 este mensaje.",
                                          "Eliminaste este mensaje.",
                                          "Ce message a \xc3\xa9t\xc3\xa9 supprim\xc3\xa9"};
    static const char *const notices[] = {"null", "Missed voice call", "Missed video call",
                                          "Waiting for this message"};
    const char *plain = starts(text, LEFT_TO_RIGHT) ? text + 3 : text;
    bool angled = plain[0] == '<' && ends(plain, ">") && !strchr(plain, '\n');
    if (is_one_of(plain, deleted, sizeof deleted / sizeof *deleted)) return "deleted message";
    if (is_one_of(plain, notices, sizeof notices / sizeof *notices)) return "notice of the app";
    if (angled || ends(plain, "(file attached)") || ends(plain, "(Datei angeh\xc3\xa4ngt)"))
        return "media left out of the export";
    if (plain != text) return "media or notice of the app";
    return NULL;
}

static void cut_edited(char *text) {
    static const char *const marks[] = {" <This message was edited>",
                                        LEFT_TO_RIGHT "<This message was edited>",
                                        "<This message was edited>"};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (ends(text, marks[i])) text[strlen(text) - strlen(marks[i])] = 0;
}

/* ---- reading ---- */

typedef struct reading {
    chat_log chat;
    date_order order;
    bytes message; /* "Anna: Hi" and the lines that follow; size 0: none is open */
    int64_t time_s;
    uint64_t line;
} reading;

static int message_end(reading *w) {
    ingest_reader *r = w->chat.reader;
    char *name = w->message.data, *colon = name ? strstr(name, ": ") : NULL;
    if (!w->message.size) return WEFT_OK;
    w->message.size = 0;
    if (!colon || memchr(name, '\n', (size_t)(colon - name)))
        return reader_skip(r, r->unit, w->line, "notice of the app", ""), WEFT_OK;
    *colon = 0;
    char *text = colon + 2;
    const char *why = refuse(text);
    if (why) return reader_skip(r, r->unit, w->line, why, ""), WEFT_OK;
    cut_edited(text);
    while (starts(name, LEFT_TO_RIGHT)) name += 3;
    if (*name == '~') name += 1 + strspn(name + 1, " ");
    if (starts(name, "\xe2\x80\xaf")) name += 3;
    return chat_add(&w->chat, name, w->time_s, text, w->line);
}

static int take_line(reading *w, const char *text, uint64_t number) {
    whatsapp_line l;
    ingest_reader *r = w->chat.reader;
    if (whatsapp_line_read(text, &l)) {
        TRY(message_end(w));
        bytes_clear(&w->message);
        w->time_s = line_time(&l, &w->order);
        w->line = number;
        return bytes_add_text(&w->message, l.rest) ? WEFT_OK : reader_no_memory(r);
    }
    if (!w->message.size) {
        if (!text_is_blank(text))
            reader_skip(r, r->unit, number, "line before the first message", "");
        return WEFT_OK;
    }
    if (w->message.size > CHAT_BYTES_MAX) return WEFT_OK; /* refused as a whole at its end */
    bool ok = bytes_add_char(&w->message, '\n') && bytes_add_text(&w->message, text);
    return ok ? WEFT_OK : reader_no_memory(r);
}

/* Each line as clean text: first to learn the order of dates (w NULL), then to read. */
static int each_line(ingest_reader *r, FILE *file, date_order *order, reading *w) {
    line_reader lines;
    bytes clean = {0};
    int rc = WEFT_OK;
    lines_begin(&lines, file, CHAT_BYTES_MAX);
    while (!(rc = lines_next(&lines, r->err)) && !lines.done) {
        whatsapp_line l;
        bytes_clear(&clean);
        if (!text_clean(&clean, lines.line.data, lines.line.size)) rc = reader_no_memory(r);
        if (!rc && w && lines.too_long)
            reader_skip(r, r->unit, lines.number, "line over 1 MiB", "");
        else if (!rc && w)
            rc = take_line(w, clean.data, lines.number);
        else if (!rc && whatsapp_line_read(clean.data, &l))
            learn_order(order, &l);
        if (rc) break;
    }
    lines_end(&lines);
    bytes_free(&clean);
    return rc;
}

/* "WhatsApp Chat with Anna.txt", "WhatsApp Chat - Anna.zip/_chat.txt": whom it is with. */
static int deny_partner(ingest_reader *r) {
    static const char *const before[] = {"WhatsApp Chat with ", "WhatsApp Chat - "};
    for (size_t i = 0; i < sizeof before / sizeof *before; i++) {
        const char *found = strstr(r->path, before[i]);
        if (!found || !r->senders) continue;
        char name[256];
        snprintf(name, sizeof name, "%s", found + strlen(before[i]));
        name[strcspn(name, "/")] = 0;
        char *dot = strrchr(name, '.');
        if (dot && (!strcmp(dot, ".txt") || !strcmp(dot, ".zip"))) *dot = 0;
        if (!senders_deny(r->senders, source_whatsapp.family, name)) return reader_no_memory(r);
    }
    return WEFT_OK;
}

static int read_whatsapp(ingest_reader *r, FILE *file) {
    reading w = {0};
    off_t begin = ftello(file);
    reader_kind(r, "whatsapp");
    TRY(each_line(r, file, &w.order, NULL));
    if (fseeko(file, begin, SEEK_SET))
        return reader_skip(r, r->unit, 0, "cannot be read twice", ""), WEFT_OK;
    chat_begin(&w.chat, r, source_whatsapp.family);
    TRY(deny_partner(r));
    int rc = each_line(r, file, &w.order, &w);
    if (!rc) rc = message_end(&w);
    bytes_free(&w.message);
    return chat_end(&w.chat, rc);
}

/* A dated line with a sender or a notice, at the beginning. Dated notes have no " - " or brackets
 * behind a time of day, so that the first line is enough with a second one of the same form, or
 * with a name that says it. */
static bool looks_like_whatsapp(const ingest_head *head) {
    whatsapp_line l;
    const char *slash = strrchr(head->path, '/'), *name = slash ? slash + 1 : head->path;
    if (!head->text || !whatsapp_line_read(head->data, &l)) return false;
    if (starts(name, "WhatsApp") || !strcmp(name, "_chat.txt")) return true;
    if (!strstr(l.rest, ": ") && !strstr(l.rest, "encrypted")) return false;
    for (const char *next = head->data; (next = strchr(next, '\n'));)
        if (whatsapp_line_read(++next, &l)) return true;
    return false;
}

const ingest_source source_whatsapp = {.name = "whatsapp",
                                       .title = "WhatsApp chat export",
                                       .unit = "line",
                                       .family = "WhatsApp",
                                       .detects = looks_like_whatsapp,
                                       .read = read_whatsapp};
