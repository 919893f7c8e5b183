/* The tojson filter as chat templates have it: Python's json.dumps with ensure_ascii off by
 * default. Text in it keeps its provenance, so a content inside JSON is still content. */
#include "text/jinja_eval.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct json_style {
    bool ascii, sorted, indented;
    jinja_value indent, between, colon; /* strings */
} json_style;

static int add_string(jinja_vm *vm, jinja_builder *b, const jinja_string *s, bool ascii) {
    TRY(jinja_builder_text(vm, b, "\""));
    for (size_t i = 0, n; i < s->size; i += n) {
        uint32_t c;
        char escape[16];
        n = jinja_utf8_next(s->data + i, s->size - i, &c);
        static const char special[] = "\"\\\n\r\t\b\f", letters[] = "\"\\nrtbf";
        const char *found = c && c < 128 ? strchr(special, (int)c) : NULL;
        if (found)
            snprintf(escape, sizeof escape, "\\%c", letters[found - special]);
        else if (c < 0x20 || (ascii && c >= 0x7f && c < 0x10000 && c != 0x7f))
            snprintf(escape, sizeof escape, "\\u%04x", c);
        else if (ascii && c >= 0x10000)
            snprintf(escape, sizeof escape, "\\u%04x\\u%04x", 0xd800 + ((c - 0x10000) >> 10),
                     0xdc00 + (c & 0x3ff));
        else {
            TRY(jinja_builder_slice(vm, b, s, i, i + n));
            continue;
        }
        TRY(jinja_builder_add(vm, b, escape, strlen(escape), jinja_flags_at(s, i)));
    }
    return jinja_builder_text(vm, b, "\"");
}

static int add_json(jinja_vm *vm, jinja_builder *b, jinja_value v, const json_style *style,
                    int level);

static int add_break(jinja_vm *vm, jinja_builder *b, const json_style *style, int level) {
    if (!style->indented) return 0;
    TRY(jinja_builder_text(vm, b, "\n"));
    for (int i = 0; i < level; i++) TRY(jinja_builder_string(vm, b, style->indent.string));
    return 0;
}

static int add_list(jinja_vm *vm, jinja_builder *b, const jinja_list *list, const json_style *style,
                    int level) {
    if (!list->count) return jinja_builder_text(vm, b, "[]");
    for (size_t i = 0; i < list->count; i++) {
        if (i)
            TRY(jinja_builder_value(vm, b, style->between));
        else
            TRY(jinja_builder_text(vm, b, "["));
        TRY(add_break(vm, b, style, level + 1));
        TRY(add_json(vm, b, list->items[i], style, level + 1));
    }
    TRY(add_break(vm, b, style, level));
    return jinja_builder_text(vm, b, "]");
}

static int add_key(jinja_vm *vm, jinja_builder *b, jinja_value key, const json_style *style) {
    if (key.kind == JINJA_STRING) return add_string(vm, b, key.string, style->ascii);
    if (!jinja_is_number(key) && key.kind != JINJA_NONE)
        return jinja_fail(vm, WEFT_ERR_FORMAT, "a %s cannot be a key in JSON",
                          jinja_kind_name(key));
    TRY(jinja_builder_text(vm, b, "\""));
    TRY(add_json(vm, b, key, style, 0));
    return jinja_builder_text(vm, b, "\"");
}

/* Insertion sort of a copy: dictionaries of templates are small, and comparisons are paid for. */
static int sort_entries(jinja_vm *vm, const jinja_dict *dict, jinja_entry **out) {
    jinja_entry *sorted = jinja_alloc(vm, dict->count, sizeof *sorted);
    if (!sorted) return (int)vm->err.code;
    for (size_t i = 0; i < dict->count; i++) {
        size_t at = i;
        for (int order = 0; at > 0; at--) {
            TRY(jinja_compare(vm, sorted[at - 1].key, dict->entries[i].key, &order));
            if (order <= 0) break;
            sorted[at] = sorted[at - 1];
        }
        sorted[at] = dict->entries[i];
    }
    *out = sorted;
    return 0;
}

static int add_dict(jinja_vm *vm, jinja_builder *b, const jinja_dict *dict, const json_style *style,
                    int level) {
    if (!dict->count) return jinja_builder_text(vm, b, "{}");
    jinja_entry *entries = dict->entries;
    if (style->sorted) TRY(sort_entries(vm, dict, &entries));
    for (size_t i = 0; i < dict->count; i++) {
        if (i)
            TRY(jinja_builder_value(vm, b, style->between));
        else
            TRY(jinja_builder_text(vm, b, "{"));
        TRY(add_break(vm, b, style, level + 1));
        TRY(add_key(vm, b, entries[i].key, style));
        TRY(jinja_builder_value(vm, b, style->colon));
        TRY(add_json(vm, b, entries[i].value, style, level + 1));
    }
    TRY(add_break(vm, b, style, level));
    return jinja_builder_text(vm, b, "}");
}

static int add_json_inner(jinja_vm *vm, jinja_builder *b, jinja_value v, const json_style *style,
                          int level) {
    switch (v.kind) {
    case JINJA_NONE:
        return jinja_builder_text(vm, b, "null");
    case JINJA_BOOLEAN:
        return jinja_builder_text(vm, b, v.boolean ? "true" : "false");
    case JINJA_INTEGER:
        return jinja_builder_repr(vm, b, v);
    case JINJA_FLOAT:
        if (isnan(v.real)) return jinja_builder_text(vm, b, "NaN");
        if (isinf(v.real)) return jinja_builder_text(vm, b, v.real < 0 ? "-Infinity" : "Infinity");
        return jinja_builder_repr(vm, b, v);
    case JINJA_STRING:
        return add_string(vm, b, v.string, style->ascii);
    case JINJA_LIST:
    case JINJA_TUPLE:
        return add_list(vm, b, v.list, style, level);
    case JINJA_DICT:
        return add_dict(vm, b, v.dict, style, level);
    default:
        return jinja_fail(vm, WEFT_ERR_FORMAT, "a value of kind %s cannot become JSON",
                          jinja_kind_name(v));
    }
}

static int add_json(jinja_vm *vm, jinja_builder *b, jinja_value v, const json_style *style,
                    int level) {
    TRY(jinja_enter(vm));
    TRY(add_json_inner(vm, b, v, style, level));
    vm->recursion--;
    return 0;
}

static int read_style(jinja_vm *vm, const jinja_value slots[4], json_style *style) {
    int64_t width;
    style->ascii = jinja_truth(slots[0]);
    style->indented =
        jinja_truth(slots[1]) || slots[1].kind == JINJA_INTEGER || slots[1].kind == JINJA_STRING;
    style->indent = slots[1];
    style->sorted = jinja_truth(slots[3]);
    TRY(jinja_borrow_text(vm, style->indented ? "," : ", ", &style->between));
    TRY(jinja_borrow_text(vm, ": ", &style->colon));
    if (style->indented && jinja_as_integer(slots[1], &width)) {
        jinja_value space;
        TRY(jinja_borrow_text(vm, " ", &space));
        TRY(jinja_binary(vm, '*', space, jinja_integer(width), &style->indent));
    }
    if (style->indented && style->indent.kind != JINJA_STRING)
        return jinja_fail(vm, WEFT_ERR_FORMAT, "tojson's indent is a number or a string");
    if (slots[2].kind == JINJA_UNDEFINED || slots[2].kind == JINJA_NONE) return 0;
    bool pair = jinja_is_list(slots[2]) && slots[2].list->count == 2 &&
                slots[2].list->items[0].kind == JINJA_STRING &&
                slots[2].list->items[1].kind == JINJA_STRING;
    if (!pair) return jinja_fail(vm, WEFT_ERR_FORMAT, "tojson's separators are two strings");
    style->between = slots[2].list->items[0];
    style->colon = slots[2].list->items[1];
    return 0;
}

int jinja_to_json(jinja_vm *vm, jinja_value v, const jinja_args *args, jinja_value *out) {
    jinja_value slots[4];
    json_style style;
    jinja_builder b = {0};
    TRY(jinja_bind(vm, "tojson", "ensure_ascii indent separators sort_keys", args, slots));
    TRY(read_style(vm, slots, &style));
    TRY(add_json(vm, &b, v, &style, 0));
    return jinja_builder_done(vm, &b, out);
}
