/* Values: making, comparing and looking into them, as Python does. */
#include "text/jinja_value.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int jinja_fail(jinja_vm *vm, weft_status code, const char *format, ...) {
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return err_set_at(&vm->err, code, vm->line, "chat template, line %u, column %u: %s", vm->line,
                      vm->column, text);
}

int jinja_spend(jinja_vm *vm, size_t steps) {
    if (vm->steps_left < 0 || steps > (uint64_t)vm->steps_left)
        return jinja_fail(vm, WEFT_ERR_RANGE, "the template takes too many steps");
    vm->steps_left -= (int64_t)steps;
    return 0;
}

int jinja_enter(jinja_vm *vm) {
    if (++vm->recursion > JINJA_RECURSION_MAX)
        return jinja_fail(vm, WEFT_ERR_RANGE, "nested deeper than %d levels", JINJA_RECURSION_MAX);
    return jinja_spend(vm, 1);
}

void *jinja_alloc(jinja_vm *vm, size_t count, size_t size) {
    weft_error why;
    void *p = arena_alloc(&vm->memory, count, size, &why);
    if (!p) jinja_fail(vm, why.code, "%s", why.message);
    return p;
}

jinja_value jinja_undefined(void) {
    return (jinja_value){.kind = JINJA_UNDEFINED, .string = NULL};
}
jinja_value jinja_none(void) {
    return (jinja_value){.kind = JINJA_NONE};
}
jinja_value jinja_boolean(bool b) {
    return (jinja_value){.kind = JINJA_BOOLEAN, .boolean = b};
}
jinja_value jinja_integer(int64_t i) {
    return (jinja_value){.kind = JINJA_INTEGER, .integer = i};
}
jinja_value jinja_float(double f) {
    return (jinja_value){.kind = JINJA_FLOAT, .real = f};
}

int jinja_missing(jinja_vm *vm, jinja_value *out, const char *format, ...) {
    char text[200];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    jinja_value why;
    TRY(jinja_copy_text(vm, text, strlen(text), 0, &why));
    *out = (jinja_value){.kind = JINJA_UNDEFINED, .string = why.string};
    return 0;
}

int jinja_list_new(jinja_vm *vm, jinja_kind kind, size_t capacity, jinja_value *out) {
    jinja_list *list = jinja_alloc(vm, 1, sizeof *list);
    *out = (jinja_value){.kind = kind, .list = list};
    if (!list) return (int)vm->err.code;
    if (capacity) {
        list->items = jinja_alloc(vm, capacity, sizeof *list->items);
        if (!list->items) return (int)vm->err.code;
        list->capacity = capacity;
    }
    return 0;
}

int jinja_list_add(jinja_vm *vm, jinja_list *list, jinja_value item) {
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? list->capacity * 2 : 4;
        jinja_value *items = jinja_alloc(vm, capacity, sizeof *items);
        if (!items) return (int)vm->err.code;
        if (list->count) memcpy(items, list->items, list->count * sizeof *items);
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count++] = item;
    return jinja_spend(vm, 1);
}

int jinja_dict_new(jinja_vm *vm, jinja_kind kind, jinja_value *out) {
    jinja_dict *dict = jinja_alloc(vm, 1, sizeof *dict);
    if (!dict) return (int)vm->err.code;
    *out = (jinja_value){.kind = kind, .dict = dict};
    return 0;
}

static bool is_hashable(jinja_value v) {
    return v.kind != JINJA_LIST && v.kind != JINJA_DICT && v.kind != JINJA_GENERATOR;
}

int jinja_dict_find(jinja_vm *vm, const jinja_dict *dict, jinja_value key,
                    const jinja_value **out) {
    *out = NULL;
    TRY(jinja_spend(vm, dict->count));
    for (size_t i = 0; i < dict->count; i++) {
        bool same;
        TRY(jinja_equal(vm, dict->entries[i].key, key, &same));
        if (!same) continue;
        *out = &dict->entries[i].value;
        break;
    }
    return 0;
}

const jinja_value *jinja_dict_name(const jinja_dict *dict, const char *name) {
    for (size_t i = 0; i < dict->count; i++)
        if (jinja_is_text(dict->entries[i].key, name)) return &dict->entries[i].value;
    return NULL;
}

int jinja_dict_set(jinja_vm *vm, jinja_dict *dict, jinja_value key, jinja_value value) {
    if (!is_hashable(key))
        return jinja_fail(vm, WEFT_ERR_FORMAT, "a %s cannot be a key", jinja_kind_name(key));
    const jinja_value *found;
    TRY(jinja_dict_find(vm, dict, key, &found));
    if (found) {
        dict->entries[(const jinja_entry *)(const void *)((const char *)found -
                                                          offsetof(jinja_entry, value)) -
                      dict->entries]
            .value = value;
        return 0;
    }
    if (dict->count == dict->capacity) {
        size_t capacity = dict->capacity ? dict->capacity * 2 : 4;
        jinja_entry *entries = jinja_alloc(vm, capacity, sizeof *entries);
        if (!entries) return (int)vm->err.code;
        if (dict->count) memcpy(entries, dict->entries, dict->count * sizeof *entries);
        dict->entries = entries;
        dict->capacity = capacity;
    }
    dict->entries[dict->count++] = (jinja_entry){key, value};
    return 0;
}

bool jinja_is_list(jinja_value v) {
    return v.kind == JINJA_LIST || v.kind == JINJA_TUPLE || v.kind == JINJA_GENERATOR;
}

bool jinja_is_number(jinja_value v) {
    return v.kind == JINJA_BOOLEAN || v.kind == JINJA_INTEGER || v.kind == JINJA_FLOAT;
}

bool jinja_is_text(jinja_value v, const char *text) {
    size_t size = strlen(text);
    return v.kind == JINJA_STRING && v.string->size == size && !memcmp(v.string->data, text, size);
}

double jinja_as_double(jinja_value v) {
    return v.kind == JINJA_FLOAT ? v.real : v.kind == JINJA_BOOLEAN ? v.boolean : (double)v.integer;
}

bool jinja_as_integer(jinja_value v, int64_t *out) {
    *out = v.kind == JINJA_BOOLEAN ? v.boolean : v.kind == JINJA_INTEGER ? v.integer : 0;
    return v.kind == JINJA_BOOLEAN || v.kind == JINJA_INTEGER;
}

bool jinja_truth(jinja_value v) {
    switch (v.kind) {
    case JINJA_UNDEFINED:
    case JINJA_NONE:
        return false;
    case JINJA_BOOLEAN:
        return v.boolean;
    case JINJA_INTEGER:
        return v.integer != 0;
    case JINJA_FLOAT:
        return v.real != 0;
    case JINJA_STRING:
        return v.string->size != 0;
    case JINJA_LIST:
    case JINJA_TUPLE:
        return v.list->count != 0;
    case JINJA_DICT:
        return v.dict->count != 0;
    default:
        return true;
    }
}

const char *jinja_kind_name(jinja_value v) {
    static const char *const names[] = {"undefined", "NoneType", "bool",  "int",       "float",
                                        "str",       "list",     "tuple", "generator", "dict",
                                        "namespace", "loop",     "macro", "method",    "function"};
    return names[v.kind];
}

static int equal_lists(jinja_vm *vm, const jinja_list *a, const jinja_list *b, bool *out) {
    *out = a->count == b->count;
    for (size_t i = 0; *out && i < a->count; i++)
        TRY(jinja_equal(vm, a->items[i], b->items[i], out));
    return 0;
}

static int equal_dicts(jinja_vm *vm, const jinja_dict *a, const jinja_dict *b, bool *out) {
    *out = a->count == b->count;
    for (size_t i = 0; *out && i < a->count; i++) {
        const jinja_value *other;
        TRY(jinja_dict_find(vm, b, a->entries[i].key, &other));
        *out = other != NULL;
        if (other) TRY(jinja_equal(vm, a->entries[i].value, *other, out));
    }
    return 0;
}

static int equal_inner(jinja_vm *vm, jinja_value a, jinja_value b, bool *out) {
    *out = false;
    if (jinja_is_number(a) && jinja_is_number(b)) {
        if (a.kind == JINJA_FLOAT || b.kind == JINJA_FLOAT) {
            *out = jinja_as_double(a) == jinja_as_double(b);
        } else {
            int64_t x, y;
            jinja_as_integer(a, &x);
            jinja_as_integer(b, &y);
            *out = x == y;
        }
        return 0;
    }
    if (a.kind != b.kind) return 0;
    switch (a.kind) {
    case JINJA_UNDEFINED:
    case JINJA_NONE:
        *out = true;
        return 0;
    case JINJA_STRING:
        TRY(jinja_spend(vm, 1 + a.string->size / 256));
        *out = a.string->size == b.string->size &&
               !memcmp(a.string->data, b.string->data, a.string->size);
        return 0;
    case JINJA_LIST:
    case JINJA_TUPLE:
        return equal_lists(vm, a.list, b.list, out);
    case JINJA_DICT:
        return equal_dicts(vm, a.dict, b.dict, out);
    default:
        *out = a.list == b.list;
        return 0; /* the same object */
    }
}

int jinja_equal(jinja_vm *vm, jinja_value a, jinja_value b, bool *out) {
    TRY(jinja_enter(vm));
    TRY(equal_inner(vm, a, b, out));
    vm->recursion--;
    return 0;
}

static int compare_lists(jinja_vm *vm, const jinja_list *a, const jinja_list *b, int *order) {
    for (size_t i = 0; i < a->count && i < b->count; i++) {
        bool same;
        TRY(jinja_equal(vm, a->items[i], b->items[i], &same));
        if (!same) return jinja_compare(vm, a->items[i], b->items[i], order);
    }
    *order = (a->count > b->count) - (a->count < b->count);
    return 0;
}

int jinja_compare(jinja_vm *vm, jinja_value a, jinja_value b, int *order) {
    TRY(jinja_spend(vm, 1));
    if (jinja_is_number(a) && jinja_is_number(b)) {
        if (a.kind == JINJA_FLOAT || b.kind == JINJA_FLOAT) {
            double x = jinja_as_double(a), y = jinja_as_double(b);
            *order = (x > y) - (x < y);
        } else {
            int64_t x, y;
            jinja_as_integer(a, &x);
            jinja_as_integer(b, &y);
            *order = (x > y) - (x < y);
        }
        return 0;
    }
    if (a.kind == JINJA_STRING && b.kind == JINJA_STRING) { /* UTF-8 sorts as its characters do */
        size_t size = a.string->size < b.string->size ? a.string->size : b.string->size;
        TRY(jinja_spend(vm, size / 256));
        *order = size ? memcmp(a.string->data, b.string->data, size) : 0;
        if (!*order) *order = (a.string->size > b.string->size) - (a.string->size < b.string->size);
        return 0;
    }
    if (a.kind == b.kind && (a.kind == JINJA_LIST || a.kind == JINJA_TUPLE)) {
        TRY(jinja_enter(vm));
        TRY(compare_lists(vm, a.list, b.list, order));
        vm->recursion--;
        return 0;
    }
    return jinja_fail(vm, WEFT_ERR_FORMAT, "%s and %s have no order", jinja_kind_name(a),
                      jinja_kind_name(b));
}

int jinja_contains(jinja_vm *vm, jinja_value container, jinja_value item, bool *out) {
    *out = false;
    if (container.kind == JINJA_STRING) {
        if (item.kind != JINJA_STRING)
            return jinja_fail(vm, WEFT_ERR_FORMAT, "a %s cannot be in a string",
                              jinja_kind_name(item));
        const jinja_string *s = container.string, *part = item.string;
        *out = !part->size || (s->size && memmem(s->data, s->size, part->data, part->size));
        return jinja_spend(vm, 1 + s->size / 64);
    }
    if (container.kind == JINJA_DICT) {
        const jinja_value *found;
        TRY(jinja_dict_find(vm, container.dict, item, &found));
        *out = found != NULL;
        return 0;
    }
    const jinja_list *items;
    TRY(jinja_iterate(vm, container, &items));
    for (size_t i = 0; !*out && i < items->count; i++)
        TRY(jinja_equal(vm, items->items[i], item, out));
    return 0;
}

static int iterate_string(jinja_vm *vm, const jinja_string *s, jinja_list *list) {
    for (size_t i = 0, n; i < s->size; i += n) {
        uint32_t code;
        jinja_value letter;
        n = jinja_utf8_next(s->data + i, s->size - i, &code);
        TRY(jinja_slice(vm, s, i, i + n, &letter));
        TRY(jinja_list_add(vm, list, letter));
    }
    return 0;
}

int jinja_iterate(jinja_vm *vm, jinja_value v, const jinja_list **out) {
    if (jinja_is_list(v)) {
        *out = v.list;
        return 0;
    }
    jinja_value list;
    TRY(jinja_list_new(vm, JINJA_LIST, v.kind == JINJA_DICT ? v.dict->count : 0, &list));
    *out = list.list;
    if (v.kind == JINJA_UNDEFINED) return 0;
    if (v.kind == JINJA_STRING) return iterate_string(vm, v.string, list.list);
    if (v.kind != JINJA_DICT)
        return jinja_fail(vm, WEFT_ERR_FORMAT, "a %s cannot be iterated over", jinja_kind_name(v));
    for (size_t i = 0; i < v.dict->count; i++)
        TRY(jinja_list_add(vm, list.list, v.dict->entries[i].key));
    return 0;
}

int jinja_length(jinja_vm *vm, jinja_value v, int64_t *out) {
    *out = 0;
    if (v.kind == JINJA_UNDEFINED) return 0;
    if (v.kind == JINJA_LIST || v.kind == JINJA_TUPLE)
        *out = (int64_t)v.list->count;
    else if (v.kind == JINJA_DICT)
        *out = (int64_t)v.dict->count;
    else if (v.kind == JINJA_LOOP)
        *out = (int64_t)v.loop->items->count;
    else if (v.kind == JINJA_STRING) {
        TRY(jinja_spend(vm, 1 + v.string->size / 64));
        uint32_t code;
        for (size_t i = 0; i < v.string->size; (*out)++)
            i += jinja_utf8_next(v.string->data + i, v.string->size - i, &code);
    } else
        return jinja_fail(vm, WEFT_ERR_FORMAT, "a %s has no length", jinja_kind_name(v));
    return 0;
}

int jinja_index(jinja_vm *vm, jinja_value v, int64_t index, jinja_value *out) {
    int64_t length;
    TRY(jinja_length(vm, v, &length));
    if (index < 0) index += length;
    if (index < 0 || index >= length)
        return jinja_missing(vm, out, "item %lld of a %s of %lld", (long long)index,
                             jinja_kind_name(v), (long long)length);
    if (v.kind != JINJA_STRING) {
        *out = v.list->items[index];
        return 0;
    }
    size_t at = 0, n = 0;
    uint32_t code;
    for (int64_t i = 0; i <= index; i++) {
        at += n;
        n = jinja_utf8_next(v.string->data + at, v.string->size - at, &code);
    }
    return jinja_slice(vm, v.string, at, at + n, out);
}

/* The position of the parameter called name, or -1. */
static int find_parameter(const char *names, const char *name) {
    size_t size = strlen(name);
    for (int i = 0; *names; i++) {
        size_t n = strcspn(names, " !");
        if (n == size && !memcmp(names, name, n)) return i;
        names += strcspn(names, " ");
        if (*names) names++;
    }
    return -1;
}

int jinja_bind(jinja_vm *vm, const char *function, const char *names, const jinja_args *args,
               jinja_value *slots) {
    size_t count = 0, given = 0;
    for (const char *p = names; *p; p += *p == ' ') {
        slots[count++] = jinja_undefined();
        p += strcspn(p, " ");
    }
    if (args->count > count)
        return jinja_fail(vm, WEFT_ERR_FORMAT, "%s takes at most %zu arguments, not %zu", function,
                          count, args->count);
    for (; given < args->count; given++) slots[given] = args->positional[given];
    uint64_t filled = ((uint64_t)1 << given) - 1;
    for (size_t i = 0; i < args->keyword_count; i++) {
        int at = find_parameter(names, args->keywords[i].name);
        if (at < 0 || filled >> at & 1)
            return jinja_fail(vm, WEFT_ERR_FORMAT, "%s has no %sargument %s", function,
                              at < 0 ? "" : "second ", args->keywords[i].name);
        slots[at] = args->keywords[i].value;
        filled |= (uint64_t)1 << at;
    }
    for (size_t i = 0; *names; i++) {
        size_t n = strcspn(names, " ");
        if (names[n - 1] == '!' && !(filled >> i & 1))
            return jinja_fail(vm, WEFT_ERR_FORMAT, "%s needs its argument %.*s", function,
                              (int)n - 1, names);
        names += n + (names[n] == ' ');
    }
    return 0;
}
