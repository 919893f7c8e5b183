/* The lexer. Line statements and other delimiters than {{ {% {# do not exist here. */
#include "text/jinja_lex.h"
#include "text/jinja_value.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int jinja_lex_init(jinja_lexer *l, arena *memory, const char *source, size_t size,
                   weft_error *err) {
    *l = (jinja_lexer){.memory = memory, .err = err, .line = 1, .line_starting = true};
    char *copy = arena_alloc(memory, size + 1, 1, err);
    if (!copy) return err->code;
    size_t n = 0;
    for (size_t i = 0; i < size; i++) {
        if (source[i] == '\r' && i + 1 < size && source[i + 1] == '\n') continue;
        copy[n++] = source[i] == '\r' ? '\n' : source[i];
    }
    if (n && copy[n - 1] == '\n') n--;
    copy[n] = 0;
    l->source = copy;
    l->size = n;
    return 0;
}

/* Tokens come in order, so lines are counted from the last place asked for. */
static void locate(jinja_lexer *l, size_t at, jinja_token *t) {
    for (; l->located < at; l->located++) {
        if (l->source[l->located] != '\n') continue;
        l->line++;
        l->line_begin = l->located + 1;
    }
    t->line = l->line;
    t->column = (uint32_t)(at - l->line_begin + 1);
}

static int fail_at(jinja_lexer *l, size_t at, const char *what) {
    jinja_token t;
    locate(l, at, &t);
    return err_set_at(l->err, WEFT_ERR_FORMAT, t.line, "chat template, line %u, column %u: %s",
                      t.line, t.column, what);
}

static bool starts(const jinja_lexer *l, size_t at, const char *text) {
    size_t n = strlen(text);
    return at <= l->size && l->size - at >= n && !memcmp(l->source + at, text, n);
}

/* Where the text before a tag ends, once the tag's sign and lstrip_blocks have had their say. */
static size_t text_end(const jinja_lexer *l, size_t begin, size_t tag, char sign, bool is_block) {
    if (sign == '-') return jinja_trim_space(l->source, begin, tag);
    if (sign == '+' || !is_block) return tag;
    size_t line = tag;
    while (line > begin && l->source[line - 1] != '\n') line--;
    bool whole_line = line > begin || l->line_starting;
    return whole_line && jinja_skip_space(l->source, line, tag) == tag ? line : tag;
}

/* Step over the end of a tag at `at` and what trim_blocks or '-' removes after it. */
static void leave_tag(jinja_lexer *l, size_t at, bool is_block) {
    char sign = l->source[at];
    at += sign == '-' || sign == '+' ? 3 : 2;
    if (sign == '-')
        at = jinja_skip_space(l->source, at, l->size);
    else if (sign != '+' && is_block && at < l->size && l->source[at] == '\n')
        at++;
    l->at = at;
    l->line_starting = l->source[at - 1] == '\n';
}

static int skip_comment(jinja_lexer *l, size_t tag) {
    const char *end = tag + 2 <= l->size ? strstr(l->source + tag + 2, "#}") : NULL;
    if (!end) return fail_at(l, tag, "this comment has no end (#})");
    size_t at = (size_t)(end - l->source);
    if (at > tag + 2 && (end[-1] == '-' || end[-1] == '+')) at--;
    leave_tag(l, at, true);
    return 0;
}

/* Is there {% WORD %} at `at`? Gives the position of its end mark and its sign. */
static bool is_word_tag(const jinja_lexer *l, size_t at, const char *word, size_t *end,
                        char *sign) {
    if (!starts(l, at, "{%")) return false;
    at += 2;
    *sign = l->source[at];
    if (*sign == '-' || *sign == '+') at++;
    at = jinja_skip_space(l->source, at, l->size);
    if (!starts(l, at, word)) return false;
    at = jinja_skip_space(l->source, at + strlen(word), l->size);
    *end = at;
    return starts(l, at, "%}") || starts(l, at, "-%}") || starts(l, at, "+%}");
}

static int emit_text(jinja_lexer *l, size_t begin, size_t end, jinja_token *t) {
    locate(l, begin, t);
    t->kind = TOKEN_TEXT;
    t->data = l->source + begin;
    t->size = end - begin;
    return 0;
}

static int next_raw(jinja_lexer *l, jinja_token *t) {
    size_t begin = l->at, end = 0;
    char sign = 0;
    for (size_t tag = begin; tag < l->size; tag++) {
        if (!is_word_tag(l, tag, "endraw", &end, &sign)) continue;
        emit_text(l, begin, text_end(l, begin, tag, sign, true), t);
        leave_tag(l, end, true);
        l->raw = false;
        return 0;
    }
    return fail_at(l, begin, "raw has no {% endraw %}");
}

/* Text up to the next tag; comments in it are left out. An empty text is a token too. */
static int next_text(jinja_lexer *l, jinja_token *t) {
    size_t begin = l->at, tag = begin;
    if (begin >= l->size) {
        locate(l, l->size, t);
        t->kind = TOKEN_END;
        return 0;
    }
    while (tag < l->size &&
           (l->source[tag] != '{' || !l->source[tag + 1] || !strchr("{%#", l->source[tag + 1])))
        tag++;
    if (tag == l->size) {
        l->at = tag;
        return emit_text(l, begin, tag, t);
    }
    char kind = l->source[tag + 1], sign = l->source[tag + 2];
    size_t raw_end;
    emit_text(l, begin, text_end(l, begin, tag, sign, kind != '{'), t);
    if (kind == '#') return skip_comment(l, tag);
    if (kind == '%' && is_word_tag(l, tag, "raw", &raw_end, &sign)) {
        leave_tag(l, raw_end, false);
        l->raw = true;
        return 0;
    }
    l->pending = kind;
    l->at = tag;
    return 0;
}

static int begin_tag(jinja_lexer *l, jinja_token *t) {
    locate(l, l->at, t);
    t->kind = l->pending == '{' ? TOKEN_PRINT_BEGIN : TOKEN_BLOCK_BEGIN;
    l->tag = l->pending;
    l->pending = 0;
    l->at += 2;
    if (l->source[l->at] == '-' || l->source[l->at] == '+') l->at++;
    l->line_starting = false;
    return 0;
}

static bool is_tag_end(const jinja_lexer *l) {
    if (l->bracket_count) return false;
    if (l->tag == '{') return starts(l, l->at, "}}") || starts(l, l->at, "-}}");
    return starts(l, l->at, "%}") || starts(l, l->at, "-%}") || starts(l, l->at, "+%}");
}

static bool is_name_byte(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           (unsigned char)c >= 0x80;
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static int hex_value(char c) {
    if (is_digit(c)) return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Resolve the escape whose letter is s[*i]; appends to out[*n]. False if it is malformed. */
static bool unescape(const char *s, size_t size, size_t *i, char *out, size_t *n) {
    static const char letters[] = "ntrabfv\\'\"", meant[] = "\n\t\r\a\b\f\v\\'\"";
    char c = s[(*i)++];
    const char *found = strchr(letters, c);
    if (c && found) {
        out[(*n)++] = meant[found - letters];
        return true;
    }
    if (c == '\n') return true;
    uint32_t code = 0;
    if (c >= '0' && c <= '7') {
        code = (uint32_t)(c - '0');
        for (int k = 0; k < 2 && *i < size && s[*i] >= '0' && s[*i] <= '7'; k++)
            code = code * 8 + (uint32_t)(s[(*i)++] - '0');
    } else if (c == 'x' || c == 'u' || c == 'U') {
        for (int k = 0; k < (c == 'x' ? 2 : c == 'u' ? 4 : 8); k++) {
            int digit = *i < size ? hex_value(s[*i]) : -1;
            if (digit < 0 || code > 0x10ffff) return false;
            code = code * 16 + (uint32_t)digit;
            (*i)++;
        }
        if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return false;
    } else if (c == 'N') {
        return false; /* names of characters: Python's own table */
    } else {
        out[(*n)++] = '\\';
        out[(*n)++] = c;
        return true;
    }
    *n += jinja_utf8_put(code, out + *n);
    return true;
}

static int next_string(jinja_lexer *l, jinja_token *t) {
    size_t begin = l->at + 1, end = begin;
    char quote = l->source[l->at];
    while (end < l->size && l->source[end] != quote) end += l->source[end] == '\\' ? 2 : 1;
    if (end >= l->size) return fail_at(l, l->at, "this string has no end");
    char *text = arena_alloc(l->memory, end - begin + 1, 1, l->err);
    if (!text) return l->err->code;
    size_t n = 0;
    for (size_t i = begin; i < end;) {
        if (l->source[i] != '\\') {
            text[n++] = l->source[i++];
            continue;
        }
        size_t escape = i++;
        if (!unescape(l->source, end, &i, text, &n))
            return fail_at(l, escape, "this escape in a string is not understood");
    }
    t->kind = TOKEN_STRING;
    t->data = text;
    t->size = n;
    l->at = end + 1;
    return 0;
}

/* Digits and single underscores between them, from `at`; returns where they end. */
static size_t skip_digits(const jinja_lexer *l, size_t at) {
    while (at < l->size &&
           (is_digit(l->source[at]) ||
            (l->source[at] == '_' && is_digit(l->source[at - 1]) && is_digit(l->source[at + 1]))))
        at++;
    return at;
}

static int integer_token(jinja_lexer *l, size_t begin, size_t end, int base, jinja_token *t) {
    char digits[72];
    size_t n = 0;
    for (size_t i = begin; i < end && n < sizeof digits - 1; i++)
        if (l->source[i] != '_') digits[n++] = l->source[i];
    digits[n] = 0;
    char *rest;
    errno = 0;
    long long value = strtoll(digits, &rest, base);
    if (!n || *rest || errno)
        return fail_at(l, begin, "this number is malformed or does not fit in 64 bits");
    t->kind = TOKEN_INTEGER;
    t->integer = value;
    l->at = end;
    return 0;
}

static int next_number(jinja_lexer *l, jinja_token *t) {
    size_t begin = l->at, end = skip_digits(l, begin);
    char letter = (char)(l->source[begin + 1] | 0x20);
    if (l->source[begin] == '0' && (letter == 'x' || letter == 'o' || letter == 'b')) {
        end = begin + 2;
        while (end < l->size && is_name_byte(l->source[end])) end++;
        return integer_token(l, begin + 2, end, letter == 'x' ? 16 : letter == 'o' ? 8 : 2, t);
    }
    bool real = false;
    if (l->source[end] == '.' && is_digit(l->source[end + 1])) {
        end = skip_digits(l, end + 1);
        real = true;
    }
    if ((l->source[end] | 0x20) == 'e') {
        size_t digits = end + 1 + (l->source[end + 1] == '+' || l->source[end + 1] == '-');
        if (is_digit(l->source[digits])) {
            end = skip_digits(l, digits);
            real = true;
        }
    }
    if (!real) return integer_token(l, begin, end, 10, t);
    t->kind = TOKEN_FLOAT;
    l->at = end;
    if (!jinja_float_parse(l->source + begin, end - begin, &t->real))
        return fail_at(l, begin, "this number is malformed");
    return 0;
}

static int push_bracket(jinja_lexer *l, char c) {
    if (l->bracket_count == JINJA_BRACKETS_MAX)
        return err_set_at(
            l->err, WEFT_ERR_RANGE, l->line,
            "chat template, line %u, column %u: brackets nested deeper than %d levels", l->line,
            (unsigned)(l->at - l->line_begin + 1), JINJA_BRACKETS_MAX);
    l->brackets[l->bracket_count++] = c == '(' ? ')' : c == '[' ? ']' : '}';
    return 0;
}

static int next_operator(jinja_lexer *l, jinja_token *t) {
    static const char pairs[][3] = {"**", "//", "==", "!=", "<=", ">="};
    t->kind = TOKEN_OPERATOR;
    for (int i = 0; i < 6; i++) {
        if (!starts(l, l->at, pairs[i])) continue;
        t->op = OP_POWER + i;
        l->at += 2;
        return 0;
    }
    char c = l->source[l->at];
    if (!c || !strchr("+-/*%~[](){}<>=.:|,;", c)) {
        char what[] = "unexpected character ' '";
        what[sizeof what - 3] = c > ' ' && c < 127 ? c : '?';
        return fail_at(l, l->at, what);
    }
    if (strchr("([{", c)) TRY(push_bracket(l, c));
    if (strchr(")]}", c)) {
        if (!l->bracket_count || l->brackets[l->bracket_count - 1] != c)
            return fail_at(l, l->at, "this closing bracket has no opening one before it");
        l->bracket_count--;
    }
    t->op = c;
    l->at++;
    return 0;
}

int jinja_lex_next(jinja_lexer *l, jinja_token *t) {
    *t = (jinja_token){.kind = TOKEN_END};
    if (l->raw) return next_raw(l, t);
    if (l->pending) return begin_tag(l, t);
    if (!l->tag) return next_text(l, t);
    l->at = jinja_skip_space(l->source, l->at, l->size);
    locate(l, l->at, t);
    if (l->at >= l->size)
        return fail_at(l, l->at,
                       l->tag == '{' ? "the template ends inside {{"
                                     : "the template ends inside {%");
    if (is_tag_end(l)) {
        t->kind = l->tag == '{' ? TOKEN_PRINT_END : TOKEN_BLOCK_END;
        leave_tag(l, l->at, l->tag == '%');
        l->tag = 0;
        return 0;
    }
    char c = l->source[l->at];
    if (c == '\'' || c == '"') return next_string(l, t);
    if (is_digit(c)) return next_number(l, t);
    if (!is_name_byte(c)) return next_operator(l, t);
    t->kind = TOKEN_NAME;
    t->data = l->source + l->at;
    while (l->at < l->size && is_name_byte(l->source[l->at])) l->at++;
    t->size = (size_t)(l->source + l->at - t->data);
    return 0;
}
