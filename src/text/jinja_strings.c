/* Operations on strings that filters and methods share. Each keeps the provenance of what it
 * copies. */
#include "text/jinja_eval.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Simple one-to-one case pairs of Latin-1, Latin Extended-A, Greek and Cyrillic. */
static uint32_t to_lower(uint32_t c) {
    if (c < 0x80) return c >= 'A' && c <= 'Z' ? c + 32 : c;
    if ((c >= 0xc0 && c <= 0xde && c != 0xd7) || (c >= 0x391 && c <= 0x3ab && c != 0x3a2) ||
        (c >= 0x410 && c <= 0x42f))
        return c + 32;
    if ((c >= 0x100 && c <= 0x137 && c != 0x130) || (c >= 0x14a && c <= 0x177)) return c | 1;
    if ((c >= 0x139 && c <= 0x148) || (c >= 0x179 && c <= 0x17e)) return c + (c & 1);
    if (c >= 0x400 && c <= 0x40f) return c + 80;
    return c == 0x178 ? 0xff : c;
}

static uint32_t to_upper(uint32_t c) {
    if (c < 0x80) return c >= 'a' && c <= 'z' ? c - 32 : c;
    if ((c >= 0xe0 && c <= 0xfe && c != 0xf7) || (c >= 0x3b1 && c <= 0x3cb && c != 0x3c2) ||
        (c >= 0x430 && c <= 0x44f))
        return c - 32;
    if ((c >= 0x100 && c <= 0x137 && c != 0x131) || (c >= 0x14a && c <= 0x177))
        return c & ~(uint32_t)1;
    if ((c >= 0x139 && c <= 0x148) || (c >= 0x179 && c <= 0x17e)) return c - !(c & 1);
    if (c >= 0x450 && c <= 0x45f) return c - 80;
    return c == 0xff ? 0x178 : c == 0x3c2 ? 0x3a3 : c;
}

static bool is_letter(uint32_t c) {
    return to_upper(c) != c || to_lower(c) != c;
}

int jinja_change_case(jinja_vm *vm, const jinja_string *s, jinja_case to, jinja_value *out) {
    jinja_builder b = {0};
    bool at_word = true;
    TRY(jinja_spend(vm, s->size / 16));
    for (size_t i = 0, n; i < s->size; i += n) {
        uint32_t c;
        char changed[4];
        n = jinja_utf8_next(s->data + i, s->size - i, &c);
        bool upper = to == CASE_UPPER || (to == CASE_CAPITALISE && i == 0) ||
                     ((to == CASE_TITLE || to == CASE_WORDS) && at_word);
        uint32_t d = upper ? to_upper(c) : to_lower(c);
        if (c == 0xdf && upper) { /* the one common letter whose upper case is two */
            TRY(jinja_builder_add(vm, &b, to == CASE_UPPER ? "SS" : "Ss", 2, jinja_flags_at(s, i)));
        } else if (d == c) {
            TRY(jinja_builder_slice(vm, &b, s, i, i + n));
        } else {
            TRY(jinja_builder_add(vm, &b, changed, jinja_utf8_put(d, changed),
                                  jinja_flags_at(s, i)));
        }
        at_word = to == CASE_WORDS ? jinja_is_space(c) || (c < 128 && c && strchr("-({[<", (int)c))
                                   : !is_letter(c);
    }
    return jinja_builder_done(vm, &b, out);
}

static bool in_set(const jinja_string *set, const char *data, size_t size) {
    return size <= set->size && memmem(set->data, set->size, data, size) != NULL;
}

int jinja_strip(jinja_vm *vm, const jinja_string *s, jinja_value chars, int sides,
                jinja_value *out) {
    size_t begin = 0, end = s->size;
    uint32_t code;
    bool space = chars.kind == JINJA_UNDEFINED || chars.kind == JINJA_NONE;
    if (!space && chars.kind != JINJA_STRING)
        return jinja_fail(vm, WEFT_ERR_FORMAT, "characters to strip are a string, not a %s",
                          jinja_kind_name(chars));
    if (space) {
        if (sides & 1) begin = jinja_skip_space(s->data, begin, end);
        if (sides & 2) end = jinja_trim_space(s->data, begin, end);
    } else {
        TRY(jinja_spend(vm, 1 + (s->size + chars.string->size) / 16));
        while (sides & 1 && begin < end) {
            size_t n = jinja_utf8_next(s->data + begin, end - begin, &code);
            TRY(jinja_spend(vm, 1 + chars.string->size / 64));
            if (!in_set(chars.string, s->data + begin, n)) break;
            begin += n;
        }
        while (sides & 2 && begin < end) {
            size_t start = end - 1;
            while (start > begin && end - start < 4 && ((unsigned char)s->data[start] >> 6) == 2)
                start--;
            if (start + jinja_utf8_next(s->data + start, end - start, &code) != end)
                start = end - 1;
            TRY(jinja_spend(vm, 1 + chars.string->size / 64));
            if (!in_set(chars.string, s->data + start, end - start)) break;
            end = start;
        }
    }
    return jinja_slice(vm, s, begin, end, out);
}

int jinja_replace(jinja_vm *vm, const jinja_string *s, const jinja_string *from,
                  const jinja_string *to, int64_t count, jinja_value *out) {
    jinja_builder b = {0};
    size_t at = 0;
    uint32_t code;
    TRY(jinja_spend(vm, 1 + s->size / 64));
    for (; count != 0 && s->size; count -= count > 0) {
        const char *found =
            from->size ? memmem(s->data + at, s->size - at, from->data, from->size) : s->data + at;
        if (!found) break;
        size_t place = (size_t)(found - s->data);
        TRY(jinja_spend(vm, 1));
        TRY(jinja_builder_slice(vm, &b, s, at, place));
        TRY(jinja_builder_string(vm, &b, to));
        at = place + from->size;
        if (from->size) continue;
        if (at == s->size) break; /* an empty pattern: before every character and at the end */
        size_t n = jinja_utf8_next(s->data + at, s->size - at, &code);
        TRY(jinja_builder_slice(vm, &b, s, at, at + n));
        at += n;
    }
    if (!s->size && !from->size && count != 0) TRY(jinja_builder_string(vm, &b, to));
    TRY(jinja_builder_slice(vm, &b, s, at, s->size));
    return jinja_builder_done(vm, &b, out);
}

int jinja_join(jinja_vm *vm, const jinja_string *between, const jinja_list *items,
               jinja_value *out) {
    jinja_builder b = {0};
    for (size_t i = 0; i < items->count; i++) {
        TRY(jinja_spend(vm, 1));
        if (i) TRY(jinja_builder_string(vm, &b, between));
        TRY(jinja_builder_value(vm, &b, items->items[i]));
    }
    return jinja_builder_done(vm, &b, out);
}

/* One conversion of a % format: flags 0 and -, width and precision up to 99, and s, r, d, i, f, x.
 */
static int format_one(jinja_vm *vm, jinja_builder *b, const char *spec, jinja_value v) {
    char text[480], copy[24];
    size_t size = strlen(spec);
    char type = spec[size - 1];
    int64_t integer;
    if (type == 's' && size == 2) return jinja_builder_value(vm, b, v);
    if (type == 'r' && size == 2) return jinja_builder_repr(vm, b, v);
    if (v.kind == JINJA_FLOAT && (type == 'd' || type == 'i') && fabs(v.real) < 9e18)
        v = jinja_integer((int64_t)v.real);
    if ((type == 'd' || type == 'i' || type == 'x') && jinja_as_integer(v, &integer)) {
        snprintf(copy, sizeof copy, "%.*sll%c", (int)size - 1, spec, type);
        snprintf(text, sizeof text, copy, (long long)integer);
    } else if (type == 'f' && jinja_is_number(v)) {
        snprintf(text, sizeof text, spec, jinja_as_double(v));
    } else {
        return jinja_fail(vm, WEFT_ERR_FORMAT, "format %s of a %s is not understood", spec,
                          jinja_kind_name(v));
    }
    return jinja_builder_text(vm, b, text);
}

int jinja_format_percent(jinja_vm *vm, const jinja_string *format, const jinja_list *values,
                         jinja_value *out) {
    jinja_builder b = {0};
    size_t used = 0;
    for (size_t i = 0; i < format->size;) {
        const char *mark = memchr(format->data + i, '%', format->size - i);
        size_t at = mark ? (size_t)(mark - format->data) : format->size;
        TRY(jinja_builder_slice(vm, &b, format, i, at));
        if (!mark) break;
        char spec[16] = "%";
        size_t n = 1;
        for (at++; at < format->size && n < 8 && strchr("0123456789.-", format->data[at]); at++)
            spec[n++] = format->data[at];
        char type = at < format->size ? format->data[at] : 0;
        i = at + 1;
        spec[n] = type;
        TRY(jinja_spend(vm, 1));
        if (type == '%' && n == 1) {
            TRY(jinja_builder_text(vm, &b, "%"));
            continue;
        }
        size_t digits = strspn(spec + 1, "0-") + 1;
        digits += strspn(spec + digits, "0123456789") > 2 ? 99 : 0;
        if (!type || !strchr("srdifx", type) || digits > n || used >= values->count)
            return jinja_fail(vm, WEFT_ERR_FORMAT, "this format needs other values");
        TRY(format_one(vm, &b, spec, values->items[used++]));
    }
    if (used < values->count && !(values->count == 1 && values->items[0].kind == JINJA_DICT))
        return jinja_fail(vm, WEFT_ERR_FORMAT, "this format needs other values");
    return jinja_builder_done(vm, &b, out);
}
