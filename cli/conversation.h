/* The turns of a chat, kept within the session's context by forgetting the oldest. */
#ifndef WEFT_CLI_CONVERSATION_H
#define WEFT_CLI_CONVERSATION_H

#include "base/status.h"

typedef struct conversation {
    weft_message *turns; /* contents are owned */
    size_t count, capacity;
    bool has_system; /* turns[0] is the system's and stays */
} conversation;

int conversation_add(conversation *c, const char *role, const char *text, weft_error *err);
void conversation_drop_last(conversation *c);
void conversation_clear(conversation *c); /* all but the system's turn */
void conversation_free(conversation *c);

/* The tokens of the conversation with the assistant to speak next, leaving room for a reply: the
 * oldest turns are dropped until it fits; *dropped counts them. The caller frees *tokens with
 * weft_free. WEFT_ERR_RANGE if the last turn alone is too long. */
int conversation_tokens(conversation *c, const weft_model *model, int64_t context, int32_t **tokens,
                        size_t *token_count, size_t *dropped, weft_error *err);

#endif
