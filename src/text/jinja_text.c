/* Characters, numbers as text, and strings under construction with their provenance. */
#include "text/jinja_value.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

size_t jinja_utf8_next(const char *data, size_t size, uint32_t *code) {
    const unsigned char *s = (const unsigned char *)data;
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    size_t length = s[0] < 0x80       ? 1
                    : s[0] >> 5 == 6  ? 2
                    : s[0] >> 4 == 14 ? 3
                    : s[0] >> 3 == 30 ? 4
                                      : 0;
    *code = s[0];
    if (length == 1) return 1;
    *code = 0xdc00u + s[0];
    if (!length || length > size) return 1;
    uint32_t c = s[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if (s[i] >> 6 != 2) return 1;
        c = c << 6 | (s[i] & 0x3fu);
    }
    if (c < least[length] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) return 1;
    *code = c;
    return length;
}

size_t jinja_utf8_put(uint32_t c, char *out) {
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xc0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xe0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3f));
        out[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3f));
    out[2] = (char)(0x80 | (c >> 6 & 0x3f));
    out[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

bool jinja_is_space(uint32_t c) {
    return (c >= 9 && c <= 13) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 ||
           c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 ||
           c == 0x202f || c == 0x205f || c == 0x3000;
}

size_t jinja_skip_space(const char *data, size_t begin, size_t end) {
    while (begin < end) {
        uint32_t code;
        size_t n = jinja_utf8_next(data + begin, end - begin, &code);
        if (!jinja_is_space(code)) break;
        begin += n;
    }
    return begin;
}

size_t jinja_trim_space(const char *data, size_t begin, size_t end) {
    while (end > begin) {
        size_t start = end - 1;
        while (start > begin && end - start < 4 && ((unsigned char)data[start] >> 6) == 2) start--;
        uint32_t code;
        size_t n = jinja_utf8_next(data + start, end - start, &code);
        if (start + n != end || !jinja_is_space(code)) break;
        end = start;
    }
    return end;
}

/* Python's repr: the fewest digits that read back as the same number. */
void jinja_float_text(double f, char text[JINJA_NUMBER_BYTES]) {
    if (isnan(f) || isinf(f)) {
        snprintf(text, JINJA_NUMBER_BYTES, "%s", isnan(f) ? "nan" : f < 0 ? "-inf" : "inf");
        return;
    }
    char digits[24] = "", sign[2] = "";
    int exponent = 0, count = 0;
    for (int precision = 0; precision < 17; precision++) {
        char scientific[40];
        snprintf(scientific, sizeof scientific, "%.*e", precision, fabs(f));
        const char *e = strchr(scientific, 'e');
        exponent = atoi(e + 1);
        count = 0;
        for (const char *p = scientific; p < e; p++)
            if (*p >= '0' && *p <= '9') digits[count++] = *p;
        digits[count] = 0;
        if (strtod(scientific, NULL) == fabs(f)) break;
    }
    if (signbit(f)) sign[0] = '-';
    while (count > 1 && digits[count - 1] == '0') digits[--count] = 0;
    if (exponent < -4 || exponent >= 16)
        snprintf(text, JINJA_NUMBER_BYTES, "%s%c%s%se%c%02d", sign, digits[0], count > 1 ? "." : "",
                 digits + 1, exponent < 0 ? '-' : '+', abs(exponent));
    else if (exponent < 0)
        snprintf(text, JINJA_NUMBER_BYTES, "%s0.%.*s%s", sign, -exponent - 1, "000", digits);
    else if (count <= exponent + 1)
        snprintf(text, JINJA_NUMBER_BYTES, "%s%s%.*s.0", sign, digits, exponent + 1 - count,
                 "000000000000000");
    else
        snprintf(text, JINJA_NUMBER_BYTES, "%s%.*s.%s", sign, exponent + 1, digits,
                 digits + exponent + 1);
}

/* strtod reads the decimal point of the process's locale, so it is put in place of ours. */
bool jinja_float_parse(const char *data, size_t size, double *out) {
    char text[128];
    size_t begin = jinja_skip_space(data, 0, size), n = 0;
    size = jinja_trim_space(data, begin, size);
    if (size == begin || size - begin >= sizeof text) return false;
    for (size_t i = begin; i < size; i++) {
        char c = data[i];
        if (c == 'x' || c == 'X' || c == 'p' || c == 'P' || c == '(')
            return false; /* not Python's */
        if (c == '_') continue;
        text[n++] = c == '.' ? localeconv()->decimal_point[0] : c;
    }
    text[n] = 0;
    char *end;
    *out = strtod(text, &end);
    return n > 0 && end == text + n;
}

static int builder_reserve(jinja_vm *vm, jinja_builder *b, size_t extra) {
    if (extra > JINJA_STRING_BYTES_MAX - b->size)
        return jinja_fail(vm, WEFT_ERR_RANGE, "a text of more than %zu bytes",
                          JINJA_STRING_BYTES_MAX);
    size_t need = b->size + extra;
    if (need <= b->capacity) return 0;
    size_t capacity = b->capacity ? b->capacity * 2 : 32;
    if (capacity < need) capacity = need;
    char *data = jinja_alloc(vm, capacity, 1);
    if (!data) return (int)vm->err.code;
    if (b->size) memcpy(data, b->data, b->size);
    b->data = data;
    b->capacity = capacity;
    return 0;
}

static int add_run(jinja_vm *vm, jinja_builder *b, size_t begin, size_t end, unsigned flags) {
    if (!flags || begin == end) return 0;
    if (b->run_count) {
        jinja_run *last = &b->runs[b->run_count - 1];
        if (last->end == begin && last->flags == flags) {
            last->end = end;
            return 0;
        }
    }
    if (b->run_count == b->run_capacity) {
        size_t capacity = b->run_capacity ? b->run_capacity * 2 : 4;
        jinja_run *runs = jinja_alloc(vm, capacity, sizeof *runs);
        if (!runs) return (int)vm->err.code;
        if (b->run_count) memcpy(runs, b->runs, b->run_count * sizeof *runs);
        b->runs = runs;
        b->run_capacity = capacity;
    }
    b->runs[b->run_count++] = (jinja_run){begin, end, flags};
    return 0;
}

int jinja_builder_add(jinja_vm *vm, jinja_builder *b, const char *data, size_t size,
                      unsigned flags) {
    TRY(builder_reserve(vm, b, size));
    if (size) memcpy(b->data + b->size, data, size);
    TRY(add_run(vm, b, b->size, b->size + size, flags));
    b->size += size;
    return 0;
}

int jinja_builder_text(jinja_vm *vm, jinja_builder *b, const char *text) {
    return jinja_builder_add(vm, b, text, strlen(text), 0);
}

/* The first run that ends after offset. */
static size_t find_run(const jinja_string *s, size_t offset) {
    size_t low = 0, high = s->run_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (s->runs[middle].end <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

unsigned jinja_flags_at(const jinja_string *s, size_t offset) {
    size_t i = find_run(s, offset);
    return i < s->run_count && s->runs[i].begin <= offset ? s->runs[i].flags : 0;
}

int jinja_builder_slice(jinja_vm *vm, jinja_builder *b, const jinja_string *s, size_t begin,
                        size_t end) {
    size_t at = b->size;
    TRY(jinja_builder_add(vm, b, s->data + begin, end - begin, 0));
    for (size_t i = find_run(s, begin); i < s->run_count && s->runs[i].begin < end; i++) {
        size_t first = s->runs[i].begin > begin ? s->runs[i].begin : begin;
        size_t last = s->runs[i].end < end ? s->runs[i].end : end;
        TRY(add_run(vm, b, at + first - begin, at + last - begin, s->runs[i].flags));
    }
    return 0;
}

int jinja_builder_string(jinja_vm *vm, jinja_builder *b, const jinja_string *s) {
    return jinja_builder_slice(vm, b, s, 0, s->size);
}

int jinja_builder_done(jinja_vm *vm, jinja_builder *b, jinja_value *out) {
    jinja_string *s = jinja_alloc(vm, 1, sizeof *s);
    if (!s) return (int)vm->err.code;
    *s = (jinja_string){b->data ? b->data : "", b->size, b->runs, b->run_count};
    *out = (jinja_value){.kind = JINJA_STRING, .string = s};
    return jinja_spend(vm, 1 + s->size / 256);
}

int jinja_slice(jinja_vm *vm, const jinja_string *s, size_t begin, size_t end, jinja_value *out) {
    jinja_string *cut = jinja_alloc(vm, 1, sizeof *cut);
    if (!cut) return (int)vm->err.code;
    *cut = (jinja_string){.data = s->data + begin, .size = end - begin};
    *out = (jinja_value){.kind = JINJA_STRING, .string = cut};
    if (begin == end) return jinja_spend(vm, 1);
    jinja_builder runs = {0};
    for (size_t i = find_run(s, begin); i < s->run_count && s->runs[i].begin < end; i++) {
        size_t first = s->runs[i].begin > begin ? s->runs[i].begin : begin;
        size_t last = s->runs[i].end < end ? s->runs[i].end : end;
        TRY(add_run(vm, &runs, first - begin, last - begin, s->runs[i].flags));
    }
    cut->runs = runs.runs;
    cut->run_count = runs.run_count;
    return jinja_spend(vm, 1 + cut->run_count);
}

int jinja_copy_text(jinja_vm *vm, const char *data, size_t size, unsigned flags, jinja_value *out) {
    jinja_builder b = {0};
    TRY(jinja_builder_add(vm, &b, data, size, flags));
    return jinja_builder_done(vm, &b, out);
}

int jinja_borrow_text(jinja_vm *vm, const char *text, jinja_value *out) {
    jinja_string *s = jinja_alloc(vm, 1, sizeof *s);
    if (!s) return (int)vm->err.code;
    *s = (jinja_string){.data = text, .size = strlen(text)};
    *out = (jinja_value){.kind = JINJA_STRING, .string = s};
    return 0;
}

/* Characters that repr() writes as escapes: controls, separators and unassigned or private ones.
 * The list has the ranges that occur in practice, not the whole of Unicode's tables. */
static bool is_printable(uint32_t c) {
    if (c < 0x20 || (c >= 0x7f && c <= 0xa0) || c == 0xad) return false;
    if (c == 0x61c || c == 0x1680 || c == 0x180e || c == 0x3000 || c == 0xfeff) return false;
    if ((c >= 0x2000 && c <= 0x200f) || (c >= 0x2028 && c <= 0x202f)) return false;
    if ((c >= 0x205f && c <= 0x206f) || (c >= 0xd800 && c <= 0xf8ff)) return false;
    return !(c >= 0xfff0 && c <= 0xfffb) && c < 0xe0000;
}

static int repr_string(jinja_vm *vm, jinja_builder *b, const jinja_string *s) {
    bool has_single = s->size && memchr(s->data, '\'', s->size);
    char quote = has_single && !memchr(s->data, '"', s->size) ? '"' : '\'';
    TRY(jinja_builder_add(vm, b, &quote, 1, 0));
    for (size_t i = 0, n; i < s->size; i += n) {
        uint32_t c;
        char escape[16];
        n = jinja_utf8_next(s->data + i, s->size - i, &c);
        if (c == (uint32_t)quote || c == '\\')
            snprintf(escape, sizeof escape, "\\%c", (char)c);
        else if (c == '\n' || c == '\r' || c == '\t')
            snprintf(escape, sizeof escape, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
        else if (is_printable(c)) {
            TRY(jinja_builder_slice(vm, b, s, i, i + n));
            continue;
        } else
            snprintf(escape, sizeof escape,
                     c < 0x100     ? "\\x%02x"
                     : c < 0x10000 ? "\\u%04x"
                                   : "\\U%08x",
                     c);
        TRY(jinja_builder_add(vm, b, escape, strlen(escape), jinja_flags_at(s, i)));
    }
    return jinja_builder_add(vm, b, &quote, 1, 0);
}

static int repr_list(jinja_vm *vm, jinja_builder *b, jinja_value v) {
    bool tuple = v.kind == JINJA_TUPLE;
    TRY(jinja_builder_text(vm, b, tuple ? "(" : "["));
    for (size_t i = 0; i < v.list->count; i++) {
        if (i) TRY(jinja_builder_text(vm, b, ", "));
        TRY(jinja_builder_repr(vm, b, v.list->items[i]));
    }
    return jinja_builder_text(vm, b, !tuple ? "]" : v.list->count == 1 ? ",)" : ")");
}

static int repr_dict(jinja_vm *vm, jinja_builder *b, const jinja_dict *dict) {
    TRY(jinja_builder_text(vm, b, "{"));
    for (size_t i = 0; i < dict->count; i++) {
        if (i) TRY(jinja_builder_text(vm, b, ", "));
        TRY(jinja_builder_repr(vm, b, dict->entries[i].key));
        TRY(jinja_builder_text(vm, b, ": "));
        TRY(jinja_builder_repr(vm, b, dict->entries[i].value));
    }
    return jinja_builder_text(vm, b, "}");
}

static int repr_inner(jinja_vm *vm, jinja_builder *b, jinja_value v) {
    char text[JINJA_NUMBER_BYTES];
    switch (v.kind) {
    case JINJA_UNDEFINED:
        return jinja_builder_text(vm, b, "Undefined");
    case JINJA_NONE:
        return jinja_builder_text(vm, b, "None");
    case JINJA_BOOLEAN:
        return jinja_builder_text(vm, b, v.boolean ? "True" : "False");
    case JINJA_INTEGER:
        snprintf(text, sizeof text, "%lld", (long long)v.integer);
        break;
    case JINJA_FLOAT:
        jinja_float_text(v.real, text);
        break;
    case JINJA_STRING:
        return repr_string(vm, b, v.string);
    case JINJA_LIST:
    case JINJA_TUPLE:
    case JINJA_GENERATOR:
        return repr_list(vm, b, v);
    case JINJA_DICT:
        return repr_dict(vm, b, v.dict);
    case JINJA_NAMESPACE:
        TRY(jinja_builder_text(vm, b, "<Namespace "));
        TRY(repr_dict(vm, b, v.dict));
        return jinja_builder_text(vm, b, ">");
    default:
        snprintf(text, sizeof text, "<%s>", jinja_kind_name(v));
    }
    return jinja_builder_text(vm, b, text);
}

int jinja_builder_repr(jinja_vm *vm, jinja_builder *b, jinja_value v) {
    TRY(jinja_enter(vm));
    TRY(repr_inner(vm, b, v));
    vm->recursion--;
    return 0;
}

int jinja_builder_value(jinja_vm *vm, jinja_builder *b, jinja_value v) {
    if (v.kind == JINJA_UNDEFINED) return 0;
    if (v.kind == JINJA_STRING) return jinja_builder_string(vm, b, v.string);
    return jinja_builder_repr(vm, b, v);
}

int jinja_to_string(jinja_vm *vm, jinja_value v, jinja_value *out) {
    if (v.kind == JINJA_STRING) {
        *out = v;
        return 0;
    }
    jinja_builder b = {0};
    TRY(jinja_builder_value(vm, &b, v));
    return jinja_builder_done(vm, &b, out);
}
