/* Source of Signal chats, in the two forms that the exporters for Signal Desktop write: data.json
 * (a message a line) and chat.md ("[2024-01-31 10:00] Anna: Hi"). The owner is called "Me" there.
 * Where both lie in one folder they say the same, and data.json is read. */
#include "ingest/chat.h"
#include "ingest/json_records.h"
#include "ingest/lines.h"

#include <ctype.h>
#include <string.h>

#define OWNER_NAME     "Me"
#define NAME_BYTES_MAX 250

static int begin(chat_log *chat, ingest_reader *r) {
    reader_kind(r, "signal");
    chat_begin(chat, r, source_signal.family);
    if (r->senders && !senders_declare(r->senders, source_signal.family, OWNER_NAME))
        return reader_no_memory(r);
    return WEFT_OK;
}

/* ---- data.json ---- */

static int take_record(void *context, ingest_reader *r, json_t *m, uint64_t line) {
    const char *body = json_text(m, "body"), *sender = json_text(m, "sender");
    if (!json_is_object(m)) return reader_skip(r, "line", line, "not a message", ""), WEFT_OK;
    if (json_is_true(json_object_get(m, "deleted")))
        return reader_skip(r, "line", line, "deleted message", ""), WEFT_OK;
    if (json_is_true(json_object_get(m, "call")))
        return reader_skip(r, "line", line, "notice of a call", ""), WEFT_OK;
    if (text_is_blank(body))
        return reader_skip(r, "line", line, "media without words", ""), WEFT_OK;
    bytes text = {0};
    int rc = text_clean(&text, body, strlen(body)) ? WEFT_OK : reader_no_memory(r);
    text_trim(&text);
    if (!rc) rc = chat_add(context, sender, chat_time_iso(json_text(m, "date")), text.data, line);
    bytes_free(&text);
    return rc;
}

static int read_json(ingest_reader *r, FILE *file) {
    chat_log chat;
    int rc = begin(&chat, r);
    if (!rc) rc = json_each(r, file, take_record, &chat);
    return chat_end(&chat, rc);
}

/* ---- chat.md ---- */

/* "[2024-01-31 10:00] " */
static bool is_begin(const char *line) {
    static const char form[] = "[0000-00-00 00:00";
    for (size_t i = 0; form[i]; i++)
        if (form[i] == '0' ? !isdigit((unsigned char)line[i]) : line[i] != form[i]) return false;
    const char *end = line + sizeof form - 1;
    if (*end == ':') end += 3; /* seconds */
    const char *colon = strstr(end, ": ");
    return end[0] == ']' && end[1] == ' ' && colon && colon - end < NAME_BYTES_MAX;
}

typedef struct md_message {
    bytes text;
    char sender[256];
    int64_t time_s;
    uint64_t line;
} md_message;

static int md_end(chat_log *chat, md_message *m) {
    ingest_reader *r = chat->reader;
    if (!m->line) return WEFT_OK;
    text_trim(&m->text);
    if (!m->text.size) return reader_skip(r, "line", m->line, "media without words", ""), WEFT_OK;
    return chat_add(chat, m->sender, m->time_s, m->text.data, m->line);
}

static bool is_decoration(const char *line) {
    return !strncmp(line, "(- ", 3) || !strncmp(line, "> ", 2) || !strncmp(line, "(( ", 3) ||
           !strncmp(line, "(This message was deleted)", 26);
}

/* Files sent stand behind the words as links into the export's own folder. */
static size_t words_bytes(const char *line) {
    const char *link = strstr(line, "](./");
    while (link && link > line && *link != '[') link--;
    size_t size = link ? (size_t)(link - line) : strlen(line);
    if (link && size && line[size - 1] == '!') size--;
    while (size && line[size - 1] == ' ') size--;
    return size;
}

static int md_line(chat_log *chat, md_message *m, const char *line, uint64_t number) {
    ingest_reader *r = chat->reader;
    if (is_begin(line)) {
        TRY(md_end(chat, m));
        const char *name = strchr(line, ']') + 2, *colon = strstr(name, ": ");
        m->time_s = chat_time_iso(line + 1);
        m->line = number;
        snprintf(m->sender, sizeof m->sender, "%.*s", (int)(colon - name), name);
        bytes_clear(&m->text);
        line = colon + 2;
    }
    if (!m->line) {
        if (!text_is_blank(line))
            reader_skip(r, "line", number, "line before the first message", "");
        return WEFT_OK;
    }
    if (is_decoration(line) || m->text.size > CHAT_BYTES_MAX) return WEFT_OK;
    bool ok = (!m->text.size || bytes_add_char(&m->text, '\n')) &&
              bytes_add(&m->text, line, words_bytes(line));
    return ok ? WEFT_OK : reader_no_memory(r);
}

static int md_lines(chat_log *chat, md_message *m, line_reader *lines) {
    ingest_reader *r = chat->reader;
    for (;;) {
        TRY(lines_next(lines, r->err));
        if (lines->done) return md_end(chat, m);
        bytes clean = {0};
        int rc =
            text_clean(&clean, lines->line.data, lines->line.size) ? WEFT_OK : reader_no_memory(r);
        if (!rc) rc = md_line(chat, m, clean.data, lines->number);
        bytes_free(&clean);
        if (rc) return rc;
    }
}

static int read_md(ingest_reader *r, FILE *file) {
    chat_log chat;
    line_reader lines;
    md_message message = {0};
    int rc = begin(&chat, r);
    lines_begin(&lines, file, CHAT_BYTES_MAX);
    if (!rc) rc = md_lines(&chat, &message, &lines);
    lines_end(&lines);
    bytes_free(&message.text);
    return chat_end(&chat, rc);
}

/* ---- the source ---- */

static int read_signal(ingest_reader *r, FILE *file) {
    int first = getc(file);
    if (first != EOF) ungetc(first, file);
    return first == '[' ? read_md(r, file) : read_json(r, file);
}

static bool looks_like_signal(const ingest_head *head) {
    if (is_begin(head->data)) return true;
    const char *end = strchr(head->data, '\n'), *reactions = strstr(head->data, "\"reactions\"");
    return head->data[0] == '{' && reactions && (!end || reactions < end) &&
           strstr(head->data, "\"sender\"") && strstr(head->data, "\"body\"");
}

static bool is_signal_folder(const ingest_folder *folder) {
    return folder_has(folder, "chat.md") && folder_has(folder, "data.json");
}

static int read_signal_folder(ingest_reader *r, const ingest_folder *folder) {
    for (size_t i = 0; i < folder_count(folder); i++) {
        const char *name = folder_name(folder, i);
        FILE *file;
        if (strcmp(name, "data.json")) {
            reader_skip(r, "line", 0, strchr(name, '/') ? "media" : "beside data.json", name);
            continue;
        }
        TRY(reader_open(r, folder, i, &file));
        int rc = file ? read_json(r, file) : WEFT_OK;
        reader_close(r, folder, file);
        TRY(rc);
    }
    return WEFT_OK;
}

const ingest_source source_signal = {.name = "signal",
                                     .title = "Signal chat export",
                                     .unit = "line",
                                     .family = "Signal",
                                     .detects = looks_like_signal,
                                     .read = read_signal,
                                     .detects_folder = is_signal_folder,
                                     .read_folder = read_signal_folder};
