/* Source of PDF files, through poppler: their pages' text as paragraphs, one document a file.
 * Refuses what is protected with a password and what holds pictures of text only; forms, comments
 * and attachments are left out. */
#include "ingest/file.h"
#include "ingest/pdf_lines.h"

#include <poppler.h>
#include <string.h>

#define PDF_BYTES_MAX (256u << 20)
#define PDF_PAGES_MAX 5000
#define PDF_LINES_MAX 2000000

/* What is between begin and end of the page's text, whose characters have these places. */
static bool add_line(pdf_lines *l, const char *begin, const char *end,
                     const PopplerRectangle *places, guint count, int page) {
    while (begin < end && *begin == ' ') begin++, places++, count--;
    while (begin < end && end[-1] == ' ') end--, count--;
    if (begin == end || !count || l->count == PDF_LINES_MAX) return true;
    pdf_line line = {.page = page,
                     .left = places[0].x1,
                     .right = places[count - 1].x2,
                     .top = places[0].y1,
                     .bottom = places[0].y2};
    for (guint i = 1; i < count; i++) {
        if (places[i].y1 < line.top) line.top = places[i].y1;
        if (places[i].y2 > line.bottom) line.bottom = places[i].y2;
    }
    return pdf_lines_add(l, begin, (size_t)(end - begin), line);
}

static bool add_page(pdf_lines *l, PopplerPage *page, int number) {
    char *text = poppler_page_get_text(page);
    PopplerRectangle *places = NULL;
    guint count = 0, at = 0;
    bool ok = true;
    if (text && poppler_page_get_text_layout(page, &places, &count)) {
        for (const char *p = text; ok && *p;) {
            const char *end = p + strcspn(p, "\n");
            guint length = (guint)g_utf8_strlen(p, end - p);
            if (length > count - at) break; /* never seen: text and places disagree */
            ok = add_line(l, p, end, places + at, length, number);
            at += length + (*end == '\n');
            p = end + (*end == '\n');
            if (at > count) break;
        }
    }
    g_free(places);
    g_free(text);
    return ok;
}

static int read_pages(ingest_reader *r, PopplerDocument *document) {
    pdf_lines lines = {.page_count = poppler_document_get_n_pages(document)};
    if (lines.page_count > PDF_PAGES_MAX) {
        reader_skip(r, "page", PDF_PAGES_MAX + 1, "pages after the 5000th", "");
        lines.page_count = PDF_PAGES_MAX;
    }
    bytes text = {0}, clean = {0};
    bool ok = true;
    for (int i = 0; ok && i < lines.page_count; i++) {
        PopplerPage *page = poppler_document_get_page(document, i);
        if (!page) reader_skip(r, "page", (uint64_t)i + 1, "damaged page", "");
        ok = !page || add_page(&lines, page, i);
        if (page) g_object_unref(page);
    }
    ok = ok && pdf_lines_join(&lines, &text) && text_clean(&clean, text.data, text.size);
    int rc = ok ? WEFT_OK : reader_no_memory(r);
    if (ok && text_is_blank(clean.data))
        reader_skip(r, "page", 0, "PDF without text: its pages are pictures", "");
    else if (ok)
        rc = reader_text(r, clean.data, 1);
    pdf_lines_free(&lines);
    bytes_free(&text);
    bytes_free(&clean);
    return rc;
}

static const char *reason_of(const GError *error) {
    if (error && g_error_matches(error, POPPLER_ERROR, POPPLER_ERROR_ENCRYPTED))
        return "protected with a password";
    return "damaged PDF file";
}

static int read_bytes(ingest_reader *r, const bytes *data) {
    GError *error = NULL;
    GBytes *source = g_bytes_new_static(data->data, data->size);
    PopplerDocument *document = poppler_document_new_from_bytes(source, NULL, &error);
    int rc = WEFT_OK;
    if (document)
        rc = read_pages(r, document);
    else
        reader_skip(r, "page", 0, reason_of(error), "");
    if (document) g_object_unref(document);
    g_bytes_unref(source);
    g_clear_error(&error);
    return rc;
}

static int read_pdf(ingest_reader *r, FILE *file) {
    bytes data = {0};
    bool fits;
    reader_kind(r, "pdf");
    int rc = file_read(r, file, PDF_BYTES_MAX, &data, &fits);
    if (!rc && !fits)
        reader_skip(r, "page", 0, "PDF file over 256 MiB", "");
    else if (!rc)
        rc = read_bytes(r, &data);
    bytes_free(&data);
    return rc;
}

static bool detects(const ingest_head *head) {
    const char *found = memmem(head->data, head->size, "%PDF-", 5);
    return found && found - head->data < 1024 && (!head->text || found == head->data);
}

const ingest_source source_pdf = {.name = "pdf",
                                  .title = "PDF document",
                                  .unit = "page",
                                  .endings = {".pdf"},
                                  .detects = detects,
                                  .read = read_pdf};
