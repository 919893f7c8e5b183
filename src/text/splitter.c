/* Runs split patterns: compiles them once, and cuts text stage by stage. It owns every call of
 * PCRE2 and its limits; ill-formed UTF-8 is cut out here before a pattern sees it. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/pretokenizers.h"

#include "text/utf8.h"

#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#define JIT_STACK_START (32 << 10)
#define JIT_STACK_MAX   (8 << 20)

/* \p{L}, \s and \w by Unicode, and ^ and $ at lines, as the patterns' authors had them. */
#define COMPILE_OPTIONS (PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE)

/* [a&&[b]] intersects classes where the pattern comes from; PCRE2 would read it as plain
 * characters. */
static bool has_intersection(const char *pattern, size_t size) {
    bool in_class = false;
    for (size_t i = 0; i + 1 < size; i++) {
        if (pattern[i] == '\\')
            i++;
        else if (pattern[i] == '[')
            in_class = true;
        else if (pattern[i] == ']')
            in_class = false;
        else if (in_class && pattern[i] == '&' && pattern[i + 1] == '&')
            return true;
    }
    return false;
}

static int compile(const char *pattern, size_t size, void **out, weft_error *err) {
    int number = 0;
    PCRE2_SIZE at = 0;
    pcre2_code *code =
        pcre2_compile((PCRE2_SPTR)pattern, size, COMPILE_OPTIONS, &number, &at, NULL);
    if (!code) {
        if (number == PCRE2_ERROR_NOMEMORY)
            return err_set(err, WEFT_ERR_MEMORY, "out of memory for the split pattern");
        PCRE2_UCHAR reason[128];
        pcre2_get_error_message(number, reason, sizeof reason);
        return err_set(err, WEFT_ERR_FORMAT, "split pattern '%.*s%s' fails at byte %zu: %s",
                       (int)(size < 120 ? size : 120), pattern, size < 120 ? "" : "...", at,
                       reason);
    }
    /* Without the just-in-time compiler (some systems forbid it) the interpreter does the same. */
    pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
    *out = code;
    return WEFT_OK;
}

int splitter_add(splitter *s, const char *pattern, size_t size, weft_error *err) {
    if (s->count == SPLIT_STAGES_MAX)
        return err_set(err, WEFT_ERR_RANGE, "more than %d split patterns", SPLIT_STAGES_MAX);
    if (size == 0 || size > SPLIT_PATTERN_BYTES_MAX)
        return err_set(err, WEFT_ERR_RANGE, "a split pattern has %zu bytes; 1 to %d are allowed",
                       size, SPLIT_PATTERN_BYTES_MAX);
    if (has_intersection(pattern, size))
        return err_set(
            err, WEFT_ERR_UNSUPPORTED,
            "split pattern '%.*s' intersects character classes (&&), which is not supported",
            (int)(size < 200 ? size : 200), pattern);
    struct split_stage *stage = &s->stages[s->count];
    char *copy = malloc(size + 1);
    if (!copy) return err_set(err, WEFT_ERR_MEMORY, "out of memory for the split pattern");
    memcpy(copy, pattern, size);
    copy[size] = 0;
    int rc = compile(copy, size, &stage->code, err);
    if (rc) {
        free(copy);
        return rc;
    }
    stage->pattern = copy;
    s->count++;
    return WEFT_OK;
}

void splitter_free(splitter *s) {
    for (int i = 0; i < s->count; i++) {
        pcre2_code_free(s->stages[i].code);
        free(s->stages[i].pattern);
    }
    *s = (splitter){0};
}

int split_run_init(split_run *run, const splitter *s, split_piece piece, void *context,
                   weft_error *err) {
    *run = (split_run){.splitter = s, .piece = piece, .context = context, .err = err};
    if (s->count == 0) return WEFT_OK;
    pcre2_match_context *limits = pcre2_match_context_create(NULL);
    run->limits = limits;
    run->match = pcre2_match_data_create(1, NULL); /* the whole match is all that is asked for */
    run->stack = pcre2_jit_stack_create(JIT_STACK_START, JIT_STACK_MAX, NULL);
    if (!limits || !run->match) {
        split_run_free(run);
        return err_set(err, WEFT_ERR_MEMORY, "out of memory for splitting text");
    }
    pcre2_set_match_limit(limits, SPLIT_MATCH_STEPS_MAX);
    pcre2_set_heap_limit(limits, SPLIT_HEAP_KIB_MAX);
    if (run->stack) pcre2_jit_stack_assign(limits, NULL, run->stack); /* NULL: no JIT here */
    return WEFT_OK;
}

void split_run_free(split_run *run) {
    pcre2_match_data_free(run->match);
    pcre2_match_context_free(run->limits);
    pcre2_jit_stack_free(run->stack);
    run->match = run->limits = run->stack = NULL;
}

/* Find the next match at or after `at`: *found and [*begin, *end). */
static int find(split_run *run, const struct split_stage *stage, const char *text, size_t size,
                size_t at, bool *found, size_t *begin, size_t *end) {
    PCRE2_SPTR subject = (PCRE2_SPTR)text;
    int n =
        pcre2_match(stage->code, subject, size, at, PCRE2_NO_UTF_CHECK, run->match, run->limits);
    if (n == PCRE2_ERROR_JIT_STACKLIMIT) /* the interpreter has the heap */
        n = pcre2_match(stage->code, subject, size, at, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT,
                        run->match, run->limits);
    *found = n >= 0;
    if (n == PCRE2_ERROR_NOMATCH) return WEFT_OK;
    if (n < 0) {
        PCRE2_UCHAR reason[128];
        pcre2_get_error_message(n, reason, sizeof reason);
        return err_set(run->err, n == PCRE2_ERROR_NOMEMORY ? WEFT_ERR_MEMORY : WEFT_ERR_RANGE,
                       "split pattern '%.100s' gives up on this text: %s", stage->pattern, reason);
    }
    const PCRE2_SIZE *range = pcre2_get_ovector_pointer(run->match);
    *begin = range[0];
    *end = range[1] < range[0] ? range[0] : range[1]; /* \K may turn a match round */
    return WEFT_OK;
}

/* Cut text[begin, end) by stage number `stage` and those after it: matches and what lies between
 * them are pieces alike. An empty match only marks a cut. Recursion is as deep as there are stages.
 */
static int split_from(split_run *run, int stage, const char *text, size_t begin, size_t end) {
    if (stage == run->splitter->count) return run->piece(run->context, begin, end);
    const char *part = text + begin;
    size_t size = end - begin, done = 0, at = 0;
    while (at < size) {
        bool found;
        size_t from, to;
        TRY(find(run, &run->splitter->stages[stage], part, size, at, &found, &from, &to));
        if (!found) break;
        if (from < done) from = done;
        if (to < from) to = from;
        if (from > done) TRY(split_from(run, stage + 1, text, begin + done, begin + from));
        if (to > from) TRY(split_from(run, stage + 1, text, begin + from, begin + to));
        done = to;
        at = to;
        if (to == from && to < size) at += (size_t)utf8_check(part + to, size - to);
    }
    return done < size ? split_from(run, stage + 1, text, begin + done, end) : WEFT_OK;
}

int split_text(split_run *run, const char *text, size_t size) {
    size_t begin = 0, at = 0;
    while (at < size) {
        bool good = utf8_check(text + at, size - at) > 0;
        begin = at;
        while (at < size) { /* to the end of this run of good, or of bad, bytes */
            int length = utf8_check(text + at, size - at);
            if ((length > 0) != good) break;
            at += length > 0 ? (size_t)length : 1;
        }
        if (good)
            TRY(split_from(run, 0, text, begin, at));
        else
            TRY(run->piece(run->context, begin, at));
    }
    return WEFT_OK;
}

int split_word_pattern(void **code, weft_error *err) {
    return compile("\\w", 2, code, err);
}

bool split_is_word(const void *code, const char *p, size_t length) {
    pcre2_match_data *match = pcre2_match_data_create(1, NULL);
    if (!match) return false;
    int n = pcre2_match(code, (PCRE2_SPTR)p, length, 0, PCRE2_NO_UTF_CHECK | PCRE2_ANCHORED, match,
                        NULL);
    pcre2_match_data_free(match);
    return n >= 0;
}

void split_word_free(void *code) {
    pcre2_code_free(code);
}
