/* Source of mail folders in Maildir form: a message a file in "cur" and "new", and sub-folders
 * (".Sent") of the same form below. Drafts and what is marked as deleted are left out and counted.
 */
#include "ingest/mbox.h"

#include <string.h>

/* The folder's part of a name: ".Sent/cur/1234.M5:2,S" -> "cur/1234.M5:2,S". */
static const char *message_part(const char *name) {
    while (*name == '.' && strchr(name, '/')) name = strchr(name, '/') + 1;
    return name;
}

/* Why a file is not read; NULL if it is a message. */
static const char *refuse(const char *name) {
    const char *part = message_part(name);
    if (!strncmp(part, "tmp/", 4)) return "mail still being delivered";
    if (strncmp(part, "cur/", 4) && strncmp(part, "new/", 4)) return "file of the mail program";
    const char *flags = strstr(part, "2,");
    if (flags && strchr(flags, 'T')) return "mail marked as deleted";
    if (flags && strchr(flags, 'D')) return "draft";
    return NULL;
}

static int read_maildir(ingest_reader *r, const ingest_folder *folder) {
    reader_kind(r, "maildir");
    for (size_t i = 0; i < folder_count(folder); i++) {
        const char *name = folder_name(folder, i), *why = refuse(name);
        FILE *file;
        if (why) {
            reader_skip(r, "record", 0, why, name);
            continue;
        }
        TRY(reader_open(r, folder, i, &file));
        int rc = file ? mail_read_file(r, file) : WEFT_OK;
        reader_close(r, folder, file);
        TRY(rc);
    }
    return WEFT_OK;
}

/* "cur" with files named as Maildir names them: with flags, or a time in front. */
static bool is_maildir(const ingest_folder *folder) {
    static const char *const parts[] = {"cur/", "new/"};
    for (size_t i = 0; i < 2; i++) {
        size_t at = folder_find(folder, parts[i]);
        if (at == SIZE_MAX) continue;
        const char *name = folder_name(folder, at) + 4;
        if (strspn(name, "0123456789") >= 8 && strchr(name, '.')) return true;
        if (strstr(name, ":2,") || strstr(name, ";2,") || strstr(name, "!2,")) return true;
    }
    return false;
}

const ingest_source source_maildir = {.name = "maildir",
                                      .title = "mail folder (Maildir)",
                                      .unit = "record",
                                      .family = MAIL_FAMILY,
                                      .detects_folder = is_maildir,
                                      .read_folder = read_maildir};
