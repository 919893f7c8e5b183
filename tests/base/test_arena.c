/* The arena: alignment, zeroing, the limit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/arena.h"

#include <string.h>

static void test_pieces(void **state) {
    (void)state;
    arena a;
    weft_error err;
    arena_init(&a, 1 << 20);
    for (size_t size = 0; size < 40000; size = size * 3 + 1) {
        unsigned char *p = arena_alloc(&a, size, 1, &err);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 16, 0);
        for (size_t i = 0; i < size; i++) assert_int_equal(p[i], 0);
        memset(p, 0xff, size); /* a neighbour that overlaps would no longer be zero */
    }
    assert_string_equal(arena_copy(&a, "abc", 2, &err), "ab");
    arena_free(&a);
    assert_int_equal(a.used_bytes, 0);
    assert_non_null(arena_alloc(&a, 1, 8, &err));
    arena_free(&a);
}

static void test_limit(void **state) {
    (void)state;
    arena a;
    weft_error err = {0};
    arena_init(&a, 1000);
    assert_null(arena_alloc(&a, 1001, 1, &err));
    assert_int_equal(err.code, WEFT_ERR_RANGE);
    assert_string_equal(err.message, "more than 1000 bytes of memory would be needed");
    assert_null(arena_alloc(&a, SIZE_MAX / 2, 3, &err));
    assert_null(arena_alloc(&a, SIZE_MAX, 1, NULL));
    int pieces = 0;
    while (arena_alloc(&a, 1, 100, &err)) pieces++;
    assert_true(pieces >= 7 && pieces <= 8); /* 112 bytes each, once rounded up */
    arena_free(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_pieces), cmocka_unit_test(test_limit)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
