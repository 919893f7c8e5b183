/* Documents as tokens with targets, and how they are packed into micro-batches. */
#ifndef WEFT_TRAIN_DATASET_H
#define WEFT_TRAIN_DATASET_H

#include "ingest/ingest.h"
#include "text/chat.h"
#include "text/tokenizer.h"

#include <stdbool.h>

#define DATASET_TOKENS_MAX (INT64_C(1) << 40)
#define NO_TARGET          (-1)
#define NO_LABEL           (-1)
#define DATASET_LABELS_MAX 100 /* with more different labels, answers are free text: none is kept  \
                                */

/* What is learnt of a conversation. */
typedef enum loss_mask {
    LOSS_ASSISTANT,  /* the assistant's turns */
    LOSS_ALL,        /* every token */
    LOSS_COMPLETION  /* the assistant's last turn */
} loss_mask;

typedef struct dataset_options {
    int64_t context;   /* longest window in tokens; a longer document is cut into several */
    loss_mask mask;    /* for conversations; plain text always counts whole */
    double eval_share; /* of documents held out, 0 .. 0.5; at least one if > 0 and there are 2 */
    uint64_t seed;     /* chooses the held-out documents */
} dataset_options;

/* A window: tokens [begin, begin + count) of the store. Each position's target is the next token of
 * its document where that one is to be learnt, else NO_TARGET; the last position of a document has
 * none. A window ends with its last target: what follows would change no loss. */
typedef struct window {
    int64_t begin;
    int32_t count;
    int32_t target_count;
} window;

typedef struct dataset dataset;

/* tok and chat are borrowed; chat may be NULL: then conversations are an error that says why. tok
 * may be NULL where only dataset_add_tokens is used. Templates that show a date always see the same
 * one, so that a run resumed tomorrow finds the same tokens. */
int dataset_create(const tokenizer *tok, const chat_template *chat, const dataset_options *options,
                   dataset **out, weft_error *err);
void dataset_free(dataset **d);

/* Add one document; matches ingest_sink with the dataset as context. Plain text becomes bos + text
 * + eos; a conversation goes through the chat template, its loss by options.mask. Documents with no
 * target at all are counted in dataset_stats.empty_count. After an error the data set is as it was
 * before the call. */
int dataset_add(void *dataset_context, const ingest_document *document, weft_error *err);

/* Documents added from now on are learnt, whatever is held out of the others (canaries). Without
 * this call nothing changes. */
void dataset_pin(dataset *d);

/* Raw rows, for tests and tools: ids and targets (count each; targets already shifted, < 0 = none).
 */
int dataset_add_tokens(dataset *d, const int32_t *ids, const int32_t *targets, int32_t count,
                       weft_error *err);

/* No more documents: split off the evaluation part (by whole documents). Nothing to train on is
 * WEFT_ERR_ARGUMENT saying what was read. */
int dataset_finish(dataset *d, weft_error *err);

typedef struct dataset_stats {
    int64_t document_count;  /* added, the empty ones too */
    int64_t empty_count;     /* with nothing to learn in them */
    int64_t cut_count;       /* longer than the context */
    int64_t dropped_windows; /* pieces of cut documents without any target */
    int64_t train_documents, train_windows, train_tokens, train_targets;
    int64_t eval_documents, eval_windows, eval_tokens, eval_targets;
    int64_t longest_tokens; /* longest document */
} dataset_stats;
dataset_stats dataset_statistics(const dataset *d);

/* A document as a question to the model: what comes before its first reply, and that reply with its
 * end mark. Of plain text the prompt is the begin mark (nothing, if there is none) and the reply is
 * the text. Borrowed from the data set. */
typedef struct dataset_example {
    const int32_t *prompt, *reply;
    int64_t prompt_count, reply_count;
    int32_t label; /* index for dataset_label, or NO_LABEL */
    bool conversation, held_out;
    bool pinned; /* added after dataset_pin */
} dataset_example;
int64_t dataset_document_count(const dataset *d); /* those with something to learn */
dataset_example dataset_document(const dataset *d, int64_t index); /* after dataset_finish */

/* A document as it is trained: ids and targets (token_count each), borrowed from the data set. */
typedef struct dataset_row {
    const int32_t *ids, *targets;
    int64_t token_count;
} dataset_row;
dataset_row dataset_document_row(const dataset *d, int64_t index);

/* Labels of documents: 0 where there are none, or more than DATASET_LABELS_MAX different ones. */
int32_t dataset_label_count(const dataset *d);
const char *dataset_label(const dataset *d, int32_t index);

/* Memory of the store: tokens, targets, documents and windows. */
size_t dataset_bytes(const dataset *d);

/* Tokens of the longest window: what a micro-batch must hold at least. After dataset_finish. */
int64_t dataset_window_max(const dataset *d);

/* 64-bit fingerprint of all ids, targets and the split: a resumed run must see the same data. */
uint64_t dataset_fingerprint(const dataset *d);

/* Several windows side by side, as the device gets them: n = tokens used (<= capacity); first[t] is
 * where token t's document begins in the batch, positions[t] = t - first[t], last[t] = t. */
typedef struct micro_batch {
    int32_t *ids, *positions, *first, *last, *targets; /* capacity each; targets NO_TARGET = none */
    int64_t tokens, capacity, target_count;
} micro_batch;
int micro_batch_create(int64_t capacity, micro_batch *b, weft_error *err);
void micro_batch_destroy(micro_batch *b);

/* The order of an epoch: windows shuffled by (seed, epoch), packed in that order (next fit) into
 * micro-batches of at most micro_tokens. Every window is in exactly one micro-batch. micro_tokens
 * below dataset_window_max is WEFT_ERR_ARGUMENT. */
typedef struct epoch_plan {
    int32_t *order;  /* train windows, shuffled */
    int64_t *starts; /* micro_count + 1 indices into order */
    int64_t micro_count;
} epoch_plan;
int epoch_plan_create(const dataset *d, uint64_t seed, int64_t epoch, int64_t micro_tokens,
                      epoch_plan *plan, weft_error *err);
void epoch_plan_destroy(epoch_plan *plan);
/* Tokens of the fullest micro-batch of the epoch. */
int64_t epoch_plan_fullest(const dataset *d, const epoch_plan *plan);
/* 0 <= micro < plan->micro_count; b holds micro_tokens. */
void dataset_fill(const dataset *d, const epoch_plan *plan, int64_t micro, micro_batch *b);
/* The evaluation windows in order, packed alike; micro counts from 0. Returns false past the end.
 * micro_tokens is at least dataset_window_max and at most the capacity of b. */
bool dataset_fill_eval(const dataset *d, int64_t micro, int64_t micro_tokens, micro_batch *b);

#endif
