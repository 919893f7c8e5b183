/* The CPU's scratch is one block that grows to the largest need of any operation. */
#include "backend/backend_scratch.h"

#include "backend/backend_cpu.h"

int backend_thread_count(const backend *be) {
    return pool_thread_count(((const cpu_backend *)be)->threads);
}

size_t backend_training_scratch_bytes(const backend *be, int64_t tokens, int64_t longest,
                                      int64_t widest) {
    size_t threads = (size_t)backend_thread_count(be);
    /* The backward of attention: a thread's rows of scores, and where the documents begin. */
    int64_t a_thread = attention_backward_scratch_floats(longest);
    size_t attention = threads * round_up((size_t)a_thread, 16) * sizeof(float) +
                       (size_t)(tokens + 1) * sizeof(int32_t);
    /* The transposed product: gradients as 16-bit numbers, and a scale a row. */
    size_t rounded =
        (size_t)tokens * (round_up((size_t)widest, 8) * sizeof(int16_t) + sizeof(float));
    return attention > rounded ? attention : rounded;
}
