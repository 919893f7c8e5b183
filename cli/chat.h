/* The two halves of `weft chat`: answering (cmd_chat.c) and talking on a terminal (chat_talk.c). */
#ifndef WEFT_CLI_CHAT_H
#define WEFT_CLI_CHAT_H

#include "common.h"
#include "conversation.h"
#include "options.h"

typedef struct chat_settings {
    model_settings model;
    option_list adapters;
    const char *prompt, *system;
    double temperature, top_p, min_p, repeat_penalty;
    int64_t top_k, seed, max_tokens, context;
    bool raw, stats, json;
} chat_settings;

typedef struct chat {
    chat_settings s;
    weft_model *model;
    weft_session *session;
    adapter_set loaded;   /* all that were used so far: switching back loads nothing */
    adapter_set adapters; /* those in use, of the loaded ones */
    conversation turns;
    char model_path[PATH_BYTES];
    char *reply; /* of the last answer */
    size_t reply_bytes;
    weft_generate_stats stats;
    bool told_of_dropping;
} chat;

/* Answer a prompt and print the reply as it comes; WEFT_ERR_INTERRUPTED when stopped by a signal.
 */
int chat_answer(chat *c, const char *prompt, weft_error *err);

/* Answer with these ("NAME[:S]" each) from now on, and with none if count is 0. What cannot be
 * loaded leaves all as it was. */
int chat_use_adapters(chat *c, const char *const *words, size_t count, weft_error *err);

/* The conversation on a terminal, until /quit or Ctrl-D. Returns the exit code. */
int chat_talk(chat *c);

#endif
