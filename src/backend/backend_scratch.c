/* Plans of what a device comes to hold of its own: each device knows its own. */
#include "backend/backend_scratch.h"

#include "backend/backend_impl.h"

int backend_thread_count(const backend *be) {
    return be->ops->thread_count(be);
}

uint64_t backend_free_bytes(const backend *be) {
    return be->ops->free_bytes ? be->ops->free_bytes(be) : 0;
}

size_t backend_training_scratch_bytes(const backend *be, const training_extent *extent) {
    return be->ops->training_scratch_bytes(be, extent);
}
