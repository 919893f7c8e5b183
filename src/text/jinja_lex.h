/* Tokens of a template: text, tags and what is inside tags, with the whitespace rules of
 * trim_blocks and lstrip_blocks applied, as chat templates expect. */
#ifndef WEFT_TEXT_JINJA_LEX_H
#define WEFT_TEXT_JINJA_LEX_H

#include "base/arena.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JINJA_BRACKETS_MAX 256

typedef enum jinja_token_kind {
    TOKEN_END,
    TOKEN_TEXT,        /* data, size */
    TOKEN_PRINT_BEGIN, /* {{ */
    TOKEN_PRINT_END,
    TOKEN_BLOCK_BEGIN, /* {% */
    TOKEN_BLOCK_END,
    TOKEN_NAME,    /* data, size */
    TOKEN_STRING,  /* data, size: escapes resolved */
    TOKEN_INTEGER, /* integer */
    TOKEN_FLOAT,   /* real */
    TOKEN_OPERATOR /* op */
} jinja_token_kind;

/* Operators of two characters. Those of one are the character itself. */
enum { OP_POWER = 256, OP_FLOOR, OP_EQUAL, OP_UNEQUAL, OP_LESS_EQUAL, OP_MORE_EQUAL };

typedef struct jinja_token {
    jinja_token_kind kind;
    uint32_t line, column; /* from 1; columns count bytes */
    const char *data;
    size_t size;
    int op;
    int64_t integer;
    double real;
} jinja_token;

typedef struct jinja_lexer {
    const char *source;
    size_t size, at;
    arena *memory;
    weft_error *err;
    size_t located, line_begin; /* line and column are counted up to here */
    uint32_t line;
    char tag;           /* 0 in text, else '{' or '%': the tag that we are in */
    char pending;       /* the tag whose beginning is the next token */
    bool line_starting; /* the last token ended with a newline */
    bool raw;           /* between {% raw %} and {% endraw %} */
    char brackets[JINJA_BRACKETS_MAX];
    size_t bracket_count;
} jinja_lexer;

/* source is copied into the arena with its newlines made one kind, and one newline at its end
 * removed. Its tokens live in the arena too. */
int jinja_lex_init(jinja_lexer *l, arena *memory, const char *source, size_t size, weft_error *err);
/* WEFT_ERR_FORMAT with line and column for anything that is no token. */
int jinja_lex_next(jinja_lexer *l, jinja_token *out);

#endif
