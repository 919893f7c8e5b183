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

/* Bytes of the backend's own scratch after such training steps. */
size_t backend_training_scratch_bytes(const backend *be, const training_extent *extent);

/* Threads that compute, the calling one included; 1 where a GPU computes. */
int backend_thread_count(const backend *be);

#endif
