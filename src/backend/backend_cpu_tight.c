/* Tight matrices for kernels that compute from fast ones: a thread unpacks a part into scratch of
 * its own, where it stays in a cache while it is used. Kernels give an element the same bits
 * whatever the range, so both packings give the same results. */
#include "backend/backend_cpu.h"

#include "base/os.h"

/* Bytes of unpacked rows at a time for one token, so that they are read back from the nearest
 * cache; many tokens share them, and the kernels treat some rows at once. */
#define ONE_TOKEN_BYTES (16 << 10)
#define ROWS_MAX        48
#define ROWS_MIN        4

static int64_t rows_a_part(int64_t cols, int64_t tokens) {
    int64_t rows = ONE_TOKEN_BYTES / (int64_t)ternary_row_bytes(cols) / ROWS_MIN * ROWS_MIN;
    if (tokens > 1 || rows > ROWS_MAX) return ROWS_MAX;
    return rows < ROWS_MIN ? ROWS_MIN : rows;
}

/* Scratch of `bytes` for each thread, kept until a larger need. */
static bool reserve(cpu_backend *cpu, const char *op, size_t bytes) {
    size_t threads = (size_t)pool_thread_count(cpu->threads);
    bytes = round_up(bytes, 64);
    if (bytes <= cpu->unpacked_bytes) return true;
    os_free(cpu->unpacked);
    cpu->base.bytes -= cpu->unpacked_bytes * threads;
    cpu->unpacked_bytes = 0;
    cpu->unpacked = os_alloc(bytes * threads);
    if (!cpu->unpacked) {
        backend_fail(&cpu->base, op, WEFT_ERR_MEMORY, "out of memory for %zu bytes of scratch",
                     bytes * threads);
        return false;
    }
    cpu->unpacked_bytes = bytes;
    cpu->base.bytes += bytes * threads;
    return true;
}

bool cpu_parts_by_rows(cpu_backend *cpu, const char *op, const ternary_matrix *w, int64_t tokens,
                       weight_parts *parts) {
    *parts = (weight_parts){.k = &cpu->k, .w = w, .step = rows_a_part(w->cols, tokens)};
    if (w->packing == TERNARY_FAST) return true;
    if (!reserve(cpu, op, (size_t)parts->step * ternary_row_bytes(w->cols))) return false;
    parts->scratch = cpu->unpacked;
    parts->scratch_bytes = cpu->unpacked_bytes;
    return true;
}

bool cpu_parts_by_cols(cpu_backend *cpu, const char *op, const ternary_matrix *w,
                       weight_parts *parts) {
    *parts = (weight_parts){.k = &cpu->k, .w = w, .step = TERNARY_BLOCK, .by_cols = true};
    if (w->packing == TERNARY_FAST) return true;
    if (!reserve(cpu, op, (size_t)w->rows * TERNARY_BLOCK_BYTES)) return false;
    parts->scratch = cpu->unpacked;
    parts->scratch_bytes = cpu->unpacked_bytes;
    return true;
}

weight_part cpu_part_begin(int64_t begin, int64_t end, int worker) {
    return (weight_part){.next = begin, .last = end, .worker = worker};
}

bool cpu_part_next(const weight_parts *parts, weight_part *p) {
    const ternary_matrix *w = parts->w;
    if (p->next >= p->last) return false;
    if (w->packing == TERNARY_FAST) {
        p->w = *w;
        p->begin = p->next;
        p->end = p->next = p->last;
        return true;
    }
    uint8_t *out = parts->scratch + (size_t)p->worker * parts->scratch_bytes;
    int64_t first = p->next, left = p->last - first;
    int64_t count = left < parts->step ? left : parts->step;
    p->w = (ternary_matrix){out, w->rows, w->cols, w->scale, TERNARY_FAST};
    if (parts->by_cols) {
        p->w.cols = count;
        parts->k->ternary_unpack_rows(w, 0, w->rows, first, first + count, out);
    } else {
        p->w.rows = count;
        parts->k->ternary_unpack_rows(w, first, first + count, 0, w->cols, out);
    }
    p->offset = first;
    p->begin = 0;
    p->end = count;
    p->next = first + count;
    return true;
}
