/* Finding private matters: each finder says how many bytes at a place belong to one. */
#include "ingest/redact.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

enum { KEY, PASSWORD, CARD, IBAN, PHONE, EMAIL };
_Static_assert(EMAIL + 1 == INGEST_REDACTIONS, "a name for each kind");

const char *ingest_redaction_name(size_t kind) {
    static const char *const names[INGEST_REDACTIONS] = {"key",  "password", "card",
                                                         "iban", "phone",    "email"};
    return kind < INGEST_REDACTIONS ? names[kind] : "";
}

#define UPPER  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"
#define ALNUM  UPPER "abcdefghijklmnopqrstuvwxyz" DIGITS
#define TOKEN  ALNUM "_-"

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool is_word(char c) {
    return isalnum((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

/* ---- keys ---- */

static size_t find_key_block(const char *s) {
    if (strncmp(s, "-----BEGIN ", 11)) return 0;
    size_t line = strcspn(s, "\n");
    const char *title = strstr(s, "PRIVATE KEY-----");
    if (!title || (size_t)(title - s) > line) return 0;
    const char *end = strstr(title, "-----END ");
    const char *close = end ? strstr(end + 9, "-----") : NULL;
    return close ? (size_t)(close + 5 - s) : strlen(s);
}

/* "eyJ...": three runs parted by points, of which the first two begin so. */
static size_t find_web_token(const char *s) {
    if (strncmp(s, "eyJ", 3)) return 0;
    size_t first = strspn(s, TOKEN);
    if (strncmp(s + first, ".eyJ", 4)) return 0;
    size_t second = strspn(s + first + 1, TOKEN), at = first + 1 + second;
    if (s[at] != '.') return 0;
    size_t third = strspn(s + at + 1, TOKEN);
    return third >= 16 ? at + 1 + third : 0;
}

/* The forms in which well-known services write their keys. */
static size_t find_key(const char *s) {
    static const struct {
        const char *begin, *letters;
        size_t least, most; /* bytes behind the beginning */
    } forms[] = {{"sk-", TOKEN, 20, 300},        {"sk_live_", ALNUM, 16, 300},
                 {"sk_test_", ALNUM, 16, 300},   {"rk_live_", ALNUM, 16, 300},
                 {"ghp_", ALNUM, 36, 255},       {"gho_", ALNUM, 36, 255},
                 {"ghu_", ALNUM, 36, 255},       {"ghs_", ALNUM, 36, 255},
                 {"ghr_", ALNUM, 36, 255},       {"github_pat_", TOKEN, 22, 255},
                 {"glpat-", TOKEN, 20, 255},     {"xoxb-", TOKEN, 10, 255},
                 {"xoxp-", TOKEN, 10, 255},      {"xoxa-", TOKEN, 10, 255},
                 {"xoxr-", TOKEN, 10, 255},      {"xoxs-", TOKEN, 10, 255},
                 {"AKIA", UPPER DIGITS, 16, 16}, {"ASIA", UPPER DIGITS, 16, 16},
                 {"AIza", TOKEN, 35, 35},        {"ya29.", TOKEN, 20, 2048},
                 {"hf_", ALNUM, 30, 255},        {"npm_", ALNUM, 36, 36},
                 {"pypi-", TOKEN, 50, 2048},     {"SG.", TOKEN ".", 60, 80},
                 {"dop_v1_", ALNUM, 64, 64},     {"shpat_", ALNUM, 32, 32}};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        size_t begin = strlen(forms[i].begin);
        if (strncmp(s, forms[i].begin, begin)) continue;
        size_t size = strspn(s + begin, forms[i].letters);
        if (size < forms[i].least || size > forms[i].most) continue;
        if (memchr(s + begin, '_', size) || strpbrk(s + begin, DIGITS) < s + begin + size)
            return begin + size;
    }
    size_t block = find_key_block(s);
    return block ? block : find_web_token(s);
}

/* ---- passwords ---- */

/* Bytes of "password: " before the secret; 0 if none begins here. */
static size_t password_label(const char *s) {
    static const char *const labels[] = {"password", "passwort", "passphrase", "passwd",
                                         "passcode", "kennwort", "pwd",        "mot de passe"};
    for (size_t i = 0; i < sizeof labels / sizeof *labels; i++) {
        size_t at = strlen(labels[i]);
        if (strncasecmp(s, labels[i], at)) continue;
        at += strspn(s + at, " ");
        if (s[at] != ':' && s[at] != '=') continue;
        at++;
        return at + strspn(s + at, " \t");
    }
    return 0;
}

/* ---- numbers with check digits ---- */

/* Digits of a number with single spaces or dashes between; *size is how far it goes. */
static size_t take_digits(const char *s, const char *between, char *digits, size_t most,
                          size_t *size) {
    size_t count = 0, at = 0;
    for (*size = 0; count <= most;) {
        if (is_digit(s[at])) {
            if (count < most) digits[count] = s[at];
            count++;
            *size = ++at;
        } else if (count && s[at] && strchr(between, s[at]) && is_digit(s[at + 1])) {
            at++;
        } else {
            break;
        }
    }
    return count;
}

static bool luhn(const char *digits, size_t count) {
    int sum = 0;
    for (size_t i = 0; i < count; i++) {
        int d = digits[count - 1 - i] - '0';
        if (i % 2) d = d * 2 > 9 ? d * 2 - 9 : d * 2;
        sum += d;
    }
    return sum % 10 == 0;
}

/* Groups of four, or 4-6-5, or one run. */
static bool card_groups(const char *s, size_t size) {
    if (strspn(s, DIGITS) == size) return true;
    for (size_t at = 0; at < size;) {
        size_t run = strspn(s + at, DIGITS);
        bool last = at + run >= size;
        if (run > 6 || (!last && run < 4)) return false;
        at += run + 1;
    }
    return true;
}

static size_t find_card(const char *s) {
    char digits[20];
    size_t size, count = take_digits(s, " -", digits, 19, &size);
    if (count < 13 || count > 19 || digits[0] < '2' || digits[0] > '6') return 0;
    if (is_word(s[size]) || (s[size] == '.' && is_digit(s[size + 1]))) return 0;
    return card_groups(s, size) && luhn(digits, count) ? size : 0;
}

static size_t iban_length(const char *country) {
    static const char lengths[] =
        "AD24AE23AL28AT20AZ28BA20BE16BG22BH22BR29CH21CR22CY28CZ24DE22DK18DO28EE20ES24FI18FO18FR27"
        "GB22GE22GI23GL18GR27GT28HR21HU28IE22IL23IS26IT27JO30KW30KZ20LB28LI21LT20LU20LV21MC27MD24"
        "ME22MK19MR27MT31MU30NL18NO15PK24PL28PS29PT25QA29RO24RS22SA24SE24SI19SK24SM27TN24TR26UA29"
        "VA22VG24XK20";
    for (const char *at = lengths; *at; at += 4)
        if (at[0] == country[0] && at[1] == country[1])
            return (size_t)(at[2] - '0') * 10 + (size_t)(at[3] - '0');
    return 0;
}

static unsigned value_of(char c) {
    return is_digit(c) ? (unsigned)(c - '0') : (unsigned)(toupper((unsigned char)c) - 'A') + 10;
}

static unsigned append_mod97(unsigned rest, char c) {
    unsigned v = value_of(c);
    return (rest * (v > 9 ? 100 : 10) + v) % 97;
}

static size_t find_iban(const char *s) {
    char code[40];
    if (!isupper((unsigned char)s[0]) || !isupper((unsigned char)s[1]) || !is_digit(s[2])) return 0;
    size_t length = iban_length(s), at = 0, count = 0;
    while (length && count < length) {
        if (s[at] == ' ' && count) at++;
        if (!isalnum((unsigned char)s[at])) return 0;
        code[count++] = s[at++];
    }
    if (!length || is_word(s[at])) return 0;
    unsigned rest = 0;
    for (size_t i = 4; i < count; i++) rest = append_mod97(rest, code[i]);
    for (size_t i = 0; i < 4; i++) rest = append_mod97(rest, code[i]);
    return rest == 1 ? at : 0;
}

/* ---- telephone numbers ---- */

#define GROUPS_MAX 8

/* Runs of digits with one separator between; a bracket may close the first. */
typedef struct groups {
    size_t sizes[GROUPS_MAX], count, digits, bytes;
    bool dotted;
} groups;

static groups take_groups(const char *s) {
    groups g = {0};
    size_t at = *s == '(';
    while (g.count < GROUPS_MAX) {
        size_t run = strspn(s + at, DIGITS);
        if (!run || run > 15) break;
        g.sizes[g.count++] = run;
        g.digits += run;
        g.bytes = at += run;
        if (s[at] == '.') g.dotted = true;
        if (s[at] == ')')
            at += 1 + (s[at + 1] == ' ' || s[at + 1] == '-');
        else if (s[at] && strchr(" -./", s[at]))
            at++;
        if (at == g.bytes) break;
        if (s[at] == '(' && is_digit(s[at + 1])) at++;
    }
    return g;
}

/* "+44 20 7946 0958", "+1 (555) 123-4567" */
static size_t find_international(const char *s) {
    if (*s != '+' || !is_digit(s[1])) return 0;
    groups g = take_groups(s + 1);
    bool one = g.count == 1 && g.digits < 10;
    return g.digits >= 8 && g.digits <= 15 && !one && !is_word(s[1 + g.bytes]) ? 1 + g.bytes : 0;
}

static size_t find_phone(const char *s) {
    if (*s == '+') return find_international(s);
    if (*s != '(' && !is_digit(*s)) return 0;
    groups g = take_groups(s);
    char after = s[g.bytes];
    if (is_word(after) || g.count < 2 || (*s == '(' && s[g.sizes[0] + 1] != ')')) return 0;
    char first = s[*s == '('];
    bool american = g.count == 3 && g.sizes[0] == 3 && g.sizes[1] == 3 && g.sizes[2] == 4;
    if (american && first >= '2') return g.bytes;
    bool pairs = g.count == 5;
    for (size_t i = 0; i < g.count; i++) pairs = pairs && g.sizes[i] == 2;
    if (pairs && first == '0') return g.bytes;
    bool national = first == '0' && g.sizes[0] >= 3 && g.sizes[0] <= 6 && g.count <= 4;
    return national && !g.dotted && g.digits >= 9 && g.digits <= 12 ? g.bytes : 0;
}

/* ---- mail addresses ---- */

static size_t find_email(const char *s) {
    size_t local = strspn(s, ALNUM "._%+-");
    if (!local || local > 64 || s[local] != '@' || *s == '.') return 0;
    const char *domain = s + local + 1;
    size_t size = strspn(domain, ALNUM ".-");
    while (size && !isalnum((unsigned char)domain[size - 1])) size--;
    size_t last = size;
    while (last && domain[last - 1] != '.') last--;
    if (last < 2 || size - last < 2) return 0;
    return strspn(domain + last, UPPER "abcdefghijklmnopqrstuvwxyz") >= size - last
               ? local + 1 + size
               : 0;
}

/* ---- the text ---- */

static size_t find(const char *s, size_t *kind) {
    static size_t (*const finders[])(const char *) = {find_key,  NULL,       find_card,
                                                      find_iban, find_phone, find_email};
    for (size_t i = 0; i < INGEST_REDACTIONS; i++) {
        size_t size = finders[i] ? finders[i](s) : 0;
        if (!size) continue;
        *kind = i;
        return size;
    }
    return 0;
}

/* Whether something may begin here: not within a word, nor within a number with points in it. */
static bool may_begin(const char *text, const char *s) {
    if (s == text) return true;
    if (is_word(s[-1])) return false;
    bool joined = strchr(" .-/,:#@+", s[-1]) && s - text > 1 && is_digit(s[-2]);
    return !(is_digit(*s) && (joined || s[-1] == '#'));
}

static bool replace(bytes *out, size_t kind, uint64_t *counts) {
    counts[kind]++;
    return bytes_printf(out, "[%s]", ingest_redaction_name(kind));
}

bool redact_text(const char *text, bytes *out, uint64_t *counts) {
    const char *s = text;
    while (*s) {
        size_t kind, size = may_begin(text, s) ? find(s, &kind) : 0;
        size_t label = !size && may_begin(text, s) ? password_label(s) : 0;
        size_t secret = label ? strcspn(s + label, " \t\n") : 0;
        if (size) {
            if (!replace(out, kind, counts)) return false;
            s += size;
        } else if (secret) {
            if (!bytes_add(out, s, label) || !replace(out, PASSWORD, counts)) return false;
            s += label + secret;
        } else if (!bytes_add_char(out, *s++)) {
            return false;
        }
    }
    return bytes_add(out, "", 0);
}
