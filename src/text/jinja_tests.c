/* What may follow `is`. */
#include "text/jinja_eval.h"
#include "text/jinja_lex.h"

#include <string.h>

typedef int (*test_call)(jinja_vm *vm, int what, jinja_value v, jinja_value other, bool *out);

enum {
    IS_DEFINED,
    IS_UNDEFINED,
    IS_NONE,
    IS_STRING,
    IS_NUMBER,
    IS_INTEGER,
    IS_FLOAT,
    IS_BOOLEAN,
    IS_TRUE,
    IS_FALSE,
    IS_MAPPING,
    IS_SEQUENCE,
    IS_ITERABLE,
    IS_CALLABLE
};

static bool is_kind(int what, jinja_value v) {
    jinja_kind k = v.kind;
    bool sequence = k == JINJA_STRING || k == JINJA_LIST || k == JINJA_TUPLE || k == JINJA_DICT ||
                    k == JINJA_UNDEFINED;
    switch (what) {
    case IS_DEFINED:
        return k != JINJA_UNDEFINED;
    case IS_UNDEFINED:
        return k == JINJA_UNDEFINED;
    case IS_NONE:
        return k == JINJA_NONE;
    case IS_STRING:
        return k == JINJA_STRING;
    case IS_NUMBER:
        return jinja_is_number(v);
    case IS_INTEGER:
        return k == JINJA_INTEGER;
    case IS_FLOAT:
        return k == JINJA_FLOAT;
    case IS_BOOLEAN:
        return k == JINJA_BOOLEAN;
    case IS_TRUE:
        return k == JINJA_BOOLEAN && v.boolean;
    case IS_FALSE:
        return k == JINJA_BOOLEAN && !v.boolean;
    case IS_MAPPING:
        return k == JINJA_DICT;
    case IS_SEQUENCE:
        return sequence;
    case IS_ITERABLE:
        return sequence || k == JINJA_GENERATOR || k == JINJA_LOOP;
    default:
        return k == JINJA_METHOD || k == JINJA_MACRO || k == JINJA_FUNCTION;
    }
}

static int test_kind(jinja_vm *vm, int what, jinja_value v, jinja_value other, bool *out) {
    (void)vm, (void)other;
    *out = is_kind(what, v);
    return 0;
}

static int test_relation(jinja_vm *vm, int op, jinja_value v, jinja_value other, bool *out) {
    return jinja_relate(vm, op, v, other, out);
}

static int test_remainder(jinja_vm *vm, int remainder, jinja_value v, jinja_value other,
                          bool *out) {
    jinja_value rest;
    TRY(jinja_binary(vm, '%', v, other, &rest));
    return jinja_equal(vm, rest, jinja_integer(remainder), out);
}

static int test_parity(jinja_vm *vm, int remainder, jinja_value v, jinja_value other, bool *out) {
    (void)other;
    return test_remainder(vm, remainder, v, jinja_integer(2), out);
}

static int test_case(jinja_vm *vm, int to, jinja_value v, jinja_value other, bool *out) {
    jinja_value text, changed, opposite;
    bool same;
    (void)other;
    TRY(jinja_to_string(vm, v, &text));
    TRY(jinja_change_case(vm, text.string, (jinja_case)to, &changed));
    TRY(jinja_change_case(vm, text.string, to == CASE_UPPER ? CASE_LOWER : CASE_UPPER, &opposite));
    TRY(jinja_equal(vm, text, opposite, &same)); /* no letters: neither case */
    TRY(jinja_equal(vm, text, changed, out));
    *out = *out && !same;
    return 0;
}

static int test_same(jinja_vm *vm, int what, jinja_value v, jinja_value other, bool *out) {
    (void)what;
    *out = false;
    return v.kind == other.kind ? jinja_equal(vm, v, other, out) : 0;
}

static const struct {
    const char *name;
    test_call call;
    int what;
    size_t arguments;
} tests[] = {
    {"defined", test_kind, IS_DEFINED, 0},
    {"undefined", test_kind, IS_UNDEFINED, 0},
    {"none", test_kind, IS_NONE, 0},
    {"string", test_kind, IS_STRING, 0},
    {"number", test_kind, IS_NUMBER, 0},
    {"integer", test_kind, IS_INTEGER, 0},
    {"float", test_kind, IS_FLOAT, 0},
    {"boolean", test_kind, IS_BOOLEAN, 0},
    {"true", test_kind, IS_TRUE, 0},
    {"false", test_kind, IS_FALSE, 0},
    {"mapping", test_kind, IS_MAPPING, 0},
    {"sequence", test_kind, IS_SEQUENCE, 0},
    {"iterable", test_kind, IS_ITERABLE, 0},
    {"callable", test_kind, IS_CALLABLE, 0},
    {"odd", test_parity, 1, 0},
    {"even", test_parity, 0, 0},
    {"divisibleby", test_remainder, 0, 1},
    {"eq", test_relation, OP_EQUAL, 1},
    {"equalto", test_relation, OP_EQUAL, 1},
    {"==", test_relation, OP_EQUAL, 1},
    {"ne", test_relation, OP_UNEQUAL, 1},
    {"!=", test_relation, OP_UNEQUAL, 1},
    {"lt", test_relation, '<', 1},
    {"lessthan", test_relation, '<', 1},
    {"<", test_relation, '<', 1},
    {"le", test_relation, OP_LESS_EQUAL, 1},
    {"<=", test_relation, OP_LESS_EQUAL, 1},
    {"gt", test_relation, '>', 1},
    {"greaterthan", test_relation, '>', 1},
    {">", test_relation, '>', 1},
    {"ge", test_relation, OP_MORE_EQUAL, 1},
    {">=", test_relation, OP_MORE_EQUAL, 1},
    {"in", test_relation, OP_IN, 1},
    {"sameas", test_same, 0, 1},
    {"lower", test_case, CASE_LOWER, 0},
    {"upper", test_case, CASE_UPPER, 0},
};

int jinja_apply_test(jinja_vm *vm, const char *name, jinja_value v, const jinja_args *args,
                     bool *out) {
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
        if (strcmp(name, tests[i].name) != 0) continue;
        if (args->count != tests[i].arguments || args->keyword_count)
            return jinja_fail(vm, WEFT_ERR_FORMAT, "the test %s takes %zu arguments", name,
                              tests[i].arguments);
        jinja_value other = args->count ? args->positional[0] : jinja_undefined();
        return tests[i].call(vm, tests[i].what, v, other, out);
    }
    return jinja_fail(vm, WEFT_ERR_UNSUPPORTED, "there is no test named '%.80s'", name);
}
