/* A set of 64-bit fingerprints, open addressing; 0 marks a free place. */
#include "ingest/dedupe.h"

#include <stdlib.h>

struct seen_set {
    uint64_t *places;
    size_t count, capacity; /* a power of two, at most three quarters full */
};

seen_set *seen_create(void) {
    seen_set *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    s->capacity = 1024;
    s->places = calloc(s->capacity, sizeof *s->places);
    if (s->places) return s;
    free(s);
    return NULL;
}

void seen_free(seen_set *s) {
    if (!s) return;
    free(s->places);
    free(s);
}

/* ---- fingerprints ---- */

static uint64_t hash_byte(uint64_t hash, unsigned char c) {
    return (hash ^ c) * UINT64_C(0x100000001b3);
}

/* Words with one space between them. */
static uint64_t hash_words(uint64_t hash, const char *text) {
    bool gap = false, begun = false;
    for (; *text; text++) {
        if (*text == ' ' || *text == '\n' || *text == '\t') {
            gap = begun;
            continue;
        }
        if (gap) hash = hash_byte(hash, ' ');
        hash = hash_byte(hash, (unsigned char)*text);
        gap = false;
        begun = true;
    }
    return hash_byte(hash, 0);
}

/* Every bit of the result depends on every bit of x. */
static uint64_t mix(uint64_t x) {
    x ^= x >> 32;
    x *= UINT64_C(0xd6e8feb86659fd93);
    x ^= x >> 32;
    x *= UINT64_C(0xd6e8feb86659fd93);
    return x ^ x >> 32;
}

static uint64_t fingerprint(const ingest_document *d) {
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    if (d->text) hash = hash_words(hash, d->text);
    for (size_t i = 0; i < d->message_count; i++) {
        hash = hash_words(hash, d->messages[i].role);
        hash = hash_words(hash, d->messages[i].content);
    }
    hash = mix(hash);
    return hash ? hash : 1;
}

/* ---- the set ---- */

/* The place of a fingerprint, or the free one where it belongs. */
static uint64_t *find(uint64_t *places, size_t capacity, uint64_t hash) {
    size_t at = (size_t)hash & (capacity - 1);
    while (places[at] && places[at] != hash) at = (at + 1) & (capacity - 1);
    return &places[at];
}

static bool grow(seen_set *s) {
    size_t capacity = s->capacity * 2;
    uint64_t *places = calloc(capacity, sizeof *places);
    if (!places) return false;
    for (size_t i = 0; i < s->capacity; i++)
        if (s->places[i]) *find(places, capacity, s->places[i]) = s->places[i];
    free(s->places);
    s->places = places;
    s->capacity = capacity;
    return true;
}

bool seen_note(seen_set *s, const ingest_document *document, bool *before) {
    uint64_t hash = fingerprint(document);
    if (s->count + 1 > s->capacity / 4 * 3 && !grow(s)) return false;
    uint64_t *place = find(s->places, s->capacity, hash);
    *before = *place != 0;
    if (!*before) s->count++;
    *place = hash;
    return true;
}
