/* What the operations of training come to hold beside their buffers, for plans of memory. */
#ifndef WEFT_BACKEND_BACKEND_SCRATCH_H
#define WEFT_BACKEND_BACKEND_SCRATCH_H

#include "backend/backend.h"

/* The largest shapes of a training step. */
typedef struct training_extent {
    int64_t tokens;                /* of a micro-batch */
    int64_t longest;               /* tokens of a document */
    int64_t widest_in, widest_out; /* of a projection */
    int64_t heads, kv_heads, head_dim;
    int64_t rank; /* of the trained adapter */
    const dense_weight *head;
    precision grade;
} training_extent;

/* Bytes that the backend's own scratch grows by in such training steps. */
size_t backend_training_scratch_bytes(const backend *be, const training_extent *extent);

/* Memory of a device of its own that is free for this process now; 0: the driver does not say, or
 * the memory is the host's. */
uint64_t backend_free_bytes(const backend *be);

/* Threads that compute, the calling one included; 1 where a GPU computes. */
int backend_thread_count(const backend *be);

#endif
