/* The options of `weft learn`. */
#include "learn.h"

#define PLACE(member) offsetof(learn_settings, member)
#define STEPS_MAX     1e9

static const option_spec learn_table[] = {
    {"name", 'n', OPTION_TEXT, PLACE(name), "NAME", 0, 0,
     "what the result is called; otherwise as the file or folder", true},
    {"resume", 0, OPTION_FLAG, PLACE(resume), NULL, 0, 0,
     "go on with the unfinished run of that name (PATH and options as they were)", true},
    {"force", 0, OPTION_FLAG, PLACE(force), NULL, 0, 0,
     "start anew where a run or an adapter of that name exists", true},
    {"dry-run", 0, OPTION_FLAG, PLACE(dry_run), NULL, 0, 0,
     "show what was found and the plan, then stop", true},
    {.kind = OPTION_HEADING, .help = "How long and how fast"},
    {"epochs", 'e', OPTION_NUMBER, PLACE(epochs), "N", 1e-6, 1e6, "times through the data", false},
    {"steps", 's', OPTION_WHOLE, PLACE(steps), "N", 0, STEPS_MAX,
     "updates; 0 = as many as --epochs makes", false},
    {"rate", 'r', OPTION_NUMBER, PLACE(rate), "R", 1e-12, 1, "peak learning rate", false},
    {"schedule", 0, OPTION_CHOICE, PLACE(schedule), "cosine|linear|constant", 0, 0,
     "how the rate falls", false},
    {"warmup", 0, OPTION_WHOLE, PLACE(warmup_steps), "STEPS", 0, STEPS_MAX,
     "steps over which the rate rises", false},
    {"final-rate", 0, OPTION_NUMBER, PLACE(final_rate), "SHARE", 0, 1, "of the rate, at the end",
     false},
    {.kind = OPTION_HEADING, .help = "The adapter"},
    {"rank", 0, OPTION_WHOLE, PLACE(rank), "N", 1, 1024, "rank of the LoRA matrices", false},
    {"alpha", 0, OPTION_NUMBER, PLACE(alpha), "A", 1e-6, 1e6, "its strength, as alpha / rank",
     false},
    {"rslora", 0, OPTION_FLAG, PLACE(rslora), NULL, 0, 0, "scale by alpha / sqrt(rank)", false},
    {"dropout", 0, OPTION_NUMBER, PLACE(dropout), "P", 0, 0.95, "dropout of the adapter's input",
     false},
    {"targets", 0, OPTION_TEXT, PLACE(targets), "LIST", 0, 0,
     "projections that learn: all, attn, mlp, or q_proj,v_proj,...", false},
    {"from", 0, OPTION_TEXT, PLACE(from), "NAME", 0, 0,
     "continue from what was learnt under NAME (or a file): its rank and projections stay", false},
    {.kind = OPTION_HEADING, .help = "The data"},
    READING_OPTIONS(learn_settings, reading),
    {"all-turns", 0, OPTION_FLAG, PLACE(all_turns), NULL, 0, 0, "the same as --learn all", false},
    {"context", 'c', OPTION_WHOLE, PLACE(context), "TOKENS", 0, INT32_MAX,
     "longest example; 0 = 512 or the model's, or less to fit the memory", false},
    {"replay", 0, OPTION_TEXT, PLACE(replay), "PATH", 0, 0,
     "general text, mixed in against forgetting; its loss is shown on its own", false},
    {"replay-share", 0, OPTION_NUMBER, PLACE(replay_share), "SHARE", 0.001, 0.9,
     "of what is learnt that is replayed", false},
    {"eval-share", 0, OPTION_NUMBER, PLACE(eval_share), "SHARE", 0, 0.5,
     "of the documents held out to measure with", false},
    {"canaries", 0, OPTION_WHOLE, PLACE(canaries), "N", 0, 1000,
     "learn N made-up sentences with random numbers too, which `weft audit` looks for", false},
    {"seed", 0, OPTION_WHOLE, PLACE(seed), "N", 0, 9007199254740992.0, "of all that is random",
     false},
    {.kind = OPTION_HEADING, .help = "The run"},
    {"batch", 'b', OPTION_WHOLE, PLACE(batch_tokens), "TOKENS", 0, 1 << 20,
     "tokens computed at once; 0 = 256, or fewer to fit the memory", false},
    {"accumulate", 0, OPTION_WHOLE, PLACE(accumulate), "N", 1, 1e6, "batches an update", false},
    {"eval-every", 0, OPTION_WHOLE, PLACE(eval_every), "STEPS", 0, STEPS_MAX,
     "steps between measurements; 0 = only at both ends", false},
    {"patience", 0, OPTION_WHOLE, PLACE(patience), "N", 0, STEPS_MAX,
     "stop after this many measurements without gain; 0 = never", false},
    {"checkpoint-every", 0, OPTION_WHOLE, PLACE(checkpoint_every), "STEPS", 0, STEPS_MAX,
     "steps between checkpoints; 0 = at the end only", false},
    {"memory", 0, OPTION_SIZE, PLACE(memory_bytes), "SIZE", 0, 0,
     "that the run may take in all, such as 512M; settings that fit are chosen; 0 = what is free",
     false},
    {"recompute", 0, OPTION_CHOICE, PLACE(recompute), "auto|on|off", 0, 0,
     "compute layers again instead of keeping them: less memory, more time", false},
    {.kind = OPTION_HEADING, .help = "The optimiser"},
    {"clip", 0, OPTION_NUMBER, PLACE(clip), "NORM", 0, 1e9, "longest gradient; 0 = any", false},
    {"weight-decay", 0, OPTION_NUMBER, PLACE(weight_decay), "W", 0, 100, "AdamW's", false},
    {"beta1", 0, OPTION_NUMBER, PLACE(beta1), "B", 0, 0.999999, "AdamW's", false},
    {"beta2", 0, OPTION_NUMBER, PLACE(beta2), "B", 0, 0.999999, "AdamW's", false},
    {"epsilon", 0, OPTION_NUMBER, PLACE(epsilon), "E", 1e-30, 1, "AdamW's", false},
    MODEL_OPTIONS(learn_settings, model),
    {.kind = OPTION_HEADING, .help = "What is shown"},
    {"samples", 0, OPTION_WHOLE, PLACE(samples), "N", 0, 100,
     "show the answers to N held-out prompts before and after; 0 = none", true},
    {"json", 0, OPTION_FLAG, PLACE(json), NULL, 0, 0, "one JSON object at the end", true},
    {"json-lines", 0, OPTION_FLAG, PLACE(json_lines), NULL, 0, 0,
     "a JSON object a line for every event, then the report", true},
    {"quiet", 'q', OPTION_FLAG, PLACE(quiet), NULL, 0, 0, "say nothing but errors", true},
};

const command_spec learn_command = {
    .name = "learn",
    .arguments = "PATH [--name NAME] [options]\n       weft learn --name NAME --resume",
    .summary = "Learn the writing in PATH (a file, a folder or an archive) as an\n"
               "adapter that `weft chat --adapter NAME` answers with. Ctrl-C stops and saves.",
    .options = learn_table,
    .option_count = sizeof learn_table / sizeof *learn_table,
    .argument_max = 1};

const command_spec plan_command = {
    .name = "plan",
    .arguments = "PATH [options of weft learn]",
    .summary = "Say what learning the writing in PATH would take: memory by part, time by a\n"
               "second of work, settings that fit --memory or what is free. Learns nothing.",
    .options = learn_table,
    .option_count = sizeof learn_table / sizeof *learn_table,
    .argument_max = 1};

learn_settings learn_settings_default(void) {
    weft_train_options t = weft_train_options_default();
    weft_dataset_options d = WEFT_DATASET_OPTIONS_DEFAULT;
    model_settings model = MODEL_SETTINGS_DEFAULT;
    return (learn_settings){.model = model,
                            .targets = t.targets,
                            .steps = t.steps,
                            .rank = t.rank,
                            .warmup_steps = t.warmup_steps,
                            .batch_tokens = t.micro_tokens,
                            .accumulate = t.accumulate,
                            .context = d.context,
                            .eval_every = t.eval_every,
                            .patience = t.patience,
                            .checkpoint_every = t.checkpoint_every,
                            .seed = (int64_t)t.seed,
                            .epochs = t.epochs,
                            .rate = t.rate,
                            .alpha = t.alpha,
                            .dropout = t.dropout,
                            .final_rate = t.final_rate_share,
                            .eval_share = d.eval_share,
                            .clip = t.clip,
                            .weight_decay = t.weight_decay,
                            .beta1 = t.beta1,
                            .beta2 = t.beta2,
                            .epsilon = t.epsilon,
                            .memory_bytes = t.memory_bytes,
                            .replay_share = t.replay_share,
                            .schedule = (int)t.schedule,
                            .recompute = (int)t.recompute,
                            .samples = 2,
                            .rslora = t.rslora,
                            .all_turns = d.all_turns};
}

weft_train_options learn_train_options(const learn_settings *s) {
    return (weft_train_options){.steps = s->steps,
                                .epochs = s->epochs,
                                .micro_tokens = s->batch_tokens,
                                .accumulate = s->accumulate,
                                .rate = s->rate,
                                .beta1 = s->beta1,
                                .beta2 = s->beta2,
                                .epsilon = s->epsilon,
                                .weight_decay = s->weight_decay,
                                .clip = s->clip,
                                .schedule = (weft_schedule)s->schedule,
                                .warmup_steps = s->warmup_steps,
                                .final_rate_share = s->final_rate,
                                .rank = (int32_t)s->rank,
                                .alpha = s->alpha,
                                .dropout = s->dropout,
                                .rslora = s->rslora,
                                .targets = s->targets,
                                .seed = (uint64_t)s->seed,
                                .eval_every = s->eval_every,
                                .patience = s->patience,
                                .checkpoint_every = s->checkpoint_every,
                                .recompute = (weft_recompute)s->recompute,
                                .memory_bytes = s->memory_bytes,
                                .replay_share = s->replay_share};
}

weft_dataset_options learn_replay_options(const learn_settings *s) {
    weft_dataset_options options = WEFT_DATASET_OPTIONS_DEFAULT;
    options.context = s->context;
    options.seed = (uint64_t)s->seed;
    return options;
}

weft_dataset_options learn_dataset_options(const learn_settings *s) {
    weft_dataset_options options = reading_options(&s->reading);
    options.context = s->context;
    options.all_turns = s->all_turns;
    options.eval_share = s->eval_share;
    options.seed = (uint64_t)s->seed;
    options.canaries = s->canaries;
    return options;
}
