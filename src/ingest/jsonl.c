/* Source of JSON records: one object a line, or one JSON array of objects, cut here into its
 * elements so that memory does not depend on the file's size. The form of each record is decided by
 * its keys. */
#include "ingest/lines.h"
#include "ingest/mail.h"
#include "ingest/sources.h"

#include <jansson.h>
#include <string.h>

static void skip(ingest_reader *r, uint64_t line, const char *reason, const char *detail) {
    reader_skip(r, "line", line, reason, detail);
}

/* The string under key as clean text. *text->data is NULL, and the record counted as skipped, where
 * it is something else. */
static int take_string(ingest_reader *r, json_t *object, const char *key, uint64_t line,
                       bytes *text) {
    json_t *value = json_object_get(object, key);
    if (!json_is_string(value)) {
        char reason[64];
        snprintf(reason, sizeof reason, "\"%s\" is %s, not text", key,
                 !value                  ? "missing"
                 : json_is_null(value)   ? "null"
                 : json_is_object(value) ? "an object"
                 : json_is_array(value)  ? "a list"
                                         : "a number or truth value");
        skip(r, line, reason, "");
        return WEFT_OK;
    }
    if (!text_clean(text, json_string_value(value), json_string_length(value)))
        return reader_no_memory(r);
    return WEFT_OK;
}

static int read_text(ingest_reader *r, json_t *object, uint64_t line) {
    bytes text = {0};
    int rc = take_string(r, object, "text", line, &text);
    if (!rc && text.data) rc = reader_text(r, text.data, line);
    bytes_free(&text);
    return rc;
}

static int read_prompt(ingest_reader *r, json_t *object, uint64_t line) {
    bytes prompt = {0}, completion = {0};
    int rc = take_string(r, object, "prompt", line, &prompt);
    if (!rc && prompt.data) rc = take_string(r, object, "completion", line, &completion);
    if (!rc && prompt.data && completion.data)
        rc = reader_exchange(r, prompt.data, completion.data, line);
    bytes_free(&prompt);
    bytes_free(&completion);
    return rc;
}

static int read_mail(ingest_reader *r, json_t *object, uint64_t line) {
    bytes subject = {0}, body = {0}, request = {0};
    int rc = take_string(r, object, "subject", line, &subject);
    if (!rc && subject.data) rc = take_string(r, object, "body", line, &body);
    if (!rc && subject.data && body.data) {
        text_trim(&body);
        rc = mail_request(subject.data, &request)
                 ? reader_exchange(r, request.data, body.data, line)
                 : reader_no_memory(r);
    }
    bytes_free(&subject);
    bytes_free(&body);
    bytes_free(&request);
    return rc;
}

static const char *known_role(const char *role) {
    static const char *const roles[] = {"system", "user", "assistant", "tool"};
    for (size_t i = 0; role && i < sizeof roles / sizeof *roles; i++)
        if (!strcmp(role, roles[i])) return roles[i];
    return NULL;
}

/* Fill one message; message->content stays NULL where the record was skipped. */
static int take_message(ingest_reader *r, json_t *item, uint64_t line, ingest_message *message,
                        bytes *content) {
    if (!json_is_object(item))
        return skip(r, line, "an element of \"messages\" is not an object", ""), WEFT_OK;
    message->role = known_role(json_string_value(json_object_get(item, "role")));
    if (!message->role)
        return skip(r, line, "\"role\" is not system, user, assistant or tool", ""), WEFT_OK;
    TRY(take_string(r, item, "content", line, content));
    message->content = content->data;
    return WEFT_OK;
}

static int read_messages(ingest_reader *r, json_t *object, uint64_t line) {
    json_t *list = json_object_get(object, "messages");
    size_t count = json_array_size(list), filled = 0;
    if (!count) return skip(r, line, "\"messages\" is not a list with elements", ""), WEFT_OK;
    if (count > INGEST_MESSAGES_MAX)
        return skip(r, line, "conversation of more than 4096 messages", ""), WEFT_OK;
    ingest_message *messages = calloc(count, sizeof *messages);
    bytes *contents = calloc(count, sizeof *contents);
    int rc = messages && contents ? WEFT_OK : reader_no_memory(r);
    for (; !rc && filled < count; filled++) {
        rc = take_message(r, json_array_get(list, filled), line, &messages[filled],
                          &contents[filled]);
        if (rc || !messages[filled].content) break;
    }
    if (!rc && filled == count) rc = reader_conversation(r, messages, count, line);
    for (size_t i = 0; contents && i < count; i++) bytes_free(&contents[i]);
    free(contents);
    free(messages);
    return rc;
}

/* The forms, preferred first. A record is of the first one whose keys it all has. */
static const struct form {
    const char *kind, *keys[2];
    int (*read)(ingest_reader *r, json_t *object, uint64_t line);
} forms[] = {
    {"jsonl (messages)", {"messages", "messages"}, read_messages},
    {"jsonl (prompt, completion)", {"prompt", "completion"}, read_prompt},
    {"jsonl (subject, body)", {"subject", "body"}, read_mail},
    {"jsonl (text)", {"text", "text"}, read_text},
};

static int read_object(ingest_reader *r, json_t *object, uint64_t line) {
    if (!json_is_object(object)) return skip(r, line, "not a JSON object", ""), WEFT_OK;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        const struct form *f = &forms[i];
        if (!json_object_get(object, f->keys[0]) || !json_object_get(object, f->keys[1])) continue;
        reader_kind(r, f->kind);
        return f->read(r, object, line);
    }
    skip(r, line, "no known keys", "want messages, prompt + completion, subject + body, or text");
    return WEFT_OK;
}

/* One record's bytes. Ill-formed UTF-8 is repaired first, so that one bad byte does not cost the
 * record. */
static int read_record(ingest_reader *r, const char *data, size_t size, uint64_t line) {
    bytes clean = {0};
    if (!text_clean(&clean, data, size)) return reader_no_memory(r);
    if (text_is_blank(clean.data)) return bytes_free(&clean), WEFT_OK;
    json_error_t error;
    json_t *object = json_loadb(clean.data, clean.size, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    bytes_free(&clean);
    if (!object) {
        if (json_error_code(&error) == json_error_out_of_memory) return reader_no_memory(r);
        skip(r, line, "malformed JSON", error.text);
        return WEFT_OK;
    }
    int rc = read_object(r, object, line);
    json_decref(object);
    return rc;
}

/* ---- a file that is one array ---- */

typedef struct array_walk {
    bytes element;
    uint64_t line; /* where the element begins, 0 before that */
    int depth;     /* 1: between the elements of the array */
    bool in_string, escaped, too_long, closed;
} array_walk;

static int element_end(ingest_reader *r, array_walk *w) {
    int rc = WEFT_OK;
    if (w->too_long)
        skip(r, w->line, "record over 64 MiB", "");
    else if (w->element.size)
        rc = read_record(r, w->element.data, w->element.size, w->line);
    bytes_clear(&w->element);
    w->line = 0;
    w->too_long = false;
    return rc;
}

static void follow_string(array_walk *w, char c) {
    if (w->escaped)
        w->escaped = false;
    else if (c == '\\')
        w->escaped = true;
    else if (c == '"')
        w->in_string = false;
}

static int array_char(ingest_reader *r, array_walk *w, char c, uint64_t line) {
    bool space = c == ' ' || c == '\t' || c == '\n' || c == '\r';
    if (w->closed) {
        if (!space && !w->line) skip(r, w->line = line, "text after the end of the array", "");
        return WEFT_OK;
    }
    if (w->in_string) {
        follow_string(w, c);
    } else if (c == '"') {
        w->in_string = true;
    } else if (c == '[' || c == '{') {
        if (++w->depth == 1) return WEFT_OK;
    } else if (c == ']' || c == '}') {
        w->closed = --w->depth == 0;
        if (w->closed) return element_end(r, w);
    } else if (c == ',' && w->depth == 1) {
        return element_end(r, w);
    }
    if (!w->line && space) return WEFT_OK;
    if (!w->line) w->line = line;
    if (w->element.size >= INGEST_LINE_BYTES_MAX) w->too_long = true;
    if (!w->too_long && !bytes_add_char(&w->element, c)) return reader_no_memory(r);
    return WEFT_OK;
}

static int read_array(ingest_reader *r, line_reader *lines, array_walk *w) {
    while (!lines->done) {
        if (lines->too_long) w->too_long = true;
        for (size_t i = 0; i < lines->line.size; i++)
            TRY(array_char(r, w, lines->line.data[i], lines->number));
        TRY(array_char(r, w, '\n', lines->number));
        TRY(lines_next(lines, r->err));
    }
    if (w->closed) return WEFT_OK;
    skip(r, w->line, "malformed JSON", "the array is not closed");
    return WEFT_OK;
}

static int read_lines(ingest_reader *r, line_reader *lines) {
    for (bool first = true;; first = false) {
        TRY(lines_next(lines, r->err));
        while (first && !lines->done && !lines->too_long && text_is_blank(lines->line.data))
            TRY(lines_next(lines, r->err));
        if (lines->done) return WEFT_OK;
        const char *line = lines->line.data;
        if (first && line[strspn(line, " \t")] == '[') {
            array_walk w = {0};
            int rc = read_array(r, lines, &w);
            bytes_free(&w.element);
            return rc;
        }
        if (lines->too_long)
            skip(r, lines->number, "line over 64 MiB", "");
        else
            TRY(read_record(r, line, lines->line.size, lines->number));
    }
}

static int read_jsonl(ingest_reader *r, FILE *file) {
    line_reader lines;
    lines_begin(&lines, file, INGEST_LINE_BYTES_MAX - 1);
    int rc = read_lines(r, &lines);
    lines_end(&lines);
    return rc;
}

static bool looks_like_json(const ingest_head *h) {
    const char *head = h->data + strspn(h->data, " \t\r\n");
    if (*head == '[') {
        head += 1 + strspn(head + 1, " \t\r\n");
        return *head == '{';
    }
    if (*head++ != '{') return false;
    head += strspn(head, " \t");
    return *head == '"';
}

const ingest_source source_jsonl = {.name = "jsonl",
                                    .title = "JSON records",
                                    .endings = {".jsonl", ".ndjson", ".json"},
                                    .detects = looks_like_json,
                                    .read = read_jsonl};
