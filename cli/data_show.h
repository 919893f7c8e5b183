/* What is shown of a data set by `weft data` and `weft learn`: kinds of files, what was replaced,
 * lengths, examples. */
#ifndef WEFT_CLI_DATA_SHOW_H
#define WEFT_CLI_DATA_SHOW_H

#include "base/status.h"

#include <jansson.h>
#include <stdio.h>

/* A line for each kind of file, if there are several or one has an owner; what was replaced. */
void data_show_kinds(FILE *out, const weft_dataset_report *report);
json_t *data_kinds_json(const weft_dataset_report *report);
json_t *data_replaced_json(const weft_dataset_report *report);

/* Lengths of documents in tokens: how many are in each range of a power of two. */
#define DATA_RANGES 12

typedef struct data_lengths {
    int64_t counts[DATA_RANGES]; /* up to 16, 32, 64 ... tokens; the last: more */
    int64_t document_count, median, mean, longest;
} data_lengths;

/* False: out of memory. */
bool data_lengths_find(const weft_dataset *data, data_lengths *out);
void data_show_lengths(FILE *out, const data_lengths *lengths);
json_t *data_lengths_json(const data_lengths *lengths);

/* A document with what is learnt set off: by colours on a terminal, else as {+...+}. Without mask,
 * as it is, cut after some lines. Control characters are shown as '?'. */
void data_show_document(FILE *out, const weft_document *document, int64_t number, bool mask);
json_t *data_document_json(const weft_document *document, int64_t number);

#endif
