/* Training a small random model on a Vulkan device: the CPU's losses step by step, a run that goes
 * from the device to the CPU, and a device that is lost in the middle. Ends with 77 where there is
 * no device. */
#include "train/trainer_fixture.h"

#include "backend/vk_core.h"
#include "base/os.h"
#include "base/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { STEPS = 6, LOST_AT = 3 };

static char path[64];
static backend *gpu;

typedef struct run {
    backend *be;
    model *m;
    dataset *d;
    adapter *a;
    trainer *t;
    double losses[STEPS];
    bool lose; /* the device, after step LOST_AT */
} run;

static run open_run(backend *be, bool smooth) {
    run r = {.be = be, .d = random_data(10, 0, 19, 0)};
    weft_error err;
    config shape = small_shape();
    adapter_settings lora = {.rank = 4, .alpha = 8, .targets = (1u << TARGET_COUNT) - 1, .seed = 5};
    trainer_options o = {.steps = STEPS,
                         .micro_tokens = 32,
                         .accumulate = 2,
                         .optimiser = {.rate = 5e-3f,
                                       .beta1 = .9f,
                                       .beta2 = .999f,
                                       .epsilon = 1e-8f,
                                       .weight_decay = .01f,
                                       .clip = 1},
                         .schedule = SCHEDULE_COSINE,
                         .warmup_steps = 2,
                         .final_rate_share = .1,
                         .seed = 7,
                         .dropout = .1f,
                         .checkpoint_every = 1,
                         .smooth = smooth};
    ok(model_synthesise(&shape, 1, PACKING_FAST, be, &r.m, &err), &err);
    ok(adapter_create(&shape, be, &lora, &r.a, &err), &err);
    ok(trainer_create(r.m, r.d, r.a, &o, path, &r.t, &err), &err);
    return r;
}

static void close_run(run *r) {
    trainer_free(&r->t);
    adapter_free(&r->a);
    dataset_free(&r->d);
    model_free(&r->m);
}

static int on_event(void *context, const trainer_event *event) {
    run *r = context;
    if (event->kind == TRAINER_STEP) r->losses[event->step - 1] = event->loss;
    if (event->kind == TRAINER_CHECKPOINT && event->step == LOST_AT && r->lose)
        vk_fail(vk_of(r->be), "op_test", "", VK_ERROR_DEVICE_LOST);
    return 0;
}

static backend *make_cpu(void) {
    backend *be;
    backend_options one = {1, UINT32_MAX};
    assert_int_equal(backend_create_cpu(&one, &be, NULL), WEFT_OK);
    return be;
}

static void whole_run(backend *be, bool smooth, double losses[STEPS]) {
    weft_error err;
    run r = open_run(be, smooth);
    ok(trainer_run(r.t, on_event, &r, &err), &err);
    memcpy(losses, r.losses, sizeof r.losses);
    close_run(&r);
    unlink(path);
}

static void test_losses(void **state) {
    (void)state;
    for (int smooth = 0; smooth < 2; smooth++) {
        double want[STEPS], got[STEPS];
        backend *cpu = make_cpu();
        whole_run(cpu, smooth, want);
        whole_run(gpu, smooth, got);
        backend_free(&cpu);
        for (int i = 0; i < STEPS; i++)
            if (!(fabs(got[i] / want[i] - 1) <= (smooth ? 1e-4 : 1e-2)))
                fail_msg("smooth %d, step %d: %.9g, want %.9g", smooth, i + 1, got[i], want[i]);
    }
}

/* The last checkpoint is whole, and the run ends on the CPU as the CPU would have ended it. */
static void test_lost_device(void **state) {
    (void)state;
    double want[STEPS];
    weft_error err;
    backend *cpu = make_cpu();
    whole_run(cpu, true, want);
    run r = open_run(gpu, true);
    r.lose = true;
    assert_int_equal(trainer_run(r.t, on_event, &r, &err), WEFT_ERR_DEVICE);
    if (!strstr(err.message, "the device was lost") || !strstr(err.message, "last checkpoint"))
        fail_msg("%s", err.message);
    close_run(&r);
    run rest = open_run(cpu, true);
    ok(trainer_resume(rest.t, &err), &err);
    ok(trainer_run(rest.t, on_event, &rest, &err), &err);
    for (int i = LOST_AT; i < STEPS; i++)
        if (!(fabs(rest.losses[i] / want[i] - 1) <= 1e-4))
            fail_msg("step %d: %.9g, want %.9g", i + 1, rest.losses[i], want[i]);
    close_run(&rest);
    backend_free(&cpu);
    unlink(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_losses),
        cmocka_unit_test(test_lost_device),
    };
    vk_options o = {.device = -1, .tier_max = VK_TIER_BEST};
    weft_error err;
    snprintf(path, sizeof path, "/tmp/weft-vk-%d.safetensors", (int)getpid());
    int rc = backend_create_vk(&o, &gpu, &err);
    if (rc) printf("%s\n", err.message);
    if (rc) return rc == WEFT_ERR_UNSUPPORTED ? 77 : 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    backend_free(&gpu);
    return failed;
}
