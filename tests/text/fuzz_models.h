/* Small tokenizers for fuzzing, made as text: every byte a token, a few merges, two added tokens.
 */
#ifndef WEFT_TESTS_TEXT_FUZZ_MODELS_H
#define WEFT_TESTS_TEXT_FUZZ_MODELS_H

#include "text/tokenizer_impl.h"
#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>

static const char *const fuzz_names[] = {"llama-bpe", "gpt-2",       "qwen2",        "gpt-4o",
                                         "default",   "deepseek-v3", "deepseek-llm", "superbpe",
                                         "viking",    "chameleon"};
#define FUZZ_MODELS                                                                                \
    ((int)(sizeof fuzz_names / sizeof *fuzz_names) + 1) /* the last: SentencePiece */

static inline int fuzz_model_is_exact(int which) {
    return which < FUZZ_MODELS - 1;
}

static inline void fuzz_add_byte(bytes *json, int byte, int spm) {
    char text[5] = {0};
    utf8_write(byte_to_char((uint8_t)byte), text);
    const char *escape = !spm && (byte == '"' || byte == '\\') ? "\\" : "";
    if (spm)
        bytes_printf(json, "%s\"<0x%02X>\":%d", byte ? "," : "", (unsigned)byte, byte);
    else
        bytes_printf(json, "%s\"%s%s\":%d", byte ? "," : "", escape, text, byte);
}

/* Both kinds merge a and b, ab and ab; the last model marks spaces. */
static inline tokenizer *fuzz_model(int which) {
    int spm = which == FUZZ_MODELS - 1;
    bytes json = {0};
    bytes_add_text(&json, "{\"added_tokens\":["
                          "{\"id\":300,\"content\":\"<|e|>\",\"special\":true,\"lstrip\":false},"
                          "{\"id\":301,\"content\":\"e|\",\"single_word\":true}],"
                          "\"model\":{\"type\":\"BPE\",\"byte_fallback\":true,\"vocab\":{");
    for (int i = 0; i < 256; i++) fuzz_add_byte(&json, i, spm);
    if (spm) bytes_add_text(&json, ",\"a\":260,\"b\":261");
    bytes_add_text(&json, ",\"ab\":256,\"abab\":257},\"merges\":[\"a b\",\"ab ab\"]},");
    if (spm) {
        bytes_add_text(&json, "\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},"
                              "\"content\":\"" SPACE_MARK "\"}}");
    } else {
        bytes_add_text(&json, "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"use_regex\":false,"
                              "\"add_prefix_space\":false}}");
    }
    tokenizer *t;
    if (tokenizer_from_hf_json(json.data, json.size, &t, NULL)) abort();
    bytes_free(&json);
    if (spm) return t;
    const pretokenizer *p = pretokenizer_named(fuzz_names[which], strlen(fuzz_names[which]));
    for (int i = 0; i < SPLIT_STAGES_MAX && p->stages[i]; i++)
        if (splitter_add(&t->splitter, p->stages[i], strlen(p->stages[i]), NULL)) abort();
    return t;
}

#endif
