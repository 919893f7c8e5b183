/* compare_devices MODEL.gguf DATA [--device gpu] [--steps N] [--gpu-tier 1|2|3] [--max-buffer BYTES]
 * Trains the same adapter on the CPU and on another device and holds every step's loss together:
 * smooth within 1e-4, rounded within 1% and 0.2% on average (rounding makes the whole network
 * chaotic at its borders). Exit 0 if all hold, 1 if not, 2 on usage. */
#include <weft.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEPS_MAX 1000

typedef struct settings {
    const char *model, *data;
    weft_model_options device;
    int64_t steps;
} settings;

typedef struct losses {
    double at[STEPS_MAX];
    int64_t count;
} losses;

static int keep_loss(void *context, const weft_train_event *event) {
    losses *l = context;
    if (event->kind == WEFT_EVENT_STEP && l->count < STEPS_MAX) l->at[l->count++] = event->loss;
    return 0;
}

static int train(const settings *s, const weft_model *model, losses *out, weft_error *err) {
    weft_dataset *data = NULL;
    weft_trainer *trainer = NULL;
    weft_train_options o = weft_train_options_default();
    o.steps = s->steps;
    o.warmup_steps = 5;
    o.accumulate = 1;
    o.eval_every = 0;
    out->count = 0;
    int rc = weft_dataset_read(model, s->data, NULL, &data, NULL, err);
    if (!rc) rc = weft_trainer_create(model, data, &o, NULL, &trainer, NULL, err);
    if (!rc) rc = weft_trainer_run(trainer, keep_loss, out, err);
    weft_trainer_free(&trainer);
    weft_dataset_free(&data);
    return rc;
}

static int train_on(const settings *s, const char *device, bool smooth, losses *out,
                    weft_error *err) {
    weft_model_options o = s->device;
    weft_model_info info;
    weft_model *model;
    if (device) o.device = device;
    o.smooth = smooth;
    int rc = weft_model_load(s->model, &o, &model, err);
    if (rc) return rc;
    weft_model_get_info(model, &info);
    rc = train(s, model, out, err);
    if (!rc)
        printf("%s, %s: %lld steps, loss %.6f to %.6f\n", smooth ? "smooth" : "rounded",
               info.device, (long long)out->count, out->at[0], out->at[out->count - 1]);
    weft_model_free(&model);
    return rc;
}

static bool report(const char *name, double error, double bound) {
    bool good = error <= bound; /* false for NaN */
    printf("%-4s %-52s %10.3g  bound %8.3g\n", good ? "ok" : "FAIL", name, error, bound);
    return good;
}

static bool hold(const losses *a, const losses *b, bool smooth) {
    double worst = 0, sum = 0;
    for (int64_t i = 0; i < a->count; i++) {
        double error = fabs(a->at[i] - b->at[i]) / fabs(a->at[i]);
        if (!(error <= worst)) worst = error;
        sum += error;
    }
    if (smooth) return report("smooth losses, the worst step, relative", worst, 1e-4);
    bool every = report("rounded losses, the worst step, relative", worst, 1e-2);
    return report("rounded losses, mean over the steps, relative", sum / (double)a->count, 2e-3) &&
           every;
}

static int compare(const settings *s, bool smooth, bool *held, weft_error *err) {
    static losses cpu, other;
    int rc = train_on(s, "cpu", smooth, &cpu, err);
    if (!rc) rc = train_on(s, NULL, smooth, &other, err);
    if (rc) return rc;
    if (cpu.count < 1 || cpu.count != other.count) {
        printf("FAIL %lld steps and %lld\n", (long long)cpu.count, (long long)other.count);
        *held = false;
    } else {
        *held &= hold(&cpu, &other, smooth);
    }
    return rc;
}

static bool parse(int argc, char **argv, settings *s) {
    for (int i = 1; i < argc; i++) {
        bool more = i + 1 < argc;
        if (!strcmp(argv[i], "--device") && more)
            s->device.device = argv[++i];
        else if (!strcmp(argv[i], "--steps") && more)
            s->steps = atoll(argv[++i]);
        else if (!strcmp(argv[i], "--gpu-tier") && more)
            s->device.gpu.tier_max = atoi(argv[++i]);
        else if (!strcmp(argv[i], "--max-buffer") && more)
            s->device.gpu.max_buffer_bytes = strtoull(argv[++i], NULL, 0);
        else if (argv[i][0] == '-' || s->data)
            return false;
        else if (!s->model)
            s->model = argv[i];
        else
            s->data = argv[i];
    }
    return s->data && s->steps > 0 && s->steps <= STEPS_MAX;
}

int main(int argc, char **argv) {
    settings s = {.device = WEFT_MODEL_OPTIONS_DEFAULT, .steps = 100};
    s.device.device = "gpu";
    bool held = true;
    weft_error err;
    if (!parse(argc, argv, &s)) {
        fprintf(stderr, "usage: compare_devices MODEL.gguf DATA [--device gpu] [--steps N] "
                        "[--gpu-tier 1|2|3] [--max-buffer BYTES]\n");
        return 2;
    }
    for (int smooth = 1; smooth >= 0; smooth--) {
        if (!compare(&s, smooth, &held, &err)) continue;
        fprintf(stderr, "compare_devices: %s\n", err.message);
        return 1;
    }
    return held ? 0 : 1;
}
