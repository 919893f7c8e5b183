/* What the sources share inside this layer: the reader that takes their documents, and their
 * entries. A source reads from a FILE, so that tests and fuzzers can feed it from memory
 * (fmemopen). */
#ifndef WEFT_INGEST_SOURCES_H
#define WEFT_INGEST_SOURCES_H

#include "base/bytes.h"
#include "ingest/ingest.h"

#include <stdio.h>

typedef struct mail_senders mail_senders;

/* Where a source puts what it read: borrowed, one caller at a time. */
typedef struct ingest_reader {
    ingest_sink sink;
    void *context;
    ingest_report *report;
    const char *path;  /* of the file being read */
    const char *owner; /* mail address, or NULL: every message is taken */
    char kind[32];     /* of this file, as in the report */
    weft_error *err;
} ingest_reader;

/* Hand a document to the sink. A blank or overlong one is skipped and counted instead. */
int reader_text(ingest_reader *r, const char *text, uint64_t line);
int reader_conversation(ingest_reader *r, const ingest_message *messages, size_t count,
                        uint64_t line);
/* The two-turn conversation of mail and prompts. */
int reader_exchange(ingest_reader *r, const char *user, const char *assistant, uint64_t line);

/* Count a record that is left out. unit is "line" or "record"; number 0 means the file as a whole;
 * detail ("" allowed) goes to the place of the first one. */
void reader_skip(ingest_reader *r, const char *unit, uint64_t number, const char *reason,
                 const char *detail);

/* "jsonl (text)" and the like; a second, different kind makes it "jsonl (mixed)". */
void reader_kind(ingest_reader *r, const char *kind);

int reader_no_memory(ingest_reader *r);

/* The sources: read file from where it stands to its end. */
int source_mbox(ingest_reader *r, FILE *file);
int source_text(ingest_reader *r, FILE *file);
int source_jsonl(ingest_reader *r, FILE *file);

/* Who sends the messages of one or several mailboxes. */
mail_senders *mail_senders_create(void); /* NULL: out of memory */
void mail_senders_free(mail_senders *s); /* NULL allowed */
int mail_senders_count(mail_senders *s, ingest_reader *r, FILE *file);
/* The most frequent address (the first one seen among equals), in lower case; NULL if there is
 * none. Belongs to s. */
const char *mail_senders_owner(const mail_senders *s);

/* Append data as clean UTF-8: no byte order mark in front, CRLF and CR as '\n', ill-formed bytes
 * and NUL as U+FFFD. False: out of memory. */
bool text_clean(bytes *out, const char *data, size_t size);
bool text_is_utf8(const char *data, size_t size);
bool text_is_blank(const char *text);
/* Cut white space off the end, and empty lines off the beginning. */
void text_trim(bytes *text);

#endif
