/* Text to token ids and back: byte-level BPE (GPT-2 family, with the model's own split pattern run
 * by PCRE2) and SentencePiece-style BPE (scores, byte fallback, as Llama 2), with special
 * tokens. */
#ifndef WEFT_TEXT_TOKENIZER_H
#define WEFT_TEXT_TOKENIZER_H

#include "base/bytes.h"
#include "base/status.h"
#include "format/gguf.h"

#include <stdbool.h>

#define TOKENIZER_VOCAB_MAX      (1 << 20)
#define TOKENIZER_TOKEN_MAX      4096       /* bytes of one token */
#define TOKENIZER_TEXT_BYTES_MAX (1u << 30) /* of one encode call */
#define TOKENIZER_MERGES_MAX     (1 << 21)
#define TOKENIZER_JSON_BYTES_MAX (256u << 20) /* of a tokenizer.json or a file beside it */
#define TOKENIZER_ENDS_MAX       32           /* tokens that end a reply */

typedef struct tokenizer tokenizer; /* immutable after creation; safe to share between threads */

/* From GGUF metadata: tokenizer.ggml.{model, pre, tokens, scores, token_type, merges, bos_token_id,
 * eos_token_id, eot_token_id, unknown_token_id, add_bos_token, add_space_prefix ...}. A missing
 * `pre` with model gpt2 and 128256 tokens is llama-bpe; otherwise an unknown or missing `pre` is an
 * error that names it, unless weft's own key `tokenizer.weft.pattern` (the split pattern itself, or
 * an array of patterns applied one after another; PCRE2, UTF) is there. Models other than gpt2 and
 * llama, broken merges, duplicate tokens and ids outside the vocabulary are errors that name the
 * token or key. */
int tokenizer_from_gguf(const gguf_file *file, tokenizer **out, weft_error *err);

/* From a Hugging Face folder: tokenizer.json (BPE, byte-level or byte-fallback), or
 * tokenizer.model's absence named; tokenizer_config.json, generation_config.json and
 * special_tokens_map.json add the begin/end tokens. Normalisers and pre-tokenizers that are not
 * understood are an error naming them. */
int tokenizer_from_hf(const char *dir, tokenizer **out, weft_error *err);

/* The same from the text of a tokenizer.json alone; begin and end tokens are then known only as far
 * as its post-processor and the usual texts (<|eot_id|> ...) tell. */
int tokenizer_from_hf_json(const char *json, size_t size, tokenizer **out, weft_error *err);
void tokenizer_free(tokenizer **t); /* NULL allowed; clears *t */

/* Write it as GGUF metadata so that tokenizer_from_gguf gives an equal tokenizer, in llama.cpp's
 * terms: a known pattern becomes its `pre` name, any other goes into tokenizer.weft.pattern. */
void tokenizer_to_gguf(const tokenizer *t, gguf_writer *w);

int32_t tokenizer_vocab_count(const tokenizer *t);
int32_t tokenizer_bos(const tokenizer *t);   /* -1 if none */
int32_t tokenizer_eos(const tokenizer *t);   /* -1 if none */
bool tokenizer_adds_bos(const tokenizer *t); /* does plain text begin with bos by default? */
bool tokenizer_is_special(const tokenizer *t, int32_t id); /* control tokens: not shown as text */
/* Ends a reply: eos, eot, or one of the ids that generation_config lists. */
bool tokenizer_is_end(const tokenizer *t, int32_t id);
int32_t tokenizer_find(const tokenizer *t, const char *text); /* exact token text -> id, or -1 */
/* Raw stored text of a token (in byte-level BPE, bytes stand there as characters: the space
 * as U+0120; in SentencePiece, "<0x0A>" is a byte); not NUL-terminated. */
gguf_text tokenizer_text(const tokenizer *t, int32_t id);

/* One token and the bytes [begin, end) of the input that it stands for. */
typedef struct token_span {
    int32_t id;
    uint32_t begin, end;
} token_span;

/* A half-open byte range. */
typedef struct byte_range {
    size_t begin, end;
} byte_range;

typedef struct tokenizer_options {
    bool add_bos;       /* put bos in front (span 0..0) */
    bool parse_special; /* special tokens in the text become their ids (else they are plain text);
                         * other added tokens, such as runs of spaces, are always read, unless they
                         * look like markup (<...> or [...]) and stand where special tokens are not
                         * read */
    /* Ranges, sorted, not overlapping, in which nothing is read as a special token even so: a
     * message's own content cannot forge a turn. NULL, 0 for none. */
    const byte_range *literal;
    size_t literal_count;
} tokenizer_options;

/* Encode size bytes (any bytes; ill-formed UTF-8 is carried by byte tokens and never fails).
 * *tokens is a fresh array of *count, the caller's to free(); NULL, 0 for nothing. Spans follow one
 * another and cover the text, but for bytes that the vocabulary cannot say. options NULL: no bos,
 * no special tokens. Equal to transformers' tokenizers for the forms of docs/FORMATS.md, 5. Time
 * is O(n log n) whatever the input with the patterns that have names; a pattern of the file's own
 * that backtracks past SPLIT_MATCH_STEPS_MAX is WEFT_ERR_RANGE, as is a text over
 * TOKENIZER_TEXT_BYTES_MAX. */
int tokenizer_encode(const tokenizer *t, const char *text, size_t size,
                     const tokenizer_options *options, token_span **tokens, size_t *count,
                     weft_error *err);

/* Append the bytes that id stands for; for special and unused tokens nothing, unless show_special.
 * WEFT_ERR_RANGE if id is outside the vocabulary. */
int tokenizer_decode(const tokenizer *t, int32_t id, bool show_special, bytes *out,
                     weft_error *err);

/* A stream decoder: gives out only whole UTF-8 characters; bytes that can never become one come out
 * as U+FFFD. Zero-initialise; flush at the end. Removes SentencePiece's leading space at a stream's
 * start. */
typedef struct token_stream {
    unsigned char held[4];
    int held_count;
    bool started;
} token_stream;
int token_stream_add(token_stream *s, const tokenizer *t, int32_t id, bytes *out, weft_error *err);
int token_stream_flush(token_stream *s, bytes *out, weft_error *err);

#endif
