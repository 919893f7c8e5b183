/* Choosing the next token. The candidates always lie in token order; a heap of indices gives the
 * rank order as far as a filter needs it, so no filter sorts the vocabulary. Probabilities are
 * doubles from an exponential of our own, because the C library's differs between machines in the
 * last bit. */
#include "model/sampler.h"

#include "base/rng.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define SAMPLER_VOCAB_MAX   (1 << 24)
#define SAMPLER_PENALTY_MAX (1 << 24)

typedef struct candidate {
    double p; /* not normalised: 1 for the most likely */
    float logit;
    int32_t token;
} candidate;

struct sampler {
    sampler_settings settings;
    int32_t vocab;
    uint64_t draws;   /* numbers taken from the random stream */
    int32_t *seen;    /* per token: how often it is in the penalty's window */
    int32_t *ring;    /* the window's tokens, if it is bounded */
    int64_t accepted; /* tokens so far */
    candidate *list;  /* in token order */
    int32_t *heap;    /* indices into list, most likely first */
    int32_t list_count, heap_count;
};

static int check_settings(const sampler_settings *s, int32_t vocab, weft_error *err) {
    if (vocab < 1 || vocab > SAMPLER_VOCAB_MAX)
        return err_set(err, WEFT_ERR_ARGUMENT, "a vocabulary of %d tokens cannot be sampled",
                       vocab);
    if (!(s->temperature >= 0 && s->temperature <= 100))
        return err_set(err, WEFT_ERR_ARGUMENT, "temperature is %g: it lies in 0 .. 100",
                       (double)s->temperature);
    if (s->top_k < 0)
        return err_set(err, WEFT_ERR_ARGUMENT, "top-k is %d: give a count, or 0 for off", s->top_k);
    if (!(s->top_p > 0 && s->top_p <= 1))
        return err_set(err, WEFT_ERR_ARGUMENT, "top-p is %g: it lies above 0 and up to 1",
                       (double)s->top_p);
    if (!(s->min_p >= 0 && s->min_p <= 1))
        return err_set(err, WEFT_ERR_ARGUMENT, "min-p is %g: it lies in 0 .. 1", (double)s->min_p);
    if (!(s->repetition_penalty > 0 && s->repetition_penalty <= 100))
        return err_set(err, WEFT_ERR_ARGUMENT,
                       "the repetition penalty is %g: it lies above 0 and up to 100; 1 is off",
                       (double)s->repetition_penalty);
    if (s->penalty_last < 0 || s->penalty_last > SAMPLER_PENALTY_MAX)
        return err_set(err, WEFT_ERR_ARGUMENT, "the penalty looks back over %d tokens: 0 .. %d",
                       s->penalty_last, SAMPLER_PENALTY_MAX);
    return WEFT_OK;
}

int sampler_create(const sampler_settings *settings, int32_t vocab, sampler **out,
                   weft_error *err) {
    *out = NULL;
    TRY(check_settings(settings, vocab, err));
    sampler *s = calloc(1, sizeof *s);
    if (s) {
        s->settings = *settings;
        s->vocab = vocab;
        s->seen = calloc((size_t)vocab, sizeof *s->seen);
        s->list = calloc((size_t)vocab, sizeof *s->list);
        s->heap = calloc((size_t)vocab, sizeof *s->heap);
        s->ring =
            settings->penalty_last ? calloc((size_t)settings->penalty_last, sizeof *s->ring) : NULL;
    }
    if (!s || !s->seen || !s->list || !s->heap || (settings->penalty_last && !s->ring)) {
        sampler_free(&s);
        return err_set(err, WEFT_ERR_MEMORY, "no memory to sample from %d tokens", vocab);
    }
    *out = s;
    return WEFT_OK;
}

void sampler_free(sampler **sp) {
    sampler *s = *sp;
    *sp = NULL;
    if (!s) return;
    free(s->seen);
    free(s->list);
    free(s->heap);
    free(s->ring);
    free(s);
}

void sampler_accept(sampler *s, int32_t token) {
    if (token < 0 || token >= s->vocab) return;
    if (s->ring) {
        int32_t *slot = &s->ring[s->accepted % s->settings.penalty_last];
        if (s->accepted >= s->settings.penalty_last) s->seen[*slot]--;
        *slot = token;
    }
    s->accepted++;
    if (s->ring || !s->seen[token]) s->seen[token]++;
}

static void apply_penalty(const sampler *s, float *logits) {
    float penalty = s->settings.repetition_penalty;
    if (penalty == 1) return;
    for (int32_t i = 0; i < s->vocab; i++)
        if (s->seen[i]) logits[i] = logits[i] > 0 ? logits[i] / penalty : logits[i] * penalty;
}

/* e^x for x <= 0 from additions and multiplications alone: the same bits wherever doubles are
 * IEEE's. x = n ln 2 + r with |r| <= 0.35, and Taylor's series of e^r to r^14, below one unit in
 * the last place. */
static double exp_portable(double x) {
    if (x < -700) return 0;
    double n = floor(x * 1.4426950408889634 + 0.5);
    double r = x - n * 0x1.62e42fefa3800p-1 - n * 0x1.ef35793c76730p-45; /* ln 2 in two parts */
    double sum = 1;
    for (int i = 14; i >= 1; i--) sum = 1 + sum * r / i;
    return ldexp(sum, (int)n);
}

/* Finite logits become the candidates; the index of the most likely, the first of equals, or -1. */
static int32_t collect(sampler *s, const float *logits) {
    int32_t best = -1;
    s->list_count = 0;
    for (int32_t i = 0; i < s->vocab; i++) {
        if (!isfinite(logits[i])) continue;
        if (best < 0 || logits[i] > s->list[best].logit) best = s->list_count;
        s->list[s->list_count++] = (candidate){0, logits[i], i};
    }
    return best;
}

static bool ranks_before(const candidate *a, const candidate *b) {
    return a->logit != b->logit ? a->logit > b->logit : a->token < b->token;
}

static void sift_down(sampler *s, int32_t at) {
    for (;;) {
        int32_t best = at;
        for (int32_t child = 2 * at + 1; child <= 2 * at + 2 && child < s->heap_count; child++)
            if (ranks_before(&s->list[s->heap[child]], &s->list[s->heap[best]])) best = child;
        if (best == at) return;
        int32_t index = s->heap[at];
        s->heap[at] = s->heap[best];
        s->heap[best] = index;
        at = best;
    }
}

static void heap_build(sampler *s) {
    s->heap_count = s->list_count;
    for (int32_t i = 0; i < s->heap_count; i++) s->heap[i] = i;
    for (int32_t i = s->heap_count / 2 - 1; i >= 0; i--) sift_down(s, i);
}

/* The next candidate in rank order; the heap must not be empty. */
static candidate heap_pop(sampler *s) {
    candidate top = s->list[s->heap[0]];
    s->heap[0] = s->heap[--s->heap_count];
    sift_down(s, 0);
    return top;
}

/* Keep what ranks no lower than last. */
static void keep_up_to(sampler *s, candidate last) {
    int32_t kept = 0;
    for (int32_t i = 0; i < s->list_count; i++)
        if (!ranks_before(&last, &s->list[i])) s->list[kept++] = s->list[i];
    s->list_count = kept;
}

static double total_of(const sampler *s) {
    double total = 0;
    for (int32_t i = 0; i < s->list_count; i++) total += s->list[i].p;
    return total;
}

static void filter_top_k(sampler *s) {
    int32_t k = s->settings.top_k;
    if (!k || k >= s->list_count) return;
    heap_build(s);
    candidate last = heap_pop(s);
    for (int32_t i = 1; i < k; i++) last = heap_pop(s);
    keep_up_to(s, last);
}

/* The smallest set of the most likely whose share reaches top_p. */
static void filter_top_p(sampler *s) {
    if (s->settings.top_p >= 1) return;
    double wanted = s->settings.top_p * total_of(s);
    heap_build(s);
    candidate last = heap_pop(s);
    for (double sum = last.p; sum < wanted && s->heap_count; sum += last.p) last = heap_pop(s);
    keep_up_to(s, last);
}

/* Away with what is less likely than min_p times the most likely, whose p is 1. */
static void filter_min_p(sampler *s) {
    int32_t kept = 0;
    for (int32_t i = 0; i < s->list_count; i++)
        if (s->list[i].p >= s->settings.min_p) s->list[kept++] = s->list[i];
    s->list_count = kept;
}

static int32_t draw(sampler *s) {
    double u = (double)(rng_at(s->settings.seed, s->draws++) >> 11) * 0x1p-53;
    double left = u * total_of(s);
    int32_t last = s->list[0].token; /* rounding may leave a crumb past the end */
    for (int32_t i = 0; i < s->list_count; i++) {
        if (s->list[i].p <= 0) continue;
        last = s->list[i].token;
        left -= s->list[i].p;
        if (left < 0) break;
    }
    return last;
}

int sampler_pick(sampler *s, float *logits, int32_t *token, weft_error *err) {
    apply_penalty(s, logits);
    int32_t best = collect(s, logits);
    if (best < 0)
        return err_set(err, WEFT_ERR_NUMERIC,
                       "no logit is a finite number: the model or an adapter is damaged");
    *token = s->list[best].token;
    if (s->settings.temperature == 0) return WEFT_OK;
    double top = s->list[best].logit;
    for (int32_t i = 0; i < s->list_count; i++)
        s->list[i].p = exp_portable((s->list[i].logit - top) / s->settings.temperature);
    filter_top_k(s);
    filter_top_p(s);
    filter_min_p(s);
    *token = draw(s);
    return WEFT_OK;
}
