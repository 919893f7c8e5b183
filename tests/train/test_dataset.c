/* The data set: targets and masks, windows, the held-out split, packing, the order of epochs. */
#include "train/dataset.h"

#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define DOCUMENTS 60
#define CONTEXT   16
#define MICRO     40

/* ------------------------------------------------------------------ rows */

static dataset *make(const tokenizer *tok, const chat_template *chat, dataset_options options) {
    dataset *d;
    weft_error err;
    assert_int_equal(dataset_create(tok, chat, &options, &d, &err), WEFT_OK);
    return d;
}

static void finish(dataset *d) {
    weft_error err;
    assert_int_equal(dataset_finish(d, &err), WEFT_OK);
}

/* A document of `count` tokens base, base + 1, ...: every token tells where it comes from. */
static void add_row(dataset *d, int32_t base, int32_t count) {
    int32_t ids[512], targets[512];
    assert_true(count <= 512);
    for (int32_t i = 0; i < count; i++) {
        ids[i] = base + i;
        targets[i] = i + 1 < count ? base + i + 1 : -100;
    }
    assert_int_equal(dataset_add_tokens(d, ids, targets, count, NULL), WEFT_OK);
}

/* Documents of 2 .. 37 tokens, document i with the tokens 1000 * i ... */
static dataset *make_rows(double eval_share, uint64_t seed) {
    dataset *d = make(
        NULL, NULL, (dataset_options){.context = CONTEXT, .eval_share = eval_share, .seed = seed});
    for (int32_t i = 0; i < DOCUMENTS; i++) add_row(d, 1000 * i, 2 + i * 7 % 36);
    finish(d);
    return d;
}

/* Where the windows of a batch begin. Checks the batch's own consistency: no token sees another
 * document, positions restart, and no window is cut in two. */
static int64_t check_batch(const micro_batch *b, int64_t *begins) {
    int64_t windows = 0, targets = 0;
    assert_true(b->tokens > 0 && b->tokens <= b->capacity);
    for (int64_t i = 0; i < b->tokens; i++) {
        assert_int_equal(b->last[i], i);
        assert_int_equal(b->positions[i], i - b->first[i]);
        targets += b->targets[i] != NO_TARGET;
        if (b->first[i] == i) {
            begins[windows++] = i;
        } else {
            assert_int_equal(b->first[i], b->first[i - 1]);
            assert_int_equal(b->ids[i], b->ids[i - 1] + 1);
        }
        assert_int_equal(b->ids[i] / 1000, b->ids[b->first[i]] / 1000);
        if (b->targets[i] != NO_TARGET) assert_int_equal(b->targets[i], b->ids[i] + 1);
    }
    assert_int_equal(targets, b->target_count);
    return windows;
}

/* Mark every token of the batch as seen once more. */
static void mark(const micro_batch *b, uint8_t *seen) {
    for (int64_t i = 0; i < b->tokens; i++) seen[b->ids[i]]++;
}

static void test_windows_cover_everything_once(void **state) {
    (void)state;
    dataset *d = make_rows(0, 1);
    uint8_t *seen = calloc(DOCUMENTS, 1000);
    epoch_plan plan;
    micro_batch b;
    weft_error err;
    int64_t begins[MICRO], windows = 0;
    assert_int_equal(epoch_plan_create(d, 5, 0, MICRO, &plan, &err), WEFT_OK);
    assert_int_equal(micro_batch_create(MICRO, &b, &err), WEFT_OK);
    for (int64_t i = 0; i < plan.micro_count; i++) {
        dataset_fill(d, &plan, i, &b);
        windows += check_batch(&b, begins);
        mark(&b, seen);
    }
    assert_int_equal(windows, dataset_statistics(d).train_windows);
    for (int32_t i = 0; i < DOCUMENTS; i++)
        for (int32_t at = 0; at < 1000; at++) {
            /* All but the last token, which predicts nothing, exactly once: the first document too.
             */
            int32_t count = 2 + i * 7 % 36;
            assert_int_equal(seen[1000 * i + at], at < count - 1);
        }
    free(seen);
    micro_batch_destroy(&b);
    epoch_plan_destroy(&plan);
    dataset_free(&d);
}

/* A cut loses no target: the last position of a window predicts the first token of the next. */
static void test_cut_keeps_targets(void **state) {
    (void)state;
    dataset *d = make(NULL, NULL, (dataset_options){.context = CONTEXT});
    add_row(d, 7, 2 * CONTEXT + 1);
    finish(d);
    dataset_stats s = dataset_statistics(d);
    assert_int_equal(s.train_windows, 2); /* a third would hold the last token alone */
    assert_int_equal(s.train_tokens, 2 * CONTEXT);
    assert_int_equal(s.train_targets, 2 * CONTEXT);
    assert_int_equal(s.cut_count, 1);
    assert_int_equal(s.dropped_windows, 1);
    assert_int_equal(s.longest_tokens, 2 * CONTEXT + 1);
    assert_int_equal(dataset_window_max(d), CONTEXT);
    dataset_free(&d);
}

static void test_windows_without_targets(void **state) {
    (void)state;
    int32_t ids[4 * CONTEXT], targets[4 * CONTEXT];
    for (int i = 0; i < 4 * CONTEXT; i++) {
        ids[i] = i;
        targets[i] = NO_TARGET;
    }
    dataset *d = make(NULL, NULL, (dataset_options){.context = CONTEXT});
    assert_int_equal(dataset_add_tokens(d, ids, targets, 4 * CONTEXT, NULL), WEFT_OK); /* empty */
    targets[CONTEXT + 3] = 9;
    assert_int_equal(dataset_add_tokens(d, ids, targets, 4 * CONTEXT, NULL), WEFT_OK);
    finish(d);
    dataset_stats s = dataset_statistics(d);
    assert_int_equal(s.document_count, 2);
    assert_int_equal(s.empty_count, 1);
    assert_int_equal(s.train_windows, 1);
    assert_int_equal(s.dropped_windows, 3);
    assert_int_equal(s.train_tokens, 4); /* up to the last target */
    assert_int_equal(s.train_targets, 1);
    dataset_free(&d);
}

/* ------------------------------------------------------------------ order */

static uint64_t hash_order(const epoch_plan *plan, int64_t count) {
    uint64_t hash = 0;
    for (int64_t i = 0; i < count; i++) hash = rng_at(hash, (uint64_t)plan->order[i]);
    return hash;
}

static uint64_t order_of(const dataset *d, uint64_t seed, int64_t epoch) {
    epoch_plan plan;
    weft_error err;
    assert_int_equal(epoch_plan_create(d, seed, epoch, MICRO, &plan, &err), WEFT_OK);
    uint64_t hash = hash_order(&plan, dataset_statistics(d).train_windows);
    epoch_plan_destroy(&plan);
    return hash;
}

static void test_epochs_are_shuffled(void **state) {
    (void)state;
    dataset *d = make_rows(0, 1);
    int64_t count = dataset_statistics(d).train_windows, in_place = 0;
    assert_true(order_of(d, 5, 0) == order_of(d, 5, 0));
    assert_true(order_of(d, 5, 0) != order_of(d, 5, 1));
    assert_true(order_of(d, 5, 0) != order_of(d, 6, 0));
    epoch_plan plan;
    weft_error err;
    assert_int_equal(epoch_plan_create(d, 5, 0, MICRO, &plan, &err), WEFT_OK);
    for (int64_t i = 0; i < count; i++) in_place += plan.order[i] == i;
    assert_true(in_place < count / 4); /* file order would be count */
    epoch_plan_destroy(&plan);
    dataset_free(&d);
}

/* Over many seeds each window comes first about equally often: a shuffle that leaves some place
 * untouched shows here. 4000 draws of 1 in 4 have a standard deviation of 27. */
static void test_shuffle_is_fair(void **state) {
    (void)state;
    dataset *d = make(NULL, NULL, (dataset_options){.context = CONTEXT});
    for (int32_t i = 0; i < 4; i++) add_row(d, 1000 * i, 5);
    finish(d);
    int counts[4][4] = {{0}};
    for (uint64_t seed = 0; seed < 4000; seed++) {
        epoch_plan plan;
        weft_error err;
        assert_int_equal(epoch_plan_create(d, seed, 0, MICRO, &plan, &err), WEFT_OK);
        for (int i = 0; i < 4; i++) counts[i][plan.order[i]]++;
        epoch_plan_destroy(&plan);
    }
    for (int i = 0; i < 16; i++) assert_in_range(counts[i / 4][i % 4], 1000 - 140, 1000 + 140);
    dataset_free(&d);
}

static void test_packing_fills(void **state) {
    (void)state;
    dataset *d = make(NULL, NULL, (dataset_options){.context = CONTEXT});
    for (int32_t i = 0; i < 10; i++) add_row(d, 1000 * i, 11); /* 10 tokens each with a target */
    finish(d);
    epoch_plan plan;
    weft_error err;
    assert_int_equal(epoch_plan_create(d, 1, 0, 10, &plan, &err), WEFT_OK);
    assert_int_equal(plan.micro_count, 10);
    epoch_plan_destroy(&plan);
    assert_int_equal(epoch_plan_create(d, 1, 0, 39, &plan, &err), WEFT_OK);
    assert_int_equal(plan.micro_count, 4); /* three a batch */
    epoch_plan_destroy(&plan);
    assert_int_equal(epoch_plan_create(d, 1, 0, 9, &plan, &err), WEFT_ERR_ARGUMENT);
    assert_non_null(strstr(err.message, "9 tokens cannot hold a window of 10"));
    assert_int_equal(micro_batch_create(0, &(micro_batch){0}, &err), WEFT_ERR_ARGUMENT);
    dataset_free(&d);
}

/* ------------------------------------------------------------------ held out */

static void mark_eval(const dataset *d, int64_t micro_tokens, uint8_t *seen, int64_t *windows) {
    micro_batch b;
    weft_error err;
    int64_t begins[MICRO];
    assert_int_equal(micro_batch_create(micro_tokens, &b, &err), WEFT_OK);
    *windows = 0;
    for (int64_t i = 0; dataset_fill_eval(d, i, micro_tokens, &b); i++) {
        *windows += check_batch(&b, begins);
        mark(&b, seen);
    }
    assert_false(dataset_fill_eval(d, 1000000, micro_tokens, &b));
    micro_batch_destroy(&b);
}

static void test_split_by_documents(void **state) {
    (void)state;
    dataset *d = make_rows(0.2, 3), *other = make_rows(0.2, 4);
    uint8_t *held = calloc(DOCUMENTS, 1000), *held_other = calloc(DOCUMENTS, 1000);
    int64_t windows, documents = 0, tail = 0;
    mark_eval(d, MICRO, held, &windows);
    assert_int_equal(windows, dataset_statistics(d).eval_windows);
    mark_eval(other, CONTEXT, held_other, &windows);
    assert_memory_not_equal(held, held_other, DOCUMENTS * 1000); /* another seed, other documents */
    for (int32_t i = 0; i < DOCUMENTS; i++) {
        int32_t count = 2 + i * 7 % 36;
        documents += held[1000 * i];
        if (i >= DOCUMENTS * 4 / 5) tail += held[1000 * i];
        for (int32_t at = 0; at < count - 1; at++) /* whole documents */
            assert_int_equal(held[1000 * i + at], held[1000 * i]);
    }
    assert_int_equal(documents, 12);
    assert_true(tail < 12); /* drawn, not the end of the file */
    epoch_plan plan;
    micro_batch b;
    assert_int_equal(epoch_plan_create(d, 1, 0, MICRO, &plan, NULL), WEFT_OK);
    assert_int_equal(micro_batch_create(MICRO, &b, NULL), WEFT_OK);
    for (int64_t i = 0; i < plan.micro_count; i++) {
        dataset_fill(d, &plan, i, &b);
        for (int64_t t = 0; t < b.tokens; t++) assert_int_equal(held[b.ids[t]], 0);
    }
    dataset_stats s = dataset_statistics(d);
    dataset *all = make_rows(0, 3);
    assert_int_equal(s.train_targets + s.eval_targets, dataset_statistics(all).train_targets);
    dataset_free(&all);
    micro_batch_destroy(&b);
    epoch_plan_destroy(&plan);
    free(held);
    free(held_other);
    dataset_free(&d);
    dataset_free(&other);
}

static int64_t held_windows(int32_t documents, double share) {
    dataset *d = make(NULL, NULL, (dataset_options){.context = CONTEXT, .eval_share = share});
    for (int32_t i = 0; i < documents; i++) add_row(d, 1000 * i, 4);
    finish(d);
    dataset_stats s = dataset_statistics(d);
    assert_int_equal(s.train_windows + s.eval_windows, documents);
    dataset_free(&d);
    return s.eval_windows;
}

static void test_split_sizes(void **state) {
    (void)state;
    assert_int_equal(held_windows(1, 0.5), 0); /* one document is for training */
    assert_int_equal(held_windows(2, 0.01), 1);
    assert_int_equal(held_windows(3, 0.5), 2);
    assert_int_equal(held_windows(20, 0.1), 2);
    assert_int_equal(held_windows(20, 0), 0);
}

/* ------------------------------------------------------------------ fingerprints */

static uint64_t fingerprint(int32_t id, int32_t target, int32_t count, uint64_t seed) {
    dataset *d =
        make(NULL, NULL, (dataset_options){.context = CONTEXT, .eval_share = 0.3, .seed = seed});
    for (int32_t i = 0; i < 10; i++) add_row(d, 1000 * i, 12);
    int32_t ids[3] = {4, id, 6}, targets[3] = {5, target, 7};
    assert_int_equal(dataset_add_tokens(d, ids, targets, count, NULL), WEFT_OK);
    finish(d);
    uint64_t result = dataset_fingerprint(d);
    dataset_free(&d);
    return result;
}

static void test_fingerprint(void **state) {
    (void)state;
    uint64_t base = fingerprint(5, 6, 3, 1);
    assert_true(base == fingerprint(5, 6, 3, 1));
    assert_true(base != fingerprint(4, 6, 3, 1));         /* a token */
    assert_true(base != fingerprint(5, NO_TARGET, 3, 1)); /* a mask */
    assert_true(base != fingerprint(5, 6, 2, 1));         /* a length */
    assert_true(base != fingerprint(5, 6, 3, 2));         /* the split */
}

/* ------------------------------------------------------------------ errors */

static void test_errors(void **state) {
    (void)state;
    dataset *d;
    weft_error err;
    dataset_options o = {.context = 0};
    assert_int_equal(dataset_create(NULL, NULL, &o, &d, &err), WEFT_ERR_ARGUMENT);
    assert_non_null(strstr(err.message, "context is 0"));
    assert_null(d);
    o = (dataset_options){.context = 8, .eval_share = 0.6};
    assert_int_equal(dataset_create(NULL, NULL, &o, &d, &err), WEFT_ERR_ARGUMENT);
    assert_non_null(strstr(err.message, "0.6"));
    o.eval_share = (double)(0.0f / (float)(o.context - 8)); /* NaN */
    assert_int_equal(dataset_create(NULL, NULL, &o, &d, &err), WEFT_ERR_ARGUMENT);

    d = make(NULL, NULL, (dataset_options){.context = 8});
    ingest_document text = {.text = "words", .source = "notes.txt", .line = 3};
    assert_int_equal(dataset_add(d, &text, &err), WEFT_ERR_ARGUMENT);
    assert_string_equal(err.message,
                        "notes.txt:3: the model has no tokenizer, so text cannot be read");
    assert_int_equal(dataset_add_tokens(d, (int32_t[]){-1}, (int32_t[]){1}, 1, &err),
                     WEFT_ERR_RANGE);
    assert_int_equal(dataset_add_tokens(d, (int32_t[]){1}, (int32_t[]){-1}, 1, &err), WEFT_OK);
    assert_int_equal(dataset_finish(d, &err), WEFT_ERR_ARGUMENT);
    assert_non_null(strstr(err.message, "nothing to train on: 1 documents were read, 1 of them"));
    epoch_plan plan;
    assert_int_equal(epoch_plan_create(d, 1, 0, 8, &plan, &err), WEFT_ERR_STATE);
    add_row(d, 1, 4);
    finish(d);
    assert_int_equal(dataset_add_tokens(d, (int32_t[]){1}, (int32_t[]){1}, 1, &err),
                     WEFT_ERR_STATE);
    assert_int_equal(dataset_finish(d, &err), WEFT_ERR_STATE);
    dataset_free(&d);
    dataset_free(&d);
}

/* ------------------------------------------------------------------ text */

/* A byte-level tokenizer of the printable ASCII characters: one character, one token. */
enum { BOS, EOS, FIRST_CHARACTER };

static char folder[64];

static int32_t id_of(char c) {
    return c == ' '    ? FIRST_CHARACTER
           : c == '\n' ? FIRST_CHARACTER + 1
                       : FIRST_CHARACTER + 2 + c - '!';
}

static tokenizer *make_tokenizer(gguf_file **file) {
    char characters[94][2], path[128];
    gguf_text tokens[98] = {{"<s>", 3}, {"</s>", 4}, {"\xc4\xa0", 2}, {"\xc4\x8a", 2}};
    gguf_text merges[1] = {{"a b", 3}}; /* to a token that does not exist would be refused */
    int32_t types[98] = {3, 3};
    for (int i = 0; i < 94; i++) {
        characters[i][0] = (char)('!' + i);
        tokens[4 + i] = (gguf_text){characters[i], 1};
    }
    for (int i = 2; i < 98; i++) types[i] = 1;
    gguf_writer *w;
    tokenizer *tok;
    weft_error err;
    assert_int_equal(gguf_writer_create(&w, &err), WEFT_OK);
    gguf_put_cstr(w, "tokenizer.ggml.model", "gpt2");
    gguf_put_cstr(w, "tokenizer.ggml.pre", "gpt-2");
    gguf_put_texts(w, "tokenizer.ggml.tokens", tokens, 98);
    gguf_put_i32s(w, "tokenizer.ggml.token_type", types, 98);
    gguf_put_texts(w, "tokenizer.ggml.merges", merges, 0);
    gguf_put_u32(w, "tokenizer.ggml.bos_token_id", BOS);
    gguf_put_u32(w, "tokenizer.ggml.eos_token_id", EOS);
    gguf_put_bool(w, "tokenizer.ggml.add_bos_token", true);
    snprintf(path, sizeof path, "%s/tokenizer.gguf", folder);
    assert_int_equal(gguf_writer_save(w, path, &err), WEFT_OK);
    gguf_writer_free(&w);
    assert_int_equal(gguf_open(path, file, &err), WEFT_OK);
    int rc = tokenizer_from_gguf(*file, &tok, &err);
    if (rc) fail_msg("%s", err.message);
    return tok;
}

/* The only window of d as a batch. */
static void fill_only(const dataset *d, micro_batch *b) {
    epoch_plan plan;
    weft_error err;
    assert_int_equal(micro_batch_create(256, b, &err), WEFT_OK);
    assert_int_equal(epoch_plan_create(d, 1, 0, 256, &plan, &err), WEFT_OK);
    assert_int_equal(plan.micro_count, 1);
    dataset_fill(d, &plan, 0, b);
    epoch_plan_destroy(&plan);
}

static void test_plain_text(void **state) {
    (void)state;
    gguf_file *file;
    tokenizer *tok = make_tokenizer(&file);
    dataset *d = make(tok, NULL, (dataset_options){.context = 64});
    weft_error err;
    assert_int_equal(dataset_add(d, &(ingest_document){.text = ""}, &err), WEFT_OK);
    assert_int_equal(dataset_add(d, &(ingest_document){.text = "hi </s>"}, &err), WEFT_OK);
    finish(d);
    assert_int_equal(dataset_statistics(d).empty_count, 1);
    assert_int_equal(dataset_statistics(d).longest_tokens, 9);
    micro_batch b;
    fill_only(d, &b);
    const char *text = "hi </s>";
    assert_int_equal(b.tokens, 8);
    assert_int_equal(b.target_count, 8);
    assert_int_equal(b.ids[0], BOS);
    for (int i = 0; i < 7; i++) { /* a special token's text in a document stays text */
        assert_int_equal(b.ids[i + 1], id_of(text[i]));
        assert_int_equal(b.targets[i], id_of(text[i]));
    }
    assert_int_equal(b.targets[7], EOS);
    micro_batch_destroy(&b);
    dataset_free(&d);
    d = make(tok, NULL, (dataset_options){.context = 64});
    assert_int_equal(dataset_add_tokens(d, (int32_t[]){98}, (int32_t[]){1}, 1, &err),
                     WEFT_ERR_RANGE);
    assert_non_null(strstr(err.message, "token 0 is 98"));
    ingest_message message = {"user", "hi"};
    ingest_document talk = {
        .messages = &message, .message_count = 1, .source = "a.jsonl", .line = 2};
    assert_int_equal(dataset_add(d, &talk, &err), WEFT_ERR_ARGUMENT);
    assert_non_null(strstr(err.message, "a.jsonl:2: this is a conversation, but the model has no"));
    dataset_free(&d);
    tokenizer_free(&tok);
    gguf_close(&file);
}

static const char template_text[] = "{{ bos_token }}{% for m in messages %}{{ m['role'] + ': ' + "
                                    "m['content'] + eos_token + '\n' }}{% endfor %}";

/* Conversation of `count` messages, with the loss given; leaves the batch of its only window. */
static void encode_talk(const tokenizer *tok, loss_mask mask, const ingest_message *messages,
                        size_t count, micro_batch *b) {
    chat_template *chat;
    weft_error err;
    assert_int_equal(chat_template_compile(template_text, strlen(template_text), &chat, &err),
                     WEFT_OK);
    dataset *d = make(tok, chat, (dataset_options){.context = 200, .mask = mask});
    ingest_document talk = {.messages = messages, .message_count = count};
    assert_int_equal(dataset_add(d, &talk, &err), WEFT_OK);
    finish(d);
    fill_only(d, b);
    dataset_free(&d);
    chat_template_free(&chat);
}

/* The characters that are learnt, '$' standing for the end mark. */
static void learnt_text(const micro_batch *b, char *out) {
    for (int64_t i = 0; i < b->tokens; i++) {
        int32_t id = b->targets[i];
        if (id == NO_TARGET) continue;
        *out++ = id == EOS           ? '$'
                 : id == BOS         ? '^'
                 : id == id_of(' ')  ? ' '
                 : id == id_of('\n') ? '\n'
                                     : (char)('!' + id - FIRST_CHARACTER - 2);
    }
    *out = 0;
}

static void test_conversation_masks(void **state) {
    (void)state;
    gguf_file *file;
    tokenizer *tok = make_tokenizer(&file);
    const ingest_message messages[] = {
        {"user", "ab"}, {"assistant", "cd e"}, {"user", "</s>"}, {"assistant", "fg"}};
    micro_batch b;
    char text[256];
    encode_talk(tok, LOSS_ASSISTANT, messages, 4, &b);
    learnt_text(&b, text);
    assert_string_equal(text, "cd e$fg$");
    assert_int_equal(b.ids[0], BOS);
    assert_int_equal(b.targets[b.tokens - 1], EOS); /* what follows the last reply is not trained */
    micro_batch_destroy(&b);
    encode_talk(tok, LOSS_ALL, messages, 4, &b);
    learnt_text(&b, text);
    assert_string_equal(text, "user: ab$\nassistant: cd e$\nuser: </s>$\nassistant: fg$\n");
    micro_batch_destroy(&b);
    tokenizer_free(&tok);
    gguf_close(&file);
}

/* What comes before the first reply, that reply, labels, and documents that are never held out. */
static void test_examples_and_labels(void **state) {
    (void)state;
    gguf_file *file;
    tokenizer *tok = make_tokenizer(&file);
    chat_template *chat;
    weft_error err;
    assert_int_equal(chat_template_compile(template_text, strlen(template_text), &chat, &err),
                     WEFT_OK);
    dataset *d =
        make(tok, chat, (dataset_options){.context = 200, .mask = LOSS_ALL, .eval_share = 0.5});
    ingest_message talk[] = {
        {"user", "hi"}, {"assistant", "ho"}, {"user", "a"}, {"assistant", "b"}};
    ingest_document document = {.messages = talk, .message_count = 4, .label = "ho"};
    assert_int_equal(dataset_add(d, &document, &err), WEFT_OK);
    document.label = "b";
    assert_int_equal(dataset_add(d, &document, &err), WEFT_OK);
    document.label = "ho";
    assert_int_equal(dataset_add(d, &document, &err), WEFT_OK);
    assert_int_equal(dataset_add(d, &(ingest_document){.text = "xy"}, &err), WEFT_OK);
    dataset_pin(d);
    for (int i = 0; i < 20; i++)
        assert_int_equal(dataset_add(d, &(ingest_document){.text = "z"}, &err), WEFT_OK);
    finish(d);
    assert_int_equal(dataset_label_count(d), 2);
    assert_string_equal(dataset_label(d, 1), "b");
    assert_int_equal(dataset_document_count(d), 24);
    dataset_example e = dataset_document(d, 2);
    assert_int_equal(e.label, 0);
    assert_true(e.conversation);
    /* "^user: hi$\nassistant: " and "ho$": the blank before a reply is no part of it. */
    assert_int_equal(e.prompt_count, 1 + 6 + 2 + 1 + 1 + 11);
    assert_int_equal(e.reply_count, 3);
    assert_int_equal(e.reply[0], id_of('h'));
    assert_int_equal(e.reply[2], EOS);
    e = dataset_document(d, 3);
    assert_int_equal(e.label, NO_LABEL);
    assert_int_equal(e.prompt_count, 1);
    assert_int_equal(e.prompt[0], BOS);
    assert_int_equal(e.reply_count, 3);
    assert_false(e.conversation);
    int held = 0;
    for (int64_t i = 0; i < 24; i++) {
        held += dataset_document(d, i).held_out;
        assert_false(i >= 4 && dataset_document(d, i).held_out);
    }
    assert_int_equal(held, 2);
    assert_int_equal(dataset_statistics(d).eval_documents, 2);
    dataset_free(&d);
    chat_template_free(&chat);
    tokenizer_free(&tok);
    gguf_close(&file);
}

/* Answers that are all different are free text, not labels. */
static void test_too_many_labels(void **state) {
    (void)state;
    gguf_file *file;
    tokenizer *tok = make_tokenizer(&file);
    dataset *d = make(tok, NULL, (dataset_options){.context = 64});
    for (int i = 0; i <= DATASET_LABELS_MAX + 1; i++) {
        char label[16];
        snprintf(label, sizeof label, "%d", i);
        ingest_document document = {.text = "xy", .label = label};
        assert_int_equal(dataset_add(d, &document, NULL), WEFT_OK);
        assert_int_equal(dataset_label_count(d), i < DATASET_LABELS_MAX ? i + 1 : 0);
    }
    finish(d);
    assert_int_equal(dataset_document(d, 0).label, NO_LABEL);
    dataset_free(&d);
    tokenizer_free(&tok);
    gguf_close(&file);
}

/* A template that prints the date gives the same tokens on any day. */
static void test_template_date_is_fixed(void **state) {
    (void)state;
    static const char dated[] = "{{ strftime_now('%d %b %Y') }}{% for m in messages %}"
                                "{{ m['content'] }}{% endfor %}";
    gguf_file *file;
    tokenizer *tok = make_tokenizer(&file);
    chat_template *chat;
    weft_error err;
    assert_int_equal(chat_template_compile(dated, strlen(dated), &chat, &err), WEFT_OK);
    dataset *d = make(tok, chat, (dataset_options){.context = 200, .mask = LOSS_ALL});
    ingest_message message = {"assistant", "ok"};
    ingest_document talk = {.messages = &message, .message_count = 1};
    assert_int_equal(dataset_add(d, &talk, &err), WEFT_OK);
    finish(d);
    micro_batch b;
    char text[256];
    fill_only(d, &b);
    learnt_text(&b, text);
    assert_string_equal(text, "1 Jan 2025ok"); /* its first character, 0, is given */
    micro_batch_destroy(&b);
    dataset_free(&d);
    chat_template_free(&chat);
    tokenizer_free(&tok);
    gguf_close(&file);
}

/* With the default model's own tokenizer and template: what is learnt is the reply and its end
 * mark. */
static void test_default_model(void **state) {
    (void)state;
    gguf_file *file;
    tokenizer *tok;
    chat_template *chat;
    gguf_text source;
    weft_error err;
    assert_int_equal(gguf_open(WEFT_ROOT "/models/weft-42m.gguf", &file, &err), WEFT_OK);
    assert_int_equal(tokenizer_from_gguf(file, &tok, &err), WEFT_OK);
    assert_true(gguf_get_text(file, "tokenizer.chat_template", &source));
    assert_int_equal(chat_template_compile(source.data, source.size, &chat, &err), WEFT_OK);
    dataset *d = make(tok, chat, (dataset_options){.context = 200});
    const ingest_message messages[] = {{"user", "Shall we meet?"},
                                       {"assistant", "Yes, at noon. \xf0\x9f\x8d\x8e"}};
    ingest_document talk = {.messages = messages, .message_count = 2};
    assert_int_equal(dataset_add(d, &talk, &err), WEFT_OK);
    finish(d);
    micro_batch b;
    bytes text = {0};
    fill_only(d, &b);
    for (int64_t i = 0; i + 1 < b.tokens; i++)
        if (b.targets[i] != NO_TARGET)
            assert_int_equal(tokenizer_decode(tok, b.targets[i], true, &text, &err), WEFT_OK);
    assert_true(bytes_add_char(&text, 0));
    const char *reply = text.data + (text.data[0] == ' '); /* templates may put a space in front */
    assert_string_equal(reply, messages[1].content);
    assert_true(tokenizer_is_end(tok, b.targets[b.tokens - 1]));
    bytes_free(&text);
    micro_batch_destroy(&b);
    dataset_free(&d);
    chat_template_free(&chat);
    tokenizer_free(&tok);
    gguf_close(&file);
}

static int set_up(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/weft-test-dataset-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    return os_remove_tree(folder, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_windows_cover_everything_once),
        cmocka_unit_test(test_cut_keeps_targets),
        cmocka_unit_test(test_windows_without_targets),
        cmocka_unit_test(test_epochs_are_shuffled),
        cmocka_unit_test(test_shuffle_is_fair),
        cmocka_unit_test(test_packing_fills),
        cmocka_unit_test(test_split_by_documents),
        cmocka_unit_test(test_split_sizes),
        cmocka_unit_test(test_fingerprint),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_plain_text),
        cmocka_unit_test(test_conversation_masks),
        cmocka_unit_test(test_examples_and_labels),
        cmocka_unit_test(test_too_many_labels),
        cmocka_unit_test(test_template_date_is_fixed),
        cmocka_unit_test(test_default_model),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
