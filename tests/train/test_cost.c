/* Bytes and operations of a small shape, counted by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "train/cost.h"

/* q 8x6, k and v 4x6, o 6x8, gate and up 10x6, down 6x10: 48 + 24 + 24 + 48 + 60 + 60 + 60 = 324
 * weights a layer, 648 in both; rows + columns: 14 + 10 + 10 + 14 + 16 + 16 + 16 = 96. */
static const config shape = {.layer_count = 2,
                             .hidden = 6,
                             .ffn = 10,
                             .heads = 4,
                             .kv_heads = 2,
                             .head_dim = 2,
                             .vocab = 11};

static void test_decode(void **state) {
    (void)state;
    /* Keys and values: 2 * 2 layers * 4 wide * 4 bytes = 64 bytes a token. */
    assert_true(cost_decode_bytes(&shape, 1230, 0) == 1230);
    assert_true(cost_decode_bytes(&shape, 1230, 5) == 1230 + 5 * 64);
}

static void test_prefill(void **state) {
    (void)state;
    cost_ops ops = cost_prefill(&shape, 3);
    assert_true(ops.ternary == 2 * 648 * 3);
    assert_true(ops.transposed == 0);
    /* 1 + 2 + 3 keys; two products of 2 layers * 8 wide; the head once: 11 * 6. */
    assert_true(ops.other == 2 * (2 * 16 * 6) + 2 * 66);
}

static void test_train(void **state) {
    (void)state;
    const uint32_t all = (1u << TARGET_COUNT) - 1;
    cost_ops once = cost_train(&shape, 1, 3, 5, all, false);
    assert_true(once.ternary == 2 * 648 * 3);
    assert_true(once.transposed == 2 * 648 * 3);
    double lora = 2 * 96 * 5 * 2 * 3, attention = 2 * 16 * 6, head = 2 * 66 * 3;
    assert_true(once.other == 3 * lora + 7 * attention + 2 * head);
    cost_ops again = cost_train(&shape, 1, 3, 5, all, true);
    assert_true(again.ternary == 2 * once.ternary);
    assert_true(again.transposed == once.transposed);
    assert_true(again.other == 4 * lora + 9 * attention + 2 * head);
    /* Rows do not see each other; the head and the products grow with the tokens. */
    cost_ops two = cost_train(&shape, 2, 3, 5, all, true);
    assert_true(two.ternary == 2 * again.ternary && two.other == 2 * again.other);
    cost_ops part = cost_train(&shape, 1, 3, 5, 1u << TARGET_Q, false);
    assert_true(part.other == 3 * (2 * 14 * 5 * 2 * 3) + 7 * attention + 2 * head);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_decode),
                                       cmocka_unit_test(test_prefill),
                                       cmocka_unit_test(test_train)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
