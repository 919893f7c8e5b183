/* A parallel loop over POSIX threads. One atomic word says whether a loop is open, which one, and
 * how many workers are inside it: workers join an open loop, take chunks and leave; the caller
 * takes chunks too, closes the loop when there are none left, and waits for those inside. A worker
 * that wakes too late finds the loop closed and goes back to sleep, so a short loop never waits for
 * a sleeping thread.
 *
 * The chunks are dealt out in parts of neighbours, one a thread: a thread that goes through its own
 * part reads memory front to back. Who has finished helps the others. */
#include "base/pool.h"

#include "base/os.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Bits of `state`: 0-15 workers inside, 16 open, 17.. number of the loop. */
#define INSIDE_MASK ((uint64_t)0xffff)
#define OPEN_BIT    ((uint64_t)1 << 16)
#define LOOP_SHIFT  17

/* Pauses before a thread sleeps: some tens of microseconds, which bridges the gap between the loops
 * of one token. */
#define SPIN_COUNT 2000

typedef struct worker {
    pool *owner;
    pthread_t thread;
    int index;
} worker;

/* The chunks [next, end) of the current loop that are left to one thread; a line of its own. */
typedef struct part {
    _Alignas(64) atomic_int_fast64_t next;
    int64_t end;
} part;

struct pool {
    int thread_count;
    part *parts;     /* (thread_count) */
    worker *workers; /* (thread_count - 1) */
    pthread_mutex_t lock;
    pthread_cond_t wake, left;
    atomic_int sleepers;
    atomic_bool stop;

    /* The current loop; written only while it is closed and empty. */
    pool_body body;
    void *context;
    int64_t count, grain, chunks;

    _Alignas(64) atomic_uint_fast64_t state;
};

static void pause_cpu(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void run_chunk(const pool *p, int64_t chunk, int index) {
    int64_t begin = chunk * p->grain;
    int64_t end = p->count - begin < p->grain ? p->count : begin + p->grain;
    p->body(p->context, begin, end, index);
}

static void run_chunks(pool *p, int index) {
    for (int i = 0; i < p->thread_count; i++) {
        part *from = &p->parts[(index + i) % p->thread_count];
        while (atomic_load_explicit(&from->next, memory_order_relaxed) < from->end) {
            int64_t chunk = atomic_fetch_add_explicit(&from->next, 1, memory_order_relaxed);
            if (chunk < from->end) run_chunk(p, chunk, index);
        }
    }
}

static bool is_new(uint64_t state, uint64_t last_loop) {
    return (state & OPEN_BIT) && state >> LOOP_SHIFT != last_loop;
}

/* Wait, first spinning, then asleep, until a loop other than last_loop is open. False: time to end.
 */
static bool wait_for_loop(pool *p, uint64_t last_loop) {
    for (int i = 0; i < SPIN_COUNT; i++) {
        if (is_new(atomic_load(&p->state), last_loop)) return true;
        if (atomic_load(&p->stop)) return false;
        pause_cpu();
    }
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->sleepers, 1);
    while (!atomic_load(&p->stop) && !is_new(atomic_load(&p->state), last_loop))
        pthread_cond_wait(&p->wake, &p->lock);
    atomic_fetch_sub(&p->sleepers, 1);
    pthread_mutex_unlock(&p->lock);
    return !atomic_load(&p->stop);
}

static void leave_loop(pool *p) {
    uint64_t before = atomic_fetch_sub(&p->state, 1);
    if ((before & INSIDE_MASK) != 1 || (before & OPEN_BIT)) return;
    pthread_mutex_lock(&p->lock); /* the caller may be asleep between its check and its wait */
    pthread_cond_signal(&p->left);
    pthread_mutex_unlock(&p->lock);
}

static void *worker_main(void *argument) {
    const worker *self = argument;
    pool *p = self->owner;
    uint64_t last_loop = 0;
    while (wait_for_loop(p, last_loop)) {
        uint64_t state = atomic_load(&p->state);
        if (!is_new(state, last_loop)) continue;
        if (!atomic_compare_exchange_strong(&p->state, &state, state + 1)) continue;
        last_loop = state >> LOOP_SHIFT;
        run_chunks(p, self->index);
        leave_loop(p);
    }
    return NULL;
}

static void wake_all(pool *p) {
    pthread_mutex_lock(&p->lock);
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
}

/* Join the first `started` workers and free everything. */
static void stop_and_free(pool *p, int started) {
    atomic_store(&p->stop, true);
    wake_all(p);
    for (int i = 0; i < started; i++) pthread_join(p->workers[i].thread, NULL);
    pthread_cond_destroy(&p->left);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    free(p->workers);
    os_free(p->parts);
    os_free(p);
}

int pool_create(int thread_count, pool **out, weft_error *err) {
    *out = NULL;
    if (thread_count < 0 || thread_count > POOL_THREADS_MAX)
        return err_set(err, WEFT_ERR_ARGUMENT, "%d threads asked for; give 1 to %d, or 0 for all",
                       thread_count, POOL_THREADS_MAX);
    if (thread_count == 0) thread_count = os_core_count();
    if (thread_count > POOL_THREADS_MAX) thread_count = POOL_THREADS_MAX;
    pool *p = os_alloc(sizeof *p);
    worker *workers = calloc((size_t)thread_count, sizeof *workers);
    part *parts = os_alloc((size_t)thread_count * sizeof *parts);
    if (!p || !workers || !parts) {
        os_free(p);
        os_free(parts);
        free(workers);
        return err_set(err, WEFT_ERR_MEMORY, "out of memory for %d threads", thread_count);
    }
    p->thread_count = thread_count;
    p->workers = workers;
    p->parts = parts;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    pthread_cond_init(&p->left, NULL);
    for (int i = 0; i < thread_count - 1; i++) {
        workers[i] = (worker){.owner = p, .index = i + 1};
        int code = pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]);
        if (code) {
            stop_and_free(p, i);
            return err_set(err, WEFT_ERR_MEMORY, "cannot start thread %d of %d: %s; use fewer",
                           i + 2, thread_count, strerror(code));
        }
    }
    *out = p;
    return WEFT_OK;
}

void pool_free(pool **p) {
    if (!*p) return;
    stop_and_free(*p, (*p)->thread_count - 1);
    *p = NULL;
}

int pool_thread_count(const pool *p) {
    return p->thread_count;
}

static bool is_empty(pool *p) {
    return (atomic_load(&p->state) & INSIDE_MASK) == 0;
}

static void wait_until_empty(pool *p) {
    for (int i = 0; i < SPIN_COUNT; i++) {
        if (is_empty(p)) return;
        pause_cpu();
    }
    pthread_mutex_lock(&p->lock);
    while (!is_empty(p)) pthread_cond_wait(&p->left, &p->lock);
    pthread_mutex_unlock(&p->lock);
}

static void deal(pool *p) {
    int64_t next = 0;
    for (int i = 0; i < p->thread_count; i++) {
        int64_t count = (p->chunks - next) / (p->thread_count - i);
        atomic_store_explicit(&p->parts[i].next, next, memory_order_relaxed);
        p->parts[i].end = next += count;
    }
}

void pool_run(pool *p, int64_t count, int64_t grain, pool_body body, void *context) {
    if (count <= 0) return;
    if (grain < 1) grain = 1;
    p->body = body;
    p->context = context;
    p->count = count;
    p->grain = grain;
    p->chunks = (count - 1) / grain + 1;
    if (p->thread_count == 1 || p->chunks == 1) {
        for (int64_t i = 0; i < p->chunks; i++) run_chunk(p, i, 0);
        return;
    }
    deal(p);
    uint64_t loop = (atomic_load(&p->state) >> LOOP_SHIFT) + 1;
    atomic_store(&p->state, loop << LOOP_SHIFT | OPEN_BIT);
    if (atomic_load(&p->sleepers)) wake_all(p);
    run_chunks(p, 0);
    atomic_fetch_and(&p->state, ~OPEN_BIT);
    wait_until_empty(p);
}
