/* What the operations of training come to hold beside their buffers, for plans of memory. */
#ifndef WEFT_BACKEND_BACKEND_SCRATCH_H
#define WEFT_BACKEND_BACKEND_SCRATCH_H

#include "backend/backend.h"

/* Bytes of the backend's own scratch after training steps of `tokens` tokens in documents of at
 * most `longest`, through projections of at most `widest` outputs. */
size_t backend_training_scratch_bytes(const backend *be, int64_t tokens, int64_t longest,
                                      int64_t widest);

/* Threads that compute, the calling one included. */
int backend_thread_count(const backend *be);

#endif
