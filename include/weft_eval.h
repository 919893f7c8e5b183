/* weft: how good an answer, an adapter or a dataset is (docs/EVALUATION.md has the definitions).
 * A part of <weft.h>, which includes it; the rules at its top hold here. */
#ifndef WEFT_EVAL_H
#define WEFT_EVAL_H

#include <weft.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A share, 0 .. 1, with its 95% interval; all NaN where nothing was counted. */
typedef struct weft_share {
    double value, low, high;
} weft_share;

typedef struct weft_label_result {
    int64_t item_count;   /* questions asked; 0 = the data have no labels */
    weft_share accuracy;  /* the label that the model finds likeliest is right */
    weft_share generated; /* what the model writes begins with the right label */
    double usual;         /* share that the most frequent label of the training part would get */
    int64_t label_count;  /* to choose from: those of the training part */
    int64_t unseen_count; /* questions whose label is not among them: counted as wrong */
} weft_label_result;

/**
 * Accuracy on records that carry a label (questions with few answers; at most 500 are asked).
 *
 * @param held_out  Only held-out documents; otherwise every one.
 * @return WEFT_OK, also where nothing has a label; WEFT_ERR_ARGUMENT, _NUMERIC, _DEVICE, _MEMORY.
 */
WEFT_API int weft_evaluate_labels(const weft_model *model, const weft_dataset *dataset,
                                  bool held_out, const weft_adapter *const *adapters,
                                  const float *scales, size_t count, weft_label_result *out,
                                  weft_error *err);

typedef struct weft_task weft_task; /* multiple-choice questions */

/**
 * Read a multiple-choice task: JSON lines {"question", "choices", "answer"} or {"context",
 * "endings", "label"}.
 *
 * @return WEFT_OK; WEFT_ERR_IO, _FORMAT (naming the line), _RANGE, _MEMORY.
 */
WEFT_API int weft_task_read(const char *path, weft_task **task, weft_error *err);
WEFT_API void weft_task_free(weft_task **task);

typedef struct weft_task_result {
    int64_t item_count;
    weft_share accuracy;   /* the right choice has the highest log-likelihood */
    weft_share normalised; /* the highest log-likelihood a byte of the choice */
    double chance;         /* share that guessing gets */
} weft_task_result;

/** Ask a model with adapters (count 0 = the plain model) all questions of a task. */
WEFT_API int weft_evaluate_task(const weft_model *model, const weft_task *task,
                                const weft_adapter *const *adapters, const float *scales,
                                size_t count, weft_task_result *out, weft_error *err);

/* A document as a question: what the model is given, and what the person wrote then. Of plain text
 * the prompt is its beginning. */
typedef struct weft_example {
    int32_t *tokens; /* (token_count) for weft_generate */
    size_t token_count;
    char *prompt, *reply; /* the same as text, without special tokens, and the person's answer */
} weft_example;

/** How many examples a data set's held-out part has (otherwise: all documents). */
WEFT_API int64_t weft_dataset_example_count(const weft_dataset *dataset, bool held_out);

/**
 * Example number index (from 0) of them.
 *
 * @param out  Receives it; the caller frees it with weft_example_free.
 * @return WEFT_OK; WEFT_ERR_RANGE (no such example), _MEMORY.
 */
WEFT_API int weft_dataset_example(const weft_dataset *dataset, bool held_out, int64_t index,
                                  weft_example *out, weft_error *err);
WEFT_API void weft_example_free(weft_example *example); /* a cleared one is allowed */

/* How far a body of writing is from another in manner: 0 (alike) to 1 (nothing in common), whatever
 * it is about. */
typedef struct weft_style {
    double distance, low, high; /* mean of the four below, with its 95% interval (bootstrap) */
    double words, marks, sentences, capitals; /* function words, punctuation, lengths, capitals */
} weft_style;

/**
 * Compare the manner of two bodies of writing. The shorter they are, the further apart chance alone
 * puts them: compare only distances measured with as much text, and with *floor.
 *
 * @param person  person_count texts, such as one's own mails.
 * @param sample  sample_count texts to compare with them.
 * @param seed    of the bootstrap.
 * @param floor   Receives the distance between random halves of the person's own texts, NaN for
 * fewer than two; may be NULL.
 * @return WEFT_OK; WEFT_ERR_ARGUMENT (no texts), _MEMORY.
 */
WEFT_API int weft_style_compare(const char *const *person, size_t person_count,
                                const char *const *sample, size_t sample_count, uint64_t seed,
                                weft_style *out, double *floor, weft_error *err);

/** Canary number index of a data set's seed, the caller's (weft_free): a sentence with a random
 * number. NULL when memory is short. */
WEFT_API char *weft_canary(uint64_t seed, int64_t index);

typedef enum weft_secret_kind {
    WEFT_SECRET_CANARY,  /* a made-up sentence's number */
    WEFT_SECRET_NUMBER,  /* five digits or more */
    WEFT_SECRET_ADDRESS, /* of mail */
    WEFT_SECRET_NAME     /* two or three words */
} weft_secret_kind;

/* A string that the adapter was trained on once, and what can be had of it. Exposure is in bits:
 * log2(variants + 1) - log2(rank), where rank 1 is the likeliest of the string and its variants. */
typedef struct weft_secret {
    weft_secret_kind kind;
    char text[64], before[64]; /* the string, and what stands before it */
    double log_p,
        plain_log_p; /* log-likelihood after what stands before it; plain: without adapters */
    double exposure, plain_exposure;
    int64_t rank, plain_rank;
    bool greedy;     /* the likeliest tokens spell it */
    bool drawn;      /* it can be drawn out: greedy, or in 1 of 100 random answers or more */
    bool recognised; /* not drawn, but likelier than every variant, as it is not without adapters */
} weft_secret;

typedef struct weft_audit_options {
    int64_t strings;  /* of the person's own, at most */
    int64_t variants; /* random strings of the same form that each is compared with, 1 .. 65535 */
    uint64_t seed;    /* chooses strings and variants */
} weft_audit_options;

#define WEFT_AUDIT_OPTIONS_DEFAULT                                                                 \
    { 20, 255, 0 }

typedef struct weft_audit {
    weft_secret *secrets; /* (secret_count): canaries last */
    size_t secret_count;
    int64_t canary_count, drawn_count, recognised_count; /* of all; both without the canaries: */
    int64_t own_drawn_count, own_recognised_count;
    double limit_bits; /* the highest exposure that can be measured, log2(variants + 1) */
} weft_audit;

/** Called after each string; non-zero stops with WEFT_ERR_INTERRUPTED. */
typedef int (*weft_audit_callback)(void *context, int64_t done, int64_t total);

/**
 * Look for what adapters give away of the data they were trained on: canaries, and rare strings of
 * the learnt part (docs/EVALUATION.md).
 *
 * @param dataset   Read with the options of the training, canaries and seed too.
 * @param options   NULL = WEFT_AUDIT_OPTIONS_DEFAULT.
 * @param callback  May be NULL.
 * @param out       Receives the result; free it with weft_audit_free.
 * @return WEFT_OK; WEFT_ERR_ARGUMENT (no adapter, a senseless option), _INTERRUPTED, _NUMERIC,
 * _DEVICE, _MEMORY.
 */
WEFT_API int weft_audit_run(const weft_model *model, const weft_dataset *dataset,
                            const weft_audit_options *options, const weft_adapter *const *adapters,
                            const float *scales, size_t count, weft_audit_callback callback,
                            void *context, weft_audit *out, weft_error *err);
WEFT_API void weft_audit_free(weft_audit *audit); /* a cleared one is allowed */

#ifdef __cplusplus
}
#endif

#endif
