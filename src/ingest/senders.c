/* Counting who writes, to find out whose files these are. */
#include "ingest/sources.h"

#include <glib.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SENDERS_MAX    65536 /* distinct names counted; those seen later are not */
#define NAME_BYTES_MAX 255   /* a longer one is nobody's */

typedef struct sender {
    char *key, *name; /* name points behind the family in key */
    const char *family;
    uint64_t message_count, conversation_count, last_conversation;
    bool declared, denied;
} sender;

struct ingest_senders {
    GHashTable *index_of; /* key -> place in list, plus 1 */
    sender *list;
    size_t count, capacity;
};

ingest_senders *senders_create(void) {
    ingest_senders *s = calloc(1, sizeof *s);
    if (s) s->index_of = g_hash_table_new(g_str_hash, g_str_equal);
    return s;
}

void senders_free(ingest_senders *s) {
    if (!s) return;
    g_hash_table_destroy(s->index_of);
    for (size_t i = 0; i < s->count; i++) free(s->list[i].key);
    free(s->list);
    free(s);
}

static bool make_room(ingest_senders *s) {
    if (s->count < s->capacity) return true;
    size_t capacity = s->capacity ? s->capacity * 2 : 64;
    sender *list = realloc(s->list, capacity * sizeof *list);
    if (!list) return false;
    s->list = list;
    s->capacity = capacity;
    return true;
}

/* The sender of this name, made where it is new; *out is NULL where there is no room for more. */
static bool find(ingest_senders *s, const char *family, const char *name, sender **out) {
    char key[NAME_BYTES_MAX + 64];
    *out = NULL;
    if (!*name || strlen(name) > NAME_BYTES_MAX) return true;
    int prefix = snprintf(key, sizeof key, "%.32s\n", family);
    snprintf(key + prefix, sizeof key - (size_t)prefix, "%s", name);
    size_t place = GPOINTER_TO_SIZE(g_hash_table_lookup(s->index_of, key));
    if (!place) {
        if (s->count == SENDERS_MAX) return true;
        char *copy = make_room(s) ? strdup(key) : NULL;
        if (!copy) return false;
        s->list[s->count++] = (sender){.key = copy, .name = copy + prefix, .family = family};
        place = s->count;
        g_hash_table_insert(s->index_of, copy, GSIZE_TO_POINTER(place));
    }
    *out = &s->list[place - 1];
    return true;
}

bool senders_add(ingest_senders *s, const char *family, const char *name, uint64_t conversation) {
    sender *who;
    if (!find(s, family, name, &who)) return false;
    if (!who) return true;
    if (!who->conversation_count || who->last_conversation != conversation)
        who->conversation_count++;
    who->last_conversation = conversation;
    who->message_count++;
    return true;
}

bool senders_declare(ingest_senders *s, const char *family, const char *name) {
    sender *who;
    if (!find(s, family, name, &who)) return false;
    if (who) who->declared = true;
    return true;
}

bool senders_deny(ingest_senders *s, const char *family, const char *name) {
    sender *who;
    if (!find(s, family, name, &who)) return false;
    if (who) who->denied = true;
    return true;
}

static bool comes_before(const sender *a, const sender *b) {
    if (a->declared != b->declared) return a->declared;
    if (a->denied != b->denied) return b->denied;
    if (a->conversation_count != b->conversation_count)
        return a->conversation_count > b->conversation_count;
    return a->message_count > b->message_count;
}

const char *senders_owner(const ingest_senders *s, const char *family) {
    const sender *best = NULL;
    for (size_t i = 0; i < s->count; i++) {
        const sender *who = &s->list[i];
        if (strcmp(who->family, family)) continue;
        if (!best || comes_before(who, best)) best = who;
    }
    return best ? best->name : NULL;
}
