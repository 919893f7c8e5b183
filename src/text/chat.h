/* Chat templates: a real evaluator for the Jinja subset that published templates use, which also
 * tells which parts of the rendered text the assistant wrote.
 *
 * The language is Jinja as chat templates are written for it: a sandbox in which lists and
 * dictionaries do not change (append, update ... are refused), trim_blocks and lstrip_blocks, for,
 * if, set, macro, call, filter, with, raw, break, continue, {% generation %}, tojson as json.dumps
 * without escapes of HTML, raise_exception, strftime_now, namespace, range, dict. A template sees
 * messages (role, content), add_generation_prompt, bos_token, eos_token, and tools and documents,
 * which are none. Not supported, and refused by name: include, import, extends, recursive loops,
 * filters and tests outside jinja_filters.c and jinja_tests.c. */
#ifndef WEFT_TEXT_CHAT_H
#define WEFT_TEXT_CHAT_H

#include "base/bytes.h"
#include "base/status.h"
#include "text/tokenizer.h"

#include <stdbool.h>

#define CHAT_TEMPLATE_BYTES_MAX (1u << 20)
#define CHAT_OUTPUT_BYTES_MAX   (64u << 20)
#define CHAT_STEPS_MAX          10000000 /* evaluation steps, so that no template runs for ever */
#define CHAT_DEPTH_MAX          64       /* nesting of blocks, expressions and macro calls */

typedef struct chat_template chat_template; /* immutable; safe to share between threads */

/* Compile. Errors give the line and column (offset = the line), what was found and what was
 * expected: WEFT_ERR_FORMAT, _UNSUPPORTED, _RANGE (a limit above) or _MEMORY. *out is NULL then. */
int chat_template_compile(const char *source, size_t size, chat_template **out, weft_error *err);
void chat_template_free(chat_template **t);

typedef struct chat_message {
    const char *role;    /* "system", "user", "assistant", "tool" ... */
    const char *content; /* UTF-8 */
} chat_message;

typedef struct chat_options {
    bool add_generation_prompt;
    const char *bos_text, *eos_text; /* texts of the special tokens; NULL = "" */
    int64_t now;                     /* seconds since 1970 for strftime_now; 0 = the clock */
} chat_options;

/* What rendering gives. Ranges are bytes of text, sorted, not overlapping. */
typedef struct chat_text {
    bytes text;
    byte_range *content; /* text that came from messages' content, whoever wrote it: never markup */
    size_t content_count;
    /* What the assistant wrote: its contents, or what {% generation %} encloses. */
    byte_range *assistant;
    size_t assistant_count;
} chat_text; /* the caller frees it with chat_text_free */

/* Render messages. Content keeps its provenance through every filter, method and operator that
 * copies or changes text, so that even inside tojson it is known as content. The contents of roles
 * "assistant" and "model" are the assistant's, unless the template has {% generation %}.
 * raise_exception in the template becomes WEFT_ERR_ARGUMENT with its message; a mistake of the
 * template WEFT_ERR_FORMAT or _UNSUPPORTED; a limit WEFT_ERR_RANGE; each with line and column. A
 * NULL role or content is WEFT_ERR_ARGUMENT naming the message. On failure *out is empty. options
 * must not be NULL. Thread-safe. */
int chat_render(const chat_template *t, const chat_message *messages, size_t count,
                const chat_options *options, chat_text *out, weft_error *err);
void chat_text_free(chat_text *text);

/* Render and encode: tokens with their spans, and mask[i] = 1 where the assistant wrote token i,
 * that is where the token overlaps a range of chat_text.assistant. The end mark that follows a
 * reply (<|eot_id|>, <|im_end|>, eos ...) counts as written by it, so that the model learns to
 * stop: a token that tokenizer_is_end knows, at once after the reply or after blanks that the
 * template adds (then these count too), or any other special token but bos at once after it; unless
 * {% generation %} encloses a mark already. An empty reply has no range, hence no mask. Special
 * tokens inside contents stay plain text. No bos is added: the template prints it. Caller frees
 * *tokens and *mask with free(); both are NULL on failure. Reply to be continued: with
 * add_generation_prompt nothing after the last mark is masked. */
int chat_encode(const chat_template *t, const tokenizer *tok, const chat_message *messages,
                size_t count, const chat_options *options, token_span **tokens, uint8_t **mask,
                size_t *token_count, weft_error *err);

#endif
