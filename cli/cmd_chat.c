/* weft chat: a conversation on the terminal, or one answer for -p or a pipe. */
#include "chat.h"
#include "commands.h"
#include "report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PROMPT_BYTES_MAX (16u << 20)

#define PLACE(member) offsetof(chat_settings, member)

static const option_spec chat_table[] = {
    {"adapter", 'a', OPTION_LIST, PLACE(adapters), "NAME[:S]", 0, 0,
     "answer with what was learnt under NAME (or a file), with strength S; may be given several "
     "times",
     false},
    {"prompt", 'p', OPTION_TEXT, PLACE(prompt), "TEXT", 0, 0, "answer this and end", false},
    {"system", 0, OPTION_TEXT, PLACE(system), "TEXT", 0, 0, "instructions before the conversation",
     false},
    {"raw", 0, OPTION_FLAG, PLACE(raw), NULL, 0, 0, "continue the text as it is: no conversation",
     false},
    {.kind = OPTION_HEADING, .help = "The answer"},
    {"temperature", 0, OPTION_NUMBER, PLACE(temperature), "T", 0, 100,
     "0 = always the likeliest token", false},
    {"top-k", 0, OPTION_WHOLE, PLACE(top_k), "N", 0, INT32_MAX, "of the N likeliest; 0 = all",
     false},
    {"top-p", 0, OPTION_NUMBER, PLACE(top_p), "P", 0, 1, "of those that make up P; 1 = all", false},
    {"min-p", 0, OPTION_NUMBER, PLACE(min_p), "P", 0, 1,
     "of those at least P times as likely as the likeliest", false},
    {"repeat-penalty", 0, OPTION_NUMBER, PLACE(repeat_penalty), "R", 0.01, 100,
     "against repeating; 1 = off", false},
    {"seed", 's', OPTION_WHOLE, PLACE(seed), "N", 0, 9007199254740992.0,
     "the same seed gives the same answer", false},
    {"max-tokens", 'n', OPTION_WHOLE, PLACE(max_tokens), "N", 0, INT32_MAX,
     "longest answer; 0 = until the model ends", false},
    {"context", 'c', OPTION_WHOLE, PLACE(context), "TOKENS", 0, INT32_MAX,
     "what the conversation may hold; 0 = the model's, at most 4096", false},
    MODEL_OPTIONS(chat_settings, model),
    {.kind = OPTION_HEADING, .help = "What is shown"},
    {"stats", 0, OPTION_FLAG, PLACE(stats), NULL, 0, 0, "tokens and speed after each answer",
     false},
    {"json", 0, OPTION_FLAG, PLACE(json), NULL, 0, 0,
     "the answer and its figures as one JSON object (with -p or a pipe)", false},
};

static const command_spec chat_command = {
    .name = "chat",
    .arguments = "[options]",
    .summary =
        "Talk with the model. Without -p and on a terminal it is a conversation; a pipe's text is\n"
        "one prompt. The seed is fixed, so the same question gives the same answer.",
    .options = chat_table,
    .option_count = sizeof chat_table / sizeof *chat_table,
    .argument_max = 0};

/* ---- a reply ---- */

/* A reply may hold control characters; on a terminal they are left out. */
static void print_text(const char *text, size_t size) {
    static int is_terminal = -1;
    if (is_terminal < 0) is_terminal = report_is_terminal(stdout);
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        if (is_terminal && (c < 32 || c == 127) && c != '\n' && c != '\t') continue;
        putchar(c);
    }
    fflush(stdout);
}

static int on_text(void *context, const char *text, size_t size) {
    chat *c = context;
    char *grown = realloc(c->reply, c->reply_bytes + size + 1);
    if (!grown) return 1;
    c->reply = grown;
    memcpy(grown + c->reply_bytes, text, size);
    c->reply_bytes += size;
    grown[c->reply_bytes] = '\0';
    if (!c->s.json) print_text(text, size);
    return stop_requested() || ferror(stdout);
}

static void show_stats(const weft_generate_stats *s) {
    fprintf(stderr, "%s[%lld prompt tokens (%lld cached), %.0f/s; %lld generated, %.1f/s%s]%s\n",
            report_dim(stderr), (long long)s->prompt_tokens, (long long)s->cached_tokens,
            s->prefill_seconds > 0
                ? (double)(s->prompt_tokens - s->cached_tokens) / s->prefill_seconds
                : 0,
            (long long)s->generated_tokens,
            s->decode_seconds > 0 ? (double)s->generated_tokens / s->decode_seconds : 0,
            s->full ? "; the context is full" : "", report_plain(stderr));
}

static int make_tokens(chat *c, const char *prompt, int32_t **tokens, size_t *count,
                       weft_error *err) {
    size_t dropped;
    if (c->s.raw)
        return weft_tokenize(c->model, prompt, strlen(prompt), true, false, tokens, count, err);
    TRY(conversation_add(&c->turns, "user", prompt, err));
    int rc = conversation_tokens(&c->turns, c->model, weft_session_context(c->session), tokens,
                                 count, &dropped, err);
    if (rc) conversation_drop_last(&c->turns);
    if (!rc && dropped && !c->told_of_dropping) {
        fprintf(stderr, "(the conversation is longer than the context: its oldest turns are "
                        "forgotten)\n");
        c->told_of_dropping = true;
    }
    return rc;
}

int chat_answer(chat *c, const char *prompt, weft_error *err) {
    weft_generate_options options = {.max_tokens = c->s.max_tokens,
                                     .temperature = (float)c->s.temperature,
                                     .top_k = (int32_t)c->s.top_k,
                                     .top_p = (float)c->s.top_p,
                                     .min_p = (float)c->s.min_p,
                                     .repetition_penalty = (float)c->s.repeat_penalty,
                                     .seed = (uint64_t)c->s.seed};
    int32_t *tokens;
    size_t count;
    TRY(make_tokens(c, prompt, &tokens, &count, err));
    c->reply_bytes = 0;
    if (c->reply) c->reply[0] = '\0';
    stop_arm();
    int rc = weft_generate(c->session, tokens, count, &options, on_text, c, &c->stats, err);
    weft_free(tokens);
    if (!c->s.json && c->reply_bytes) putchar('\n');
    /* What was said before a stop stays part of the conversation. */
    bool answered = !rc || rc == WEFT_ERR_INTERRUPTED;
    if (!c->s.raw && answered && c->reply_bytes) {
        int added = conversation_add(&c->turns, "assistant", c->reply, err);
        if (added) rc = added;
    } else if (!c->s.raw) {
        conversation_drop_last(&c->turns);
    }
    if (answered && c->s.stats) show_stats(&c->stats);
    return rc;
}

/* ---- one answer ---- */

static char *read_pipe(weft_error *err) {
    size_t size = 0, capacity = 0;
    char *text = NULL;
    for (;;) {
        if (size + 1 >= capacity) {
            char *grown = realloc(text, capacity = capacity * 2 + 4096);
            if (!grown || capacity > PROMPT_BYTES_MAX) {
                free(grown ? grown : text);
                err_set(err, WEFT_ERR_RANGE, "the standard input is too long for a prompt");
                return NULL;
            }
            text = grown;
        }
        size_t n = fread(text + size, 1, capacity - size - 1, stdin);
        if (!n) break;
        size += n;
    }
    text[size] = '\0';
    if (strlen(text) == size) return text;
    err_set(err, WEFT_ERR_ARGUMENT, "the standard input holds a NUL byte: it is no text");
    free(text);
    return NULL;
}

static int print_answer_json(const chat *c) {
    const weft_generate_stats *s = &c->stats;
    json_t *adapters = json_array();
    for (size_t i = 0; i < c->adapters.count; i++)
        json_array_append_new(adapters, json_pack("{s:s, s:f}", "name", c->adapters.names[i],
                                                  "scale", (double)c->adapters.scales[i]));
    json_t *stats = json_pack(
        "{s:I, s:I, s:I, s:f, s:f, s:b, s:b}", "prompt_tokens", (json_int_t)s->prompt_tokens,
        "cached_tokens", (json_int_t)s->cached_tokens, "generated_tokens",
        (json_int_t)s->generated_tokens, "prefill_seconds", s->prefill_seconds, "decode_seconds",
        s->decode_seconds, "ended", s->ended, "full", s->full);
    return report_json(json_pack("{s:s, s:s, s:o, s:o}", "reply", c->reply ? c->reply : "", "model",
                                 c->model_path, "adapters", adapters, "stats", stats),
                       false);
}

static int answer_once(chat *c) {
    weft_error err;
    char *piped = NULL;
    const char *prompt = c->s.prompt;
    if (!prompt) prompt = piped = read_pipe(&err);
    if (!prompt) return fail("chat", WEFT_ERR_IO, &err);
    size_t length = strlen(prompt);
    /* The line end of `echo` is no part of a message; in raw text it may be. */
    if (piped && !c->s.raw)
        while (length && strchr("\r\n", piped[length - 1])) piped[--length] = '\0';
    int rc = length ? chat_answer(c, prompt, &err)
                    : err_set(&err, WEFT_ERR_ARGUMENT, "the prompt is empty");
    free(piped);
    if (ferror(stdout)) return report_finish(EXIT_FAILED);
    if (rc) return fail("chat", rc, &err);
    return c->s.json ? print_answer_json(c) : report_finish(EXIT_OK);
}

/* ---- the command ---- */

static int open_chat(chat *c, weft_error *err) {
    weft_session_options options = {.context = c->s.context};
    TRY(model_open(&c->s.model, &c->model, c->model_path, err));
    weft_model_info info;
    weft_model_get_info(c->model, &info);
    if (!info.has_tokenizer)
        return err_set(err, WEFT_ERR_STATE, "%s holds no tokenizer", c->model_path);
    if (!info.has_chat_template && !c->s.raw)
        return err_set(err, WEFT_ERR_STATE,
                       "%s holds no chat template; use --raw to continue a text", c->model_path);
    TRY(weft_session_create(c->model, &options, &c->session, err));
    TRY(chat_use_adapters(c, c->s.adapters.items, c->s.adapters.count, err));
    return c->s.system ? conversation_add(&c->turns, "system", c->s.system, err) : WEFT_OK;
}

/* Free a loaded adapter that neither the session nor the next choice uses. */
static void make_room(chat *c, const adapter_set *next) {
    adapter_set *all = &c->loaded;
    for (size_t i = 0; i < all->count; i++) {
        bool used = false;
        for (size_t k = 0; k < OPTION_LIST_MAX; k++)
            used |= (k < c->adapters.count && c->adapters.items[k] == all->items[i]) ||
                    (k < next->count && next->items[k] == all->items[i]);
        if (used) continue;
        weft_adapter_free(&all->items[i]);
        all->count--;
        all->items[i] = all->items[all->count];
        memcpy(all->names[i], all->names[all->count], sizeof all->names[0]);
        return;
    }
}

/* Find a word among the loaded adapters, or load it, and put it into next. */
static int choose(chat *c, const char *word, adapter_set *next, weft_error *err) {
    char name[256];
    size_t n = next->count, i = 0;
    snprintf(name, sizeof name, "%.255s", word);
    float scale = adapter_split_scale(name);
    while (i < c->loaded.count && strcmp(c->loaded.names[i], name) != 0) i++;
    if (i == c->loaded.count) {
        if (i == OPTION_LIST_MAX) make_room(c, next);
        i = c->loaded.count;
        TRY(adapters_add(&c->loaded, c->model, word, err));
    }
    next->items[n] = c->loaded.items[i];
    next->scales[n] = scale;
    memcpy(next->names[n], c->loaded.names[i], sizeof next->names[0]);
    next->count++;
    return WEFT_OK;
}

int chat_use_adapters(chat *c, const char *const *words, size_t count, weft_error *err) {
    adapter_set next = {0};
    if (count > OPTION_LIST_MAX)
        return err_set(err, WEFT_ERR_RANGE, "at most %d adapters at once", OPTION_LIST_MAX);
    for (size_t i = 0; i < count; i++) TRY(choose(c, words[i], &next, err));
    TRY(weft_session_set_adapters(c->session, (const weft_adapter *const *)next.items, next.scales,
                                  next.count, err));
    c->adapters = next;
    return WEFT_OK;
}

static void close_chat(chat *c) {
    conversation_free(&c->turns);
    weft_session_free(&c->session);
    adapters_close(&c->loaded);
    weft_model_free(&c->model);
    free(c->reply);
}

int cmd_chat(int argc, char **argv) {
    weft_generate_options standard = WEFT_GENERATE_OPTIONS_DEFAULT;
    model_settings model = MODEL_SETTINGS_DEFAULT;
    chat c = {.s = {.model = model,
                    .temperature = 0.7,
                    .top_k = standard.top_k,
                    .top_p = 0.95,
                    .min_p = 0.05,
                    .repeat_penalty = 1.1,
                    .max_tokens = 512}};
    weft_error err;
    const char *unused;
    option_outcome outcome = options_parse(&chat_command, argc, argv, &c.s, &unused);
    if (outcome != OPTIONS_GO) return outcome == OPTIONS_HELP ? report_finish(EXIT_OK) : EXIT_USAGE;
    bool talk = !c.s.prompt && report_is_terminal(stdin);
    if (talk && c.s.json) {
        report_error("chat: --json answers one prompt: give it with -p or through a pipe");
        return EXIT_USAGE;
    }
    int rc = open_chat(&c, &err);
    int code = rc ? fail("chat", rc, &err) : talk ? chat_talk(&c) : answer_once(&c);
    close_chat(&c);
    return code;
}
