/* Settings of a run that fit a limit of memory. They are tried in the order of what they cost:
 * smaller micro-batches first, which cost a CPU little; then layers computed twice, up to a quarter
 * of the speed; then weights packed tightly; last a shorter context, which changes what is learnt.
 */
#include "weft_plan.h"

#include "backend/backend_scratch.h"
#include "backend/backend_vk.h"
#include "base/os.h"

#include <stdio.h>

#define BATCH_LEAST   32
#define CONTEXT_LEAST 64

/* A tenth of what is free stays so. */
static uint64_t part_of(uint64_t free_bytes) {
    return free_bytes - free_bytes / 10;
}

/* Everything that the run may take, what it has already taken included; 0 = nobody knows. */
static uint64_t limit_of(const plan_case *p, const plan_wishes *wishes) {
    if (wishes->memory_bytes) return wishes->memory_bytes;
    if (p->base->on_gpu) {
        uint64_t left = backend_free_bytes(p->base->be), held = backend_bytes(p->base->be);
        uint64_t all = backend_vk_info(p->base->be)->memory_bytes;
        if (!left && all > held) left = all - held;
        return part_of(left) + held;
    }
    /* Pages of a mapped file count as free, used or not. */
    uint64_t left = os_free_memory_bytes();
    return left ? part_of(left) + p->base_bytes + p->data_bytes + p->resident_bytes : 0;
}

/* How the first epoch of a data set is cut into micro-batches. */
typedef struct cut {
    int64_t batch_count, fullest; /* 0 = cannot be known */
} cut;

static cut cut_of(const plan_case *p, const dataset *d, int64_t micro_tokens) {
    epoch_plan epoch;
    if (epoch_plan_create(d, p->inner->seed, 0, micro_tokens, &epoch, NULL)) return (cut){0};
    cut found = {epoch.micro_count, epoch_plan_fullest(d, &epoch)};
    epoch_plan_destroy(&epoch);
    return found;
}

/* Count what will be used. Small micro-batches are filled less: as many more a step that an epoch
 * keeps its steps. */
static void refine(const plan_case *p, plan_choice *choice) {
    int64_t asked = p->inner->micro_tokens, accumulate = p->inner->accumulate;
    if (choice->longest != p->longest) return;
    cut now = cut_of(p, p->data, choice->micro_tokens);
    choice->used_tokens = now.fullest;
    if (p->inner->replay && now.fullest) {
        cut replay = cut_of(p, p->inner->replay, choice->micro_tokens);
        if (replay.fullest > now.fullest) choice->used_tokens = replay.fullest;
    }
    if (choice->micro_tokens == asked) return;
    int64_t before = cut_of(p, p->data, asked).batch_count;
    if (before > accumulate && now.batch_count)
        choice->accumulate = (accumulate * now.batch_count + before / 2) / before;
}

typedef struct search {
    const plan_case *p;
    const plan_wishes *wishes;
    int64_t step_tokens; /* of an optimiser step, as asked for */
    uint64_t limit, least;
    plan_choice found, smallest;
} search;

/* True ends the search: this one fits. */
static bool try_choice(search *s, plan_choice choice) {
    weft_plan plan;
    refine(s->p, &choice);
    uint64_t total = plan_count(s->p, &choice, &plan);
    if (!s->least || total < s->least) {
        s->least = total;
        s->smallest = choice;
    }
    if (s->limit && total > s->limit) return false;
    s->found = choice;
    return true;
}

/* With activations kept, and with layers computed twice, where that is wished. */
static bool try_layers(search *s, plan_choice choice, bool kept, bool twice) {
    if (kept && s->wishes->recompute != WEFT_RECOMPUTE_ON && try_choice(s, choice)) return true;
    choice.recompute = true;
    return twice && s->wishes->recompute != WEFT_RECOMPUTE_OFF && try_choice(s, choice);
}

/* Micro-batches smaller and smaller, as many more a step. */
static bool try_batches(search *s, plan_choice choice, bool kept, bool twice) {
    int64_t asked = s->wishes->batch_tokens, last = 0;
    if (asked < s->p->longest && !s->wishes->keep_batch) asked = s->p->longest;
    int64_t floor = choice.longest > BATCH_LEAST ? choice.longest : BATCH_LEAST;
    for (int64_t parts = 1; parts <= 64; parts++) {
        int64_t micro = (asked + parts - 1) / parts;
        if (parts > 1 && micro < floor) micro = floor;
        if (micro < choice.longest) micro = choice.longest;
        if (micro == last) break;
        choice.micro_tokens = last = micro;
        choice.accumulate = (s->step_tokens + micro / 2) / micro;
        if (choice.accumulate < 1) choice.accumulate = 1;
        if (try_layers(s, choice, kept, twice)) return true;
        if (s->wishes->keep_batch) break;
    }
    return false;
}

/* Small micro-batches cost a CPU less than computing twice, and a GPU more. */
static bool try_recompute(search *s, plan_choice choice) {
    if (s->p->base->on_gpu) return try_batches(s, choice, true, true);
    return try_batches(s, choice, true, false) || try_batches(s, choice, false, true);
}

static bool try_packings(search *s, plan_choice choice) {
    choice.tight = s->p->base->m->packing == TERNARY_TIGHT;
    if (try_recompute(s, choice)) return true;
    if (choice.tight || s->wishes->keep_packing) return false;
    choice.tight = true;
    return try_recompute(s, choice);
}

static bool run_search(search *s) {
    plan_choice choice = {.longest = s->p->longest};
    int64_t micro = s->p->inner->micro_tokens;
    s->step_tokens = micro * s->p->inner->accumulate;
    if (try_packings(s, choice)) return true;
    for (choice.longest = s->p->longest / 2;
         !s->wishes->keep_context && choice.longest >= CONTEXT_LEAST; choice.longest /= 2)
        if (try_packings(s, choice)) return true;
    return false;
}

/* "64 tokens at once, layers computed twice, context 128" */
static void describe(const plan_choice *c, char text[160]) {
    snprintf(text, 160, "%lld tokens at once, %s, windows of at most %lld tokens%s",
             (long long)c->micro_tokens,
             c->recompute ? "layers computed twice" : "all activations kept", (long long)c->longest,
             c->tight ? ", weights packed tightly" : "");
}

static double mebibytes(uint64_t size) {
    return (double)size / (1 << 20);
}

static int refuse(const search *s, weft_error *err) {
    char with[160], other[160], advice[256] = "";
    plan_wishes free_wishes = {.batch_tokens = s->wishes->batch_tokens};
    search wider = {.p = s->p, .wishes = &free_wishes, .limit = s->limit};
    free_wishes.keep_packing = s->p->base->on_gpu;
    bool fits = run_search(&wider);
    describe(&s->smallest, with);
    describe(fits ? &wider.found : &wider.smallest, other);
    if (fits)
        snprintf(advice, sizeof advice, "; it would fit with %s", other);
    else if (wider.least < s->least)
        snprintf(advice, sizeof advice, "; with %s it takes %.1f MiB", other,
                 mebibytes(wider.least));
    return err_set(err, WEFT_ERR_MEMORY,
                   "the run takes %.1f MiB at least (%s), more than the %.1f MiB that %s%s; a "
                   "smaller rank takes less too",
                   mebibytes(s->least), with, mebibytes(s->limit),
                   s->wishes->memory_bytes ? "it may take" : "are free", advice);
}

int plan_choose(const plan_case *p, const plan_wishes *wishes, plan_choice *choice, weft_plan *plan,
                weft_error *err) {
    search s = {.p = p, .wishes = wishes, .limit = limit_of(p, wishes)};
    bool fits = run_search(&s);
    *choice = fits ? s.found : s.smallest;
    plan_count(p, choice, plan);
    plan->limit_bytes = s.limit;
    plan->load_again = choice->tight && p->base->m->packing != TERNARY_TIGHT;
    plan->read_again = choice->longest < p->longest;
    /* Reading the data may have taken more than the run will. */
    uint64_t peak = p->base->on_gpu ? 0 : os_peak_rss_bytes();
    if (peak > plan->total_bytes) plan->total_bytes = peak;
    return fits ? WEFT_OK : refuse(&s, err);
}
