/* Source of single mails (.eml): as a mailbox with one message. */
#include "ingest/mbox.h"

#include <string.h>
#include <strings.h>

static int read_eml(ingest_reader *r, FILE *file) {
    reader_kind(r, "eml");
    return mail_read_file(r, file);
}

/* The header field of this name in the first lines, which must all be header fields. */
typedef struct fields {
    bool from, other;
} fields;

static void note_field(fields *f, const char *line, size_t size) {
    static const char *const others[] = {
        "date:",         "message-id:",   "received:",      "return-path:",
        "mime-version:", "delivered-to:", "dkim-signature:"};
    if (!strncasecmp(line, "from:", 5) && memchr(line, '@', size)) f->from = true;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (!strncasecmp(line, others[i], strlen(others[i]))) f->other = true;
}

/* A block of header fields at the beginning, a sender's address and a field of transport in it. */
static bool looks_like_eml(const ingest_head *head) {
    fields f = {0};
    const char *line = head->data;
    while (*line && *line != '\n' && *line != '\r') {
        size_t size = strcspn(line, "\n");
        bool folded = *line == ' ' || *line == '\t';
        size_t name = strcspn(line, ": \t\r\n");
        if (folded ? line == head->data : (!name || line[name] != ':')) return false;
        if (!folded) note_field(&f, line, size);
        line += size + (line[size] == '\n');
    }
    return f.from && f.other;
}

const ingest_source source_eml = {.name = "eml",
                                  .title = "mail",
                                  .unit = "record",
                                  .family = MAIL_FAMILY,
                                  .endings = {".eml"},
                                  .detects = looks_like_eml,
                                  .read = read_eml};
