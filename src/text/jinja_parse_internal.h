/* What the two halves of the parser share: statements (jinja_parse.c) and expressions
 * (jinja_parse_expr.c). */
#ifndef WEFT_TEXT_JINJA_PARSE_INTERNAL_H
#define WEFT_TEXT_JINJA_PARSE_INTERNAL_H

#include "text/jinja_lex.h"
#include "text/jinja_parse.h"

typedef struct jinja_parser {
    jinja_lexer lexer;
    jinja_token token, ahead; /* the current token and the one after it */
    bool has_ahead;
    int depth, depth_max, loop_depth;
    bool has_generation;
    arena *memory;
    weft_error *err;
} jinja_parser;

int jinja_parser_advance(jinja_parser *p);
int jinja_parser_peek(jinja_parser *p); /* fills p->ahead */
int jinja_parser_enter(jinja_parser *p);
int jinja_parser_fail(jinja_parser *p, const char *expected);
bool jinja_parser_is_op(const jinja_parser *p, int op);
bool jinja_parser_is_name(const jinja_parser *p, const char *name);
int jinja_parser_expect_op(jinja_parser *p, int op, const char *expected);
/* A node at the place of the current token. */
int jinja_parser_node(jinja_parser *p, jinja_node_kind kind, jinja_node **out);
/* The current token, a name, as text of the arena; then advance. */
int jinja_parser_name(jinja_parser *p, const char *expected, const char **out);

int jinja_parse_expression(jinja_parser *p, jinja_node **out);
/* One expression, or several with commas between them as a tuple. */
int jinja_parse_tuple(jinja_parser *p, bool with_choice, jinja_node **out);
int jinja_parse_primary(jinja_parser *p, jinja_node **out);
/* What follows an expression: attributes, items and calls; then filters and tests. */
int jinja_parse_postfix(jinja_parser *p, jinja_node **node);
int jinja_parse_filters(jinja_parser *p, jinja_node **node);
/* One filter's name and arguments, over *node. */
int jinja_parse_filter(jinja_parser *p, jinja_node **node);

#endif
