/* Exports of chats, posts and assistants from arbitrary bytes, through both passes, redacted; the
 * first byte chooses the source, the second the owner. Every document must be clean text. */
#include "ingest/sources.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int check(void *context, const ingest_document *document, weft_error *err) {
    (void)context, (void)err;
    if (document->text && !text_is_utf8(document->text, strlen(document->text))) abort();
    for (size_t i = 0; i < document->message_count; i++) {
        const char *text = document->messages[i].content;
        if (!text_is_utf8(text, strlen(text)) || strchr(text, '\r')) abort();
    }
    return WEFT_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const ingest_source *const sources[] = {&source_whatsapp, &source_telegram,
                                                   &source_signal,   &source_x,
                                                   &source_chatgpt,  &source_claude,
                                                   &source_eml};
    if (size < 3) return 0;
    const ingest_source *source = sources[data[0] % 7];
    weft_error err;
    ingest_report report = {0};
    ingest_senders *senders = senders_create();
    FILE *file = fmemopen((void *)(uintptr_t)(data + 2), size - 2, "rb");
    ingest_reader r = {.sink = check, .report = &report, .path = "fuzz", .err = &err};
    r.redact = true;
    r.senders = source->family ? senders : NULL;
    if (file && senders && (!r.senders || !source->read(&r, file))) {
        rewind(file);
        if (r.senders) r.owner = data[1] % 2 ? "me" : senders_owner(senders, source->family);
        r.senders = NULL;
        source->read(&r, file);
    }
    if (file) fclose(file);
    senders_free(senders);
    return 0;
}
