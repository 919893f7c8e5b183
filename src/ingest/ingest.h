/* A person's files turned into documents: mail, chats, notes, records. Each source is one file here
 * and one row in the list of ingest_table.c. Which one reads a file is decided by its content, then
 * by the folder it lies in, then by its name; the caller says so aloud from the report. */
#ifndef WEFT_INGEST_INGEST_H
#define WEFT_INGEST_INGEST_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

#define INGEST_DOCUMENT_BYTES_MAX (16u << 20) /* a longer conversation is skipped and counted */
#define INGEST_TEXT_BYTES_MAX     (4u << 20)  /* a longer text file becomes several documents */
#define INGEST_LINE_BYTES_MAX     (64u << 20) /* of a JSONL line or a mail with its attachments */
#define INGEST_DEPTH_MAX          32          /* nested folders, MIME parts */
#define INGEST_MESSAGES_MAX       4096        /* turns of one conversation */
#define INGEST_FILES_MAX          1000000     /* in a folder and those below it */

/* One training example: either plain text (message_count 0) or a conversation whose assistant turns
 * are to be learnt (at least one, not blank). Roles are "system", "user", "assistant" or "tool".
 * Texts are UTF-8 without NUL, lines end with '\n'; borrowed for the call only. */
typedef struct ingest_message {
    const char *role, *content;
} ingest_message;

typedef struct ingest_document {
    const char *text; /* plain text, or NULL */
    const ingest_message *messages;
    size_t message_count;
    const char *source; /* path of the file it came from */
    uint64_t line;      /* line (text, JSONL) or record number (mbox) in it, from 1 */
    const char *label;  /* the answer that counts as right ("Yes"), where the record has one */
} ingest_document;

/* Receives each document in order; a non-zero status stops the reading and is returned. */
typedef int (*ingest_sink)(void *context, const ingest_document *document, weft_error *err);

/* Why records were left out: nothing is dropped silently. */
typedef struct ingest_skip {
    char reason[96]; /* "malformed JSON", "no text part", "not sent by the owner" ... */
    uint64_t count;
    char first[160]; /* where the first one was: "mail.mbox: record 7" */
} ingest_skip;

#define INGEST_SKIPS_MAX 32 /* the last one gathers "other reasons" */

/* What came of all files of one kind. */
typedef struct ingest_kind {
    char kind[32];     /* as ingest_report.kind of such a file alone */
    const char *title; /* what people call it: "mailbox"; static */
    char owner[256];   /* whose messages were taken; "" where that is no question */
    uint64_t file_count, document_count, text_bytes;
    uint64_t skipped_count; /* records, and files read for nothing */
} ingest_kind;

#define INGEST_KINDS_MAX 32 /* the last one gathers "other kinds" */

/* Kinds of private matters that can be replaced; ingest_redaction_name names them. */
#define INGEST_REDACTIONS 6

typedef struct ingest_report {
    char kind[32];   /* "mbox", "text", "jsonl (messages)", "jsonl (mixed)", "folder", "archive" */
    char owner[256]; /* of the first kind that has one; "" where there was no mail and no chat */
    uint64_t file_count, document_count, text_bytes;
    ingest_kind kinds[INGEST_KINDS_MAX]; /* in the order in which they were met */
    size_t kind_count;
    uint64_t redactions[INGEST_REDACTIONS]; /* how often each kind was replaced */
    ingest_skip skips[INGEST_SKIPS_MAX];
    size_t skip_count;
} ingest_report;

typedef struct ingest_options {
    const char *as;    /* force a source by name ("mbox", "text", "jsonl"); NULL = detect */
    const char *owner; /* mail address, or name in a chat, whose messages are learnt; NULL = found
                        * out for each kind of source: its files say who, or it is who takes part
                        * in most conversations, and of several the most frequent sender */
    bool redact;       /* replace private matters (redact.h) before anything else sees them */
    bool keep_duplicates; /* deliver a document again that was there before, but for white space */
    const char *template; /* what each row of a table becomes: a sentence with {column} in it;
                           * NULL = by its columns */
} ingest_options;

/* Read path: a file, or a folder or an archive (zip, tar) of such files, walked in name order. An
 * archive is never unpacked to the disk. What becomes of each form:
 *   mbox   a conversation a message: the user's turn is the text it quotes, or else "Write an email
 *          about: SUBJECT"; the assistant's turn is what the owner wrote, without the signature.
 *   jsonl  one object a line (or one JSON array of them), by its keys: messages, else prompt and
 *          completion, else subject and body (as for mail, the body as it stands), else text.
 *   text   a file is one document; one over INGEST_TEXT_BYTES_MAX is cut at an empty line.
 * Malformed records are skipped and counted in *report (NULL allowed); a path that is missing,
 * unreadable, of no known form, or that yields no document at all is an error that says what was
 * found and which forms are read. options may be NULL. Memory is bounded by the largest record. May
 * be called from several threads at once, each with its own sink context and report. Errors:
 * WEFT_ERR_ARGUMENT (unknown options.as), WEFT_ERR_IO, WEFT_ERR_UNSUPPORTED (no known form),
 * WEFT_ERR_FORMAT (nothing to learn from), WEFT_ERR_RANGE (too many files or folders too deep),
 * WEFT_ERR_MEMORY, and whatever the sink returns. */
int ingest_path(const char *path, const ingest_options *options, ingest_sink sink, void *context,
                ingest_report *report, weft_error *err);

/* "key", "password", "card", "iban", "phone", "email": a text has "[email]" in the address's place.
 * Static; "" beyond the last. */
const char *ingest_redaction_name(size_t kind);

/* Names of the sources, for --as and for messages: "mbox, text, jsonl". Thread-safe; static. */
const char *ingest_source_names(void);

#endif
