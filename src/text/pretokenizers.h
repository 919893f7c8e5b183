/* Pre-tokenisation: cutting text into the pieces inside which BPE merges, by the split patterns
 * that a model was trained with. The patterns are run by PCRE2, each over the pieces of the one
 * before it. */
#ifndef WEFT_TEXT_PRETOKENIZERS_H
#define WEFT_TEXT_PRETOKENIZERS_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

#define SPLIT_STAGES_MAX        8
#define SPLIT_PATTERN_BYTES_MAX 16384
#define SPLIT_MATCH_STEPS_MAX   20000000 /* of one match; a pattern that needs more is refused */
#define SPLIT_HEAP_KIB_MAX      65536    /* backtracking memory of one match */

/* A name that `tokenizer.ggml.pre` may hold, and what it stands for. */
typedef struct pretokenizer {
    const char *name;
    bool ignore_merges; /* a piece that is a token as it stands is not taken apart */
    bool adds_bos;      /* default where the file does not say */
    const char *stages[SPLIT_STAGES_MAX]; /* up to the first NULL */
} pretokenizer;

/* NULL if the name is not known. */
const pretokenizer *pretokenizer_named(const char *name, size_t size);

/* The first entry with exactly these stages; one that agrees on ignore_merges wins. NULL if none.
 */
const pretokenizer *pretokenizer_matching(const char *const *stages, int count, bool ignore_merges);

extern const char *const pretokenizer_gpt2_pattern;

/* Compiled stages: immutable once built, and safe to share. Zero-initialise. */
typedef struct splitter {
    struct split_stage {
        void *code;    /* pcre2_code */
        char *pattern; /* as given, NUL-terminated */
    } stages[SPLIT_STAGES_MAX];
    int count;
} splitter;

/* Compile one more stage. WEFT_ERR_FORMAT quotes the pattern, PCRE2's reason and the place in it;
 * WEFT_ERR_UNSUPPORTED names class intersections (&&), which PCRE2 would misread. */
int splitter_add(splitter *s, const char *pattern, size_t size, weft_error *err);
void splitter_free(splitter *s);

/* Receives the pieces [begin, end) in order; they cover the text. A non-zero result ends the split.
 */
typedef int (*split_piece)(void *context, size_t begin, size_t end);

/* The scratch of one thread: match data and a stack for compiled patterns. */
typedef struct split_run {
    const splitter *splitter;
    void *match, *limits, *stack;
    split_piece piece;
    void *context;
    weft_error *err;
} split_run;

int split_run_init(split_run *run, const splitter *s, split_piece piece, void *context,
                   weft_error *err);
void split_run_free(split_run *run);

/* Split size bytes. Bytes that are not UTF-8 are never shown to a pattern: each unbroken run of
 * them is a piece, and the text ends (for look-ahead and look-behind) where it begins. */
int split_text(split_run *run, const char *text, size_t size);

/* Is the character at p (well-formed, length bytes) a word character (\w)? */
int split_word_pattern(void **code, weft_error *err);
bool split_is_word(const void *code, const char *p, size_t length);
void split_word_free(void *code);

#endif
