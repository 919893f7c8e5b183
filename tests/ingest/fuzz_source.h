/* What the fuzz targets of file sources share: bytes go in, every document must be clean text. */
#ifndef WEFT_TESTS_FUZZ_SOURCE_H
#define WEFT_TESTS_FUZZ_SOURCE_H

#include "ingest/sources.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void fuzz_text(const char *text) {
    if (!text_is_utf8(text, strlen(text)) || strchr(text, '\r')) abort();
}

static inline int fuzz_sink(void *context, const ingest_document *document, weft_error *err) {
    (void)context, (void)err;
    if (document->text) fuzz_text(document->text);
    for (size_t i = 0; i < document->message_count; i++) fuzz_text(document->messages[i].content);
    return WEFT_OK;
}

static inline void fuzz_source(const ingest_source *source, const void *data, size_t size,
                               const char *template) {
    weft_error err;
    ingest_report report = {0};
    ingest_reader reader = {
        .sink = fuzz_sink, .report = &report, .path = "fuzz", .template = template, .err = &err};
    FILE *file = size ? fmemopen((void *)(uintptr_t)data, size, "rb") : NULL;
    if (!file) return;
    source->read(&reader, file);
    fclose(file);
}

#endif
