/* Filters. */
#include "text/jinja_eval.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FILTER(name)                                                                               \
    static int name(jinja_vm *vm, jinja_value v, const jinja_args *args, jinja_value *out)

/* Strings. */

FILTER(filter_trim) {
    jinja_value chars, text;
    TRY(jinja_bind(vm, "trim", "chars", args, &chars));
    TRY(jinja_to_string(vm, v, &text));
    return jinja_strip(vm, text.string, chars, 3, out);
}

static int change(jinja_vm *vm, jinja_value v, const jinja_args *args, jinja_case to,
                  jinja_value *out) {
    jinja_value text;
    TRY(jinja_bind(vm, "this filter", "", args, NULL));
    TRY(jinja_to_string(vm, v, &text));
    return jinja_change_case(vm, text.string, to, out);
}

FILTER(filter_upper) {
    return change(vm, v, args, CASE_UPPER, out);
}
FILTER(filter_lower) {
    return change(vm, v, args, CASE_LOWER, out);
}
FILTER(filter_title) {
    return change(vm, v, args, CASE_WORDS, out);
}
FILTER(filter_capitalize) {
    return change(vm, v, args, CASE_CAPITALISE, out);
}

FILTER(filter_string) {
    TRY(jinja_bind(vm, "string", "", args, NULL));
    return jinja_to_string(vm, v, out);
}

FILTER(filter_replace) {
    jinja_value slots[3], text, from, to;
    int64_t count = -1;
    TRY(jinja_bind(vm, "replace", "old! new! count", args, slots));
    TRY(jinja_to_string(vm, v, &text));
    TRY(jinja_to_string(vm, slots[0], &from));
    TRY(jinja_to_string(vm, slots[1], &to));
    if (slots[2].kind != JINJA_UNDEFINED && slots[2].kind != JINJA_NONE &&
        !jinja_as_integer(slots[2], &count))
        return jinja_fail(vm, WEFT_ERR_FORMAT, "replace's count is a whole number");
    return jinja_replace(vm, text.string, from.string, to.string, count, out);
}

FILTER(filter_escape) {
    jinja_value text;
    jinja_builder b = {0};
    TRY(jinja_bind(vm, "escape", "", args, NULL));
    TRY(jinja_to_string(vm, v, &text));
    const jinja_string *s = text.string;
    TRY(jinja_spend(vm, s->size / 16));
    for (size_t i = 0; i < s->size; i++) {
        static const char letters[] = "&<>\"'";
        static const char *const escapes[] = {"&amp;", "&lt;", "&gt;", "&#34;", "&#39;"};
        const char *found = s->data[i] ? strchr(letters, s->data[i]) : NULL;
        if (!found) {
            TRY(jinja_builder_slice(vm, &b, s, i, i + 1));
            continue;
        }
        const char *escape = escapes[found - letters];
        TRY(jinja_builder_add(vm, &b, escape, strlen(escape), jinja_flags_at(s, i)));
    }
    return jinja_builder_done(vm, &b, out);
}

FILTER(filter_indent) {
    jinja_value slots[3], text, width, space;
    jinja_builder b = {0};
    int64_t n = 4;
    TRY(jinja_bind(vm, "indent", "width first blank", args, slots));
    TRY(jinja_to_string(vm, v, &text));
    TRY(jinja_borrow_text(vm, " ", &space));
    if (slots[0].kind == JINJA_STRING)
        width = slots[0];
    else {
        if (slots[0].kind != JINJA_UNDEFINED && !jinja_as_integer(slots[0], &n))
            return jinja_fail(vm, WEFT_ERR_FORMAT, "indent's width is a whole number or a string");
        TRY(jinja_binary(vm, '*', space, jinja_integer(n), &width));
    }
    const jinja_string *s = text.string;
    bool first = jinja_truth(slots[1]), blank = jinja_truth(slots[2]);
    for (size_t begin = 0; begin <= s->size;) {
        const char *end = s->size > begin ? memchr(s->data + begin, '\n', s->size - begin) : NULL;
        size_t at = end ? (size_t)(end - s->data) : s->size;
        bool indented = begin == 0 ? first : blank || at > begin;
        if (indented) TRY(jinja_builder_string(vm, &b, width.string));
        TRY(jinja_spend(vm, 1));
        TRY(jinja_builder_slice(vm, &b, s, begin, end ? at + 1 : at));
        if (!end) break;
        begin = at + 1;
    }
    return jinja_builder_done(vm, &b, out);
}

FILTER(filter_format) {
    jinja_value text;
    if (args->keyword_count) return jinja_fail(vm, WEFT_ERR_UNSUPPORTED, "format by names");
    TRY(jinja_to_string(vm, v, &text));
    jinja_list values = {args->positional, args->count, args->count};
    return jinja_format_percent(vm, text.string, &values, out);
}

/* Numbers. */

static int parse_integer(jinja_vm *vm, const jinja_string *s, int base, jinja_value *out) {
    char text[80];
    size_t begin = jinja_skip_space(s->data, 0, s->size);
    size_t end = jinja_trim_space(s->data, begin, s->size), n = 0;
    double real;
    *out = jinja_undefined();
    for (size_t i = begin; i < end && n < sizeof text - 1; i++)
        if (s->data[i] != '_') text[n++] = s->data[i];
    text[n] = 0;
    char *rest;
    long long value = strtoll(text, &rest, base);
    if (n && n < sizeof text - 1 && !*rest && value > INT64_MIN && value < INT64_MAX)
        *out = jinja_integer(value);
    else if (base == 10 && jinja_float_parse(s->data, s->size, &real) && fabs(real) < 9e18)
        *out = jinja_integer((int64_t)real);
    return jinja_spend(vm, 1);
}

FILTER(filter_int) {
    jinja_value slots[2];
    int64_t base = 10, value;
    TRY(jinja_bind(vm, "int", "default base", args, slots));
    if (slots[1].kind != JINJA_UNDEFINED) jinja_as_integer(slots[1], &base);
    if (base < 2 || base > 36) return jinja_fail(vm, WEFT_ERR_FORMAT, "int's base is 2 to 36");
    if (v.kind == JINJA_UNDEFINED) return jinja_fail_undefined(vm, v);
    *out = jinja_undefined();
    if (v.kind == JINJA_STRING)
        TRY(parse_integer(vm, v.string, (int)base, out));
    else if (jinja_as_integer(v, &value))
        *out = jinja_integer(value);
    else if (v.kind == JINJA_FLOAT && fabs(v.real) < 9e18)
        *out = jinja_integer((int64_t)v.real);
    if (out->kind == JINJA_UNDEFINED)
        *out = slots[0].kind == JINJA_UNDEFINED ? jinja_integer(0) : slots[0];
    return 0;
}

FILTER(filter_float) {
    jinja_value fallback;
    double real;
    TRY(jinja_bind(vm, "float", "default", args, &fallback));
    if (v.kind == JINJA_UNDEFINED) return jinja_fail_undefined(vm, v);
    if (jinja_is_number(v))
        *out = jinja_float(jinja_as_double(v));
    else if (v.kind == JINJA_STRING && jinja_float_parse(v.string->data, v.string->size, &real))
        *out = jinja_float(real);
    else
        *out = fallback.kind == JINJA_UNDEFINED ? jinja_float(0) : fallback;
    return 0;
}

FILTER(filter_abs) {
    TRY(jinja_bind(vm, "abs", "", args, NULL));
    if (!jinja_is_number(v))
        return jinja_fail(vm, WEFT_ERR_FORMAT, "abs of a %s", jinja_kind_name(v));
    if (v.kind == JINJA_FLOAT)
        *out = jinja_float(fabs(v.real));
    else
        return jinja_binary(vm, jinja_as_double(v) < 0 ? '-' : '+', jinja_integer(0), v, out);
    return 0;
}

FILTER(filter_round) {
    jinja_value slots[2];
    int64_t places = 0;
    TRY(jinja_bind(vm, "round", "precision method", args, slots));
    if (slots[0].kind != JINJA_UNDEFINED) jinja_as_integer(slots[0], &places);
    if (!jinja_is_number(v) || places < -300 || places > 300)
        return jinja_fail(vm, WEFT_ERR_FORMAT, "round of a %s", jinja_kind_name(v));
    double x = jinja_as_double(v), unit = pow(10, (double)places);
    if (jinja_is_text(slots[1], "floor"))
        x = floor(x * unit) / unit;
    else if (jinja_is_text(slots[1], "ceil"))
        x = ceil(x * unit) / unit;
    else
        x = nearbyint(x * unit) / unit;
    *out = v.kind == JINJA_FLOAT || slots[1].kind == JINJA_STRING ? jinja_float(x) : v;
    return 0;
}

/* Anything. */

FILTER(filter_default) {
    jinja_value slots[2];
    TRY(jinja_bind(vm, "default", "default_value boolean", args, slots));
    bool use = v.kind == JINJA_UNDEFINED || (jinja_truth(slots[1]) && !jinja_truth(v));
    *out = use ? slots[0] : v;
    if (use && !args->count && slots[0].kind == JINJA_UNDEFINED)
        return jinja_borrow_text(vm, "", out);
    return 0;
}

FILTER(filter_same) {
    (void)vm, (void)args;
    return jinja_to_string(vm, v, out);
}

FILTER(filter_length) {
    int64_t n;
    TRY(jinja_bind(vm, "length", "", args, NULL));
    TRY(jinja_length(vm, v, &n));
    *out = jinja_integer(n);
    return 0;
}

/* Lists. */

static int end_of(jinja_vm *vm, jinja_value v, const jinja_args *args, bool last,
                  jinja_value *out) {
    const jinja_list *items;
    TRY(jinja_bind(vm, "first", "", args, NULL));
    if (v.kind == JINJA_STRING && v.string->size) return jinja_index(vm, v, last ? -1 : 0, out);
    if (last && v.kind == JINJA_GENERATOR)
        return jinja_fail(vm, WEFT_ERR_FORMAT, "last of a generator; use list first");
    TRY(jinja_iterate(vm, v, &items));
    if (!items->count) return jinja_missing(vm, out, "an end of an empty sequence");
    *out = items->items[last ? items->count - 1 : 0];
    return 0;
}

FILTER(filter_first) {
    return end_of(vm, v, args, false, out);
}
FILTER(filter_last) {
    return end_of(vm, v, args, true, out);
}

/* item.a.b.0 for the path "a.b.0", an integer, or undefined (the item itself). */
static int get_path(jinja_vm *vm, jinja_value item, jinja_value path, jinja_value *out) {
    *out = item;
    if (path.kind == JINJA_UNDEFINED || path.kind == JINJA_NONE) return 0;
    if (path.kind != JINJA_STRING) return jinja_get_item(vm, item, path, out);
    const jinja_string *s = path.string;
    for (size_t begin = 0; begin <= s->size;) {
        const char *dot = s->size > begin ? memchr(s->data + begin, '.', s->size - begin) : NULL;
        size_t end = dot ? (size_t)(dot - s->data) : s->size;
        jinja_value key;
        TRY(jinja_slice(vm, s, begin, end, &key));
        size_t digits = 0;
        while (begin + digits < end && s->data[begin + digits] >= '0' &&
               s->data[begin + digits] <= '9')
            digits++;
        if (end > begin && digits == end - begin && digits < 18)
            TRY(parse_integer(vm, key.string, 10, &key));
        TRY(jinja_get_item(vm, *out, key, out));
        begin = end + 1;
    }
    return 0;
}

static int get_paths(jinja_vm *vm, jinja_value v, jinja_value path, jinja_value *out) {
    const jinja_list *items;
    TRY(jinja_iterate(vm, v, &items));
    TRY(jinja_list_new(vm, JINJA_LIST, items->count, out));
    for (size_t i = 0; i < items->count; i++) {
        jinja_value part;
        TRY(get_path(vm, items->items[i], path, &part));
        TRY(jinja_list_add(vm, out->list, part));
    }
    return 0;
}

FILTER(filter_list) {
    const jinja_list *items;
    TRY(jinja_bind(vm, "list", "", args, NULL));
    TRY(jinja_iterate(vm, v, &items));
    TRY(jinja_list_new(vm, JINJA_LIST, items->count, out));
    for (size_t i = 0; i < items->count; i++) TRY(jinja_list_add(vm, out->list, items->items[i]));
    return 0;
}

FILTER(filter_join) {
    jinja_value slots[2], parts, between;
    TRY(jinja_bind(vm, "join", "d attribute", args, slots));
    TRY(jinja_to_string(vm, slots[0], &between));
    TRY(get_paths(vm, v, slots[1], &parts));
    return jinja_join(vm, between.string, parts.list, out);
}

FILTER(filter_items) {
    TRY(jinja_bind(vm, "items", "", args, NULL));
    if (v.kind == JINJA_UNDEFINED) return jinja_list_new(vm, JINJA_LIST, 0, out);
    if (v.kind != JINJA_DICT)
        return jinja_fail(vm, WEFT_ERR_FORMAT, "items of a %s, not of a dict", jinja_kind_name(v));
    TRY(jinja_dict_items(vm, v.dict, out));
    out->kind = JINJA_GENERATOR;
    return 0;
}

/* Strings compare without case unless asked for. */
static int fold(jinja_vm *vm, jinja_value *v, bool case_sensitive) {
    if (case_sensitive || v->kind != JINJA_STRING) return 0;
    return jinja_change_case(vm, v->string, CASE_LOWER, v);
}

/* Stable merge sort of order[0..count) by keys[order[i]]. */
static int sort_order(jinja_vm *vm, const jinja_value *keys, bool down, size_t *order,
                      size_t *spare, size_t count) {
    if (count < 2) return 0;
    size_t half = count / 2, a = 0, b = half;
    TRY(sort_order(vm, keys, down, order, spare, half));
    TRY(sort_order(vm, keys, down, order + half, spare, count - half));
    for (size_t n = 0; n < count; n++) {
        int compared = 0;
        if (a < half && b < count)
            TRY(jinja_compare(vm, keys[order[b]], keys[order[a]], &compared));
        bool take_a = b >= count || (a < half && (down ? compared <= 0 : compared >= 0));
        spare[n] = order[take_a ? a++ : b++];
    }
    memcpy(order, spare, count * sizeof *order);
    return 0;
}

static int sort_by(jinja_vm *vm, const jinja_list *items, jinja_value keys, bool down,
                   bool case_sensitive, jinja_value *out) {
    size_t *order = jinja_alloc(vm, items->count, sizeof *order);
    size_t *spare = jinja_alloc(vm, items->count, sizeof *spare);
    if (!order || !spare) return (int)vm->err.code;
    for (size_t i = 0; i < items->count; i++) {
        order[i] = i;
        TRY(fold(vm, &keys.list->items[i], case_sensitive));
    }
    TRY(sort_order(vm, keys.list->items, down, order, spare, items->count));
    TRY(jinja_list_new(vm, JINJA_LIST, items->count, out));
    for (size_t i = 0; i < items->count; i++)
        TRY(jinja_list_add(vm, out->list, items->items[order[i]]));
    return 0;
}

FILTER(filter_sort) {
    jinja_value slots[3], keys;
    const jinja_list *items;
    TRY(jinja_bind(vm, "sort", "reverse case_sensitive attribute", args, slots));
    TRY(jinja_iterate(vm, v, &items));
    TRY(get_paths(vm, v, slots[2], &keys));
    return sort_by(vm, items, keys, jinja_truth(slots[0]), jinja_truth(slots[1]), out);
}

FILTER(filter_dictsort) {
    jinja_value slots[3], items, keys;
    TRY(jinja_bind(vm, "dictsort", "case_sensitive by reverse", args, slots));
    if (v.kind != JINJA_DICT)
        return jinja_fail(vm, WEFT_ERR_FORMAT, "dictsort of a %s", jinja_kind_name(v));
    bool by_value = jinja_is_text(slots[1], "value");
    TRY(jinja_dict_items(vm, v.dict, &items));
    TRY(get_paths(vm, items, jinja_integer(by_value), &keys));
    return sort_by(vm, items.list, keys, jinja_truth(slots[2]), jinja_truth(slots[0]), out);
}

FILTER(filter_unique) {
    jinja_value slots[2], keys, seen;
    const jinja_list *items;
    TRY(jinja_bind(vm, "unique", "case_sensitive attribute", args, slots));
    TRY(jinja_iterate(vm, v, &items));
    TRY(get_paths(vm, v, slots[1], &keys));
    TRY(jinja_list_new(vm, JINJA_LIST, 0, &seen));
    TRY(jinja_list_new(vm, JINJA_GENERATOR, 0, out));
    for (size_t i = 0; i < items->count; i++) {
        bool known;
        jinja_value key = keys.list->items[i];
        TRY(fold(vm, &key, jinja_truth(slots[0])));
        TRY(jinja_contains(vm, seen, key, &known));
        if (known) continue;
        TRY(jinja_list_add(vm, seen.list, key));
        TRY(jinja_list_add(vm, out->list, items->items[i]));
    }
    return 0;
}

FILTER(filter_reverse) {
    TRY(jinja_bind(vm, "reverse", "", args, NULL));
    jinja_value bounds[3] = {jinja_none(), jinja_none(), jinja_integer(-1)};
    if (v.kind == JINJA_STRING) return jinja_get_slice(vm, v, bounds, out);
    jinja_value list;
    TRY(filter_list(vm, v, args, &list));
    TRY(jinja_get_slice(vm, list, bounds, out));
    out->kind = JINJA_GENERATOR;
    return 0;
}

static int extreme(jinja_vm *vm, jinja_value v, const jinja_args *args, bool greatest,
                   jinja_value *out) {
    jinja_value slots[2], keys;
    const jinja_list *items;
    size_t best = 0;
    TRY(jinja_bind(vm, greatest ? "max" : "min", "case_sensitive attribute", args, slots));
    TRY(jinja_iterate(vm, v, &items));
    TRY(get_paths(vm, v, slots[1], &keys));
    if (!items->count) return jinja_missing(vm, out, "an extreme of an empty sequence");
    for (size_t i = 0; i < items->count; i++) {
        int order;
        TRY(fold(vm, &keys.list->items[i], jinja_truth(slots[0])));
        TRY(jinja_compare(vm, keys.list->items[i], keys.list->items[best], &order));
        if (greatest ? order > 0 : order < 0) best = i;
    }
    *out = items->items[best];
    return 0;
}

FILTER(filter_min) {
    return extreme(vm, v, args, false, out);
}
FILTER(filter_max) {
    return extreme(vm, v, args, true, out);
}

FILTER(filter_sum) {
    jinja_value slots[2], parts;
    TRY(jinja_bind(vm, "sum", "attribute start", args, slots));
    TRY(get_paths(vm, v, slots[0], &parts));
    *out = slots[1].kind == JINJA_UNDEFINED ? jinja_integer(0) : slots[1];
    for (size_t i = 0; i < parts.list->count; i++)
        TRY(jinja_binary(vm, '+', *out, parts.list->items[i], out));
    return 0;
}

/* The arguments after the first `skip` ones. */
static jinja_args rest_of(const jinja_args *args, size_t skip) {
    jinja_args rest = *args;
    if (skip) rest.positional += skip;
    rest.count -= skip;
    return rest;
}

static int name_argument(jinja_vm *vm, const char *filter, const jinja_args *args, size_t index,
                         char name[64]) {
    if (index >= args->count || args->positional[index].kind != JINJA_STRING ||
        args->positional[index].string->size > 63)
        return jinja_fail(vm, WEFT_ERR_FORMAT, "%s needs a name as its argument", filter);
    const jinja_string *s = args->positional[index].string;
    memcpy(name, s->data, s->size);
    name[s->size] = 0;
    return 0;
}

static int map_attribute(jinja_vm *vm, jinja_value v, const jinja_args *args, jinja_value *out) {
    jinja_value slots[2];
    TRY(jinja_bind(vm, "map", "attribute default", args, slots));
    TRY(get_paths(vm, v, slots[0], out));
    for (size_t i = 0; i < out->list->count; i++)
        if (out->list->items[i].kind == JINJA_UNDEFINED && slots[1].kind != JINJA_UNDEFINED)
            out->list->items[i] = slots[1];
    out->kind = JINJA_GENERATOR;
    return 0;
}

FILTER(filter_map) {
    const jinja_list *items;
    char name[64];
    if (!args->count && args->keyword_count) return map_attribute(vm, v, args, out);
    TRY(name_argument(vm, "map", args, 0, name));
    jinja_args rest = rest_of(args, 1);
    TRY(jinja_iterate(vm, v, &items));
    TRY(jinja_list_new(vm, JINJA_GENERATOR, items->count, out));
    for (size_t i = 0; i < items->count; i++) {
        jinja_value changed;
        TRY(jinja_enter(vm));
        TRY(jinja_apply_filter(vm, name, items->items[i], &rest, &changed));
        vm->recursion--;
        TRY(jinja_list_add(vm, out->list, changed));
    }
    return 0;
}

/* select, reject, selectattr and rejectattr: the items whose (attribute's) test is `wanted`. */
static int select_items(jinja_vm *vm, jinja_value v, const jinja_args *args, bool attribute,
                        bool wanted, jinja_value *out) {
    const jinja_list *items;
    char name[64] = "";
    size_t skip = attribute;
    if (args->count < skip) return jinja_fail(vm, WEFT_ERR_FORMAT, "selectattr needs an attribute");
    if (args->count > skip) TRY(name_argument(vm, "select", args, skip, name));
    jinja_args rest = rest_of(args, args->count > skip ? skip + 1 : skip);
    TRY(jinja_iterate(vm, v, &items));
    TRY(jinja_list_new(vm, JINJA_GENERATOR, 0, out));
    for (size_t i = 0; i < items->count; i++) {
        jinja_value part = items->items[i];
        if (attribute) TRY(get_path(vm, part, args->positional[0], &part));
        bool truth = jinja_truth(part);
        if (name[0]) TRY(jinja_apply_test(vm, name, part, &rest, &truth));
        if (truth == wanted) TRY(jinja_list_add(vm, out->list, items->items[i]));
    }
    return 0;
}

FILTER(filter_select) {
    return select_items(vm, v, args, false, true, out);
}
FILTER(filter_reject) {
    return select_items(vm, v, args, false, false, out);
}
FILTER(filter_selectattr) {
    return select_items(vm, v, args, true, true, out);
}
FILTER(filter_rejectattr) {
    return select_items(vm, v, args, true, false, out);
}

FILTER(filter_attr) {
    char name[64];
    TRY(name_argument(vm, "attr", args, 0, name));
    if (v.kind == JINJA_DICT) /* attributes only: a dictionary has its methods */
        return jinja_missing(vm, out, "attribute '%s' of a dict", name);
    return jinja_get_attribute(vm, v, name, out);
}

static const jinja_builtin filters[] = {
    {"trim", filter_trim},
    {"upper", filter_upper},
    {"lower", filter_lower},
    {"title", filter_title},
    {"capitalize", filter_capitalize},
    {"string", filter_string},
    {"replace", filter_replace},
    {"escape", filter_escape},
    {"e", filter_escape},
    {"forceescape", filter_escape},
    {"safe", filter_same},
    {"indent", filter_indent},
    {"format", filter_format},
    {"int", filter_int},
    {"float", filter_float},
    {"abs", filter_abs},
    {"round", filter_round},
    {"default", filter_default},
    {"d", filter_default},
    {"length", filter_length},
    {"count", filter_length},
    {"first", filter_first},
    {"last", filter_last},
    {"list", filter_list},
    {"join", filter_join},
    {"items", filter_items},
    {"sort", filter_sort},
    {"dictsort", filter_dictsort},
    {"unique", filter_unique},
    {"reverse", filter_reverse},
    {"min", filter_min},
    {"max", filter_max},
    {"sum", filter_sum},
    {"map", filter_map},
    {"select", filter_select},
    {"reject", filter_reject},
    {"selectattr", filter_selectattr},
    {"rejectattr", filter_rejectattr},
    {"attr", filter_attr},
    {"tojson", jinja_to_json},
};

int jinja_apply_filter(jinja_vm *vm, const char *name, jinja_value v, const jinja_args *args,
                       jinja_value *out) {
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++)
        if (!strcmp(name, filters[i].name)) return filters[i].call(vm, v, args, out);
    return jinja_fail(vm, WEFT_ERR_UNSUPPORTED, "there is no filter named '%.80s'", name);
}
