/* Measuring the peaks, and the loops of scalar C. */
#include "kernel/peak.h"

#include "base/os.h"
#include "kernel/kernel.h"
#include "kernel/peak_loop.h"

#include <stdlib.h>
#include <string.h>

#define PIECES       32 /* of a loop, a thread */
#define PIECE_ROUNDS 50000
#define PIECES_MAX   ((size_t)PIECES * POOL_THREADS_MAX)
/* A pause before each pass over memory: who has slept comes first, so that on a busy machine the
 * threads run at the same time now and then. */
#define PAUSE_NS      (UINT64_C(1) * 1000 * 1000)
#define PASSES_MIN    8
#define PASS_NS       (UINT64_C(500) * 1000 * 1000) /* for all of them */
#define READ_BYTES    ((size_t)256 << 20)
#define READ_STEP     ((size_t)1 << 20)
#define WORDS_AT_ONCE 8

#if defined(__x86_64__)
#define FLOAT_REGISTER "x"
#elif defined(__aarch64__)
#define FLOAT_REGISTER "w"
#else
#define FLOAT_REGISTER "m"
#endif

PEAK_LOOP(PEAK_PLAIN, multiply_add_int, int32_t, "r", 4, 1, sum + x * x)
PEAK_LOOP(PEAK_PLAIN, multiply_add_float, float, FLOAT_REGISTER, 8, 0.5f, sum *x + x)

void peak_find(peak_loops *loops, uint32_t flags) {
    peak_loop whole = {multiply_add_int, 4 * 2, "scalar int"};
    loops->of[PEAK_INT8] = loops->of[PEAK_INT16] = whole;
    loops->of[PEAK_F32] = (peak_loop){multiply_add_float, 8 * 2, "scalar float"};
    flags &= cpu_flags();
#if defined(__x86_64__)
    if (!(flags & CPU_AVX2)) return;
    peak_find_avx2(loops);
    if (flags & CPU_AVX512) peak_find_avx512(loops, flags);
#elif defined(__aarch64__)
    if (flags & CPU_NEON) peak_find_neon(loops, flags);
#endif
}

typedef struct pieces_run {
    peak_loop loop;
    uint64_t ns[PIECES_MAX];
} pieces_run;

static void run_pieces(void *context, int64_t begin, int64_t end, int worker) {
    pieces_run *run = context;
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        uint64_t start = os_thread_ns();
        run->loop.run(PIECE_ROUNDS);
        run->ns[i] = os_thread_ns() - start;
    }
}

static int compare_ns(const void *a, const void *b) {
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* The median piece in processor time: waiting for the processor does not count, what threads that
 * share a core take from each other does. */
double peak_measure(const peak_loop *loop, pool *threads) {
    int64_t count = pool_thread_count(threads), pieces = PIECES * count;
    pieces_run *run = os_alloc(sizeof *run);
    if (!run) return 0;
    run->loop = *loop;
    pool_run(threads, pieces, 1, run_pieces, run);
    qsort(run->ns, (size_t)pieces, sizeof *run->ns, compare_ns);
    uint64_t median = run->ns[pieces / 2];
    os_free(run);
    return (double)count * PIECE_ROUNDS * loop->ops / (double)(median ? median : 1) * 1e9;
}

static void read_steps(void *context, int64_t begin, int64_t end, int worker) {
    const uint64_t *words = context;
    uint64_t sums[WORDS_AT_ONCE] = {0};
    (void)worker;
    for (size_t i = (size_t)begin * READ_STEP / 8; i < (size_t)end * READ_STEP / 8;
         i += WORDS_AT_ONCE)
        for (size_t j = 0; j < WORDS_AT_ONCE; j++) sums[j] += words[i + j];
    __asm__ volatile("" : : "r"(sums) : "memory");
}

/* One thread alone is timed by its processor time: waiting for the processor does not count. */
static uint64_t read_clock_ns(const pool *threads) {
    return pool_thread_count(threads) == 1 ? os_thread_ns() : os_clock_ns();
}

double peak_measure_read(pool *threads) {
    uint64_t *words = os_alloc(READ_BYTES), best = UINT64_MAX;
    uint64_t begin = os_clock_ns();
    if (!words) return 0;
    memset(words, 1, READ_BYTES);
    for (int pass = 0; pass < PASSES_MIN || os_clock_ns() - begin < PASS_NS; pass++) {
        os_sleep_ns(PAUSE_NS);
        uint64_t start = read_clock_ns(threads);
        pool_run(threads, (int64_t)(READ_BYTES / READ_STEP), 1, read_steps, words);
        uint64_t ns = read_clock_ns(threads) - start;
        if (ns < best) best = ns;
    }
    os_free(words);
    return (double)READ_BYTES / (double)(best ? best : 1) * 1e9;
}
