/* A person's files turned into documents: mbox, text and Markdown, JSONL. Each source is one file here,
 * a row in the table of ingest.c; detection is by content and name, and is said aloud by the caller. */
#ifndef WEFT_INGEST_INGEST_H
#define WEFT_INGEST_INGEST_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

#define INGEST_DOCUMENT_BYTES_MAX (16u << 20) /* a longer one is skipped and counted */
#define INGEST_LINE_BYTES_MAX     (64u << 20) /* of a JSONL file */
#define INGEST_DEPTH_MAX          32          /* nested folders, MIME parts, JSON */

/* One training example: either plain text (message_count 0) or a conversation whose assistant turns are
 * to be learnt. Texts are UTF-8 without NUL; borrowed for the call only. */
typedef struct ingest_message {
    const char *role, *content;
} ingest_message;

typedef struct ingest_document {
    const char *text; /* plain text, or NULL */
    const ingest_message *messages;
    size_t message_count;
    const char *source; /* path of the file it came from */
    uint64_t line;      /* line or record number in it, from 1 */
} ingest_document;

/* Receives each document in order; a non-zero status stops the reading and is returned. */
typedef int (*ingest_sink)(void *context, const ingest_document *document, weft_error *err);

/* Why records were left out: nothing is dropped silently. */
typedef struct ingest_skip {
    char reason[96]; /* "malformed JSON", "no text part", "not sent by the owner" ... */
    uint64_t count;
    char first[160]; /* where the first one was: "mail.mbox: record 7: ..." */
} ingest_skip;

#define INGEST_SKIPS_MAX 32

typedef struct ingest_report {
    char kind[32]; /* "mbox", "text", "jsonl (messages)", "folder" ... */
    uint64_t file_count, document_count, text_bytes;
    ingest_skip skips[INGEST_SKIPS_MAX];
    size_t skip_count;
} ingest_report;

typedef struct ingest_options {
    const char *as;    /* force a source by name ("mbox", "text", "jsonl"); NULL = detect */
    const char *owner; /* mail address whose messages are learnt; NULL = the most frequent sender */
} ingest_options;

/* Read path (a file, or a folder of such files, walked in name order). Malformed records are skipped
 * and counted in *report; a path that is missing, unreadable, of no known form, or that yields no
 * document at all is an error that says what was found and which forms are read. Memory is bounded by
 * the largest record. */
int ingest_path(const char *path, const ingest_options *options, ingest_sink sink, void *context,
                ingest_report *report, weft_error *err);

/* Names of the sources, for --as and for messages: "mbox, text, jsonl". */
const char *ingest_source_names(void);

#endif
