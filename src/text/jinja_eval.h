/* Running a template. */
#ifndef WEFT_TEXT_JINJA_EVAL_H
#define WEFT_TEXT_JINJA_EVAL_H

#include "text/jinja_parse.h"
#include "text/jinja_value.h"

#define JINJA_MACRO_DEPTH_MAX 64

typedef struct jinja_variable {
    const char *name;
    jinja_value value;
    struct jinja_variable *next;
} jinja_variable;

/* The names of one block; those of the blocks around it are in its parents. */
typedef struct jinja_scope {
    struct jinja_scope *parent;
    jinja_variable *variables;
} jinja_scope;

struct jinja_macro {
    const jinja_node *node;
    jinja_scope *scope; /* where it was defined */
};

int jinja_scope_new(jinja_vm *vm, jinja_scope *parent, jinja_scope **out);
int jinja_scope_set(jinja_vm *vm, jinja_scope *scope, const char *name, jinja_value value);

/* Run statements, printing to vm->out. */
int jinja_run_body(jinja_vm *vm, const jinja_node *body, jinja_scope *scope);
int jinja_evaluate(jinja_vm *vm, const jinja_node *node, jinja_scope *scope, jinja_value *out);
int jinja_call_value(jinja_vm *vm, jinja_value callee, const jinja_args *args, jinja_value *out);
int jinja_call_macro(jinja_vm *vm, const jinja_macro *macro, const jinja_args *args,
                     jinja_value *out);

/* v.name, and v[key]; what is not there is undefined, and to ask undefined is an error. */
int jinja_get_attribute(jinja_vm *vm, jinja_value v, const char *name, jinja_value *out);
int jinja_get_item(jinja_vm *vm, jinja_value v, jinja_value key, jinja_value *out);
/* v[begin:end:step]; none leaves a bound out. */
int jinja_get_slice(jinja_vm *vm, jinja_value v, const jinja_value bounds[3], jinja_value *out);
int jinja_binary(jinja_vm *vm, int op, jinja_value a, jinja_value b, jinja_value *out);
int jinja_relate(jinja_vm *vm, int op, jinja_value a, jinja_value b, bool *out);
int jinja_fail_undefined(jinja_vm *vm, jinja_value v);

/* By name; an unknown one is WEFT_ERR_UNSUPPORTED. */
int jinja_apply_filter(jinja_vm *vm, const char *name, jinja_value v, const jinja_args *args,
                       jinja_value *out);
int jinja_apply_test(jinja_vm *vm, const char *name, jinja_value v, const jinja_args *args,
                     bool *out);
/* The method of a value of this kind, or NULL. */
const jinja_builtin *jinja_find_method(jinja_kind kind, const char *name);
int jinja_format_percent(jinja_vm *vm, const jinja_string *format, const jinja_list *values,
                         jinja_value *out);

typedef enum jinja_case {
    CASE_UPPER,
    CASE_LOWER,
    CASE_TITLE,
    CASE_CAPITALISE,
    CASE_WORDS
} jinja_case;
/* CASE_TITLE is Python's str.title, CASE_WORDS the filter `title`. Letters beyond Latin, Greek and
 * Cyrillic stay as they are. */
int jinja_change_case(jinja_vm *vm, const jinja_string *s, jinja_case to, jinja_value *out);
/* Remove characters of `chars` (undefined or none: whitespace) at the left (1), right (2) or both
 * (3). */
int jinja_strip(jinja_vm *vm, const jinja_string *s, jinja_value chars, int sides,
                jinja_value *out);
/* Python's str.replace; count < 0: all. */
int jinja_replace(jinja_vm *vm, const jinja_string *s, const jinja_string *from,
                  const jinja_string *to, int64_t count, jinja_value *out);
int jinja_join(jinja_vm *vm, const jinja_string *between, const jinja_list *items,
               jinja_value *out);
int jinja_dict_items(jinja_vm *vm, const jinja_dict *dict, jinja_value *out);
int jinja_to_json(jinja_vm *vm, jinja_value v, const jinja_args *args, jinja_value *out);
int jinja_add_globals(jinja_vm *vm, jinja_scope *scope);

#endif
