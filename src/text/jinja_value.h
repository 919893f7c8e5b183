/* Values of the template language, and what every part of its evaluator shares: memory, limits,
 * errors, and strings that remember which bytes came from a message's content. */
#ifndef WEFT_TEXT_JINJA_VALUE_H
#define WEFT_TEXT_JINJA_VALUE_H

#include "base/arena.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JINJA_STRING_BYTES_MAX ((size_t)64 << 20)  /* of any one string */
#define JINJA_MEMORY_BYTES_MAX ((size_t)512 << 20) /* of one evaluation */
#define JINJA_RECURSION_MAX    600                 /* nested calls of the evaluator itself */
#define JINJA_NUMBER_BYTES     64
#define JINJA_RANGE_MAX        100000 /* items of range(), as Jinja's sandbox has it */

/* Where bytes of a string come from; bits of jinja_run.flags. */
enum {
    JINJA_FROM_CONTENT = 1,   /* any message's content */
    JINJA_FROM_ASSISTANT = 2, /* the content of a message of the assistant */
    JINJA_FROM_GENERATION = 4 /* enclosed by {% generation %} */
};

/* Bytes [begin, end) of a string have these flags (never 0). */
typedef struct jinja_run {
    size_t begin, end;
    unsigned flags;
} jinja_run;

/* Immutable. Runs are sorted and do not overlap; bytes outside all runs are the template's own. */
typedef struct jinja_string {
    const char *data;
    size_t size; /* bytes */
    const jinja_run *runs;
    size_t run_count;
} jinja_string;

typedef enum jinja_kind {
    JINJA_UNDEFINED, /* string = what is undefined, or NULL */
    JINJA_NONE,
    JINJA_BOOLEAN,
    JINJA_INTEGER,
    JINJA_FLOAT,
    JINJA_STRING,
    JINJA_LIST,
    JINJA_TUPLE,
    JINJA_GENERATOR, /* a list that is always true and has no length or items by index */
    JINJA_DICT,
    JINJA_NAMESPACE, /* the one mutable value */
    JINJA_LOOP,
    JINJA_MACRO,
    JINJA_METHOD,
    JINJA_FUNCTION
} jinja_kind;

typedef struct jinja_list jinja_list;
typedef struct jinja_dict jinja_dict;
typedef struct jinja_loop jinja_loop;
typedef struct jinja_macro jinja_macro;
typedef struct jinja_bound jinja_bound;
typedef struct jinja_builtin jinja_builtin;

typedef struct jinja_value {
    jinja_kind kind;
    union {
        bool boolean;
        int64_t integer;
        double real;
        const jinja_string *string;
        jinja_list *list; /* LIST, TUPLE, GENERATOR */
        jinja_dict *dict; /* DICT, NAMESPACE */
        const jinja_loop *loop;
        const jinja_macro *macro;
        const jinja_bound *bound;
        const jinja_builtin *builtin;
    };
} jinja_value;

struct jinja_list {
    jinja_value *items;
    size_t count, capacity;
};

typedef struct jinja_entry {
    jinja_value key, value;
} jinja_entry;

/* In order of insertion; looked up by scanning, since template dictionaries are small. */
struct jinja_dict {
    jinja_entry *entries;
    size_t count, capacity;
};

struct jinja_loop {
    const jinja_list *items;
    size_t index; /* from 0 */
};

/* A string under construction. */
typedef struct jinja_builder {
    char *data;
    size_t size, capacity;
    jinja_run *runs;
    size_t run_count, run_capacity;
} jinja_builder;

/* One evaluation. Everything that it makes lies in its arena. */
typedef struct jinja_vm {
    arena memory;
    int64_t steps_left;
    int recursion, macro_depth;
    uint32_t line, column; /* the place being evaluated, for errors */
    weft_error err;
    int64_t now;        /* seconds since 1970 */
    jinja_builder *out; /* where statements print to */
    int jump;           /* a break or continue on its way to its loop, else 0 */
    jinja_value body;   /* what a filter block's filters apply to */
} jinja_vm;

/* Arguments of a call. */
typedef struct jinja_keyword {
    const char *name;
    jinja_value value;
} jinja_keyword;

typedef struct jinja_args {
    jinja_value *positional;
    size_t count;
    jinja_keyword *keywords;
    size_t keyword_count, keyword_capacity;
} jinja_args;

/* A filter, test, method or function; self is the filtered value or the method's object. */
typedef int (*jinja_call)(jinja_vm *vm, jinja_value self, const jinja_args *args, jinja_value *out);

struct jinja_builtin {
    const char *name;
    jinja_call call;
};

struct jinja_bound {
    jinja_value self;
    const jinja_builtin *method;
};

/* Every function below that returns int returns a weft_status, with the reason in vm->err. */

int jinja_fail(jinja_vm *vm, weft_status code, const char *format, ...) WEFT_PRINTF(3, 4);
/* Pay for work; WEFT_ERR_RANGE when the evaluation has used up its steps. */
int jinja_spend(jinja_vm *vm, size_t steps);
/* Guard a recursive function: enter, and leave by `vm->recursion--`. */
int jinja_enter(jinja_vm *vm);
/* Zeroed memory of the evaluation; NULL with vm->err set. */
void *jinja_alloc(jinja_vm *vm, size_t count, size_t size);

jinja_value jinja_undefined(void);
jinja_value jinja_none(void);
jinja_value jinja_boolean(bool b);
jinja_value jinja_integer(int64_t i);
jinja_value jinja_float(double f);
/* Undefined that says why: the text stands in messages about its use. */
int jinja_missing(jinja_vm *vm, jinja_value *out, const char *format, ...) WEFT_PRINTF(3, 4);
/* A string without provenance that borrows or copies text. */
int jinja_borrow_text(jinja_vm *vm, const char *text, jinja_value *out);
int jinja_copy_text(jinja_vm *vm, const char *data, size_t size, unsigned flags, jinja_value *out);

int jinja_list_new(jinja_vm *vm, jinja_kind kind, size_t capacity, jinja_value *out);
int jinja_list_add(jinja_vm *vm, jinja_list *list, jinja_value item);
int jinja_dict_new(jinja_vm *vm, jinja_kind kind, jinja_value *out);
int jinja_dict_set(jinja_vm *vm, jinja_dict *dict, jinja_value key, jinja_value value);
/* *out is NULL when there is no such key. */
int jinja_dict_find(jinja_vm *vm, const jinja_dict *dict, jinja_value key, const jinja_value **out);
const jinja_value *jinja_dict_name(const jinja_dict *dict, const char *name);

int jinja_builder_add(jinja_vm *vm, jinja_builder *b, const char *data, size_t size,
                      unsigned flags);
int jinja_builder_text(jinja_vm *vm, jinja_builder *b, const char *text);
/* Bytes [begin, end) of s with their provenance. */
int jinja_builder_slice(jinja_vm *vm, jinja_builder *b, const jinja_string *s, size_t begin,
                        size_t end);
int jinja_builder_string(jinja_vm *vm, jinja_builder *b, const jinja_string *s);
int jinja_builder_value(jinja_vm *vm, jinja_builder *b, jinja_value v); /* as str(v) */
int jinja_builder_repr(jinja_vm *vm, jinja_builder *b, jinja_value v);  /* as repr(v) */
int jinja_builder_done(jinja_vm *vm, jinja_builder *b, jinja_value *out);

/* s[begin:end) in bytes, sharing its data. */
int jinja_slice(jinja_vm *vm, const jinja_string *s, size_t begin, size_t end, jinja_value *out);
unsigned jinja_flags_at(const jinja_string *s, size_t offset);
int jinja_to_string(jinja_vm *vm, jinja_value v, jinja_value *out); /* str(v) */

bool jinja_is_list(jinja_value v); /* list, tuple or generator */
bool jinja_is_number(jinja_value v);
bool jinja_is_text(jinja_value v, const char *text);
bool jinja_truth(jinja_value v);
const char *jinja_kind_name(jinja_value v);         /* Python's name of the type */
double jinja_as_double(jinja_value v);              /* of a number */
bool jinja_as_integer(jinja_value v, int64_t *out); /* bool or int */
int jinja_equal(jinja_vm *vm, jinja_value a, jinja_value b, bool *out);
/* *order < 0, 0 or > 0; values without an order are WEFT_ERR_FORMAT. */
int jinja_compare(jinja_vm *vm, jinja_value a, jinja_value b, int *order);
int jinja_contains(jinja_vm *vm, jinja_value container, jinja_value item, bool *out);
/* The items that iterating over v gives; undefined gives none. */
int jinja_iterate(jinja_vm *vm, jinja_value v, const jinja_list **out);
int jinja_length(jinja_vm *vm, jinja_value v, int64_t *out);
/* v[index] with an integer, in characters for strings; undefined when there is no such item. */
int jinja_index(jinja_vm *vm, jinja_value v, int64_t index, jinja_value *out);

/* Python's text of a number. */
void jinja_float_text(double f, char text[JINJA_NUMBER_BYTES]);
/* Python's float() of text, or false. */
bool jinja_float_parse(const char *data, size_t size, double *out);

/* UTF-8: one character at data[0..size), size > 0; an ill-formed byte counts as one character with
 * code 0xdc00 + byte. Returns its length in bytes. */
size_t jinja_utf8_next(const char *data, size_t size, uint32_t *code);
size_t jinja_utf8_put(uint32_t code, char *out); /* room for 4 bytes */
bool jinja_is_space(uint32_t code);              /* Python's str.isspace */
size_t jinja_skip_space(const char *data, size_t begin, size_t end);
size_t jinja_trim_space(const char *data, size_t begin, size_t end); /* new end */

/* Put arguments into slots[] by the parameter names in `names` (separated by one space; a name that
 * ends in '!' is required). Slots without an argument become undefined. */
int jinja_bind(jinja_vm *vm, const char *function, const char *names, const jinja_args *args,
               jinja_value *slots);

#endif
