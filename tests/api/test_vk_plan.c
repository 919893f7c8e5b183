/* The plan of a run on a GPU beside what its memory comes to hold: within 5% of it with
 * layers kept and with layers computed again. Ends with 77 where there is no device. */
#include "weft_impl.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MODEL   WEFT_ROOT "/models/weft-42m.gguf"
#define MAILBOX WEFT_ROOT "/examples/mailbox.mbox"

static weft_model *base;
static weft_dataset *data;

static int stop(void *context, const weft_train_event *event) {
    (void)context;
    return event->kind == WEFT_EVENT_STEP;
}

static void measure(int64_t batch, int32_t rank, const char *targets, bool recompute) {
    weft_error err;
    weft_trainer *t;
    weft_plan plan;
    weft_train_options o = weft_train_options_default();
    o.steps = 1;
    o.accumulate = 1;
    o.eval_every = 0;
    o.micro_tokens = batch;
    o.rank = rank;
    o.targets = targets;
    o.recompute = recompute ? WEFT_RECOMPUTE_ON : WEFT_RECOMPUTE_OFF;
    if (weft_trainer_create(base, data, &o, NULL, &t, &plan, &err)) fail_msg("%s", err.message);
    int rc = weft_trainer_run(t, stop, NULL, &err);
    if (rc && rc != WEFT_ERR_INTERRUPTED) fail_msg("%s", err.message);
    double held = (double)backend_bytes(base->be), share = (double)plan.total_bytes / held;
    print_message("batch %lld, rank %d, %s: %.1f MiB planned, %.1f MiB held\n", (long long)batch,
                  rank, recompute ? "computed again" : "kept", (double)plan.total_bytes / 0x1p20,
                  held / 0x1p20);
    assert_true(plan.on_gpu && plan.recompute == recompute);
    assert_true(fabs(share - 1) <= 0.05);
    weft_trainer_free(&t);
}

static void test_plan_is_what_it_takes(void **state) {
    (void)state;
    measure(32, 40, "q_proj,down_proj", false);
    measure(48, 2, "attn", true);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_plan_is_what_it_takes)};
    weft_model_options o = WEFT_MODEL_OPTIONS_DEFAULT;
    weft_dataset_options d = WEFT_DATASET_OPTIONS_DEFAULT;
    weft_error err;
    o.device = "gpu";
    d.context = 32;
    d.eval_share = 0;
    int rc = weft_model_load(MODEL, &o, &base, &err);
    if (!rc) rc = weft_dataset_read(base, MAILBOX, &d, &data, NULL, &err);
    if (rc) printf("%s\n", err.message);
    if (rc) return rc == WEFT_ERR_UNSUPPORTED ? 77 : 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    weft_dataset_free(&data);
    weft_model_free(&base);
    return failed;
}
