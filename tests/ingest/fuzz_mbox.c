/* Mailboxes: the two passes over arbitrary bytes; every document must be clean text. */
#include "ingest/sources.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int check(void *context, const ingest_document *document, weft_error *err) {
    (void)context, (void)err;
    for (size_t i = 0; i < document->message_count; i++) {
        const char *text = document->messages[i].content;
        if (!text_is_utf8(text, strlen(text)) || strchr(text, '\r')) abort();
    }
    return WEFT_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    weft_error err;
    ingest_report report = {0};
    ingest_reader reader = {.sink = check, .report = &report, .path = "fuzz", .err = &err};
    ingest_senders *senders = senders_create();
    FILE *file = size ? fmemopen((void *)(uintptr_t)data, size, "rb") : NULL;
    reader.senders = senders;
    if (file && senders && !source_mbox.read(&reader, file)) {
        rewind(file);
        reader.senders = NULL;
        reader.owner = senders_owner(senders, source_mbox.family);
        source_mbox.read(&reader, file);
    }
    if (file) fclose(file);
    senders_free(senders);
    return 0;
}
