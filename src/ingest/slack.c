/* Source of Slack exports: a folder or archive with users.json and a folder for each channel, a
 * file for each day in it. A thread is a conversation of its own. Messages of the service and of
 * bots are left out and counted. */
#include "ingest/chat.h"
#include "ingest/json_records.h"

#include <stdlib.h>
#include <string.h>

/* What is kept of a message until its channel is complete. */
typedef struct post {
    double root_s, time_s; /* of the message that its thread began with; of itself */
    size_t at;             /* its text in channel.text, behind the sender's name */
    size_t sender_bytes;
    uint64_t order;
} post;

typedef struct channel {
    ingest_reader *reader;
    json_t *names; /* user id -> name */
    post *posts;
    size_t count, capacity;
    bytes text;
} channel;

/* ---- names ---- */

static const char *user_name(json_t *user) {
    json_t *profile = json_object_get(user, "profile");
    const char *name = json_text(profile, "display_name");
    if (!*name) name = json_text(profile, "real_name");
    if (!*name) name = json_text(user, "real_name");
    return *name ? name : json_text(user, "name");
}

static int take_user(void *context, ingest_reader *r, json_t *user, uint64_t line) {
    const char *id = json_text(user, "id"), *name = user_name(user);
    (void)line;
    if (!*id || !*name) return WEFT_OK;
    return json_object_set_new(context, id, json_string(name)) ? reader_no_memory(r) : WEFT_OK;
}

static int read_users(ingest_reader *r, const ingest_folder *folder, json_t *names) {
    size_t i = folder_find(folder, "users.json");
    FILE *file;
    if (i == SIZE_MAX) return WEFT_OK;
    TRY(reader_open(r, folder, i, &file));
    int rc = file ? json_each(r, file, take_user, names) : WEFT_OK;
    reader_close(r, folder, file);
    return rc;
}

/* ---- text ---- */

/* "<@U1>", "<#C1|general>", "<https://x|label>": what it stands for. */
static bool add_link(bytes *out, json_t *names, const char *link, size_t size) {
    const char *bar = memchr(link, '|', size);
    if (*link == '@') {
        char id[64];
        size_t length = bar ? (size_t)(bar - link) - 1 : size - 1;
        if (length >= sizeof id) return bytes_add(out, link, size);
        snprintf(id, sizeof id, "%.*s", (int)length, link + 1);
        const char *name = json_text(names, id);
        return bytes_printf(out, "@%s", *name ? name : id);
    }
    if (*link == '#' && bar && !bytes_add_char(out, '#')) return false;
    if (!bar) return bytes_add(out, link, size);
    return bytes_add(out, bar + 1, size - (size_t)(bar + 1 - link));
}

static bool add_text(bytes *out, json_t *names, const char *s) {
    static const char *const marks[][2] = {{"&amp;", "&"}, {"&lt;", "<"}, {"&gt;", ">"}};
    while (*s) {
        const char *end = *s == '<' ? strchr(s, '>') : NULL;
        if (end && end > s + 1) {
            if (!add_link(out, names, s + 1, (size_t)(end - s) - 1)) return false;
            s = end + 1;
            continue;
        }
        size_t i = 0;
        while (i < 3 && strncmp(s, marks[i][0], strlen(marks[i][0]))) i++;
        if (!bytes_add_char(out, i < 3 ? marks[i][1][0] : *s)) return false;
        s += i < 3 ? strlen(marks[i][0]) : 1;
    }
    return true;
}

/* ---- messages ---- */

static const char *refuse(json_t *m) {
    const char *subtype = json_text(m, "subtype");
    if (strcmp(json_text(m, "type"), "message")) return "service message";
    if (json_object_get(m, "bot_id") || !strcmp(subtype, "bot_message")) return "message of a bot";
    if (*subtype && strcmp(subtype, "thread_broadcast") && strcmp(subtype, "me_message") &&
        strcmp(subtype, "file_share"))
        return "service message";
    if (text_is_blank(json_text(m, "text"))) return "media without words";
    return NULL;
}

static bool make_room(channel *c) {
    if (c->count < c->capacity) return true;
    size_t capacity = c->capacity ? c->capacity * 2 : 256;
    post *posts = realloc(c->posts, capacity * sizeof *posts);
    if (!posts) return false;
    c->posts = posts;
    c->capacity = capacity;
    return true;
}

static int take_message(void *context, ingest_reader *r, json_t *m, uint64_t line) {
    channel *c = context;
    const char *why = refuse(m), *user = json_text(m, "user"), *text = json_text(m, "text");
    if (why) return reader_skip(r, r->unit, line, why, ""), WEFT_OK;
    if (c->text.size > JSON_FILE_BYTES_MAX)
        return reader_skip(r, r->unit, line, "channel over 256 MiB", ""), WEFT_OK;
    const char *name = json_text(c->names, user);
    post p = {.time_s = strtod(json_text(m, "ts"), NULL), .at = c->text.size, .order = c->count};
    const char *thread = json_text(m, "thread_ts");
    p.root_s = *thread ? strtod(thread, NULL) : p.time_s;
    bytes clean = {0};
    bool ok = make_room(c) && text_clean(&clean, text, strlen(text)) &&
              bytes_add_text(&c->text, *name ? name : user) && bytes_add(&c->text, "", 1);
    p.sender_bytes = c->text.size - p.at;
    ok = ok && add_text(&c->text, c->names, clean.data) && bytes_add(&c->text, "", 1);
    if (ok) c->posts[c->count++] = p;
    bytes_free(&clean);
    return ok ? WEFT_OK : reader_no_memory(r);
}

static int compare_posts(const void *a, const void *b) {
    const post *x = a, *y = b;
    if (x->root_s < y->root_s || x->root_s > y->root_s) return x->root_s < y->root_s ? -1 : 1;
    if (x->time_s < y->time_s || x->time_s > y->time_s) return x->time_s < y->time_s ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

static bool same_root(const post *a, const post *b) {
    return !(a->root_s < b->root_s) && !(a->root_s > b->root_s);
}

/* In order, with a break before and after each thread that was answered. */
static int deliver(channel *c) {
    chat_log chat;
    int rc = WEFT_OK;
    bool was_thread = false;
    if (c->count) qsort(c->posts, c->count, sizeof *c->posts, compare_posts);
    chat_begin(&chat, c->reader, source_slack.family);
    for (size_t i = 0; i < c->count && !rc; i++) {
        const post *p = &c->posts[i];
        bool goes_on = i && same_root(p, p - 1);
        bool thread = goes_on || (i + 1 < c->count && same_root(p, p + 1));
        if (!goes_on && (thread || was_thread)) rc = chat_break(&chat);
        was_thread = thread;
        const char *name = c->text.data + p->at;
        double s = thread ? p->root_s : p->time_s; /* a thread may take days */
        if (!(s > -1e12 && s < 1e12)) s = 0;
        if (!rc) rc = chat_add(&chat, name, (int64_t)s, name + p->sender_bytes, i + 1);
    }
    return chat_end(&chat, rc);
}

/* ---- the export ---- */

/* All days of the channel that file i lies in. */
static int read_channel(ingest_reader *r, const ingest_folder *sub, json_t *names) {
    channel c = {.reader = r, .names = names};
    int rc = WEFT_OK;
    for (size_t i = 0; i < folder_count(sub) && !rc; i++) {
        FILE *file;
        rc = reader_open(r, sub, i, &file);
        if (rc) break;
        if (file) rc = json_each(r, file, take_message, &c);
        reader_close(r, sub, file);
    }
    if (!rc) rc = deliver(&c);
    free(c.posts);
    bytes_free(&c.text);
    return rc;
}

static int read_channels(ingest_reader *r, const ingest_folder *folder, json_t *names) {
    for (size_t i = 0; i < folder_count(folder);) {
        ingest_folder sub;
        if (folder_sub(folder, i, &sub)) {
            TRY(read_channel(r, &sub, names));
            i += folder_count(&sub);
            continue;
        }
        const char *name = folder_name(folder, i++);
        if (strcmp(name, "users.json")) reader_skip(r, "line", 0, "list about the export", name);
    }
    return WEFT_OK;
}

static int read_slack(ingest_reader *r, const ingest_folder *folder) {
    json_t *names = json_object();
    reader_kind(r, "slack");
    int rc = names ? read_users(r, folder, names) : reader_no_memory(r);
    if (!rc) rc = read_channels(r, folder, names);
    json_decref(names);
    return rc;
}

/* "general/2024-01-31.json" */
static bool is_day(const char *name) {
    static const char form[] = "0000-00-00.json";
    const char *s = strchr(name, '/');
    if (!s) return false;
    s++;
    if (strlen(s) != sizeof form - 1) return false;
    for (size_t i = 0; form[i]; i++)
        if (form[i] == '0' ? s[i] < '0' || s[i] > '9' : s[i] != form[i]) return false;
    return true;
}

static bool is_slack(const ingest_folder *folder) {
    if (!folder_has(folder, "users.json")) return false;
    for (size_t i = 0; i < folder_count(folder); i++)
        if (is_day(folder_name(folder, i))) return true;
    return false;
}

const ingest_source source_slack = {.name = "slack",
                                    .title = "Slack export",
                                    .unit = "message",
                                    .family = "Slack",
                                    .detects_folder = is_slack,
                                    .read_folder = read_slack};
