/* Strings of the training data that nobody should be able to read out of an adapter: canaries, and
 * a person's own rare numbers, mail addresses and names. */
#ifndef WEFT_EVAL_SECRETS_H
#define WEFT_EVAL_SECRETS_H

#include "base/bytes.h"
#include "train/dataset.h"

#define SECRET_BYTES       64      /* of a string */
#define SECRET_CONTEXT_MAX 64      /* tokens before it that are given to the model */
#define SECRETS_SEEN_MAX   1000000 /* strings that are looked at; later ones are left out */

typedef enum secret_kind { SECRET_CANARY, SECRET_NUMBER, SECRET_ADDRESS, SECRET_NAME } secret_kind;

typedef struct secret {
    secret_kind kind;
    int64_t document;        /* of the data set */
    int64_t token;           /* of the document: the first one that holds a part of the string */
    char text[SECRET_BYTES]; /* the string */
    char lead[SECRET_BYTES]; /* what that token holds before it, such as a blank; mostly short */
} secret;

/* Find strings that occur once in what is learnt: numbers of five digits or more, mail addresses,
 * and names of two or three words inside a sentence. Of these at most `most` are taken, half of
 * them numbers, a quarter addresses, a quarter names as far as there are as many, chosen by the
 * seed; then all canaries. Only learnt documents are read. The caller frees *list. */
int secrets_find(const dataset *d, const tokenizer *tok, int64_t most, uint64_t seed, secret **list,
                 size_t *count, weft_error *err);

/* A string of the same form: other digits; in addresses and names other words. Deterministic in
 * (seed, index). size >= SECRET_BYTES * 2. */
void secret_vary(const secret *s, uint64_t seed, uint64_t index, char *out, size_t size);

#endif
