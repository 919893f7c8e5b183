/* Worker threads that run one parallel loop at a time. */
#ifndef WEFT_BASE_POOL_H
#define WEFT_BASE_POOL_H

#include "base/status.h"

#include <stdint.h>

typedef struct pool pool;

/* The loop body: handles items [begin, end). `worker` (0 .. thread_count-1) names the scratch it
 * may use. Which worker gets which chunk changes from run to run, so a body must give the same
 * result for an item whatever its chunk: partition outputs, never sums. */
typedef void (*pool_body)(void *context, int64_t begin, int64_t end, int worker);

#define POOL_THREADS_MAX 256

/* thread_count >= 1 counts the caller; 0 means one a core. */
int pool_create(int thread_count, pool **out, weft_error *err);
void pool_free(pool **p); /* NULL allowed */
int pool_thread_count(const pool *p);

/* Run body over [0, count) in chunks of `grain` items (>= 1; the last may be shorter); returns when
 * all are done. Each thread begins with a stretch of neighbouring chunks of its own and then helps
 * the others. Not re-entrant: a body must not call it, and one thread at a time may use a pool. */
void pool_run(pool *p, int64_t count, int64_t grain, pool_body body, void *context);

#endif
