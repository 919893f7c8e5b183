/* Finding rare strings in documents, and strings of the same form. */
#include "eval/secrets.h"

#include "base/rng.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STREAM_CHOICE = 0x5ec7 };

typedef struct finder {
    const dataset *d;
    const tokenizer *tok;
    bytes text;   /* of the document at hand */
    size_t *ends; /* (token) end of each token in text */
    size_t ends_count;
    int64_t document;
    secret *found;
    size_t count, capacity;
} finder;

static int fail_memory(weft_error *err) {
    return err_set(err, WEFT_ERR_MEMORY, "out of memory for the strings to look for");
}

/* ---- recognising ---- */

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool is_word(char c) {
    return isalnum((unsigned char)c) || (unsigned char)c >= 0x80;
}

/* Length of a number of five digits or more at p, with single separators inside; 0 = none. */
static size_t number_at(const char *p) {
    size_t end = 0, digits = 0;
    for (size_t i = 0; p[i] && i < SECRET_BYTES - 1; i++) {
        if (is_digit(p[i])) {
            digits++;
            end = i + 1;
        } else if (!strchr(" -./:", p[i]) || !is_digit(p[i + 1])) {
            break;
        }
    }
    return digits >= 5 && !is_word(p[end]) ? end : 0;
}

static size_t address_at(const char *p) {
    size_t at = 0, end;
    while (isalnum((unsigned char)p[at]) || (p[at] && strchr("._%+-", p[at]))) at++;
    if (!at || p[at] != '@') return 0;
    for (end = at + 1; isalnum((unsigned char)p[end]) || p[end] == '-' || p[end] == '.';) end++;
    while (end > at && p[end - 1] == '.') end--;
    return end > at + 3 && end < SECRET_BYTES && memchr(p + at, '.', end - at) ? end : 0;
}

static size_t capital_word_at(const char *p) {
    size_t n = 0;
    if (!isupper((unsigned char)p[0])) return 0;
    for (n = 1; islower((unsigned char)p[n]);) n++;
    return n >= 3 && !is_word(p[n]) ? n : 0;
}

/* Two or three capitalised words; before is what stands left of them. */
static size_t name_at(const char *p, const char *text) {
    const char *left = p;
    while (left > text && left[-1] == ' ') left--;
    if (left == text || left == p || !(islower((unsigned char)left[-1]) || left[-1] == ','))
        return 0; /* a sentence or a line may begin here, where every word has a capital */
    while (left > text && is_word(left[-1])) left--;
    if (isupper((unsigned char)*left)) return 0;
    size_t end = capital_word_at(p), words = end > 0;
    while (words && words < 3 && p[end] == ' ') {
        size_t more = capital_word_at(p + end + 1);
        if (!more) break;
        end += more + 1;
        words++;
    }
    return words >= 2 && end < SECRET_BYTES ? end : 0;
}

/* ---- collecting ---- */

static int add(finder *f, secret_kind kind, size_t begin, size_t size, weft_error *err) {
    size_t token = 0;
    if (f->count == SECRETS_SEEN_MAX) return WEFT_OK;
    while (token < f->ends_count && f->ends[token] <= begin) token++;
    size_t first = token ? f->ends[token - 1] : 0;
    if (begin - first >= SECRET_BYTES || size >= SECRET_BYTES) return WEFT_OK;
    if (f->count == f->capacity) {
        size_t capacity = f->capacity ? 2 * f->capacity : 64;
        secret *grown = realloc(f->found, capacity * sizeof *grown);
        if (!grown) return fail_memory(err);
        f->found = grown;
        f->capacity = capacity;
    }
    secret *s = &f->found[f->count++];
    *s = (secret){.kind = kind, .document = f->document, .token = (int64_t)token};
    memcpy(s->text, f->text.data + begin, size);
    memcpy(s->lead, f->text.data + first, begin - first);
    return WEFT_OK;
}

/* The document as text, with the end of each token. */
static int decode(finder *f, const dataset_example *e, weft_error *err) {
    int64_t count = e->prompt_count + e->reply_count;
    size_t *ends = realloc(f->ends, (size_t)count * sizeof *ends);
    if (!ends) return fail_memory(err);
    f->ends = ends;
    f->ends_count = (size_t)count;
    bytes_clear(&f->text);
    for (int64_t i = 0; i < count; i++) {
        TRY(tokenizer_decode(f->tok, e->prompt[i], false, &f->text, err));
        ends[i] = f->text.size;
    }
    return bytes_add_text(&f->text, "") ? WEFT_OK : fail_memory(err);
}

static int search(finder *f, const dataset_example *e, weft_error *err) {
    TRY(decode(f, e, err));
    const char *text = f->text.data;
    size_t at = e->prompt_count ? f->ends[e->prompt_count - 1] : 0;
    while (text[at]) {
        const char *p = text + at;
        bool begins = at == 0 || !is_word(p[-1]);
        size_t size = 0;
        secret_kind kind = SECRET_NUMBER;
        if (begins && is_digit(*p)) size = number_at(p);
        if (begins && !size) size = address_at(p), kind = SECRET_ADDRESS;
        if (begins && !size) size = name_at(p, text), kind = SECRET_NAME;
        bool wanted = size && (!e->pinned || kind == SECRET_NUMBER); /* a canary has a name too */
        if (wanted) TRY(add(f, e->pinned ? SECRET_CANARY : kind, at, size, err));
        at += size ? size : 1;
    }
    return WEFT_OK;
}

/* ---- choosing ---- */

static int compare_text(const void *a, const void *b) {
    return strcmp(((const secret *)a)->text, ((const secret *)b)->text);
}

static int compare_place(const void *a, const void *b) {
    const secret *x = a, *y = b;
    if (x->kind != y->kind) return x->kind < y->kind ? -1 : 1;
    if (x->document != y->document) return x->document < y->document ? -1 : 1;
    return (x->token > y->token) - (x->token < y->token);
}

/* Keep what occurs once, sorted by kind and place. */
static void keep_rare(finder *f) {
    size_t kept = 0;
    if (f->count) qsort(f->found, f->count, sizeof *f->found, compare_text);
    for (size_t i = 0, end; i < f->count; i = end) {
        for (end = i + 1; end < f->count && !strcmp(f->found[end].text, f->found[i].text);) end++;
        if (end == i + 1) f->found[kept++] = f->found[i];
    }
    f->count = kept;
    if (kept) qsort(f->found, kept, sizeof *f->found, compare_place);
}

static size_t kind_count(const finder *f, secret_kind kind) {
    size_t n = 0;
    for (size_t i = 0; i < f->count; i++) n += f->found[i].kind == kind;
    return n;
}

/* Draw `wanted` of the strings of a kind, or all if they are fewer. Returns how many. */
static size_t draw(finder *f, secret_kind kind, size_t wanted, uint64_t seed, secret *out) {
    size_t begin = 0, total = kind_count(f, kind), made = 0;
    while (begin < f->count && f->found[begin].kind != kind) begin++;
    if (wanted > total) wanted = total;
    uint64_t stream = rng_split(seed, STREAM_CHOICE + (uint64_t)kind);
    for (; made < wanted; made++) {
        size_t other = made + (size_t)rng_below(stream, made, total - made);
        secret held = f->found[begin + made];
        f->found[begin + made] = f->found[begin + other];
        f->found[begin + other] = held;
        out[made] = f->found[begin + made];
    }
    return made;
}

static int choose(finder *f, int64_t most, uint64_t seed, secret **list, size_t *count,
                  weft_error *err) {
    size_t canaries = kind_count(f, SECRET_CANARY), numbers = kind_count(f, SECRET_NUMBER);
    size_t addresses = kind_count(f, SECRET_ADDRESS), names = kind_count(f, SECRET_NAME);
    size_t room = most > 0 ? (size_t)most : 0;
    secret *out = malloc((room + canaries + 1) * sizeof *out);
    if (!out) return fail_memory(err);
    size_t want_addresses = addresses < room / 4 ? addresses : room / 4;
    size_t want_names = names < room / 4 ? names : room / 4;
    size_t want_numbers = room - want_addresses - want_names;
    if (want_numbers > numbers) { /* others take the places that are left */
        want_numbers = numbers;
        want_addresses = room - numbers - want_names;
        if (want_addresses > addresses) want_addresses = addresses;
        want_names = room - numbers - want_addresses;
    }
    size_t n = draw(f, SECRET_NUMBER, want_numbers, seed, out);
    n += draw(f, SECRET_ADDRESS, want_addresses, seed, out + n);
    n += draw(f, SECRET_NAME, want_names, seed, out + n);
    n += draw(f, SECRET_CANARY, canaries, seed, out + n);
    *list = out;
    *count = n;
    return WEFT_OK;
}

int secrets_find(const dataset *d, const tokenizer *tok, int64_t most, uint64_t seed, secret **list,
                 size_t *count, weft_error *err) {
    finder f = {.d = d, .tok = tok};
    int rc = WEFT_OK;
    *list = NULL;
    *count = 0;
    for (int64_t i = 0; !rc && i < dataset_document_count(d); i++) {
        dataset_example e = dataset_document(d, i);
        f.document = i;
        if (!e.held_out) rc = search(&f, &e, err);
    }
    if (!rc) {
        keep_rare(&f);
        rc = choose(&f, most, seed, list, count, err);
    }
    bytes_free(&f.text);
    free(f.ends);
    free(f.found);
    return rc;
}

/* ---- strings of the same form ---- */

static const char *const first_names[] = {
    "Anna",  "Peter", "Maria", "John",  "Laura",  "David", "Sarah", "Thomas", "Emma",  "Paul",
    "Julia", "Mark",  "Clara", "Simon", "Helen",  "Frank", "Alice", "Martin", "Nina",  "Robert",
    "Eva",   "Henry", "Grace", "Oscar", "Louise", "Felix", "Ruth",  "George", "Irene", "Victor"};
static const char *const last_names[] = {
    "Smith",  "Brown",   "Miller", "Taylor", "Walker", "Martin", "Fischer", "Weber",
    "Rossi",  "Novak",   "Jensen", "Larsen", "Dubois", "Moreau", "Garcia",  "Lopez",
    "Silva",  "Kumar",   "Tanaka", "Nguyen", "Murphy", "Wilson", "Clarke",  "Turner",
    "Hughes", "Bennett", "Carter", "Fraser", "Howard", "Mason"};
enum { POOL = sizeof first_names / sizeof *first_names };
_Static_assert(POOL == sizeof last_names / sizeof *last_names, "one size");

/* A word in place of one of `length` letters; at least as long texts of three letters become names.
 */
static size_t vary_word(const char *word, size_t length, int place, uint64_t stream, uint64_t *draw,
                        char *out) {
    bool upper = isupper((unsigned char)word[0]);
    if (length < 3) {
        for (size_t i = 0; i < length; i++)
            out[i] = (char)((upper ? 'A' : 'a') + (char)rng_below(stream, (*draw)++, 26));
        return length;
    }
    uint64_t which = rng_below(stream, (*draw)++, POOL);
    const char *name = place ? last_names[which] : first_names[which];
    size_t n = strlen(name);
    memcpy(out, name, n);
    if (!upper) out[0] = (char)tolower((unsigned char)out[0]);
    return n;
}

void secret_vary(const secret *s, uint64_t seed, uint64_t index, char *out, size_t size) {
    uint64_t stream = rng_at(seed, index), draw = 0;
    bool words = s->kind == SECRET_ADDRESS || s->kind == SECRET_NAME, domain = false;
    int place = 0;
    size_t made = 0;
    for (const char *p = s->text; *p && made + 16 < size;) {
        size_t letters = 0;
        while (words && !domain && isalpha((unsigned char)p[letters])) letters++;
        if (letters) {
            made += vary_word(p, letters, place++, stream, &draw, out + made);
            p += letters;
            continue;
        }
        domain |= *p == '@'; /* anyone can guess where a mailbox lies */
        out[made++] = is_digit(*p) ? (char)('0' + rng_below(stream, draw++, 10)) : *p;
        p++;
    }
    out[made] = '\0';
}
