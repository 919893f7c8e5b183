/* Expressions, by recursive descent with Jinja's precedence: choice, or, and, not, comparison, + -,
 * ~,
 * * / // %, **, sign, then attributes, calls, filters and tests. */
#include "text/jinja_parse_internal.h"

#include <string.h>

static int parse_or(jinja_parser *p, jinja_node **out);
static int parse_unary(jinja_parser *p, bool with_filters, jinja_node **out);

static void append(jinja_node **list, jinja_node **last, jinja_node *node) {
    if (*last)
        (*last)->next = node;
    else
        *list = node;
    *last = node;
}

/* Put *node under a new node of this kind, which takes its place. */
static int wrap(jinja_parser *p, jinja_node_kind kind, jinja_node **node) {
    jinja_node *outer;
    TRY(jinja_parser_node(p, kind, &outer));
    outer->left = *node;
    *node = outer;
    return 0;
}

static int parse_list_items(jinja_parser *p, char close, jinja_node *list) {
    jinja_node *last = NULL, *item;
    while (!jinja_parser_is_op(p, close)) {
        TRY(jinja_parse_expression(p, &item));
        append(&list->items, &last, item);
        if (list->kind == NODE_DICT) {
            TRY(jinja_parser_expect_op(p, ':', "':' after a key"));
            TRY(jinja_parse_expression(p, &item));
            append(&list->items, &last, item);
        }
        if (jinja_parser_is_op(p, close)) break;
        TRY(jinja_parser_expect_op(p, ',', "',' or the closing bracket"));
    }
    return jinja_parser_advance(p);
}

static int parse_constant(jinja_parser *p, jinja_value value, jinja_node **out) {
    TRY(jinja_parser_node(p, NODE_CONSTANT, out));
    (*out)->value = value;
    return jinja_parser_advance(p);
}

/* String literals that stand beside each other are one. */
static int parse_string(jinja_parser *p, jinja_node **out) {
    jinja_string *s = arena_alloc(p->memory, 1, sizeof *s, p->err);
    if (!s) return p->err->code;
    TRY(jinja_parser_node(p, NODE_CONSTANT, out));
    (*out)->value = (jinja_value){.kind = JINJA_STRING, .string = s};
    s->data = p->token.data;
    s->size = p->token.size;
    TRY(jinja_parser_advance(p));
    while (p->token.kind == TOKEN_STRING) {
        char *joined = arena_alloc(p->memory, s->size + p->token.size + 1, 1, p->err);
        if (!joined) return p->err->code;
        memcpy(joined, s->data, s->size);
        memcpy(joined + s->size, p->token.data, p->token.size);
        s->data = joined;
        s->size += p->token.size;
        TRY(jinja_parser_advance(p));
    }
    return 0;
}

static int parse_name(jinja_parser *p, jinja_node **out) {
    if (jinja_parser_is_name(p, "true") || jinja_parser_is_name(p, "True"))
        return parse_constant(p, jinja_boolean(true), out);
    if (jinja_parser_is_name(p, "false") || jinja_parser_is_name(p, "False"))
        return parse_constant(p, jinja_boolean(false), out);
    if (jinja_parser_is_name(p, "none") || jinja_parser_is_name(p, "None"))
        return parse_constant(p, jinja_none(), out);
    TRY(jinja_parser_node(p, NODE_NAME, out));
    return jinja_parser_name(p, "a name", &(*out)->name);
}

static int parse_parentheses(jinja_parser *p, jinja_node **out) {
    TRY(jinja_parser_advance(p));
    if (jinja_parser_is_op(p, ')')) {
        TRY(jinja_parser_node(p, NODE_TUPLE, out));
        return jinja_parser_advance(p);
    }
    TRY(jinja_parse_tuple(p, true, out));
    return jinja_parser_expect_op(p, ')', "')'");
}

int jinja_parse_primary(jinja_parser *p, jinja_node **out) {
    switch (p->token.kind) {
    case TOKEN_NAME:
        return parse_name(p, out);
    case TOKEN_STRING:
        return parse_string(p, out);
    case TOKEN_INTEGER:
        return parse_constant(p, jinja_integer(p->token.integer), out);
    case TOKEN_FLOAT:
        return parse_constant(p, jinja_float(p->token.real), out);
    default:
        break;
    }
    if (jinja_parser_is_op(p, '(')) return parse_parentheses(p, out);
    bool list = jinja_parser_is_op(p, '[');
    if (!list && !jinja_parser_is_op(p, '{')) return jinja_parser_fail(p, "an expression");
    TRY(jinja_parser_node(p, list ? NODE_LIST : NODE_DICT, out));
    TRY(jinja_parser_advance(p));
    return parse_list_items(p, list ? ']' : '}', *out);
}

static int parse_arguments(jinja_parser *p, jinja_node **items) {
    jinja_node *last = NULL, *item;
    bool keywords = false;
    TRY(jinja_parser_advance(p));
    while (!jinja_parser_is_op(p, ')')) {
        if (p->token.kind == TOKEN_NAME) TRY(jinja_parser_peek(p));
        if (jinja_parser_is_op(p, '*') || jinja_parser_is_op(p, OP_POWER)) {
            TRY(jinja_parser_node(p, NODE_SPREAD, &item));
            item->op = p->token.op;
            TRY(jinja_parser_advance(p));
            TRY(jinja_parse_expression(p, &item->left));
        } else if (p->token.kind == TOKEN_NAME && p->ahead.kind == TOKEN_OPERATOR &&
                   p->ahead.op == '=') {
            TRY(jinja_parser_node(p, NODE_KEYWORD, &item));
            TRY(jinja_parser_name(p, "a name", &item->name));
            TRY(jinja_parser_advance(p));
            TRY(jinja_parse_expression(p, &item->left));
            keywords = true;
        } else {
            if (keywords)
                return jinja_parser_fail(p, "a keyword argument, since one stands before");
            TRY(jinja_parse_expression(p, &item));
        }
        append(items, &last, item);
        if (jinja_parser_is_op(p, ')')) break;
        TRY(jinja_parser_expect_op(p, ',', "',' or ')'"));
    }
    return jinja_parser_advance(p);
}

static int parse_call(jinja_parser *p, jinja_node **node) {
    TRY(wrap(p, NODE_CALL, node));
    return parse_arguments(p, &(*node)->items);
}

/* begin:end:step, of which the first may be parsed already. */
static int parse_slice(jinja_parser *p, jinja_node *slice, jinja_node *first) {
    jinja_node *last = NULL;
    for (int part = 0; part < 3; part++) {
        jinja_node *item = part ? NULL : first;
        bool end = jinja_parser_is_op(p, ']');
        if (part && !end && !jinja_parser_is_op(p, ':')) TRY(jinja_parse_expression(p, &item));
        if (!item) {
            TRY(jinja_parser_node(p, NODE_CONSTANT, &item));
            item->value = jinja_none();
        }
        append(&slice->items, &last, item);
        if (part < 2 && jinja_parser_is_op(p, ':')) TRY(jinja_parser_advance(p));
    }
    return 0;
}

static int parse_subscript(jinja_parser *p, jinja_node **node) {
    TRY(wrap(p, NODE_ITEM, node));
    TRY(jinja_parser_advance(p));
    jinja_node *first = NULL;
    if (!jinja_parser_is_op(p, ':')) TRY(jinja_parse_expression(p, &first));
    if (jinja_parser_is_op(p, ':')) {
        (*node)->kind = NODE_SLICE;
        TRY(parse_slice(p, *node, first));
    } else {
        (*node)->right = first;
    }
    return jinja_parser_expect_op(p, ']', "']'");
}

static int parse_attribute(jinja_parser *p, jinja_node **node) {
    TRY(jinja_parser_advance(p));
    if (p->token.kind == TOKEN_INTEGER) {
        TRY(wrap(p, NODE_ITEM, node));
        return parse_constant(p, jinja_integer(p->token.integer), &(*node)->right);
    }
    TRY(wrap(p, NODE_ATTRIBUTE, node));
    return jinja_parser_name(p, "the name of an attribute", &(*node)->name);
}

int jinja_parse_postfix(jinja_parser *p, jinja_node **node) {
    for (;;) {
        if (jinja_parser_is_op(p, '.'))
            TRY(parse_attribute(p, node));
        else if (jinja_parser_is_op(p, '['))
            TRY(parse_subscript(p, node));
        else if (jinja_parser_is_op(p, '('))
            TRY(parse_call(p, node));
        else
            return 0;
    }
}

int jinja_parse_filter(jinja_parser *p, jinja_node **node) {
    TRY(wrap(p, NODE_FILTER, node));
    TRY(jinja_parser_name(p, "the name of a filter", &(*node)->name));
    if (jinja_parser_is_op(p, '(')) TRY(parse_arguments(p, &(*node)->items));
    return 0;
}

/* `is divisibleby 3`: one argument may follow a test without brackets. */
static bool starts_argument(const jinja_parser *p) {
    if (p->token.kind == TOKEN_STRING || p->token.kind == TOKEN_INTEGER ||
        p->token.kind == TOKEN_FLOAT)
        return true;
    if (p->token.kind != TOKEN_NAME)
        return jinja_parser_is_op(p, '[') || jinja_parser_is_op(p, '{');
    return !jinja_parser_is_name(p, "else") && !jinja_parser_is_name(p, "or") &&
           !jinja_parser_is_name(p, "and");
}

static int parse_test(jinja_parser *p, jinja_node **node) {
    TRY(jinja_parser_advance(p));
    bool negated = jinja_parser_is_name(p, "not");
    if (negated) TRY(jinja_parser_advance(p));
    TRY(wrap(p, NODE_TEST, node));
    TRY(jinja_parser_name(p, "the name of a test", &(*node)->name));
    if (jinja_parser_is_op(p, '(')) {
        TRY(parse_arguments(p, &(*node)->items));
    } else if (starts_argument(p)) {
        if (jinja_parser_is_name(p, "is")) return jinja_parser_fail(p, "one test at a time");
        TRY(jinja_parse_primary(p, &(*node)->items));
        TRY(jinja_parse_postfix(p, &(*node)->items));
    }
    return negated ? wrap(p, NODE_NOT, node) : 0;
}

int jinja_parse_filters(jinja_parser *p, jinja_node **node) {
    for (;;) {
        if (jinja_parser_is_op(p, '|')) {
            TRY(jinja_parser_advance(p));
            TRY(jinja_parse_filter(p, node));
        } else if (jinja_parser_is_name(p, "is")) {
            TRY(parse_test(p, node));
        } else if (jinja_parser_is_op(p, '(')) {
            TRY(parse_call(p, node));
        } else {
            return 0;
        }
    }
}

static int parse_unary(jinja_parser *p, bool with_filters, jinja_node **out) {
    if (jinja_parser_is_op(p, '-') || jinja_parser_is_op(p, '+')) {
        TRY(jinja_parser_enter(p));
        TRY(jinja_parser_node(p, jinja_parser_is_op(p, '-') ? NODE_NEGATE : NODE_PLUS, out));
        TRY(jinja_parser_advance(p));
        TRY(parse_unary(p, false, &(*out)->left));
        p->depth--;
    } else {
        TRY(jinja_parse_primary(p, out));
    }
    TRY(jinja_parse_postfix(p, out));
    return with_filters ? jinja_parse_filters(p, out) : 0;
}

/* The levels of left-associative operators, loosest first. */
static const int levels[][5] = {{'+', '-', 0}, {0}, {'*', '/', OP_FLOOR, '%', 0}, {OP_POWER, 0}};

static int parse_concat(jinja_parser *p, jinja_node **out);

static int parse_level(jinja_parser *p, int level, jinja_node **out) {
    if (level == 4) return parse_unary(p, true, out);
    if (level == 1) return parse_concat(p, out);
    TRY(parse_level(p, level + 1, out));
    for (;;) {
        const int *op = levels[level];
        while (*op && !jinja_parser_is_op(p, *op)) op++;
        if (!*op) return 0;
        TRY(wrap(p, NODE_BINARY, out));
        (*out)->op = *op;
        TRY(jinja_parser_advance(p));
        TRY(parse_level(p, level + 1, &(*out)->right));
    }
}

static int parse_concat(jinja_parser *p, jinja_node **out) {
    TRY(parse_level(p, 2, out));
    if (!jinja_parser_is_op(p, '~')) return 0;
    jinja_node *concat, *last = NULL, *item = *out;
    TRY(jinja_parser_node(p, NODE_CONCAT, &concat));
    append(&concat->items, &last, item);
    while (jinja_parser_is_op(p, '~')) {
        TRY(jinja_parser_advance(p));
        TRY(parse_level(p, 2, &item));
        append(&concat->items, &last, item);
    }
    *out = concat;
    return 0;
}

/* The comparison operator at the current token, stepped over, or 0. */
static int take_comparison(jinja_parser *p, int *op) {
    static const int ops[] = {OP_EQUAL, OP_UNEQUAL, OP_LESS_EQUAL, OP_MORE_EQUAL, '<', '>'};
    *op = 0;
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (jinja_parser_is_op(p, ops[i])) *op = ops[i];
    if (jinja_parser_is_name(p, "in")) *op = OP_IN;
    if (jinja_parser_is_name(p, "not")) {
        TRY(jinja_parser_peek(p));
        if (p->ahead.kind != TOKEN_NAME || p->ahead.size != 2 || memcmp(p->ahead.data, "in", 2))
            return 0;
        *op = OP_NOT_IN;
        TRY(jinja_parser_advance(p));
    }
    return *op ? jinja_parser_advance(p) : 0;
}

static int parse_compare(jinja_parser *p, jinja_node **out) {
    TRY(parse_level(p, 0, out));
    jinja_node *compare = NULL, *last = NULL;
    for (;;) {
        jinja_node *operand;
        TRY(jinja_parser_node(p, NODE_OPERAND, &operand));
        TRY(take_comparison(p, &operand->op));
        if (!operand->op) break;
        TRY(parse_level(p, 0, &operand->left));
        if (!compare) {
            TRY(wrap(p, NODE_COMPARE, out));
            compare = *out;
            compare->line = operand->line;
            compare->column = operand->column;
        }
        append(&compare->items, &last, operand);
    }
    return 0;
}

static int parse_not(jinja_parser *p, jinja_node **out) {
    if (!jinja_parser_is_name(p, "not")) return parse_compare(p, out);
    TRY(jinja_parser_enter(p));
    TRY(jinja_parser_node(p, NODE_NOT, out));
    TRY(jinja_parser_advance(p));
    TRY(parse_not(p, &(*out)->left));
    p->depth--;
    return 0;
}

static int parse_and(jinja_parser *p, jinja_node **out) {
    TRY(parse_not(p, out));
    while (jinja_parser_is_name(p, "and")) {
        TRY(wrap(p, NODE_AND, out));
        TRY(jinja_parser_advance(p));
        TRY(parse_not(p, &(*out)->right));
    }
    return 0;
}

static int parse_or(jinja_parser *p, jinja_node **out) {
    TRY(parse_and(p, out));
    while (jinja_parser_is_name(p, "or")) {
        TRY(wrap(p, NODE_OR, out));
        TRY(jinja_parser_advance(p));
        TRY(parse_and(p, &(*out)->right));
    }
    return 0;
}

int jinja_parse_expression(jinja_parser *p, jinja_node **out) {
    TRY(jinja_parser_enter(p));
    TRY(parse_or(p, out));
    while (jinja_parser_is_name(p, "if")) {
        TRY(wrap(p, NODE_CHOICE, out));
        TRY(jinja_parser_advance(p));
        TRY(parse_or(p, &(*out)->third));
        if (!jinja_parser_is_name(p, "else")) continue;
        TRY(jinja_parser_advance(p));
        TRY(jinja_parse_expression(p, &(*out)->right));
    }
    p->depth--;
    return 0;
}

static bool ends_tuple(const jinja_parser *p) {
    return p->token.kind == TOKEN_BLOCK_END || p->token.kind == TOKEN_PRINT_END ||
           jinja_parser_is_op(p, ')') || jinja_parser_is_name(p, "in");
}

int jinja_parse_tuple(jinja_parser *p, bool with_choice, jinja_node **out) {
    TRY(with_choice ? jinja_parse_expression(p, out) : parse_or(p, out));
    if (!jinja_parser_is_op(p, ',')) return 0;
    jinja_node *tuple, *last = NULL, *item = *out;
    TRY(jinja_parser_node(p, NODE_TUPLE, &tuple));
    append(&tuple->items, &last, item);
    while (jinja_parser_is_op(p, ',')) {
        TRY(jinja_parser_advance(p));
        if (ends_tuple(p)) break;
        TRY(with_choice ? jinja_parse_expression(p, &item) : parse_or(p, &item));
        append(&tuple->items, &last, item);
    }
    *out = tuple;
    return 0;
}
