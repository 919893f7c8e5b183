/* weft bench: how fast a model runs here, beside the limits that this machine sets. */
#include "commands.h"
#include "common.h"
#include "report.h"

#include "base/os.h"

#include <stdlib.h>
#include <string.h>

typedef struct bench_settings {
    model_settings model;
    const char *shape, *only;
    int64_t prompt, decode, prefill, rows, batch, rank;
    double seconds;
    uint64_t memory_bytes;
    int recompute;
    bool json;
} bench_settings;

#define PLACE(member) offsetof(bench_settings, member)

static const option_spec bench_table[] = {
    {"shape", 0, OPTION_TEXT, PLACE(shape), "SHAPE", 0, 0,
     "a random model instead of a file: 125m, 700m, 2b4t, 8b, 13b or "
     "HIDDEN,LAYERS,HEADS,KV_HEADS,FFN,VOCAB",
     false},
    {"only", 0, OPTION_TEXT, PLACE(only), "LIST", 0, 0, "some of decode,prefill,train", false},
    {"seconds", 0, OPTION_NUMBER, PLACE(seconds), "S", 0, 86400,
     "for each measurement; one round is always finished", false},
    {"prompt", 0, OPTION_WHOLE, PLACE(prompt), "TOKENS", 0, 1 << 20, "before decoding", false},
    {"decode", 0, OPTION_WHOLE, PLACE(decode), "TOKENS", 1, 1 << 20, "of a round of decoding",
     false},
    {"prefill", 0, OPTION_WHOLE, PLACE(prefill), "TOKENS", 1, 1 << 20, "of a round of prefill",
     false},
    {"rows", 0, OPTION_WHOLE, PLACE(rows), "TOKENS", 2, 1 << 20, "of a row of a training step",
     false},
    {"batch", 0, OPTION_WHOLE, PLACE(batch), "ROWS", 1, 4096, "of a training step", false},
    {"rank", 0, OPTION_WHOLE, PLACE(rank), "N", 1, 1024, "of the adapter", false},
    {"recompute", 0, OPTION_CHOICE, PLACE(recompute), "both|on|off", 0, 0,
     "compute layers twice to save memory; both: once so, and once not where it fits", false},
    {"memory", 0, OPTION_SIZE, PLACE(memory_bytes), "SIZE", 0, 0,
     "train with the settings that fit SIZE, as weft learn chooses them", false},
    MODEL_OPTIONS(bench_settings, model),
    {"profile", 0, OPTION_FLAG, PLACE(model.gpu_profile), NULL, 0, 0,
     "GPU: time by operation, beside the device's peaks", false},
    {"json", 0, OPTION_FLAG, PLACE(json), NULL, 0, 0, "one JSON object", false},
};

static const command_spec bench_command = {
    .name = "bench",
    .arguments = "[options]",
    .summary = "Measure decoding, prefill, LoRA training and their memory, and this machine's\n"
               "peaks in the same run: each speed is also given as a share of its limit.",
    .options = bench_table,
    .option_count = sizeof bench_table / sizeof *bench_table,
    .argument_max = 0};

/* Parse "decode,train" into the options. */
static int choose(const char *only, weft_bench_options *o, weft_error *err) {
    struct {
        const char *name;
        bool *wanted;
    } parts[] = {{"decode", &o->decode}, {"prefill", &o->prefill}, {"train", &o->train}};
    if (!only) return WEFT_OK;
    o->decode = o->prefill = o->train = false;
    for (const char *at = only;; at++) {
        size_t size = strcspn(at, ",");
        bool known = false;
        for (size_t i = 0; i < 3; i++) {
            if (strlen(parts[i].name) != size || strncmp(at, parts[i].name, size) != 0) continue;
            *parts[i].wanted = known = true;
        }
        if (!known)
            return err_set(err, WEFT_ERR_ARGUMENT,
                           "--only takes some of decode,prefill,train, not '%.40s'", only);
        at += size;
        if (!*at) return WEFT_OK;
    }
}

static int open_model(const bench_settings *s, weft_model **model, weft_error *err) {
    char path[PATH_BYTES], cache_dir[PATH_BYTES];
    weft_shape shape;
    *model = NULL;
    if (!s->shape) return model_open(&s->model, model, path, err);
    if (s->model.path) return err_set(err, WEFT_ERR_ARGUMENT, "give --shape or --model, not both");
    TRY(weft_shape_parse(s->shape, &shape, err));
    weft_model_options options = model_options(&s->model, cache_dir);
    return weft_model_synthesise(&shape, &options, model, err);
}

/* ---- what is shown ---- */

static const char *gigas(double rate, char text[REPORT_TEXT]) {
    snprintf(text, REPORT_TEXT, rate < 1e11 ? "%.1f" : "%.0f", rate / 1e9);
    return text;
}

static void show_head(const weft_model_info *info, const weft_machine *m) {
    char a[REPORT_TEXT], b[REPORT_TEXT], c[REPORT_TEXT], d[REPORT_TEXT];
    printf("%s%s%s: %s ternary and %s dense weights, %s\n", report_bold(stdout), info->name,
           report_plain(stdout), report_count(info->ternary_count, a),
           report_count(info->dense_count, b),
           report_size(info->mapped_bytes + info->resident_bytes, c));
    printf("%s: reads %s GB/s; %s (8-bit) %s, %s (16-bit) %s", info->device,
           gigas(m->read_bytes_per_s, a), m->int8_name, gigas(m->int8_ops_per_s, b), m->int16_name,
           gigas(m->int16_ops_per_s, c));
    printf(", %s (float32) %s Gop/s\n\n", m->f32_name, gigas(m->f32_ops_per_s, d));
    printf("%-26s %10s %10s %7s %12s\n", "", "tokens/s", "limit", "share", "peak memory");
}

static void show_row(const char *name, int64_t tokens, const weft_speed *s) {
    char label[64], size[REPORT_TEXT], plan[REPORT_TEXT];
    if (!s->rounds) return;
    snprintf(label, sizeof label, "%s %lld", name, (long long)tokens);
    printf("%-26s %10.2f %10.2f %6.1f%% %12s", label, s->tokens_per_s, s->limit_tokens_per_s,
           100 * s->share, report_size(s->peak_bytes, size));
    if (s->plan_bytes) printf(" (plan %s)", report_size(s->plan_bytes, plan));
    if (s->processor_share < 0.9)
        printf("  got %.0f%% of the processors", 100 * s->processor_share);
    printf("\n");
}

static void show(const weft_model_info *info, const weft_bench_options *o,
                 const weft_bench_report *r) {
    show_head(info, &r->machine);
    show_row("decode", o->decode_tokens, &r->decode);
    show_row("prefill", o->prefill_tokens, &r->prefill);
    show_row("train, layers twice", o->row_tokens, &r->train);
    show_row("train, all kept", o->row_tokens, &r->train_kept);
}

/* Time by operation: how long, what share of the whole, and of the device's peaks. */
static void show_profile(const weft_machine *m, const weft_profile_entry *list, int count) {
    double all = 0;
    for (int i = 0; i < count; i++) all += list[i].seconds;
    printf("\n%-26s %-24s %8s %10s %6s %9s %9s\n", "operation", "shader", "calls", "ms", "time",
           "of reads", "of 8-bit");
    for (int i = 0; i < count; i++) {
        const weft_profile_entry *e = &list[i];
        printf("%-26s %-24s %8llu %10.2f %5.1f%% %8.1f%% %8.1f%%\n", e->op, e->shader,
               (unsigned long long)e->calls, e->seconds * 1e3, 100 * e->seconds / all,
               100 * e->bytes / e->seconds / m->read_bytes_per_s,
               100 * e->operations / e->seconds / m->int8_ops_per_s);
    }
}

static json_t *profile_json(const weft_profile_entry *list, int count) {
    json_t *rows = json_array();
    for (int i = 0; i < count; i++)
        json_array_append_new(rows,
                              json_pack("{s:s, s:s, s:I, s:f, s:f, s:f}", "op", list[i].op,
                                        "shader", list[i].shader, "calls",
                                        (json_int_t)list[i].calls, "seconds", list[i].seconds,
                                        "operations", list[i].operations, "bytes", list[i].bytes));
    return rows;
}

static json_t *speed_json(const weft_speed *s) {
    if (!s->rounds) return json_null();
    return json_pack("{s:o, s:o, s:o, s:o, s:I, s:I, s:I, s:o}", "tokens_per_s",
                     report_number(s->tokens_per_s), "limit_tokens_per_s",
                     report_number(s->limit_tokens_per_s), "share", report_number(s->share),
                     "best_tokens_per_s", report_number(s->best_tokens_per_s), "peak_bytes",
                     (json_int_t)s->peak_bytes, "plan_bytes", (json_int_t)s->plan_bytes, "rounds",
                     (json_int_t)s->rounds, "processor_share", report_number(s->processor_share));
}

static json_t *machine_json(const weft_machine *m) {
    return json_pack("{s:i, s:o, s:o, s:s, s:o, s:s, s:o, s:s}", "threads", m->thread_count,
                     "read_bytes_per_s", report_number(m->read_bytes_per_s), "int8_ops_per_s",
                     report_number(m->int8_ops_per_s), "int8", m->int8_name, "int16_ops_per_s",
                     report_number(m->int16_ops_per_s), "int16", m->int16_name, "f32_ops_per_s",
                     report_number(m->f32_ops_per_s), "f32", m->f32_name);
}

static int show_json(const weft_model_info *i, const weft_bench_options *o,
                     const weft_bench_report *r, json_t *profile) {
    json_t *shape = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "hidden", (json_int_t)i->hidden,
                              "layers", (json_int_t)i->layer_count, "heads", (json_int_t)i->heads,
                              "kv_heads", (json_int_t)i->kv_heads, "ffn", (json_int_t)i->ffn,
                              "vocab", (json_int_t)i->vocab);
    json_t *settings = json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:i, s:f}", "prompt_tokens", (json_int_t)o->prompt_tokens,
        "decode_tokens", (json_int_t)o->decode_tokens, "prefill_tokens",
        (json_int_t)o->prefill_tokens, "row_tokens", (json_int_t)o->row_tokens, "row_count",
        (json_int_t)o->row_count, "rank", o->rank, "seconds", o->seconds);
    return report_json(json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "model",
                                 i->name, "device", i->device, "shape", shape, "settings", settings,
                                 "machine", machine_json(&r->machine), "decode",
                                 speed_json(&r->decode), "prefill", speed_json(&r->prefill),
                                 "train", speed_json(r->train.rounds ? &r->train : &r->train_kept),
                                 "train_kept", speed_json(&r->train_kept), "profile", profile),
                       false);
}

/* The settings as the library takes them. */
static int read_options(const bench_settings *s, weft_bench_options *o, weft_error *err) {
    static const weft_recompute choices[] = {WEFT_RECOMPUTE_AUTO, WEFT_RECOMPUTE_ON,
                                             WEFT_RECOMPUTE_OFF};
    o->seconds = s->seconds;
    o->prompt_tokens = s->prompt;
    o->decode_tokens = s->decode;
    o->prefill_tokens = s->prefill;
    o->row_tokens = s->rows;
    o->row_count = s->batch;
    o->rank = (int32_t)s->rank;
    o->memory_bytes = s->memory_bytes;
    o->recompute = choices[s->recompute];
    return choose(s->only, o, err);
}

typedef struct bench_result {
    weft_model_info info;
    weft_bench_report report;
    weft_profile_entry profile[WEFT_PROFILE_MAX];
    int profile_count;
} bench_result;

static int bench(const bench_settings *s, weft_bench_options *o, bench_result *result,
                 weft_error *err) {
    weft_model *model;
    TRY(read_options(s, o, err));
    TRY(open_model(s, &model, err));
    weft_model_get_info(model, &result->info);
    int rc = weft_bench(model, o, &result->report, err);
    result->profile_count = weft_model_profile(model, result->profile);
    weft_model_free(&model);
    return rc;
}

int cmd_bench(int argc, char **argv) {
    weft_bench_options o = weft_bench_options_default();
    bench_settings s = {.model = MODEL_SETTINGS_DEFAULT,
                        .seconds = o.seconds,
                        .prompt = o.prompt_tokens,
                        .decode = o.decode_tokens,
                        .prefill = o.prefill_tokens,
                        .rows = o.row_tokens,
                        .batch = o.row_count,
                        .rank = o.rank};
    static bench_result r; /* too large for a stack */
    weft_error err;
    option_outcome outcome = options_parse(&bench_command, argc, argv, &s, NULL);
    if (outcome != OPTIONS_GO) return outcome == OPTIONS_HELP ? report_finish(EXIT_OK) : EXIT_USAGE;
    int rc = bench(&s, &o, &r, &err);
    if (rc) return fail("bench", rc, &err);
    if (s.json) return show_json(&r.info, &o, &r.report, profile_json(r.profile, r.profile_count));
    show(&r.info, &o, &r.report);
    if (s.model.gpu_profile) show_profile(&r.report.machine, r.profile, r.profile_count);
    return report_finish(EXIT_OK);
}
