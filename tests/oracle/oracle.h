/* What the checks of oracle_check share: the model, the directory's files, and the tally. */
#ifndef ORACLE_ORACLE_H
#define ORACLE_ORACLE_H

#include "format/safetensors.h"
#include "model/session.h"
#include "train/step.h"

#include <jansson.h>

typedef struct oracle {
    const char *dir;
    json_t *plain, *exact;   /* oracle.json, exact.json */
    safetensors_file *t, *x; /* oracle.safetensors, exact.safetensors */
    model *m;
    packing_choice packing;
    bool cut;        /* a directory with fewer tensors: what is missing is skipped, and said */
    bool brief;      /* on slow devices: the first of what there are several of */
    bool trace_only; /* on very slow ones: texts and single BitLinears */
    int passed, failed, skipped;
    int32_t rank;
    float alpha;
} oracle;

/* One line a check: error against bound (or a count against what is allowed), and the tally. A NaN
 * fails. */
void report(oracle *o, const char *name, double error, double bound, const char *note);
void report_skip(oracle *o, const char *name, const char *why);

/* As many of count as are to be checked. */
static inline size_t oracle_few(const oracle *o, size_t count) {
    return o->brief && count > 1 ? 1 : count;
}

/* A tensor of exact.safetensors or oracle.safetensors as floats (borrowed), or NULL. */
const float *oracle_floats(const safetensors_file *file, const char *name, int64_t *count);

/* ||a - b|| / ||b||. */
double relative(const float *a, const float *b, int64_t count);

/* The ids of a JSON array; the caller frees. */
int32_t *oracle_ids(const json_t *list, int64_t *count);

/* A fresh adapter over all projections whose parameters are the tensors PREFIX + module +
 * .lora_A/B.weight (A from fallback_prefix where PREFIX has none, B zero). */
adapter *oracle_adapter(oracle *o, const char *prefix, const char *fallback_prefix);

/* For each tensor of exact.safetensors that begins with prefix: the worst relative difference of
 * flat (laid out as the adapter's parameters) among A or among B tensors. -1 where there is none.
 */
double worst_pair(oracle *o, const adapter *a, const float *flat, const char *prefix, bool b);

/* A step of oracle.json as one micro-batch. */
bool oracle_batch(const json_t *step, micro_batch *b);

void check_text(oracle *o);     /* token ids, chat text */
void check_smooth(oracle *o);   /* logits, losses */
void check_rounded(oracle *o);  /* statistics, greedy text */
void check_trace(oracle *o);    /* single BitLinears */
void check_training(oracle *o); /* twelve smooth steps, one rounded layer, twelve rounded losses */
void check_adapter(oracle *o);  /* PEFT's adapter */

#endif
