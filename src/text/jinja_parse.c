/* Statements of a template: the tags, and the text between them. */
#include "text/jinja_parse.h"
#include "text/jinja_parse_internal.h"

#include <stdio.h>
#include <string.h>

int jinja_parser_advance(jinja_parser *p) {
    if (!p->has_ahead) return jinja_lex_next(&p->lexer, &p->token);
    p->token = p->ahead;
    p->has_ahead = false;
    return 0;
}

int jinja_parser_peek(jinja_parser *p) {
    if (p->has_ahead) return 0;
    p->has_ahead = true;
    return jinja_lex_next(&p->lexer, &p->ahead);
}

int jinja_parser_enter(jinja_parser *p) {
    if (++p->depth <= p->depth_max) return 0;
    return err_set_at(p->err, WEFT_ERR_RANGE, p->token.line,
                      "chat template, line %u, column %u: nested deeper than %d levels",
                      p->token.line, p->token.column, p->depth_max);
}

bool jinja_parser_is_op(const jinja_parser *p, int op) {
    return p->token.kind == TOKEN_OPERATOR && p->token.op == op;
}

bool jinja_parser_is_name(const jinja_parser *p, const char *name) {
    size_t size = strlen(name);
    return p->token.kind == TOKEN_NAME && p->token.size == size &&
           !memcmp(p->token.data, name, size);
}

static void describe(const jinja_token *t, char *text, size_t size) {
    static const char *const pairs[] = {"**", "//", "==", "!=", "<=", ">="};
    static const char *const kinds[] = {"the end of the template", "text", "{{", "}}", "{%", "%}"};
    int shown = t->size > 40 ? 40 : (int)t->size;
    if (t->kind == TOKEN_NAME)
        snprintf(text, size, "'%.*s'", shown, t->data);
    else if (t->kind == TOKEN_STRING)
        snprintf(text, size, "the string '%.*s'", shown, t->data);
    else if (t->kind == TOKEN_INTEGER)
        snprintf(text, size, "%lld", (long long)t->integer);
    else if (t->kind == TOKEN_FLOAT)
        snprintf(text, size, "%g", t->real);
    else if (t->kind != TOKEN_OPERATOR)
        snprintf(text, size, "%s", kinds[t->kind]);
    else if (t->op >= OP_POWER)
        snprintf(text, size, "'%s'", pairs[t->op - OP_POWER]);
    else
        snprintf(text, size, "'%c'", t->op);
}

int jinja_parser_fail(jinja_parser *p, const char *expected) {
    char found[80];
    describe(&p->token, found, sizeof found);
    return err_set_at(p->err, WEFT_ERR_FORMAT, p->token.line,
                      "chat template, line %u, column %u: found %s, expected %s", p->token.line,
                      p->token.column, found, expected);
}

int jinja_parser_expect_op(jinja_parser *p, int op, const char *expected) {
    if (!jinja_parser_is_op(p, op)) return jinja_parser_fail(p, expected);
    return jinja_parser_advance(p);
}

int jinja_parser_node(jinja_parser *p, jinja_node_kind kind, jinja_node **out) {
    jinja_node *node = *out = arena_alloc(p->memory, 1, sizeof *node, p->err);
    if (!node) return p->err->code;
    node->kind = kind;
    node->line = p->token.line;
    node->column = p->token.column;
    return 0;
}

int jinja_parser_name(jinja_parser *p, const char *expected, const char **out) {
    if (p->token.kind != TOKEN_NAME) return jinja_parser_fail(p, expected);
    *out = arena_copy(p->memory, p->token.data, p->token.size, p->err);
    if (!*out) return p->err->code;
    return jinja_parser_advance(p);
}

static int expect_name(jinja_parser *p, const char *name) {
    char expected[32];
    snprintf(expected, sizeof expected, "'%s'", name);
    if (!jinja_parser_is_name(p, name)) return jinja_parser_fail(p, expected);
    return jinja_parser_advance(p);
}

static int expect_block_end(jinja_parser *p) {
    if (p->token.kind != TOKEN_BLOCK_END) return jinja_parser_fail(p, "%}");
    return jinja_parser_advance(p);
}

/* Statements up to a tag whose name is in `ends` (a NULL-terminated list); that name is then the
 * current token. With ends == NULL up to the end of the template. */
static int parse_body(jinja_parser *p, const char *const *ends, jinja_node **body);

/* The rest of a tag, then its body up to {% END %}, inclusive. */
static int parse_block(jinja_parser *p, const char *end, jinja_node **body) {
    const char *const ends[] = {end, NULL};
    TRY(expect_block_end(p));
    TRY(parse_body(p, ends, body));
    TRY(jinja_parser_advance(p));
    return expect_block_end(p);
}

/* What may be assigned to: a name, an attribute of a namespace, or several with commas. */
static int parse_target(jinja_parser *p, bool with_namespace, jinja_node **out);

static int parse_one_target(jinja_parser *p, bool with_namespace, jinja_node **out) {
    if (jinja_parser_is_op(p, '(')) {
        TRY(jinja_parser_enter(p));
        TRY(jinja_parser_advance(p));
        TRY(parse_target(p, with_namespace, out));
        p->depth--;
        return jinja_parser_expect_op(p, ')', "')'");
    }
    TRY(jinja_parser_node(p, NODE_NAME, out));
    static const char *const reserved[] = {"true", "false", "none", "True", "False", "None"};
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
        if (jinja_parser_is_name(p, reserved[i]))
            return jinja_parser_fail(p, "a name to assign to");
    TRY(jinja_parser_name(p, "a name to assign to", &(*out)->name));
    if (!with_namespace || !jinja_parser_is_op(p, '.')) return 0;
    jinja_node *attribute;
    TRY(jinja_parser_node(p, NODE_ATTRIBUTE, &attribute));
    TRY(jinja_parser_advance(p));
    attribute->left = *out;
    *out = attribute;
    return jinja_parser_name(p, "the name of an attribute", &attribute->name);
}

static int parse_target(jinja_parser *p, bool with_namespace, jinja_node **out) {
    TRY(parse_one_target(p, with_namespace, out));
    if (!jinja_parser_is_op(p, ',')) return 0;
    jinja_node *tuple, *last = *out;
    TRY(jinja_parser_node(p, NODE_TUPLE, &tuple));
    tuple->items = *out;
    while (jinja_parser_is_op(p, ',')) {
        TRY(jinja_parser_advance(p));
        if (p->token.kind != TOKEN_NAME && !jinja_parser_is_op(p, '(')) break;
        if (jinja_parser_is_name(p, "in")) break;
        TRY(parse_one_target(p, with_namespace, &last->next));
        last = last->next;
    }
    *out = tuple;
    return 0;
}

static int parse_if(jinja_parser *p, jinja_node *node) {
    static const char *const ends[] = {"elif", "else", "endif", NULL};
    for (;;) {
        TRY(jinja_parse_tuple(p, false, &node->left));
        TRY(expect_block_end(p));
        TRY(parse_body(p, ends, &node->body));
        if (!jinja_parser_is_name(p, "elif")) break;
        TRY(jinja_parser_node(p, NODE_IF, &node->otherwise));
        node = node->otherwise;
        TRY(jinja_parser_advance(p));
    }
    bool has_else = jinja_parser_is_name(p, "else");
    TRY(jinja_parser_advance(p));
    if (has_else) return parse_block(p, "endif", &node->otherwise);
    return expect_block_end(p);
}

static int parse_for(jinja_parser *p, jinja_node *node) {
    static const char *const ends[] = {"else", "endfor", NULL};
    TRY(parse_target(p, false, &node->left));
    TRY(expect_name(p, "in"));
    TRY(jinja_parse_tuple(p, false, &node->right));
    if (jinja_parser_is_name(p, "if")) {
        TRY(jinja_parser_advance(p));
        TRY(jinja_parse_expression(p, &node->third));
    }
    if (jinja_parser_is_name(p, "recursive"))
        return err_set_at(p->err, WEFT_ERR_UNSUPPORTED, p->token.line,
                          "chat template, line %u, column %u: recursive loops are not supported",
                          p->token.line, p->token.column);
    TRY(expect_block_end(p));
    p->loop_depth++;
    TRY(parse_body(p, ends, &node->body));
    p->loop_depth--;
    bool has_else = jinja_parser_is_name(p, "else");
    TRY(jinja_parser_advance(p));
    if (has_else) return parse_block(p, "endfor", &node->otherwise);
    return expect_block_end(p);
}

static int parse_set(jinja_parser *p, jinja_node *node) {
    TRY(parse_target(p, true, &node->left));
    if (jinja_parser_is_op(p, '=')) {
        TRY(jinja_parser_advance(p));
        TRY(jinja_parse_tuple(p, true, &node->right));
        return expect_block_end(p);
    }
    node->kind = NODE_SET_BLOCK;
    TRY(jinja_parser_node(p, NODE_BODY, &node->right));
    TRY(jinja_parse_filters(p, &node->right));
    return parse_block(p, "endset", &node->body);
}

static int parse_filter_block(jinja_parser *p, jinja_node *node) {
    TRY(jinja_parser_node(p, NODE_BODY, &node->right));
    TRY(jinja_parse_filter(p, &node->right));
    TRY(jinja_parse_filters(p, &node->right));
    return parse_block(p, "endfilter", &node->body);
}

static int parse_with(jinja_parser *p, jinja_node *node) {
    jinja_node **next = &node->items;
    while (p->token.kind != TOKEN_BLOCK_END) {
        if (node->items) TRY(jinja_parser_expect_op(p, ',', "',' or %}"));
        TRY(jinja_parser_node(p, NODE_SET, next));
        TRY(parse_one_target(p, false, &(*next)->left));
        TRY(jinja_parser_expect_op(p, '=', "'='"));
        TRY(jinja_parse_expression(p, &(*next)->right));
        next = &(*next)->next;
    }
    return parse_block(p, "endwith", &node->body);
}

static int parse_parameters(jinja_parser *p, jinja_node **next) {
    bool defaults = false;
    TRY(jinja_parser_expect_op(p, '(', "'('"));
    for (bool first = true; !jinja_parser_is_op(p, ')'); first = false) {
        if (!first) TRY(jinja_parser_expect_op(p, ',', "',' or ')'"));
        TRY(parse_one_target(p, false, next));
        if (jinja_parser_is_op(p, '=')) {
            TRY(jinja_parser_advance(p));
            TRY(jinja_parse_expression(p, &(*next)->left));
            defaults = true;
        } else if (defaults) {
            return jinja_parser_fail(p, "'=' and a default, since one stands before");
        }
        next = &(*next)->next;
    }
    return jinja_parser_advance(p);
}

static int parse_macro(jinja_parser *p, jinja_node *node) {
    int loops = p->loop_depth;
    p->loop_depth = 0;
    TRY(jinja_parser_name(p, "the name of the macro", &node->name));
    TRY(parse_parameters(p, &node->items));
    TRY(parse_block(p, "endmacro", &node->body));
    p->loop_depth = loops;
    return 0;
}

static int parse_call_block(jinja_parser *p, jinja_node *node) {
    int loops = p->loop_depth;
    p->loop_depth = 0;
    node->name = "caller";
    if (jinja_parser_is_op(p, '(')) TRY(parse_parameters(p, &node->items));
    TRY(jinja_parse_expression(p, &node->right));
    if (node->right->kind != NODE_CALL) return jinja_parser_fail(p, "a call before it");
    TRY(parse_block(p, "endcall", &node->body));
    p->loop_depth = loops;
    return 0;
}

static int parse_generation(jinja_parser *p, jinja_node *node) {
    int loops = p->loop_depth;
    p->loop_depth = 0;
    p->has_generation = true;
    TRY(parse_block(p, "endgeneration", &node->body));
    p->loop_depth = loops;
    return 0;
}

static int parse_jump(jinja_parser *p, jinja_node *node) {
    (void)node;
    if (!p->loop_depth) return jinja_parser_fail(p, "break and continue inside a loop only");
    return expect_block_end(p);
}

static const struct statement {
    const char *name;
    jinja_node_kind kind;
    int (*parse)(jinja_parser *p, jinja_node *node);
} statements[] = {
    {"if", NODE_IF, parse_if},
    {"for", NODE_FOR, parse_for},
    {"set", NODE_SET, parse_set},
    {"filter", NODE_FILTER_BLOCK, parse_filter_block},
    {"with", NODE_WITH, parse_with},
    {"macro", NODE_MACRO, parse_macro},
    {"call", NODE_CALL_BLOCK, parse_call_block},
    {"generation", NODE_GENERATION, parse_generation},
    {"break", NODE_BREAK, parse_jump},
    {"continue", NODE_CONTINUE, parse_jump},
};

static int fail_unsupported(jinja_parser *p, const jinja_node *at, const char *name) {
    static const char *const known[] = {"include", "import", "from",  "extends",
                                        "block",   "do",     "trans", "autoescape"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(name, known[i]))
            return err_set_at(p->err, WEFT_ERR_UNSUPPORTED, at->line,
                              "chat template, line %u, column %u: {%% %s %%} is not supported",
                              at->line, at->column, name);
    return err_set_at(
        p->err, WEFT_ERR_FORMAT, at->line,
        "chat template, line %u, column %u: found the unknown tag '%.40s', expected a "
        "statement or the end of the block before it",
        at->line, at->column, name);
}

static int parse_statement(jinja_parser *p, jinja_node **out) {
    const char *name;
    TRY(jinja_parser_node(p, NODE_IF, out));
    TRY(jinja_parser_name(p, "the name of a tag", &name));
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++) {
        if (strcmp(name, statements[i].name) != 0) continue;
        (*out)->kind = statements[i].kind;
        return statements[i].parse(p, *out);
    }
    return fail_unsupported(p, *out, name);
}

static int parse_print(jinja_parser *p, jinja_node **out) {
    TRY(jinja_parser_advance(p));
    TRY(jinja_parser_node(p, NODE_PRINT, out));
    TRY(jinja_parse_tuple(p, true, &(*out)->left));
    if (p->token.kind != TOKEN_PRINT_END) return jinja_parser_fail(p, "}}");
    return jinja_parser_advance(p);
}

static int parse_text(jinja_parser *p, jinja_node **out) {
    jinja_string *s = arena_alloc(p->memory, 1, sizeof *s, p->err);
    if (!s) return p->err->code;
    *s = (jinja_string){.data = p->token.data, .size = p->token.size};
    TRY(jinja_parser_node(p, NODE_TEXT, out));
    (*out)->value = (jinja_value){.kind = JINJA_STRING, .string = s};
    return jinja_parser_advance(p);
}

static int fail_unfinished(jinja_parser *p, const char *const *ends) {
    char expected[64];
    int last = 0;
    while (ends[last + 1]) last++;
    snprintf(expected, sizeof expected, "{%% %s %%}", ends[last]);
    return jinja_parser_fail(p, expected);
}

static int parse_body(jinja_parser *p, const char *const *ends, jinja_node **next) {
    TRY(jinja_parser_enter(p));
    while (p->token.kind != TOKEN_END || ends) {
        if (p->token.kind == TOKEN_END) return fail_unfinished(p, ends);
        if (p->token.kind == TOKEN_TEXT) {
            TRY(parse_text(p, next));
        } else if (p->token.kind == TOKEN_PRINT_BEGIN) {
            TRY(parse_print(p, next));
        } else {
            TRY(jinja_parser_advance(p));
            for (int i = 0; ends && ends[i]; i++) {
                if (!jinja_parser_is_name(p, ends[i])) continue;
                p->depth--;
                return 0;
            }
            TRY(parse_statement(p, next));
        }
        next = &(*next)->next;
    }
    p->depth--;
    return 0;
}

int jinja_parse(arena *memory, const char *source, size_t size, int depth_max, jinja_node **body,
                bool *has_generation, weft_error *err) {
    weft_error why;
    jinja_parser p = {.depth_max = depth_max, .memory = memory, .err = &why};
    int rc = jinja_lex_init(&p.lexer, memory, source, size, &why);
    if (!rc) rc = jinja_parser_advance(&p);
    if (!rc) rc = parse_body(&p, NULL, body);
    *has_generation = p.has_generation;
    if (rc && err) *err = why;
    return rc;
}
