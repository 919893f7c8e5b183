/* Intervals, quantiles and sums, against values worked out elsewhere. */
#include "eval/statistics.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void near(double found, double wanted, double tolerance) {
    if (!(fabs(found - wanted) <= tolerance)) fail_msg("%.9g, not %.9g", found, wanted);
}

static void test_shares(void **state) {
    (void)state;
    share s = share_of(8, 10); /* Wilson: 0.4901625, 0.9433178 */
    near(s.value, 0.8, 1e-12);
    near(s.low, 0.4901625, 1e-6);
    near(s.high, 0.9433178, 1e-6);
    s = share_of(0, 20); /* an interval even where nothing was right: z^2 / (n + z^2) */
    near(s.low, 0, 1e-12);
    near(s.high, 0.1611252, 1e-6);
    s = share_of(20, 20);
    near(s.low, 0.8388748, 1e-6);
    near(s.high, 1, 1e-12);
    assert_true(isnan(share_of(0, 0).value) && isnan(share_of(0, 0).low));
}

static void test_quantiles(void **state) {
    (void)state;
    double values[] = {5, 1, 3, 2, 4};
    near(quantile(values, 5, 0.5), 3, 0);
    near(quantile(values, 5, 0), 1, 0);
    near(quantile(values, 5, 1), 5, 0);
    near(quantile(values, 5, 0.625), 3.5, 1e-12);
    double one[] = {7};
    near(quantile(one, 1, 0.3), 7, 0);
}

static void test_log_sum_exp(void **state) {
    (void)state;
    float values[] = {1000, 999, 998}, best;
    near(log_sum_exp(values, 3, &best), 1000 + log(1 + exp(-1) + exp(-2)), 1e-6);
    near((double)best, 1000, 0);
    float low[] = {-1000, -INFINITY};
    near(log_sum_exp(low, 2, &best), -1000, 1e-9);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_shares),
                                       cmocka_unit_test(test_quantiles),
                                       cmocka_unit_test(test_log_sum_exp)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
