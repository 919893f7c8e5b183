/* Any bytes as a multiple-choice task: what is accepted is whole. */
#include "eval/task.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    task t;
    weft_error err;
    int rc = task_parse((const char *)data, size, &t, &err);
    for (size_t i = 0; !rc && i < t.item_count; i++) {
        const task_item *item = &t.items[i];
        if (item->answer < 0 || item->answer >= item->choice_count || !item->context) abort();
        for (int c = 0; c < item->choice_count; c++)
            if (!strlen(item->choices[c])) abort();
    }
    task_destroy(&t);
    return 0;
}
