/* Checkpoint files: what was saved comes back, and nothing else is ever taken for it. */
#include "train/checkpoint.h"

#include "base/os.h"
#include "format/safetensors.h"

#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define PARAMS 6

static char folder[64], path[96];

static const checkpoint_setting settings[] = {
    {"model", "0123456789abcdef"}, {"rank", "8"}, {"learning rate", "0.000200000009"}};
#define SETTINGS (sizeof settings / sizeof *settings)

static float params[PARAMS] = {1, -2, 3.5f, 0, 1e-30f, -7}, moment1[PARAMS] = {.5f},
             moment2[PARAMS] = {0, .25f}, best[PARAMS] = {9, 8, 7, 6, 5, 4},
             losses[3] = {4, 3.5f, 3.25f};
static int64_t eval_steps[2] = {0, 3};
static double eval_losses[2] = {4.5, 3.75};

static checkpoint sample(void) {
    return (checkpoint){.step = 3,
                        .tokens_seen = 12345,
                        .param_count = PARAMS,
                        .params = params,
                        .moment1 = moment1,
                        .moment2 = moment2,
                        .best = best,
                        .losses = losses,
                        .eval_count = 2,
                        .eval_steps = eval_steps,
                        .eval_losses = eval_losses};
}

static void save_sample(void) {
    checkpoint c = sample();
    weft_error err;
    int rc = checkpoint_save(path, &c, settings, SETTINGS, &err);
    if (rc) fail_msg("%s", err.message);
}

static int load(checkpoint *c, weft_error *err) {
    *c = (checkpoint){.param_count = PARAMS};
    return checkpoint_load(path, settings, SETTINGS, c, err);
}

static void test_round_trip(void **state) {
    (void)state;
    checkpoint c;
    weft_error err;
    save_sample();
    int rc = load(&c, &err);
    if (rc) fail_msg("%s", err.message);
    assert_int_equal(c.step, 3);
    assert_int_equal(c.tokens_seen, 12345);
    assert_int_equal(c.eval_count, 2);
    assert_memory_equal(c.params, params, sizeof params);
    assert_memory_equal(c.moment1, moment1, sizeof moment1);
    assert_memory_equal(c.moment2, moment2, sizeof moment2);
    assert_memory_equal(c.best, best, sizeof best);
    assert_memory_equal(c.losses, losses, sizeof losses);
    assert_memory_equal(c.eval_steps, eval_steps, sizeof eval_steps);
    assert_memory_equal(c.eval_losses, eval_losses, sizeof eval_losses);
    checkpoint_free(&c);
    checkpoint_free(&c);
}

/* At step 0, and without evaluations, some arrays are empty. */
static void test_empty_arrays(void **state) {
    (void)state;
    checkpoint c = sample();
    weft_error err;
    c.step = c.eval_count = 0;
    c.losses = c.best = NULL;
    assert_int_equal(checkpoint_save(path, &c, settings, SETTINGS, &err), WEFT_OK);
    int rc = load(&c, &err);
    if (rc) fail_msg("%s", err.message);
    assert_int_equal(c.step, 0);
    assert_null(c.best);
    assert_null(c.losses);
    assert_memory_equal(c.params, params, sizeof params);
    checkpoint_free(&c);
}

static void read_file(char **data, size_t *size) {
    weft_error err;
    assert_int_equal(os_read_file(path, 1 << 20, data, size, &err), WEFT_OK);
}

static void assert_refused(const char *data, size_t size) {
    checkpoint c;
    weft_error err = {0};
    assert_int_equal(os_write_file(path, data, size, &err), WEFT_OK);
    int rc = load(&c, &err);
    if (!rc) fail_msg("a damaged checkpoint was read");
    assert_true(rc == WEFT_ERR_FORMAT || rc == WEFT_ERR_UNSUPPORTED || rc == WEFT_ERR_RANGE);
    assert_true(strlen(err.message) > 10);
    assert_null(c.params);
}

static void test_truncation(void **state) {
    (void)state;
    char *data;
    size_t size;
    save_sample();
    read_file(&data, &size);
    for (size_t cut = 0; cut < size; cut += cut < 32 || cut > size - 32 ? 1 : 13)
        assert_refused(data, cut);
    free(data);
}

/* Every bit of the file, header and padding included. */
static void test_bit_flips(void **state) {
    (void)state;
    char *data;
    size_t size;
    save_sample();
    read_file(&data, &size);
    /* One byte in place each time: thousands of files written whole would take minutes. */
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    for (size_t bit = 0; bit < 8 * size; bit++) {
        checkpoint c;
        weft_error err;
        off_t at = (off_t)(bit / 8);
        char flipped = (char)(data[at] ^ 1 << bit % 8);
        assert_int_equal(pwrite(fd, &flipped, 1, at), 1);
        if (!load(&c, &err)) fail_msg("bit %zu of byte %zu can change unnoticed", bit % 8, bit / 8);
        assert_int_equal(pwrite(fd, &data[at], 1, at), 1);
    }
    close(fd);
    checkpoint c;
    weft_error err;
    assert_int_equal(load(&c, &err), WEFT_OK);
    checkpoint_free(&c);
    free(data);
}

static void test_other_run(void **state) {
    (void)state;
    checkpoint c = {.param_count = PARAMS};
    weft_error err;
    checkpoint_setting other[SETTINGS];
    save_sample();
    memcpy(other, settings, sizeof settings);
    strcpy(other[1].value, "16");
    assert_int_equal(checkpoint_load(path, other, SETTINGS, &c, &err), WEFT_ERR_STATE);
    assert_non_null(strstr(err.message, "its rank is 8, this run's is 16"));
    assert_non_null(strstr(err.message, path));
    strcpy(other[0].value, "fedcba9876543210");
    assert_int_equal(checkpoint_load(path, other, SETTINGS, &c, &err), WEFT_ERR_STATE);
    assert_non_null(strstr(err.message, "its model is 0123456789abcdef"));
    assert_non_null(strstr(err.message, "this run's is fedcba9876543210"));
    /* An adapter of another size that claims the same settings. */
    c.param_count = PARAMS + 1;
    assert_int_equal(checkpoint_load(path, settings, SETTINGS, &c, &err), WEFT_ERR_FORMAT);
    assert_non_null(strstr(err.message, "params"));
}

static void test_not_a_checkpoint(void **state) {
    (void)state;
    checkpoint c;
    weft_error err;
    unlink(path);
    assert_int_equal(load(&c, &err), WEFT_ERR_IO);
    assert_non_null(strstr(err.message, path));
    tensor_view t = {.name = "params",
                     .type = TENSOR_F32,
                     .dim_count = 1,
                     .shape = {PARAMS},
                     .data = (const uint8_t *)params,
                     .size_bytes = sizeof params};
    assert_int_equal(safetensors_save(path, &t, 1, NULL, 0, &err), WEFT_OK);
    assert_int_equal(load(&c, &err), WEFT_ERR_FORMAT);
    assert_non_null(strstr(err.message, "is no checkpoint of a training run"));
}

/* A right checksum over senseless numbers is refused too. */
static void test_senseless_values(void **state) {
    (void)state;
    checkpoint c = sample();
    weft_error err;
    float bad[PARAMS] = {1, 2, NAN};
    c.moment2 = bad;
    assert_int_equal(checkpoint_save(path, &c, settings, SETTINGS, &err), WEFT_OK);
    assert_int_equal(load(&c, &err), WEFT_ERR_FORMAT);
    assert_non_null(strstr(err.message, "moment2"));
    int64_t late[2] = {0, 4}, falling[2] = {2, 2};
    c = sample();
    c.eval_steps = late;
    assert_int_equal(checkpoint_save(path, &c, settings, SETTINGS, &err), WEFT_OK);
    assert_int_equal(load(&c, &err), WEFT_ERR_FORMAT);
    c = sample();
    c.eval_steps = falling;
    assert_int_equal(checkpoint_save(path, &c, settings, SETTINGS, &err), WEFT_OK);
    assert_int_equal(load(&c, &err), WEFT_ERR_FORMAT);
    assert_non_null(strstr(err.message, "eval_steps"));
}

/* A failed save leaves the old file as it was, and a writer that was killed does not stand in the
 * way. */
static void test_failed_save_keeps_the_old(void **state) {
    (void)state;
    char *before, *after, partial[128];
    size_t size, size_after;
    weft_error err;
    save_sample();
    read_file(&before, &size);
    snprintf(partial, sizeof partial, "%s.partial", path);
    assert_int_equal(os_make_dirs(partial, &err), WEFT_OK);
    checkpoint c = sample();
    assert_int_equal(checkpoint_save(path, &c, settings, SETTINGS, &err), WEFT_ERR_IO);
    read_file(&after, &size_after);
    assert_int_equal(size, size_after);
    assert_memory_equal(before, after, size);
    assert_int_equal(os_remove_tree(partial, &err), WEFT_OK);
    free(after);
    FILE *f = fopen(partial, "wb");
    assert_non_null(f);
    assert_true(fputs("half a checkpoint", f) >= 0);
    fclose(f);
    save_sample();
    read_file(&after, &size_after);
    assert_int_equal(size, size_after);
    assert_memory_equal(before, after, size);
    free(before);
    free(after);
}

static int set_up(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/weft-test-checkpoint-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/run.checkpoint", folder);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    return os_remove_tree(folder, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),       cmocka_unit_test(test_empty_arrays),
        cmocka_unit_test(test_truncation),       cmocka_unit_test(test_bit_flips),
        cmocka_unit_test(test_other_run),        cmocka_unit_test(test_not_a_checkpoint),
        cmocka_unit_test(test_senseless_values), cmocka_unit_test(test_failed_save_keeps_the_old),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
