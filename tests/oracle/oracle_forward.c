/* Checks of text and of the forward pass. */
#include "oracle/oracle.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool same_ids(const token_span *tokens, size_t count, const json_t *wanted) {
    if (count != json_array_size(wanted)) return false;
    for (size_t i = 0; i < count; i++)
        if (tokens[i].id != json_integer_value(json_array_get(wanted, i))) return false;
    return true;
}

static int wrong_encoding(oracle *o, const char *text, size_t size, const json_t *wanted) {
    tokenizer_options options = {.parse_special = true};
    token_span *tokens;
    size_t count;
    if (tokenizer_encode(o->m->tok, text, size, &options, &tokens, &count, NULL)) return 1;
    int wrong = !same_ids(tokens, count, wanted);
    if (wrong) printf("     differs: %.60s\n", text);
    free(tokens);
    return wrong;
}

static chat_message *messages_of(const json_t *list, size_t *count) {
    *count = json_array_size(list);
    chat_message *out = calloc(*count + 1, sizeof *out);
    for (size_t i = 0; out && i < *count; i++) {
        const json_t *m = json_array_get(list, i);
        out[i].role = json_string_value(json_object_get(m, "role"));
        out[i].content = json_string_value(json_object_get(m, "content"));
    }
    return out;
}

static void check_chat(oracle *o) {
    const json_t *chat = json_object_get(o->plain, "chat"), *wanted = json_object_get(chat, "text");
    size_t count, token_count = 0;
    chat_message *messages = messages_of(json_object_get(chat, "messages"), &count);
    char bos[64] = "";
    gguf_text t = tokenizer_text(o->m->tok, tokenizer_bos(o->m->tok));
    snprintf(bos, sizeof bos, "%.*s", (int)t.size, t.data);
    chat_options options = {.add_generation_prompt = true, .bos_text = bos};
    chat_text text = {0};
    token_span *tokens = NULL;
    uint8_t *mask = NULL;
    bool good = !chat_render(o->m->chat, messages, count, &options, &text, NULL) &&
                text.text.size == json_string_length(wanted) &&
                !memcmp(text.text.data, json_string_value(wanted), text.text.size);
    report(o, "chat: text", good ? 0 : 1, 0, "");
    good = !chat_encode(o->m->chat, o->m->tok, messages, count, &options, &tokens, &mask,
                        &token_count, NULL) &&
           same_ids(tokens, token_count, json_object_get(chat, "ids"));
    report(o, "chat: token ids", good ? 0 : 1, 0, "");
    chat_text_free(&text);
    free(tokens);
    free(mask);
    free(messages);
}

void check_text(oracle *o) {
    const json_t *cases = json_object_get(o->plain, "tokenize");
    if (!o->m->tok || !o->m->chat) {
        report(o, "the model has a tokenizer and a chat template", 1, 0, "");
        return;
    }
    int wrong = 0;
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *text = json_object_get(json_array_get(cases, i), "text");
        wrong += wrong_encoding(o, json_string_value(text), json_string_length(text),
                                json_object_get(json_array_get(cases, i), "ids"));
    }
    char name[64];
    snprintf(name, sizeof name, "tokenize: %zu texts that differ", json_array_size(cases));
    report(o, json_array_size(cases) ? name : "tokenize: no texts",
           json_array_size(cases) ? wrong : 1, 0, "");
    check_chat(o);
}

/* One prompt through a session: all logits, (count, vocab); the caller frees. */
static float *evaluate(oracle *o, bool smooth, const adapter *a, const int32_t *ids,
                       int64_t count) {
    session_options options = {.context = count, .smooth = smooth};
    session *s = NULL;
    adapter_use use = {a, 1};
    float *logits = malloc((size_t)(count * o->m->cfg.vocab) * sizeof *logits);
    weft_error err;
    bool good = logits && !session_create(o->m, &options, &s, &err) &&
                !session_set_adapters(s, &use, a ? 1 : 0, &err) &&
                !session_eval(s, ids, (size_t)count, NULL, logits, &err);
    if (!good) {
        printf("     %s\n", err.message);
        free(logits);
        logits = NULL;
    }
    session_free(&s);
    return logits;
}

static double nll(const float *logits, int64_t vocab, int32_t next) {
    double top = -INFINITY, sum = 0;
    for (int64_t i = 0; i < vocab; i++) top = fmax(top, (double)logits[i]);
    for (int64_t i = 0; i < vocab; i++) sum += exp((double)logits[i] - top);
    return top + log(sum) - (double)logits[next];
}

static double mean_nll(const float *logits, int64_t vocab, const int32_t *ids, int64_t count) {
    double sum = 0;
    for (int64_t i = 0; i + 1 < count; i++) sum += nll(logits + i * vocab, vocab, ids[i + 1]);
    return sum / (double)(count - 1);
}

/* Arg-max against the reference's: counts disagreements, and the widest gap between the best logit
 * and the logit of the reference's choice (0 where they agree). */
static void compare_argmax(const float *logits, int64_t vocab, const json_t *wanted, int64_t first,
                           int64_t count, int64_t *different, double *gap) {
    for (int64_t i = 0; i < count; i++) {
        const float *row = logits + (first + i) * vocab;
        int64_t best = 0, other = json_integer_value(json_array_get(wanted, (size_t)i));
        for (int64_t j = 1; j < vocab; j++)
            if (row[j] > row[best]) best = j;
        if (best == other) continue;
        (*different)++;
        *gap = fmax(*gap, (double)row[best] - (double)row[other]);
    }
}

/* The widest gap that still is a near-tie: two logits, each of which two right programs may see 0.2
 * apart (the oracle's README). */
#define NEAR_TIE 0.4

typedef struct tally {
    double logits, nll;
    int64_t different, positions;
    double gap;
} tally;

static void check_prompt(oracle *o, bool smooth, const char *set, size_t i, const json_t *prompt,
                         tally *worst) {
    int64_t count, n, vocab = o->m->cfg.vocab;
    char name[64];
    int32_t *ids = oracle_ids(json_object_get(prompt, "ids"), &count);
    float *logits = evaluate(o, smooth, NULL, ids, count);
    snprintf(name, sizeof name, "%s.logits.%zu", set, i);
    const float *wanted = oracle_floats(o->x, name, &n);
    double reference = json_number_value(json_object_get(prompt, "mean_nll"));
    if (!logits) {
        worst->logits = worst->nll = NAN;
    } else {
        double error = fabs(mean_nll(logits, vocab, ids, count) / reference - 1);
        if (!(error <= worst->nll)) worst->nll = error;
        if (wanted) {
            error = relative(logits + (count - 1) * vocab, wanted, vocab);
            if (!(error <= worst->logits)) worst->logits = error;
        } else if (smooth)
            report_skip(o, name, "no such tensor");
        compare_argmax(logits, vocab, json_object_get(prompt, "argmax"), 0, count,
                       &worst->different, &worst->gap);
        worst->positions += count;
    }
    free(ids);
    free(logits);
}

static tally check_prompts(oracle *o, bool smooth, const char *set, const json_t *prompts) {
    tally worst = {0};
    for (size_t i = 0; i < oracle_few(o, json_array_size(prompts)); i++)
        check_prompt(o, smooth, set, i, json_array_get(prompts, i), &worst);
    if (!worst.positions) worst.logits = worst.nll = NAN;
    return worst;
}

static const json_t *exact_prompts(oracle *o, const char *set) {
    return json_object_get(json_object_get(o->exact, set), "prompts");
}

void check_smooth(oracle *o) {
    tally worst = check_prompts(o, true, "smooth", exact_prompts(o, "smooth"));
    report(o, "smooth: logits, relative", worst.logits, 1e-5, "");
    report(o, "smooth: mean loss of each prompt, relative", worst.nll, 1e-5, "");
    report(o, "smooth: arg-max that differ", (double)worst.different, 0, "");
}

static void report_different(oracle *o, const char *name, const tally *worst) {
    char note[64];
    snprintf(note, sizeof note, "(share of %lld positions)", (long long)worst->positions);
    report(o, name, (double)worst->different / (double)worst->positions, 0.1, note);
}

static void report_argmax(oracle *o, const char *name, const tally *worst) {
    report_different(o, name, worst);
    report(o, "  the rest are near-ties: widest gap", worst->gap, NEAR_TIE, "");
}

/* Sum of the losses of ids[from ..] under logits of the whole text. */
static double text_loss(const float *logits, int64_t vocab, const int32_t *ids, int64_t from,
                        int64_t count) {
    double sum = 0;
    for (int64_t i = from; i < count; i++) sum += nll(logits + (i - 1) * vocab, vocab, ids[i]);
    return sum;
}

static void read_greedy(oracle *o, const json_t *list, int64_t prompt, tally *t, double *rounded,
                        double *smooth) {
    int64_t count, vocab = o->m->cfg.vocab;
    int32_t *ids = oracle_ids(list, &count);
    json_t *next = json_array();
    for (int64_t k = prompt; k < count; k++)
        json_array_append(next, json_array_get(list, (size_t)k));
    float *a = evaluate(o, false, NULL, ids, count), *b = evaluate(o, true, NULL, ids, count);
    if (a && b) {
        compare_argmax(a, vocab, next, prompt - 1, count - prompt, &t->different, &t->gap);
        t->positions += count - prompt;
        *rounded += text_loss(a, vocab, ids, prompt, count);
        *smooth += text_loss(b, vocab, ids, prompt, count);
    }
    json_decref(next);
    free(ids);
    free(a);
    free(b);
}

/* What transformers wrote greedily, read by us. Texts fork at near-ties and the disturbance grows
 * along a text, so its loss is compared: rounded against smooth, which the checks above tie to
 * float64. */
static void check_greedy(oracle *o) {
    const json_t *texts = json_object_get(o->plain, "greedy");
    const json_t *prompts = json_object_get(o->plain, "logits");
    tally worst = {0};
    double rounded = 0, smooth = 0;
    for (size_t i = 0; i < oracle_few(o, json_array_size(texts)); i++) {
        const json_t *prompt = json_object_get(json_array_get(prompts, i), "ids");
        read_greedy(o, json_object_get(json_array_get(texts, i), "ids"),
                    (int64_t)json_array_size(prompt), &worst, &rounded, &smooth);
    }
    if (!worst.positions) {
        report_skip(o, "rounded: greedy text", "none stored");
        return;
    }
    report(o, "rounded: loss of the greedy texts, relative", fabs(rounded / smooth - 1), 0.02, "");
    report_different(o, "rounded: greedy texts, arg-max that differ", &worst);
}

void check_rounded(oracle *o) {
    tally worst = check_prompts(o, false, "rounded", exact_prompts(o, "rounded"));
    report(o, "rounded: mean loss against float64, relative", worst.nll, 0.02, "");
    report_argmax(o, "rounded: arg-max against float64 that differ", &worst);
    worst = check_prompts(o, false, "rounded", json_object_get(o->plain, "logits"));
    report(o, "rounded: mean loss against transformers, relative", worst.nll, 0.02, "");
    report_argmax(o, "rounded: arg-max against transformers that differ", &worst);
    if (!o->brief) check_greedy(o);
}

/* One BitLinear: stored input through op_quantise and op_ternary_matmul, against the stored output.
 */
static bool run_linear(oracle *o, const ternary_weight *w, const float *x, int64_t tokens,
                       int64_t cols, int64_t rows, float *y) {
    backend *be = o->m->be;
    size_t at_q8 = round_up((size_t)(tokens * cols) * sizeof(float), 64);
    size_t at_y = at_q8 + round_up(quantised_bytes(tokens, cols), 64);
    size_t y_bytes = (size_t)(tokens * rows) * sizeof(float);
    buffer *b = NULL;
    if (buffer_create(be, at_y + y_bytes, &b, NULL)) return false;
    backend_begin(be);
    backend_write(be, view_of(b), x, (size_t)(tokens * cols) * sizeof(float));
    op_quantise(be, view_of(b), tokens, cols, (view){b, at_q8});
    op_ternary_matmul(be, w, (view){b, at_q8}, tokens, (view){b, at_y});
    bool good = !backend_read(be, (view){b, at_y}, y, y_bytes, NULL);
    good = !backend_submit(be, NULL) && good;
    buffer_free(be, &b);
    return good;
}

static void compare_linear(const float *y, const float *wanted, int64_t tokens, int64_t rows,
                           int64_t *over, double *worst) {
    for (int64_t t = 0; t < tokens; t++) {
        double largest = 0;
        for (int64_t j = 0; j < rows; j++)
            largest = fmax(largest, fabs((double)wanted[t * rows + j]));
        for (int64_t j = 0; j < rows; j++) {
            double error = fabs((double)y[t * rows + j] - (double)wanted[t * rows + j]) / largest;
            *over += !(error <= 2e-6);
            if (!(error <= *worst)) *worst = error;
        }
    }
}

void check_trace(oracle *o) {
    int64_t over = 0, total = 0;
    double worst = 0;
    for (int64_t layer = 0; layer < o->m->cfg.layer_count; layer++) {
        for (int t = 0; t < TARGET_COUNT; t++) {
            char name[160];
            int64_t nx, ny, rows, cols;
            config_target_shape(&o->m->cfg, (target)t, &rows, &cols);
            int n = snprintf(name, sizeof name, "trace.model.layers.%lld.%s.x", (long long)layer,
                             target_module((target)t));
            const float *x = oracle_floats(o->x, name, &nx);
            name[n - 1] = 'y';
            const float *wanted = oracle_floats(o->x, name, &ny);
            if (!x || !wanted) {
                if (!o->cut) report_skip(o, name, "no such tensor");
                continue;
            }
            float *y = malloc((size_t)ny * sizeof *y);
            if (!y || !run_linear(o, o->m->layers[layer].proj[t], x, nx / cols, cols, rows, y))
                worst = NAN;
            else
                compare_linear(y, wanted, nx / cols, rows, &over, &worst);
            total += ny;
            free(y);
        }
    }
    char note[64];
    snprintf(note, sizeof note, "(%lld of %lld values)", (long long)over, (long long)total);
    report(o, "trace: BitLinear outputs over 2e-6 of their row",
           total ? (double)over / (double)total : NAN, 0.005, note);
    report(o, "trace: worst output, share of its row's largest", worst, 2e-3, "");
}
