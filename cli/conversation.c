/* The turns of a chat. */
#include "conversation.h"

#include <stdlib.h>
#include <string.h>

#define REPLY_ROOM_MAX 256

int conversation_add(conversation *c, const char *role, const char *text, weft_error *err) {
    if (c->count == c->capacity) {
        size_t wanted = c->capacity * 2 + 16;
        weft_message *grown = realloc(c->turns, wanted * sizeof *grown);
        if (!grown) return err_set(err, WEFT_ERR_MEMORY, "out of memory for the conversation");
        c->turns = grown;
        c->capacity = wanted;
    }
    char *copy = strdup(text);
    if (!copy) return err_set(err, WEFT_ERR_MEMORY, "out of memory for the conversation");
    if (!strcmp(role, "system")) c->has_system = true;
    c->turns[c->count++] = (weft_message){role, copy};
    return WEFT_OK;
}

static void drop(conversation *c, size_t index) {
    free((char *)c->turns[index].content);
    memmove(&c->turns[index], &c->turns[index + 1], (c->count - index - 1) * sizeof *c->turns);
    c->count--;
}

void conversation_drop_last(conversation *c) {
    if (c->count) drop(c, c->count - 1);
}

void conversation_clear(conversation *c) {
    while (c->count > (c->has_system ? 1 : 0)) conversation_drop_last(c);
}

void conversation_free(conversation *c) {
    while (c->count) conversation_drop_last(c);
    free(c->turns);
    *c = (conversation){0};
}

int conversation_tokens(conversation *c, const weft_model *model, int64_t context, int32_t **tokens,
                        size_t *token_count, size_t *dropped, weft_error *err) {
    int64_t room = context / 4 < REPLY_ROOM_MAX ? context / 4 : REPLY_ROOM_MAX;
    size_t first = c->has_system ? 1 : 0;
    *dropped = 0;
    for (;;) {
        TRY(weft_chat_render(model, c->turns, c->count, true, NULL, tokens, token_count, err));
        if ((int64_t)*token_count + room <= context) return WEFT_OK;
        if (c->count - first < 3) break;
        weft_free(*tokens);
        *tokens = NULL;
        /* A question goes with its answer, so that the first turn left is a person's. */
        drop(c, first);
        drop(c, first);
        *dropped += 2;
    }
    if ((int64_t)*token_count < context) return WEFT_OK;
    weft_free(*tokens);
    *tokens = NULL;
    return err_set(err, WEFT_ERR_RANGE,
                   "the message is %zu tokens long; the context holds %lld, reply included",
                   *token_count, (long long)context);
}
