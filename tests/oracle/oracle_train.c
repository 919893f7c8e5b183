/* Checks of training and of adapters. */
#include "oracle/oracle.h"
#include "oracle/reference.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct run_result {
    double loss[64], grad_norm[64];
    float *gradients[2]; /* of steps 0 and 1, if wanted */
    bool ok;
} run_result;

static optimiser_settings optimiser_of(const oracle *o) {
    const json_t *j = json_object_get(o->plain, "optimizer"), *betas = json_object_get(j, "betas");
    return (optimiser_settings){.rate = (float)json_number_value(json_object_get(j, "lr")),
                                .beta1 = (float)json_number_value(json_array_get(betas, 0)),
                                .beta2 = (float)json_number_value(json_array_get(betas, 1)),
                                .epsilon = (float)json_number_value(json_object_get(j, "eps")),
                                .weight_decay =
                                    (float)json_number_value(json_object_get(j, "weight_decay"))};
}

/* Take `count` steps of oracle.json with adapter a; with update false only the gradients are
 * wanted. */
static void run_steps(oracle *o, adapter *a, const step_options *options, size_t count, bool update,
                      run_result *r) {
    const json_t *steps = json_object_get(o->plain, "steps");
    optimiser_settings settings = optimiser_of(o);
    train_step *s = NULL;
    weft_error err = {0};
    *r = (run_result){.ok = !train_step_create(o->m, a, options, &s, &err)};
    for (size_t i = 0; r->ok && i < count; i++) {
        micro_batch b;
        r->ok = oracle_batch(json_array_get(steps, i), &b) &&
                !train_step_accumulate(s, &b, 0, &r->loss[i], &err);
        r->loss[i] /= (double)b.target_count;
        if (r->ok && i < 2) {
            r->gradients[i] = malloc(a->param_count * sizeof(float));
            r->ok = r->gradients[i] && !train_step_get_gradients(s, r->gradients[i], &err);
            for (size_t k = 0; r->ok && k < a->param_count; k++)
                r->gradients[i][k] /= (float)b.target_count;
        }
        if (r->ok && update)
            r->ok = !train_step_update(s, &settings, (int64_t)i + 1, b.target_count,
                                       &r->grad_norm[i], &err);
        if (!update) train_step_discard(s);
        micro_batch_destroy(&b);
    }
    if (!r->ok) printf("     %s\n", err.message);
    train_step_free(&s);
}

static void free_result(run_result *r) {
    free(r->gradients[0]);
    free(r->gradients[1]);
}

static double worst_loss(const run_result *r, const json_t *wanted, size_t count, const char *key,
                         const double *values) {
    double worst = r->ok && count ? 0 : NAN;
    for (size_t i = 0; r->ok && i < count; i++) {
        double reference = json_number_value(json_object_get(json_array_get(wanted, i), key));
        double error = fabs(values[i] / reference - 1);
        if (!(error <= worst)) worst = error;
    }
    return worst;
}

static void report_pairs(oracle *o, const char *name, const adapter *a, const float *flat,
                         const char *prefix, bool b, double bound) {
    double worst = flat ? worst_pair(o, a, flat, prefix, b) : NAN;
    if (worst == -1)
        report_skip(o, name, "no such tensors");
    else
        report(o, name, worst, bound, "");
}

/* Logits of prompt 0 with an adapter, against wanted (vocab floats): relative error, NaN on
 * failure. */
static double tuned_error(oracle *o, const adapter *a, bool smooth, const float *wanted) {
    int64_t count;
    const json_t *prompt = json_array_get(json_object_get(o->plain, "logits"), 0);
    int32_t *ids = oracle_ids(json_object_get(prompt, "ids"), &count);
    float *logits = malloc((size_t)o->m->cfg.vocab * sizeof *logits);
    session_options options = {.context = count, .smooth = smooth};
    session *s = NULL;
    adapter_use use = {a, 1};
    double error = NAN;
    if (logits && !session_create(o->m, &options, &s, NULL) &&
        !session_set_adapters(s, &use, 1, NULL) &&
        !session_eval(s, ids, (size_t)count, logits, NULL, NULL))
        error = relative(logits, wanted, o->m->cfg.vocab);
    session_free(&s);
    free(logits);
    free(ids);
    return error;
}

static void report_final(oracle *o, adapter *a) {
    float *params = malloc(a->param_count * sizeof *params);
    bool good = params && !adapter_get_params(a, params, NULL);
    report_pairs(o, "smooth: A after all steps, relative", a, good ? params : NULL, "smooth.final.",
                 false, 1e-3);
    report_pairs(o, "smooth: B after all steps, relative", a, good ? params : NULL, "smooth.final.",
                 true, 1e-2);
    const float *wanted = oracle_floats(o->x, "smooth.tuned.logits.0", NULL);
    if (wanted) {
        report(o, "smooth: tuned logits, relative", tuned_error(o, a, true, wanted), 2e-5, "");
    } else
        report_skip(o, "smooth: tuned logits", "no such tensor");
    free(params);
}

static void check_smooth_steps(oracle *o, size_t count, bool recompute) {
    const json_t *wanted = json_object_get(json_object_get(o->exact, "smooth"), "steps");
    adapter *a = oracle_adapter(o, "init.", "init.");
    step_options options = {
        .micro_tokens = 256, .positions_max = 128, .smooth = true, .recompute = recompute};
    run_result r = {0};
    char name[80];
    const char *how = recompute ? " (recomputed)" : "";
    if (a) run_steps(o, a, &options, count, true, &r);
    snprintf(name, sizeof name, "smooth: %zu training losses%s, relative", count, how);
    report(o, name, worst_loss(&r, wanted, count, "loss", r.loss), 1e-5, "");
    snprintf(name, sizeof name, "smooth: %zu gradient norms%s, relative", count, how);
    report(o, name, worst_loss(&r, wanted, count, "grad_norm", r.grad_norm), 5e-3, "");
    if (!recompute && a) {
        report_pairs(o, "smooth: gradients of B, step 0, relative", a, r.gradients[0],
                     "smooth.grad0.", true, 1e-4);
        report_pairs(o, "smooth: gradients of A, step 0, absolute (zero)", a, r.gradients[0],
                     "smooth.grad0.", false, 0);
        report_pairs(o, "smooth: gradients of B, step 1, relative", a, r.gradients[1],
                     "smooth.grad1.", true, 1e-4);
        report_pairs(o, "smooth: gradients of A, step 1, relative", a, r.gradients[1],
                     "smooth.grad1.", false, 5e-3);
        report_final(o, a);
    }
    free_result(&r);
    adapter_free(&a);
}

static void check_one_layer(oracle *o) {
    const json_t *wanted = json_object_get(json_object_get(o->exact, "one_layer_rounded"), "steps");
    size_t count = oracle_few(o, json_array_size(wanted));
    adapter *a = oracle_adapter(o, "one.init.", "init.");
    step_options options = {.micro_tokens = 256, .positions_max = 128, .layer_count = 1};
    run_result r = {0};
    if (a && count <= 2) run_steps(o, a, &options, count, false, &r);
    report(o, "one layer, rounded: losses, relative", worst_loss(&r, wanted, count, "loss", r.loss),
           3e-4, "");
    for (int step = 0; a && step < (int)count; step++) {
        for (int b = 0; b < 2; b++) {
            char name[80], prefix[32];
            snprintf(prefix, sizeof prefix, "one.grad%d.", step);
            snprintf(name, sizeof name, "one layer, rounded: gradients of %s, step %d, relative",
                     b ? "B" : "A", step);
            report_pairs(o, name, a, r.gradients[step], prefix, b, 5e-3);
        }
    }
    free_result(&r);
    adapter_free(&a);
}

static void check_rounded_steps(oracle *o, size_t count) {
    adapter *a = oracle_adapter(o, "init.", "init.");
    step_options options = {.micro_tokens = 256, .positions_max = 128};
    run_result r = {0};
    char name[80];
    if (a) run_steps(o, a, &options, count, true, &r);
    snprintf(name, sizeof name, "rounded: %zu training losses, relative", count);
    report(o, name, worst_loss(&r, json_object_get(o->plain, "steps"), count, "loss", r.loss), 0.01,
           "against transformers + PEFT");
    free_result(&r);
    adapter_free(&a);
}

void check_training(oracle *o) {
    size_t count = json_array_size(json_object_get(o->plain, "steps"));
    if (count > 64) count = 64;
    char name[160];
    snprintf(name, sizeof name, "init.model.layers.%lld.mlp.down_proj.lora_A.weight",
             (long long)o->m->cfg.layer_count - 1);
    check_one_layer(o);
    if (!safetensors_find(o->t, name)) {
        report_skip(o, "smooth and rounded training steps", "no initial A of all layers");
        return;
    }
    check_smooth_steps(o, count, false);
    check_smooth_steps(o, 2, true);
    check_rounded_steps(o, count);
}

/* PEFT's own adapter: the tensors that it saved, and what they do. */
static void check_loaded(oracle *o, const adapter *a) {
    adapter *wanted = oracle_adapter(o, "final.", "final.");
    float *got = malloc(a->param_count * sizeof *got),
          *stored = malloc(a->param_count * sizeof *got);
    bool good = wanted && got && stored && wanted->param_count == a->param_count &&
                !adapter_get_params(a, got, NULL) && !adapter_get_params(wanted, stored, NULL);
    report(o, "PEFT adapter: parameters, relative",
           good ? relative(got, stored, (int64_t)a->param_count) : NAN, 0, "");
    int64_t count;
    const json_t *prompt = json_array_get(json_object_get(o->plain, "logits"), 0);
    int32_t *ids = oracle_ids(json_object_get(prompt, "ids"), &count);
    double *logits = calloc((size_t)o->m->cfg.vocab, sizeof *logits);
    float *reference = calloc((size_t)o->m->cfg.vocab, sizeof *reference);
    good = good && reference_logits(o->m->file, &o->m->cfg, a, got, ids, count, logits);
    for (int64_t i = 0; i < o->m->cfg.vocab; i++) reference[i] = (float)logits[i];
    report(o, "PEFT adapter: smooth logits against float64, relative",
           good ? tuned_error(o, a, true, reference) : NAN, 2e-5, "");
    const float *tuned = oracle_floats(o->t, "tuned.logits.0", NULL);
    if (tuned)
        report(o, "PEFT adapter: rounded logits against PEFT, relative",
               tuned_error(o, a, false, tuned), 0.02, "");
    else
        report_skip(o, "PEFT adapter: rounded logits", "no such tensor");
    adapter_free(&wanted);
    free(got);
    free(stored);
    free(ids);
    free(logits);
    free(reference);
}

void check_adapter(oracle *o) {
    char path[4096];
    adapter *a = NULL;
    weft_error err = {0};
    snprintf(path, sizeof path, "%s/peft_adapter", o->dir);
    if (o->cut && !os_is_dir(path)) {
        report_skip(o, "PEFT adapter", "not in this directory");
        return;
    }
    int rc = adapter_load(path, &o->m->cfg, o->m->be, &a, &err);
    report(o, "PEFT adapter: loads", rc, 0, err.message);
    if (!rc) check_loaded(o, a);
    adapter_free(&a);
}
