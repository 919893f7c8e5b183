/* The syntax tree of a template. */
#ifndef WEFT_TEXT_JINJA_PARSE_H
#define WEFT_TEXT_JINJA_PARSE_H

#include "text/jinja_value.h"

typedef enum jinja_node_kind {
    /* statements */
    NODE_TEXT,         /* value */
    NODE_PRINT,        /* left */
    NODE_IF,           /* left: test, body, otherwise (for elif: one NODE_IF) */
    NODE_FOR,          /* left: target, right: items, third: filter or NULL, body, otherwise */
    NODE_SET,          /* left: target, right: value */
    NODE_SET_BLOCK,    /* left: target, right: filters over NODE_BODY, body */
    NODE_FILTER_BLOCK, /* right: filters over NODE_BODY, body */
    NODE_WITH,         /* items: NODE_SET, body */
    NODE_MACRO,        /* name, items: NODE_NAME with left = default or NULL, body */
    NODE_CALL_BLOCK,   /* right: the call, items: parameters of caller(), body */
    NODE_GENERATION,   /* body */
    NODE_BREAK,
    NODE_CONTINUE,
    /* expressions */
    NODE_CONSTANT,  /* value */
    NODE_NAME,      /* name */
    NODE_LIST,      /* items */
    NODE_TUPLE,     /* items */
    NODE_DICT,      /* items: key, value, key, value ... */
    NODE_ATTRIBUTE, /* left, name */
    NODE_ITEM,      /* left, right: index */
    NODE_SLICE,     /* left, items: begin, end, step, each NODE_CONSTANT none when left out */
    NODE_CALL,      /* left: function, items: arguments */
    NODE_FILTER,    /* left, name, items: arguments */
    NODE_TEST,      /* left, name, items: arguments */
    NODE_KEYWORD,   /* an argument: name, left */
    NODE_SPREAD,    /* arguments *left or **left, by op */
    NODE_NOT,       /* left */
    NODE_NEGATE,    /* left */
    NODE_PLUS,      /* left */
    NODE_BINARY,    /* left, op, right */
    NODE_COMPARE,   /* left, items: NODE_OPERAND with op and left */
    NODE_OPERAND,
    NODE_CONCAT, /* items */
    NODE_AND,    /* left, right */
    NODE_OR,     /* left, right */
    NODE_CHOICE, /* left if third else right; right may be NULL */
    NODE_BODY    /* the rendered body of a block that filters apply to */
} jinja_node_kind;

enum { OP_IN = 512, OP_NOT_IN };

typedef struct jinja_node jinja_node;
struct jinja_node {
    jinja_node_kind kind;
    uint32_t line, column;
    int op;
    const char *name;
    jinja_value value;
    jinja_node *left, *right, *third;
    jinja_node *items, *body, *otherwise; /* lists, linked by next */
    jinja_node *next;
};

/* Parse a template into the arena, which owns the tree. WEFT_ERR_FORMAT with line and column, what
 * was found and what was expected; WEFT_ERR_UNSUPPORTED for statements of Jinja that chat templates
 * have no use for (include, extends ...); WEFT_ERR_RANGE over depth_max nested blocks and
 * expressions. */
int jinja_parse(arena *memory, const char *source, size_t size, int depth_max, jinja_node **body,
                bool *has_generation, weft_error *err);

#endif
