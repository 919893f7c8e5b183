/* Chat templates: a real evaluator for the Jinja subset that published templates use, which also
 * tells which parts of the rendered text the assistant wrote. */
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

/* Compile. Errors give the line and column, what was found and what was expected. */
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
    byte_range *assistant; /* what the assistant wrote: its contents, or what {% generation %} encloses */
    size_t assistant_count;
} chat_text;

/* Render messages. Content keeps its provenance through filters and string methods that only cut or copy
 * it (trim, strip, split, slices, +, ~, replace on a best effort). raise_exception in the template becomes
 * WEFT_ERR_ARGUMENT with its message. A NULL role or content is WEFT_ERR_ARGUMENT naming the message. */
int chat_render(const chat_template *t, const chat_message *messages, size_t count,
                const chat_options *options, chat_text *out, weft_error *err);
void chat_text_free(chat_text *text);

/* Render and encode: tokens with their spans, and mask[i] = 1 where the assistant wrote token i. The end
 * mark that directly follows a reply (<|eot_id|>, <|im_end|>, eos ...) counts as written by it, so that
 * the model learns to stop. Special tokens inside contents stay plain text. Caller frees *tokens, *mask
 * with free(). Reply to be continued: with add_generation_prompt nothing after the last mark is masked. */
int chat_encode(const chat_template *t, const tokenizer *tok, const chat_message *messages,
                size_t count, const chat_options *options, token_span **tokens, uint8_t **mask,
                size_t *token_count, weft_error *err);

#endif
