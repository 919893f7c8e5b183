/* Multiple-choice tasks: JSON lines of a context and the endings to choose from. The model's choice
 * is the ending that it finds likeliest after the context. A file with one bad line is refused: a
 * measurement over fewer items would be another measurement. */
#ifndef WEFT_EVAL_TASK_H
#define WEFT_EVAL_TASK_H

#include "eval/score.h"

#define TASK_BYTES_MAX   (256u << 20)
#define TASK_ITEMS_MAX   1000000
#define TASK_CHOICES_MAX 64

typedef struct task_item {
    char *context;  /* "" = the begin of a text */
    char **choices; /* (choice_count) as they follow the context, with their blank */
    int choice_count, answer;
} task_item;

typedef struct task {
    task_item *items;
    size_t item_count;
} task;

/* Read a file of these forms, one object a line:
 *   {"question", "choices", "answer"}   asked as "Question: ...\nAnswer:"; choices a list, or an
 *                                       object with "text" and "label" lists
 *   {"context", "endings", "label"}     the endings continue the context, after a blank
 * The answer is an index from 0, a letter or label, or the right choice itself; "label", "gold" and
 * "answerKey" are other names of it, "ctx" and "query" of context, and endings and choices may
 * stand for each other. WEFT_ERR_IO, _FORMAT with the line, _RANGE, _MEMORY. The caller frees *t
 * with task_destroy, also after an error. */
int task_read(const char *path, task *t, weft_error *err);
int task_parse(const char *text, size_t size, task *t, weft_error *err); /* a file's content */
void task_destroy(task *t);

typedef struct task_result {
    int64_t item_count, correct, normalised_correct; /* normalised: by log p a byte of the choice */
    double chance;                                   /* expected correct by guessing, a share */
} task_result;
int task_measure(const task *t, scorer *s, const tokenizer *tok, task_result *out, weft_error *err);

#endif
