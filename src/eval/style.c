/* Style profiles and their distance. */
#include "eval/style.h"

#include "eval/statistics.h"

#include "base/rng.h"
#include "text/utf8.h"

#include <ctype.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define RESAMPLES 400
#define HALVINGS  50
#define WORD_MAX  16

enum { STREAM_BOOTSTRAP = 0xb0, STREAM_HALVES = 0xb1 };

/* The last bin of words is every other word. */
static const char *const function_words[] = {
    "a",     "about", "after", "all",    "also",   "am",    "an",    "and",  "any",   "are",
    "as",    "at",    "be",    "been",   "before", "but",   "by",    "can",  "could", "did",
    "do",    "don't", "down",  "for",    "from",   "get",   "go",    "had",  "has",   "have",
    "he",    "her",   "here",  "him",    "his",    "how",   "i",     "i'll", "i'm",   "if",
    "in",    "into",  "is",    "it",     "it's",   "just",  "let",   "like", "me",    "more",
    "my",    "no",    "not",   "now",    "of",     "on",    "one",   "only", "or",    "our",
    "out",   "over",  "she",   "should", "so",     "some",  "than",  "that", "the",   "their",
    "them",  "then",  "there", "they",   "this",   "to",    "up",    "us",   "very",  "was",
    "we",    "well",  "were",  "what",   "when",   "where", "which", "who",  "will",  "with",
    "would", "yes",   "you",   "your"};
enum { WORDS = sizeof function_words / sizeof *function_words };
_Static_assert(WORDS < STYLE_BINS_MAX, "a bin a word, and one for the rest");

enum {
    MARK_WORD, /* so that the marks' frequency counts, not only which they are */
    MARK_LINE,
    MARK_PARAGRAPH,
    MARK_QUOTE,
    MARK_DASH,
    MARK_ELLIPSIS,
    MARK_EMOJI,
    MARK_DIGITS,
    MARK_OTHER,
    MARK_ASCII, /* then . , ; : ! ? ( ) - > / */
};
static const char ascii_marks[] = ".,;:!?()->/";
enum { MARKS = MARK_ASCII + sizeof ascii_marks - 1 };

static const int sentence_ends[] = {3, 6, 9, 12, 16, 20, 26, 35}; /* words; more are one bin */
enum { SENTENCES = sizeof sentence_ends / sizeof *sentence_ends + 1 };

/* Small words, capitals inside a sentence, whole words of capitals, sentences that begin small. */
enum { CAPITAL_NONE, CAPITAL_WORD, CAPITAL_ALL, CAPITAL_START, CAPITAL_START_NONE, CAPITALS };

static const int bins[STYLE_GROUPS] = {WORDS + 1, MARKS, SENTENCES, CAPITALS};

/* ---- counting ---- */

typedef struct reader {
    style_profile *p;
    int words; /* of the sentence so far */
    bool start;
} reader;

static void count(reader *r, int group, int bin) {
    r->p->counts[group][bin]++;
}

static void end_sentence(reader *r) {
    int bin = 0;
    if (r->words) {
        while (bin < SENTENCES - 1 && r->words > sentence_ends[bin]) bin++;
        count(r, STYLE_SENTENCES, bin);
    }
    r->words = 0;
    r->start = true;
}

static bool is_letter(const char *p) {
    unsigned char c = (unsigned char)*p;
    if (isalpha(c)) return true;
    if (c < 0xc3 || c > 0xdf) return false; /* two bytes: Latin, Greek, Cyrillic, Hebrew, Arabic */
    return true;
}

/* Bytes of the word at p: letters, and apostrophes between letters. */
static size_t word_at(const char *p) {
    size_t n = 0;
    while (p[n]) {
        size_t quote = p[n] == '\'' ? 1 : !strncmp(p + n, "\xe2\x80\x99", 3) ? 3 : 0;
        if (n && quote && isalpha((unsigned char)p[n + quote])) {
            n += quote;
        } else if (is_letter(p + n)) {
            n += (unsigned char)p[n] < 0x80 || !p[n + 1] ? 1 : 2;
        } else {
            break;
        }
    }
    return n;
}

static void count_word(reader *r, const char *p, size_t size) {
    char word[WORD_MAX];
    size_t n = 0, capitals = 0, letters = 0;
    for (size_t i = 0; i < size; i++) {
        letters += isalpha((unsigned char)p[i]) != 0;
        capitals += isupper((unsigned char)p[i]) != 0;
        if (n + 1 < sizeof word && (unsigned char)p[i] < 0x80)
            word[n++] = (char)tolower((unsigned char)p[i]);
        else if (n + 1 < sizeof word && (unsigned char)p[i] == 0xe2)
            word[n++] = '\'';
    }
    word[n] = '\0';
    int bin = 0;
    while (bin < WORDS && strcmp(word, function_words[bin]) != 0) bin++;
    count(r, STYLE_WORDS, bin);
    count(r, STYLE_MARKS, MARK_WORD);
    bool upper = isupper((unsigned char)*p);
    int capital = capitals > 1 && capitals == letters ? CAPITAL_ALL
                  : r->start                          ? upper ? CAPITAL_START : CAPITAL_START_NONE
                  : upper && strcmp(word, "i") != 0   ? CAPITAL_WORD
                                                      : CAPITAL_NONE;
    count(r, STYLE_CAPITALS, capital);
    r->words++;
    r->start = false;
}

/* Count what is no word at p; returns its bytes. */
static size_t count_mark(reader *r, const char *p) {
    const char *mark = strchr(ascii_marks, *p);
    size_t n = 1;
    int length;
    if (!strncmp(p, "...", 3)) {
        count(r, STYLE_MARKS, MARK_ELLIPSIS);
        end_sentence(r);
        return strspn(p, ".");
    }
    if (*p == '\n') {
        n = strspn(p, "\n ");
        count(r, STYLE_MARKS, memchr(p + 1, '\n', n - 1) ? MARK_PARAGRAPH : MARK_LINE);
        end_sentence(r);
        return n;
    }
    if (isdigit((unsigned char)*p)) {
        count(r, STYLE_MARKS, MARK_DIGITS);
        return strspn(p, "0123456789");
    }
    if (mark) {
        count(r, STYLE_MARKS, MARK_ASCII + (int)(mark - ascii_marks));
        if (strchr(".!?", *p)) end_sentence(r);
        return 1;
    }
    if ((unsigned char)*p < 0x80) {
        if (*p == '"')
            count(r, STYLE_MARKS, MARK_QUOTE);
        else if (!isspace((unsigned char)*p))
            count(r, STYLE_MARKS, MARK_OTHER);
        return 1;
    }
    length = utf8_check(p, strnlen(p, 4));
    if (length < 1) return length < 0 ? (size_t)-length : 1;
    uint32_t c = utf8_read(p, length);
    bool emoji = (c >= 0x1f000 && c < 0x20000) || (c >= 0x2600 && c < 0x27c0);
    count(r, STYLE_MARKS,
          emoji                        ? MARK_EMOJI
          : c == 0x2026                ? MARK_ELLIPSIS
          : c == 0x2013 || c == 0x2014 ? MARK_DASH
          : c >= 0x2018 && c <= 0x201f ? MARK_QUOTE
                                       : MARK_OTHER);
    return (size_t)length;
}

void style_count(const char *text, style_profile *p) {
    reader r = {.p = p, .start = true};
    *p = (style_profile){0};
    while (*text) {
        size_t n = word_at(text);
        if (n)
            count_word(&r, text, n);
        else
            n = count_mark(&r, text);
        text += n;
    }
    end_sentence(&r);
}

void style_add(style_profile *sum, const style_profile *p) {
    for (int g = 0; g < STYLE_GROUPS; g++)
        for (int i = 0; i < bins[g]; i++) sum->counts[g][i] += p->counts[g][i];
}

/* ---- distance ---- */

static double group_distance(const uint32_t *a, const uint32_t *b, int n) {
    double a_sum = 0, b_sum = 0, divergence = 0;
    for (int i = 0; i < n; i++) a_sum += a[i] + 0.5, b_sum += b[i] + 0.5;
    for (int i = 0; i < n; i++) {
        double p = (a[i] + 0.5) / a_sum, q = (b[i] + 0.5) / b_sum, m = (p + q) / 2;
        divergence += (p * log2(p / m) + q * log2(q / m)) / 2;
    }
    return sqrt(fmax(0, divergence));
}

style_distance style_compare(const style_profile *a, const style_profile *b) {
    style_distance d = {.mean = 0};
    for (int g = 0; g < STYLE_GROUPS; g++) {
        d.groups[g] = group_distance(a->counts[g], b->counts[g], bins[g]);
        d.mean += d.groups[g] / STYLE_GROUPS;
    }
    return d;
}

static style_profile sum_all(const style_profile *list, size_t count) {
    style_profile sum = {0};
    for (size_t i = 0; i < count; i++) style_add(&sum, &list[i]);
    return sum;
}

static style_profile resample(const style_profile *list, size_t n, uint64_t stream) {
    style_profile sum = {0};
    for (size_t i = 0; i < n; i++) style_add(&sum, &list[rng_below(stream, i, n)]);
    return sum;
}

int style_measure(const style_profile *a, size_t a_count, const style_profile *b, size_t b_count,
                  uint64_t seed, style_result *out, weft_error *err) {
    double means[RESAMPLES];
    *out = (style_result){.low = NAN, .high = NAN};
    if (!a_count || !b_count)
        return err_set(err, WEFT_ERR_ARGUMENT, "there are no texts to compare");
    style_profile one = sum_all(a, a_count), other = sum_all(b, b_count);
    out->distance = style_compare(&one, &other);
    uint64_t stream = rng_split(seed, STREAM_BOOTSTRAP);
    for (uint64_t i = 0; i < RESAMPLES; i++) {
        one = resample(a, a_count, rng_at(stream, 2 * i));
        other = resample(b, b_count, rng_at(stream, 2 * i + 1));
        means[i] = style_compare(&one, &other).mean;
    }
    out->low = quantile(means, RESAMPLES, 0.025);
    out->high = quantile(means, RESAMPLES, 0.975);
    return WEFT_OK;
}

double style_floor(const style_profile *list, size_t n, uint64_t seed) {
    double sum = 0;
    uint64_t stream = rng_split(seed, STREAM_HALVES);
    if (n < 2) return NAN;
    for (uint64_t round = 0; round < HALVINGS; round++) {
        style_profile halves[2] = {{{{0}}}};
        uint64_t draws = rng_at(stream, round);
        size_t left = n / 2;
        for (size_t i = 0; i < n; i++) { /* the first half is drawn without replacement */
            bool first = rng_below(draws, i, n - i) < left;
            left -= first;
            style_add(&halves[!first], &list[i]);
        }
        sum += style_compare(&halves[0], &halves[1]).mean;
    }
    return sum / HALVINGS;
}
