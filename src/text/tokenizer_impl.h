/* What the tokenizer's own files share; nothing else but its tests includes it. */
#ifndef WEFT_TEXT_TOKENIZER_IMPL_H
#define WEFT_TEXT_TOKENIZER_IMPL_H

#include "text/pretokenizers.h"
#include "text/tokenizer.h"

#define SPACE_MARK       "\xe2\x96\x81" /* U+2581, SentencePiece's space */
#define SPACE_MARK_BYTES 3

typedef enum tokenizer_kind { TOKENIZER_BPE, TOKENIZER_SPM } tokenizer_kind;

/* GGUF's tokenizer.ggml.token_type. */
typedef enum token_type {
    TOKEN_NORMAL = 1,
    TOKEN_UNKNOWN,
    TOKEN_CONTROL,
    TOKEN_USER, /* added by a person: taken whole before anything is split */
    TOKEN_UNUSED,
    TOKEN_BYTE
} token_type;

/* How an added token is found in text. */
enum {
    TOKEN_LSTRIP = 1,      /* takes the white space before it */
    TOKEN_RSTRIP = 2,      /* and after it */
    TOKEN_SINGLE_WORD = 4, /* only between characters that are not of a word */
    TOKEN_LATE = 8,        /* looked for after all the others ("normalized") */
    TOKEN_MARKUP = 16      /* could forge a turn: read only where special tokens are */
};

/* When a space is put in front of a section of text (what lies between special tokens). */
typedef enum space_prefix {
    SPACE_NONE,
    SPACE_ALWAYS,            /* Llama 2 */
    SPACE_UNLESS_THERE,      /* not if the section begins with a space already */
    SPACE_FIRST_UNLESS_THERE /* the same, and only at the beginning of the whole text */
} space_prefix;

/* Ranked by its place in the list: the lower, the sooner. */
typedef struct token_merge {
    int32_t left, right, result;
} token_merge;

struct tokenizer {
    tokenizer_kind kind;
    int32_t count;
    gguf_text *texts; /* (count), into pool */
    int32_t *types;   /* (count), token_type */
    float *scores;    /* (count), the higher the sooner; all 0 without scores */
    uint8_t *flags;   /* (count) */
    char *pool;
    size_t longest_bytes;
    int32_t *lookup; /* (lookup_mask + 1): ids by hash of the text, -1 = free */
    uint32_t lookup_mask;
    token_merge *merges;
    int32_t merge_count;
    int32_t *merge_lookup; /* (merge_mask + 1): ranks by hash of (left, right), -1 = free */
    uint32_t merge_mask;
    int32_t byte_ids[256]; /* the token of one byte, or -1 */
    int32_t bos, eos, unk;
    int32_t ends[TOKENIZER_ENDS_MAX];
    int end_count;
    bool adds_bos, ignore_merges, fuse_unk;
    space_prefix prefix;
    int32_t *added[2]; /* ids of added tokens sorted by text; [1] are the TOKEN_LATE ones */
    int32_t added_count[2];
    bool added_first[2][256]; /* does one begin with this byte? */
    void *word;               /* \w compiled, if a token is TOKEN_SINGLE_WORD */
    splitter splitter;
};

/* --- building: create, tokens in order of id, index, merges and fields, finish --- */
int tokenizer_create(tokenizer_kind kind, int64_t count, size_t pool_bytes, tokenizer **out,
                     weft_error *err);
/* Copy the next token into the pool; pool_used is the caller's running count. */
int tokenizer_put_token(tokenizer *t, int32_t id, gguf_text text, int type, int flags,
                        size_t *pool_used, weft_error *err);
/* Build the lookup of texts; duplicates are errors. */
int tokenizer_index(tokenizer *t, weft_error *err);
int tokenizer_reserve_merges(tokenizer *t, int64_t count, weft_error *err);
int tokenizer_put_merge(tokenizer *t, gguf_text left, gguf_text right, weft_error *err);
/* "left right"; a token may itself hold spaces, so every space is tried. */
int tokenizer_put_merge_line(tokenizer *t, gguf_text line, weft_error *err);
int tokenizer_put_end(tokenizer *t, int64_t id, const char *where, weft_error *err);
int tokenizer_check_id(const tokenizer *t, int64_t id, const char *where, weft_error *err);
/* Derive byte tokens, added tokens, the usual end tokens; check what must hold. */
int tokenizer_finish(tokenizer *t, weft_error *err);

int32_t tokenizer_lookup(const tokenizer *t, const char *text, size_t size);
/* The rank of a pair, or -1; *result is the merged token. */
int32_t tokenizer_merge_rank(const tokenizer *t, int32_t left, int32_t right, int32_t *result);

/* The character that stands for a byte in byte-level BPE, and back (-1: stands for none). */
uint32_t byte_to_char(uint8_t byte);
int byte_from_char(uint32_t c);

/* --- encoding --- */
typedef struct merge_symbol {
    uint32_t begin, size; /* bytes of the piece; size 0: merged away */
    uint32_t previous, next;
    int32_t id; /* -1: no token yet */
} merge_symbol;

typedef struct merge_candidate {
    uint64_t order; /* rank above, place below: the least is merged first */
    uint32_t left, right, size;
    int32_t result;
} merge_candidate;

/* One encode call: its input, its output and its scratch. */
typedef struct encoder {
    const tokenizer *t;
    const char *input;
    const tokenizer_options *options;
    const char *text; /* the section as it is split: the input itself, or `prepared` */
    size_t base;      /* where the section begins in the input, if it is the input itself */
    bytes prepared;
    uint32_t
        *origins; /* of each byte of prepared, and one past: its place in the input; else NULL */
    token_span *tokens;
    size_t count, capacity;
    merge_symbol *symbols;
    size_t symbol_count, symbol_capacity;
    merge_candidate *heap;
    size_t heap_count, heap_capacity;
    split_run split;
    weft_error *err;
} encoder;

int encoder_emit(encoder *e, int32_t id, size_t begin, size_t end);       /* in the input */
int encoder_emit_piece(encoder *e, int32_t id, size_t begin, size_t end); /* in the section */
int encoder_add_symbol(encoder *e, size_t begin, size_t size, int32_t id);
/* Merge the symbols of the piece that begins at `piece` until no pair is left to merge. */
int encoder_merge(encoder *e, const char *piece);

/* Turn one piece of the section into tokens. */
int bpe_encode_piece(encoder *e, size_t begin, size_t end);
int spm_encode_piece(encoder *e, size_t begin, size_t end);
/* Write the section input[begin, end) to e->prepared with its spaces marked. */
int spm_prepare(encoder *e, size_t begin, size_t end, bool first);
/* The same with its leading space only. */
int bpe_prepare(encoder *e, size_t begin, size_t end, bool first);

#endif
