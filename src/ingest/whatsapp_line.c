/* Dates and times of WhatsApp exports, which follow the phone's language and country. */
#include "ingest/whatsapp_line.h"

#include <string.h>
#include <strings.h>

/* Marks of writing direction, and the spaces that are not plain ones. */
static const char *skip_marks(const char *s) {
    static const char *const marks[] = {"\xe2\x80\x8e", "\xe2\x80\x8f", "\xe2\x80\xaa",
                                        "\xe2\x80\xab", "\xe2\x80\xac"};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (!strncmp(s, marks[i], 3)) return skip_marks(s + 3);
    return s;
}

static const char *skip_spaces(const char *s) {
    for (;;) {
        if (*s == ' ')
            s++;
        else if (!strncmp(s, "\xc2\xa0", 2))
            s += 2;
        else if (!strncmp(s, "\xe2\x80\xaf", 3) || !strncmp(s, "\xe2\x80\x8e", 3))
            s += 3;
        else
            return s;
    }
}

/* A number of one to four digits; NULL if there is none. */
static const char *read_number(const char *s, int *value) {
    int digits = 0;
    for (*value = 0; *s >= '0' && *s <= '9' && digits < 5; s++, digits++)
        *value = *value * 10 + (*s - '0');
    return digits >= 1 && digits <= 4 ? s : NULL;
}

static bool is_separator(char c) {
    return c == '/' || c == '.' || c == '-';
}

static const char *read_date(const char *s, whatsapp_line *out) {
    if (!(s = read_number(s, &out->a)) || !is_separator(*s)) return NULL;
    char mark = *s++;
    s = skip_spaces(s);
    if (!(s = read_number(s, &out->b)) || *s++ != mark) return NULL;
    s = skip_spaces(s);
    if (!(s = read_number(s, &out->c))) return NULL;
    out->year_first = out->a > 31;
    return *s == '.' ? s + 1 : s;
}

/* What stands between date and time: ", ", " ", " um ", " à " ... */
static const char *skip_joint(const char *s) {
    static const char *const words[] = {"um ", "at ", "\xc3\xa0 ", "kl. ", "alle "};
    if (*s == ',') s++;
    s = skip_spaces(s);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strncmp(s, words[i], strlen(words[i]))) return skip_spaces(s + strlen(words[i]));
    return s;
}

/* "PM", "p.m.", "p. m."; the hour becomes one of 24. */
static const char *read_half(const char *s, whatsapp_line *out) {
    char half = *s | 32;
    if (half != 'a' && half != 'p') return NULL;
    s++;
    if (*s == '.') s = skip_spaces(s + 1);
    if ((*s | 32) != 'm') return NULL;
    if (*++s == '.') s++;
    out->twelve_hours = true;
    out->hour = out->hour % 12 + (half == 'p' ? 12 : 0);
    return s;
}

static const char *read_time(const char *s, whatsapp_line *out) {
    if (!(s = read_number(s, &out->hour)) || (*s != ':' && *s != '.')) return NULL;
    char mark = *s++;
    if (!(s = read_number(s, &out->minute))) return NULL;
    if (*s == mark && !(s = read_number(s + 1, &out->second))) return NULL;
    const char *half = read_half(skip_spaces(s), out);
    if (out->hour > 23 || out->minute > 59 || out->second > 60) return NULL;
    return half ? half : s;
}

static bool date_is_possible(const whatsapp_line *l) {
    int day = l->year_first ? l->c : l->a, month = l->b;
    if (!day || !month || day > 31 || month > 31) return false;
    return day <= 12 || month <= 12;
}

bool whatsapp_line_read(const char *line, whatsapp_line *out) {
    *out = (whatsapp_line){0};
    const char *s = skip_marks(line);
    bool bracket = *s == '[';
    if (!(s = read_date(s + bracket, out)) || !date_is_possible(out)) return false;
    if (!(s = read_time(skip_joint(s), out))) return false;
    s = skip_spaces(s);
    if (bracket) {
        if (*s++ != ']') return false;
    } else if (*s++ != '-' || *s != ' ') {
        return false;
    }
    out->rest = *s == ' ' ? s + 1 : s;
    return true;
}
