/* Source of JSON records: one object a line, or one JSON array of objects. The form of each record
 * is decided by its keys. */
#include "ingest/json_records.h"
#include "ingest/mail.h"
#include "ingest/sources.h"

#include <stdlib.h>
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

/* ---- conversations ---- */

/* How a list of turns is written. */
typedef struct turn_keys {
    const char *list, *role, *content;
} turn_keys;

static const char *known_role(const char *name) {
    static const char *const roles[][2] = {
        {"system", "system"},     {"user", "user"},       {"assistant", "assistant"},
        {"tool", "tool"},         {"human", "user"},      {"gpt", "assistant"},
        {"chatgpt", "assistant"}, {"model", "assistant"}, {"function", "tool"},
        {"observation", "tool"},  {"bot", "assistant"}};
    for (size_t i = 0; name && i < sizeof roles / sizeof *roles; i++)
        if (!strcmp(name, roles[i][0])) return roles[i][1];
    return NULL;
}

/* Fill one message; message->content stays NULL where the record was skipped. */
static int take_message(ingest_reader *r, json_t *item, const turn_keys *keys, uint64_t line,
                        ingest_message *message, bytes *content) {
    char reason[96];
    if (!json_is_object(item)) {
        snprintf(reason, sizeof reason, "an element of \"%s\" is not an object", keys->list);
        return skip(r, line, reason, ""), WEFT_OK;
    }
    message->role = known_role(json_string_value(json_object_get(item, keys->role)));
    if (!message->role) {
        snprintf(reason, sizeof reason, "\"%s\" is not system, user, assistant or tool",
                 keys->role);
        return skip(r, line, reason, ""), WEFT_OK;
    }
    TRY(take_string(r, item, keys->content, line, content));
    message->content = content->data;
    return WEFT_OK;
}

static int read_turns(ingest_reader *r, json_t *object, const turn_keys *keys, uint64_t line) {
    json_t *list = json_object_get(object, keys->list);
    size_t count = json_array_size(list), filled = 0;
    if (!count) {
        char reason[96];
        snprintf(reason, sizeof reason, "\"%s\" is not a list with elements", keys->list);
        return skip(r, line, reason, ""), WEFT_OK;
    }
    if (count > INGEST_MESSAGES_MAX)
        return skip(r, line, "conversation of more than 4096 messages", ""), WEFT_OK;
    ingest_message *messages = calloc(count, sizeof *messages);
    bytes *contents = calloc(count, sizeof *contents);
    int rc = messages && contents ? WEFT_OK : reader_no_memory(r);
    for (; !rc && filled < count; filled++) {
        rc = take_message(r, json_array_get(list, filled), keys, line, &messages[filled],
                          &contents[filled]);
        if (rc || !messages[filled].content) break;
    }
    if (!rc && filled == count) rc = reader_conversation(r, messages, count, line);
    for (size_t i = 0; contents && i < count; i++) bytes_free(&contents[i]);
    free(contents);
    free(messages);
    return rc;
}

static int read_messages(ingest_reader *r, json_t *object, uint64_t line) {
    return read_turns(r, object, &(turn_keys){"messages", "role", "content"}, line);
}

/* ShareGPT: "from" and "value"; some sets have the names of "messages" inside. */
static int read_conversations(ingest_reader *r, json_t *object, uint64_t line) {
    json_t *first = json_array_get(json_object_get(object, "conversations"), 0);
    bool plain = !json_object_get(first, "from") && json_object_get(first, "role");
    turn_keys keys = {"conversations", plain ? "role" : "from", plain ? "content" : "value"};
    return read_turns(r, object, &keys, line);
}

/* ---- instructions and questions ---- */

static int read_instruction(ingest_reader *r, json_t *object, uint64_t line) {
    bytes request = {0}, input = {0}, output = {0};
    bool has_input = json_text(object, "input")[0];
    int rc = take_string(r, object, "instruction", line, &request);
    if (!rc && request.data && has_input) rc = take_string(r, object, "input", line, &input);
    if (!rc && request.data) rc = take_string(r, object, "output", line, &output);
    if (!rc && input.data && !text_is_blank(input.data) &&
        !bytes_printf(&request, "\n\n%s", input.data))
        rc = reader_no_memory(r);
    if (!rc && request.data && output.data)
        rc = reader_exchange(r, request.data, output.data, line);
    bytes_free(&request);
    bytes_free(&input);
    bytes_free(&output);
    return rc;
}

/* "Q: QUESTION\nA: ANSWER" with the right answer's label beside it. */
static int read_question(ingest_reader *r, json_t *object, uint64_t line) {
    bytes text = {0}, label = {0};
    int rc = take_string(r, object, "text", line, &text);
    if (!rc && text.data) rc = take_string(r, object, "label", line, &label);
    char *answer = text.data ? strstr(text.data, "\nA:") : NULL;
    if (!rc && text.data && label.data) {
        if (!answer || strncmp(text.data, "Q:", 2)) {
            skip(r, line, "the text has not the form \"Q: ...\", \"A: ...\"", "");
        } else {
            *answer = 0;
            answer += strlen("\nA:") + strspn(answer + strlen("\nA:"), " ");
            const char *question = text.data + 2 + strspn(text.data + 2, " ");
            ingest_message turns[2] = {{"user", question}, {"assistant", answer}};
            rc = reader_labelled(r, turns, 2, line, label.data);
        }
    }
    bytes_free(&text);
    bytes_free(&label);
    return rc;
}

/* The forms, preferred first. A record is of the first one whose keys it all has. */
static const struct form {
    const char *kind, *keys[3];
    int (*read)(ingest_reader *r, json_t *object, uint64_t line);
} forms[] = {
    {"jsonl (messages)", {"messages"}, read_messages},
    {"jsonl (ShareGPT)", {"conversations"}, read_conversations},
    {"jsonl (instruction, output)", {"instruction", "output"}, read_instruction},
    {"jsonl (prompt, completion)", {"prompt", "completion"}, read_prompt},
    {"jsonl (subject, body)", {"subject", "body"}, read_mail},
    {"jsonl (question, label)", {"text", "question", "label"}, read_question},
    {"jsonl (text)", {"text"}, read_text},
};

static bool has_keys(json_t *object, const struct form *f) {
    for (size_t i = 0; i < sizeof f->keys / sizeof *f->keys && f->keys[i]; i++)
        if (!json_object_get(object, f->keys[i])) return false;
    return true;
}

static int read_object(void *context, ingest_reader *r, json_t *object, uint64_t line) {
    (void)context;
    if (!json_is_object(object)) return skip(r, line, "not a JSON object", ""), WEFT_OK;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        const struct form *f = &forms[i];
        if (!has_keys(object, f)) continue;
        reader_kind(r, f->kind);
        return f->read(r, object, line);
    }
    skip(r, line, "no known keys",
         "want messages, conversations, instruction + output, prompt + completion, subject + body, "
         "or text");
    return WEFT_OK;
}

static int read_jsonl(ingest_reader *r, FILE *file) {
    return json_each(r, file, read_object, NULL);
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
