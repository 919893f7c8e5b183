/* Documents in zip files. Bytes that are a zip file go to every source; others become one: the
 * first byte says of which form, and NULs part its parts. */
#include "fuzz_source.h"

#include <archive.h>
#include <archive_entry.h>

static const struct {
    const ingest_source *source;
    const char *parts[6];
} forms[] = {
    {&source_docx, {"word/document.xml", "word/footnotes.xml", "word/endnotes.xml"}},
    {&source_odt, {"content.xml", "META-INF/manifest.xml"}},
    {&source_epub, {"META-INF/container.xml", "a.opf", "b.html", "c.html"}},
    {&source_xlsx,
     {"xl/workbook.xml", "xl/_rels/workbook.xml.rels", "xl/worksheets/sheet1.xml",
      "xl/sharedStrings.xml", "xl/styles.xml"}},
    {&source_ods, {"content.xml", "META-INF/manifest.xml"}},
};

static void add_part(struct archive *zip, const char *name, const char *data, size_t size) {
    struct archive_entry *entry = archive_entry_new();
    archive_entry_set_pathname(entry, name);
    archive_entry_set_size(entry, (la_int64_t)size);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_write_header(zip, entry);
    archive_write_data(zip, data, size);
    archive_entry_free(entry);
}

static void as_parts(size_t form, const char *data, size_t size) {
    static char buffer[1 << 20];
    size_t used = 0;
    struct archive *zip = archive_write_new();
    archive_write_set_format_zip(zip);
    archive_write_set_options(zip, "compression=store");
    archive_write_open_memory(zip, buffer, sizeof buffer, &used);
    for (size_t i = 0; i < 6 && forms[form].parts[i]; i++) {
        const char *end = size ? memchr(data, 0, size) : NULL;
        size_t length = end ? (size_t)(end - data) : size;
        add_part(zip, forms[form].parts[i], data, length);
        data += length + (end != NULL);
        size -= length + (end != NULL);
    }
    archive_write_close(zip);
    archive_write_free(zip);
    fuzz_source(forms[form].source, buffer, used, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    size_t count = sizeof forms / sizeof *forms;
    if (size < 2 || size > 1 << 19) return 0;
    if (memcmp(data, "PK", 2)) as_parts(data[0] % count, (const char *)data + 1, size - 1);
    for (size_t i = 0; data[0] == 'P' && i < count; i++)
        fuzz_source(forms[i].source, data, size, NULL);
    return 0;
}
