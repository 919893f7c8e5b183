/* Statements and expressions at work. Operators are in jinja_operators.c, what has a name in
 * jinja_filters.c and jinja_methods.c. */
#include "text/jinja_eval.h"
#include "text/jinja_lex.h"

#include <string.h>

enum { JUMP_BREAK = 1, JUMP_CONTINUE };

int jinja_scope_new(jinja_vm *vm, jinja_scope *parent, jinja_scope **out) {
    *out = jinja_alloc(vm, 1, sizeof **out);
    if (!*out) return (int)vm->err.code;
    (*out)->parent = parent;
    return 0;
}

int jinja_scope_set(jinja_vm *vm, jinja_scope *scope, const char *name, jinja_value value) {
    for (jinja_variable *v = scope->variables; v; v = v->next) {
        if (strcmp(v->name, name) != 0) continue;
        v->value = value;
        return 0;
    }
    jinja_variable *v = jinja_alloc(vm, 1, sizeof *v);
    if (!v) return (int)vm->err.code;
    *v = (jinja_variable){name, value, scope->variables};
    scope->variables = v;
    return 0;
}

static int get_name(jinja_vm *vm, const jinja_scope *scope, const char *name, jinja_value *out) {
    size_t looked = 0;
    for (; scope; scope = scope->parent) {
        for (const jinja_variable *v = scope->variables; v; v = v->next, looked++) {
            if (strcmp(v->name, name) != 0) continue;
            *out = v->value;
            return jinja_spend(vm, looked / 16);
        }
    }
    return jinja_missing(vm, out, "'%.80s'", name);
}

static void place(jinja_vm *vm, const jinja_node *node) {
    vm->line = node->line;
    vm->column = node->column;
}

/* Expressions. */

static int eval_items(jinja_vm *vm, const jinja_node *node, jinja_scope *scope, jinja_kind kind,
                      jinja_value *out) {
    TRY(jinja_list_new(vm, kind, 0, out));
    for (const jinja_node *item = node->items; item; item = item->next) {
        jinja_value v;
        TRY(jinja_evaluate(vm, item, scope, &v));
        TRY(jinja_list_add(vm, out->list, v));
    }
    return 0;
}

static int eval_dict(jinja_vm *vm, const jinja_node *node, jinja_scope *scope, jinja_value *out) {
    TRY(jinja_dict_new(vm, JINJA_DICT, out));
    for (const jinja_node *item = node->items; item; item = item->next->next) {
        jinja_value key, value;
        TRY(jinja_evaluate(vm, item, scope, &key));
        TRY(jinja_evaluate(vm, item->next, scope, &value));
        TRY(jinja_dict_set(vm, out->dict, key, value));
    }
    return 0;
}

static int eval_slice(jinja_vm *vm, const jinja_node *node, jinja_scope *scope, jinja_value *out) {
    jinja_value v, bounds[3];
    TRY(jinja_evaluate(vm, node->left, scope, &v));
    const jinja_node *item = node->items;
    for (int i = 0; i < 3; i++, item = item->next) TRY(jinja_evaluate(vm, item, scope, &bounds[i]));
    place(vm, node);
    return jinja_get_slice(vm, v, bounds, out);
}

static int add_keyword(jinja_vm *vm, jinja_args *args, const char *name, jinja_value value) {
    if (args->keyword_count == args->keyword_capacity) {
        size_t capacity = args->keyword_capacity ? args->keyword_capacity * 2 : 4;
        jinja_keyword *keywords = jinja_alloc(vm, capacity, sizeof *keywords);
        if (!keywords) return (int)vm->err.code;
        if (args->keyword_count)
            memcpy(keywords, args->keywords, args->keyword_count * sizeof *keywords);
        args->keywords = keywords;
        args->keyword_capacity = capacity;
    }
    args->keywords[args->keyword_count++] = (jinja_keyword){name, value};
    return jinja_spend(vm, 1);
}

/* f(**v): the entries of a dictionary as keywords. */
static int spread_keywords(jinja_vm *vm, jinja_value v, jinja_args *args) {
    if (v.kind != JINJA_DICT)
        return jinja_fail(vm, WEFT_ERR_FORMAT, "** needs a dict, not a %s", jinja_kind_name(v));
    for (size_t i = 0; i < v.dict->count; i++) {
        jinja_value key = v.dict->entries[i].key;
        if (key.kind != JINJA_STRING)
            return jinja_fail(vm, WEFT_ERR_FORMAT, "** needs strings as keys");
        char *name = jinja_alloc(vm, key.string->size + 1, 1);
        if (!name) return (int)vm->err.code;
        memcpy(name, key.string->data, key.string->size);
        TRY(add_keyword(vm, args, name, v.dict->entries[i].value));
    }
    return 0;
}

static int eval_arguments(jinja_vm *vm, const jinja_node *items, jinja_scope *scope,
                          jinja_args *args) {
    jinja_list list = {0};
    *args = (jinja_args){0};
    for (const jinja_node *item = items; item; item = item->next) {
        bool plain = item->kind != NODE_KEYWORD && item->kind != NODE_SPREAD;
        const jinja_list *more;
        jinja_value v;
        TRY(jinja_evaluate(vm, plain ? item : item->left, scope, &v));
        place(vm, item);
        if (plain) {
            TRY(jinja_list_add(vm, &list, v));
        } else if (item->kind == NODE_KEYWORD) {
            TRY(add_keyword(vm, args, item->name, v));
        } else if (item->op == OP_POWER) {
            TRY(spread_keywords(vm, v, args));
        } else {
            TRY(jinja_iterate(vm, v, &more));
            for (size_t i = 0; i < more->count; i++) TRY(jinja_list_add(vm, &list, more->items[i]));
        }
    }
    args->positional = list.items;
    args->count = list.count;
    return 0;
}

static int eval_call(jinja_vm *vm, const jinja_node *node, jinja_scope *scope,
                     const jinja_value *caller, jinja_value *out) {
    jinja_value callee;
    jinja_args args;
    TRY(jinja_evaluate(vm, node->left, scope, &callee));
    TRY(eval_arguments(vm, node->items, scope, &args));
    if (caller) TRY(add_keyword(vm, &args, "caller", *caller));
    place(vm, node);
    return jinja_call_value(vm, callee, &args, out);
}

static int eval_filter(jinja_vm *vm, const jinja_node *node, jinja_scope *scope, jinja_value *out) {
    jinja_value v;
    jinja_args args;
    TRY(jinja_evaluate(vm, node->left, scope, &v));
    TRY(eval_arguments(vm, node->items, scope, &args));
    place(vm, node);
    if (node->kind == NODE_FILTER) return jinja_apply_filter(vm, node->name, v, &args, out);
    bool truth;
    TRY(jinja_apply_test(vm, node->name, v, &args, &truth));
    *out = jinja_boolean(truth);
    return 0;
}

static int eval_compare(jinja_vm *vm, const jinja_node *node, jinja_scope *scope,
                        jinja_value *out) {
    jinja_value left, right;
    bool truth = true;
    TRY(jinja_evaluate(vm, node->left, scope, &left));
    for (const jinja_node *item = node->items; truth && item; item = item->next) {
        TRY(jinja_evaluate(vm, item->left, scope, &right));
        place(vm, item);
        TRY(jinja_relate(vm, item->op, left, right, &truth));
        left = right;
    }
    *out = jinja_boolean(truth);
    return 0;
}

static int eval_concat(jinja_vm *vm, const jinja_node *node, jinja_scope *scope, jinja_value *out) {
    jinja_builder b = {0};
    for (const jinja_node *item = node->items; item; item = item->next) {
        jinja_value v;
        TRY(jinja_evaluate(vm, item, scope, &v));
        TRY(jinja_builder_value(vm, &b, v));
    }
    return jinja_builder_done(vm, &b, out);
}

static int eval_choice(jinja_vm *vm, const jinja_node *node, jinja_scope *scope, jinja_value *out) {
    jinja_value test;
    TRY(jinja_evaluate(vm, node->third, scope, &test));
    if (jinja_truth(test)) return jinja_evaluate(vm, node->left, scope, out);
    if (node->right) return jinja_evaluate(vm, node->right, scope, out);
    return jinja_missing(vm, out, "the value of an if without else");
}

static int eval_logic(jinja_vm *vm, const jinja_node *node, jinja_scope *scope, jinja_value *out) {
    TRY(jinja_evaluate(vm, node->left, scope, out));
    if (jinja_truth(*out) == (node->kind == NODE_OR)) return 0;
    return jinja_evaluate(vm, node->right, scope, out);
}

static int eval_sign(jinja_vm *vm, const jinja_node *node, jinja_scope *scope, jinja_value *out) {
    TRY(jinja_evaluate(vm, node->left, scope, out));
    place(vm, node);
    if (out->kind == JINJA_UNDEFINED) return jinja_fail_undefined(vm, *out);
    if (!jinja_is_number(*out))
        return jinja_fail(vm, WEFT_ERR_FORMAT, "a %s has no sign", jinja_kind_name(*out));
    bool negate = node->kind == NODE_NEGATE;
    if (out->kind != JINJA_FLOAT)
        return jinja_binary(vm, negate ? '-' : '+', jinja_integer(0), *out, out);
    if (negate) out->real = -out->real;
    return 0;
}

static int eval_pair(jinja_vm *vm, const jinja_node *node, jinja_scope *scope, jinja_value *out) {
    jinja_value left, right;
    TRY(jinja_evaluate(vm, node->left, scope, &left));
    TRY(jinja_evaluate(vm, node->right, scope, &right));
    place(vm, node);
    if (node->kind == NODE_ITEM) return jinja_get_item(vm, left, right, out);
    return jinja_binary(vm, node->op, left, right, out);
}

static int evaluate(jinja_vm *vm, const jinja_node *node, jinja_scope *scope, jinja_value *out) {
    jinja_value v;
    place(vm, node);
    switch (node->kind) {
    case NODE_CONSTANT:
        *out = node->value;
        return 0;
    case NODE_NAME:
        return get_name(vm, scope, node->name, out);
    case NODE_BODY:
        *out = vm->body;
        return 0;
    case NODE_LIST:
        return eval_items(vm, node, scope, JINJA_LIST, out);
    case NODE_TUPLE:
        return eval_items(vm, node, scope, JINJA_TUPLE, out);
    case NODE_DICT:
        return eval_dict(vm, node, scope, out);
    case NODE_SLICE:
        return eval_slice(vm, node, scope, out);
    case NODE_CALL:
        return eval_call(vm, node, scope, NULL, out);
    case NODE_FILTER:
    case NODE_TEST:
        return eval_filter(vm, node, scope, out);
    case NODE_COMPARE:
        return eval_compare(vm, node, scope, out);
    case NODE_CONCAT:
        return eval_concat(vm, node, scope, out);
    case NODE_AND:
    case NODE_OR:
        return eval_logic(vm, node, scope, out);
    case NODE_CHOICE:
        return eval_choice(vm, node, scope, out);
    case NODE_NEGATE:
    case NODE_PLUS:
        return eval_sign(vm, node, scope, out);
    case NODE_ITEM:
    case NODE_BINARY:
        return eval_pair(vm, node, scope, out);
    case NODE_ATTRIBUTE:
        TRY(jinja_evaluate(vm, node->left, scope, &v));
        place(vm, node);
        return jinja_get_attribute(vm, v, node->name, out);
    case NODE_NOT:
        TRY(jinja_evaluate(vm, node->left, scope, &v));
        *out = jinja_boolean(!jinja_truth(v));
        return 0;
    default:
        return jinja_fail(vm, WEFT_ERR_FORMAT, "this is no expression");
    }
}

int jinja_evaluate(jinja_vm *vm, const jinja_node *node, jinja_scope *scope, jinja_value *out) {
    place(vm, node);
    TRY(jinja_enter(vm));
    TRY(evaluate(vm, node, scope, out));
    vm->recursion--;
    return 0;
}

/* Calls. */

static int bind_parameters(jinja_vm *vm, const jinja_macro *macro, const jinja_args *args,
                           jinja_scope *scope) {
    size_t index = 0, used = 0;
    for (const jinja_node *p = macro->node->items; p; p = p->next, index++) {
        jinja_value v;
        size_t k = 0;
        while (k < args->keyword_count && strcmp(args->keywords[k].name, p->name) != 0) k++;
        if (index < args->count)
            v = args->positional[index];
        else if (k < args->keyword_count)
            v = args->keywords[k].value;
        else if (p->left)
            TRY(jinja_evaluate(vm, p->left, scope, &v));
        else
            TRY(jinja_missing(vm, &v, "parameter '%.80s'", p->name));
        if (k < args->keyword_count) {
            if (index < args->count)
                return jinja_fail(vm, WEFT_ERR_FORMAT, "%s has a second argument %s",
                                  macro->node->name, p->name);
            used++;
        }
        TRY(jinja_scope_set(vm, scope, p->name, v));
    }
    for (size_t k = 0; k < args->keyword_count; k++) {
        if (strcmp(args->keywords[k].name, "caller") != 0) continue;
        TRY(jinja_scope_set(vm, scope, "caller", args->keywords[k].value));
        used++;
    }
    if (args->count > index || used < args->keyword_count)
        return jinja_fail(vm, WEFT_ERR_FORMAT, "%s takes %zu arguments; others were given",
                          macro->node->name, index);
    return 0;
}

/* Run a body that prints into a string of its own. */
static int capture(jinja_vm *vm, const jinja_node *body, jinja_scope *scope, jinja_value *out) {
    jinja_builder text = {0}, *outer = vm->out;
    vm->out = &text;
    int rc = jinja_run_body(vm, body, scope);
    vm->out = outer;
    return rc ? rc : jinja_builder_done(vm, &text, out);
}

int jinja_call_macro(jinja_vm *vm, const jinja_macro *macro, const jinja_args *args,
                     jinja_value *out) {
    jinja_scope *scope;
    if (++vm->macro_depth > JINJA_MACRO_DEPTH_MAX)
        return jinja_fail(vm, WEFT_ERR_RANGE, "macros call each other deeper than %d levels",
                          JINJA_MACRO_DEPTH_MAX);
    TRY(jinja_scope_new(vm, macro->scope, &scope));
    TRY(bind_parameters(vm, macro, args, scope));
    TRY(capture(vm, macro->node->body, scope, out));
    vm->macro_depth--;
    return 0;
}

int jinja_call_value(jinja_vm *vm, jinja_value callee, const jinja_args *args, jinja_value *out) {
    switch (callee.kind) {
    case JINJA_MACRO:
        return jinja_call_macro(vm, callee.macro, args, out);
    case JINJA_METHOD:
        return callee.bound->method->call(vm, callee.bound->self, args, out);
    case JINJA_FUNCTION:
        return callee.builtin->call(vm, jinja_undefined(), args, out);
    case JINJA_UNDEFINED:
        return jinja_fail_undefined(vm, callee);
    default:
        return jinja_fail(vm, WEFT_ERR_FORMAT, "a %s cannot be called", jinja_kind_name(callee));
    }
}

/* Statements. */

static int assign(jinja_vm *vm, const jinja_node *target, jinja_scope *scope, jinja_value v) {
    place(vm, target);
    if (target->kind == NODE_NAME) return jinja_scope_set(vm, scope, target->name, v);
    if (target->kind == NODE_ATTRIBUTE) {
        jinja_value space, name;
        TRY(get_name(vm, scope, target->left->name, &space));
        if (space.kind != JINJA_NAMESPACE)
            return jinja_fail(vm, WEFT_ERR_FORMAT,
                              "only a namespace's attributes can be set, not a %s's",
                              jinja_kind_name(space));
        TRY(jinja_borrow_text(vm, target->name, &name));
        return jinja_dict_set(vm, space.dict, name, v);
    }
    const jinja_list *items;
    size_t i = 0;
    if (v.kind == JINJA_UNDEFINED) return jinja_fail_undefined(vm, v);
    TRY(jinja_iterate(vm, v, &items));
    for (const jinja_node *one = target->items; one; one = one->next, i++)
        if (i < items->count) TRY(assign(vm, one, scope, items->items[i]));
    if (i == items->count) return 0;
    return jinja_fail(vm, WEFT_ERR_FORMAT, "%zu values for %zu names", items->count, i);
}

static int filter_items(jinja_vm *vm, const jinja_node *node, jinja_scope *scope,
                        const jinja_list **items) {
    jinja_value kept, test;
    jinja_scope *inner;
    TRY(jinja_list_new(vm, JINJA_LIST, 0, &kept));
    for (size_t i = 0; i < (*items)->count; i++) {
        TRY(jinja_scope_new(vm, scope, &inner));
        TRY(assign(vm, node->left, inner, (*items)->items[i]));
        TRY(jinja_evaluate(vm, node->third, inner, &test));
        if (jinja_truth(test)) TRY(jinja_list_add(vm, kept.list, (*items)->items[i]));
    }
    *items = kept.list;
    return 0;
}

static int run_for(jinja_vm *vm, const jinja_node *node, jinja_scope *scope) {
    jinja_value source;
    jinja_scope *inner;
    jinja_loop *loop = jinja_alloc(vm, 1, sizeof *loop);
    if (!loop) return (int)vm->err.code;
    TRY(jinja_evaluate(vm, node->right, scope, &source));
    place(vm, node);
    TRY(jinja_iterate(vm, source, &loop->items));
    if (node->third) TRY(filter_items(vm, node, scope, &loop->items));
    jinja_value loop_value = {.kind = JINJA_LOOP, .loop = loop};
    for (; loop->index < loop->items->count; loop->index++) {
        TRY(jinja_scope_new(vm, scope, &inner));
        TRY(jinja_scope_set(vm, inner, "loop", loop_value));
        TRY(assign(vm, node->left, inner, loop->items->items[loop->index]));
        TRY(jinja_run_body(vm, node->body, inner));
        bool stop = vm->jump == JUMP_BREAK;
        vm->jump = 0;
        if (stop) break;
    }
    if (loop->items->count) return 0;
    TRY(jinja_scope_new(vm, scope, &inner));
    return jinja_run_body(vm, node->otherwise, inner);
}

static int run_if(jinja_vm *vm, const jinja_node *node, jinja_scope *scope) {
    for (;;) {
        jinja_value test;
        TRY(jinja_evaluate(vm, node->left, scope, &test));
        if (jinja_truth(test)) return jinja_run_body(vm, node->body, scope);
        const jinja_node *other = node->otherwise;
        if (!other || other->kind != NODE_IF || other->next) break;
        node = other; /* elif, however long the chain: no recursion */
    }
    return jinja_run_body(vm, node->otherwise, scope);
}

static int run_set(jinja_vm *vm, const jinja_node *node, jinja_scope *scope) {
    jinja_value v;
    if (node->kind == NODE_SET) {
        TRY(jinja_evaluate(vm, node->right, scope, &v));
        return assign(vm, node->left, scope, v);
    }
    jinja_scope *inner;
    TRY(jinja_scope_new(vm, scope, &inner));
    TRY(capture(vm, node->body, inner, &vm->body));
    TRY(jinja_evaluate(vm, node->right, inner, &v));
    if (node->kind == NODE_SET_BLOCK) return assign(vm, node->left, scope, v);
    return jinja_builder_value(vm, vm->out, v);
}

static int run_with(jinja_vm *vm, const jinja_node *node, jinja_scope *scope) {
    jinja_scope *inner;
    jinja_value v;
    TRY(jinja_scope_new(vm, scope, &inner));
    for (const jinja_node *one = node->items; one; one = one->next) {
        TRY(jinja_evaluate(vm, one->right, scope, &v));
        TRY(assign(vm, one->left, inner, v));
    }
    return jinja_run_body(vm, node->body, inner);
}

static int make_macro(jinja_vm *vm, const jinja_node *node, jinja_scope *scope, jinja_value *out) {
    jinja_macro *macro = jinja_alloc(vm, 1, sizeof *macro);
    if (!macro) return (int)vm->err.code;
    *macro = (jinja_macro){node, scope};
    *out = (jinja_value){.kind = JINJA_MACRO, .macro = macro};
    return 0;
}

static int run_macro(jinja_vm *vm, const jinja_node *node, jinja_scope *scope) {
    jinja_value macro, printed;
    TRY(make_macro(vm, node, scope, &macro));
    if (node->kind == NODE_MACRO) return jinja_scope_set(vm, scope, node->name, macro);
    TRY(eval_call(vm, node->right, scope, &macro, &printed));
    return jinja_builder_value(vm, vm->out, printed);
}

/* Print a body, marking every byte of it as the assistant's, with what else is known of the bytes.
 */
static int run_generation(jinja_vm *vm, const jinja_node *node, jinja_scope *scope) {
    jinja_scope *inner;
    jinja_value v;
    TRY(jinja_scope_new(vm, scope, &inner));
    TRY(capture(vm, node->body, inner, &v));
    const jinja_string *s = v.string;
    size_t at = 0;
    for (size_t i = 0; i <= s->run_count; i++) {
        size_t begin = i < s->run_count ? s->runs[i].begin : s->size;
        TRY(jinja_builder_add(vm, vm->out, s->data + at, begin - at, JINJA_FROM_GENERATION));
        if (i == s->run_count) break;
        at = s->runs[i].end;
        TRY(jinja_builder_add(vm, vm->out, s->data + begin, at - begin,
                              s->runs[i].flags | JINJA_FROM_GENERATION));
    }
    return 0;
}

static int run_statement(jinja_vm *vm, const jinja_node *node, jinja_scope *scope) {
    jinja_value v;
    switch (node->kind) {
    case NODE_TEXT:
        return jinja_builder_string(vm, vm->out, node->value.string);
    case NODE_PRINT:
        TRY(jinja_evaluate(vm, node->left, scope, &v));
        place(vm, node);
        return jinja_builder_value(vm, vm->out, v);
    case NODE_IF:
        return run_if(vm, node, scope);
    case NODE_FOR:
        return run_for(vm, node, scope);
    case NODE_SET:
    case NODE_SET_BLOCK:
    case NODE_FILTER_BLOCK:
        return run_set(vm, node, scope);
    case NODE_WITH:
        return run_with(vm, node, scope);
    case NODE_MACRO:
    case NODE_CALL_BLOCK:
        return run_macro(vm, node, scope);
    case NODE_GENERATION:
        return run_generation(vm, node, scope);
    case NODE_BREAK:
        vm->jump = JUMP_BREAK;
        return 0;
    case NODE_CONTINUE:
        vm->jump = JUMP_CONTINUE;
        return 0;
    default:
        return jinja_fail(vm, WEFT_ERR_FORMAT, "this is no statement");
    }
}

int jinja_run_body(jinja_vm *vm, const jinja_node *body, jinja_scope *scope) {
    TRY(jinja_enter(vm));
    for (; body && !vm->jump; body = body->next) {
        place(vm, body);
        TRY(jinja_spend(vm, 1));
        TRY(run_statement(vm, body, scope));
    }
    vm->recursion--;
    return 0;
}
