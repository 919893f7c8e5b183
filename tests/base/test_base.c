/* The base layer: errors, byte strings, files, the atomic writer, memory, conversions, threads. */
#include "base/bytes.h"
#include "base/layout.h"
#include "base/os.h"
#include "base/pool.h"
#include "base/rng.h"

#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64];

static const char *in_folder(const char *name) {
    static char path[4][256];
    static int turn;
    char *p = path[turn++ & 3];
    snprintf(p, sizeof path[0], "%s/%s", folder, name);
    return p;
}

static int set_up(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/weft-test-base-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    return os_remove_tree(folder, NULL);
}

static void assert_content(const char *path, const char *expected) {
    char *data;
    size_t size;
    weft_error err;
    assert_int_equal(os_read_file(path, 1000, &data, &size, &err), WEFT_OK);
    assert_string_equal(data, expected);
    assert_int_equal(size, strlen(expected));
    free(data);
}

static void test_errors(void **state) {
    (void)state;
    weft_error err;
    assert_int_equal(err_set_at(&err, WEFT_ERR_FORMAT, 7, "bad %s", "thing"), WEFT_ERR_FORMAT);
    assert_int_equal(err.code, WEFT_ERR_FORMAT);
    assert_int_equal(err.offset, 7);
    err_prefix(&err, "file %d", 3);
    assert_string_equal(err.message, "file 3: bad thing");
    assert_int_equal(err_set(NULL, WEFT_ERR_IO, "nobody listens"), WEFT_ERR_IO);
    err_prefix(NULL, "nobody");
}

static void test_long_messages_are_cut(void **state) {
    (void)state;
    weft_error err;
    char text[2000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    err_set(&err, WEFT_ERR_IO, "%s", text);
    assert_int_equal(strlen(err.message), sizeof err.message - 1);
    err_prefix(&err, "front");
    assert_int_equal(strncmp(err.message, "front: xxx", 10), 0);
    assert_int_equal(strlen(err.message), sizeof err.message - 1);
}

static void test_bytes(void **state) {
    (void)state;
    bytes b = {0};
    for (int i = 0; i < 1000; i++) assert_true(bytes_printf(&b, "%03d", i));
    assert_int_equal(b.size, 3000);
    assert_int_equal(strncmp(b.data + 2997, "999", 4), 0);
    bytes_clear(&b);
    assert_true(bytes_add_text(&b, "ab") && bytes_add_char(&b, 'c') && bytes_add(&b, NULL, 0));
    assert_string_equal(b.data, "abc");
    bytes_free(&b);
    assert_null(b.data);
}

static void test_map(void **state) {
    (void)state;
    weft_error err;
    os_map map;
    assert_int_equal(os_write_file(in_folder("m"), "hello", 5, &err), WEFT_OK);
    assert_int_equal(os_map_open(in_folder("m"), &map, &err), WEFT_OK);
    assert_int_equal(map.size, 5);
    assert_memory_equal(map.data, "hello", 5);
    os_map_close(&map);
    assert_null(map.data);
    os_map_close(&map);
    assert_int_equal(os_write_file(in_folder("empty"), NULL, 0, &err), WEFT_OK);
    assert_int_equal(os_map_open(in_folder("empty"), &map, &err), WEFT_OK);
    assert_null(map.data);
    assert_int_equal(map.size, 0);
}

static void test_unreadable_paths(void **state) {
    (void)state;
    weft_error err;
    os_map map;
    char *data;
    size_t size;
    char expected[256];
    assert_int_equal(os_map_open(in_folder("none"), &map, &err), WEFT_ERR_IO);
    snprintf(expected, sizeof expected, "cannot open %s: No such file or directory",
             in_folder("none"));
    assert_string_equal(err.message, expected);
    assert_int_equal(os_map_open(folder, &map, &err), WEFT_ERR_IO);
    assert_non_null(strstr(err.message, "it is a folder, not a file"));
    assert_int_equal(mkfifo(in_folder("fifo"), 0600), 0);
    assert_int_equal(os_map_open(in_folder("fifo"), &map, &err), WEFT_ERR_IO);
    assert_non_null(strstr(err.message, "not a regular file"));
    assert_int_equal(os_read_file(in_folder("none"), 9, &data, &size, &err), WEFT_ERR_IO);
    assert_null(data);
}

static void test_read_limit(void **state) {
    (void)state;
    weft_error err;
    char *data;
    size_t size;
    os_write_file(in_folder("six"), "sixsix", 6, &err);
    assert_int_equal(os_read_file(in_folder("six"), 6, &data, &size, &err), WEFT_OK);
    assert_string_equal(data, "sixsix");
    free(data);
    assert_int_equal(os_read_file(in_folder("six"), 5, &data, &size, &err), WEFT_ERR_RANGE);
    assert_non_null(strstr(err.message, "has 6 bytes; at most 5 are read"));
}

static void test_writer_keeps_the_old_file(void **state) {
    (void)state;
    weft_error err;
    os_writer *w;
    const char *path = in_folder("kept");
    assert_int_equal(os_write_file(path, "old", 3, &err), WEFT_OK);
    assert_int_equal(os_writer_open(path, &w, &err), WEFT_OK);
    assert_int_equal(os_writer_write(w, "new", 3, &err), WEFT_OK);
    assert_int_equal(os_writer_offset(w), 3);
    assert_content(path, "old");
    os_writer_abort(&w);
    assert_null(w);
    os_writer_abort(&w);
    assert_content(path, "old");
    assert_false(os_is_file(in_folder("kept.partial")));
    assert_int_equal(os_write_file(path, "newer", 5, &err), WEFT_OK);
    assert_content(path, "newer");
    assert_false(os_is_file(in_folder("kept.partial")));
}

static void test_writer_large(void **state) {
    (void)state;
    weft_error err;
    os_writer *w;
    size_t size = 700001;
    uint8_t *data = malloc(size);
    for (size_t i = 0; i < size; i++) data[i] = (uint8_t)rng_at(1, i);
    assert_int_equal(os_writer_open(in_folder("large"), &w, &err), WEFT_OK);
    size_t at = 0; /* pieces below, at and above the buffer's size */
    const size_t pieces[] = {1, 262143, 262144, 5, 0, 100000};
    for (size_t i = 0; i < 6; at += pieces[i++])
        assert_int_equal(os_writer_write(w, data + at, pieces[i], &err), WEFT_OK);
    assert_int_equal(os_writer_write(w, data + at, size - at, &err), WEFT_OK);
    assert_int_equal(os_writer_offset(w), size);
    assert_int_equal(os_writer_commit(&w, &err), WEFT_OK);
    os_map map;
    assert_int_equal(os_map_open(in_folder("large"), &map, &err), WEFT_OK);
    assert_int_equal(map.size, size);
    assert_memory_equal(map.data, data, size);
    os_map_close(&map);
    free(data);
}

/* Whole pages of the part leave memory, the last of the file too; the contents come back. */
static void test_map_release(void **state) {
    (void)state;
    const size_t size = (24 << 20) + 5, begin = 100, count = size - begin;
    unsigned char *data = malloc(size);
    weft_error err;
    os_map map;
    assert_non_null(data);
    for (size_t i = 0; i < size; i++) data[i] = (unsigned char)(i * 7 >> 3);
    assert_int_equal(os_write_file(in_folder("released"), data, size, &err), WEFT_OK);
    assert_int_equal(os_map_open(in_folder("released"), &map, &err), WEFT_OK);
    assert_memory_equal(map.data, data, size);
    uint64_t before = os_rss_bytes();
    os_map_release(&map, map.data + begin, count);
    uint64_t after = os_rss_bytes();
    assert_true(before == 0 || after + (16 << 20) < before); /* 0: not known here */
    assert_memory_equal(map.data, data, size);
    os_map_release(&map, map.data + 1, 4000); /* no whole page */
    os_map_release(&map, map.data + size, 0);
    assert_memory_equal(map.data, data, size);
    os_map_close(&map);
    os_map_release(&map, NULL, 0);
    free(data);
}

static void test_two_writers(void **state) {
    (void)state;
    weft_error err;
    os_writer *first, *second;
    assert_int_equal(os_writer_open(in_folder("two"), &first, &err), WEFT_OK);
    assert_int_equal(os_writer_open(in_folder("two"), &second, &err), WEFT_ERR_IO);
    assert_null(second);
    assert_non_null(strstr(err.message, "another process is writing it"));
    assert_int_equal(os_writer_commit(&first, &err), WEFT_OK);
    assert_null(first);
}

static void test_stale_partial_file_is_taken_over(void **state) {
    (void)state;
    weft_error err;
    FILE *f = fopen(in_folder("stale.partial"), "w");
    fputs("left by a killed process, and longer than what follows", f);
    fclose(f);
    assert_int_equal(os_write_file(in_folder("stale"), "fresh", 5, &err), WEFT_OK);
    assert_content(in_folder("stale"), "fresh");
    assert_false(os_is_file(in_folder("stale.partial")));
}

/* A file size limit stands in for a full disk: the write fails with an errno in the same place. */
static void test_full_disk(void **state) {
    (void)state;
    weft_error err;
    os_writer *w;
    char *data = calloc(1, 600000);
    const char *path = in_folder("full");
    assert_int_equal(os_write_file(path, "old", 3, &err), WEFT_OK);
    struct rlimit old, low;
    getrlimit(RLIMIT_FSIZE, &old);
    low = (struct rlimit){100000, old.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &low);
    int whole = os_write_file(path, data, 600000, &err);
    int open = os_writer_open(path, &w, NULL);
    int small = os_writer_write(w, data, 200000, NULL); /* stays in the buffer */
    int commit = os_writer_commit(&w, NULL);
    setrlimit(RLIMIT_FSIZE, &old);
    free(data);
    assert_int_equal(whole, WEFT_ERR_IO);
    assert_non_null(strstr(err.message, "cannot write /tmp/weft-test-base"));
    assert_non_null(strstr(err.message, "File too large"));
    assert_int_equal(open, WEFT_OK);
    assert_int_equal(small, WEFT_OK);
    assert_int_equal(commit, WEFT_ERR_IO);
    assert_null(w);
    assert_content(path, "old");
    assert_false(os_is_file(in_folder("full.partial")));
}

static void test_writer_bad_places(void **state) {
    (void)state;
    weft_error err;
    os_writer *w;
    assert_int_equal(os_writer_open(in_folder("no/such/place"), &w, &err), WEFT_ERR_IO);
    assert_null(w);
    assert_non_null(strstr(err.message, "No such file or directory"));
    assert_int_equal(os_writer_open(folder, &w, &err), WEFT_ERR_IO);
    assert_non_null(strstr(err.message, "a folder of that name is there"));
    os_write_file(in_folder("target"), "safe", 4, &err);
    assert_int_equal(symlink("target", in_folder("trap.partial")), 0);
    assert_int_equal(os_writer_open(in_folder("trap"), &w, &err), WEFT_ERR_IO);
    assert_content(in_folder("target"), "safe");
}

static void test_folders(void **state) {
    (void)state;
    weft_error err;
    os_list list;
    assert_int_equal(os_make_dirs(in_folder("a/b//c/"), &err), WEFT_OK);
    assert_int_equal(os_make_dirs(in_folder("a/b/c"), &err), WEFT_OK);
    assert_true(os_is_dir(in_folder("a/b/c")));
    struct stat st;
    assert_int_equal(stat(in_folder("a"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    for (int i = 99; i >= 0; i--) {
        char name[32];
        snprintf(name, sizeof name, "a/b/%03d", i);
        assert_int_equal(os_write_file(in_folder(name), "", 0, &err), WEFT_OK);
    }
    assert_int_equal(os_list_dir(in_folder("a/b"), &list, &err), WEFT_OK);
    assert_int_equal(list.count, 101);
    assert_string_equal(list.names[0], "000");
    assert_string_equal(list.names[100], "c");
    os_list_free(&list);
    assert_int_equal(os_list_dir(in_folder("gone"), &list, &err), WEFT_ERR_IO);
    assert_int_equal(os_make_dirs(in_folder("a/b/000/d"), &err), WEFT_ERR_IO);
    assert_int_equal(os_make_dirs(in_folder("a/b/000"), &err), WEFT_ERR_IO);
}

static void test_remove_tree(void **state) {
    (void)state;
    weft_error err;
    os_make_dirs(in_folder("keep"), &err);
    os_write_file(in_folder("keep/me"), "x", 1, &err);
    os_make_dirs(in_folder("tree/deep/er"), &err);
    os_write_file(in_folder("tree/deep/er/file"), "x", 1, &err);
    assert_int_equal(symlink("../keep", in_folder("tree/link")), 0);
    assert_int_equal(os_remove_tree(in_folder("tree"), &err), WEFT_OK);
    assert_false(os_is_dir(in_folder("tree")));
    assert_true(os_is_file(in_folder("keep/me")));
    assert_int_equal(os_remove_tree(in_folder("tree"), &err), WEFT_OK);
}

static void test_alloc(void **state) {
    (void)state;
    for (size_t size = 0; size < 5000; size += 37) {
        uint8_t *p = os_alloc(size);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 64, 0);
        for (size_t i = 0; i < round_up(size, 64); i++) assert_int_equal(p[i], 0);
        memset(p, 1, round_up(size, 64));
        os_free(p);
    }
    os_free(NULL);
    assert_null(os_alloc(SIZE_MAX));
    assert_null(os_alloc(SIZE_MAX - 100));
}

static void test_machine_facts(void **state) {
    (void)state;
    assert_true(os_core_count() >= 1);
    uint64_t before = os_clock_ns();
    assert_true(os_clock_ns() >= before);
    assert_true(os_memory_bytes() > (1u << 20));
    assert_true(os_free_memory_bytes() > (1u << 20));
    assert_true(os_free_memory_bytes() <= os_memory_bytes());
    assert_true(os_peak_rss_bytes() >= 100000);
    assert_true(os_rss_bytes() >= 100000);
}

/* Value of a half by its definition. */
static double half_value(uint16_t h) {
    int exponent = h >> 10 & 31, mantissa = h & 0x3ff;
    double sign = h & 0x8000 ? -1 : 1;
    if (exponent == 31) return mantissa ? NAN : sign * INFINITY;
    if (exponent == 0) return sign * ldexp(mantissa, -24);
    return sign * ldexp(1024 + mantissa, exponent - 25);
}

static void test_f16_every_value(void **state) {
    (void)state;
    for (uint32_t h = 0; h < 0x10000; h++) {
        float f = f16_to_f32((uint16_t)h);
        double expected = half_value((uint16_t)h);
        if (isnan(expected)) {
            assert_true(isnan(f));
            assert_true(isnan(f16_to_f32(f16_from_f32(f))));
            continue;
        }
        assert_true((double)f == expected && !!signbit(f) == (h >= 0x8000));
        assert_int_equal(f16_from_f32(f), h);
    }
}

/* Between two neighbours rounding goes to the nearer, and to the even one from the middle. */
static void test_f16_rounding(void **state) {
    (void)state;
    for (uint32_t h = 0; h < 0x7c00; h++) {
        float low = f16_to_f32((uint16_t)h);
        float high = h == 0x7bff ? 65536.0f : f16_to_f32((uint16_t)(h + 1));
        float middle = low + (high - low) / 2; /* exact: one bit more than a half has */
        uint32_t even = h & 1 ? h + 1 : h;
        assert_int_equal(f16_from_f32(middle), even);
        assert_int_equal(f16_from_f32(nextafterf(middle, 0)), h);
        assert_int_equal(f16_from_f32(nextafterf(middle, 1e9f)), h + 1);
        assert_int_equal(f16_from_f32(-middle), even | 0x8000);
    }
    assert_int_equal(f16_from_f32(1e9f), 0x7c00);
    assert_int_equal(f16_from_f32(-INFINITY), 0xfc00);
    assert_int_equal(f16_from_f32(1e-30f), 0);
}

static void test_bf16(void **state) {
    (void)state;
    for (uint32_t h = 0; h < 0x10000; h++) {
        float f = bf16_to_f32((uint16_t)h);
        assert_int_equal(f32_to_bits(f), h << 16);
        if (isnan(f)) {
            assert_true(isnan(bf16_to_f32(bf16_from_f32(f))));
            continue;
        }
        assert_int_equal(bf16_from_f32(f), h);
        if (isinf(f)) continue;
        uint32_t even = h & 1 ? h + 1 : h;
        assert_int_equal(bf16_from_f32(f32_from_bits(h << 16 | 0x8000)), even);
        assert_int_equal(bf16_from_f32(f32_from_bits(h << 16 | 0x7fff)), h);
        assert_int_equal(bf16_from_f32(f32_from_bits(h << 16 | 0x8001)), h + 1);
    }
    assert_true(isnan(bf16_to_f32(bf16_from_f32(f32_from_bits(0x7f800001)))));
}

static void test_ternary_pack(void **state) {
    (void)state;
    enum { ROWS = 3, COLS = 300 };
    assert_int_equal(ternary_padded(COLS), 384);
    assert_int_equal(ternary_row_bytes(COLS), 96);
    assert_int_equal(ternary_row_bytes(128), 32);
    uint8_t codes[ROWS][96], values[ROWS][384];
    for (int r = 0; r < ROWS; r++) {
        for (int c = 0; c < 384; c++)
            values[r][c] = c < COLS ? (uint8_t)rng_below(5, (uint64_t)(r * 384 + c), 3) : 1;
        for (int b = 0; b < 3; b++) ternary_pack_block(values[r] + 128 * b, codes[r] + 32 * b);
    }
    ternary_matrix w = {codes[0], ROWS, COLS, 1, TERNARY_FAST};
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < COLS; c++)
            assert_int_equal(ternary_get(&w, r, c), (int)values[r][c] - 1);
    uint8_t zeros[128], block[32];
    memset(zeros, 1, sizeof zeros);
    ternary_pack_block(zeros, block);
    for (int p = 0; p < 32; p++) assert_int_equal(block[p], TERNARY_ZERO_BYTE);
}

/* Both packings hold the same values, in rows of any length; tight bytes stay in their range. */
static void test_ternary_tight(void **state) {
    (void)state;
    static const int64_t lengths[] = {1, 25, 26, 31, 127, 128, 129, 300, 1001};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        int64_t cols = lengths[i], padded = ternary_padded(cols);
        uint8_t values[1024], codes[2][256];
        ternary_matrix w[2] = {{codes[0], 1, padded, 1, TERNARY_FAST},
                               {codes[1], 1, padded, 1, TERNARY_TIGHT}};
        size_t row_bytes = ternary_row_bytes_of(TERNARY_TIGHT, cols);
        assert_int_equal(row_bytes, padded / 128 * 26);
        assert_int_equal(ternary_row_bytes_of(TERNARY_FAST, cols), ternary_row_bytes(cols));
        for (int k = 0; k < padded; k++)
            values[k] = k < cols ? (uint8_t)rng_below(6, (uint64_t)k, 3) : 1;
        for (int b = 0; b < padded / 128; b++) {
            ternary_pack(TERNARY_FAST, values + 128 * b, codes[0] + 32 * b);
            ternary_pack(TERNARY_TIGHT, values + 128 * b, codes[1] + 26 * b);
        }
        for (size_t k = 0; k < row_bytes; k++) assert_true(codes[1][k] <= TERNARY_TIGHT_MAX);
        for (int k = 0; k < padded; k++) {
            assert_int_equal(ternary_get(&w[0], 0, k), (int)values[k] - 1);
            assert_int_equal(ternary_get(&w[1], 0, k), (int)values[k] - 1);
        }
    }
}

/* Each of the 243 bytes in its place, written out by hand. */
static void test_tight_bytes(void **state) {
    (void)state;
    for (int byte = 0; byte <= TERNARY_TIGHT_MAX; byte++) {
        uint8_t codes[128], block[26];
        memset(codes, 1, sizeof codes);
        codes[3] = (uint8_t)(byte / 81);
        codes[35] = (uint8_t)(byte / 27 % 3);
        codes[67] = (uint8_t)(byte / 9 % 3);
        codes[99] = (uint8_t)(byte / 3 % 3);
        codes[127] = (uint8_t)(byte % 3); /* g = 5, n = 3: (10 + 20 + 3) % 26 */
        ternary_pack_tight_block(codes, block);
        assert_int_equal(block[3], byte / 3 * 3 + 1);
        assert_int_equal(block[7], 120 + byte % 3);
        assert_int_equal(block[8], 120);
        assert_int_equal(block[9], 120);
        for (int p = 10; p < 26; p++) assert_int_equal(block[p], 121);
    }
}

static void test_rng(void **state) {
    (void)state;
    uint64_t sum = 0;
    for (uint64_t i = 0; i < 10000; i++) {
        float u = rng_uniform(1, i);
        assert_true(u >= 0 && u < 1);
        uint64_t n = rng_below(2, i, 7);
        assert_true(n < 7);
        sum += n;
    }
    assert_true(sum > 29000 && sum < 31000);
    assert_int_not_equal(rng_split(1, 0), rng_split(1, 1));
}

typedef struct tally {
    int64_t count, grain;
    int thread_count;
    uint8_t *seen; /* (count) times each item was handled; each by one thread only */
    int bad;       /* chunks of a wrong shape */
} tally;

static void count_items(void *context, int64_t begin, int64_t end, int worker) {
    tally *t = context;
    int64_t full = begin + t->grain < t->count ? begin + t->grain : t->count;
    bool good = begin % t->grain == 0 && end == full && worker >= 0 && worker < t->thread_count;
    if (!good) __atomic_add_fetch(&t->bad, 1, __ATOMIC_RELAXED);
    for (int64_t i = begin; i < end; i++) t->seen[i]++;
}

static void check_loop(pool *p, int64_t count, int64_t grain) {
    tally t = {count, grain, pool_thread_count(p), calloc(1, (size_t)count + 1), 0};
    pool_run(p, count, grain, count_items, &t);
    assert_int_equal(t.bad, 0);
    for (int64_t i = 0; i < count; i++) assert_int_equal(t.seen[i], 1);
    assert_int_equal(t.seen[count], 0);
    free(t.seen);
}

static void test_pool(void **state) {
    (void)state;
    weft_error err;
    const int thread_counts[] = {1, 2, 3, 4, 9};
    for (size_t n = 0; n < 5; n++) {
        pool *p;
        assert_int_equal(pool_create(thread_counts[n], &p, &err), WEFT_OK);
        assert_int_equal(pool_thread_count(p), thread_counts[n]);
        for (int64_t count = 0; count < 70; count++)
            for (int64_t grain = 1; grain < 12; grain += 5) check_loop(p, count, grain);
        check_loop(p, 100000, 7);
        check_loop(p, 10, INT64_MAX);
        usleep(2000); /* let the workers fall asleep, then wake them */
        check_loop(p, 5000, 1);
        pool_free(&p);
        assert_null(p);
        pool_free(&p);
    }
}

static void test_pool_many_short_loops(void **state) {
    (void)state;
    weft_error err;
    pool *p;
    assert_int_equal(pool_create(4, &p, &err), WEFT_OK);
    for (int i = 0; i < 5000; i++) check_loop(p, i % 9, 1);
    pool_free(&p);
    for (int i = 0; i < 50; i++) { /* freed before or while the workers start */
        assert_int_equal(pool_create(3, &p, &err), WEFT_OK);
        if (i & 1) check_loop(p, 3, 1);
        pool_free(&p);
    }
}

/* Each chunk waits for the others to have begun, so this ends only if all threads take part. */
static void meet(void *context, int64_t begin, int64_t end, int worker) {
    int *arrived = context;
    (void)begin;
    (void)end;
    (void)worker;
    __atomic_add_fetch(arrived, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(arrived, __ATOMIC_SEQ_CST) < 3) usleep(10);
}

static void test_pool_runs_in_parallel(void **state) {
    (void)state;
    weft_error err;
    pool *p;
    assert_int_equal(pool_create(3, &p, &err), WEFT_OK);
    for (int i = 0; i < 20; i++) {
        int arrived = 0;
        pool_run(p, 3, 1, meet, &arrived);
        assert_int_equal(arrived, 3);
    }
    pool_free(&p);
}

static void test_pool_counts(void **state) {
    (void)state;
    weft_error err;
    pool *p;
    assert_int_equal(pool_create(-1, &p, &err), WEFT_ERR_ARGUMENT);
    assert_null(p);
    assert_string_equal(err.message, "-1 threads asked for; give 1 to 256, or 0 for all");
    assert_int_equal(pool_create(POOL_THREADS_MAX + 1, &p, &err), WEFT_ERR_ARGUMENT);
    assert_int_equal(pool_create(0, &p, &err), WEFT_OK);
    assert_int_equal(pool_thread_count(p), os_core_count());
    pool_free(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_long_messages_are_cut),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_map),
        cmocka_unit_test(test_unreadable_paths),
        cmocka_unit_test(test_read_limit),
        cmocka_unit_test(test_writer_keeps_the_old_file),
        cmocka_unit_test(test_writer_large),
        cmocka_unit_test(test_map_release),
        cmocka_unit_test(test_two_writers),
        cmocka_unit_test(test_stale_partial_file_is_taken_over),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_writer_bad_places),
        cmocka_unit_test(test_folders),
        cmocka_unit_test(test_remove_tree),
        cmocka_unit_test(test_alloc),
        cmocka_unit_test(test_machine_facts),
        cmocka_unit_test(test_f16_every_value),
        cmocka_unit_test(test_f16_rounding),
        cmocka_unit_test(test_bf16),
        cmocka_unit_test(test_ternary_pack),
        cmocka_unit_test(test_ternary_tight),
        cmocka_unit_test(test_tight_bytes),
        cmocka_unit_test(test_rng),
        cmocka_unit_test(test_pool),
        cmocka_unit_test(test_pool_many_short_loops),
        cmocka_unit_test(test_pool_runs_in_parallel),
        cmocka_unit_test(test_pool_counts),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
