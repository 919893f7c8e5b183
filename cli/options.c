/* The option parser, its help and its error messages. */
#include "options.h"

#include "report.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HELP_COLUMN 26
#define HELP_WIDTH  96
#define WORD_MAX    40

/* ---- values ---- */

static void *place(void *settings, const option_spec *o) {
    return (char *)settings + o->offset;
}

static const void *place_const(const void *settings, const option_spec *o) {
    return (const char *)settings + o->offset;
}

static bool set_whole(const option_spec *o, const char *text, int64_t *value, char why[256]) {
    char *end;
    errno = 0;
    const char *digits = *text == '-' || *text == '+' ? text + 1 : text;
    bool hex = digits[0] == '0' && (digits[1] == 'x' || digits[1] == 'X');
    long long v = strtoll(text, &end, hex ? 16 : 10);
    if (end != text && !*end && !errno && (double)v >= o->low && (double)v <= o->high) {
        *value = v;
        return true;
    }
    snprintf(why, 256, "is '%.40s'; it must be a whole number from %.0f to %.0f", text, o->low,
             o->high);
    return false;
}

static bool set_number(const option_spec *o, const char *text, double *value, char why[256]) {
    char *end;
    double v = strtod(text, &end);
    /* Written so that NaN falls through. */
    if (end != text && !*end && v >= o->low && v <= o->high) {
        *value = v;
        return true;
    }
    snprintf(why, 256, "is '%.40s'; it must be a number from %g to %g", text, o->low, o->high);
    return false;
}

static bool set_size(const char *text, uint64_t *value, char why[256]) {
    static const char units[] = "KMGT";
    char *end;
    double v = strtod(text, &end);
    const char *unit = *end ? strchr(units, *end & ~0x20) : NULL;
    if (end != text && unit) {
        v *= (double)(UINT64_C(1) << (10 * (unit - units + 1)));
        end++;
        if (*end == 'i') end++;
    }
    if (end != text && (*end == 'B' || *end == 'b')) end++;
    if (end != text && !*end && v >= 0 && v <= 0x1p60) {
        *value = (uint64_t)v;
        return true;
    }
    snprintf(why, 256, "is '%.40s'; it must be a size such as 128M or 2G", text);
    return false;
}

/* Text of choice `index` of "one|two|three" in word; false past the last. */
static bool choice_at(const char *names, int index, char word[WORD_MAX]) {
    for (; index > 0; index--) {
        names = strchr(names, '|');
        if (!names) return false;
        names++;
    }
    snprintf(word, WORD_MAX, "%.*s", (int)strcspn(names, "|"), names);
    return true;
}

static bool set_choice(const option_spec *o, const char *text, int *value, char why[256]) {
    char word[WORD_MAX];
    for (int i = 0; choice_at(o->value, i, word); i++) {
        if (strcmp(word, text) != 0) continue;
        *value = i;
        return true;
    }
    snprintf(why, 256, "is '%.40s'; it must be one of %s", text, o->value);
    return false;
}

static bool add_item(const char *text, option_list *list, char why[256]) {
    if (list->count == OPTION_LIST_MAX) {
        snprintf(why, 256, "is given more than %d times", OPTION_LIST_MAX);
        return false;
    }
    list->items[list->count++] = text;
    return true;
}

bool option_set(const option_spec *o, const char *text, void *settings, char why[256]) {
    void *value = place(settings, o);
    switch (o->kind) {
    case OPTION_HEADING:
        return false;
    case OPTION_FLAG:
        *(bool *)value = strcmp(text, "false") != 0;
        return true;
    case OPTION_TEXT:
        *(const char **)value = text;
        return true;
    case OPTION_WHOLE:
        return set_whole(o, text, value, why);
    case OPTION_NUMBER:
        return set_number(o, text, value, why);
    case OPTION_SIZE:
        return set_size(text, value, why);
    case OPTION_CHOICE:
        return set_choice(o, text, value, why);
    case OPTION_LIST:
        return add_item(text, value, why);
    }
    return false;
}

bool option_text(const option_spec *o, const void *settings, char *text, size_t size) {
    const void *value = place_const(settings, o);
    char word[WORD_MAX];
    switch (o->kind) {
    case OPTION_HEADING:
    case OPTION_LIST:
        return false;
    case OPTION_FLAG:
        snprintf(text, size, "%s", *(const bool *)value ? "true" : "false");
        break;
    case OPTION_TEXT:
        if (!*(const char *const *)value) return false;
        snprintf(text, size, "%s", *(const char *const *)value);
        break;
    case OPTION_WHOLE:
        snprintf(text, size, "%lld", (long long)*(const int64_t *)value);
        break;
    case OPTION_NUMBER:
        snprintf(text, size, "%.17g", *(const double *)value);
        break;
    case OPTION_SIZE:
        snprintf(text, size, "%llu", (unsigned long long)*(const uint64_t *)value);
        break;
    case OPTION_CHOICE:
        if (!choice_at(o->value, *(const int *)value, word)) return false;
        snprintf(text, size, "%s", word);
        break;
    }
    return true;
}

/* ---- suggestions ---- */

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Levenshtein's distance, one row at a time. */
static size_t distance(const char *a, const char *b) {
    size_t row[WORD_MAX + 1], n = strlen(b);
    if (n > WORD_MAX) return SIZE_MAX;
    for (size_t k = 0; k <= n; k++) row[k] = k;
    for (size_t i = 0; a[i]; i++) {
        size_t corner = row[0];
        row[0] = i + 1;
        for (size_t k = 0; k < n; k++) {
            size_t above = row[k + 1], change = corner + (a[i] != b[k]);
            row[k + 1] = smaller(change, smaller(above, row[k]) + 1);
            corner = above;
        }
    }
    return row[n];
}

const char *options_nearest(const char *word, const char *const *candidates, size_t count) {
    const char *best = NULL;
    size_t best_distance = 4;
    for (size_t i = 0; i < count; i++) {
        size_t d = distance(word, candidates[i]);
        if (d >= best_distance || d >= strlen(candidates[i])) continue;
        best_distance = d;
        best = candidates[i];
    }
    return best;
}

/* ---- help ---- */

static void print_wrapped(const char *text, int column) {
    while (*text) {
        size_t n = strcspn(text, " ");
        if (column + (int)n + 1 > HELP_WIDTH) {
            printf("\n%*s", HELP_COLUMN - 1, "");
            column = HELP_COLUMN - 1;
        }
        printf(" %.*s", (int)n, text);
        column += (int)n + 1;
        text += n;
        text += strspn(text, " ");
    }
    printf("\n");
}

static void print_option(const option_spec *o, const void *defaults) {
    char left[80], value[64], line[512];
    if (o->kind == OPTION_HEADING) {
        printf("\n%s\n", o->help);
        return;
    }
    int n = snprintf(left, sizeof left, "  %c%c --%s%s%s", o->letter ? '-' : ' ',
                     o->letter ? o->letter : ' ', o->name, o->value ? " " : "",
                     o->value ? o->value : "");
    printf("%-*s", HELP_COLUMN - 1, left);
    if (n >= HELP_COLUMN - 1) {
        printf("\n%*s", HELP_COLUMN - 1, "");
        n = HELP_COLUMN - 1;
    }
    bool shown =
        o->kind == OPTION_NUMBER
            ? snprintf(value, sizeof value, "%g", *(const double *)place_const(defaults, o))
            : o->kind != OPTION_FLAG && option_text(o, defaults, value, sizeof value);
    if (o->kind == OPTION_SIZE && shown && !strcmp(value, "0")) shown = false;
    snprintf(line, sizeof line, shown ? "%s (default %s)" : "%s", o->help, value);
    print_wrapped(line, HELP_COLUMN - 1);
}

static void print_help(const command_spec *c, const void *defaults) {
    printf("usage: weft %s %s\n\n%s\n", c->name, c->arguments, c->summary);
    for (size_t i = 0; i < c->option_count; i++) print_option(&c->options[i], defaults);
    printf("%-*s show this\n", HELP_COLUMN - 1, "  -h --help");
}

/* ---- parsing ---- */

static option_outcome wrong(const command_spec *c) {
    fprintf(stderr, "weft %s --help lists what it takes\n", c->name);
    return OPTIONS_WRONG;
}

static option_outcome unknown(const command_spec *c, const char *given, size_t length) {
    const char *names[128];
    char word[WORD_MAX + 1];
    size_t count = 0;
    for (size_t i = 0; i < c->option_count && count < 128; i++)
        if (c->options[i].name) names[count++] = c->options[i].name;
    snprintf(word, sizeof word, "%.*s", (int)smaller(length, WORD_MAX), given);
    const char *near = options_nearest(word, names, count);
    report_error("%s: there is no option --%s%s%s%s", c->name, word,
                 near ? "; did you mean --" : "", near ? near : "", near ? "?" : "");
    return wrong(c);
}

static const option_spec *find(const command_spec *c, const char *name, size_t length,
                               char letter) {
    for (size_t i = 0; i < c->option_count; i++) {
        const option_spec *o = &c->options[i];
        if (!o->name) continue;
        if (letter ? o->letter == letter
                   : strlen(o->name) == length && !strncmp(o->name, name, length))
            return o;
    }
    return NULL;
}

/* One option at argv[*at], with its value there or in the next argument. */
static option_outcome parse_option(const command_spec *c, int argc, char **argv, int *at,
                                   void *settings) {
    const char *text = argv[*at];
    bool is_long = text[1] == '-';
    const char *name = text + (is_long ? 2 : 1);
    size_t length = is_long ? strcspn(name, "=") : 1;
    const option_spec *o = find(c, name, length, is_long ? 0 : *name);
    const char *value = name[length] ? name + length + (is_long ? 1 : 0) : NULL;
    char why[256] = "";
    if (!o) return unknown(c, name, is_long ? length : strlen(name));
    if (o->kind == OPTION_FLAG) {
        if (value) {
            report_error("%s: --%s takes no value", c->name, o->name);
            return wrong(c);
        }
        value = "true";
    } else if (!value) {
        if (*at + 1 >= argc) {
            report_error("%s: --%s needs a value (%s)", c->name, o->name, o->value);
            return wrong(c);
        }
        value = argv[++*at];
    }
    if (option_set(o, value, settings, why)) return OPTIONS_GO;
    report_error("%s: --%s %s", c->name, o->name, why);
    return wrong(c);
}

option_outcome options_parse(const command_spec *c, int argc, char **argv, void *settings,
                             const char **arguments) {
    size_t given = 0;
    bool options_end = false;
    for (size_t i = 0; i < c->argument_max; i++) arguments[i] = NULL;
    for (int i = 0; i < argc; i++)
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
            print_help(c, settings);
            return OPTIONS_HELP;
        }
    for (int i = 0; i < argc; i++) {
        if (!options_end && !strcmp(argv[i], "--")) {
            options_end = true;
        } else if (!options_end && argv[i][0] == '-' && argv[i][1]) {
            option_outcome outcome = parse_option(c, argc, argv, &i, settings);
            if (outcome != OPTIONS_GO) return outcome;
        } else if (given == c->argument_max) {
            report_error("%s: '%s' is one argument too many", c->name, argv[i]);
            return wrong(c);
        } else {
            arguments[given++] = argv[i];
        }
    }
    return OPTIONS_GO;
}
