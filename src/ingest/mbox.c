/* Source of mailboxes in mbox form. The file is cut into messages here, with a limit for each, so
 * that memory does not depend on its size; GMime takes one message at a time apart (MIME, transfer
 * encodings, character sets). Messages of others, and mail that holds no words of its sender, are
 * counted and left out. glib ends the process when memory is short while GMime works: the record
 * limit keeps that far. */
#include "ingest/lines.h"
#include "ingest/mail.h"
#include "ingest/mbox.h"
#include "ingest/sources.h"

#include <ctype.h>
#include <gmime/gmime.h>
#include <pthread.h>
#include <string.h>
#include <strings.h>

#define PARTS_MAX           20000 /* lines that may part a message; each costs over 1 KiB */
#define ADDRESSES_BYTES_MAX 8192  /* of a header field of addresses; what is over is cut */

/* What is done with each message of a mailbox: raw is empty where it was over the limit. */
typedef int (*record_visit)(void *context, ingest_reader *r, const bytes *raw, uint64_t number);

/* "From address Mon Jan  1 00:00:00 2024": a time tells it from a sentence that begins so. */
static bool is_separator(const bytes *line) {
    if (line->size < 5 || memcmp(line->data, "From ", 5)) return false;
    for (const char *colon = line->data; (colon = strchr(colon, ':')); colon++)
        if (isdigit((unsigned char)colon[-1]) && isdigit((unsigned char)colon[1])) return true;
    return false;
}

/* One '>' stands before "From " where the writer of the mailbox protected it. */
static size_t protection_bytes(const bytes *line) {
    size_t marks = line->size ? strspn(line->data, ">") : 0;
    return marks && !strncmp(line->data + marks, "From ", 5) ? 1 : 0;
}

typedef struct record {
    bytes raw;
    uint64_t number; /* 0 before the first separator */
    uint64_t part_count;
    size_t field_bytes; /* of the address field that is being read, or 0 */
    bool too_long, after_gap;
    bool headers_only, in_body; /* the first pass keeps what stands before the first empty line */
} record;

/* Whether a field of addresses begins here: "From:", "Reply-To :" ... */
static bool is_address_field(const char *line) {
    static const char *const names[] = {"from", "to", "cc", "bcc", "sender", "reply-to"};
    if (!strchr("fFtTcCbBsSrR", *line) || !*line) return false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t size = strlen(names[i]);
        if (strncasecmp(line, names[i], size)) continue;
        if (line[size + strspn(line + size, " \t")] == ':') return true;
    }
    return false;
}

/* How much of this line is kept. GMime goes through nested address groups by recursion, in the
 * headers of every message, attached ones too: a long enough field would exhaust the stack. The cut
 * is made wherever a line looks like such a field, since only GMime knows which ones are. */
static size_t line_room(record *rec, const char *line, size_t size) {
    bool folded = size && (line[0] == ' ' || line[0] == '\t');
    if (!folded) rec->field_bytes = 0;
    if (!folded && !is_address_field(line)) return size;
    if (folded && !rec->field_bytes) return size;
    size_t room = ADDRESSES_BYTES_MAX - rec->field_bytes;
    if (size > room) size = room;
    rec->field_bytes += size;
    return size;
}

static int record_end(record *rec, ingest_reader *r, record_visit visit, void *context) {
    int rc = WEFT_OK;
    if (!rec->number) {
        if (rec->raw.size && !text_is_blank(rec->raw.data))
            reader_skip(r, "record", 0, "text before the first message", "");
    } else {
        if (rec->too_long || rec->part_count > PARTS_MAX) bytes_clear(&rec->raw);
        rc = visit(context, r, &rec->raw, rec->number);
    }
    bytes_clear(&rec->raw);
    rec->too_long = rec->in_body = false;
    rec->part_count = rec->field_bytes = 0;
    return rc;
}

static int record_line(record *rec, ingest_reader *r, const line_reader *lines) {
    const bytes *line = &lines->line;
    size_t skip = protection_bytes(line);
    rec->after_gap = !line->size;
    if (rec->headers_only && rec->in_body) return WEFT_OK;
    if (!line->size) rec->in_body = true;
    if (line->size > 2 && !memcmp(line->data, "--", 2)) rec->part_count++;
    if (lines->too_long || line->size + 1 > INGEST_LINE_BYTES_MAX - rec->raw.size)
        rec->too_long = true;
    if (rec->too_long) return WEFT_OK;
    size_t size = line_room(rec, line->data + skip, line->size - skip);
    if (!size && line->size) return WEFT_OK; /* an empty line would end the headers */
    if (!bytes_add(&rec->raw, line->data + skip, size) || !bytes_add_char(&rec->raw, '\n'))
        return reader_no_memory(r);
    return WEFT_OK;
}

static int each_record(ingest_reader *r, line_reader *lines, record *rec, record_visit visit,
                       void *context) {
    for (;;) {
        TRY(lines_next(lines, r->err));
        if (lines->done) break;
        bool first = lines->number == 1 || rec->after_gap;
        if (first && !lines->too_long && is_separator(&lines->line)) {
            TRY(record_end(rec, r, visit, context));
            rec->number++;
            rec->after_gap = false;
        } else {
            TRY(record_line(rec, r, lines));
        }
    }
    return record_end(rec, r, visit, context);
}

static int mbox_walk(ingest_reader *r, FILE *file, record_visit visit, void *context) {
    line_reader lines;
    record rec = {.after_gap = true, .headers_only = r->senders != NULL};
    lines_begin(&lines, file, INGEST_LINE_BYTES_MAX - 1);
    int rc = each_record(r, &lines, &rec, visit, context);
    lines_end(&lines);
    bytes_free(&rec.raw);
    return rc;
}

/* ---- one message ---- */

static void gmime_start(void) {
    g_mime_init();
}

static GMimeMessage *message_parse(const char *data, size_t size) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, gmime_start);
    GMimeStream *stream = g_mime_stream_mem_new_with_buffer(data, size);
    GMimeParser *parser = g_mime_parser_new_with_stream(stream);
    g_object_unref(stream);
    GMimeMessage *message = g_mime_parser_construct_message(parser, NULL);
    g_object_unref(parser);
    return message;
}

/* Address of the first sender in lower case, appended to out; false: out of memory. */
static bool message_sender(GMimeMessage *message, bytes *out) {
    InternetAddressList *from = g_mime_message_get_from(message);
    InternetAddress *first = from && internet_address_list_length(from)
                                 ? internet_address_list_get_address(from, 0)
                                 : NULL;
    const char *address = first && INTERNET_ADDRESS_IS_MAILBOX(first)
                              ? internet_address_mailbox_get_addr(INTERNET_ADDRESS_MAILBOX(first))
                              : NULL;
    if (!text_clean(out, address ? address : "", address ? strlen(address) : 0)) return false;
    for (size_t i = 0; i < out->size; i++)
        if (out->data[i] >= 'A' && out->data[i] <= 'Z') out->data[i] += 'a' - 'A';
    return true;
}

/* The first text part of this subtype that is not an attachment, in reading order. */
static GMimePart *find_text(GMimeObject *part, const char *subtype, int depth) {
    if (!part || depth > INGEST_DEPTH_MAX) return NULL;
    if (GMIME_IS_MULTIPART(part)) {
        int count = g_mime_multipart_get_count(GMIME_MULTIPART(part));
        for (int i = 0; i < count; i++) {
            GMimeObject *child = g_mime_multipart_get_part(GMIME_MULTIPART(part), i);
            GMimePart *found = find_text(child, subtype, depth + 1);
            if (found) return found;
        }
        return NULL;
    }
    GMimeContentType *type = g_mime_object_get_content_type(part);
    const char *disposition = g_mime_object_get_disposition(part);
    if (disposition && !strcasecmp(disposition, "attachment")) return NULL;
    if (!GMIME_IS_PART(part) || !g_mime_content_type_is_type(type, "text", subtype)) return NULL;
    return GMIME_PART(part);
}

/* Character set to convert from; NULL: the bytes are taken for UTF-8 as they are. Mail labelled
 * Latin-1 is Windows-1252 in practice, and so is most mail with 8-bit bytes and no label. */
static const char *part_charset(GMimePart *part, const char *data, size_t size) {
    const char *label = g_mime_object_get_content_type_parameter(GMIME_OBJECT(part), "charset");
    if (!label || !strcasecmp(label, "us-ascii") || !strcasecmp(label, "ascii"))
        return text_is_utf8(data, size) ? NULL : "windows-1252";
    if (!strcasecmp(label, "utf-8") || !strcasecmp(label, "utf8")) return NULL;
    return strcasecmp(label, "iso-8859-1") ? label : "windows-1252";
}

/* Bytes through one filter into a fresh array (to be unreferenced); NULL: no such character set. */
static GByteArray *convert(const GByteArray *in, const char *charset) {
    GMimeFilter *filter = g_mime_filter_charset_new(charset, "utf-8");
    if (!filter) return NULL;
    char *out;
    size_t size, prespace;
    GByteArray *array = g_byte_array_new();
    g_mime_filter_complete(filter, (char *)in->data, in->len, 0, &out, &size, &prespace);
    g_byte_array_append(array, (const guint8 *)out, (guint)size);
    g_object_unref(filter);
    return array;
}

/* Decoded content of a part as clean UTF-8; false: out of memory. */
static bool part_text(GMimePart *part, bytes *out) {
    GMimeDataWrapper *content = g_mime_part_get_content(part);
    if (!content) return bytes_add(out, "", 0);
    GByteArray *raw = g_byte_array_new();
    GMimeStream *stream = g_mime_stream_mem_new_with_byte_array(raw);
    g_mime_stream_mem_set_owner(GMIME_STREAM_MEM(stream), FALSE);
    g_mime_data_wrapper_write_to_stream(content, stream);
    g_object_unref(stream);
    const char *charset = part_charset(part, (const char *)raw->data, raw->len);
    GByteArray *converted = charset && raw->len ? convert(raw, charset) : NULL;
    const GByteArray *from = converted ? converted : raw;
    bool ok = text_clean(out, (const char *)from->data, from->len);
    if (converted) g_byte_array_unref(converted);
    g_byte_array_unref(raw);
    return ok;
}

static bool is_parameter(GMimePart *part, const char *name, const char *value) {
    const char *found = g_mime_object_get_content_type_parameter(GMIME_OBJECT(part), name);
    return found && !strcasecmp(found, value);
}

/* The readable body; *found is false where there is no text part. False: out of memory. */
static bool message_body(GMimeMessage *message, bytes *out, bool *found) {
    GMimeObject *root = g_mime_message_get_mime_part(message);
    GMimePart *plain = find_text(root, "plain", 0);
    GMimePart *html = plain ? NULL : find_text(root, "html", 0);
    bytes raw = {0};
    *found = plain || html;
    if (!*found) return true;
    bool ok = part_text(plain ? plain : html, &raw);
    if (ok && html) {
        ok = mail_from_html(raw.data, out);
    } else if (ok && is_parameter(plain, "format", "flowed")) {
        ok = mail_unflow(raw.data, is_parameter(plain, "delsp", "yes"), out);
    } else if (ok) {
        ok = bytes_add(out, raw.data, raw.size);
    }
    bytes_free(&raw);
    return ok;
}

/* Own words against what they answer. */
static int learn_body(ingest_reader *r, const char *body, const char *subject, uint64_t number) {
    mail_text parts;
    bytes request = {0}, clean = {0};
    bool ok = mail_split(body, &parts);
    ok = ok && text_clean(&clean, subject, strlen(subject)) && mail_request(clean.data, &request);
    int rc = WEFT_OK;
    if (!ok)
        rc = reader_no_memory(r);
    else if (!parts.own.size)
        reader_skip(r, "record", number, "no words of the sender's own", "");
    else
        rc = reader_exchange(r, parts.quoted.size ? parts.quoted.data : request.data,
                             parts.own.data, number);
    mail_text_free(&parts);
    bytes_free(&request);
    bytes_free(&clean);
    return rc;
}

static int learn_message(ingest_reader *r, GMimeMessage *message, uint64_t number) {
    bytes sender = {0}, body = {0};
    bool found = false, ok = message_sender(message, &sender);
    int rc = WEFT_OK;
    if (ok && !sender.size) {
        reader_skip(r, "record", number, "no sender", "");
    } else if (ok) {
        ok = message_body(message, &body, &found);
        const char *subject = g_mime_message_get_subject(message);
        if (ok && !found)
            reader_skip(r, "record", number, "no text part", "");
        else if (ok)
            rc = learn_body(r, body.data, subject ? subject : "", number);
    }
    if (!ok) rc = reader_no_memory(r);
    bytes_free(&sender);
    bytes_free(&body);
    return rc;
}

/* The field "From:" with its folded lines; size 0 where the headers, which end at the first empty
 * line, have none. */
static const char *from_field(const bytes *raw, size_t *size) {
    const char *line = raw->data, *end = raw->data + raw->size;
    for (*size = 0; line < end && *line != '\n';) {
        const char *next = memchr(line, '\n', (size_t)(end - line));
        next = next ? next + 1 : end;
        bool from = !strncasecmp(line, "from", 4) && line[4 + strspn(line + 4, " \t")] == ':';
        while (from && next < end && (*next == ' ' || *next == '\t')) {
            const char *more = memchr(next, '\n', (size_t)(end - next));
            next = more ? more + 1 : end;
        }
        if (from) return *size = (size_t)(next - line), line;
        line = next;
    }
    return line;
}

/* The sender, from that field alone: "" where there is none. */
static bool headers_sender(const bytes *raw, bytes *sender) {
    size_t size;
    const char *field = from_field(raw, &size);
    GMimeMessage *message = size ? message_parse(field, size) : NULL;
    if (!message) return bytes_add(sender, "", 0);
    bool ok = message_sender(message, sender);
    g_object_unref(message);
    return ok;
}

/* Whether another than the owner wrote it: found out without taking the whole message apart. */
static int is_of_other(ingest_reader *r, const bytes *raw, uint64_t number, bool *other) {
    bytes sender = {0};
    bool ok = headers_sender(raw, &sender);
    *other = ok && sender.size && strcasecmp(sender.data, r->owner);
    if (*other) reader_skip(r, "record", number, "not sent by the owner", sender.data);
    bytes_free(&sender);
    return ok ? WEFT_OK : reader_no_memory(r);
}

static int learn_record(void *context, ingest_reader *r, const bytes *raw, uint64_t number) {
    (void)context;
    if (!raw->size)
        return reader_skip(r, "record", number, "empty, over 64 MiB, or of over 20000 parts", ""),
               WEFT_OK;
    bool other = false;
    if (r->owner) TRY(is_of_other(r, raw, number, &other));
    if (other) return WEFT_OK;
    GMimeMessage *message = message_parse(raw->data, raw->size);
    if (!message) return reader_skip(r, "record", number, "not a mail message", ""), WEFT_OK;
    int rc = learn_message(r, message, number);
    g_object_unref(message);
    return rc;
}

/* ---- who writes here ---- */

static int count_record(void *context, ingest_reader *r, const bytes *raw, uint64_t number) {
    (void)context, (void)number;
    if (!raw->size) return WEFT_OK;
    bytes sender = {0};
    bool ok = headers_sender(raw, &sender);
    ok = ok && senders_add(r->senders, MAIL_FAMILY, sender.data, 0);
    bytes_free(&sender);
    return ok ? WEFT_OK : reader_no_memory(r);
}

/* ---- the source ---- */

static int read_mbox(ingest_reader *r, FILE *file) {
    reader_kind(r, "mbox");
    return mbox_walk(r, file, r->senders ? count_record : learn_record, NULL);
}

static int read_one(ingest_reader *r, line_reader *lines, record *rec) {
    for (;;) {
        TRY(lines_next(lines, r->err));
        if (lines->done) break;
        TRY(record_line(rec, r, lines));
    }
    return record_end(rec, r, r->senders ? count_record : learn_record, NULL);
}

int mail_read_file(ingest_reader *r, FILE *file) {
    line_reader lines;
    record rec = {.number = 1, .headers_only = r->senders != NULL};
    lines_begin(&lines, file, INGEST_LINE_BYTES_MAX - 1);
    int rc = read_one(r, &lines, &rec);
    lines_end(&lines);
    bytes_free(&rec.raw);
    return rc;
}

/* "From x ... 12:34" and a header line below it. */
static bool looks_like_mbox(const ingest_head *head) {
    if (strncmp(head->data, "From ", 5)) return false;
    const char *next = strchr(head->data, '\n');
    if (!next) return false;
    size_t name = strcspn(++next, ": \t\r\n");
    return name > 0 && next[name] == ':';
}

const ingest_source source_mbox = {.name = "mbox",
                                   .title = "mailbox",
                                   .unit = "record",
                                   .family = MAIL_FAMILY,
                                   .endings = {".mbox", ".mbx"},
                                   .detects = looks_like_mbox,
                                   .read = read_mbox};
