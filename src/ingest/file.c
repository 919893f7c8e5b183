/* Files brought to memory, UTF-16 brought to UTF-8. */
#include "ingest/file.h"
#include "text/utf8.h"

#include <errno.h>
#include <string.h>

int file_read(ingest_reader *r, FILE *file, size_t limit_bytes, bytes *data, bool *fits) {
    char buffer[1 << 14];
    size_t n;
    *fits = true;
    while ((n = fread(buffer, 1, sizeof buffer, file)) > 0) {
        if (data->size + n > limit_bytes) {
            *fits = false;
            bytes_clear(data);
            return WEFT_OK;
        }
        if (!bytes_add(data, buffer, n)) return reader_no_memory(r);
    }
    if (ferror(file))
        return err_set(r->err, WEFT_ERR_IO, "cannot read %s: %s", r->path, strerror(errno));
    return bytes_add(data, "", 0) ? WEFT_OK : reader_no_memory(r);
}

bool text_is_utf16(const char *data, size_t size) {
    return size >= 2 && (!memcmp(data, "\xff\xfe", 2) || !memcmp(data, "\xfe\xff", 2));
}

static uint32_t unit_at(const char *data, bool big) {
    const unsigned char *p = (const unsigned char *)data;
    return big ? (uint32_t)(p[0] << 8 | p[1]) : (uint32_t)(p[1] << 8 | p[0]);
}

bool text_from_utf16(bytes *out, const char *data, size_t size) {
    bool big = size >= 2 && (unsigned char)data[0] == 0xfe;
    for (size_t at = 2; at + 2 <= size; at += 2) {
        uint32_t c = unit_at(data + at, big);
        uint32_t low = at + 4 <= size ? unit_at(data + at + 2, big) : 0;
        if (c >= 0xd800 && c < 0xdc00 && low >= 0xdc00 && low < 0xe000) {
            c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
            at += 2;
        } else if (c >= 0xd800 && c < 0xe000) {
            c = 0xfffd;
        }
        char text[4];
        if (!bytes_add(out, text, (size_t)utf8_write(c, text))) return false;
    }
    return (size % 2 == 0 || bytes_add_text(out, "\xef\xbf\xbd")) && bytes_add(out, "", 0);
}

int reader_prose(ingest_reader *r, prose *p, uint64_t number) {
    bytes clean = {0};
    bool ok = !p->failed && text_clean(&clean, p->out->size ? p->out->data : "", p->out->size);
    int rc = ok ? reader_text(r, clean.data, number) : reader_no_memory(r);
    bytes_free(&clean);
    return rc;
}
