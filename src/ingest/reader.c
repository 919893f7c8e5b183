/* The reader: takes what the sources found, and keeps the account of what was left out. */
#include "ingest/dedupe.h"
#include "ingest/redact.h"
#include "ingest/sources.h"

#include <stdlib.h>
#include <string.h>

int reader_no_memory(ingest_reader *r) {
    return err_set(r->err, WEFT_ERR_MEMORY, "out of memory while reading %s", r->path);
}

void reader_kind(ingest_reader *r, const char *kind) {
    if (r->kind[0] && strcmp(r->kind, kind)) kind = "jsonl (mixed)";
    snprintf(r->kind, sizeof r->kind, "%s", kind);
}

static ingest_skip *skip_slot(ingest_report *report, const char *reason) {
    for (size_t i = 0; i < report->skip_count; i++)
        if (!strcmp(report->skips[i].reason, reason)) return &report->skips[i];
    if (report->skip_count == INGEST_SKIPS_MAX) return &report->skips[INGEST_SKIPS_MAX - 1];
    ingest_skip *skip = &report->skips[report->skip_count++];
    *skip = (ingest_skip){0};
    if (report->skip_count == INGEST_SKIPS_MAX) reason = "other reasons";
    snprintf(skip->reason, sizeof skip->reason, "%s", reason);
    return skip;
}

/* The end of a long path says more than its beginning. */
static const char *path_tail(const char *path) {
    size_t length = strlen(path), most = 80;
    if (length > most) path += length - most;
    while (length > most && ((unsigned char)*path & 0xc0) == 0x80) path++;
    return path;
}

/* As much of text as fits, as clean UTF-8 that ends with a whole character. */
static void copy_clean(char *to, size_t size, const char *text) {
    bytes clean = {0};
    if (text_clean(&clean, text, strlen(text))) {
        size_t end = clean.size < size ? clean.size : size - 1;
        while (end && end < clean.size && ((unsigned char)clean.data[end] & 0xc0) == 0x80) end--;
        memcpy(to, clean.data, end);
        to[end] = 0;
    }
    bytes_free(&clean);
}

void reader_skip(ingest_reader *r, const char *unit, uint64_t number, const char *reason,
                 const char *detail) {
    if (r->senders) return; /* the second pass will meet it again */
    char cut[sizeof((ingest_skip *)0)->reason];
    snprintf(cut, sizeof cut, "%s", reason);
    ingest_skip *skip = skip_slot(r->report, cut);
    if (skip->count++) return;
    bytes place = {0};
    bool ok = bytes_add_text(&place, path_tail(r->path));
    if (ok && number) ok = bytes_printf(&place, ": %s %llu", unit, (unsigned long long)number);
    if (ok && detail[0]) ok = bytes_printf(&place, ": %s", detail);
    if (place.data) copy_clean(skip->first, sizeof skip->first, place.data);
    bytes_free(&place);
}

static const char *unit_of(const ingest_reader *r) {
    return r->unit ? r->unit : "line";
}

static int pass_on(ingest_reader *r, const ingest_document *document, size_t size_bytes) {
    bool before = false;
    if (r->seen && !seen_note(r->seen, document, &before)) return reader_no_memory(r);
    if (before) {
        reader_skip(r, unit_of(r), document->line, "the same as an earlier one", "");
        return WEFT_OK;
    }
    TRY(r->sink(r->context, document, r->err));
    r->report->document_count++;
    r->report->text_bytes += size_bytes;
    return WEFT_OK;
}

/* A copy of the document with its private matters replaced. A text that grows over the limit so (a
 * placeholder may be longer than what it stands for) is still taken. */
static int redact_and_pass_on(ingest_reader *r, ingest_document document, size_t size_bytes) {
    bytes text = {0};
    uint64_t found[INGEST_REDACTIONS] = {0}, before = r->report->document_count;
    size_t count = document.message_count;
    ingest_message *messages = calloc(count + 1, sizeof *messages);
    bytes *contents = calloc(count + 1, sizeof *contents);
    bool ok = messages && contents;
    if (ok && document.text) {
        ok = redact_text(document.text, &text, found);
        document.text = text.data;
    }
    for (size_t i = 0; ok && i < count; i++) {
        const ingest_message *m = &document.messages[i];
        ok = redact_text(m->content, &contents[i], found);
        messages[i] = (ingest_message){m->role, contents[i].data};
    }
    document.messages = messages;
    int rc = ok ? pass_on(r, &document, size_bytes) : reader_no_memory(r);
    if (r->report->document_count > before) /* and not in what was left out */
        for (size_t i = 0; i < INGEST_REDACTIONS; i++) r->report->redactions[i] += found[i];
    for (size_t i = 0; contents && i < count; i++) bytes_free(&contents[i]);
    bytes_free(&text);
    free(contents);
    free(messages);
    return rc;
}

static int deliver(ingest_reader *r, const ingest_document *document, size_t size_bytes) {
    if (r->senders) return WEFT_OK;
    return r->redact ? redact_and_pass_on(r, *document, size_bytes)
                     : pass_on(r, document, size_bytes);
}

int reader_text(ingest_reader *r, const char *text, uint64_t line) {
    size_t size_bytes = strlen(text);
    if (size_bytes > INGEST_DOCUMENT_BYTES_MAX)
        return reader_skip(r, unit_of(r), line, "document over 16 MiB", ""), WEFT_OK;
    if (text_is_blank(text)) return reader_skip(r, unit_of(r), line, "empty text", ""), WEFT_OK;
    ingest_document document = {.text = text, .source = r->path, .line = line};
    return deliver(r, &document, size_bytes);
}

int reader_labelled(ingest_reader *r, const ingest_message *messages, size_t count, uint64_t line,
                    const char *label) {
    size_t size_bytes = 0;
    bool answered = false;
    for (size_t i = 0; i < count; i++) {
        size_bytes += strlen(messages[i].content);
        if (!strcmp(messages[i].role, "assistant") && !text_is_blank(messages[i].content))
            answered = true;
    }
    if (size_bytes > INGEST_DOCUMENT_BYTES_MAX)
        return reader_skip(r, unit_of(r), line, "document over 16 MiB", ""), WEFT_OK;
    if (!answered) return reader_skip(r, unit_of(r), line, "no assistant turn", ""), WEFT_OK;
    ingest_document document = {.messages = messages,
                                .message_count = count,
                                .source = r->path,
                                .line = line,
                                .label = label};
    return deliver(r, &document, size_bytes);
}

int reader_conversation(ingest_reader *r, const ingest_message *messages, size_t count,
                        uint64_t line) {
    return reader_labelled(r, messages, count, line, NULL);
}

int reader_exchange(ingest_reader *r, const char *user, const char *assistant, uint64_t line) {
    ingest_message messages[2] = {{"user", user}, {"assistant", assistant}};
    return reader_conversation(r, messages, 2, line);
}

/* ---- files of folder sources ---- */

int reader_open(ingest_reader *r, const ingest_folder *folder, size_t i, FILE **file) {
    char why[96];
    bytes path = {0};
    const char *top = tree_path(folder->tree);
    const char *slash = top[0] && top[strlen(top) - 1] == '/' ? "" : "/";
    const char *name = folder_name(folder, i) - folder->prefix_bytes;
    *file = NULL;
    if (!bytes_printf(&path, "%s%s%s", top, slash, name)) return reader_no_memory(r);
    r->path = path.data; /* freed by reader_close */
    *file = folder_open(folder, i, why);
    if (!*file)
        reader_skip(r, "line", 0, why, "");
    else if (!r->senders)
        r->report->file_count++;
    return WEFT_OK;
}

void reader_close(ingest_reader *r, const ingest_folder *folder, FILE *file) {
    if (file) fclose(file);
    free((void *)(uintptr_t)r->path);
    r->path = tree_path(folder->tree);
}
