/* A chat between people made into conversations to learn from. The owner is the assistant,
 * everybody else the user; with several others each of their turns begins "NAME: ". What one side
 * says in a row is one turn of several lines. A silence of more than six hours begins a new
 * conversation. What the owner says before anybody else has spoken is left out and counted, for
 * there is nothing it answers; what others say after the owner's last words has no answer and is
 * left out too. */
#ifndef WEFT_INGEST_CHAT_H
#define WEFT_INGEST_CHAT_H

#include "ingest/sources.h"

#define CHAT_GAP_S        (6 * 3600)
#define CHAT_BYTES_MAX    (1u << 20) /* a longer conversation is cut between two turns */
#define CHAT_MESSAGES_MAX INGEST_MESSAGES_MAX
#define CHAT_PEOPLE_MAX   256 /* of one conversation; a new one begins before the next */

typedef struct chat_message_text {
    size_t person; /* index into people; 0 is the owner */
    size_t at;     /* of the text in chat_log.text */
} chat_message_text;

/* One chat as it is read: fields are chat.c's own. Zero it, then chat_begin. */
typedef struct chat_log {
    ingest_reader *reader;
    const char *family;
    uint64_t number; /* of this chat among all; for counting senders */
    chat_message_text *messages;
    size_t message_count, message_capacity;
    bytes text;   /* of the messages, each NUL-terminated */
    bytes people; /* names of the others, each NUL-terminated */
    size_t people_count;
    int64_t last_time_s;
    uint64_t line; /* of the first message */
} chat_log;

void chat_begin(chat_log *c, ingest_reader *r, const char *family);

/* A message in order of time; text is clean UTF-8. Blank ones are counted as skipped. */
int chat_add(chat_log *c, const char *sender, int64_t time_s, const char *text, uint64_t line);

/* The conversation ends here; what follows is another one. */
int chat_break(chat_log *c);

/* chat_break, and free what c holds: always to be called. rc is what the reading gave; if it is not
 * 0 nothing more is delivered and it is returned. */
int chat_end(chat_log *c, int rc);

/* Turns of an assistant's conversation, delivered as they stand: one after the other by the same
 * role are joined by an empty line. */
typedef struct turn_list {
    const char *roles[INGEST_MESSAGES_MAX];
    bytes contents[INGEST_MESSAGES_MAX];
    size_t count;
    bool too_many;
} turn_list;

bool turns_add(turn_list *t, const char *role, const char *content, const char *joint);
/* Without the assistant's turns at the beginning (*dropped says how many) and others' at the end.
 * Frees the contents. */
int turns_deliver(turn_list *t, ingest_reader *r, uint64_t line);
void turns_free(turn_list *t);

/* Seconds since 1970 of a date in the calendar (1 = January), as if in UTC. */
int64_t chat_time(int year, int month, int day, int hour, int minute, int second);
/* "2024-01-31T10:00:05" or with a space; INT64_MIN if it is not one. */
int64_t chat_time_iso(const char *text);

#endif
