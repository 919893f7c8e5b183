/* Chats between people, and turns of any conversation, made into documents. */
#include "ingest/chat.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- turns ---- */

bool turns_add(turn_list *t, const char *role, const char *content, const char *joint) {
    if (t->count && !strcmp(t->roles[t->count - 1], role)) {
        bytes *last = &t->contents[t->count - 1];
        return bytes_add_text(last, joint) && bytes_add_text(last, content);
    }
    if (t->count == INGEST_MESSAGES_MAX) {
        t->too_many = true;
        return true;
    }
    t->roles[t->count] = role;
    t->contents[t->count] = (bytes){0};
    return bytes_add_text(&t->contents[t->count++], content);
}

void turns_free(turn_list *t) {
    for (size_t i = 0; i < t->count; i++) bytes_free(&t->contents[i]);
    t->count = 0;
    t->too_many = false;
}

static bool is_assistant(const turn_list *t, size_t i) {
    return !strcmp(t->roles[i], "assistant");
}

static int deliver_turns(turn_list *t, ingest_reader *r, uint64_t line) {
    ingest_message *messages = calloc(t->count + 1, sizeof *messages);
    size_t count = 0, end = t->count;
    bool asked = false, opened = false;
    if (!messages) return reader_no_memory(r);
    while (end && !is_assistant(t, end - 1)) end--;
    for (size_t i = 0; i < end; i++) {
        asked = asked || !strcmp(t->roles[i], "user");
        if (is_assistant(t, i) && !asked)
            opened = true;
        else
            messages[count++] = (ingest_message){t->roles[i], t->contents[i].data};
    }
    if (opened) reader_skip(r, r->unit, line, "opening words that answer nothing", "");
    int rc = WEFT_OK;
    if (asked && count && end)
        rc = reader_conversation(r, messages, count, line);
    else if (!opened)
        reader_skip(r, r->unit, line, "conversation without an answer", "");
    free(messages);
    return rc;
}

int turns_deliver(turn_list *t, ingest_reader *r, uint64_t line) {
    if (t->too_many) reader_skip(r, r->unit, line, "turns beyond the 4096th", "");
    int rc = t->count ? deliver_turns(t, r, line) : WEFT_OK;
    turns_free(t);
    return rc;
}

/* ---- a chat ---- */

#define TIME_MAX_S INT64_C(1000000000000)

void chat_begin(chat_log *c, ingest_reader *r, const char *family) {
    *c = (chat_log){.reader = r, .family = family, .number = ++r->conversation_count};
}

static const char *person_name(const chat_log *c, size_t person) {
    const char *name = c->people.data;
    while (--person) name += strlen(name) + 1;
    return name;
}

/* 0 for the owner, else the place of the name among the others', put there if it is new; SIZE_MAX:
 * out of memory. */
static size_t find_person(chat_log *c, const char *name) {
    if (c->reader->owner && !strcasecmp(name, c->reader->owner)) return 0;
    const char *at = c->people.data;
    for (size_t i = 1; i <= c->people_count; i++, at += strlen(at) + 1)
        if (!strcmp(at, name)) return i;
    if (!bytes_add(&c->people, name, strlen(name) + 1)) return SIZE_MAX;
    return ++c->people_count;
}

static bool append(chat_log *c, size_t person, const char *text) {
    if (c->message_count == c->message_capacity) {
        size_t capacity = c->message_capacity ? c->message_capacity * 2 : 64;
        chat_message_text *messages = realloc(c->messages, capacity * sizeof *messages);
        if (!messages) return false;
        c->messages = messages;
        c->message_capacity = capacity;
    }
    chat_message_text message = {person, c->text.size};
    if (!bytes_add(&c->text, text, strlen(text) + 1)) return false;
    c->messages[c->message_count++] = message;
    return true;
}

/* Another's words, with the name in front where it is needed and the speaker is new. */
static bool add_other(turn_list *turns, const chat_log *c, size_t i, const char *text) {
    size_t person = c->messages[i].person;
    if (c->people_count < 2 || (i && c->messages[i - 1].person == person))
        return turns_add(turns, "user", text, "\n");
    bytes named = {0};
    const char *name = person_name(c, person);
    bool ok = bytes_printf(&named, "%s: %s", name, text);
    for (size_t k = 0; ok && k < strlen(name); k++)
        if ((unsigned char)named.data[k] < 32) named.data[k] = ' ';
    ok = ok && turns_add(turns, "user", named.data, "\n");
    bytes_free(&named);
    return ok;
}

static int deliver(chat_log *c) {
    turn_list *turns = calloc(1, sizeof *turns);
    bool ok = turns != NULL;
    for (size_t i = 0; ok && i < c->message_count; i++) {
        const char *text = c->text.data + c->messages[i].at;
        ok = c->messages[i].person ? add_other(turns, c, i, text)
                                   : turns_add(turns, "assistant", text, "\n");
    }
    int rc = ok ? turns_deliver(turns, c->reader, c->line) : reader_no_memory(c->reader);
    if (turns) turns_free(turns);
    free(turns);
    return rc;
}

int chat_break(chat_log *c) {
    int rc = c->message_count ? deliver(c) : WEFT_OK;
    c->message_count = c->people_count = 0;
    bytes_clear(&c->text);
    bytes_clear(&c->people);
    return rc;
}

static bool begins_anew(const chat_log *c, int64_t time_s) {
    if (!c->message_count) return false;
    if (time_s - c->last_time_s > CHAT_GAP_S) return true;
    return c->text.size > CHAT_BYTES_MAX || c->message_count == CHAT_MESSAGES_MAX ||
           c->people_count == CHAT_PEOPLE_MAX;
}

int chat_add(chat_log *c, const char *sender, int64_t time_s, const char *text, uint64_t line) {
    ingest_reader *r = c->reader;
    if (text_is_blank(text)) return reader_skip(r, r->unit, line, "empty message", ""), WEFT_OK;
    if (!*sender) return reader_skip(r, r->unit, line, "no sender", ""), WEFT_OK;
    if (r->senders)
        return senders_add(r->senders, c->family, sender, c->number) ? WEFT_OK
                                                                     : reader_no_memory(r);
    if (strlen(text) > CHAT_BYTES_MAX)
        return reader_skip(r, r->unit, line, "message over 1 MiB", ""), WEFT_OK;
    if (time_s < -TIME_MAX_S || time_s > TIME_MAX_S) time_s = c->last_time_s; /* unknown */
    if (begins_anew(c, time_s)) TRY(chat_break(c));
    if (!c->message_count) c->line = line;
    c->last_time_s = time_s;
    size_t person = find_person(c, sender);
    if (person == SIZE_MAX || !append(c, person, text)) return reader_no_memory(r);
    return WEFT_OK;
}

int chat_end(chat_log *c, int rc) {
    if (!rc) rc = chat_break(c);
    free(c->messages);
    bytes_free(&c->text);
    bytes_free(&c->people);
    c->messages = NULL;
    c->message_count = 0;
    return rc;
}

/* ---- time ---- */

/* Days from 1 January 1970, by the rule that years begin in March, so that a leap day ends one. */
static int64_t days_from_date(int64_t year, int month, int day) {
    if (month <= 2) year--, month += 12;
    int64_t days = 365 * year + year / 4 - year / 100 + year / 400;
    return days + (153 * (month - 3) + 2) / 5 + day - 1 - 719468;
}

int64_t chat_time(int year, int month, int day, int hour, int minute, int second) {
    return days_from_date(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
}

int64_t chat_time_iso(const char *text) {
    int year, month, day, hour, minute, second = 0;
    int got =
        sscanf(text, "%4d-%2d-%2d%*1[T ]%2d:%2d:%2d", &year, &month, &day, &hour, &minute, &second);
    if (got < 5 || year < 0 || month < 1 || month > 12 || day < 1 || day > 31) return INT64_MIN;
    return chat_time(year, month, day, hour, minute, second);
}
