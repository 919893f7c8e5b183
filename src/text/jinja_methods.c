/* Methods of strings, lists, dictionaries and loops, and the global functions. Methods that would
 * change a list or a dictionary are refused, as the sandbox of chat templates refuses them. */
#include "text/jinja_eval.h"

#include <string.h>
#include <time.h>

#define METHOD(name)                                                                               \
    static int name(jinja_vm *vm, jinja_value self, const jinja_args *args, jinja_value *out)

static int need_string(jinja_vm *vm, const char *what, jinja_value v) {
    if (v.kind == JINJA_STRING) return 0;
    return jinja_fail(vm, WEFT_ERR_FORMAT, "%s needs a string, not a %s", what, jinja_kind_name(v));
}

static int strip_sides(jinja_vm *vm, jinja_value self, const jinja_args *args, int sides,
                       jinja_value *out) {
    jinja_value chars;
    TRY(jinja_bind(vm, "strip", "chars", args, &chars));
    return jinja_strip(vm, self.string, chars, sides, out);
}

METHOD(str_strip) {
    return strip_sides(vm, self, args, 3, out);
}
METHOD(str_lstrip) {
    return strip_sides(vm, self, args, 1, out);
}
METHOD(str_rstrip) {
    return strip_sides(vm, self, args, 2, out);
}

static int change(jinja_vm *vm, jinja_value self, const jinja_args *args, jinja_case to,
                  jinja_value *out) {
    TRY(jinja_bind(vm, "this method", "", args, NULL));
    return jinja_change_case(vm, self.string, to, out);
}

METHOD(str_upper) {
    return change(vm, self, args, CASE_UPPER, out);
}
METHOD(str_lower) {
    return change(vm, self, args, CASE_LOWER, out);
}
METHOD(str_title) {
    return change(vm, self, args, CASE_TITLE, out);
}
METHOD(str_capitalize) {
    return change(vm, self, args, CASE_CAPITALISE, out);
}

static int add_slice(jinja_vm *vm, jinja_value list, const jinja_string *s, size_t begin,
                     size_t end) {
    jinja_value part;
    TRY(jinja_slice(vm, s, begin, end, &part));
    return jinja_list_add(vm, list.list, part);
}

static void reverse(jinja_list *list) {
    for (size_t i = 0; i < list->count / 2; i++) {
        jinja_value v = list->items[i];
        list->items[i] = list->items[list->count - 1 - i];
        list->items[list->count - 1 - i] = v;
    }
}

static size_t word_end(const jinja_string *s, size_t at) {
    uint32_t code;
    while (at < s->size) {
        size_t n = jinja_utf8_next(s->data + at, s->size - at, &code);
        if (jinja_is_space(code)) break;
        at += n;
    }
    return at;
}

static int split_words(jinja_vm *vm, const jinja_string *s, int64_t most, jinja_value list) {
    size_t at = jinja_skip_space(s->data, 0, s->size);
    while (at < s->size) {
        bool last = most == 0;
        size_t end = last ? s->size : word_end(s, at);
        TRY(add_slice(vm, list, s, at, end));
        if (last) return 0;
        most -= most > 0;
        at = jinja_skip_space(s->data, end, s->size);
    }
    return 0;
}

/* rsplit() by whitespace: the same from the end. */
static int split_words_back(jinja_vm *vm, const jinja_string *s, int64_t most, jinja_value list) {
    size_t end = jinja_trim_space(s->data, 0, s->size);
    while (end > 0) {
        size_t begin = end;
        while (begin > 0 && jinja_trim_space(s->data, 0, begin) == begin) begin--;
        while (begin < end && ((unsigned char)s->data[begin] >> 6) == 2) begin++;
        if (most == 0) begin = 0;
        TRY(jinja_spend(vm, 1 + (end - begin) / 16));
        if (begin < end) TRY(add_slice(vm, list, s, begin, end));
        if (most == 0) break;
        most -= most > 0;
        end = jinja_trim_space(s->data, 0, begin);
    }
    reverse(list.list);
    return 0;
}

static const char *find_last(const char *data, size_t size, const jinja_string *part) {
    if (part->size > size) return NULL;
    for (size_t at = size - part->size + 1; at-- > 0;)
        if (!memcmp(data + at, part->data, part->size)) return data + at;
    return NULL;
}

static int split_by(jinja_vm *vm, const jinja_string *s, const jinja_string *mark, int64_t most,
                    bool back, jinja_value list) {
    size_t begin = 0, end = s->size;
    if (!mark->size) return jinja_fail(vm, WEFT_ERR_FORMAT, "split by an empty string");
    for (; most != 0; most -= most > 0) {
        const char *found = begin == end ? NULL
                            : back       ? find_last(s->data, end, mark)
                                   : memmem(s->data + begin, end - begin, mark->data, mark->size);
        if (!found) break;
        size_t at = (size_t)(found - s->data);
        TRY(jinja_spend(vm, 1 + (back ? (end - at) * mark->size : at - begin) / 64));
        TRY(add_slice(vm, list, s, back ? at + mark->size : begin, back ? end : at));
        if (back)
            end = at;
        else
            begin = at + mark->size;
    }
    TRY(add_slice(vm, list, s, begin, end));
    if (back) reverse(list.list);
    return 0;
}

static int split(jinja_vm *vm, jinja_value self, const jinja_args *args, bool back,
                 jinja_value *out) {
    jinja_value slots[2];
    int64_t most = -1;
    TRY(jinja_bind(vm, "split", "sep maxsplit", args, slots));
    if (slots[1].kind != JINJA_UNDEFINED && !jinja_as_integer(slots[1], &most))
        return jinja_fail(vm, WEFT_ERR_FORMAT, "maxsplit is a whole number");
    TRY(jinja_list_new(vm, JINJA_LIST, 0, out));
    TRY(jinja_spend(vm, 1 + self.string->size / 64));
    if (slots[0].kind == JINJA_STRING)
        return split_by(vm, self.string, slots[0].string, most, back, *out);
    if (slots[0].kind != JINJA_NONE && slots[0].kind != JINJA_UNDEFINED)
        return need_string(vm, "split", slots[0]);
    return back ? split_words_back(vm, self.string, most, *out)
                : split_words(vm, self.string, most, *out);
}

METHOD(str_split) {
    return split(vm, self, args, false, out);
}
METHOD(str_rsplit) {
    return split(vm, self, args, true, out);
}

METHOD(str_splitlines) {
    jinja_value keep;
    const jinja_string *s = self.string;
    TRY(jinja_bind(vm, "splitlines", "keepends", args, &keep));
    TRY(jinja_list_new(vm, JINJA_LIST, 0, out));
    for (size_t begin = 0, at = 0; at < s->size;) {
        size_t end = at;
        char c = s->data[at++];
        if (c == '\r' && at < s->size && s->data[at] == '\n') at++;
        bool ends = c == '\n' || c == '\r' || c == '\v' || c == '\f' || (c >= 0x1c && c <= 0x1e);
        if (!ends && at < s->size) continue;
        TRY(add_slice(vm, *out, s, begin, !ends || jinja_truth(keep) ? at : end));
        begin = at;
    }
    return 0;
}

static bool has_affix(const jinja_string *s, const jinja_string *part, bool at_end) {
    return part->size <= s->size &&
           !memcmp(s->data + (at_end ? s->size - part->size : 0), part->data, part->size);
}

static int test_affix(jinja_vm *vm, jinja_value self, const jinja_args *args, bool at_end,
                      jinja_value *out) {
    jinja_value part;
    TRY(jinja_bind(vm, at_end ? "endswith" : "startswith", "affix!", args, &part));
    jinja_list one = {&part, 1, 1};
    const jinja_list *parts = part.kind == JINJA_TUPLE ? part.list : &one;
    bool found = false;
    for (size_t i = 0; i < parts->count && !found; i++) {
        TRY(need_string(vm, at_end ? "endswith" : "startswith", parts->items[i]));
        found = has_affix(self.string, parts->items[i].string, at_end);
    }
    *out = jinja_boolean(found);
    return 0;
}

METHOD(str_startswith) {
    return test_affix(vm, self, args, false, out);
}
METHOD(str_endswith) {
    return test_affix(vm, self, args, true, out);
}

static int remove_affix(jinja_vm *vm, jinja_value self, const jinja_args *args, bool at_end,
                        jinja_value *out) {
    jinja_value part;
    TRY(jinja_bind(vm, at_end ? "removesuffix" : "removeprefix", "affix!", args, &part));
    TRY(need_string(vm, at_end ? "removesuffix" : "removeprefix", part));
    size_t cut = has_affix(self.string, part.string, at_end) ? part.string->size : 0;
    return jinja_slice(vm, self.string, at_end ? 0 : cut, self.string->size - (at_end ? cut : 0),
                       out);
}

METHOD(str_removeprefix) {
    return remove_affix(vm, self, args, false, out);
}
METHOD(str_removesuffix) {
    return remove_affix(vm, self, args, true, out);
}

METHOD(str_replace) {
    jinja_value slots[3];
    int64_t count = -1;
    TRY(jinja_bind(vm, "replace", "old! new! count", args, slots));
    TRY(need_string(vm, "replace", slots[0]));
    TRY(need_string(vm, "replace", slots[1]));
    if (slots[2].kind != JINJA_UNDEFINED && !jinja_as_integer(slots[2], &count))
        return jinja_fail(vm, WEFT_ERR_FORMAT, "replace's count is a whole number");
    return jinja_replace(vm, self.string, slots[0].string, slots[1].string, count, out);
}

METHOD(str_join) {
    jinja_value items;
    const jinja_list *list;
    TRY(jinja_bind(vm, "join", "iterable!", args, &items));
    TRY(jinja_iterate(vm, items, &list));
    for (size_t i = 0; i < list->count; i++) TRY(need_string(vm, "join", list->items[i]));
    return jinja_join(vm, self.string, list, out);
}

/* The position in characters of the first or last occurrence, or -1. */
static int find(jinja_vm *vm, jinja_value self, const jinja_args *args, bool last, int64_t *at) {
    jinja_value part, before;
    const jinja_string *s = self.string;
    TRY(jinja_bind(vm, "find", "sub!", args, &part));
    TRY(need_string(vm, "find", part));
    TRY(jinja_spend(vm, 1 + s->size / 64));
    if (last) TRY(jinja_spend(vm, s->size / 64 * part.string->size));
    const char *found = last ? find_last(s->data, s->size, part.string)
                             : memmem(s->data, s->size, part.string->data, part.string->size);
    if (!part.string->size) found = last ? s->data + s->size : s->data;
    *at = -1;
    if (!found) return 0;
    TRY(jinja_slice(vm, s, 0, (size_t)(found - s->data), &before));
    return jinja_length(vm, before, at);
}

METHOD(str_find) {
    int64_t at;
    TRY(find(vm, self, args, false, &at));
    *out = jinja_integer(at);
    return 0;
}

METHOD(str_rfind) {
    int64_t at;
    TRY(find(vm, self, args, true, &at));
    *out = jinja_integer(at);
    return 0;
}

METHOD(str_index) {
    int64_t at;
    TRY(find(vm, self, args, false, &at));
    if (at < 0)
        return jinja_fail(vm, WEFT_ERR_FORMAT, "index: there is no such part in the string");
    *out = jinja_integer(at);
    return 0;
}

METHOD(str_count) {
    jinja_value part;
    int64_t n = 0;
    const jinja_string *s = self.string;
    TRY(jinja_bind(vm, "count", "sub!", args, &part));
    TRY(need_string(vm, "count", part));
    TRY(jinja_spend(vm, 1 + s->size / 64));
    if (!part.string->size) {
        TRY(jinja_length(vm, self, &n));
        *out = jinja_integer(n + 1);
        return 0;
    }
    const char *at = s->data, *end = s->data + s->size;
    while ((at = memmem(at, (size_t)(end - at), part.string->data, part.string->size))) {
        at += part.string->size;
        n++;
    }
    *out = jinja_integer(n);
    return jinja_spend(vm, (size_t)n);
}

static int all_bytes(jinja_vm *vm, jinja_value self, const jinja_args *args, const char *set,
                     jinja_value *out) {
    TRY(jinja_bind(vm, "this method", "", args, NULL));
    bool all = self.string->size > 0;
    for (size_t i = 0; all && i < self.string->size; i++)
        all = self.string->data[i] && strchr(set, self.string->data[i]);
    *out = jinja_boolean(all);
    return jinja_spend(vm, 1 + self.string->size / 16);
}

METHOD(str_isdigit) {
    return all_bytes(vm, self, args, "0123456789", out);
}

METHOD(str_isspace) {
    TRY(jinja_bind(vm, "isspace", "", args, NULL));
    const jinja_string *s = self.string;
    *out = jinja_boolean(s->size && jinja_skip_space(s->data, 0, s->size) == s->size);
    return 0;
}

/* str.format with {}, {0} and {name}, without format specifications. */
METHOD(str_format) {
    const jinja_string *s = self.string;
    jinja_builder b = {0};
    size_t next = 0;
    for (size_t i = 0; i < s->size; i++) {
        char c = s->data[i];
        if ((c == '{' || c == '}') && i + 1 < s->size && s->data[i + 1] == c) {
            TRY(jinja_builder_slice(vm, &b, s, i, i + 1));
            i++;
            continue;
        }
        if (c != '{') {
            if (c == '}') return jinja_fail(vm, WEFT_ERR_FORMAT, "format: a single '}'");
            TRY(jinja_builder_slice(vm, &b, s, i, i + 1));
            continue;
        }
        const char *close = memchr(s->data + i, '}', s->size - i);
        if (!close) return jinja_fail(vm, WEFT_ERR_FORMAT, "format: '{' without '}'");
        const char *name = s->data + i + 1;
        size_t size = (size_t)(close - name), k = 0, index = 0;
        while (k < args->keyword_count && (strlen(args->keywords[k].name) != size ||
                                           memcmp(args->keywords[k].name, name, size) != 0))
            k++;
        for (size_t d = 0; d < size && d < 6 && name[d] >= '0' && name[d] <= '9'; d++)
            index = index * 10 + (size_t)(name[d] - '0');
        if (!size)
            index = next++;
        else if (name[0] < '0' || name[0] > '9' || size > 6)
            index = SIZE_MAX;
        if (k == args->keyword_count && index >= args->count)
            return jinja_fail(vm, WEFT_ERR_FORMAT, "format has no value for {%.*s}",
                              size > 40 ? 40 : (int)size, name);
        TRY(jinja_builder_value(
            vm, &b, k < args->keyword_count ? args->keywords[k].value : args->positional[index]));
        i = (size_t)(close - s->data);
    }
    return jinja_builder_done(vm, &b, out);
}

METHOD(refuse_change) {
    (void)args, (void)out;
    return jinja_fail(vm, WEFT_ERR_FORMAT,
                      "a template may not change a %s; build a new one with + or a namespace",
                      jinja_kind_name(self));
}

METHOD(list_count) {
    jinja_value item;
    int64_t n = 0;
    bool same;
    TRY(jinja_bind(vm, "count", "value!", args, &item));
    for (size_t i = 0; i < self.list->count; i++) {
        TRY(jinja_equal(vm, self.list->items[i], item, &same));
        n += same;
    }
    *out = jinja_integer(n);
    return 0;
}

METHOD(list_index) {
    jinja_value item;
    bool same;
    TRY(jinja_bind(vm, "index", "value!", args, &item));
    for (size_t i = 0; i < self.list->count; i++) {
        TRY(jinja_equal(vm, self.list->items[i], item, &same));
        *out = jinja_integer((int64_t)i);
        if (same) return 0;
    }
    return jinja_fail(vm, WEFT_ERR_FORMAT, "index: there is no such item in the list");
}

METHOD(dict_get) {
    jinja_value slots[2];
    const jinja_value *found;
    TRY(jinja_bind(vm, "get", "key! default", args, slots));
    TRY(jinja_dict_find(vm, self.dict, slots[0], &found));
    *out = found ? *found : args->count + args->keyword_count > 1 ? slots[1] : jinja_none();
    return 0;
}

int jinja_dict_items(jinja_vm *vm, const jinja_dict *dict, jinja_value *out) {
    TRY(jinja_list_new(vm, JINJA_LIST, dict->count, out));
    for (size_t i = 0; i < dict->count; i++) {
        jinja_value pair;
        TRY(jinja_list_new(vm, JINJA_TUPLE, 2, &pair));
        TRY(jinja_list_add(vm, pair.list, dict->entries[i].key));
        TRY(jinja_list_add(vm, pair.list, dict->entries[i].value));
        TRY(jinja_list_add(vm, out->list, pair));
    }
    return 0;
}

METHOD(dict_items) {
    TRY(jinja_bind(vm, "items", "", args, NULL));
    return jinja_dict_items(vm, self.dict, out);
}

static int dict_side(jinja_vm *vm, jinja_value self, const jinja_args *args, bool keys,
                     jinja_value *out) {
    TRY(jinja_bind(vm, keys ? "keys" : "values", "", args, NULL));
    TRY(jinja_list_new(vm, JINJA_LIST, self.dict->count, out));
    for (size_t i = 0; i < self.dict->count; i++) {
        const jinja_entry *e = &self.dict->entries[i];
        TRY(jinja_list_add(vm, out->list, keys ? e->key : e->value));
    }
    return 0;
}

METHOD(dict_keys) {
    return dict_side(vm, self, args, true, out);
}
METHOD(dict_values) {
    return dict_side(vm, self, args, false, out);
}

METHOD(loop_cycle) {
    if (!args->count) return jinja_fail(vm, WEFT_ERR_FORMAT, "cycle needs values");
    *out = args->positional[self.loop->index % args->count];
    return 0;
}

static const jinja_builtin string_methods[] = {
    {"strip", str_strip},
    {"lstrip", str_lstrip},
    {"rstrip", str_rstrip},
    {"upper", str_upper},
    {"lower", str_lower},
    {"title", str_title},
    {"capitalize", str_capitalize},
    {"split", str_split},
    {"rsplit", str_rsplit},
    {"splitlines", str_splitlines},
    {"startswith", str_startswith},
    {"endswith", str_endswith},
    {"replace", str_replace},
    {"join", str_join},
    {"find", str_find},
    {"rfind", str_rfind},
    {"index", str_index},
    {"count", str_count},
    {"removeprefix", str_removeprefix},
    {"removesuffix", str_removesuffix},
    {"isdigit", str_isdigit},
    {"isspace", str_isspace},
    {"format", str_format},
    {NULL, NULL},
};
static const jinja_builtin list_methods[] = {
    {"count", list_count},
    {"index", list_index},
    {"append", refuse_change},
    {"extend", refuse_change},
    {"insert", refuse_change},
    {"pop", refuse_change},
    {"remove", refuse_change},
    {"clear", refuse_change},
    {"sort", refuse_change},
    {"reverse", refuse_change},
    {NULL, NULL},
};
static const jinja_builtin dict_methods[] = {
    {"get", dict_get},
    {"items", dict_items},
    {"keys", dict_keys},
    {"values", dict_values},
    {"update", refuse_change},
    {"pop", refuse_change},
    {"popitem", refuse_change},
    {"clear", refuse_change},
    {"setdefault", refuse_change},
    {NULL, NULL},
};
static const jinja_builtin loop_methods[] = {{"cycle", loop_cycle}, {NULL, NULL}};

const jinja_builtin *jinja_find_method(jinja_kind kind, const char *name) {
    const jinja_builtin *m = kind == JINJA_STRING                        ? string_methods
                             : kind == JINJA_LIST || kind == JINJA_TUPLE ? list_methods
                             : kind == JINJA_DICT                        ? dict_methods
                             : kind == JINJA_LOOP                        ? loop_methods
                                                                         : NULL;
    while (m && m->name && strcmp(m->name, name) != 0) m++;
    return m && m->name ? m : NULL;
}

/* Global functions. */

METHOD(raise_exception) {
    jinja_value message, text;
    (void)self, (void)out;
    TRY(jinja_bind(vm, "raise_exception", "message!", args, &message));
    TRY(jinja_to_string(vm, message, &text));
    int shown = text.string->size > 300 ? 300 : (int)text.string->size;
    return jinja_fail(vm, WEFT_ERR_ARGUMENT, "%.*s", shown, text.string->data);
}

METHOD(strftime_now) {
    jinja_value format;
    (void)self;
    TRY(jinja_bind(vm, "strftime_now", "format!", args, &format));
    TRY(need_string(vm, "strftime_now", format));
    char text[512], pattern[128];
    time_t now = (time_t)vm->now;
    struct tm local;
    if (format.string->size >= sizeof pattern || !localtime_r(&now, &local))
        return jinja_fail(vm, WEFT_ERR_RANGE,
                          "strftime_now: the format or the time is out of range");
    memcpy(pattern, format.string->data, format.string->size);
    pattern[format.string->size] = 0;
    size_t size = strftime(text, sizeof text, pattern, &local);
    return jinja_copy_text(vm, text, size, 0, out);
}

static int make_dict(jinja_vm *vm, jinja_kind kind, const jinja_args *args, jinja_value *out) {
    TRY(jinja_dict_new(vm, kind, out));
    if (args->count > 1) return jinja_fail(vm, WEFT_ERR_FORMAT, "one dictionary at most");
    if (args->count) {
        const jinja_list *items;
        jinja_value from = args->positional[0];
        if (from.kind == JINJA_DICT) TRY(jinja_dict_items(vm, from.dict, &from));
        TRY(jinja_iterate(vm, from, &items));
        for (size_t i = 0; i < items->count; i++) {
            const jinja_list *pair;
            TRY(jinja_iterate(vm, items->items[i], &pair));
            if (pair->count != 2) return jinja_fail(vm, WEFT_ERR_FORMAT, "dict needs pairs");
            TRY(jinja_dict_set(vm, out->dict, pair->items[0], pair->items[1]));
        }
    }
    for (size_t i = 0; i < args->keyword_count; i++) {
        jinja_value key;
        TRY(jinja_borrow_text(vm, args->keywords[i].name, &key));
        TRY(jinja_dict_set(vm, out->dict, key, args->keywords[i].value));
    }
    return 0;
}

METHOD(make_namespace) {
    (void)self;
    return make_dict(vm, JINJA_NAMESPACE, args, out);
}

METHOD(call_dict) {
    (void)self;
    return make_dict(vm, JINJA_DICT, args, out);
}

METHOD(range) {
    jinja_value slots[3];
    int64_t v[3] = {0, 0, 1};
    (void)self;
    TRY(jinja_bind(vm, "range", "start! stop step", args, slots));
    for (size_t i = 0; i < args->count; i++)
        if (!jinja_as_integer(slots[i], &v[i]))
            return jinja_fail(vm, WEFT_ERR_FORMAT, "range needs whole numbers");
    if (args->count == 1) {
        v[1] = v[0];
        v[0] = 0;
    }
    if (!v[2]) return jinja_fail(vm, WEFT_ERR_FORMAT, "range's step is 0");
    TRY(jinja_list_new(vm, JINJA_LIST, 0, out));
    for (int64_t i = v[0]; v[2] > 0 ? i < v[1] : i > v[1];) {
        if (out->list->count == JINJA_RANGE_MAX)
            return jinja_fail(vm, WEFT_ERR_RANGE, "a range of more than %d items", JINJA_RANGE_MAX);
        TRY(jinja_list_add(vm, out->list, jinja_integer(i)));
        if (__builtin_add_overflow(i, v[2], &i)) break;
    }
    return 0;
}

int jinja_add_globals(jinja_vm *vm, jinja_scope *scope) {
    static const jinja_builtin functions[] = {
        {"raise_exception", raise_exception},
        {"strftime_now", strftime_now},
        {"namespace", make_namespace},
        {"dict", call_dict},
        {"range", range},
    };
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        jinja_value f = {.kind = JINJA_FUNCTION, .builtin = &functions[i]};
        TRY(jinja_scope_set(vm, scope, functions[i].name, f));
    }
    return 0;
}
