/* Chat templates: a conversation becomes text with provenance, and then tokens with a mask. */
#include "text/chat.h"
#include "text/jinja_eval.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TREE_BYTES_MAX ((size_t)512 << 20)

_Static_assert(CHAT_OUTPUT_BYTES_MAX == JINJA_STRING_BYTES_MAX, "one limit under two names");
_Static_assert(CHAT_DEPTH_MAX == JINJA_MACRO_DEPTH_MAX, "one limit under two names");

struct chat_template {
    arena memory;
    jinja_node *body;
    bool has_generation;
};

int chat_template_compile(const char *source, size_t size, chat_template **out, weft_error *err) {
    *out = NULL;
    if (size > CHAT_TEMPLATE_BYTES_MAX)
        return err_set(err, WEFT_ERR_RANGE, "the chat template has %zu bytes, more than %u", size,
                       CHAT_TEMPLATE_BYTES_MAX);
    chat_template *t = calloc(1, sizeof *t);
    if (!t) return err_set(err, WEFT_ERR_MEMORY, "out of memory for a chat template");
    arena_init(&t->memory, TREE_BYTES_MAX);
    int rc =
        jinja_parse(&t->memory, source, size, CHAT_DEPTH_MAX, &t->body, &t->has_generation, err);
    if (rc) chat_template_free(&t);
    *out = t;
    return rc;
}

void chat_template_free(chat_template **t) {
    if (!t || !*t) return;
    arena_free(&(*t)->memory);
    free(*t);
    *t = NULL;
}

static int set_text(jinja_vm *vm, jinja_dict *dict, const char *name, const char *text,
                    unsigned flags) {
    jinja_value key, value;
    TRY(jinja_borrow_text(vm, name, &key));
    TRY(jinja_copy_text(vm, text, strlen(text), flags, &value));
    return jinja_dict_set(vm, dict, key, value);
}

static bool is_assistant(const char *role) {
    return !strcmp(role, "assistant") || !strcmp(role, "model");
}

static int make_messages(jinja_vm *vm, const chat_message *messages, size_t count,
                         jinja_value *out) {
    TRY(jinja_list_new(vm, JINJA_LIST, count, out));
    for (size_t i = 0; i < count; i++) {
        jinja_value message;
        if (!messages[i].role || !messages[i].content)
            return err_set(&vm->err, WEFT_ERR_ARGUMENT, "message %zu of the chat has no %s", i + 1,
                           messages[i].role ? "content" : "role");
        unsigned flags = JINJA_FROM_CONTENT;
        if (is_assistant(messages[i].role)) flags |= JINJA_FROM_ASSISTANT;
        TRY(jinja_dict_new(vm, JINJA_DICT, &message));
        TRY(set_text(vm, message.dict, "role", messages[i].role, 0));
        TRY(set_text(vm, message.dict, "content", messages[i].content, flags));
        TRY(jinja_list_add(vm, out->list, message));
    }
    return 0;
}

/* The names that a template sees, as transformers gives them. */
static int make_context(jinja_vm *vm, const chat_message *messages, size_t count,
                        const chat_options *options, jinja_scope *scope) {
    jinja_value v;
    TRY(jinja_add_globals(vm, scope));
    TRY(make_messages(vm, messages, count, &v));
    TRY(jinja_scope_set(vm, scope, "messages", v));
    TRY(jinja_scope_set(vm, scope, "add_generation_prompt",
                        jinja_boolean(options->add_generation_prompt)));
    TRY(jinja_scope_set(vm, scope, "tools", jinja_none()));
    TRY(jinja_scope_set(vm, scope, "documents", jinja_none()));
    TRY(jinja_borrow_text(vm, options->bos_text ? options->bos_text : "", &v));
    TRY(jinja_scope_set(vm, scope, "bos_token", v));
    TRY(jinja_borrow_text(vm, options->eos_text ? options->eos_text : "", &v));
    return jinja_scope_set(vm, scope, "eos_token", v);
}

/* The ranges whose flags have `flag`, joined where they touch. */
static int collect(const jinja_builder *b, unsigned flag, byte_range **out, size_t *count,
                   weft_error *err) {
    size_t n = 0;
    byte_range *ranges = malloc((b->run_count + 1) * sizeof *ranges);
    if (!ranges) return err_set(err, WEFT_ERR_MEMORY, "out of memory for a chat's ranges");
    for (size_t i = 0; i < b->run_count; i++) {
        if (!(b->runs[i].flags & flag)) continue;
        if (n && ranges[n - 1].end == b->runs[i].begin)
            ranges[n - 1].end = b->runs[i].end;
        else
            ranges[n++] = (byte_range){b->runs[i].begin, b->runs[i].end};
    }
    *out = ranges;
    *count = n;
    return 0;
}

static int take_text(const chat_template *t, const jinja_builder *b, chat_text *out,
                     weft_error *err) {
    unsigned flag = t->has_generation ? JINJA_FROM_GENERATION : JINJA_FROM_ASSISTANT;
    if (!bytes_add(&out->text, b->data, b->size))
        return err_set(err, WEFT_ERR_MEMORY, "out of memory for a chat's text");
    TRY(collect(b, JINJA_FROM_CONTENT, &out->content, &out->content_count, err));
    return collect(b, flag, &out->assistant, &out->assistant_count, err);
}

static int render(jinja_vm *vm, const chat_template *t, const chat_message *messages, size_t count,
                  const chat_options *options) {
    jinja_scope *globals, *scope;
    TRY(jinja_scope_new(vm, NULL, &globals));
    TRY(make_context(vm, messages, count, options, globals));
    TRY(jinja_scope_new(vm, globals, &scope));
    return jinja_run_body(vm, t->body, scope);
}

int chat_render(const chat_template *t, const chat_message *messages, size_t count,
                const chat_options *options, chat_text *out, weft_error *err) {
    jinja_builder text = {0};
    jinja_vm vm = {.steps_left = CHAT_STEPS_MAX, .line = 1, .column = 1, .out = &text};
    *out = (chat_text){0};
    arena_init(&vm.memory, JINJA_MEMORY_BYTES_MAX);
    vm.now = options->now ? options->now : (int64_t)time(NULL);
    int rc = render(&vm, t, messages, count, options);
    if (!rc) rc = take_text(t, &text, out, &vm.err);
    if (rc && err) *err = vm.err;
    if (rc) chat_text_free(out);
    arena_free(&vm.memory);
    return rc;
}

void chat_text_free(chat_text *text) {
    bytes_free(&text->text);
    free(text->content);
    free(text->assistant);
    *text = (chat_text){0};
}

static bool is_blank(const char *text, size_t begin, size_t end) {
    while (begin < end && strchr(" \t\r\n", text[begin])) begin++;
    return begin >= end;
}

/* Mark the end mark after a reply [.., end): the first token that begins there or, if nothing but
 * blanks that the template adds lies between, later; those blanks too, since the model has to write
 * them to get to the mark. A special token that is not known to end a reply counts only when it
 * follows at once. */
static void mask_end(const chat_text *text, const tokenizer *tok, const token_span *tokens,
                     size_t count, size_t first, size_t end, uint8_t *mask) {
    for (size_t i = first; i < count; i++) {
        bool ends = tokenizer_is_end(tok, tokens[i].id);
        bool marks = tokenizer_is_special(tok, tokens[i].id) && tokens[i].id != tokenizer_bos(tok);
        if (ends || (marks && tokens[i].begin == end)) {
            memset(mask + first, 1, i + 1 - first);
            return;
        }
        if (marks || !is_blank(text->text.data, tokens[i].begin, tokens[i].end)) return;
    }
}

static void mask_tokens(const chat_text *text, const tokenizer *tok, const token_span *tokens,
                        size_t count, uint8_t *mask) {
    size_t i = 0;
    for (size_t r = 0; r < text->assistant_count; r++) {
        byte_range range = text->assistant[r];
        bool ended = false; /* {% generation %} may enclose the end mark */
        while (i < count && tokens[i].end <= range.begin) i++;
        for (; i < count && tokens[i].begin < range.end; i++) {
            mask[i] = 1;
            ended = tokenizer_is_special(tok, tokens[i].id) || tokenizer_is_end(tok, tokens[i].id);
        }
        if (!ended) mask_end(text, tok, tokens, count, i, range.end, mask);
    }
}

int chat_encode(const chat_template *t, const tokenizer *tok, const chat_message *messages,
                size_t count, const chat_options *options, token_span **tokens, uint8_t **mask,
                size_t *token_count, weft_error *err) {
    chat_text text;
    *tokens = NULL;
    *mask = NULL;
    *token_count = 0;
    TRY(chat_render(t, messages, count, options, &text, err));
    tokenizer_options how = {
        .parse_special = true, .literal = text.content, .literal_count = text.content_count};
    int rc = tokenizer_encode(tok, text.text.data, text.text.size, &how, tokens, token_count, err);
    if (!rc) *mask = calloc(*token_count + 1, 1);
    if (!rc && !*mask) rc = err_set(err, WEFT_ERR_MEMORY, "out of memory for a chat's mask");
    if (rc) {
        free(*tokens);
        *tokens = NULL;
        *token_count = 0;
    } else {
        mask_tokens(&text, tok, *tokens, *token_count, *mask);
    }
    chat_text_free(&text);
    return rc;
}
