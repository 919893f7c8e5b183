/* The history of runs as tables, curves and JSON. */
#include "runs.h"

#include "plot.h"
#include "report.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SPARK_COLUMNS 16
#define PLOT_ROWS     14

/* ---- a run with its curve ---- */

typedef struct run_curve {
    weft_run run;
    weft_run_point *points;
    weft_run_value *values;
    size_t point_count, value_count;
    json_t *options;
    double *block; /* six rows of point_count: step and what was measured */
} run_curve;

enum { STEP, LOSS, EVAL, REPLAY, REPLAY_EVAL, RATE, ROW_COUNT };

static int make_rows(run_curve *c, weft_error *err) {
    size_t n = c->point_count;
    c->block = malloc((ROW_COUNT * n + 1) * sizeof *c->block);
    if (!c->block) return err_set(err, WEFT_ERR_MEMORY, "out of memory");
    for (size_t i = 0; i < n; i++) {
        const weft_run_point *p = &c->points[i];
        const double row[ROW_COUNT] = {(double)p->step,     p->loss, p->eval_loss, p->replay_loss,
                                       p->replay_eval_loss, p->rate};
        for (int k = 0; k < ROW_COUNT; k++) c->block[(size_t)k * n + i] = row[k];
    }
    return WEFT_OK;
}

static int curve_read(weft_store *store, int64_t id, run_curve *c, weft_error *err) {
    char *options;
    TRY(weft_run_get(store, id, &c->run, err));
    TRY(weft_run_points(store, id, &c->points, &c->point_count, err));
    TRY(weft_store_values(store, id, NULL, &c->values, &c->value_count, err));
    TRY(weft_run_options(store, id, &options, err));
    c->options = json_loads(options, 0, NULL);
    weft_free(options);
    return make_rows(c, err);
}

static void curve_free(run_curve *c) {
    weft_free(c->points);
    weft_free(c->values);
    json_decref(c->options);
    free(c->block);
}

static const double *row_of(const run_curve *c, int row) {
    return c->block + (size_t)row * c->point_count;
}

static bool measured(const run_curve *c, int row) {
    for (size_t i = 0; i < c->point_count; i++)
        if (isfinite(row_of(c, row)[i])) return true;
    return false;
}

static void add_line(plot *p, const run_curve *c, int row, bool marks, const char *name,
                     const char *whose) {
    if (!measured(c, row) || p->line_count == PLOT_LINES_MAX) return;
    plot_line *line = &p->lines[p->line_count++];
    *line = (plot_line){
        .x = row_of(c, STEP), .y = row_of(c, row), .count = c->point_count, .marks = marks};
    snprintf(line->name, sizeof line->name, "%s%s", name, whose);
}

/* ---- texts ---- */

static const char *when(int64_t seconds, char text[REPORT_TEXT]) {
    time_t t = (time_t)seconds;
    struct tm parts;
    text[0] = '\0';
    if (seconds) strftime(text, REPORT_TEXT, "%Y-%m-%d %H:%M", localtime_r(&t, &parts));
    return text;
}

static const char *gain(const weft_run *r, char text[REPORT_TEXT]) {
    text[0] = '\0';
    if (isfinite(r->first_eval) && isfinite(r->best_eval))
        snprintf(text, REPORT_TEXT, "%.3f to %.3f", r->first_eval, r->best_eval);
    return text;
}

/* A text of the history may be no UTF-8, which JSON cannot hold: other bytes become '?'. */
static json_t *text_json(const char *text) {
    json_t *value = json_string(text);
    if (value) return value;
    char *copy = strdup(text);
    for (char *at = copy; at && *at; at++)
        if ((unsigned char)*at > 127) *at = '?';
    value = json_string(copy ? copy : "");
    free(copy);
    return value;
}

static json_t *run_json(const weft_run *r) {
    return json_pack(
        "{s:I, s:I, s:o, s:s, s:o, s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, "
        "s:o, s:o}",
        "id", (json_int_t)r->id, "parent", (json_int_t)r->parent, "adapter", text_json(r->adapter),
        "state", weft_run_state_name(r->state), "reason", text_json(r->reason), "kind",
        text_json(r->kind), "path", text_json(r->data_path), "device", text_json(r->device),
        "started", (json_int_t)r->started, "ended", (json_int_t)r->ended, "step",
        (json_int_t)r->step, "steps", (json_int_t)r->step_count, "tokens", (json_int_t)r->tokens,
        "best_step", (json_int_t)r->best_step, "resumed", (json_int_t)r->resume_count, "seconds",
        report_number(r->seconds), "last_loss", report_number(r->last_loss), "first_eval_loss",
        report_number(r->first_eval), "best_eval_loss", report_number(r->best_eval));
}

/* ---- the list ---- */

static const char *spark(const weft_run_point *points, size_t count, const runs_settings *s,
                         char text[REPORT_SPARK_MAX * 3 + 1]) {
    float *losses = malloc((count + 1) * sizeof *losses);
    size_t n = 0;
    text[0] = '\0';
    for (size_t i = 0; losses && i < count; i++)
        if (isfinite(points[i].loss)) losses[n++] = (float)points[i].loss;
    if (losses && !s->ascii) report_sparkline(losses, n, SPARK_COLUMNS, text);
    free(losses);
    return text;
}

/* printf counts bytes: a sparkline is padded by its characters, of three bytes each. */
static void print_padded(const char *blocks, size_t columns) {
    size_t n = strlen(blocks) / 3;
    printf("%s%*s", blocks, (int)(n < columns ? columns - n : 0), "");
}

static int show_row(weft_store *store, const weft_run *r, const runs_settings *s, weft_error *err) {
    char started[REPORT_TEXT], steps[REPORT_TEXT], change[REPORT_TEXT];
    char blocks[REPORT_SPARK_MAX * 3 + 1];
    weft_run_point *points;
    size_t count;
    TRY(weft_run_points(store, r->id, &points, &count, err));
    snprintf(steps, sizeof steps, "%" PRId64 "/%" PRId64, r->step, r->step_count);
    printf("%4" PRId64 "  %-16s %-13s  %-16s  %11s  %-14s  ", r->id, r->adapter,
           weft_run_state_name(r->state), when(r->started, started), steps, gain(r, change));
    print_padded(spark(points, count, s, blocks), SPARK_COLUMNS);
    if (r->parent)
        printf("  after run %" PRId64 "\n", r->parent);
    else
        printf("\n");
    weft_free(points);
    return WEFT_OK;
}

int runs_list(weft_store *store, const runs_settings *s, int *code, weft_error *err) {
    weft_run *runs;
    size_t count, first = 0;
    TRY(weft_run_list(store, s->adapter, &runs, &count, err));
    if (s->last && count > (size_t)s->last) first = count - (size_t)s->last;
    int rc = WEFT_OK;
    if (s->json) {
        json_t *rows = json_array();
        for (size_t i = first; i < count; i++) json_array_append_new(rows, run_json(&runs[i]));
        *code = report_json(json_pack("{s:o}", "runs", rows), false);
    } else {
        if (count)
            printf("%s run  %-16s %-13s  %-16s  %11s  %-14s  loss%s\n", report_bold(stdout),
                   "adapter", "state", "started", "steps", "held-out", report_plain(stdout));
        else
            printf("no run yet: weft learn PATH --name NAME\n");
        for (size_t i = first; !rc && i < count; i++) rc = show_row(store, &runs[i], s, err);
        if (first) printf("(%zu older: --last 0 shows all)\n", first);
        *code = report_finish(0);
    }
    weft_free(runs);
    return rc;
}

/* ---- one run ---- */

static void show_facts(const weft_run *r) {
    char a[REPORT_TEXT], b[REPORT_TEXT], c[REPORT_TEXT];
    printf("%srun %" PRId64 "%s  '%s', %s", report_bold(stdout), r->id, report_plain(stdout),
           r->adapter, weft_run_state_name(r->state));
    printf("%s%s\n", r->reason[0] ? ": " : "", r->reason);
    printf("  from %s (%s)\n", r->data_path, r->kind);
    if (r->parent) printf("  continues run %" PRId64 "\n", r->parent);
    printf("  began %s", when(r->started, a));
    if (r->ended) printf(", ended %s", when(r->ended, b));
    printf("; %s at work", report_duration(r->seconds, c));
    if (r->resume_count)
        printf(", resumed %" PRId64 " time%s", r->resume_count, r->resume_count == 1 ? "" : "s");
    printf(" on %s\n", r->device);
    printf("  %" PRId64 " of %" PRId64 " steps, %s tokens", r->step, r->step_count,
           report_count(r->tokens, a));
    if (isfinite(r->last_loss)) printf("; last loss %.4f", r->last_loss);
    printf("\n");
    if (isfinite(r->best_eval))
        printf("  held-out loss %.4f before, %.4f at best (step %" PRId64 "): %+.1f%%\n",
               r->first_eval, r->best_eval, r->best_step,
               100 * (r->best_eval - r->first_eval) / r->first_eval);
}

static json_t *points_json(const run_curve *c) {
    json_t *rows = json_array();
    for (size_t i = 0; i < c->point_count; i++) {
        const weft_run_point *p = &c->points[i];
        json_array_append_new(
            rows,
            json_pack("{s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "step", (json_int_t)p->step,
                      "loss", report_number(p->loss), "eval_loss", report_number(p->eval_loss),
                      "replay_loss", report_number(p->replay_loss), "replay_eval_loss",
                      report_number(p->replay_eval_loss), "rate", report_number(p->rate),
                      "grad_norm", report_number(p->grad_norm), "tokens_per_s",
                      report_number(p->tokens_per_s)));
    }
    return rows;
}

static json_t *curve_json(const run_curve *c) {
    json_t *root = run_json(&c->run), *values = json_array();
    for (size_t i = 0; i < c->value_count; i++)
        json_array_append_new(values,
                              json_pack("{s:o, s:o, s:I}", "name", text_json(c->values[i].name),
                                        "value", report_number(c->values[i].value), "when",
                                        (json_int_t)c->values[i].when));
    json_object_set(root, "options", c->options);
    json_object_set_new(root, "points", points_json(c));
    json_object_set_new(root, "evaluations", values);
    return root;
}

static int save_plot(const plot *p, const runs_settings *s, weft_error *err) {
    if (!s->plot) return WEFT_OK;
    TRY(plot_save(s->plot, p, err));
    if (!s->json) printf("saved %s\n", s->plot);
    return WEFT_OK;
}

static int show_curve(const run_curve *c, const runs_settings *s, int *code, weft_error *err) {
    plot p = {.x_name = "step", .y_name = "loss"};
    snprintf(p.title, sizeof p.title, "run %" PRId64 ": %s", c->run.id, c->run.adapter);
    add_line(&p, c, LOSS, false, "loss of each step", "");
    add_line(&p, c, EVAL, true, "held-out loss", "");
    add_line(&p, c, REPLAY, false, "loss on the replayed text", "");
    add_line(&p, c, REPLAY_EVAL, true, "held-out loss of the replayed text", "");
    if (!s->json) {
        show_facts(&c->run);
        for (size_t i = 0; i < c->value_count; i++)
            printf("  %s %.4g\n", c->values[i].name, c->values[i].value);
        printf("\n");
        plot_print(stdout, &p, report_columns(stdout), PLOT_ROWS, s->ascii);
    }
    TRY(save_plot(&p, s, err));
    *code = s->json ? report_json(curve_json(c), false) : report_finish(0);
    return WEFT_OK;
}

int runs_show(weft_store *store, int64_t id, const runs_settings *s, int *code, weft_error *err) {
    run_curve c = {0};
    int rc = curve_read(store, id, &c, err);
    if (!rc) rc = show_curve(&c, s, code, err);
    curve_free(&c);
    return rc;
}

/* ---- two runs ---- */

static void show_number(const char *name, bool whole, double one, double other) {
    char a[REPORT_TEXT] = "", b[REPORT_TEXT] = "";
    if (isfinite(one)) snprintf(a, sizeof a, whole ? "%.0f" : "%.4f", one);
    if (isfinite(other)) snprintf(b, sizeof b, whole ? "%.0f" : "%.4f", other);
    printf("%-24s %20s %20s", name, a, b);
    if (!whole && isfinite(one) && isfinite(other) && one > 0)
        printf("  %+.1f%%", 100 * (other - one) / one);
    printf("\n");
}

static void show_text(const char *name, const char *one, const char *other) {
    printf("%-24.24s %20s %20s\n", name, one, other);
}

/* What was asked differently, by the options' names. */
static void show_differences(const run_curve *a, const run_curve *b) {
    const char *name;
    json_t *value;
    json_object_foreach(a->options, name, value) {
        const char *one = json_string_value(value);
        const char *other = json_string_value(json_object_get(b->options, name));
        if (!other || (one && strcmp(one, other) != 0))
            show_text(name, one ? one : "", other ? other : "");
    }
    json_object_foreach(b->options, name, value) {
        if (!json_object_get(a->options, name)) show_text(name, "", json_string_value(value));
    }
}

/* The last figure of each name that either run has. */
static double value_of(const run_curve *c, const char *name) {
    double value = NAN;
    for (size_t i = 0; i < c->value_count; i++)
        if (!strcmp(c->values[i].name, name)) value = c->values[i].value;
    return value;
}

static void show_values(const run_curve *a, const run_curve *b) {
    for (size_t i = 0; i < a->value_count; i++) {
        const char *name = a->values[i].name;
        bool again = false;
        for (size_t k = i + 1; k < a->value_count; k++) again |= !strcmp(a->values[k].name, name);
        if (!again) show_number(name, false, value_of(a, name), value_of(b, name));
    }
    for (size_t i = 0; i < b->value_count; i++)
        if (isnan(value_of(a, b->values[i].name)))
            show_number(b->values[i].name, false, NAN, value_of(b, b->values[i].name));
}

static void show_both(const run_curve *a, const run_curve *b) {
    const weft_run *r = &a->run, *q = &b->run;
    char one[REPORT_TEXT], other[REPORT_TEXT];
    snprintf(one, sizeof one, "run %" PRId64, r->id);
    snprintf(other, sizeof other, "run %" PRId64, q->id);
    printf("%s%-24s %20s %20s%s\n", report_bold(stdout), "", one, other, report_plain(stdout));
    show_text("adapter", r->adapter, q->adapter);
    show_text("state", weft_run_state_name(r->state), weft_run_state_name(q->state));
    show_number("held-out loss before", false, r->first_eval, q->first_eval);
    show_number("held-out loss at best", false, r->best_eval, q->best_eval);
    show_number("at step", true, (double)r->best_step, (double)q->best_step);
    show_number("last loss", false, r->last_loss, q->last_loss);
    show_number("steps", true, (double)r->step, (double)q->step);
    show_number("tokens", true, (double)r->tokens, (double)q->tokens);
    show_text("time at work", report_duration(r->seconds, one), report_duration(q->seconds, other));
    show_values(a, b);
    if (strcmp(r->data_path, q->data_path) != 0)
        printf("learnt from\n  %s\n  %s\n", r->data_path, q->data_path);
    show_differences(a, b);
    printf("\n");
}

static int compare(const run_curve *c, const runs_settings *s, int *code, weft_error *err) {
    plot p = {.x_name = "step", .y_name = "loss"};
    bool held_out = measured(&c[0], EVAL) && measured(&c[1], EVAL);
    snprintf(p.title, sizeof p.title, "runs %" PRId64 " and %" PRId64, c[0].run.id, c[1].run.id);
    for (int i = 0; i < 2; i++) {
        char whose[32];
        snprintf(whose, sizeof whose, " of run %" PRId64, c[i].run.id);
        add_line(&p, &c[i], held_out ? EVAL : LOSS, held_out, held_out ? "held-out loss" : "loss",
                 whose);
    }
    if (!s->json) {
        show_both(&c[0], &c[1]);
        plot_print(stdout, &p, report_columns(stdout), PLOT_ROWS, s->ascii);
    }
    TRY(save_plot(&p, s, err));
    *code = s->json
                ? report_json(json_pack("{s:[o, o]}", "runs", curve_json(&c[0]), curve_json(&c[1])),
                              false)
                : report_finish(0);
    return WEFT_OK;
}

int runs_compare(weft_store *store, int64_t one, int64_t other, const runs_settings *s, int *code,
                 weft_error *err) {
    run_curve c[2] = {0};
    int rc = curve_read(store, one, &c[0], err);
    if (!rc) rc = curve_read(store, other, &c[1], err);
    if (!rc) rc = compare(c, s, code, err);
    curve_free(&c[0]);
    curve_free(&c[1]);
    return rc;
}
