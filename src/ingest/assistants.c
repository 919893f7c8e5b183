/* Sources of conversations with assistants: the exports of ChatGPT and Claude (conversations.json).
 * Roles are as they stand, so that the assistant's turns are learnt; with the owner "me" they are
 * exchanged, and the person's own turns are. What tools were asked and said is left out and
 * counted.
 */
#include "ingest/chat.h"
#include "ingest/json_records.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define TREE_DEPTH_MAX 100000 /* messages from the last one up to the first */

/* Add a turn in the role it is learnt in. */
static bool add_turn(turn_list *turns, const ingest_reader *r, const char *role, const char *text) {
    bool exchanged = r->owner && !strcasecmp(r->owner, "me");
    bool person = !strcmp(role, "user") || !strcmp(role, "human");
    if (!strcmp(role, "system")) return exchanged || turns_add(turns, "system", text, "\n\n");
    return turns_add(turns, person != exchanged ? "user" : "assistant", text, "\n\n");
}

/* ---- ChatGPT: a tree of messages, of which the last one is named ---- */

/* The strings among a message's parts; others (pictures, sound) are passed over. */
static bool parts_text(json_t *content, bytes *out) {
    json_t *parts = json_object_get(content, "parts");
    for (size_t i = 0; i < json_array_size(parts); i++) {
        json_t *part = json_array_get(parts, i);
        const char *text = json_string_value(part);
        if (!text || text_is_blank(text)) continue;
        if (out->size && !bytes_add_text(out, "\n\n")) return false;
        if (!text_clean(out, text, json_string_length(part))) return false;
    }
    text_trim(out);
    return bytes_add(out, "", 0);
}

static int take_node(ingest_reader *r, json_t *message, turn_list *turns, uint64_t line) {
    json_t *content = json_object_get(message, "content");
    const char *role = json_text(json_object_get(message, "author"), "role");
    const char *type = json_text(content, "content_type");
    json_t *hidden = json_object_get(json_object_get(message, "metadata"),
                                     "is_visually_hidden_from_conversation");
    if (!message || json_is_null(message) || json_is_true(hidden)) return WEFT_OK;
    bool words = !strcmp(type, "text") || !strcmp(type, "multimodal_text");
    if (!words || !strcmp(role, "tool"))
        return reader_skip(r, r->unit, line, "what a tool was asked or said", type), WEFT_OK;
    bytes text = {0};
    bool ok = parts_text(content, &text);
    if (ok && text.size)
        ok = add_turn(turns, r, role, text.data);
    else if (ok && strcmp(role, "system"))
        reader_skip(r, r->unit, line, "empty message", "");
    bytes_free(&text);
    return ok ? WEFT_OK : reader_no_memory(r);
}

/* The nodes from the first to the named one; NULL in *path where memory is short. */
static size_t find_path(json_t *mapping, const char *last, json_t ***path) {
    size_t count = 0, most = json_object_size(mapping);
    if (most > TREE_DEPTH_MAX) most = TREE_DEPTH_MAX;
    *path = calloc(most + 1, sizeof **path);
    if (!*path) return 0;
    json_t *node = json_object_get(mapping, last);
    for (; node && count < most; count++) {
        (*path)[count] = node;
        node = json_object_get(mapping, json_text(node, "parent"));
    }
    for (size_t i = 0; i < count / 2; i++) {
        json_t *other = (*path)[i];
        (*path)[i] = (*path)[count - 1 - i];
        (*path)[count - 1 - i] = other;
    }
    return count;
}

static int take_chatgpt(void *context, ingest_reader *r, json_t *record, uint64_t line) {
    turn_list *turns = context;
    json_t *mapping = json_object_get(record, "mapping");
    const char *last = json_text(record, "current_node");
    if (!json_object_size(mapping) || !*last)
        return reader_skip(r, r->unit, line, "not a conversation", ""), WEFT_OK;
    json_t **path;
    size_t count = find_path(mapping, last, &path);
    int rc = path ? WEFT_OK : reader_no_memory(r);
    for (size_t i = 0; i < count && !rc; i++)
        rc = take_node(r, json_object_get(path[i], "message"), turns, line);
    free(path);
    if (!rc && !turns->count) reader_skip(r, r->unit, line, "conversation without words", "");
    return rc ? rc : turns_deliver(turns, r, line);
}

/* ---- Claude: a list of messages ---- */

static bool claude_text(json_t *message, bytes *out) {
    json_t *content = json_object_get(message, "content");
    for (size_t i = 0; i < json_array_size(content); i++) {
        json_t *block = json_array_get(content, i);
        const char *text = json_text(block, "text");
        if (strcmp(json_text(block, "type"), "text") || text_is_blank(text)) continue;
        if (out->size && !bytes_add_text(out, "\n\n")) return false;
        if (!text_clean(out, text, strlen(text))) return false;
    }
    const char *whole = json_text(message, "text");
    if (!out->size && !text_clean(out, whole, strlen(whole))) return false;
    text_trim(out);
    return bytes_add(out, "", 0);
}

static int take_claude(void *context, ingest_reader *r, json_t *record, uint64_t line) {
    turn_list *turns = context;
    json_t *messages = json_object_get(record, "chat_messages");
    if (!json_is_array(messages))
        return reader_skip(r, r->unit, line, "not a conversation", ""), WEFT_OK;
    bool ok = true;
    for (size_t i = 0; i < json_array_size(messages) && ok; i++) {
        json_t *message = json_array_get(messages, i);
        bytes text = {0};
        ok = claude_text(message, &text);
        if (ok && !text.size)
            reader_skip(r, r->unit, line, "empty message", "");
        else if (ok)
            ok = add_turn(turns, r, json_text(message, "sender"), text.data);
        bytes_free(&text);
    }
    if (!ok) return reader_no_memory(r);
    if (!turns->count) reader_skip(r, r->unit, line, "conversation without words", "");
    return turns_deliver(turns, r, line);
}

/* ---- the sources ---- */

static int read_with(ingest_reader *r, FILE *file, const char *kind, json_visit visit) {
    if (r->senders) return WEFT_OK; /* nobody is counted: the owner is "me" or nobody */
    if (r->owner && strcasecmp(r->owner, "me")) r->owner = NULL; /* of mail, of chats with people */
    turn_list *turns = calloc(1, sizeof *turns);
    reader_kind(r, kind);
    int rc = turns ? json_each(r, file, visit, turns) : reader_no_memory(r);
    if (turns) turns_free(turns);
    free(turns);
    return rc;
}

static int read_chatgpt(ingest_reader *r, FILE *file) {
    return read_with(r, file, "chatgpt", take_chatgpt);
}

static int read_claude(ingest_reader *r, FILE *file) {
    return read_with(r, file, "claude", take_claude);
}

/* "[" and an object that has these keys within the first bytes. */
static bool has_all(const ingest_head *head, const char *const keys[3]) {
    const char *s = head->data + strspn(head->data, " \t\r\n");
    if (*s != '[') return false;
    for (size_t i = 0; i < 3; i++)
        if (!strstr(s, keys[i])) return false;
    return true;
}

static bool looks_like_chatgpt(const ingest_head *head) {
    return has_all(head, (const char *const[]){"\"mapping\"", "\"create_time\"", "\"title\""});
}

static bool looks_like_claude(const ingest_head *head) {
    return has_all(head, (const char *const[]){"\"chat_messages\"", "\"uuid\"", "\"name\""});
}

const ingest_source source_chatgpt = {.name = "chatgpt",
                                      .title = "ChatGPT export",
                                      .unit = "line",
                                      .family = "ChatGPT",
                                      .detects = looks_like_chatgpt,
                                      .read = read_chatgpt};

const ingest_source source_claude = {.name = "claude",
                                     .title = "Claude export",
                                     .unit = "line",
                                     .family = "Claude",
                                     .detects = looks_like_claude,
                                     .read = read_claude};
