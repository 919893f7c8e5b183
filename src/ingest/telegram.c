/* Source of Telegram exports in JSON (result.json): one chat, or all chats of an account. Service
 * messages, media without words and forwarded messages are left out and counted. */
#include "ingest/chat.h"
#include "ingest/json_records.h"

#include <stdlib.h>
#include <string.h>

/* The text of a message: a string, or pieces of which some are marked up. */
static bool add_text(json_t *text, bytes *out) {
    if (json_is_string(text))
        return text_clean(out, json_string_value(text), json_string_length(text));
    for (size_t i = 0; i < json_array_size(text); i++) {
        json_t *piece = json_array_get(text, i);
        if (json_is_object(piece)) piece = json_object_get(piece, "text");
        if (json_is_string(piece) &&
            !text_clean(out, json_string_value(piece), json_string_length(piece)))
            return false;
    }
    return bytes_add(out, "", 0);
}

static int64_t message_time(json_t *m) {
    const char *unix_time = json_text(m, "date_unixtime");
    return *unix_time ? strtoll(unix_time, NULL, 10) : chat_time_iso(json_text(m, "date"));
}

static const char *refuse(json_t *m) {
    if (strcmp(json_text(m, "type"), "message")) return "service message";
    if (json_object_get(m, "forwarded_from")) return "forwarded message";
    return NULL;
}

static int read_message(chat_log *chat, json_t *m) {
    ingest_reader *r = chat->reader;
    uint64_t number = (uint64_t)json_integer_value(json_object_get(m, "id"));
    const char *why = refuse(m);
    if (why) return reader_skip(r, r->unit, number, why, ""), WEFT_OK;
    bytes text = {0}, from = {0};
    const char *name = json_text(m, "from");
    int rc = WEFT_OK;
    if (!add_text(json_object_get(m, "text"), &text) || !text_clean(&from, name, strlen(name)))
        rc = reader_no_memory(r);
    else if (text_is_blank(text.data))
        reader_skip(r, r->unit, number, "media without words", "");
    else
        rc = chat_add(chat, *from.data ? from.data : json_text(m, "from_id"), message_time(m),
                      text.data, number);
    bytes_free(&text);
    bytes_free(&from);
    return rc;
}

static int read_chat(ingest_reader *r, json_t *chat) {
    json_t *messages = json_object_get(chat, "messages");
    chat_log log;
    int rc = WEFT_OK;
    if (strstr(json_text(chat, "type"), "channel"))
        return reader_skip(r, "chat", 0, "channel, not a conversation", json_text(chat, "name")),
               WEFT_OK;
    chat_begin(&log, r, source_telegram.family);
    if (r->senders && !strcmp(json_text(chat, "type"), "personal_chat") &&
        !senders_deny(r->senders, source_telegram.family, json_text(chat, "name")))
        rc = reader_no_memory(r);
    for (size_t i = 0; i < json_array_size(messages) && !rc; i++)
        rc = read_message(&log, json_array_get(messages, i));
    return chat_end(&log, rc);
}

/* The export of all chats says whose account it is. */
static bool declare_owner(ingest_reader *r, json_t *root) {
    json_t *person = json_object_get(root, "personal_information");
    const char *first = json_text(person, "first_name"), *last = json_text(person, "last_name");
    bytes name = {0};
    if (!r->senders || !*first) return true;
    bool ok = bytes_printf(&name, "%s%s%s", first, *last ? " " : "", last) &&
              senders_declare(r->senders, source_telegram.family, name.data);
    bytes_free(&name);
    return ok;
}

static int read_telegram(ingest_reader *r, FILE *file) {
    json_t *root;
    reader_kind(r, "telegram");
    TRY(json_load(r, file, JSON_FILE_BYTES_MAX, &root));
    json_t *list = json_object_get(json_object_get(root, "chats"), "list");
    int rc = declare_owner(r, root) ? WEFT_OK : reader_no_memory(r);
    if (root && !list && !rc) rc = read_chat(r, root);
    for (size_t i = 0; i < json_array_size(list) && !rc; i++)
        rc = read_chat(r, json_array_get(list, i));
    json_decref(root);
    return rc;
}

/* One chat begins with its name, type and id; all of them with a text about the export. */
static bool looks_like_telegram(const ingest_head *head) {
    const char *s = head->data + strspn(head->data, " \t\r\n");
    if (*s != '{') return false;
    if (strstr(s, "\"about\"") && strstr(s, "Telegram")) return true;
    return strstr(s, "\"messages\"") && strstr(s, "\"type\"") && strstr(s, "\"date_unixtime\"") &&
           (strstr(s, "\"from_id\"") || strstr(s, "\"actor_id\""));
}

const ingest_source source_telegram = {.name = "telegram",
                                       .title = "Telegram export",
                                       .unit = "message",
                                       .family = "Telegram",
                                       .detects = looks_like_telegram,
                                       .read = read_telegram};
