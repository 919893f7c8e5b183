/* Reading and measuring multiple-choice tasks. */
#include "eval/task.h"

#include "base/os.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int fail_memory(weft_error *err) {
    return err_set(err, WEFT_ERR_MEMORY, "out of memory for the task");
}

void task_destroy(task *t) {
    for (size_t i = 0; i < t->item_count; i++) {
        for (int c = 0; c < t->items[i].choice_count; c++) free(t->items[i].choices[c]);
        free(t->items[i].choices);
        free(t->items[i].context);
    }
    free(t->items);
    *t = (task){0};
}

/* ---- reading ---- */

static const json_t *any_of(const json_t *object, const char *const *keys) {
    const json_t *found = NULL;
    for (; *keys && !found; keys++) found = json_object_get(object, *keys);
    return found;
}

/* "a" and "b" in one string; NULL when memory is short. */
static char *join(const char *a, const char *b, const char *c) {
    bytes text = {0};
    if (bytes_add_text(&text, a) && bytes_add_text(&text, b) && bytes_add_text(&text, c))
        return text.data;
    bytes_free(&text);
    return NULL;
}

/* Which choice an answer means, or -1. */
static int find_answer(const json_t *answer, const json_t *choices, const json_t *names) {
    int count = (int)json_array_size(choices), digit;
    if (json_is_integer(answer)) {
        json_int_t i = json_integer_value(answer);
        return i >= 0 && i < count ? (int)i : -1;
    }
    const char *text = json_string_value(answer);
    if (!text || !*text) return -1;
    for (int i = 0; i < count; i++) {
        const char *name = json_string_value(json_array_get(names, (size_t)i));
        if (name && !strcmp(name, text)) return i;
    }
    for (int i = 0; i < count; i++)
        if (!strcmp(json_string_value(json_array_get(choices, (size_t)i)), text)) return i;
    if (text[1]) return -1;
    digit = text[0] >= '0' && text[0] <= '9'   ? text[0] - '0'
            : text[0] >= 'A' && text[0] <= 'Z' ? text[0] - 'A'
            : text[0] >= 'a' && text[0] <= 'z' ? text[0] - 'a'
                                               : -1;
    return digit < count ? digit : -1;
}

/* What is wrong with a list of choices, or NULL. */
static const char *check_choices(const json_t *choices) {
    size_t count = json_array_size(choices);
    if (count < 2) return "has no list \"choices\" or \"endings\" of two or more";
    if (count > TASK_CHOICES_MAX) return "has more than 64 choices";
    for (size_t i = 0; i < count; i++) {
        const char *text = json_string_value(json_array_get(choices, i));
        if (!text || !*text) return "has a choice that is no text";
    }
    return NULL;
}

static int fill_item(task_item *item, const char *question, const char *context,
                     const json_t *choices, weft_error *err) {
    const char *blank = question || *context ? " " : "";
    size_t count = json_array_size(choices);
    item->context = question ? join("Question: ", question, "\nAnswer:") : strdup(context);
    item->choices = calloc(count, sizeof *item->choices);
    if (!item->context || !item->choices) return fail_memory(err);
    for (; item->choice_count < (int)count; item->choice_count++) {
        const char *text = json_string_value(json_array_get(choices, (size_t)item->choice_count));
        const char *space = *text == ' ' ? "" : blank;
        item->choices[item->choice_count] = join(space, text, "");
        if (!item->choices[item->choice_count]) return fail_memory(err);
    }
    return WEFT_OK;
}

static int add_item(task *t, const json_t *object, uint64_t line, weft_error *err) {
    static const char *const contexts[] = {"context", "ctx", "query", NULL};
    static const char *const endings[] = {"choices", "endings", NULL};
    static const char *const answers[] = {"answer", "label", "gold", "answerKey", NULL};
    const json_t *choices = any_of(object, endings), *names = NULL;
    if (json_is_object(choices)) {
        names = json_object_get(choices, "label");
        choices = json_object_get(choices, "text");
    }
    const char *question = json_string_value(json_object_get(object, "question"));
    const char *context = json_string_value(any_of(object, contexts));
    const char *wrong =
        !question && !context ? "has no text \"question\" or \"context\"" : check_choices(choices);
    int answer = wrong ? -1 : find_answer(any_of(object, answers), choices, names);
    if (!wrong && answer < 0) wrong = "has no \"answer\" or \"label\" that is one of its choices";
    if (wrong) return err_set_at(err, WEFT_ERR_FORMAT, line, "the record %s", wrong);
    if (t->item_count >= TASK_ITEMS_MAX)
        return err_set_at(err, WEFT_ERR_RANGE, line, "more than %d items", TASK_ITEMS_MAX);
    if (!(t->item_count & (t->item_count - 1))) { /* at powers of two */
        size_t capacity = t->item_count ? 2 * t->item_count : 1;
        task_item *items = realloc(t->items, capacity * sizeof *items);
        if (!items) return fail_memory(err);
        t->items = items;
    }
    t->items[t->item_count] = (task_item){.answer = answer};
    return fill_item(&t->items[t->item_count++], question, context, choices, err);
}

static int add_line(task *t, const char *text, size_t size, uint64_t line, weft_error *err) {
    json_error_t where;
    while (size && strchr(" \t\r", text[size - 1])) size--;
    if (!size) return WEFT_OK;
    json_t *object = json_loadb(text, size, JSON_DECODE_ANY, &where);
    int rc = json_is_object(object)
                 ? add_item(t, object, line, err)
                 : err_set_at(err, WEFT_ERR_FORMAT, line, "the line is not one JSON object");
    json_decref(object);
    return rc;
}

int task_parse(const char *text, size_t size, task *t, weft_error *err) {
    uint64_t line = 0;
    *t = (task){0};
    for (const char *at = text, *end = text + size; at < end;) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        if (!stop) stop = end;
        line++;
        int rc = add_line(t, at, (size_t)(stop - at), line, err);
        if (rc) {
            err_prefix(err, "line %llu", (unsigned long long)line);
            return rc;
        }
        at = stop + 1;
    }
    return t->item_count ? WEFT_OK : err_set(err, WEFT_ERR_FORMAT, "there are no items");
}

int task_read(const char *path, task *t, weft_error *err) {
    char *text;
    size_t size;
    *t = (task){0};
    TRY(os_read_file(path, TASK_BYTES_MAX, &text, &size, err));
    int rc = task_parse(text, size, t, err);
    free(text);
    if (rc) err_prefix(err, "%s", path);
    return rc;
}

/* ---- measuring ---- */

static int take_context(scorer *s, const tokenizer *tok, const char *text, weft_error *err) {
    tokenizer_options options = {.add_bos = tokenizer_adds_bos(tok)};
    token_span *spans;
    size_t count;
    TRY(tokenizer_encode(tok, text, strlen(text), &options, &spans, &count, err));
    int32_t *ids = malloc((count ? count : 1) * sizeof *ids);
    for (size_t i = 0; ids && i < count; i++) ids[i] = spans[i].id;
    free(spans);
    int rc = ids ? scorer_prompt(s, ids, count, SCORE_ROOM, err) : fail_memory(err);
    free(ids);
    return rc;
}

static int choose(const task_item *item, scorer *s, int *likeliest, int *normalised,
                  weft_error *err) {
    double best = -INFINITY, best_normalised = -INFINITY;
    for (int c = 0; c < item->choice_count; c++) {
        score found;
        size_t size = strlen(item->choices[c]);
        TRY(scorer_score_text(s, item->choices[c], size, &found, NULL, err));
        if (found.log_p > best) best = found.log_p, *likeliest = c;
        double normal = found.log_p / (double)size;
        if (normal > best_normalised) best_normalised = normal, *normalised = c;
    }
    return WEFT_OK;
}

int task_measure(const task *t, scorer *s, const tokenizer *tok, task_result *out,
                 weft_error *err) {
    *out = (task_result){0};
    for (size_t i = 0; i < t->item_count; i++) {
        const task_item *item = &t->items[i];
        int likeliest = -1, normalised = -1;
        TRY(take_context(s, tok, item->context, err));
        TRY(choose(item, s, &likeliest, &normalised, err));
        out->item_count++;
        out->correct += likeliest == item->answer;
        out->normalised_correct += normalised == item->answer;
        out->chance += 1.0 / item->choice_count;
    }
    out->chance /= (double)(out->item_count ? out->item_count : 1);
    return WEFT_OK;
}
