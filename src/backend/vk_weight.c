/* Weights on the device: copied there once, through staging memory, so that the host never holds a
 * second copy. Ternary rows are packed fast there; dense rows lie as in the file, each padded to
 * whole words. */
#include "backend/vk_core.h"

#include <stdlib.h>

static int weight_create(vk_backend *vk, int64_t rows, size_t row_bytes, vk_weight **out,
                         weft_error *err) {
    uint64_t most = vk->device.limits.allocation_bytes;
    *out = NULL;
    if (row_bytes > most || (uint64_t)rows > most / row_bytes)
        return err_set(err, WEFT_ERR_UNSUPPORTED,
                       "a weight of %lld rows of %zu bytes is larger than %s allows (%llu bytes): "
                       "use --device cpu",
                       (long long)rows, row_bytes, vk->device.facts.info.name,
                       (unsigned long long)most);
    vk_weight *w = calloc(1, sizeof *w);
    if (!w) return err_set(err, WEFT_ERR_MEMORY, "out of memory for a weight");
    w->row_bytes = row_bytes;
    int rc = buffer_create(&vk->base, (size_t)rows * row_bytes, &w->buf, err);
    if (rc)
        free(w);
    else
        *out = w;
    return rc;
}

static void weight_free(vk_backend *vk, vk_weight *w) {
    if (!w) return;
    buffer_free(&vk->base, &w->buf);
    free(w);
}

/* A failure while uploading is this weight's, not that of the next submit. */
static int uploaded(vk_backend *vk, weft_error *err) {
    if (!backend_has_failed(&vk->base)) return WEFT_OK;
    weft_error failure = vk->base.failure;
    vk->base.failure.code = WEFT_OK;
    if (err) *err = failure;
    return (int)failure.code;
}

/* Rows of the file's length into rows of at least that length; staging memory that is not written
 * may hold anything, so what pads a row is cleared. */
static void upload_rows(vk_backend *vk, vk_weight *w, const uint8_t *from, size_t from_row_bytes,
                        int64_t rows) {
    vk_memory *m = vk_memory_of(w->buf);
    size_t same = from_row_bytes < w->row_bytes ? from_row_bytes : w->row_bytes;
    size_t most = VK_STAGE_BYTES / w->row_bytes;
    for (int64_t row = 0, part; row < rows; row += part) {
        part = (int64_t)most < rows - row ? (int64_t)most : rows - row;
        uint8_t *to = vk_stage(vk, "weight_create", m, (size_t)row * w->row_bytes,
                               (size_t)part * w->row_bytes);
        if (!to) return;
        for (int64_t i = 0; i < part; i++, to += w->row_bytes) {
            memcpy(to, from + (size_t)(row + i) * from_row_bytes, same);
            memset(to + same, 0, w->row_bytes - same);
        }
    }
}

static void upload_tight(vk_backend *vk, vk_weight *w, const ternary_matrix *matrix) {
    vk_memory *m = vk_memory_of(w->buf);
    int64_t most = (int64_t)(VK_STAGE_BYTES / w->row_bytes);
    for (int64_t row = 0, end; row < matrix->rows; row = end) {
        end = most < matrix->rows - row ? row + most : matrix->rows;
        uint8_t *to = vk_stage(vk, "weight_create", m, (size_t)row * w->row_bytes,
                               (size_t)(end - row) * w->row_bytes);
        if (!to) return;
        vk->k.ternary_unpack_rows(matrix, row, end, 0, matrix->cols, to);
    }
}

static int row_fits(size_t row_bytes, weft_error *err) {
    if (row_bytes <= VK_STAGE_BYTES) return WEFT_OK;
    return err_set(err, WEFT_ERR_UNSUPPORTED, "a weight's row of %zu bytes is too long for a gpu",
                   row_bytes);
}

int vk_ternary_weight_create(backend *be, ternary_weight *w, weft_error *err) {
    vk_backend *vk = vk_of(be);
    vk_weight *weight;
    size_t row_bytes = ternary_row_bytes(w->matrix.cols);
    TRY(row_fits(row_bytes, err));
    TRY(weight_create(vk, w->matrix.rows, row_bytes, &weight, err));
    if (w->matrix.packing == TERNARY_TIGHT)
        upload_tight(vk, weight, &w->matrix);
    else
        upload_rows(vk, weight, w->matrix.codes, row_bytes, w->matrix.rows);
    int rc = uploaded(vk, err);
    if (rc)
        weight_free(vk, weight);
    else
        w->memory = weight;
    return rc;
}

void vk_ternary_weight_free(backend *be, ternary_weight *w) {
    weight_free(vk_of(be), w->memory);
}

int vk_dense_weight_create(backend *be, dense_weight *w, weft_error *err) {
    vk_backend *vk = vk_of(be);
    vk_weight *weight;
    size_t row_bytes = round_up(w->matrix.row_bytes, 4);
    TRY(row_fits(row_bytes, err));
    TRY(weight_create(vk, w->matrix.rows, row_bytes, &weight, err));
    upload_rows(vk, weight, w->matrix.data, w->matrix.row_bytes, w->matrix.rows);
    int rc = uploaded(vk, err);
    if (rc)
        weight_free(vk, weight);
    else
        w->memory = weight;
    return rc;
}

void vk_dense_weight_free(backend *be, dense_weight *w) {
    weight_free(vk_of(be), w->memory);
}
