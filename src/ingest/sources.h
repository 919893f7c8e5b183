/* What the sources share inside this layer: what a source is, the reader that takes its documents,
 * and the counting of senders. A file source reads from a FILE, so that tests and fuzzers can feed
 * it from memory (fmemopen). */
#ifndef WEFT_INGEST_SOURCES_H
#define WEFT_INGEST_SOURCES_H

#include "base/bytes.h"
#include "ingest/ingest.h"
#include "ingest/tree.h"

#include <stdio.h>

typedef struct ingest_senders ingest_senders;

/* Where a source puts what it read: borrowed, one caller at a time. */
typedef struct ingest_reader {
    ingest_sink sink;
    void *context;
    ingest_report *report;
    const char *path;            /* of the file being read, as it is shown */
    const char *owner;           /* whose messages are learnt, or NULL: not known, every message */
    const char *unit;            /* what numbers count: "line", "record", "message" */
    ingest_senders *senders;     /* set in the first pass: count who writes, deliver nothing */
    const char *template;        /* of records in tables: a sentence with {column} in it, or NULL */
    uint64_t template_count;     /* tables that it was used for */
    char kind[32];               /* of this file, as in the report */
    bool redact;                 /* private matters */
    struct seen_set *seen;       /* documents so far; NULL: duplicates are delivered */
    uint64_t conversation_count; /* chats begun so far, to tell them apart */
    weft_error *err;
} ingest_reader;

/* The first bytes of a file, as detection sees them: without a UTF-8 byte order mark, NUL behind.
 */
typedef struct ingest_head {
    const char *data;
    size_t size;
    const char *path; /* of the file: its name may settle a doubt */
    bool text;        /* no control characters but white space */
} ingest_head;

#define INGEST_HEAD_BYTES 8192

/* A source. One of files has read, one of folders has read_folder; both may be there. */
typedef struct ingest_source {
    const char *name;   /* for --as: one word in small letters */
    const char *title;  /* what people call it: "WhatsApp chat export" */
    const char *unit;   /* what it numbers; NULL = "line" */
    const char *family; /* of sources whose senders are counted together ("mail"); NULL = it does
                         * not ask who its owner is, and is not read in the first pass */
    const char *endings[12]; /* of file names that belong to it, with the dot; "" is a name without
                              * one. Asked last, when no content is recognised */
    bool (*detects)(const ingest_head *head);  /* by content; may be NULL. Must be sure */
    int (*read)(ingest_reader *r, FILE *file); /* from where it stands to its end */
    /* Whether the folder as a whole is of this form; may be NULL. */
    bool (*detects_folder)(const ingest_folder *folder);
    /* Read the whole folder; files that are of no use are counted as skipped. */
    int (*read_folder)(ingest_reader *r, const ingest_folder *folder);
} ingest_source;

/* The list, in the order in which contents and folders are asked; NULL ends it. */
extern const ingest_source *const ingest_sources[];

extern const ingest_source source_mbox, source_text, source_jsonl;
extern const ingest_source source_maildir, source_eml, source_whatsapp, source_telegram;
extern const ingest_source source_signal, source_slack, source_x, source_chatgpt, source_claude;
extern const ingest_source source_html, source_pdf, source_docx, source_odt, source_epub;
extern const ingest_source source_xlsx, source_ods, source_obsidian, source_health;
extern const ingest_source source_csv, source_whoop;

const ingest_source *source_named(const char *name);                /* NULL if there is none */
const ingest_source *source_by_ending(const char *path);            /* NULL if there is none */
const ingest_source *source_of_folder(const ingest_folder *folder); /* NULL if there is none */
/* Content, then name; NULL with the reason in *why (static). *why is "archive" where the file is
 * one and no source claims it. */
const ingest_source *source_of_file(const char *path, const char *data, size_t size,
                                    const char **why);

/* Hand a document to the sink. A blank or overlong one is skipped and counted instead. */
int reader_text(ingest_reader *r, const char *text, uint64_t line);
int reader_conversation(ingest_reader *r, const ingest_message *messages, size_t count,
                        uint64_t line);
/* With the answer that counts as right; label may be NULL. */
int reader_labelled(ingest_reader *r, const ingest_message *messages, size_t count, uint64_t line,
                    const char *label);
/* The two-turn conversation of mail and prompts. */
int reader_exchange(ingest_reader *r, const char *user, const char *assistant, uint64_t line);

/* Count a record that is left out. unit is "line" or "record"; number 0 means the file as a whole;
 * detail ("" allowed) goes to the place of the first one. Nothing is counted in the first pass. */
void reader_skip(ingest_reader *r, const char *unit, uint64_t number, const char *reason,
                 const char *detail);

/* "jsonl (text)" and the like; a second, different kind makes it "jsonl (mixed)". */
void reader_kind(ingest_reader *r, const char *kind);

int reader_no_memory(ingest_reader *r);

/* For folder sources: open file i of the folder and make it the reader's path, until reader_close,
 * which must follow (file may be NULL). *file is NULL where it cannot be opened: that is counted.
 * Fails with WEFT_ERR_MEMORY only. */
int reader_open(ingest_reader *r, const ingest_folder *folder, size_t i, FILE **file);
void reader_close(ingest_reader *r, const ingest_folder *folder, FILE *file);

/* Who writes: counted in the first pass, by family. */
ingest_senders *senders_create(void); /* NULL: out of memory */
void senders_free(ingest_senders *s); /* NULL allowed */
/* A message by name, in the conversation of this number (any, where there is no such thing).
 * Beyond a number of distinct names, new ones are not counted. False: out of memory. */
bool senders_add(ingest_senders *s, const char *family, const char *name, uint64_t conversation);
/* This is the owner: the file says so itself. */
bool senders_declare(ingest_senders *s, const char *family, const char *name);
/* This is not the owner: the file is about the conversation with them. */
bool senders_deny(ingest_senders *s, const char *family, const char *name);
/* Who was declared; else, of those not denied, who is in most conversations, and of several the one
 * with most messages (the first one seen among equals); NULL if there is none. Belongs to s. */
const char *senders_owner(const ingest_senders *s, const char *family);

/* Append data as clean UTF-8: no byte order mark in front, CRLF and CR as '\n', ill-formed bytes
 * and NUL as U+FFFD. False: out of memory. */
bool text_clean(bytes *out, const char *data, size_t size);
bool text_is_utf8(const char *data, size_t size);
bool text_is_blank(const char *text);
/* Cut white space off the end, and empty lines off the beginning. */
void text_trim(bytes *text);

#endif
