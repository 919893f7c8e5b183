/* Documents as tokens with targets: encoding, masks, the held-out split, windows and the
 * fingerprint. All tokens are kept in memory, 8 bytes each. Reading files is ingest's, packing is
 * packing.c's. */
#include "train/dataset_impl.h"

#include "train/hash.h"

#include "base/rng.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The date that templates see: 1 January 2025. */
#define TEMPLATE_NOW INT64_C(1735689600)

/* Streams of options.seed. */
enum { STREAM_SPLIT = 1 };

static int fail_memory(weft_error *err) {
    return err_set(err, WEFT_ERR_MEMORY, "out of memory for the training data");
}

/* ------------------------------------------------------------------ life */

static int check_options(const dataset_options *o, weft_error *err) {
    if (o->context < 1 || o->context > INT32_MAX)
        return err_set(err, WEFT_ERR_ARGUMENT, "context is %" PRId64 " tokens; it must be 1 to %d",
                       o->context, INT32_MAX);
    if (!(o->eval_share >= 0 && o->eval_share <= 0.5))
        return err_set(err, WEFT_ERR_ARGUMENT, "the held-out share is %g; it must be 0 to 0.5",
                       o->eval_share);
    if (o->mask != LOSS_ASSISTANT && o->mask != LOSS_ALL && o->mask != LOSS_COMPLETION)
        return err_set(err, WEFT_ERR_ARGUMENT, "the loss mask %d is unknown", (int)o->mask);
    return WEFT_OK;
}

static int copy_token_text(const tokenizer *tok, int32_t id, char **out, weft_error *err) {
    if (id < 0) return WEFT_OK;
    gguf_text text = tokenizer_text(tok, id);
    *out = strndup(text.data, text.size);
    return *out ? WEFT_OK : fail_memory(err);
}

int dataset_create(const tokenizer *tok, const chat_template *chat, const dataset_options *options,
                   dataset **out, weft_error *err) {
    *out = NULL;
    TRY(check_options(options, err));
    dataset *d = calloc(1, sizeof *d);
    if (!d) return fail_memory(err);
    d->tok = tok;
    d->chat = chat;
    d->options = *options;
    int rc = WEFT_OK;
    if (tok) {
        TRY_OR(copy_token_text(tok, tokenizer_bos(tok), &d->bos_text, err), fail);
        TRY_OR(copy_token_text(tok, tokenizer_eos(tok), &d->eos_text, err), fail);
    }
    d->pinned_begin = -1;
    *out = d;
    return WEFT_OK;
fail:
    dataset_free(&d);
    return rc;
}

void dataset_free(dataset **out) {
    dataset *d = *out;
    if (!d) return;
    free(d->bos_text);
    free(d->eos_text);
    for (int32_t i = 0; i < d->label_count; i++) free(d->labels[i]);
    free(d->labels);
    free(d->ids);
    free(d->targets);
    free(d->documents);
    free(d->windows);
    free(d);
    *out = NULL;
}

/* ------------------------------------------------------------------ adding */

/* Room for `count` more tokens and one more document. */
static int reserve(dataset *d, int64_t count, weft_error *err) {
    if (count > DATASET_TOKENS_MAX - d->token_count)
        return err_set(err, WEFT_ERR_RANGE, "the training data has more than %" PRId64 " tokens",
                       DATASET_TOKENS_MAX);
    int64_t need = d->token_count + count;
    if (need > d->token_capacity) {
        int64_t capacity =
            d->token_capacity * 3 / 2 > need ? d->token_capacity * 3 / 2 : need + 1024;
        int32_t *ids = realloc(d->ids, (size_t)capacity * sizeof *ids);
        if (!ids) return fail_memory(err);
        d->ids = ids;
        int32_t *targets = realloc(d->targets, (size_t)capacity * sizeof *targets);
        if (!targets) return fail_memory(err);
        d->targets = targets;
        d->token_capacity = capacity;
    }
    if (d->document_count == d->document_capacity) {
        int64_t capacity = d->document_capacity ? 2 * d->document_capacity : 64;
        stored_document *documents = realloc(d->documents, (size_t)capacity * sizeof *documents);
        if (!documents) return fail_memory(err);
        d->documents = documents;
        d->document_capacity = capacity;
    }
    return WEFT_OK;
}

/* Make the `count` tokens written behind the store a document; one without targets is only counted.
 */
static void close_document(dataset *d, int64_t count, int64_t prompt_count, int64_t reply_count) {
    const int32_t *targets = d->targets + d->token_count;
    bool learnt = false;
    for (int64_t i = 0; i < count && !learnt; i++) learnt = targets[i] != NO_TARGET;
    d->stats.document_count++;
    if (!learnt) {
        d->stats.empty_count++;
        return;
    }
    d->documents[d->document_count++] = (stored_document){.begin = d->token_count,
                                                          .count = count,
                                                          .prompt_count = (int32_t)prompt_count,
                                                          .reply_count = (int32_t)reply_count,
                                                          .label = NO_LABEL};
    d->token_count += count;
    if (count > d->stats.longest_tokens) d->stats.longest_tokens = count;
    if (count > d->options.context) d->stats.cut_count++;
}

/* Add a document of `count` tokens. reply[i] = 1 where the assistant wrote token i; NULL = plain
 * text, all of it after its first `bos` tokens. all = every token is to be predicted, not only
 * replies. closing >= 0 is an end mark put behind, learnt too. */
static int add_spans(dataset *d, const token_span *tokens, const uint8_t *reply, bool all,
                     size_t bos, size_t count, int32_t closing, weft_error *err) {
    const uint8_t *learnt = all ? NULL : reply;
    size_t first = reply ? 0 : bos, end;
    TRY(reserve(d, (int64_t)count + 1, err));
    int32_t *ids = d->ids + d->token_count, *targets = d->targets + d->token_count;
    for (size_t i = 0; i < count; i++) ids[i] = tokens[i].id;
    for (size_t i = 0; i + 1 < count; i++)
        targets[i] = !learnt || learnt[i + 1] ? ids[i + 1] : NO_TARGET;
    if (closing >= 0 && count) {
        targets[count - 1] = closing;
        ids[count++] = closing;
    }
    if (count) targets[count - 1] = NO_TARGET;
    while (reply && first < count && !reply[first]) first++;
    for (end = first; end < count && (!reply || reply[end]);) end++;
    int64_t made = d->document_count;
    close_document(d, (int64_t)count, (int64_t)first, (int64_t)(end - first));
    if (d->document_count > made) d->documents[made].conversation = reply != NULL;
    return WEFT_OK;
}

static int add_text(dataset *d, const char *text, weft_error *err) {
    tokenizer_options options = {.add_bos = tokenizer_adds_bos(d->tok)};
    token_span *tokens = NULL;
    size_t count = 0, size = strlen(text);
    TRY(tokenizer_encode(d->tok, text, size, &options, &tokens, &count, err));
    if (size == 0) count = 0; /* a lone begin mark teaches nothing but to end at once */
    size_t bos = count && options.add_bos && tokens[0].id == tokenizer_bos(d->tok);
    int rc = add_spans(d, tokens, NULL, true, bos, count, tokenizer_eos(d->tok), err);
    free(tokens);
    return rc;
}

/* Of all turns in the mask keep the last. */
static void keep_last_turn(uint8_t *mask, size_t count) {
    while (count && !mask[count - 1]) count--;
    while (count && mask[count - 1]) count--;
    memset(mask, 0, count);
}

static int add_conversation(dataset *d, const ingest_document *document, weft_error *err) {
    if (!d->chat)
        return err_set(
            err, WEFT_ERR_ARGUMENT,
            "this is a conversation, but the model has no chat template; give plain text");
    chat_message *messages = calloc(document->message_count, sizeof *messages);
    if (!messages) return fail_memory(err);
    for (size_t i = 0; i < document->message_count; i++)
        messages[i] = (chat_message){document->messages[i].role, document->messages[i].content};
    chat_options options = {.bos_text = d->bos_text, .eos_text = d->eos_text, .now = TEMPLATE_NOW};
    token_span *tokens = NULL;
    uint8_t *mask = NULL;
    size_t count = 0;
    int rc = chat_encode(d->chat, d->tok, messages, document->message_count, &options, &tokens,
                         &mask, &count, err);
    free(messages);
    if (rc) return rc;
    if (d->options.mask == LOSS_COMPLETION) keep_last_turn(mask, count);
    rc = add_spans(d, tokens, mask, d->options.mask == LOSS_ALL, 0, count, -1, err);
    free(tokens);
    free(mask);
    return rc;
}

static int check_open(const dataset *d, weft_error *err) {
    if (d->finished)
        return err_set(err, WEFT_ERR_STATE, "the data set is finished; nothing can be added to it");
    return WEFT_OK;
}

static void forget_labels(dataset *d) {
    for (int32_t i = 0; i < d->label_count; i++) free(d->labels[i]);
    free(d->labels);
    d->labels = NULL;
    d->label_count = 0;
    d->labels_many = true;
    for (int64_t i = 0; i < d->document_count; i++) d->documents[i].label = NO_LABEL;
}

/* Note the label of the document added last. */
static int add_label(dataset *d, const char *label, weft_error *err) {
    int32_t i = 0;
    if (d->labels_many) return WEFT_OK;
    while (i < d->label_count && strcmp(d->labels[i], label) != 0) i++;
    if (i == DATASET_LABELS_MAX) return forget_labels(d), WEFT_OK;
    if (i == d->label_count) {
        if (!d->labels) d->labels = calloc(DATASET_LABELS_MAX, sizeof *d->labels);
        if (!d->labels || !(d->labels[i] = strdup(label))) return fail_memory(err);
        d->label_count++;
    }
    d->documents[d->document_count - 1].label = i;
    return WEFT_OK;
}

static int add_document(dataset *d, const ingest_document *document, weft_error *err) {
    TRY(check_open(d, err));
    if (!d->tok)
        return err_set(err, WEFT_ERR_ARGUMENT,
                       "the model has no tokenizer, so text cannot be read");
    if (document->message_count) return add_conversation(d, document, err);
    return add_text(d, document->text ? document->text : "", err);
}

int dataset_add(void *dataset_context, const ingest_document *document, weft_error *err) {
    dataset *d = dataset_context;
    int64_t before = d->document_count;
    int rc = add_document(d, document, err);
    if (!rc && d->document_count > before && document->label && *document->label)
        rc = add_label(d, document->label, err);
    if (rc && document->source) err_prefix(err, "%s:%" PRIu64, document->source, document->line);
    return rc;
}

int dataset_add_tokens(dataset *d, const int32_t *ids, const int32_t *targets, int32_t count,
                       weft_error *err) {
    TRY(check_open(d, err));
    int32_t vocab = d->tok ? tokenizer_vocab_count(d->tok) : INT32_MAX;
    for (int32_t i = 0; i < count; i++)
        if (ids[i] < 0 || ids[i] >= vocab || targets[i] >= vocab)
            return err_set(err, WEFT_ERR_RANGE,
                           "token %d is %d with target %d; the vocabulary has %d tokens", i, ids[i],
                           targets[i], vocab);
    if (count < 0) count = 0;
    TRY(reserve(d, count, err));
    for (int32_t i = 0; i < count; i++) {
        d->ids[d->token_count + i] = ids[i];
        d->targets[d->token_count + i] = targets[i] < 0 ? NO_TARGET : targets[i];
    }
    int64_t first = 0;
    while (first < count && targets[first] < 0) first++;
    first = first < count ? first + 1 : count;
    close_document(d, count, first, count - first);
    return WEFT_OK;
}

void dataset_pin(dataset *d) {
    if (d->pinned_begin < 0) d->pinned_begin = d->document_count;
}

/* ------------------------------------------------------------------ finishing */

/* Documents that may be held out. */
static int64_t drawn_from(const dataset *d) {
    return d->pinned_begin < 0 ? d->document_count : d->pinned_begin;
}

static int64_t held_out_count(const dataset *d) {
    int64_t total = drawn_from(d);
    if (d->options.eval_share <= 0 || total < 2) return 0;
    int64_t count = (int64_t)floor(d->options.eval_share * (double)total + 0.5);
    return count < 1 ? 1 : count;
}

/* Draw the held-out documents: the first places of a shuffle. */
static int draw_held_out(dataset *d, weft_error *err) {
    int64_t count = held_out_count(d), total = drawn_from(d);
    int64_t *order = malloc((size_t)(total ? total : 1) * sizeof *order);
    if (!order) return fail_memory(err);
    for (int64_t i = 0; i < total; i++) order[i] = i;
    uint64_t stream = rng_split(d->options.seed, STREAM_SPLIT);
    for (int64_t i = 0; i < count; i++) {
        int64_t j = i + (int64_t)rng_below(stream, (uint64_t)i, (uint64_t)(total - i));
        int64_t drawn = order[j];
        order[j] = order[i];
        d->documents[drawn].held_out = true;
    }
    free(order);
    return WEFT_OK;
}

/* The window at `begin`, up to its last target. */
static window cut_window(const dataset *d, int64_t begin, int64_t count) {
    const int32_t *targets = d->targets + begin;
    while (count > 0 && targets[count - 1] == NO_TARGET) count--;
    window w = {begin, (int32_t)count, 0};
    for (int64_t i = 0; i < count; i++) w.target_count += targets[i] != NO_TARGET;
    return w;
}

/* Append the windows of the documents with held_out == part. Returns how many. */
static int64_t cut_part(dataset *d, bool part, window *out) {
    int64_t made = 0, context = d->options.context;
    for (int64_t i = 0; i < d->document_count; i++) {
        const stored_document *doc = &d->documents[i];
        if (doc->held_out != part) continue;
        for (int64_t at = 0; at < doc->count; at += context) {
            int64_t left = doc->count - at;
            window w = cut_window(d, doc->begin + at, left < context ? left : context);
            if (!w.target_count) {
                d->stats.dropped_windows++;
                continue;
            }
            if (w.count > d->window_max) d->window_max = w.count;
            out[made++] = w;
        }
    }
    return made;
}

static void count_part(const window *windows, int64_t count, int64_t *tokens, int64_t *targets) {
    for (int64_t i = 0; i < count; i++) {
        *tokens += windows[i].count;
        *targets += windows[i].target_count;
    }
}

static int cut_windows(dataset *d, weft_error *err) {
    int64_t most = 0, context = d->options.context;
    for (int64_t i = 0; i < d->document_count; i++)
        most += (d->documents[i].count + context - 1) / context;
    if (most > INT32_MAX)
        return err_set(err, WEFT_ERR_RANGE,
                       "the training data makes %" PRId64 " windows; at most %d", most, INT32_MAX);
    d->windows = malloc((size_t)most * sizeof *d->windows);
    if (!d->windows) return fail_memory(err);
    dataset_stats *s = &d->stats;
    s->eval_documents = held_out_count(d);
    s->train_documents = d->document_count - s->eval_documents;
    s->train_windows = d->train_count = cut_part(d, false, d->windows);
    s->eval_windows = d->eval_count = cut_part(d, true, d->windows + d->train_count);
    count_part(d->windows, d->train_count, &s->train_tokens, &s->train_targets);
    count_part(d->windows + d->train_count, d->eval_count, &s->eval_tokens, &s->eval_targets);
    return WEFT_OK;
}

static uint64_t compute_fingerprint(const dataset *d) {
    uint64_t hash = hash_word(HASH_START, (uint64_t)d->train_count);
    for (int64_t i = 0; i < d->train_count + d->eval_count; i++) {
        const window *w = &d->windows[i];
        hash = hash_bytes(hash, d->ids + w->begin, (size_t)w->count * sizeof *d->ids);
        hash = hash_bytes(hash, d->targets + w->begin, (size_t)w->count * sizeof *d->targets);
    }
    return hash;
}

int dataset_finish(dataset *d, weft_error *err) {
    TRY(check_open(d, err));
    if (!d->document_count)
        return err_set(err, WEFT_ERR_ARGUMENT,
                       "nothing to train on: %" PRId64 " documents were read, %" PRId64
                       " of them with nothing to learn in them",
                       d->stats.document_count, d->stats.empty_count);
    TRY(draw_held_out(d, err));
    TRY(cut_windows(d, err));
    d->fingerprint = compute_fingerprint(d);
    d->finished = true;
    return WEFT_OK;
}

dataset_stats dataset_statistics(const dataset *d) {
    return d->stats;
}

int64_t dataset_document_count(const dataset *d) {
    return d->document_count;
}

dataset_example dataset_document(const dataset *d, int64_t index) {
    const stored_document *doc = &d->documents[index];
    const int32_t *ids = d->ids + doc->begin;
    return (dataset_example){.prompt = ids,
                             .prompt_count = doc->prompt_count,
                             .reply = ids + doc->prompt_count,
                             .reply_count = doc->reply_count,
                             .label = doc->label,
                             .conversation = doc->conversation,
                             .held_out = doc->held_out,
                             .pinned = d->pinned_begin >= 0 && index >= d->pinned_begin};
}

dataset_row dataset_document_row(const dataset *d, int64_t index) {
    const stored_document *doc = &d->documents[index];
    return (dataset_row){d->ids + doc->begin, d->targets + doc->begin, doc->count};
}

int32_t dataset_label_count(const dataset *d) {
    return d->label_count;
}

const char *dataset_label(const dataset *d, int32_t index) {
    return d->labels[index];
}

size_t dataset_bytes(const dataset *d) {
    return (size_t)d->token_capacity * (sizeof *d->ids + sizeof *d->targets) +
           (size_t)d->document_capacity * sizeof *d->documents +
           (size_t)(d->train_count + d->eval_count) * sizeof *d->windows;
}

int64_t dataset_window_max(const dataset *d) {
    return d->window_max;
}

uint64_t dataset_fingerprint(const dataset *d) {
    return d->fingerprint;
}
