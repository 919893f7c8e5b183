/* The learning rate of a step, and which of a run's options make sense. */
#include "train/replay.h"
#include "train/trainer.h"

#include <inttypes.h>
#include <math.h>

/* The warm-up rises by equal amounts from 0 (before the first step) to the peak (the first step
 * after it); a decay starts there and would reach its end just past the last step, so that no step
 * is spent at rate 0. */
double schedule_rate(const trainer_options *o, int64_t step, int64_t step_count) {
    double peak = o->optimiser.rate, warmup = (double)o->warmup_steps;
    if (step < o->warmup_steps) return peak * (double)(step + 1) / (warmup + 1);
    double left = (double)step_count - warmup;
    double progress = left > 0 ? ((double)step - warmup) / left : 1;
    double share = 1;
    if (o->schedule == SCHEDULE_LINEAR) share = 1 - progress;
    if (o->schedule == SCHEDULE_COSINE) share = 0.5 * (1 + cos(3.14159265358979323846 * progress));
    return peak * (o->final_rate_share + (1 - o->final_rate_share) * share);
}

static int check_whole(const char *name, int64_t value, int64_t least, int64_t most,
                       weft_error *err) {
    if (value >= least && value <= most) return WEFT_OK;
    return err_set(err, WEFT_ERR_ARGUMENT, "%s is %" PRId64 "; it must be %" PRId64 " to %" PRId64,
                   name, value, least, most);
}

/* NaN fails every comparison, so it is refused too. */
static int check_number(const char *name, double value, bool good, const char *rule,
                        weft_error *err) {
    if (good) return WEFT_OK;
    return err_set(err, WEFT_ERR_ARGUMENT, "%s is %g; it must be %s", name, value, rule);
}

static int check_optimiser(const optimiser_settings *o, weft_error *err) {
    TRY(check_number("the learning rate", o->rate, o->rate > 0 && o->rate <= 1,
                     "above 0, at most 1", err));
    TRY(check_number("beta1", o->beta1, o->beta1 >= 0 && o->beta1 < 1, "at least 0, below 1", err));
    TRY(check_number("beta2", o->beta2, o->beta2 >= 0 && o->beta2 < 1, "at least 0, below 1", err));
    TRY(check_number("epsilon", o->epsilon, o->epsilon > 0 && o->epsilon <= 1, "above 0, at most 1",
                     err));
    TRY(check_number("the weight decay", o->weight_decay,
                     o->weight_decay >= 0 && o->weight_decay <= 100, "0 to 100", err));
    return check_number("the clipping norm", o->clip, o->clip >= 0 && isfinite(o->clip),
                        "0 (off) or above", err);
}

int trainer_options_check(const trainer_options *o, weft_error *err) {
    TRY(check_whole("steps", o->steps, 0, TRAINER_STEPS_MAX, err));
    if (o->steps == 0)
        TRY(check_number("epochs", o->epochs, o->epochs > 0 && o->epochs <= TRAINER_EPOCHS_MAX,
                         "above 0, at most 1000000, where no steps are given", err));
    TRY(check_whole("micro_tokens", o->micro_tokens, 1, INT32_MAX, err));
    TRY(check_whole("accumulate", o->accumulate, 1, INT32_MAX, err));
    TRY(check_optimiser(&o->optimiser, err));
    TRY(check_whole("the schedule", o->schedule, SCHEDULE_COSINE, SCHEDULE_CONSTANT, err));
    TRY(check_whole("warmup_steps", o->warmup_steps, 0, TRAINER_STEPS_MAX, err));
    TRY(check_number("final_rate_share", o->final_rate_share,
                     o->final_rate_share >= 0 && o->final_rate_share <= 1, "0 to 1", err));
    TRY(check_whole("eval_every", o->eval_every, 0, TRAINER_STEPS_MAX, err));
    TRY(check_whole("patience", o->patience, 0, TRAINER_STEPS_MAX, err));
    TRY(check_whole("checkpoint_every", o->checkpoint_every, 0, TRAINER_STEPS_MAX, err));
    if (o->replay)
        TRY(check_number("the share of replay", o->replay_share,
                         o->replay_share > 0 && o->replay_share <= REPLAY_SHARE_MAX,
                         "above 0, at most 0.9", err));
    return check_number("dropout", o->dropout, o->dropout >= 0 && o->dropout < 1,
                        "at least 0, below 1", err);
}
