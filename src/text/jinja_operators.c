/* Operators: arithmetic, comparison, attributes, items and slices, with Python's results. */
#include "text/jinja_eval.h"
#include "text/jinja_lex.h"

#include <math.h>
#include <string.h>

int jinja_fail_undefined(jinja_vm *vm, jinja_value v) {
    if (!v.string) return jinja_fail(vm, WEFT_ERR_FORMAT, "this value is undefined");
    return jinja_fail(vm, WEFT_ERR_FORMAT, "%.*s is undefined", (int)v.string->size,
                      v.string->data);
}

/* depth counts recursive loops only, which do not exist here. */
static int get_loop_attribute(jinja_vm *vm, const jinja_loop *loop, const char *name,
                              jinja_value *out) {
    int64_t count = (int64_t)loop->items->count, at = (int64_t)loop->index;
    const struct {
        const char *name;
        jinja_value value;
    } known[] = {
        {"index", jinja_integer(at + 1)},
        {"index0", jinja_integer(at)},
        {"revindex", jinja_integer(count - at)},
        {"revindex0", jinja_integer(count - at - 1)},
        {"first", jinja_boolean(at == 0)},
        {"last", jinja_boolean(at == count - 1)},
        {"length", jinja_integer(count)},
        {"depth", jinja_integer(1)},
        {"depth0", jinja_integer(0)},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strcmp(name, known[i].name) != 0) continue;
        *out = known[i].value;
        return 0;
    }
    bool previous = !strcmp(name, "previtem"), next = !strcmp(name, "nextitem");
    if ((previous && at > 0) || (next && at + 1 < count)) {
        *out = loop->items->items[previous ? at - 1 : at + 1];
        return 0;
    }
    return jinja_missing(vm, out, "'loop.%.80s'", name);
}

static int bind_method(jinja_vm *vm, jinja_value self, const jinja_builtin *method,
                       jinja_value *out) {
    jinja_bound *bound = jinja_alloc(vm, 1, sizeof *bound);
    if (!bound) return (int)vm->err.code;
    *bound = (jinja_bound){self, method};
    *out = (jinja_value){.kind = JINJA_METHOD, .bound = bound};
    return 0;
}

/* A method hides an item of the same name here, and the other way round in get_item. */
int jinja_get_attribute(jinja_vm *vm, jinja_value v, const char *name, jinja_value *out) {
    if (v.kind == JINJA_UNDEFINED) return jinja_fail_undefined(vm, v);
    const jinja_builtin *method = jinja_find_method(v.kind, name);
    if (method) return bind_method(vm, v, method, out);
    if (v.kind == JINJA_LOOP) return get_loop_attribute(vm, v.loop, name, out);
    if (v.kind == JINJA_DICT || v.kind == JINJA_NAMESPACE) {
        const jinja_value *found = jinja_dict_name(v.dict, name);
        TRY(jinja_spend(vm, v.dict->count / 16));
        if (found) {
            *out = *found;
            return 0;
        }
    }
    return jinja_missing(vm, out, "attribute '%.80s' of a %s", name, jinja_kind_name(v));
}

int jinja_get_item(jinja_vm *vm, jinja_value v, jinja_value key, jinja_value *out) {
    int64_t index;
    if (v.kind == JINJA_UNDEFINED) return jinja_fail_undefined(vm, v);
    if (v.kind == JINJA_DICT) {
        const jinja_value *found;
        TRY(jinja_dict_find(vm, v.dict, key, &found));
        if (found) {
            *out = *found;
            return 0;
        }
    }
    bool indexed = v.kind == JINJA_STRING || v.kind == JINJA_LIST || v.kind == JINJA_TUPLE;
    if (indexed && jinja_as_integer(key, &index)) return jinja_index(vm, v, index, out);
    if (key.kind != JINJA_STRING)
        return jinja_missing(vm, out, "an item of a %s by a %s", jinja_kind_name(v),
                             jinja_kind_name(key));
    char name[81];
    size_t size = key.string->size < sizeof name ? key.string->size : sizeof name - 1;
    memcpy(name, key.string->data, size);
    name[size] = 0;
    return jinja_get_attribute(vm, v, name, out);
}

/* Python's slice.indices: clamp the bounds for a sequence of length items. */
static int slice_bounds(jinja_vm *vm, const jinja_value bounds[3], int64_t length,
                        int64_t range[3]) {
    range[2] = 1;
    for (int i = 2; i >= 0; i--) {
        bool given = bounds[i].kind != JINJA_NONE;
        if (given && !jinja_as_integer(bounds[i], &range[i]))
            return jinja_fail(vm, WEFT_ERR_FORMAT, "a slice needs whole numbers, not a %s",
                              jinja_kind_name(bounds[i]));
        if (i == 2) {
            if (!range[2]) return jinja_fail(vm, WEFT_ERR_FORMAT, "the step of a slice is 0");
            if (range[2] > length + 1) range[2] = length + 1;
            if (range[2] < -length - 1) range[2] = -length - 1;
            continue;
        }
        int64_t low = range[2] < 0 ? -1 : 0, high = range[2] < 0 ? length - 1 : length;
        if (!given) {
            range[i] = (i == 0) == (range[2] > 0) ? low : high;
            continue;
        }
        if (range[i] < 0) range[i] = range[i] < -length ? low : range[i] + length;
        if (range[i] < low) range[i] = low;
        if (range[i] > high) range[i] = high;
    }
    return 0;
}

static int slice_string(jinja_vm *vm, const jinja_string *s, const int64_t range[3],
                        jinja_value *out) {
    const jinja_list *letters;
    if (range[2] == 1) { /* the usual case: cut without taking it to pieces */
        size_t begin = 0, end = 0;
        uint32_t code;
        for (int64_t i = 0; i < range[1] && end < s->size; i++) {
            if (i == range[0]) begin = end;
            end += jinja_utf8_next(s->data + end, s->size - end, &code);
        }
        TRY(jinja_spend(vm, 1 + end / 64));
        return range[0] >= range[1] ? jinja_slice(vm, s, 0, 0, out)
                                    : jinja_slice(vm, s, begin, end, out);
    }
    jinja_builder b = {0};
    jinja_value whole = {.kind = JINJA_STRING, .string = s};
    TRY(jinja_iterate(vm, whole, &letters));
    for (int64_t i = range[0]; range[2] > 0 ? i < range[1] : i > range[1]; i += range[2])
        TRY(jinja_builder_string(vm, &b, letters->items[i].string));
    return jinja_builder_done(vm, &b, out);
}

int jinja_get_slice(jinja_vm *vm, jinja_value v, const jinja_value bounds[3], jinja_value *out) {
    int64_t length, range[3];
    if (v.kind == JINJA_UNDEFINED) return jinja_fail_undefined(vm, v);
    if (v.kind != JINJA_STRING && v.kind != JINJA_LIST && v.kind != JINJA_TUPLE)
        return jinja_missing(vm, out, "a slice of a %s", jinja_kind_name(v));
    TRY(jinja_length(vm, v, &length));
    TRY(slice_bounds(vm, bounds, length, range));
    if (v.kind == JINJA_STRING) return slice_string(vm, v.string, range, out);
    TRY(jinja_list_new(vm, v.kind, 0, out));
    for (int64_t i = range[0]; range[2] > 0 ? i < range[1] : i > range[1]; i += range[2])
        TRY(jinja_list_add(vm, out->list, v.list->items[i]));
    return 0;
}

static int fail_overflow(jinja_vm *vm) {
    return jinja_fail(vm, WEFT_ERR_RANGE, "a whole number does not fit in 64 bits");
}

static int integer_power(jinja_vm *vm, int64_t base, int64_t exponent, jinja_value *out) {
    int64_t result = 1;
    if (exponent < 0) {
        if (!base) return jinja_fail(vm, WEFT_ERR_FORMAT, "0 to a negative power");
        *out = jinja_float(pow((double)base, (double)exponent));
        return 0;
    }
    bool overflow = false; /* of base, which matters only if it is used again */
    for (; exponent; exponent >>= 1) {
        if (exponent & 1 && (overflow || __builtin_mul_overflow(result, base, &result)))
            return fail_overflow(vm);
        overflow = overflow || __builtin_mul_overflow(base, base, &base);
    }
    *out = jinja_integer(result);
    return 0;
}

static int integer_binary(jinja_vm *vm, int op, int64_t a, int64_t b, jinja_value *out) {
    int64_t r = 0;
    bool overflow = false;
    if (op == OP_POWER) return integer_power(vm, a, b, out);
    if (op == '+')
        overflow = __builtin_add_overflow(a, b, &r);
    else if (op == '-')
        overflow = __builtin_sub_overflow(a, b, &r);
    else if (op == '*')
        overflow = __builtin_mul_overflow(a, b, &r);
    else if (!b)
        return jinja_fail(vm, WEFT_ERR_FORMAT, "division by zero");
    else if (op == '/') {
        *out = jinja_float((double)a / (double)b);
        return 0;
    } else if (b == -1) { /* INT64_MIN / -1 would trap */
        overflow = op == OP_FLOOR && __builtin_sub_overflow(0, a, &r);
    } else { /* the remainder has the divisor's sign */
        r = a % b;
        bool adjust = r && (r < 0) != (b < 0);
        r = op == '%' ? r + (adjust ? b : 0) : a / b - adjust;
    }
    if (overflow) return fail_overflow(vm);
    *out = jinja_integer(r);
    return 0;
}

static int float_binary(jinja_vm *vm, int op, double a, double b, jinja_value *out) {
    double r = 0;
    if ((op == '/' || op == OP_FLOOR || op == '%') && b == 0)
        return jinja_fail(vm, WEFT_ERR_FORMAT, "division by zero");
    if (op == '+')
        r = a + b;
    else if (op == '-')
        r = a - b;
    else if (op == '*')
        r = a * b;
    else if (op == '/')
        r = a / b;
    else if (op == OP_POWER)
        r = pow(a, b);
    else {
        double rest = fmod(a, b);
        if (rest && (rest < 0) != (b < 0)) rest += b;
        r = op == '%' ? rest : floor((a - rest) / b + 0.5);
    }
    *out = jinja_float(r);
    return 0;
}

static int repeat(jinja_vm *vm, jinja_value v, int64_t times, jinja_value *out) {
    if (v.kind == JINJA_STRING) {
        jinja_builder b = {0};
        for (int64_t i = 0; i < times && v.string->size; i++) {
            TRY(jinja_spend(vm, 1));
            TRY(jinja_builder_string(vm, &b, v.string));
        }
        return jinja_builder_done(vm, &b, out);
    }
    TRY(jinja_list_new(vm, v.kind, 0, out));
    for (int64_t i = 0; i < times && v.list->count; i++)
        for (size_t k = 0; k < v.list->count; k++)
            TRY(jinja_list_add(vm, out->list, v.list->items[k]));
    return 0;
}

static int join_lists(jinja_vm *vm, jinja_value a, jinja_value b, jinja_value *out) {
    TRY(jinja_list_new(vm, a.kind, a.list->count + b.list->count, out));
    for (size_t i = 0; i < a.list->count; i++) TRY(jinja_list_add(vm, out->list, a.list->items[i]));
    for (size_t i = 0; i < b.list->count; i++) TRY(jinja_list_add(vm, out->list, b.list->items[i]));
    return 0;
}

static int percent(jinja_vm *vm, jinja_value format, jinja_value v, jinja_value *out) {
    jinja_list one = {&v, 1, 1};
    return jinja_format_percent(vm, format.string, v.kind == JINJA_TUPLE ? v.list : &one, out);
}

int jinja_binary(jinja_vm *vm, int op, jinja_value a, jinja_value b, jinja_value *out) {
    int64_t x, y;
    bool a_list = a.kind == JINJA_LIST || a.kind == JINJA_TUPLE;
    bool b_list = b.kind == JINJA_LIST || b.kind == JINJA_TUPLE;
    if (a.kind == JINJA_UNDEFINED) return jinja_fail_undefined(vm, a);
    if (op == '%' && a.kind == JINJA_STRING) return percent(vm, a, b, out);
    if (b.kind == JINJA_UNDEFINED) return jinja_fail_undefined(vm, b);
    if (jinja_is_number(a) && jinja_is_number(b)) {
        if (jinja_as_integer(a, &x) && jinja_as_integer(b, &y))
            return integer_binary(vm, op, x, y, out);
        return float_binary(vm, op, jinja_as_double(a), jinja_as_double(b), out);
    }
    if (op == '+' && a.kind == JINJA_STRING && b.kind == JINJA_STRING) {
        jinja_builder text = {0};
        TRY(jinja_builder_string(vm, &text, a.string));
        TRY(jinja_builder_string(vm, &text, b.string));
        return jinja_builder_done(vm, &text, out);
    }
    if (op == '+' && a.kind == b.kind && a_list) return join_lists(vm, a, b, out);
    if (op == '*' && (a.kind == JINJA_STRING || a_list) && jinja_as_integer(b, &y))
        return repeat(vm, a, y, out);
    if (op == '*' && (b.kind == JINJA_STRING || b_list) && jinja_as_integer(a, &x))
        return repeat(vm, b, x, out);
    static const char *const names[] = {"**", "//"};
    char one[2] = {(char)op, 0};
    return jinja_fail(vm, WEFT_ERR_FORMAT, "%s %s %s has no meaning", jinja_kind_name(a),
                      op >= OP_POWER ? names[op - OP_POWER] : one, jinja_kind_name(b));
}

int jinja_relate(jinja_vm *vm, int op, jinja_value a, jinja_value b, bool *out) {
    int order;
    if (op == OP_EQUAL || op == OP_UNEQUAL) {
        TRY(jinja_equal(vm, a, b, out));
        *out = *out == (op == OP_EQUAL);
        return 0;
    }
    if (op == OP_IN || op == OP_NOT_IN) {
        TRY(jinja_contains(vm, b, a, out));
        *out = *out == (op == OP_IN);
        return 0;
    }
    if (a.kind == JINJA_UNDEFINED) return jinja_fail_undefined(vm, a);
    if (b.kind == JINJA_UNDEFINED) return jinja_fail_undefined(vm, b);
    if ((a.kind == JINJA_FLOAT && isnan(a.real)) || (b.kind == JINJA_FLOAT && isnan(b.real))) {
        *out = false;
        return 0;
    }
    TRY(jinja_compare(vm, a, b, &order));
    *out = op == '<'             ? order < 0
           : op == '>'           ? order > 0
           : op == OP_LESS_EQUAL ? order <= 0
                                 : order >= 0;
    return 0;
}
