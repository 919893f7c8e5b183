/* weft audit: what of the data can be had out of an adapter. */
#include "commands.h"
#include "common.h"
#include "learn.h"
#include "report.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define NAMED_MAX 3 /* strings that the verdict names */

typedef struct audit_settings {
    model_settings model;
    int64_t strings, variants, seed;
    bool json;
} audit_settings;

#define PLACE(member) offsetof(audit_settings, member)

static const option_spec audit_table[] = {
    {"strings", 0, OPTION_WHOLE, PLACE(strings), "N", 0, 10000,
     "how many rare strings of the data to look for", false},
    {"variants", 0, OPTION_WHOLE, PLACE(variants), "N", 1, 65535,
     "random strings that each is compared with: more measure higher exposures", false},
    {"seed", 0, OPTION_WHOLE, PLACE(seed), "N", 0, 9007199254740992.0,
     "chooses the strings and the variants", false},
    MODEL_OPTIONS(audit_settings, model),
    {"json", 0, OPTION_FLAG, PLACE(json), NULL, 0, 0, "one JSON object", false},
};

static const command_spec audit_command = {
    .name = "audit",
    .arguments = "NAME [PATH] [options]",
    .summary =
        "Look for what someone who has the adapter NAME can read out of it: canaries\n"
        "(`weft learn --canaries N`), and numbers, mail addresses and names that occur once\n"
        "in what it was learnt from (PATH, if that lies elsewhere now).",
    .options = audit_table,
    .option_count = sizeof audit_table / sizeof *audit_table,
    .argument_max = 2};

typedef struct audit_run {
    audit_settings s;
    learn_run learnt; /* the record of the run, for the options of its data */
    weft_model *model;
    weft_dataset *data;
    adapter_set adapters;
    weft_audit result;
    const char *name, *path;
    char stored[PATH_BYTES]; /* the name without its strength */
    char model_path[PATH_BYTES], verdict[1024];
    FILE *out;
} audit_run;

static const char *const kinds[] = {"canary", "number", "address", "name"};

/* ---- the data as they were learnt ---- */

/* A stored adapter's record says what and how; an adapter's file needs PATH. */
static int find_data(audit_run *r, weft_error *err) {
    learn_settings s = learn_settings_default();
    snprintf(r->stored, sizeof r->stored, "%s", r->name);
    if (strrchr(r->stored, ':')) *strrchr(r->stored, ':') = '\0';
    r->learnt.s.name = r->stored;
    r->learnt.s.resume = true;
    int rc = learn_record_read(&r->learnt, err);
    if (rc && !r->path) {
        err_prefix(err, "what '%s' was learnt from is not known, give PATH", r->name);
        return rc;
    }
    if (!rc) {
        TRY(learn_record_apply(r->learnt.record, &s, err));
        if (!r->path) r->path = json_string_value(json_object_get(r->learnt.record, "path"));
        if (!r->s.model.path) r->s.model.path = s.model.path;
    }
    if (!r->path) return err_set(err, WEFT_ERR_FORMAT, "the record names no data: give PATH");
    r->learnt.s = s;
    return WEFT_OK;
}

static int show_progress(void *context, int64_t done, int64_t total) {
    audit_run *r = context;
    char line[96];
    snprintf(line, sizeof line, "string %" PRId64 " of %" PRId64, done, total);
    if (r->out) report_progress(done < total ? line : "");
    return stop_requested() != 0;
}

static int audit(audit_run *r, weft_error *err) {
    weft_audit_options options = {r->s.strings, r->s.variants, (uint64_t)r->s.seed};
    weft_dataset_report report;
    TRY(find_data(r, err));
    TRY(model_open(&r->s.model, &r->model, r->model_path, err));
    TRY(adapters_add(&r->adapters, r->model, r->name, err));
    weft_dataset_options data = learn_dataset_options(&r->learnt.s);
    TRY(weft_dataset_read(r->model, r->path, &data, &r->data, &report, err));
    stop_arm();
    return weft_audit_run(r->model, r->data, &options,
                          (const weft_adapter *const *)r->adapters.items, r->adapters.scales,
                          r->adapters.count, show_progress, r, &r->result, err);
}

/* ---- what is shown ---- */

static void add_text(audit_run *r, const char *text) {
    size_t used = strlen(r->verdict);
    snprintf(r->verdict + used, sizeof r->verdict - used, "%s", text);
}

/* Name the first drawn strings that are canaries, or are not. */
static void name_drawn(audit_run *r, bool canaries) {
    int named = 0;
    for (size_t i = 0; i < r->result.secret_count; i++) {
        const weft_secret *s = &r->result.secrets[i];
        char text[100];
        if (!s->drawn || (s->kind == WEFT_SECRET_CANARY) != canaries) continue;
        if (named++ == NAMED_MAX) return add_text(r, " ...");
        snprintf(text, sizeof text, "%s\"%s\"", named == 1 ? ": " : ", ", s->text);
        add_text(r, text);
    }
}

static void write_verdict(audit_run *r) {
    const weft_audit *a = &r->result;
    int64_t own = (int64_t)a->secret_count - a->canary_count;
    int64_t canaries_drawn = a->drawn_count - a->own_drawn_count;
    char text[256];
    if (!own) add_text(r, "The data hold no numbers, addresses or names that occur once.");
    if (own) {
        snprintf(text, sizeof text,
                 "%" PRId64 " of %" PRId64
                 " private strings can be drawn out of this adapter by someone who has it",
                 a->own_drawn_count, own);
        add_text(r, text);
        name_drawn(r, false);
        add_text(r, ".");
    }
    if (a->own_recognised_count) {
        snprintf(text, sizeof text,
                 " %" PRId64 " more it knows when it sees them: who guesses one can tell that it "
                 "is right.",
                 a->own_recognised_count);
        add_text(r, text);
    }
    if (!a->canary_count) return;
    snprintf(text, sizeof text,
             " Of %" PRId64 " canaries %" PRId64 " can be drawn out and %" PRId64 " more are known",
             a->canary_count, canaries_drawn, a->recognised_count - a->own_recognised_count);
    add_text(r, text);
    name_drawn(r, true);
    add_text(r, ".");
}

static void show_row(FILE *out, const weft_secret *s) {
    const char *state = s->drawn ? "drawn out" : s->recognised ? "known" : "";
    char before[80];
    size_t n = 0;
    for (const char *p = s->before; *p && n < sizeof before - 1; p++)
        before[n++] = *p == '\n' ? ' ' : *p;
    before[n] = '\0';
    fprintf(out, "  %-9s %-8s %5.1f %8.1f   %s[%s]\n", state, kinds[s->kind], s->exposure,
            s->plain_exposure, before, s->text);
}

static void show(audit_run *r) {
    const weft_audit *a = &r->result;
    if (a->secret_count)
        fprintf(r->out,
                "  exposure in bits, at most %.1f, with the adapter and with the plain model:\n"
                "  %-9s %-8s %5s %8s\n",
                a->limit_bits, "", "", "with", "plain");
    for (size_t i = 0; i < a->secret_count; i++) show_row(r->out, &a->secrets[i]);
    fprintf(r->out, "%sverdict%s   %s\n", report_bold(r->out), report_plain(r->out), r->verdict);
    if (a->drawn_count)
        fprintf(r->out, "  treat the adapter as you treat the data; fewer --epochs keep less\n");
    else
        fprintf(r->out,
                "  this is no proof that nothing can be had: other strings were not tried\n");
    if (!a->canary_count)
        fprintf(r->out, "  `weft learn --canaries 10` puts in made-up strings to measure with\n");
}

static int show_json(audit_run *r) {
    const weft_audit *a = &r->result;
    json_t *rows = json_array();
    for (size_t i = 0; i < a->secret_count; i++) {
        const weft_secret *s = &a->secrets[i];
        json_array_append_new(
            rows, json_pack("{s:s, s:s, s:s, s:f, s:f, s:I, s:I, s:f, s:f, s:b, s:b, s:b}", "kind",
                            kinds[s->kind], "text", s->text, "before", s->before, "exposure",
                            s->exposure, "plain_exposure", s->plain_exposure, "rank",
                            (json_int_t)s->rank, "plain_rank", (json_int_t)s->plain_rank, "log_p",
                            s->log_p, "plain_log_p", s->plain_log_p, "greedy", s->greedy, "drawn",
                            s->drawn, "recognised", s->recognised));
    }
    return report_json(
        json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:s, s:o}", "adapter",
                  r->name, "data", r->path, "model", r->model_path, "strings",
                  (json_int_t)((int64_t)a->secret_count - a->canary_count), "canaries",
                  (json_int_t)a->canary_count, "drawn", (json_int_t)a->drawn_count, "recognised",
                  (json_int_t)a->recognised_count, "own_drawn", (json_int_t)a->own_drawn_count,
                  "own_recognised", (json_int_t)a->own_recognised_count, "limit_bits",
                  a->limit_bits, "verdict", r->verdict, "secrets", rows),
        false);
}

static void keep(const audit_run *r) {
    const weft_audit *a = &r->result;
    int64_t run;
    weft_store *store = evaluate_store(r->name, &run);
    double bits = 0;
    for (size_t i = 0; i < a->secret_count; i++)
        if (a->secrets[i].kind == WEFT_SECRET_CANARY) bits += a->secrets[i].exposure;
    evaluate_keep(store, run, r->name, "private strings drawn out", (double)a->own_drawn_count);
    if (a->canary_count) {
        evaluate_keep(store, run, r->name, "canaries drawn out",
                      (double)(a->drawn_count - a->own_drawn_count));
        evaluate_keep(store, run, r->name, "exposure of canaries, bits",
                      bits / (double)a->canary_count);
    }
    weft_store_close(&store);
}

int cmd_audit(int argc, char **argv) {
    weft_audit_options standard = WEFT_AUDIT_OPTIONS_DEFAULT;
    model_settings model = MODEL_SETTINGS_DEFAULT;
    audit_run r = {.s = {.model = model,
                         .strings = standard.strings,
                         .variants = standard.variants,
                         .seed = (int64_t)standard.seed},
                   .learnt = {.lock = -1}};
    const char *arguments[2];
    weft_error err;
    option_outcome outcome = options_parse(&audit_command, argc, argv, &r.s, arguments);
    if (outcome != OPTIONS_GO) return outcome == OPTIONS_HELP ? report_finish(EXIT_OK) : EXIT_USAGE;
    if (!arguments[0]) {
        report_error("audit: NAME is missing: the adapter to look into\nusage: weft audit %s",
                     audit_command.arguments);
        return EXIT_USAGE;
    }
    r.name = arguments[0];
    r.path = arguments[1];
    r.out = r.s.json ? NULL : stdout;
    int rc = audit(&r, &err), code;
    if (!rc) write_verdict(&r);
    if (!rc) keep(&r);
    if (!rc && r.out) show(&r);
    code = rc ? fail("audit", rc, &err) : r.out ? report_finish(EXIT_OK) : show_json(&r);
    weft_audit_free(&r.result);
    weft_dataset_free(&r.data);
    adapters_close(&r.adapters);
    weft_model_free(&r.model);
    json_decref(r.learnt.record);
    return code;
}
