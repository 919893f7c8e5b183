/* JSON records, by lines or as an array, from arbitrary bytes; every document must be clean text.
 */
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
    weft_error err;
    ingest_report report = {0};
    ingest_reader reader = {.sink = check, .report = &report, .path = "fuzz", .err = &err};
    FILE *file = size ? fmemopen((void *)(uintptr_t)data, size, "rb") : NULL;
    if (file) source_jsonl.read(&reader, file);
    if (file) fclose(file);
    return 0;
}
