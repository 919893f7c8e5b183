/* Lines of pages, each at a place that its first bytes give: page, left, right, top. */
#include "ingest/pdf_lines.h"
#include "fuzz_source.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    bytes clean = {0}, out = {0};
    pdf_lines lines = {.page_count = 4};
    bool ok = text_clean(&clean, (const char *)data, size);
    for (const char *p = clean.data; ok && *p;) {
        size_t length = strcspn(p, "\n"), head = length < 4 ? length : 4;
        pdf_line line = {.bottom = 10};
        if (head == 4) {
            line = (pdf_line){.page = p[0] & 3, .left = p[1], .right = p[2], .top = p[3]};
            line.bottom = line.top + 10;
        }
        ok = pdf_lines_add(&lines, p + head, length - head, line);
        p += length + (p[length] == '\n');
    }
    if (ok) pdf_lines_join(&lines, &out);
    pdf_lines_free(&lines);
    bytes_free(&clean);
    bytes_free(&out);
    return 0;
}
